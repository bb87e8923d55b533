"""Notebooks as PDF and HTML: every kind of cell and output, and what happens when something cannot be printed."""

import base64
import io
import re
import shutil
import subprocess

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat import v4
from PIL import Image

from lib.export import ExportError, StaticOutputs, TypstPDFExporter, export_html, export_pdf, freeze_widgets
from lib.export.template import CONTINUATION, LINE_BREAK, PREAMBLE, TEXT_HEIGHT, TEXT_WIDTH
from lib.export.typeset import fold

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


def markdown(text, **kw):
    return v4.new_markdown_cell(text, **kw)


def code(source="x = 1", *outputs, tags=()):
    return v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def display(data, **metadata):
    return v4.new_output("display_data", data, metadata=metadata)


def stream(text, name="stdout"):
    return v4.new_output("stream", text=text, name=name)


def png(width=64, height=32, dpi=None):
    """A PNG file, base64 as notebooks keep it."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, "png", **({"dpi": (dpi, dpi)} if dpi else {}))
    return base64.b64encode(file.getvalue()).decode()


def notebook(*cells, widgets=None, **workbook):
    metadata = {"workbook": workbook} if workbook else {}
    if widgets:
        metadata["widgets"] = {STATE: {"version_major": 2, "version_minor": 0, "state": widgets}}
    return v4.new_notebook(cells=list(cells), metadata=metadata)


def source(*cells, **kw):
    """The Typst code after the template."""
    return TypstPDFExporter().typst_source(notebook(*cells, **kw)).removeprefix(PREAMBLE)


def pdf(*cells, **kw):
    return TypstPDFExporter().from_notebook_node(notebook(*cells, **kw))[0]


def pages(data):
    """The text of every page, its white space reduced."""
    if not shutil.which("pdftotext"):
        pytest.skip("needs pdftotext (poppler-utils)")
    text = subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=data, capture_output=True, check=True
    ).stdout.decode()
    return text.removesuffix("\f").split("\f")


def flat(data):
    return " ".join(" ".join(pages(data)).split())


# Title page


def test_title_page_shows_the_metadata():
    cells = [markdown("# 02 The memory task\n\ntext"), *[markdown(f"## Part {i}\n\n### Detail {i}") for i in range(4)]]
    data = pdf(
        *cells,
        subtitle="RNN and *TCN*",
        authors=["Ann B.", "Carl D."],
        number="02",
        profile="cpu",
        device="2 threads",
        seconds=3725,
        versions={"torch": "2.13.0", "numpy": "2.4.6"},
        date="1 May 2025",
    )
    first, second, *_ = pages(data)
    for text in (
        "NOTEBOOK 02",
        "The memory task",
        "RNN and TCN",
        "Ann B., Carl D.",
        "1 May 2025",
        "cpu",
        "2 threads",
        "1 h 2 min",
        "numpy 2.4.6, torch 2.13.0",
        "Contents",
        "Part 3",
        "Detail 3",
    ):
        assert text in first, text
    assert "02 The memory task" not in first, "the number stands above the title, not in it as well"
    assert not re.search("1 ?/ ?2", first) and re.search("2 ?/ ?2", second)
    assert "The memory task" in second.split("\n")[0], "running header"


def test_title_falls_back_to_the_first_heading_and_is_not_repeated():
    code_ = source(markdown("# A *first* heading\n\nHello\n\n## Next"))
    assert code_.count("heading") == 2  # the PDF's own title and the title block
    assert "= Next" in code_ and "== Next" not in code_, "without a first heading the others move up"
    code_ = source(markdown("# A first heading"), title="Another title")
    assert "= A first heading" in code_ and "Another title" in code_
    assert "= A title" not in source(markdown("# 3 A title"), title="A title")


def test_a_notebook_without_headings_is_named_after_its_file(tmp_path):
    path = export_pdf(notebook(markdown("text")), tmp_path / "some_name.pdf")
    assert "some_name" in flat(path.read_bytes())


def test_titles_may_hold_formulas_and_code():
    data = pdf(markdown("# The $\\beta$-VAE in `torch`\n\ntext"), subtitle="with $x^2$")
    assert "-VAE in torch" in flat(data)


def test_the_same_notebook_gives_the_same_file():
    cells = [markdown("# Title\n\n$x^2$"), code("1", display({"image/png": png()}))]
    one, two = pdf(*cells, versions={"a": "1", "b": "2"}), pdf(*cells, versions={"b": "2", "a": "1"})
    assert one == two
    assert b"CreationDate" not in one and b"ModDate" not in one


@pytest.mark.skipif(not shutil.which("pdfinfo"), reason="needs pdfinfo (poppler-utils)")
def test_pdf_knows_title_author_and_paper(tmp_path):
    path = export_pdf(
        notebook(markdown("# T\n\n## Part"), title="On *waves*", authors=["Ann", "Bo"]), tmp_path / "a.pdf"
    )
    about = subprocess.run(["pdfinfo", path], capture_output=True, check=True).stdout.decode()
    assert re.search(r"Title: +On waves\n", about) and re.search(r"Author: +Ann, Bo\n", about) and "(A4)" in about
    assert b"/Outlines" in path.read_bytes()


# Text


def test_markdown_as_jupyter_reads_it():
    text = """A list without a blank line:
- one
- two
  1. inner
- [x] done

> a quote

| left | right |
|:--|--:|
| a | 1.5 |

"Quotes" -- and *emphasis*, H<sub>2</sub>O, <kbd>Ctrl</kbd>, ~~gone~~, an em<b>bold</b>ened word.

***

~~~
plain $code$
~~~

1. item

   ```python
   y = "$no formula$"
   ```
"""
    code_ = source(markdown(text))
    assert re.search(r"- one\n- two\n.*\+ inner\n.*- ☒ done", code_, re.S)
    assert "#quote(block: true)" in code_ and "#sub[2]" in code_ and "#strike[gone]" in code_
    assert "“Quotes” -- and #emph[emphasis]" in code_  # Typst sets two hyphens as a dash
    assert '"plain $code$"' in code_ and 'y = \\"$no formula$\\"' in code_
    pdf(markdown(text))


def test_details_are_printed_open():
    code_ = source(markdown("<details>\n<summary>Why?</summary>\n\nBecause $x$ *is*.\n\n</details>"))
    assert re.search(r"#details\[\s+#summary\[\s+Why\?\s+\]\s+Because \$x\$ #emph\[is\]\.\s+\]", code_)


def test_links():
    code_ = source(
        markdown("[a](#The-second-part) [b](#the-second-part) [c](#here) [d](#nowhere) [e](02_memory.ipynb#x)"),
        markdown("## The second part\n\n<a id='here'></a> text [f](https://example.org/x)"),
    )
    label = re.search(r"The second part\n<(place-\d+)>", code_)[1]
    assert code_.count(f"#link(<{label}>)") == 2
    anchor = re.search(r"#metadata\(none\)<(place-\d+)>", code_)[1]
    assert f"#link(<{anchor}>)[c]" in code_
    assert "d e" in code_, "links that lead nowhere on paper are plain text"
    assert '#link("https://example.org/x")[f]' in code_


def test_a_heading_is_never_last_on_a_page():
    cells = [
        markdown(f"## Heading {i}\n\n" + "Some words to fill the line of a page. " * (17 + 3 * i)) for i in range(30)
    ]
    for page in pages(pdf(*cells))[1:]:
        lines = [line for line in page.split("\n") if line.strip()][:-1]  # without the page number
        assert "Heading" not in lines[-1]


def test_unusual_letters_do_not_stop_the_export():
    assert "naïve Łódź Привет" in flat(
        pdf(markdown("naïve Łódź Привет 中文 🎉"), code("print('🎉 中')", stream("✓ 🎉\n")))
    )


# Formulas

FORMULAS = r"""
\begin{aligned} a &= b \\ &= c \end{aligned}
f(x) = \begin{cases} -1 & x < 0 \\ 1 & \text{otherwise} \end{cases}
\begin{pmatrix} a & b \\ c & d \end{pmatrix} \begin{bmatrix} W_{hh} & W_{hx} \end{bmatrix}
\begin{vmatrix} a & b \\ c & d \end{vmatrix} \lVert x \rVert_2 = \|x\| = \left\|x\right\| = \bigl\| x \bigr\|
\operatorname{softmax}(x) = \operatorname*{arg\,max}_x f \tag{3}
\mathbb{E}_{x \sim p} \; \partial_t u \; \prod_{i=1}^n x_i \; \sum\limits_{i}^{n} i \; \sum_{\substack{i \\ j}} x
\sigma \odot \text{ if } x \; \underbrace{a + b}_{\text{sum}} \; \boldsymbol{\theta} \; W^\top \; a \cdot b \le c
\frac{a}{b} \sqrt{2} \; \sqrt{1 - \bar{\alpha}_t}\,\epsilon \; \Bigl( \tfrac12 \Bigr)^2 \; \bigl\{ x \bigr\}
D_{\mathrm{KL}}(q \| p) \; \left. \frac{df}{dx} \right|_{x=0} \; \left\{ \begin{array}{ll} a & b \end{array} \right.
\mathcal{N}\!\left(0, \sigma^2 I\right) \; \hat{x} \tilde{x} \vec{v} \dot{x} \; \lfloor \log_3 T \rfloor \; 10\,\%
\overset{\text{def}}{=} \binom{n}{k} \nabla^2 u \; \mathbf{1}[x] \xrightarrow{f} \boxed{x} \mathscr{F}
""".strip().split("\n")


def test_formulas_compile():
    bare = r"\begin{align} \frac{\partial L}{\partial W} &= \sum_t \prod_k J_k \\ &= 0 \end{align}"
    cells = [markdown(f"Inline ${tex.replace(chr(92) + 'tag{3}', '')}$ and\n\n$$\n{tex}\n$$") for tex in FORMULAS]
    assert pdf(*cells, markdown(bare)).startswith(b"%PDF")


@pytest.mark.parametrize(
    "tex, typst",
    [
        (r"\operatorname*{arg\,max}_x", 'op("arg\u2006max", limits: #true)_x'),
        (r"\operatorname{softmax}(x)", r'op("softmax") \( x \)'),
        (r"\|x\|", "lr(bar.v.double x bar.v.double)"),
        (r"q\|p", "q parallel p"),
        (r"\left\lVert x \right\rVert_2", "lr(bar.v.double x bar.v.double)_2"),
        (r"\bigl( x \bigr)", r'class("opening", lr(size: #1.2em, \()) x class("closing", lr(size: #1.2em, \)))'),
        (r"\left. x \right|_0", "lr(x |)_0"),
        (r"\begin{vmatrix} a \end{vmatrix}", 'mat(delim: "|", a)'),
    ],
)
def test_formulas_mean_what_they_mean_in_latex(tex, typst):
    assert f"${typst}$" in source(markdown(f"${tex}$"))


def test_where_formulas_begin_and_end():
    code_ = source(
        markdown("Costs $5 and $6, `$x$`, \\$y\\$, **bold**$z$, $a_b$ and $c_d$.\n\n$$\na\n- b\n$$\n\n\\\\(q\\\\)")
    )
    assert "Costs \\$5 and \\$6, `$x$`, \\$y\\$, #strong[bold]$z$, $a_b$ and $c_d$." in code_
    assert "$ a - b $" in code_ and "$q$" in code_


def test_a_tag_stands_at_the_margin():
    assert '#tagged("3a")[$ x = 1 $]' in source(markdown(r"$$x = 1 \tag{3a}$$"))


def test_long_formulas_stay_on_the_page():
    """Every word of a formula several lines long is inside the margins."""
    long = " + ".join(rf"\text{{word{i}}}" for i in range(60))
    cells = [
        markdown(f"$$a = {long}$$"),
        markdown(f"$${' + '.join('abcdefghijklmnopqrst')} = {' + '.join('abcdefgh')}$$"),
    ]
    text = flat(pdf(*cells))
    assert all(f"word{i}" in text for i in range(60))


@pytest.mark.parametrize(
    "tex, why",
    [(r"\argmaxx_\theta L", r"the macro \argmaxx is unknown"), (r"\frac{a}", "incomplete"), (r"\frac{}{}", "simpler")],
)
def test_a_formula_that_cannot_be_printed_is_named(tex, why, tmp_path):
    out = tmp_path / "deep" / "a.pdf"
    with pytest.raises(ExportError) as error:
        export_pdf(notebook(markdown("# T"), markdown(f"fine $x$ and\n\n$${tex}$$")), out)
    assert f"a, cell 2: the formula ${tex}$" in str(error.value) and why in str(error.value)
    assert not list(tmp_path.rglob("*.pdf")) and not list(tmp_path.rglob("*.part"))


def test_a_failing_export_leaves_the_old_file(tmp_path):
    out = export_pdf(notebook(markdown("# Old")), tmp_path / "a.pdf")
    old = out.read_bytes()
    with pytest.raises(ExportError, match="title page"):
        export_pdf(notebook(markdown("# New"), title=r"A $\nonsense$"), out)
    assert out.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["a.pdf"]


# Code and its text


def test_long_lines_of_code_go_on_below(tmp_path):
    line = "    value = [" + ", ".join(str(i) for i in range(60)) + "]"
    assert len(line) > 200
    parts = fold(line, 95).split(LINE_BREAK)
    assert len(parts) == 3 and all(len(part) <= 95 for part in parts)
    assert all(part.startswith("    " + CONTINUATION) for part in parts[1:]), "continued lines keep the indent"
    assert "".join(parts).replace("    " + CONTINUATION, "") == line
    assert all(len(part) <= 95 for part in fold("#" * 500, 95).split(LINE_BREAK))

    text = pages(pdf(code(f"if True:\n{line}\n\nx = '{'y' * 200}'"), code("", stream("z" * 300))))
    assert "".join(text).count("↪") >= 5 and "58, 59]" in "".join(text)
    assert len(re.findall("y", "".join(text))) >= 200 and len(re.findall("z", "".join(text))) == 300


def test_long_cells_break_across_pages_and_short_ones_do_not():
    text = pages(pdf(code("\n".join(f"line_{i} = {i}" for i in range(150)))))
    assert "line_0 " in text[0] and "line_149" in text[-1] and len(text) > 1
    assert "breakable: false" in source(code("x")) and "breakable: true" in source(code("x\n" * 40))


def test_code_is_highlighted_and_output_is_told_apart():
    code_ = source(code("%time f(x)", stream('\x1b[31mred\x1b[0m \\ "quoted"\n')))
    assert re.search(r'#verbatim\("input", [\d.]+pt, "python", "%time f\(x\)"', code_)
    assert re.search(r'#verbatim\("output", [\d.]+pt, none, "red \\\\ \\"quoted\\""', code_)


def test_parameters_are_printed_and_hidden_inputs_are_not():
    code_ = source(
        code("epochs = 50", tags=["parameters"]),
        code("epochs = 20", tags=["injected-parameters"]),
        code("secret = 1", stream("shown"), tags=["hide-input"]),
        code(""),
    )
    assert "epochs = 50" in code_ and "epochs = 20" in code_ and "secret" not in code_ and "shown" in code_


def test_progress_bars_are_not_printed():
    bar = "\r  0%|          | 0/20 [00:00<?, ?it/s]\r100%|██████████| 20/20 [00:01<00:00, 15.11it/s]\n"
    code_ = source(
        code(
            "f()",
            stream(bar, "stderr"),
            stream("UserWarning: careful\n" + bar, "stderr"),
            stream("epoch 1\repoch 2\r"),
            stream("epoch 3\n"),
            stream("12it [00:00, 99.9it/s]", "stderr"),
        )
    )
    assert "%|" not in code_ and "it/s" not in code_ and "epoch 1" not in code_ and "epoch 2" not in code_
    assert '"epoch 3"' in code_ and re.search(r'#verbatim\("warning", [\d.]+pt, none, "UserWarning: careful"', code_)


def test_errors_are_printed():
    trace = ["\x1b[31mValueError\x1b[39m  Traceback (most recent call last)", "----> 1 f()", "ValueError: too small"]
    error = v4.new_output("error", ename="ValueError", evalue="too small", traceback=trace)
    assert re.search(r'#verbatim\("error".*"ValueError  Traceback .*ValueError: too small"', source(code("f()", error)))


# Pictures and figures


def figure(number, caption="The *loss* $\\log 3$ of `lstm`.", width=None, data=None):
    size = {"image/png": {"width": width}} if width else {}
    return [
        display(
            {"image/png": png(), "text/plain": "<Figure>", **(data or {})},
            workbook={"figure": number, "caption": caption},
            **size,
        ),
        display(
            {"text/markdown": f"**Figure {number}.** {caption}", "text/plain": caption}, workbook={"caption_of": number}
        ),
    ]


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


def test_a_film_is_printed_as_its_strip():
    code_ = source(
        code("film", *figure(5, "A wave.", data={"text/html": "<video src='data:video/mp4;base64,AA'></video>"}))
    )
    assert (
        "#picture(" in code_ and "A wave. #emph[\\(The film plays in the notebook.)]" in code_ and "video" not in code_
    )
    assert "run the notebook to play it" in source(
        code("x", display({"text/html": "<video></video>", "text/plain": "v"}))
    )


def test_animations_show_their_first_frame():
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "gif", save_all=True, append_images=frames[1:])
    gif = display({"image/gif": base64.b64encode(file.getvalue()).decode(), "text/plain": "g"})
    jshtml = display({"text/html": f'<script>frames[0] = "data:image/png;base64,{png()}"</script>', "text/plain": "a"})
    assert source(code("x", gif)).count("#picture(") == 1 and source(code("x", jshtml)).count("#picture(") == 1
    nb, _ = StaticOutputs().preprocess(notebook(code("x", gif)), {})
    with Image.open(io.BytesIO(base64.b64decode(nb.cells[0].outputs[0].data["image/png"]))) as frame:
        assert frame.getpixel((20, 20)) == (255, 0, 0)


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


# Tables


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


# Other outputs


def test_other_outputs():
    listing = "```python\nclass Cell:\n    pass\n```"
    code_ = source(
        code(
            "x",
            display({"text/markdown": listing, "text/plain": "…"}),
            display({"text/latex": r"$\displaystyle x^2$"}),
            display({"text/html": "<b>bold</b> text", "text/plain": "<IPython.core.display.HTML object>"}),
            display({"text/html": "<script>1</script>", "text/plain": "<IPython.core.display.HTML object>"}),
            v4.new_output("execute_result", {"text/plain": "tensor([1.])"}, execution_count=1),
        )
    )
    assert re.search(r'#verbatim\("listing", [\d.]+pt, "python", "class Cell:\\n    pass"', code_)
    assert "$ x^2 $" in code_ and "#strong[bold] text" in code_ and "IPython" not in code_ and '"tensor([1.])"' in code_


# Widgets


def view(model, **data):
    return display(
        {VIEW: {"model_id": model, "version_major": 2, "version_minor": 0}, "text/plain": "VBox(...)", **data}
    )


def models(**specs):
    """Widget state as notebooks keep it: name=(model name, state)."""
    return {
        key: {
            "model_name": name,
            "model_module": "@jupyter-widgets/controls",
            "model_module_version": "2.0.0",
            "state": {k: v for k, v in state.items() if k != "png"},
            **(
                {"buffers": [{"data": state["png"], "encoding": "base64", "path": ["value"]}]} if "png" in state else {}
            ),
        }
        for key, (name, state) in specs.items()
    }


WIDGETS = models(
    box=("VBoxModel", {"children": ["IPY_MODEL_row", "IPY_MODEL_img", "IPY_MODEL_out", "IPY_MODEL_play"]}),
    row=(
        "HBoxModel",
        {
            "children": [
                "IPY_MODEL_t",
                "IPY_MODEL_menu",
                "IPY_MODEL_check",
                "IPY_MODEL_zero",
                "IPY_MODEL_range",
                "IPY_MODEL_label",
            ]
        },
    ),
    t=("FloatSliderModel", {"description": "temp_1", "value": 0.8, "readout_format": ".2f"}),
    menu=("DropdownModel", {"description": "model", "index": 1, "_options_labels": ["RNN", "LSTM"]}),
    check=("CheckboxModel", {"description": "residual", "value": True}),
    zero=("IntSliderModel", {"description": "layer"}),
    range=("IntRangeSliderModel", {"description": "steps", "value": [1, 5]}),
    label=("HTMLModel", {"value": "<b>seed</b> 3"}),
    img=("ImageModel", {"format": "png", "width": "400", "png": png(800, 200)}),
    out=("OutputModel", {"outputs": [{"output_type": "stream", "name": "stdout", "text": "sampled\n"}]}),
    play=("PlayModel", {"value": 3}),
    bar=("HBoxModel", {"children": ["IPY_MODEL_b1", "IPY_MODEL_b2", "IPY_MODEL_b3"]}),
    b1=("HTMLModel", {"value": "100%"}),
    b2=("FloatProgressModel", {"value": 20.0}),
    b3=("HTMLModel", {"value": " 20/20"}),
)
CONTROLS = (
    "temp_1 0.80 · model LSTM · residual on · layer 0 · steps 1 to 5 · seed 3"
    "  (interactive: run the notebook to use it)"
)


def test_widgets_freeze_into_what_they_show():
    nb = notebook(code("explore()", view("box"), view("bar"), stream("after\n")), widgets=WIDGETS)
    before = nbformat.writes(nb)
    frozen = freeze_widgets(nb)
    assert nbformat.writes(nb) == before, "the given notebook is left alone"
    assert "widgets" not in frozen.metadata
    nbformat.validate(frozen)
    controls, picture, sampled, after = frozen.cells[0].outputs
    assert controls.data["text/plain"] == CONTROLS and controls.data["text/markdown"].startswith(r"*temp\_1 0.80")
    assert picture.data["image/png"] == png(800, 200) and picture.metadata["image/png"]["width"] == 400
    assert sampled.text == "sampled\n" and after.text == "after\n"


def test_widgets_are_printed():
    code_ = source(code("explore()", view("box"), view("bar")), widgets=WIDGETS)
    assert (
        f'#note("{CONTROLS}")' in code_ and "width: 300.00pt" in code_ and '"sampled"' in code_ and "100%" not in code_
    )


def test_widgets_without_state():
    unknown, pictured = (
        freeze_widgets(notebook(code("x", view("gone"), view("gone", **{"image/png": png()})))).cells[0].outputs
    )
    assert unknown.data["text/plain"] == "(interactive: run the notebook to use it)"
    assert "image/png" in pictured.data and VIEW not in pictured.data


@pytest.mark.parametrize("drop_defaults", [True, False])
def test_state_written_by_ipywidgets_itself(drop_defaults):
    import ipywidgets as widgets
    from ipywidgets.embed import embed_data

    sliders = widgets.FloatSlider(description="beta", value=0.25), widgets.IntSlider(description="layer")
    menu = widgets.Dropdown(description="kind", options=["a", "b"], value="b")
    picture = widgets.Image(value=base64.b64decode(png()), format="png")
    bar = widgets.HBox([widgets.HTML("50%"), widgets.FloatProgress(), widgets.HTML("1/2")])
    box = widgets.VBox([widgets.HTML("<b>Move it.</b>"), widgets.HBox([*sliders, menu]), picture, bar])
    data = embed_data(views=[box], drop_defaults=drop_defaults)
    cell = code("x", view(data["view_specs"][0]["model_id"]))
    controls, shown = freeze_widgets(notebook(cell, widgets=data["manager_state"]["state"])).cells[0].outputs
    assert controls.data["text/plain"].startswith("Move it. beta 0.25 · layer 0 · kind b  (interactive")
    assert shown.data["image/png"].replace("\n", "") == png()


def test_what_the_figures_of_the_workbook_display(displayed):
    from matplotlib import pyplot as plt

    from lib import figures

    fig, ax = plt.subplots(figsize=(7.0, 3.2))
    ax.plot([1, 2])
    figures.show(fig, "A line, $y = x$.")
    figures.show_table(pd.DataFrame({"model": ["RNN"], "accuracy": [0.5]}), "A table.")
    figures.film(np.zeros((4, 32, 32, 3), np.uint8), "A film.")
    code_ = source(code("x", *[display(data, **metadata) for data, metadata in displayed]))
    assert code_.count("A line, $y = x$.") == code_.count("A table.") == code_.count("A film.") == 1
    assert '#numbered-figure("Figure 1."' in code_ and '#numbered-table("Table 1."' in code_
    assert '#numbered-figure("Figure 2."' in code_ and "The film plays" in code_
    assert 350 < float(re.search(r"width: ([\d.]+)pt", code_)[1]) <= TEXT_WIDTH


# HTML, nbconvert


def test_html_keeps_films_and_freezes_widgets(tmp_path):
    (tmp_path / "a.png").write_bytes(base64.b64decode(png()))
    film = figure(5, "A wave.", data={"text/html": "<video controls src='data:video/mp4;base64,AA'></video>"})
    bar = stream("\r100%|██████████| 20/20 [00:01<00:00, 15.11it/s]\n", "stderr")
    nb = notebook(markdown("# T\n\n![p](a.png)"), code("x", *film, view("box"), bar), widgets=WIDGETS)
    nbformat.write(nb, tmp_path / "n.ipynb")
    page = export_html(tmp_path / "n.ipynb", tmp_path / "out" / "n.html").read_text("utf-8")
    assert "<video controls" in page and "data:image/png;base64" in page and 'src="a.png"' not in page
    assert (
        "run the notebook to use it" in page
        and VIEW not in page
        and "unpkg.com" not in page
        and "15.11it/s" not in page
    )
    outside = re.findall(r'(?:src|href)="(https?:[^"]+)"', page)
    assert len(outside) == 1 and "mathjax" in outside[0], "only MathJax is loaded from the network"
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["n.html"]


def test_nbconvert_finds_the_exporter():
    from nbconvert.exporters import get_exporter

    exporter = get_exporter("lib.export.TypstPDFExporter")()
    data, resources = exporter.from_notebook_node(notebook(markdown("# T")), {"metadata": {"name": "n"}})
    assert data.startswith(b"%PDF") and resources["output_extension"] == ".pdf"
