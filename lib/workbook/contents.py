"""The table of contents of a notebook: a Markdown cell tagged `contents`, written anew by `make ship`."""

from lib.workbook.notebooks import cell_tags
from lib.workbook.reading import CONTENTS, minutes, sections


def entries(nb):
    """The sections that a table of contents names, [(section, minutes with what stands below it), …]: those of the
    second level, and within them the deeper ones of the third, which count for themselves.
    """
    read = sections(nb)
    named = [section.level == 2 or (section.level == 3 and section.deeper) for section in read]
    found = []
    for index, section in enumerate(read):
        if named[index]:
            spent = section.minutes
            for later, own_entry in zip(read[index + 1 :], named[index + 1 :], strict=True):
                if own_entry or later.level <= section.level:
                    break
                spent += later.minutes
            found.append((section, _rounded(spent)))
    return found


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
