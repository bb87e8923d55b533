"""Figures stand where the notebook has them, as far as the page has room, and never overtake each other."""

import re

import pytest
from pieces import code, figure, markdown, pages, pdf, png

from lib.workbook.export.placing import arrange
from lib.workbook.export.template import PREAMBLE


def drawn(number, height):
    """A numbered figure, `height` pixels of 96 dpi high."""
    return figure(number, f"Number {number}.", data={"image/png": png(400, height)})


def told(*cells):
    """The words and figures of each page by which its text is told: before, Figure 1, after, …"""
    return [re.findall(r"before|between|after|Figure \d+", page) for page in pages(pdf(markdown("# T"), *cells))]


@pytest.mark.parametrize("lines", [1, 20, 45])
def test_a_figure_with_room_stands_in_its_place(lines):
    text = "\n\n".join(["A line of text."] * lines) + "\n\nbefore"
    found = told(markdown(text), code("x", *drawn(1, 60)), markdown("after"))
    assert ["before", "Figure 1", "after"] in [page[:3] for page in found]


def test_a_figure_without_room_stands_on_the_next_page_and_the_text_goes_on():
    lines = "\n\n".join(["A line of text."] * 28)
    found = told(markdown(lines + "\n\nbefore"), code("x", *drawn(1, 800)), markdown("after"))
    assert found == [["before", "after"], ["Figure 1"]]


def test_the_foot_of_a_page_stays_white_so_that_a_figure_stands_before_what_is_said_of_it():
    text = "\n\n".join(["A line of text."] * 33) + "\n\nbefore"
    found = told(markdown(text), code("x", *drawn(1, 400)), markdown("after"))
    assert found == [["before"], ["Figure 1", "after"]]


@pytest.mark.parametrize("lines", [28, 31, 33, 34, 35, 36])
def test_a_heading_is_never_left_alone_by_its_figure(lines):
    text = "\n\n".join(["A line of text."] * lines) + "\n\nbefore\n\n## between"
    found = told(markdown(text), code("x", *drawn(1, 400)), markdown("after"))
    assert ["between", "Figure 1", "after"] in found or ["before", "between", "after"] in found, found


@pytest.mark.parametrize("lines", [28, 31, 33, 34, 35, 36])
def test_the_label_of_an_answer_stands_where_the_answer_begins(lines):
    text = "\n\n".join(["A line of text."] * lines) + "\n\nbefore"
    cells = [markdown(text), code("x", *drawn(1, 400), tags=["predict"]), markdown("after")]
    label, number, after = (
        [i for i, page in enumerate(pages(pdf(*cells))) if word in page] for word in ("Answer", "Figure 1", "after")
    )
    assert label in (number, after) and number[0] - label[0] in (0, 1)


def test_no_figure_overtakes_another():
    lines = "\n\n".join(["A line of text."] * 28)
    cells = [code("x", *drawn(1, 800)), markdown("between"), code("x", *drawn(2, 30)), markdown("after")]
    found = told(markdown(lines + "\n\nbefore"), *cells)
    order = [word for page in found for word in page]
    assert order.index("Figure 1") < order.index("Figure 2") and order[0] == "before"


def test_a_document_that_typst_refuses_stays_as_it_is(tmp_path):
    main = tmp_path / "document.typ"
    main.write_text(f"{PREAMBLE}#unknown", "utf-8")
    arrange(main)
    assert main.read_text("utf-8").endswith("#unknown")
