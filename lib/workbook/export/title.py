"""The title page: title, contents with reading minutes, facts about the run."""

from pandocfilters import stringify

from lib.workbook import contents, reading
from lib.workbook.notebooks import cell_tags

from .pandoc import array, quote, raw
from .typeset import slug
from .writing import run_facts

OWN_PAGE = 4  # headings; a shorter document begins below its title
CONTENTS_LINES = 36  # what fits on the title page


def title_block(setter, nb, cells):
    """The blocks of the title. `cells` are the blocks of every cell; their headings move up by one level, and the one
    that says what the title says leaves them (in place).
    """
    about = nb.metadata.get("workbook", {})
    entries = _minutes(nb, cells)
    headings = [block for blocks in cells for block in blocks if block["t"] == "Header"]
    first = next((block for block in headings if block["c"][0] == 1), None)
    title = about.get("title") or nb.metadata.get("title") or ("" if first else setter.name)
    title = setter.inline(title) if title else first["c"][2]
    if first and slug(stringify(first["c"][2])).lstrip("0123456789") == slug(stringify(title)).lstrip("0123456789"):
        headings.remove(first)
        blocks = next(blocks for blocks in cells if first in blocks)
        blocks[blocks.index(first)] = raw(f"#metadata(none)<{first['c'][1][0]}>")  # links may still lead here
    if headings and min(block["c"][0] for block in headings) > 1:
        for block in headings:
            block["c"][0] -= 1
    number = "" if about.get("number") is None else str(about["number"])
    if number and stringify(title[:1]).rstrip(".:").lstrip("0") == number.lstrip("0"):
        title = title[2:]  # the number stands above it

    own_page = len(headings) >= OWN_PAGE
    depth = 2 if sum(block["c"][0] <= 2 for block in headings) <= CONTENTS_LINES else 1
    facts = {**({"Reading time": _reading_time(nb)} if entries else {}), **run_facts(about)}
    facts = array(f"({quote(name)}, {quote(fact)})" for name, fact in facts.items())
    authors = array(quote(str(author)) for author in about.get("authors") or [])
    over = quote(f"Notebook {number}") if number else "none"
    date = quote(str(about["date"])) if about.get("date") else "none"
    subtitle = setter.inline(about.get("subtitle") or "")
    end = [raw("], ["), {"t": "Plain", "c": subtitle}, raw("])")] if subtitle else [raw("], none)")]
    plain = setter.as_written(title).replace("$", "")
    shown = f"{depth if own_page else 0}, {entries or '(:)'}, {str(own_page).lower()}"
    return [
        raw(f"#set document(title: {quote(plain)}, author: {authors}, date: none)"),
        raw(f"#title-block({over}, {authors}, {date}, {facts}, {shown}, ["),
        {"t": "Plain", "c": title},
        *end,
    ]


def _minutes(nb, cells):
    """Typst code of what the contents say about headings, (label: (minutes, deeper?), …); "" for a notebook that is not
    divided into a core path and deeper sections.
    """
    if not any({"deeper", reading.CONTENTS} & cell_tags(cell) for cell in nb.cells):
        return ""
    spent = {(section.cell, section.title): minutes for section, minutes in contents.entries(nb)}
    labels, read = {}, reading.sections(nb)
    for i, blocks in enumerate(cells):
        headings = [block for block in blocks if block["t"] == "Header"] if nb.cells[i].cell_type == "markdown" else []
        sections = [section for section in read if section.cell == i]
        if len(headings) != len(sections):
            continue  # a heading in HTML, whose minutes nobody counts
        for heading, section in zip(headings, sections, strict=True):
            minutes = spent.get((i, section.title))
            text = "none" if minutes is None else quote(f"{minutes} min")
            labels[heading["c"][1][0]] = f"({text}, {str(section.deeper).lower()})"
    return array(f"{quote(label)}: {about}" for label, about in labels.items()) if labels else ""


def _reading_time(nb):
    core, deeper = (round(minutes) for minutes in reading.minutes(nb))
    return f"core path {core} minutes" + (f", deeper {deeper}" if deeper else "")
