"""The table of contents of a notebook: a Markdown cell tagged `contents`, written anew by `make ship`."""

from lib.workbook.notebooks import cell_tags
from lib.workbook.reading import CONTENTS, minutes, sections


def entries(nb):
    """The sections that a table of contents names, [(section, minutes with what stands below it), …]: those of the
    second level, and within them the deeper ones of the third, which count for themselves.
    """
    found = []
    for section in sections(nb):
        if section.level == 2 or (section.level == 3 and section.deeper):
            found.append([section, 0.0])
            group = found[-1]
        elif section.level == 3 and found:  # back from a deeper part to its section
            group = next((entry for entry in reversed(found) if entry[0].level == 2), found[-1])
        if found:
            group[1] += section.minutes
    return [(section, _rounded(spent)) for section, spent in found]


def summary(nb):
    """How long reading takes, Markdown."""
    core, deeper = minutes(nb)
    if not deeper:
        return f"Reading takes about {_rounded(core)} minutes."
    return (
        f"Reading takes about {_rounded(core)} minutes for the core path and {_rounded(deeper)} for the *deeper* "
        "sections, which may be skipped."
    )


def contents(nb):
    """Table of contents as Markdown: sections with their reading minutes, what may be skipped marked as deeper."""
    lines = [f"**Contents.** {summary(nb)}", ""]
    for section, spent in entries(nb):
        indent, mark = "  " * (section.level - 2), "deeper, " if section.deeper else ""
        lines.append(f"{indent}- [{section.title}](#{section.title.replace(' ', '-')}) ({mark}{spent} min)")
    return "\n".join(lines)


def refresh(nb):
    """Write the contents into the cell that is tagged for them, if there is one (in place)."""
    for cell in nb.cells:
        if CONTENTS in cell_tags(cell):
            cell.source = contents(nb)


def _rounded(spent):
    return max(1, round(spent))
