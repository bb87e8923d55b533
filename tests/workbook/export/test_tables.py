"""Tables as Typst sets them: sides, sizes, widths, and where they may break."""

import re

import numpy as np
import pandas as pd
from pieces import code, display, flat, pages, pdf, source

from lib.workbook.export import tables


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


def test_rows_are_held_together_where_a_long_table_begins_and_ends():
    frame = pd.DataFrame({"a": range(7)})
    code_ = source(code("frame", html(frame)))
    assert code_.count("rows-end(3),") == 2 and tables.TOGETHER == 3
    assert code_.count("row-end,") == 2  # of the head, and of the row in the middle
    assert "rows-end" not in source(code("frame", html(frame.head(5))))


def test_words_in_tables_are_never_hyphenated():
    texts = ["".join(chr(97 + (i * j) % 26) for i in range(17)) for j in range(1, 60)]
    frame = pd.DataFrame({"text": [" ".join(texts)] * 2})
    with pd.option_context("display.max_colwidth", None):
        text = flat(pdf(code("frame", html(frame))))
    assert all(word in text for word in texts)


def test_long_texts_share_the_width_that_numbers_leave():
    """The column with more to say gets more, and the table fewer lines than with equal columns."""
    frame = pd.DataFrame(
        {"long": ["several words " * 12] * 3, "short": ["one two three four five six"] * 3, "x": [1] * 3}
    )
    with pd.option_context("display.max_colwidth", None):
        widths = re.search(r"#data-table\([\d.]+pt, \((.*?)\)", source(code("frame", html(frame))))[1].split(", ")
    index, long, short, x, _ = widths
    assert index == x == "auto" and float(long[:-2]) > 1.5 * float(short[:-2])
    small = source(code("frame", html(pd.DataFrame({"a": ["x" * 30]}))))
    assert "(auto, auto, )" in small, "a narrow table keeps its natural widths"


def test_a_table_without_a_head():
    cell = code("t", display({"text/html": "<table><tr><td>1</td><td>2</td></tr></table>", "text/plain": ""}))
    assert re.search(r"#data-table\([\d.]+pt, \(auto, auto, \), 0, \(", source(cell))
    assert "1 2" in flat(pdf(cell))


def test_a_table_with_too_many_columns_becomes_several():
    with pd.option_context("display.max_columns", 60):
        frame = pd.DataFrame({f"a_rather_long_name_{i}": ["some text", -0.12345] for i in range(20)}, index=["p", "q"])
        cell = code("frame", html(frame))
        sizes = [float(size) for size in re.findall(r"#data-table\(([\d.]+)pt", source(cell))]
        assert len(sizes) == 2 and min(sizes) >= 6
        text = flat(pdf(cell))
        assert text.count("some text") == 20 and text.count("p some") == 2
        wide = pd.DataFrame({f"c{i}": ["WWWWMMMMWWWWMMMM"] for i in range(20)})
        assert source(code("x", html(wide))).count("#data-table") > 3, "wide letters need more room"
        spanned = pd.DataFrame(np.ones((2, 40)), columns=pd.MultiIndex.from_product([list("ab"), range(20)]))
        assert source(code("x", html(spanned))).count("#data-table") == 1, "with spans it gets smaller instead"


def test_negative_numbers_have_a_minus_sign_and_names_their_hyphens():
    rows = ["-191.70 (-214.22 to -182.50)", "-0.00 ± 0.01", "1e-05", "xz -9", "2012-2015"]
    cells = source(code("t", html(pd.DataFrame({"ELBO": rows}))))
    shown = [
        re.sub(r"[\\\s]+", " ", cell) for cell in re.findall(r"table\.cell\(align: \w+\)\[\s*(.*?)\s*\],", cells, re.S)
    ]
    assert "−191.70 (−214.22 to −182.50)" in shown and "−0.00 ± 0.01" in shown
    assert (
        "1e-05" in shown and "2012-2015" in shown and any(cell.startswith("xz") and "−" not in cell for cell in shown)
    )
