"""All PDFs in one: its contents, its page numbers, and links from one notebook to another."""

import io

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook
from pypdf import PdfReader

from lib.workbook import binding
from lib.workbook.export import export_pdf
from lib.workbook.notebooks import FOLDER


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """{name: PDF} of two notebooks that lead to each other, one of them also to a third that is missing."""
    folder = tmp_path_factory.mktemp("printed")
    texts = {
        "01_one": "# 01 One\n\nSee [there](02_two.ipynb#Its-end) and [nowhere](03_three.ipynb).\n\n## A part\n\nText.",
        "02_two": "# 02 Two\n\nBack to [one](01_one.ipynb).\n\n## Its start\n\nText.\n\n## Its end\n\nText.",
    }
    found = {}
    for name, text in texts.items():
        nb = new_notebook(cells=[new_markdown_cell(part) for part in text.split("\n\n## ")])
        nb.cells[1:] = [new_markdown_cell(f"## {cell.source}") for cell in nb.cells[1:]]
        found[name] = export_pdf(nb, folder / f"{name}.pdf").read_bytes()
    return found


def links(reader):
    """{page: [page to which a link leads, or its address]}."""
    numbers = {page.indirect_reference.idnum: number for number, page in enumerate(reader.pages, 1)}
    found = {}
    for number, page in enumerate(reader.pages, 1):
        for link in page.get("/Annots") or []:
            link = link.get_object()
            place = link["/A"]["/URI"] if "/A" in link else numbers[link["/Dest"][0].idnum]
            found.setdefault(number, []).append(place)
    return found


def test_a_notebook_by_itself_leads_to_the_pdfs_beside_it(printed):
    assert links(PdfReader(io.BytesIO(printed["01_one"]))) == {1: ["02_two.pdf#Its-end", "03_three.pdf"]}


def test_bound_links_lead_to_the_heading_and_others_are_dropped(printed):
    writer = binding.bound([binding.Part(name, content, name) for name, content in printed.items()])
    content = io.BytesIO()
    writer.write(content)
    reader = PdfReader(content)
    assert links(reader) == {1: [2], 2: [1]}
    (link,) = reader.pages[0]["/Annots"]
    (top,) = (mark.top for mark, _ in binding.bookmarks(reader) if mark.title == "Its end")
    assert link.get_object()["/Dest"][3] == top, "not only to the page, but to the heading"
    assert [mark.title for mark in reader.outline if not isinstance(mark, list)] == ["01_one", "02_two"]


def test_the_whole_has_contents_and_its_own_page_numbers(printed, stores, monkeypatch):
    (stores / "exports").mkdir()
    paths = sorted(FOLDER.glob("0[12]_*.ipynb"))
    for path, content in zip(paths, printed.values(), strict=True):
        (stores / "exports" / f"{path.stem}.pdf").write_bytes(content)
    binding.write_or_remove_whole(paths)
    target = stores / "exports" / binding.WHOLE
    reader = PdfReader(target)
    texts = [page.extract_text() for page in reader.pages]
    assert len(texts) == 3 and all(text.rstrip().endswith(str(n)) for n, text in enumerate(texts, 1))
    assert "Its end" in texts[0] and set(links(reader)[1]) == {2, 3}
    binding.write_or_remove_whole(paths, complete=False)
    assert not target.exists(), "it would be taken for that of this run"
