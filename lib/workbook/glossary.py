"""The glossary of all notebooks, `notebooks/glossary.md`: which terms it has, and which of them a notebook uses.

Each term is a heading of the third level with its definition below. A notebook leads to one by a link to the heading,
[*forget gate*](glossary.md#forget-gate), as JupyterLab names it: the words of the term joined by hyphens.
"""

import re
from functools import cache
from typing import NamedTuple

from lib.workbook.notebooks import FOLDER

FILE = FOLDER / "glossary.md"
LINK = re.compile(r"\]\(glossary\.md#([^)\s]+)\)")


class Entry(NamedTuple):
    """A term and its definition, Markdown, with links to other terms as in a notebook."""

    term: str
    text: str


@cache
def entries():
    """All entries by their anchors, in the order of the file: {"forget-gate": Entry("forget gate", "…")}.

    Raises:
        ValueError: a term that stands there twice or has no definition.
    """
    _, *parts = re.split(r"^### +(.+)$", FILE.read_text("utf-8"), flags=re.M)
    found = {}
    for term, text in zip(parts[::2], parts[1::2], strict=True):
        text = re.split(r"^## ", text, flags=re.M)[0].strip()
        entry = Entry(term.strip(), text.replace("](#", "](glossary.md#"))
        if entry.term.replace(" ", "-") in found or not entry.text:
            raise ValueError(f"{FILE.name}: the term {entry.term!r} needs one heading with one definition below it")
        found[entry.term.replace(" ", "-")] = entry
    return found


def links(nb):
    """Anchors of all links to the glossary in a notebook's text, known or not, in their order."""
    return [anchor for cell in nb.cells if cell.cell_type == "markdown" for anchor in LINK.findall(cell.source)]


def used(nb):
    """Anchors of the entries that a notebook links to, sorted by their terms."""
    known = entries()
    return sorted({*links(nb)} & {*known}, key=lambda anchor: known[anchor].term.casefold())
