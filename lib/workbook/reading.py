"""How a notebook reads: its sections, the minutes they take, how much code stands in sight.

Which code a reader sees is said by tags (see `FOLDED`), which sections may be skipped by the tag `deeper` on the cell
that begins with their heading.
"""

import re
from typing import NamedTuple

from lib.workbook.notebooks import cell_tags

FOLDED = {"figure-code", "predict"}  # tags of code cells whose source is out of sight
CONTENTS = "contents"  # tag of the generated table of contents
MINUS = r"(?<![\w.])-(?=\.?\d)"  # a hyphen before a number, where print has a longer sign
WORDS, LINES, FIGURES = 220, 15, 1  # read in a minute
FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.+?)(?:\s+#+)?\s*$")


class Section(NamedTuple):
    """A heading, and what stands between it and the next one of any level."""

    level: int  # 1 for the title
    title: str  # Markdown, without the #
    cell: int  # index of the cell with the heading
    deeper: bool  # whether it may be skipped
    minutes: float


class Counts(NamedTuple):
    """How much code a reader meets, in non-blank lines, and how much prose beside it."""

    lines: int  # of code cells in sight
    shown: int  # of the library, by `show_source` or `exercise`
    words: int  # of Markdown cells
    longest_cell: int  # lines of the longest cell in sight
    longest_shown: int  # lines of the longest source that is shown


def in_sight(cell):
    """Whether this is a code cell whose source the reader sees."""
    return cell.cell_type == "code" and bool(cell.source.strip()) and not FOLDED & cell_tags(cell)


def sections(nb):
    """The `Section`s of a notebook, one for each heading; what stands before the first one is left out."""
    found, minutes, deeper_level = [], [], None
    for index, cell in enumerate(nb.cells):
        if cell.cell_type != "markdown":
            if found:
                minutes[-1] += code_minutes(cell)
            continue
        if CONTENTS in cell_tags(cell):
            continue
        for number, (heading, text) in enumerate(_parts(cell.source)):
            if heading:
                level, title = heading
                if deeper_level is None or level <= deeper_level:
                    first = not any(earlier for earlier, _ in _parts(cell.source)[:number])
                    deeper_level = level if first and "deeper" in cell_tags(cell) else None
                found.append(Section(level, title, index, deeper_level is not None, 0.0))
                minutes.append(0.0)
            if found:
                minutes[-1] += count_words(text) / WORDS
    return [section._replace(minutes=spent) for section, spent in zip(found, minutes, strict=True)]


def minutes(nb):
    """Reading minutes of (what everybody reads, the deeper sections)."""
    read = sections(nb)
    return tuple(sum(section.minutes for section in read if section.deeper is deeper) for deeper in (False, True))


def counts(nb):
    """The `Counts` of a notebook."""
    cells = [code_lines(cell.source) for cell in nb.cells if in_sight(cell)]
    shown = [code_lines(source) for cell in nb.cells for source in shown_sources(cell)]
    words = sum(count_words(cell.source) for cell in nb.cells if cell.cell_type == "markdown")
    return Counts(sum(cells), sum(shown), words, max(cells, default=0), max(shown, default=0))


def shown_sources(cell):
    """The sources of the library that a code cell displays."""
    outputs = [output for output in cell.get("outputs", []) if "source" in about(output)]
    return ["\n".join(_fenced(output.data["text/markdown"])) for output in outputs]


def code_minutes(cell):
    """Minutes that a code cell takes: its source where it is in sight, what it says and shows."""
    lines = sum(map(code_lines, [cell.source] * in_sight(cell) + shown_sources(cell)))
    words = figures = 0
    for output in cell.get("outputs", []):
        figures += "figure" in about(output)
        if "source" not in about(output):
            words += count_words(output.get("data", {}).get("text/markdown", ""))
    return lines / LINES + words / WORDS + figures / FIGURES


def code_lines(source):
    """Number of lines that are not blank."""
    return sum(bool(line.strip()) for line in source.splitlines())


def count_words(markdown):
    """Words of a Markdown text; code in fences counts for none, a formula within a line for one."""
    text = "\n".join(text for _, text in _parts(markdown))
    text = re.sub(r"\$\$.*?\$\$", " ", text, flags=re.S)
    text = re.sub(r"\$[^$\n]+\$", "formula", text)
    text = re.sub(r"<[^>]+>|\]\([^)]*\)", " ", text)  # tags, and where links lead
    return len(re.findall(r"\w[\w'’.\-]*", text))


def about(output):
    """What the library has noted about an output: {"figure": 3, "caption": "…"}, for example."""
    return output.get("metadata", {}).get("workbook", {})


def _parts(markdown):
    """[(heading, text under it), …] outside of fences; the heading is (level, title), at the beginning None."""
    parts, text, fence = [], [], None
    heading = None
    for line in markdown.splitlines():
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = None
        elif mark:
            fence = mark[1]
        elif found := HEADING.match(line):
            parts.append((heading, "\n".join(text)))
            heading, text = (len(found[1]), found[2]), []
        else:
            text.append(line)
    parts.append((heading, "\n".join(text)))
    return parts


def _fenced(markdown):
    """The lines of code in the fences of a Markdown text."""
    lines, inside = [], False
    for line in markdown.splitlines():
        if FENCE.match(line):
            inside = not inside
        elif inside:
            lines.append(line)
    return lines
