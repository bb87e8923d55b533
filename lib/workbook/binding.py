"""PDFs of notebooks bound to one: a table of contents, bookmarks, and links that lead from one notebook to another."""

import io
import re
from typing import NamedTuple

from nbformat.v4 import new_markdown_cell, new_notebook
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NullObject

from lib.storage.files import write_atomically
from lib.storage.paths import exports_folder
from lib.workbook.export import TypstPDFExporter
from lib.workbook.export.typeset import slug
from lib.workbook.notebooks import read, short, title

WHOLE = "workbook.pdf"
TITLE = "Recurrent and generative neural networks"
OTHER = re.compile(r"(\d\d_\w+)\.pdf(?:#(.*))?")  # where a link to another notebook leads in a printed one
RIGHT, BOTTOM, SIZE = 538.6, 34, 9  # pt: where the running page number ends, and its size
FONT = NameObject("/RunningNumber")


class Part(NamedTuple):
    """A PDF of its own that becomes a part of one: its bookmark, its content, and the name that links call it by."""

    title: str
    content: bytes
    name: str = ""


def bound(parts):
    """A `pypdf.PdfWriter` with all parts, one after the other.

    Links within a part lead to its pages, links to other notebooks to theirs: to the heading that is meant, or to the
    first page. Links to notebooks that are not among the parts are dropped.
    """
    writer, places = PdfWriter(), {}
    for part in parts:
        reader = PdfReader(io.BytesIO(part.content))
        _name_pages(reader)
        start = len(writer.pages)
        places[part.name, ""] = start, None
        for mark, _ in bookmarks(reader):
            page = start + reader.get_destination_page_number(mark)
            places.setdefault((part.name, slug(mark.title)), (page, mark.top))
        writer.append(reader, outline_item=part.title)
    for page in writer.pages:
        _lead_to_parts(page, places, writer.pages)
    return writer


def bookmarks(reader):
    """The bookmarks of a PDF: [(pypdf's destination, level from 0), …]."""

    def walk(entries, level):
        for entry in entries:
            if isinstance(entry, list):
                yield from walk(entry, level + 1)
            else:
                yield entry, level

    return list(walk(reader.outline, 0))


def _name_pages(reader):
    """Let links of a PDF name pages instead of places (in place), since the places of all parts have the same names."""
    places = reader.named_destinations
    for page in reader.pages:
        for link in page.get("/Annots") or []:
            link = link.get_object()
            if link.get("/Dest") in places:
                link[NameObject("/Dest")] = places[link["/Dest"]].dest_array


def _lead_to_parts(page, places, pages):
    """Let links of a page to other notebooks lead to their pages (in place)."""
    kept = ArrayObject()
    for annotation in page.get("/Annots") or []:
        link = annotation.get_object()
        address = OTHER.fullmatch(str(link.get("/A", {}).get("/URI", "")))
        if address:
            first = places.get((address[1], ""))
            number, top = places.get((address[1], slug(address[2] or "")), first) or (None, None)
            if number is None:
                continue
            del link["/A"]
            where = [
                pages[number].indirect_reference,
                NameObject("/XYZ"),
                NullObject(),
                top or NullObject(),
                NullObject(),
            ]
            link[NameObject("/Dest")] = ArrayObject(where)
        kept.append(annotation)
    if "/Annots" in page:
        page[NameObject("/Annots")] = kept


def write_or_remove_whole(paths, complete=True):
    """Bind the PDFs of these notebooks, which lie in `exports/`, to `exports/workbook.pdf`, and print its name; where
    they are not complete, remove that of an earlier run.
    """
    target = exports_folder() / WHOLE
    if target.is_file():
        target.unlink()
    if complete and paths:
        write_atomically(target, whole(paths))
        print(f"all of them in one: {short(target)}", flush=True)


def whole(paths):
    """The PDFs of these notebooks, which lie in `exports/`, as one with a table of contents: bytes."""
    parts = [
        Part(f"{path.name[:2]} {title(read(path))}", (exports_folder() / f"{path.stem}.pdf").read_bytes(), path.stem)
        for path in paths
    ]
    front = _contents(parts, 1)
    front = _contents(parts, len(PdfReader(io.BytesIO(front)).pages))
    writer = bound([Part("Contents", front), *parts])
    _number_pages(writer)
    writer.metadata = {"/Title": TITLE, "/Creator": "Typst, pypdf"}
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def _contents(parts, before):
    """The table of contents as a PDF, for parts that begin behind so many pages."""
    lines, page = ["| | page |", "|:---|---:|"], before + 1
    for part in parts:
        reader = PdfReader(io.BytesIO(part.content))
        lines.append(f"| **[{_plain(part.title)}]({part.name}.ipynb)** | **{page}** |")
        for mark, level in bookmarks(reader):
            if level == 0:
                number = page + reader.get_destination_page_number(mark)
                anchor = re.sub(r"\s", "-", mark.title).replace("(", "").replace(")", "")
                lines.append(f"| [{_plain(mark.title)}]({part.name}.ipynb#{anchor}) | {number} |")
        page += len(reader.pages)
    nb = new_notebook(cells=[new_markdown_cell("\n".join(lines))], metadata={"workbook": {"title": TITLE}})
    return TypstPDFExporter().from_notebook_node(nb)[0]


def _plain(text):
    """Text that Markdown leaves as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def _number_pages(writer):
    """Print the number of each page of the whole at its foot, beside the number that it has in its notebook."""
    kind = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = DictionaryObject({NameObject(key): NameObject(value) for key, value in kind.items()})
    for number, page in enumerate(writer.pages, 1):
        resources = page["/Resources"].get_object()
        resources.setdefault(NameObject("/Font"), DictionaryObject()).get_object()[FONT] = font
        left = RIGHT - len(str(number)) * SIZE * 0.556  # the width of Helvetica's digits
        text = f"Q BT 0.43 g {FONT} {SIZE} Tf {left:.2f} {BOTTOM} Td ({number}) Tj ET"
        contents = page["/Contents"]
        contents = [*contents] if isinstance(contents, ArrayObject) else [page.raw_get("/Contents")]
        page[NameObject("/Contents")] = ArrayObject([_stream("q"), *contents, _stream(text)])


def _stream(code):
    stream = DecodedStreamObject()
    stream.set_data(code.encode())
    return stream
