"""Texts without end: what is too long is cut with a mark, what is nested too deeply is refused where it stands."""

import pytest
from pieces import code, display, flat, markdown, pdf, png, source, stream
from test_html import page

from lib.workbook.export import ExportError
from lib.workbook.export.formulas import Formulas
from lib.workbook.export.typeset import OUTPUT_ROOM


def test_one_long_line_is_cut():
    line = str(list(range(10_000)))
    text = flat(pdf(code("print(list(range(10000)))", stream(line))))
    assert "[0, 1, 2" in text and "9998, 9999]" in text and f"{len(line) - 4000:,} characters are not printed" in text
    assert "z'" in flat(pdf(code("x = '" + "z" * 100_000 + "'")))


def test_many_lines_are_cut():
    text = flat(pdf(code("x", stream("\n".join(f"line{i}" for i in range(10_000))))))
    assert "line0 " in text and "line9999" in text and f"{10_000 - OUTPUT_ROOM:,} lines are not printed" in text
    whole = source(code("\n".join(f"x{i} = 1" for i in range(OUTPUT_ROOM + 1)), stream("a\n" * OUTPUT_ROOM)))
    assert "not printed" not in whole, "code is printed as a whole"


def test_long_words_of_a_text_are_cut_and_broken():
    text = flat(pdf(markdown(f"`{list(range(10_000))}` {'z' * 100_000} and https://example.org/{'a/' * 60} end")))
    assert text.count("characters are not printed") == 2 and "end" in text


@pytest.mark.parametrize(
    "text", ["> " * 400 + "x", "> " * 70 + "x", "<div>" * 500, "\n".join("  " * i + "- x" for i in range(200))]
)
def test_what_is_nested_too_deeply_is_named(text):
    with pytest.raises(ExportError, match="cell 2: its text is nested too deeply; use"):
        pdf(markdown("# T"), markdown(text), markdown("after"))
    html = display({"text/html": "<div>" * 3000, "text/plain": ""})
    with pytest.raises(ExportError, match="cell 2: its text is nested too deeply"):
        pdf(markdown("# T"), code("x", html))


@pytest.mark.parametrize("sign", ["<!--\n\n", "<script> ", "<pre> ", "\\begin{align} ", "\\\\[ ", "\\\\( "])
def test_what_is_never_closed_is_read_once(sign):
    """A reading that looked for the end from every beginning would take minutes."""
    text = sign * 200_000
    assert Formulas().take_out(text, "cell 1") == text
    if sign[0] == "<":
        source(markdown(sign * 20_000))


def test_an_error_of_typst_is_told_with_its_cell():
    """The picture has the head of a picture and no more."""
    cut = png(400, 400)[:120]
    cut = cut[: len(cut) // 4 * 4]
    with pytest.raises(ExportError, match="cell 2: "):
        pdf(markdown("# T"), code("x", display({"image/png": cut})), code("y", stream("z" * 3000)))


def test_dollars_of_different_cells_of_a_table_are_no_formula():
    table = "<table><tr><td>$HOME</td><td>$HOME</td></tr><tr><td>$x^2$</td><td>$a &lt; b$</td></tr></table>"
    cell = code("t", display({"text/html": table, "text/plain": ""}))
    printed = source(cell)
    assert printed.count(r"\$HOME") == 2 and "$x^2$" in printed and "$a < b$" in printed
    shown = page(cell).main
    assert shown.get_text().count("$HOME") == 2 and len(shown.find_all("math")) == 2
    assert source(markdown(table.replace("&lt;", "+"))).count(r"\$HOME") == 2
