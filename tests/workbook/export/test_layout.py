"""No page of a printed notebook is half empty, ends with a heading or tears a table apart."""

import base64
import io
import re

import nbformat
import pandas as pd
import pytest
from layout import layout, measured, overtaken, torn
from pieces import code, display, figure, flat, markdown, notebook, pages, pdf
from PIL import Image

from lib.storage.paths import ROOT
from lib.workbook.export.template import PREAMBLE

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pages_of_the_notebooks(path):
    found = layout(nbformat.read(path, 4), path.stem, path.parent)
    assert not found.faults
    assert found.farthest <= 3, "a figure stays near the text that reads it"
    assert found.text > (3 if path.stem == "00_start_here" else 10)


FILLED = "#block(height: {}pt, width: 100%, fill: blue)\n\n"


@pytest.mark.parametrize(
    "body, faults",
    [
        (FILLED.format(600) + "#pagebreak()\nlast", []),
        (FILLED.format(300) + "#pagebreak()\nlast", ["page 1: 59% of the page is white"]),
        ("first\n#v(300pt)\n" + FILLED.format(400) + "#pagebreak()\nlast", ["page 1: 42% of the page is white"]),
        (FILLED.format(300) + "// appendix\n#appendix\nlast", []),  # the text ends there
        (
            FILLED.format(300) + "// appendix\n#appendix\n" + "code\n#pagebreak()\nlast",
            ["page 2: 96% of the page is white"],
        ),
        (FILLED.format(700) + "#place(dy: -30pt, block(heading[low]))\nlast", ["page 1: a heading at the foot"]),
    ],
)
def test_the_measure_finds_faults(body, faults, tmp_path):
    main = tmp_path / "document.typ"
    main.write_text(PREAMBLE + body, "utf-8")
    assert measured(main).faults == faults


def test_the_measure_finds_torn_tables():
    head, rows = {"header": 1}, [{"row": row} for row in range(1, 8)]
    on = [(head, 1), ({"row": 0}, 1), *[(row, 1) for row in rows[:2]], ({"row": 0}, 2), *[(row, 2) for row in rows[2:]]]
    assert torn(on) == [(1, 2)]
    assert torn([(mark, 1) for mark, _ in on]) == [], "a short table on one page is whole"


def frame(rows, **workbook):
    table = pd.DataFrame({"first": range(rows), "second": range(rows)})
    with pd.option_context("display.max_rows", 200):
        return display({"text/html": table._repr_html_(), "text/plain": ""}, workbook=workbook)


@pytest.mark.parametrize("above", range(33, 42))
def test_tables_and_headings_wherever_a_page_ends(above):
    """A heading, a short and a long table come to the foot of a page, one line lower each time."""
    lines = markdown("\n\n".join(["A line of text."] * above))
    for cells in (
        [markdown("## Heading\n\n" + "Some words. " * 40)],
        [code("", frame(8))],
        [code("", frame(100))],
        [markdown("## Heading"), code("x = 1\ny = 2", frame(9, table=1, caption="A table."))],
    ):
        found = layout(notebook(markdown("# T"), lines, *cells, markdown("The text goes on. " * 300)))
        assert not found.faults


def test_figures_float_so_that_pages_are_full_and_keep_their_order():
    """Ten figures of half a page, with little text between them."""
    cells, file = [], io.BytesIO()
    Image.new("RGB", (400, 420), "navy").save(file, "png")
    for number in range(1, 11):
        tall = figure(number, f"Number {number}.", data={"image/png": base64.b64encode(file.getvalue()).decode()})
        cells += [markdown("Some words about it. " * 60), code("show(fig)", *tall)]
    nb = notebook(markdown("# T"), *cells, markdown("The text goes on. " * 500))
    found = layout(nb)
    assert not found.faults and found.farthest <= 2
    captions = re.findall(r"Figure (\d+)\.", flat(pdf(*nb.cells)))
    assert captions == [str(number) for number in range(1, 11)]


def test_a_table_that_fits_on_a_page_is_not_broken():
    marks = notebook(markdown("# T\n\n" + "Words. " * 900), code("", frame(45, table=1, caption="Whole.")))
    text = pages(pdf(*marks.cells))
    assert sum("second" in page for page in text) == 1


def test_what_stands_below_a_later_one_is_told():
    assert overtaken(["Figure 1", "Table 1", "Figure 2"], ["Figure 1", "Figure 2", "Table 1"]) == ["Table 1"]
    assert overtaken(["Figure 1", "Table 1"], ["Figure 1", "Table 1"]) == []
