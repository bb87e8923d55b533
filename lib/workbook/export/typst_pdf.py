"""A notebook as a PDF: nbconvert → pandoc → Typst.

Only pip packages are used (pypandoc-binary, typst, matplotlib's fonts), no LaTeX, no browser and no network, so that
the same notebook gives the same PDF on Linux, macOS and Windows; only characters that these fonts lack are looked for
in those of the machine.
"""

import re
import tempfile
from pathlib import Path

import typst
from nbconvert.exporters import Exporter
from traitlets import Unicode, default

from . import cells
from .back_matter import appendix_blocks, glossary_blocks
from .fonts import compiled
from .pandoc import raw
from .placing import arrange
from .static_outputs import StaticOutputs
from .template import PREAMBLE
from .title import title_block
from .typeset import NESTED, Typesetter
from .writing import write


class TypstPDFExporter(Exporter):
    """nbconvert exporter: notebook to PDF, ready to print.

    The title page is made from `nb.metadata["workbook"]`, whose keys are all optional: title, subtitle, authors (list),
    date, number, profile, device, seconds, versions (name → version). Without a title the first `# heading` is the
    title. Only a given date is printed, so that the same notebook always gives the same file, byte for byte. Contents
    show reading minutes where the notebook tells its core path from deeper sections (see `lib.workbook.reading`).

    An output with `metadata["workbook"] = {"figure": 3, "caption": "Markdown"}` (or `"table": 2`) becomes a numbered
    figure (table) with that caption; the output that shows the caption in the notebook (`{"caption_of": 3, "kind":
    "figure"}` or `"table"`) is not printed again. A figure or table for which the rest of its page is too small stands
    at the top of the next one, and the text goes on above it. The code of cells tagged `figure-code` or `predict` is
    printed after the text, in an appendix.

    Raises `ExportError`, naming the cell and the remedy, for formulas with unknown commands and for pictures
    that are missing or lie outside the notebook's folder.
    """

    export_from_notebook = "PDF (Typst)"
    output_mimetype = "application/pdf"
    preamble = Unicode(PREAMBLE, help="Typst code put before the document").tag(config=True)

    @default("file_extension")
    def _file_extension_default(self):
        return ".pdf"

    @default("preprocessors")
    def _preprocessors_default(self):
        return [StaticOutputs]

    def from_notebook_node(self, nb, resources=None, **kw):
        """Return (the PDF as bytes, resources)."""
        nb, resources = super().from_notebook_node(nb, resources=resources, **kw)
        setter, source = self._typeset(nb, resources)
        with tempfile.TemporaryDirectory() as folder:
            return self._compile(setter, source, Path(folder)), resources

    def typst_source(self, nb, resources=None):
        """The Typst code of the whole document, as it is compiled."""
        return self._typeset(*super().from_notebook_node(nb, resources=resources))[1]

    def write_source(self, nb, folder, resources=None):
        """Write the document with its pictures into an empty folder, ready for Typst, and return its main file."""
        setter, source = self._typeset(*super().from_notebook_node(nb, resources=resources))
        return _written(setter, source, Path(folder))

    def _typeset(self, nb, resources):
        about = resources.get("metadata", {})
        setter = Typesetter(about.get("name") or "notebook", about.get("path") or ".")

        def each(function):
            for n, cell in enumerate(nb.cells, 1):
                setter.place = f"cell {n}"
                try:
                    yield setter.place, function(cell)
                except (AttributeError, KeyError, TypeError, ValueError):  # such as metadata of another form
                    setter.fail("what it displays is damaged; run the notebook again")

        setter.read((place, *text) for place, texts in [*each(cells.texts)] for text in texts)
        printed = [blocks for _, blocks in each(lambda cell: cells.blocks(setter, cell))]
        setter.place = "title page"
        blocks = title_block(setter, nb, printed)
        for n, of_cell in enumerate(printed, 1):
            blocks += [raw(f"// cell {n}"), *of_cell]
        setter.place = "glossary"
        blocks += [raw("// glossary"), *glossary_blocks(setter, nb)]
        setter.place = "appendix"
        blocks += [raw("// appendix"), *appendix_blocks(setter, nb)]
        return setter, self.preamble + setter.typst(blocks)

    def _compile(self, setter, source, folder):
        main = _written(setter, source, folder)

        def problem(code):
            try:
                main.write_text(self.preamble + code, "utf-8")
                compiled(main, "", folder, setter.name)
            except typst.TypstError as error:
                return error.message
            return None

        try:
            return compiled(main, source, folder, setter.name)
        except typst.TypstError as error:
            setter.formulas.blame(lambda formula: problem(formula) is None, setter.fail)
            parts = re.split(r"^// (cell \d+|glossary|appendix)$", source.removeprefix(self.preamble), flags=re.M)
            places = zip(["title page", *parts[1::2]], parts[::2], strict=True)
            place = next((place for place, code in places if problem(code) == error.message), "title page")
            deep = re.search("maximum .* depth", error.message)
            setter.fail(NESTED if deep else f"Typst cannot print it: {error.message}", place)


def _written(setter, source, folder):
    for name, data in setter.pictures.items():
        Path(folder, name).write_bytes(data)
    main = Path(folder, "document.typ")
    main.write_text(source, "utf-8")
    arrange(main)
    return main


def export_pdf(nb_or_path, out_path, folder=None):
    """Write a notebook (a path or a notebook in memory) as a PDF and return the path; see `TypstPDFExporter`.

    The file appears as a whole or, after an `ExportError`, not at all. Pictures named in the text are looked for in
    `folder`, by default beside the notebook, for a notebook in memory in the working directory.
    """
    return write(TypstPDFExporter(), nb_or_path, out_path, folder)
