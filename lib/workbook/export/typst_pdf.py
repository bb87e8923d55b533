"""The exporters of the workbook: a notebook as a PDF (nbconvert → pandoc → Typst) and as a web page.

Only pip packages are used (pypandoc-binary, typst, matplotlib's fonts), no LaTeX, no browser and no network, so that
the same notebook gives the same PDF on Linux, macOS and Windows.
"""

import base64
import os
import re
import tempfile
from pathlib import Path

import nbformat
import typst
from nbconvert.exporters import Exporter, HTMLExporter
from nbconvert.filters import strip_ansi
from pandocfilters import stringify
from traitlets import Unicode, default

from .pandoc import array, quote, raw
from .static_outputs import StaticOutputs
from .template import PREAMBLE, fonts
from .typeset import Typesetter, slug, verbatim

PICTURES = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg"}
FILM = "The film plays in the notebook."
OWN_TITLE_PAGE = 4  # headings; a shorter document begins below its title
CONTENTS_LINES = 36  # what fits on the title page


class TypstPDFExporter(Exporter):
    """nbconvert exporter: notebook to PDF, ready to print.

    The title page is made from `nb.metadata["workbook"]`, whose keys are all optional: title, subtitle, authors (list),
    date, number, profile, device, seconds, versions (name → version). Without a title the first `# heading` is the
    title. Only a given date is printed, so that the same notebook always gives the same file, byte for byte.

    An output with `metadata["workbook"] = {"figure": 3, "caption": "Markdown"}` (or `"table": 2`) becomes a numbered
    figure (table) with that caption; the output that shows the caption in the notebook (`{"caption_of": 3, "kind":
    "figure"}` or `"table"`) is not printed again. Of cells tagged `hide-input` only the outputs are printed.

    Raises `ExportError`, naming the cell and the remedy, for formulas with unknown commands and for missing pictures.
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
        return self._compile(setter, source), resources

    def typst_source(self, nb, resources=None):
        """The Typst code of the whole document, as it is compiled."""
        return self._typeset(*super().from_notebook_node(nb, resources=resources))[1]

    def _typeset(self, nb, resources):
        about = resources.get("metadata", {})
        setter = Typesetter(about.get("name") or "notebook", about.get("path") or ".")
        blocks = []
        for setter.cell, cell in enumerate(nb.cells, 1):
            blocks += [raw(f"// cell {setter.cell}"), *_cell(setter, cell)]
        setter.cell = 0
        blocks = _title_block(setter, nb.metadata, blocks) + blocks
        return setter, self.preamble + setter.typst(blocks)

    def _compile(self, setter, source):
        with tempfile.TemporaryDirectory() as folder:
            for name, data in setter.pictures.items():
                Path(folder, name).write_bytes(data)
            main = Path(folder, "document.typ")

            def pdf(code):
                main.write_text(code, "utf-8")
                return typst.compile(str(main), root=folder, font_paths=fonts(), ignore_system_fonts=True)

            def compiles(formula):
                try:
                    return bool(pdf(self.preamble + formula))
                except typst.TypstError:
                    return False

            try:
                return pdf(source)
            except typst.TypstError as error:
                setter.formulas.blame(compiles, setter.fail)
                line = re.search(r"document\.typ:(\d+)", error.diagnostic)
                before = source.split("\n")[: int(line[1])] if line else []
                cell = next((int(text[8:]) for text in reversed(before) if re.fullmatch(r"// cell \d+", text)), 0)
                setter.fail(f"Typst cannot print it: {error.message}", cell)


def _cell(setter, cell):
    if cell.cell_type == "markdown":
        setter.attachments = cell.get("attachments", {})
        return setter.markdown(cell.source)
    if cell.cell_type != "code":
        return []
    hidden = "hide-input" in cell.metadata.get("tags", []) or not cell.source.strip()
    blocks = [] if hidden else [verbatim("input", cell.source, "python", sticky=bool(cell.outputs))]
    about = [output.get("metadata", {}).get("workbook", {}) for output in cell.outputs]
    numbered = {(kind, a[kind]) for a in about for kind in ("figure", "table") if kind in a}
    for output, a in zip(cell.outputs, about, strict=True):
        if (a.get("kind", "figure"), a.get("caption_of")) not in numbered:
            blocks += _output(setter, output, a)
    return blocks


def _output(setter, output, about):
    if output.output_type == "stream":
        return [verbatim("warning" if output.name == "stderr" else "output", strip_ansi(output.text))]
    if output.output_type == "error":
        return [verbatim("error", strip_ansi("\n".join(output.traceback) or f"{output.ename}: {output.evalue}"))]
    if "note" in about:
        return [raw(f"#note({quote(about['note'])})")]
    body = _data(setter, output)
    caption = about.get("caption", "") + (f" *({FILM})*" if about.get("film") else "")
    if "figure" in about:
        return _numbered("figure", about["figure"], body, setter.markdown(caption))
    if "table" in about:
        return _numbered("table", about["table"], body, setter.markdown(caption))
    return body + ([raw(f"#note({quote(f'({FILM})')})")] if about.get("film") else [])


def _numbered(kind, number, body, caption):
    label = quote(f"{kind.title()} {number}.")
    return [raw(f"#numbered-{kind}({label}, ["), *body, raw("], ["), *caption, raw("])")]


def _data(setter, output):
    """The best printable form of what a cell displays."""
    data = output.data
    if "text/markdown" in data:
        return setter.markdown(data["text/markdown"])
    if "text/latex" in data:
        tex = data["text/latex"].strip()
        return setter.markdown(re.sub(r"^\$+\s*(?:\\displaystyle)?(.*?)\$+$", r"$$\1$$", tex, flags=re.S))
    for mime, kind in PICTURES.items():
        if mime in data:
            content = data[mime].encode() if kind == "svg" else base64.b64decode(data[mime])
            picture = setter.picture(content, kind, output.metadata.get(mime, {}).get("width"))
            return [raw("#" + picture.replace("image(", "picture(", 1))]
    if blocks := setter.html(data.get("text/html", "")):
        return blocks
    plain = re.sub(r"<IPython\.core\.display\.\w+ object>", "", data.get("text/plain", ""))
    return [verbatim("output", plain)] if plain else []


def _title_block(setter, metadata, blocks):
    """The blocks of the title; the heading that says the same leaves `blocks`, and the others move up (in place)."""
    about = metadata.get("workbook", {})
    headings = [block for block in blocks if block["t"] == "Header"]
    first = next((block for block in headings if block["c"][0] == 1), None)
    title = about.get("title") or metadata.get("title") or ("" if first else setter.name)
    title = setter.inline(title) if title else first["c"][2]
    if first and slug(stringify(first["c"][2])).lstrip("0123456789") == slug(stringify(title)).lstrip("0123456789"):
        headings.remove(first)
        blocks[blocks.index(first)] = raw(f"#metadata(none)<{first['c'][1][0]}>")  # links may still lead here
    if headings and min(block["c"][0] for block in headings) > 1:
        for block in headings:
            block["c"][0] -= 1
    number = "" if about.get("number") is None else str(about["number"])
    if number and stringify(title[:1]).rstrip(".:").lstrip("0") == number.lstrip("0"):
        title = title[2:]  # the number stands above it

    own_page = len(headings) >= OWN_TITLE_PAGE
    depth = 2 if sum(block["c"][0] <= 2 for block in headings) <= CONTENTS_LINES else 1
    versions = ", ".join(f"{name} {version}" for name, version in sorted((about.get("versions") or {}).items()))
    facts = {
        "Profile": about.get("profile"),
        "Device": about.get("device"),
        "Run time": _duration(about.get("seconds")),
        "Versions": versions,
    }
    facts = array(f"({quote(name)}, {quote(str(fact))})" for name, fact in facts.items() if fact)
    authors = array(quote(str(author)) for author in about.get("authors") or [])
    over = quote(f"Notebook {number}") if number else "none"
    date = quote(str(about["date"])) if about.get("date") else "none"
    subtitle = setter.inline(about.get("subtitle") or "")
    end = [raw("], ["), {"t": "Plain", "c": subtitle}, raw("])")] if subtitle else [raw("], none)")]
    plain = setter.as_written(title).replace("$", "")
    return [
        raw(f"#set document(title: {quote(plain)}, author: {authors}, date: none)"),
        raw(f"#title-block({over}, {authors}, {date}, {facts}, {depth if own_page else 0}, {str(own_page).lower()}, ["),
        {"t": "Plain", "c": title},
        *end,
    ]


def _duration(seconds):
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def export_pdf(nb_or_path, out_path):
    """Write a notebook (a path or a notebook in memory) as a PDF and return the path; see `TypstPDFExporter`.

    The file appears as a whole or, after an `ExportError`, not at all. Pictures named in the text are looked for beside
    the notebook, for a notebook in memory in the working directory.
    """
    return _write(TypstPDFExporter(), nb_or_path, out_path)


def export_html(nb_or_path, out_path):
    """Write a notebook (a path or a notebook in memory) as one self-contained web page and return the path.

    Pictures and films are embedded, films play, and widgets are frozen as in the PDF. Only formulas need the network:
    like all of nbconvert's, the page loads MathJax from a content delivery network, and it shows LaTeX code without it.
    """
    static = StaticOutputs(keep_films=True)
    exporter = HTMLExporter(template_name="lab", embed_images=True, require_js_url="", preprocessors=[static])
    return _write(exporter, nb_or_path, out_path)


def _write(exporter, nb_or_path, out_path):
    out = Path(out_path)
    if isinstance(nb_or_path, (str, os.PathLike)):
        path = Path(nb_or_path)
        nb, resources = nbformat.read(path, as_version=4), {"metadata": {"name": path.stem, "path": str(path.parent)}}
    else:
        nb, resources = nb_or_path, {"metadata": {"name": out.stem, "path": "."}}
    body, _ = exporter.from_notebook_node(nb, resources=resources)
    if isinstance(body, str):
        body = body.replace('<script src=""></script>', "").encode()  # RequireJS, which nothing here uses
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        part.write_bytes(body)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return out
