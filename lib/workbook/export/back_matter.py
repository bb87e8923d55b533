"""What follows the text of a printed notebook: the glossary, and an appendix with the code that is out of sight."""

from lib.workbook import glossary
from lib.workbook.reading import about, in_sight, sections

from .pandoc import raw, raw_inline
from .template import APPENDIX_SIZE
from .typeset import verbatim


def glossary_blocks(setter, nb):
    """The entries that the notebook links to, under a heading; [] if there are none."""
    used = glossary.used(nb)
    texts = [glossary.entries()[anchor] for anchor in used]
    setter.read((setter.place, "markdown", text) for pair in texts for text in pair)
    blocks = []
    for anchor, (term, text) in zip(used, texts, strict=True):
        place = raw_inline(f"#metadata(none)<{setter.label('glossary.md#' + anchor)}>")
        term, text = {"t": "Plain", "c": [place, *setter.inline(term)]}, {"t": "Plain", "c": setter.inline(text)}
        blocks += [raw("#glossary-entry(["), term, raw("], ["), text, raw("])")]
    return [raw("= Glossary"), *blocks] if blocks else []


def appendix_blocks(setter, nb):
    """The code out of sight, by the figures and tables that it gives; [] if there is none."""
    blocks, before = [], None
    read = sections(nb)
    setter.read((setter.place, "markdown", section.title) for section in read)
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "code" or not cell.source.strip() or in_sight(cell):
            continue
        name = numbers(cell)
        title = name or next((s.title for s in reversed(read) if s.cell < index and s.level > 1), "At the beginning")
        if title != before:
            inline = [{"t": "Str", "c": title}] if name else setter.inline(title)
            blocks += [raw("#code-heading["), {"t": "Plain", "c": inline}, raw("]")]
        blocks.append(verbatim("input", cell.source, "python", size=APPENDIX_SIZE))
        before = title
    return [raw("#appendix"), *blocks] if blocks else []


def numbers(cell):
    """The figures and tables that a cell shows: "Figure 3", "Tables 2 and 3", "Figures 1, 2 and 4, Table 1" or ""."""
    named = []
    for kind in ("figure", "table"):
        found = [str(about(output)[kind]) for output in cell.get("outputs", []) if kind in about(output)]
        if found:
            listed = " and ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
            named.append(f"{kind.title()}{'s' * (len(found) > 1)} {listed}")
    return ", ".join(named)
