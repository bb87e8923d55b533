"""A notebook as one web page that works without the network and without scripts."""

import re
from pathlib import Path
from urllib.parse import quote

from nbconvert.exporters import HTMLExporter
from pygments.formatters import HtmlFormatter
from traitlets import default

from lib.workbook import contents, glossary, reading

from .back_matter import numbers
from .cells import results
from .formulas import displayed
from .page import Page
from .static_outputs import StaticOutputs
from .writing import run_facts, write

TEMPLATES = Path(__file__).parent / "templates"
CODE_COLOURS = "friendly"  # a style of Pygments
MARKED = {"contents", "deeper"}  # tags of notebooks whose reading times are shown


class HTMLReport(HTMLExporter):
    """nbconvert exporter: notebook to a web page of one file, for which no request leaves the machine.

    Pictures and films are embedded, films play, widgets show their last state. Formulas are MathML. Code of cells
    tagged `figure-code` is folded below the figure, the answer of a cell tagged `predict` with its outputs. In place of
    the cell tagged `contents` stands a navigation with reading minutes; entries of the glossary to which the text links
    stand at the end, and links to other notebooks lead to their pages, which lie in the same folder.

    Raises `ExportError`, naming the cell and the remedy, for formulas with unknown commands and for pictures
    that are missing or lie outside the notebook's folder.
    """

    export_from_notebook = "HTML (offline)"

    @default("template_name")
    def _template_name_default(self):
        return "workbook"

    @default("extra_template_basedirs")
    def _extra_template_basedirs_default(self):
        return [str(TEMPLATES)]

    @default("preprocessors")
    def _preprocessors_default(self):
        return [StaticOutputs(keep_films=True)]

    def from_notebook_node(self, nb, resources=None, **kw):
        """Return (the page as text, resources)."""
        resources = self._init_resources(resources)
        about = resources.get("metadata", {})
        page = Page(
            about.get("name") or "notebook",
            about.get("path") or ".",
            [(section.title, section.cell + 1) for section in reading.sections(nb)],
            glossary.used(nb),
        )
        filters = {
            "inline": page.inline,
            "description": page.description,
            "displayed": displayed,
            "markdown": page.markdown,
            "numbers": numbers,
            "output_html": page.output,
            "plain": page.plain,
            "results": results,
        }
        for name, function in filters.items():
            self.register_filter(name, function)
        resources["report"] = _report(nb, page)
        body, resources = super().from_notebook_node(nb, resources, **kw)
        return page.finish(body), resources


def _report(nb, page):
    """What stands around the cells."""
    about = nb.metadata.get("workbook", {})
    read = reading.sections(nb)
    tags = {tag for cell in nb.cells for tag in cell.metadata.get("tags", [])}
    minutes = dict(contents.entries(nb)) if MARKED & tags else {}
    title = about.get("title") or next((section.title for section in read if section.level == 1), page.name)
    number = about.get("number")
    entries = [
        {
            "level": section.level,
            "anchor": quote(name),
            "title": re.sub(r"</?a\b[^>]*>", "", text),
            "deeper": section.deeper and bool(minutes),
            "minutes": minutes.get(section),
        }
        for section, (name, text) in zip(read, page.headings, strict=True)
        if section.level <= 3
    ]
    return {
        "title": f"{number} {title}" if number else title,
        "made_by": " · ".join(map(str, [*(about.get("authors") or []), *filter(None, [about.get("date")])])),
        "facts": run_facts(about),
        "reading": contents.summary(nb) if minutes else "",
        "contents": entries,
        "glossary": [{"anchor": anchor, **glossary.entries()[anchor]._asdict()} for anchor in glossary.used(nb)],
        "code_colours": HtmlFormatter(style=CODE_COLOURS).get_style_defs(".highlight"),
    }


def export_html(nb_or_path, out_path, folder=None):
    """Write a notebook (a path or a notebook in memory) as a self-contained web page and return the path; see
    `HTMLReport`. Whole files and pictures: as with `export_pdf`.
    """
    return write(HTMLReport(), nb_or_path, out_path, folder)
