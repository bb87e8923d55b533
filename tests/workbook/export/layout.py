"""What the pages of a printed notebook look like, measured: white space, headings at the foot, tables torn apart.

`python tests/workbook/export/layout.py [notebook …]` prints the measures of these or of all notebooks of the workbook.
"""

import io
import json
import re
import sys
import tempfile
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import typst
from PIL import Image

from lib.storage.paths import ROOT
from lib.workbook.export import TypstPDFExporter
from lib.workbook.export.template import PREAMBLE, TEXT_HEIGHT, fonts

PPI = 36  # half a pixel a point
MARGIN = 56.7  # pt, 20 mm
GAP = 0.25  # of the text's height: more white space than this is a fault
FOOT = 0.08  # of the text's height, from below: no heading begins there
ROWS = 3  # a table has at least so many on a page

# Put between template and document: where figures are called for, where they stand, and every row of a table.
MARKS = r"""
#let marked(plain) = (label, body, ..rest) => {
  [#metadata(label)<anchor>]
  plain(label, [#metadata(label)<floated>#body], ..rest)
}
#let (numbered-figure, numbered-table) = (marked(numbered-figure), marked(numbered-table))
#let plain-table = data-table
#let data-table(size, widths, header-rows, ..rest) = {
  [#metadata((header: header-rows))<row>]
  show table.cell: it => { [#metadata((row: it.y))<row>]; it }
  plain-table(size, widths, header-rows, ..rest)
}
"""
# Put after the document.
REPORT = r"""
#context [#metadata({
  let page(it) = it.location().page()
  let places(label) = query(label).map(it => (it.value, page(it)))
  (
    title: if own-title-page.final() { 1 } else { 0 },
    appendix: query(<appendix>).map(page),
    end: query(<end>).map(page),
    headings: query(heading).map(it => (page(it), it.location().position().y.pt())),
    anchors: places(<anchor>), floated: places(<floated>), rows: places(<row>),
    order: query(<floated>).map(it => (it.value, page(it), it.location().position().y.pt())),
  )
})<report>]
"""


class Layout(NamedTuple):
    """Measures of one document; pages count from 1."""

    text: int  # pages before the appendix
    appendix: int  # pages of the appendix
    gaps: list  # (page, share of the text's height that is white in one piece), where it is a fault
    low_headings: list  # pages with a heading at the foot
    torn_tables: list  # (page, rows) where a table has fewer than three rows on a page
    overtaken: list  # figures and tables that stand below one that comes later in the notebook
    farthest: int  # largest number of pages between a figure and the place that it belongs to
    whitest: float  # largest share of white space on a page that is not exempt

    @property
    def faults(self):
        """What must not be, in words."""
        said = [f"page {page}: {share:.0%} of the page is white" for page, share in self.gaps]
        said += [f"page {page}: a heading at the foot" for page in self.low_headings]
        said += [f"page {page}: a table with {rows} rows there" for page, rows in self.torn_tables]
        return said + [f"{label} stands below a later one" for label in self.overtaken]


def layout(nb, name="notebook", folder="."):
    """Measure a notebook as it is exported; `folder` is where its pictures lie. Returns a `Layout`."""
    with tempfile.TemporaryDirectory() as place:
        main = TypstPDFExporter().write_source(nb, place, {"metadata": {"name": name, "path": str(folder)}})
        return measured(main)


def measured(main):
    """Measure a Typst document that begins with the template; what is measured is added to the file."""
    body = main.read_text("utf-8").removeprefix(PREAMBLE)
    body = re.sub(r"^// appendix$", "#block(height: 0pt, spacing: 0pt)[#metadata(none)<end>]", body, flags=re.M)
    main.write_text(PREAMBLE + MARKS + body + REPORT, "utf-8")
    compiler = typst.Compiler(str(main), root=str(main.parent), font_paths=fonts(), ignore_system_fonts=True)
    files = compiler.compile(format="png", ppi=PPI)  # of a single page not a list
    pages = [
        np.asarray(Image.open(io.BytesIO(png)).convert("L")) for png in ([files] if isinstance(files, bytes) else files)
    ]
    report = json.loads(compiler.query("<report>"))[0]["value"]
    text = report["appendix"][0] - 1 if report["appendix"] else len(pages)
    # After the end of the text stand the figures that it has left over.
    exempt = {report["title"], *range(max(report["end"], default=text), text + 1), len(pages)}
    white = {page: _white(pixels) for page, pixels in enumerate(pages, 1) if page not in exempt}
    floated = dict(report["floated"])
    distances = [(label, floated[label] - page) for label, page in report["anchors"]]
    standing = [label for label, *_ in sorted(report["order"], key=itemgetter(1, 2))]
    return Layout(
        text,
        len(pages) - text,
        [(page, share) for page, share in white.items() if share > GAP],
        [page for page, y in report["headings"] if y > MARGIN + (1 - FOOT) * TEXT_HEIGHT],
        torn(report["rows"]),
        overtaken([label for label, _ in report["anchors"]], standing),
        max((pages for _, pages in distances), default=0),
        max(white.values(), default=0.0),
    )


def _white(pixels):
    """The longest run of white rows as a share of the text's height."""
    scale = PPI / 72
    rows = (pixels[round(MARGIN * scale) : round((MARGIN + TEXT_HEIGHT) * scale)] < 252).any(axis=1)
    edges = np.flatnonzero(np.concatenate([[True], rows, [True]]))
    return float((np.diff(edges).max() - 1) / len(rows))


def overtaken(called, standing):
    """Of labels in the order in which a notebook has them those that stand below a later one on the pages."""
    number = {label: n for n, label in enumerate(called)}
    return [label for n, label in enumerate(standing) if any(number[label] < number[above] for above in standing[:n])]


def torn(marks):
    """(page, rows) of every table that has fewer than three rows on a page and others elsewhere."""
    tables = []
    for value, page in marks:
        if "header" in value:
            tables.append((value["header"], {}))
        elif value["row"] >= tables[-1][0]:
            tables[-1][1].setdefault(page, set()).add(value["row"])
    return [(page, len(rows)) for _, on in tables if len(on) > 1 for page, rows in on.items() if len(rows) < ROWS]


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted((ROOT / "notebooks").glob("*.ipynb"))):
        found = layout(nbformat.read(path, 4), path.stem, path.parent)
        print(
            f"{path.stem}: {found.text} pages and {found.appendix} of appendix; whitest page {found.whitest:.0%}; "
            f"figures at most {found.farthest} pages away; {'; '.join(found.faults) or 'no faults'}",
            flush=True,
        )
