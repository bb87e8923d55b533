"""One PDF: its cover, its page numbers, and links that lead where they should."""

import io
import re

import pytest
from executed import report
from nbformat.v4 import new_markdown_cell
from pypdf import PdfReader

from lib.workbook.notebooks import UsageError
from lib.workbook.submission.members import members
from lib.workbook.submission.merged_pdf import merged_pdf

DATE = "27 November 2026"
ODD = "a_b*c~{d}`$e@uni-x.example"


def test_one_pdf_with_a_cover_continuous_pages_and_links_that_lead_where_they_should():
    people = members("Ada Müller-Lüdenscheidt; van der Berg, Jan", "123; s-456", f"ada@uni.example; {ODD}")
    content, first = merged_pdf([report("02"), report("03")], people, "b", DATE)
    pages = PdfReader(io.BytesIO(content)).pages
    texts = [page.extract_text() for page in pages]
    assert first == [2, 4, 6] and len(pages) == 5
    for wanted in ("Sheet B", DATE, "Müller-Lüdenscheidt", "Jan van der Berg", "123", "s-456", "ada@uni.example", ODD):
        assert wanted in texts[0].replace("\n", ""), wanted
    assert re.search(r"02\s+Exercise 02\s+2–3", texts[0]) and re.search(r"03\s+Exercise 03\s+4–5", texts[0])
    assert "3 / 5" in texts[2] and "5 / 5" in texts[4] and "D03" in texts[4]
    numbers = {page.indirect_reference.idnum: number for number, page in enumerate(pages, 1)}
    links = [
        (number, link.get_object()["/Dest"][0].idnum)
        for number, page in enumerate(pages, 1)
        for link in page.get("/Annots", [])
    ]
    assert len(links) == 16 and all(numbers[target] == (3 if number < 4 else 5) for number, target in links)
    bookmarks = [mark.title for mark in PdfReader(io.BytesIO(content)).outline if not isinstance(mark, list)]
    assert bookmarks == ["Cover", "02 Exercise 02", "03 Exercise 03"]
    assert content == merged_pdf([report("02"), report("03")], people, "b", DATE)[0], "the same each time"


def test_a_notebook_that_cannot_be_printed_is_named():
    broken = report("02")
    broken.nb.cells.append(new_markdown_cell("$\\nosuchcommand{x}$"))
    with pytest.raises(UsageError, match="02_name.ipynb cannot be printed: .*nosuchcommand"):
        merged_pdf([broken], members("Ada", "1", "a@b"), "b", DATE)
