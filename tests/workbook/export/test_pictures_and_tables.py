"""Pictures, numbered figures and tables, as Typst sets them."""

import base64
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from pieces import code, display, figure, flat, markdown, notebook, pages, pdf, png, source

from lib.workbook.export import ExportError, TypstPDFExporter, export_pdf
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


def html(frame, **workbook):
    metadata = {"workbook": workbook} if workbook else {}
    return display({"text/html": frame._repr_html_(), "text/plain": repr(frame)}, **metadata)


def test_a_data_frame_is_a_table():
    frame = pd.DataFrame({"model": ["RNN", "a & b"], "accuracy": [0.5, -1e-3], "sd": ["±0.1", "—"], "$\\beta$": [1, 2]})
    code_ = source(code("frame", html(frame)))
    cells = re.findall(r"table\.cell\(align: (\w+)\)\[\s*(.*?)\s*\],", code_, re.S)
    assert cells[:5] == [("right", ""), ("left", "model"), ("right", "accuracy"), ("right", "sd"), ("right", "$beta$")]
    assert cells[5:10] == [("right", "0"), ("left", "RNN"), ("right", "0.500"), ("right", "±0.1"), ("right", "1")]
    assert ("left", "a & b") in cells and 'verbatim("output"' not in code_


def test_alignment_and_spans_of_html_are_kept():
    code_ = source(
        code(
            "t",
            display(
                {
                    "text/html": """<table><thead><tr><th></th><th colspan="2">acc</th></tr></thead><tbody>
        <tr><th rowspan="2">rnn</th><td style="text-align: center">1</td><td align="left">2</td></tr>
        <tr><td>3</td><td>a<br>b</td></tr></tbody></table>""",
                    "text/plain": "",
                }
            ),
        )
    )
    assert "table.cell(align: center, colspan: 2)[" in code_ and "table.cell(align: left, rowspan: 2)[" in code_
    assert re.search(r"align: center\)\[\s+1", code_) and re.search(r"align: left\)\[\s+2", code_)


def test_a_long_table_repeats_its_header():
    frame = pd.DataFrame(np.arange(240).reshape(120, 2), columns=["first column", "second column"])
    with pd.option_context("display.max_rows", 200):
        text = pages(pdf(code("frame", html(frame))))
    assert len(text) >= 3 and all("second column" in page for page in text)
    assert "239" in text[-1]


def test_wide_tables_get_smaller_and_long_texts_wrap():
    def size(frame):
        return float(re.search(r"#data-table\(([\d.]+)pt", source(code("frame", html(frame))))[1])

    with pd.option_context("display.max_columns", 50, "display.max_colwidth", None):
        small, wide = pd.DataFrame({"a": [1]}), pd.DataFrame(np.full((2, 18), -0.1234))
        long = pd.DataFrame({"text": ["many words " * 30], "name": ["a_long_name/" * 6], "x": [1.0]})
        assert size(small) > 8 and 4 < size(wide) < 8 and size(long) > 7
        text = flat(pdf(code("long", html(long))))
    assert text.count("many") == 30
    assert re.sub(r"\s", "", text).count("a_long_name") >= 1


def test_a_captioned_table():
    frame = pd.DataFrame({"a": [1]})
    outputs = [
        html(frame, table=2, caption="By *model*."),
        display({"text/markdown": "**Table 2.** By *model*."}, workbook={"caption_of": 2, "kind": "table"}),
    ]
    code_ = source(code("frame", *outputs))
    assert re.search(
        r'#numbered-table\("Table 2\.", \[.*#data-table\(.*\], \[\s+By #emph\[model\]\.\s+\]\)', code_, re.S
    )
    assert code_.count("model") == 1
    assert flat(pdf(code("frame", *outputs))).count("Table 2. By model.") == 1
