"""What cells display: pictures, numbered figures, pictures of widgets."""

import base64
import io
import re
import zlib

import nbformat
import pytest
from pieces import code, display, figure, flat, markdown, notebook, pdf, png, source, stream
from PIL import Image

from lib.workbook.export import ExportError, TypstPDFExporter, cells, export_html, export_pdf
from lib.workbook.export.template import TEXT_HEIGHT, TEXT_WIDTH


def test_a_figure_and_its_caption_become_one():
    code_ = source(code("show(fig)", *figure(3), *figure(4, "Second.")))
    assert re.search(
        r'#numbered-figure\("Figure 3\.", \[\s+#picture\("\w+\.png", width: 48\.00pt\)\s+\], \[\s+'
        r"The #emph\[loss\] \$log 3\$ of `lstm`\.\s+\]\)",
        code_,
    )
    assert code_.count("Second.") == 1 and code_.count("log 3") == 1
    text = flat(pdf(code("show(fig)", *figure(3))))
    assert text.count("Figure 3.") == 1


def test_a_caption_without_its_figure_is_printed():
    assert "Alone." in source(code("x", figure(3, "Alone.")[1]))


@pytest.mark.parametrize(
    "columns, rows, dpi, width, points",
    [
        (192, 96, 192, None, 72),
        (192, 96, None, None, 144),
        (960, 96, 192, 480, 360),
        (9600, 960, 96, None, TEXT_WIDTH),
        (960, 96, 192, 2000, TEXT_WIDTH),
        (600, 2400, 96, None, 0.8 * TEXT_HEIGHT / 4),
    ],
)
def test_size_of_pictures(columns, rows, dpi, width, points):
    output = display({"image/png": png(columns, rows, dpi)}, **({"image/png": {"width": width}} if width else {}))
    printed = float(re.search(r"#picture\(.*width: ([\d.]+)pt", source(code("x", output)))[1])
    assert printed == pytest.approx(points, abs=0.02)


def test_pictures_in_the_text(tmp_path):
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a b.png").write_bytes(base64.b64decode(png(96, 96)))
    (tmp_path / "b.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "utf-8")
    cell = markdown(
        "![alone](pics/a%20b.png)\n\ntext ![x](attachment:c.png) <img src='pics/a b.png' width='50'> ![s](b.svg)"
        f" ![d](data:image/png;base64,{png()}) ![far](https://example.org/far.png)",
        attachments={"c.png": {"image/png": png(32, 32)}},
    )
    nbformat.write(notebook(cell), tmp_path / "n.ipynb")
    export_pdf(tmp_path / "n.ipynb", tmp_path / "n.pdf")
    code_ = TypstPDFExporter().typst_source(notebook(cell), {"metadata": {"path": str(tmp_path)}})
    assert re.search(r'#picture\("\w+\.png", width: 72\.00pt, alt: "alone"\)', code_)
    assert "width: 24.00pt" in code_ and "width: 37.50pt" in code_ and ".svg" in code_
    assert '#box(link("https://example.org/far.png", "[far]"))' in code_


@pytest.mark.parametrize(
    "text", ["![x](missing.png)", "![x](attachment:missing.png)", "![x](data:image/png;base64,AAAA)"]
)
def test_a_missing_picture_is_an_error(text):
    with pytest.raises(ExportError, match="cell 2: .*picture"):
        source(markdown("# T"), markdown(text))


def test_a_picture_of_a_widget_stays_with_its_controls():
    note = display({"text/markdown": "*size 3*", "text/plain": "size 3"}, workbook={"note": "size 3"})
    code_ = source(code("x", note, display({"image/png": png()}), stream("after")))
    assert re.search(r'#floating\[\s+#note\("size 3"\)\s+#picture\(.*\)\s+\]\s+#verbatim\("output"', code_)
    assert "#floating" not in source(code("x", note, stream("no picture"), *figure(1)))
    assert "#floating[" in source(code("x", display({"image/png": png()})))


def test_every_text_of_a_cell_is_known_before_it_is_set():
    listing = display({"text/markdown": "*a*", "text/html": "<b>a</b>", "text/plain": "a"})
    table = display({"text/html": "<table></table>", "text/plain": ""}, workbook={"table": 1, "caption": "*c*"})
    cell = code("x", listing, table, stream("s"), display({"image/png": png(), "text/html": "<img>"}))
    assert cells.texts(cell) == [("markdown", "*a*"), ("markdown", "*c*"), ("html", "<table></table>")]
    assert cells.texts(markdown("text")) == [("markdown", "text")]
    assert cells.texts(markdown("text", metadata={"tags": ["contents"]})) == []


def test_the_place_of_a_source_stays_with_it():
    listing = "`lib.models`\n\n```python\nclass Cell:\n    pass\n```"
    code_ = source(code("x", display({"text/markdown": listing, "text/plain": "…"}, workbook={"source": "Cell"})))
    assert re.search(r'#listing-title\[\s+`lib\.models`\s+\]\s+#verbatim\("listing"', code_)


@pytest.mark.parametrize("name", ["../x.png", "{out}/x.png", "link.png", "%2e%2e/x.png", "pics/../../x.png"])
@pytest.mark.parametrize("text", ["![x]({})", "<img src='{}'>"])
@pytest.mark.parametrize("export", [export_pdf, export_html])
def test_pictures_outside_the_folder_are_refused(name, text, export, tmp_path):
    home = tmp_path / "home"
    (home / "pics").mkdir(parents=True)
    (tmp_path / "x.png").write_bytes(base64.b64decode(png()))
    (home / "link.png").symlink_to(tmp_path / "x.png")
    cell = markdown(text.format(name.format(out=tmp_path)))
    nbformat.write(notebook(markdown("# T"), cell), home / "n.ipynb")
    with pytest.raises(ExportError, match=r"n, cell 2: the picture '.*' lies outside the notebook's folder; copy it"):
        export(home / "n.ipynb", home / "n.out")
    assert not (home / "n.out").exists()


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a%00.png", "data:image/png,abc", "pics"])
@pytest.mark.parametrize("export", [export_pdf, export_html])
def test_names_that_no_picture_has(name, export, tmp_path):
    (tmp_path / "pics").mkdir()
    nbformat.write(notebook(markdown(f"![x]({name})")), tmp_path / "n.ipynb")
    if export is export_html and name.startswith("data:"):
        return  # the browser's business
    with pytest.raises(ExportError, match="cell 1: .*picture"):
        export(tmp_path / "n.ipynb", tmp_path / "n.out")


@pytest.mark.parametrize("width", ["1.2.3", ".", "0", "-5", "wide", "1e9", "99999999999"])
def test_odd_widths(width):
    code_ = source(markdown(f"<img width='{width}' src='data:image/png;base64,{png()}'>"))
    assert float(re.search(r"width: ([\d.]+)pt\)", code_)[1]) <= TEXT_WIDTH
    source(code("x", display({"image/png": png()}, **{"image/png": {"width": width}})))


@pytest.mark.parametrize(
    "data, why",
    [("not base64!", "cannot be read"), ("AAAA", "cannot be read"), (None, "more than 100 million pixels")],
)
def test_pictures_that_cannot_be_printed(data, why):
    if data is None:  # a head that claims 400 megapixels
        head = bytearray(base64.b64decode(png()))
        head[16:24] = (20_000).to_bytes(4, "big") * 2
        head[29:33] = zlib.crc32(head[12:29]).to_bytes(4, "big")
        data = base64.b64encode(head).decode()
    for cell in (
        code("x", display({"image/png": data})),
        markdown(f"<img src='data:image/png;base64,{data}'>"),
        markdown("![x](attachment:a.png)", attachments={"a.png": {"image/png": data}}),
    ):
        with pytest.raises(ExportError, match=f"cell 2: a picture .*{why}"):
            source(markdown("# T"), cell)


def test_a_picture_is_what_its_bytes_say(tmp_path):
    """A JPEG under the name of a PNG is printed, PostScript under that name is not opened."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "jpeg")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    (tmp_path / "b.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    about = {"metadata": {"path": str(tmp_path)}}
    assert TypstPDFExporter().from_notebook_node(notebook(markdown("![x](a.png)")), about)[0].startswith(b"%PDF")
    with pytest.raises(ExportError, match="cannot be read"):
        TypstPDFExporter().from_notebook_node(notebook(markdown("![x](b.png)")), about)


@pytest.mark.parametrize("data", ["AAAA", "A", base64.b64encode(b"GIF89a\xff\xff\xff\xff\x00\x00\x00").decode()])
def test_damaged_animations_are_named(data):
    with pytest.raises(ExportError, match="cell 2: a picture"):
        source(markdown("# T"), code("x", display({"image/gif": data})))


@pytest.mark.parametrize(
    "metadata", [{"image/png": "wide"}, {"workbook": "figure"}, {"workbook": {"figure": [1], "caption": 2}}]
)
def test_damaged_metadata_are_named(metadata):
    with pytest.raises(ExportError, match="cell 2: what it displays is damaged"):
        source(markdown("# T"), code("x", display({"image/png": png()}, **metadata)))
