"""One PDF of all notebooks that are handed in: a cover, bookmarks, and page numbers that go on throughout."""

import io
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook
from pypdf import PdfReader

from lib.workbook.binding import Part, bound
from lib.workbook.export import ExportError, TypstPDFExporter
from lib.workbook.export.template import PREAMBLE
from lib.workbook.notebooks import UsageError


@dataclass(frozen=True)
class Report:
    """An executed notebook that is handed in: number, title, and the notebook with its title page's facts."""

    number: str
    title: str
    path: Path
    nb: nbformat.NotebookNode


def merged_pdf(reports, people, sheet, date):
    """The reports behind a cover that names the members and lists the notebooks, their pages numbered throughout.

    Returns:
        (the PDF as bytes, the first page of each report and, last, of what would follow)

    Raises:
        UsageError: a notebook cannot be printed.
    """
    counts = [len(PdfReader(io.BytesIO(_pdf(report.nb, "", report.path))).pages) for report in reports]
    first = list(itertools.accumulate(counts, initial=2))  # the cover is page 1; the last entry is one past the end
    total = first[-1] - 1
    parts = [_pdf(_cover(reports, people, sheet, date, first), "\n#set page(footer: none)\n")]
    parts += [
        _pdf(report.nb, _page_numbers(start, total), report.path) for report, start in zip(reports, first, strict=False)
    ]
    stems = ["", *(report.path.stem for report in reports)]
    titles = ["Cover", *(f"{report.number} {report.title}" for report in reports)]
    writer = bound([Part(*part) for part in zip(titles, parts, stems, strict=True)])
    writer.compress_identical_objects()  # every part brings the same fonts
    names = ", ".join(person.name for person in people)
    writer.metadata = {"/Title": _title(sheet), "/Author": names, "/Creator": "Typst, pypdf"}
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue(), first


def _title(sheet):
    return "All sheets" if sheet.strip().lower() == "all" else f"Sheet {sheet.strip().upper()}"


def _pdf(nb, preamble, path=None):
    """One part as bytes; pictures named in its text are looked for beside the notebook."""
    about = {"metadata": {"name": path.stem, "path": str(path.parent)}} if path else {}
    try:
        return TypstPDFExporter(preamble=PREAMBLE + preamble).from_notebook_node(nb, resources=about)[0]
    except Exception as error:  # damaged outputs and pictures raise nearly anything
        reason = str(error) if isinstance(error, ExportError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{path.name if path else 'the cover'} cannot be printed: {reason}") from error


def _page_numbers(first, total):
    """Typst code for numbers that go on from one part to the next."""
    return f"""
#set page(footer: context if here().page() > 1 or not own-title-page.final() {{
  set text(size: 9pt, fill: faint)
  align(center, counter(page).display() + " / {total}")
}})
#counter(page).update({first})
"""


def _cover(reports, people, sheet, date, first):
    lines = ["## Handed in by", "", "| name | matriculation number | e-mail |", "|:---|:---|:---|"]
    for person in people:
        lines.append("| " + " | ".join(map(_escaped, (person.name, person.matriculation, person.email))) + " |")
    lines += ["", "## Notebooks", "", "| number | title | pages |", "|:---|:---|:---|"]
    for report, (start, end) in zip(reports, itertools.pairwise(first), strict=True):
        lines.append(f"| {report.number} | {_escaped(report.title)} | {page_span(start, end)} |")
    about = {"title": _title(sheet), "subtitle": "Recurrent and generative neural networks: a hands-on workbook"}
    about |= {"authors": [person.name for person in people], "date": date}
    return new_notebook(cells=[new_markdown_cell("\n".join(lines))], metadata={"workbook": about})


def page_span(first, behind):
    """Pages from the first to the one before `behind`."""
    return f"{first}–{behind - 1}" if behind - first > 1 else f"{first}"


def _escaped(text):
    """Text that Markdown leaves as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
