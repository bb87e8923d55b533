"""What is handed in: who hands in which sheet, one PDF of its notebooks, and an archive in which they run again."""

import datetime
import io
import itertools
import os
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from lib.checkpoints import CheckpointError, write_atomically
from lib.export import ExportError, TypstPDFExporter
from lib.export.template import PREAMBLE
from lib.paths import ROOT, checkpoints_folder, exports_folder

SHEETS = {"A": "01", "B": "02,03", "C": "04,05", "D": "06,07,08", "E": "09,10"}  # numbers of the notebooks
MAX_MEMBERS = 3
FEEDBACK = "feedback.md"
FILES = (FEEDBACK, "README.md", "Makefile", "pyproject.toml", "requirements.txt", "environment.yml", "data/tale.txt")
FOLDERS = ("lib", "tests", "cluster", "docs")
CODE = {"", ".py", ".js", ".css", ".html", ".md", ".yaml", ".yml", ".toml", ".sh", ".sbatch", ".def"}
PICTURES = {".png", ".jpg", ".jpeg", ".svg", ".gif"}
STORED = {".safetensors", ".json"}
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}  # on Windows
FOLDED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae"}
    | {"ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "þ": "th", "Þ": "Th"}
)


class SubmissionError(ValueError):
    """Something that is needed for handing in is missing or malformed; the message names it and the remedy."""


# --- who hands in what ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """One of those who hand in together; `surname` is the part of the name that the files are named after."""

    name: str
    surname: str
    matriculation: str
    email: str


def members(names, matriculations, emails):
    """One to three members from three texts, in each of which semicolons separate the members.

    A name is written "Given names Surname". Its last word is the surname, together with the words in lower case right
    before it ("Ada van der Berg": van der Berg). Any other surname is said by "Surname, Given names".

    Raises:
        SubmissionError: an entry is missing or malformed, or their numbers differ.
    """
    lists = {
        "NAME": _entries("NAME", names, "Ada Lovelace; Alan Turing"),
        "MATRICULATION": _entries("MATRICULATION", matriculations, "1234567; 1234568"),
        "EMAIL": _entries("EMAIL", emails, "ada@uni.example; alan@uni.example"),
    }
    counts = {variable: len(entries) for variable, entries in lists.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} in {variable}" for variable, count in counts.items())
        raise SubmissionError(f"every member needs a name, a number and an address, but there are {found}")
    if counts["NAME"] > MAX_MEMBERS:
        raise SubmissionError(f"{counts['NAME']} members in NAME: at most {MAX_MEMBERS} may hand in together")
    people = [_member(*entries) for entries in zip(*lists.values(), strict=True)]
    for variable, values in (
        ("MATRICULATION", [person.matriculation for person in people]),
        ("EMAIL", [person.email for person in people]),
    ):
        if twice := [value for value in values if values.count(value) > 1]:
            raise SubmissionError(f"{twice[0]} stands twice in {variable}: every member has one of their own")
    return people


def _entries(variable, text, example):
    text = unicodedata.normalize("NFC", text or "")
    if not text.strip():
        option = f"--{variable.lower()}"
        raise SubmissionError(
            f'{variable} is missing: add {variable}="{example}" (without make: {option} "…"), one to three members'
        )
    entries = [" ".join(entry.split()) for entry in text.removesuffix(";").split(";")]
    if not all(entries):
        raise SubmissionError(f'{variable} has an empty place beside a semicolon: {text!r}; write it as "{example}"')
    return entries


def _member(name, matriculation, email):
    last, comma, first = (part.strip() for part in name.partition(","))
    if not all(_is_name(part) for part in ([last, first] if comma else [last])):
        raise SubmissionError(
            f'NAME: {name!r} is no name: letters, blanks, hyphens, apostrophes and full stops, as in "Ada Lovelace" or '
            '"García Márquez, Gabriel"; semicolons separate members'
        )
    if not re.fullmatch(r"(?=.*\d)[A-Za-z0-9]+(-[A-Za-z0-9]+)*", matriculation) or len(matriculation) > 20:
        raise SubmissionError(
            f"MATRICULATION: {matriculation!r} is no matriculation number: digits, and letters or hyphens where your "
            "university has them, at most 20"
        )
    if not re.fullmatch(r"[\w.!#$%&'*+/=?^`{}~-]+@\w+([.-]\w+)*", email) or len(email) > 100:
        raise SubmissionError(f"EMAIL: {email!r} is no e-mail address: write it as ada@uni.example")
    return Member(f"{first} {last}" if comma else last, last if comma else _surname(last), matriculation, email)


def _is_name(text):
    letters = [char for char in text if unicodedata.category(char)[0] in "LM"]
    return bool(letters) and len(text) <= 80 and not set(text) - {*letters, *" -'’."}


def _surname(name):
    words = name.split()
    start = len(words) - 1
    while start > 1 and words[start - 1].islower():
        start -= 1
    return " ".join(words[start:])


def file_stem(member):
    """`Surname-Matriculation`, in letters that every system and upload form can handle: "Müller-Lüdenscheidt" becomes
    Mueller-Luedenscheidt, "van der Berg" van-der-Berg, "Núñez" Nunez; letters of other scripts stay.
    """
    surname = unicodedata.normalize("NFC", member.surname).translate(FOLDED)
    bases = (unicodedata.normalize("NFKD", char)[0] for char in surname)
    plain = "".join(base if base.isascii() else char for base, char in zip(bases, surname, strict=True))
    plain = re.sub(r"[\s-]+", "-", re.sub(r"['’.]", "", plain)).strip("-")
    return f"{plain}-{member.matriculation}"


def pdf_name(wanted, stem):
    """Name of the PDF: the wanted one, if any, else `stem`.pdf.

    Raises:
        SubmissionError: the name is none that every system accepts.
    """
    name = unicodedata.normalize("NFC", (wanted or "").strip()) or f"{stem}.pdf"
    if (
        not re.fullmatch(r"[\w(][\w ()+,.-]*\.pdf", name)
        or len(name) > 100
        or name.split(".")[0].strip().lower() in RESERVED
    ):
        raise SubmissionError(
            f"PDF_NAME: {name!r} cannot be the name of the PDF on every system: letters, digits, blanks, hyphens and "
            "underscores, ending in .pdf, as in submission.pdf"
        )
    return name


def notebooks_of(sheet, found):
    """Paths of the notebooks of a sheet ("A" … "E" or "all"), of those found (number → path).

    Raises:
        SubmissionError: there is no such sheet, or some of its notebooks are missing.
    """
    letter = (sheet or "").strip().upper()
    numbers = ",".join(SHEETS.values()) if letter == "ALL" else SHEETS.get(letter)
    known = "; ".join(f"{letter}: {numbers.replace(',', ', ')}" for letter, numbers in SHEETS.items())
    if not letter:
        raise SubmissionError(
            f"SHEET is missing: add SHEET=A … E or SHEET=all (without make: --sheet A); their notebooks: {known}"
        )
    if numbers is None:
        raise SubmissionError(f"there is no sheet {sheet!r}: the sheets are {', '.join(SHEETS)} and all ({known})")
    numbers = numbers.split(",")
    if missing := [number for number in numbers if number not in found]:
        complete = [letter for letter, numbers in SHEETS.items() if set(numbers.split(",")) <= set(found)]
        raise SubmissionError(
            f"SHEET={sheet.strip()} cannot be handed in, notebook {', '.join(missing)} is missing from the folder "
            f"notebooks: bring it back (git checkout notebooks); complete here: {', '.join(complete) or 'no sheet'}"
        )
    return [found[number] for number in numbers]


def check_files():
    """Raise SubmissionError if a file is missing without which the archive would be incomplete."""
    if missing := [name for name in FILES if not (ROOT / name).is_file()]:
        raise SubmissionError(f"{', '.join(missing)} is missing: bring it back (git checkout {' '.join(missing)})")


# --- one PDF --------------------------------------------------------------------------------------------------------


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
        SubmissionError: a notebook cannot be printed.
    """
    from pypdf import PdfReader, PdfWriter

    counts = [len(PdfReader(io.BytesIO(_pdf(report.nb, "", report.path))).pages) for report in reports]
    first = list(itertools.accumulate(counts, initial=2))  # the cover is page 1; the last entry is one past the end
    total = first[-1] - 1
    parts = [_pdf(_cover(reports, people, sheet, date, first), "\n#set page(footer: none)\n")]
    parts += [
        _pdf(report.nb, _page_numbers(start, total), report.path) for report, start in zip(reports, first, strict=False)
    ]
    writer = PdfWriter()
    titles = ["Cover", *(f"{report.number} {report.title}" for report in reports)]
    for part, title in zip(parts, titles, strict=True):
        writer.append(_with_own_places(PdfReader(io.BytesIO(part))), outline_item=title)
    writer.compress_identical_objects()  # every part brings the same fonts
    names = ", ".join(person.name for person in people)
    writer.metadata = {"/Title": _title(sheet), "/Author": names, "/Creator": "Typst, pypdf"}
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue(), first


def _with_own_places(reader):
    """A PDF whose links name pages instead of places, since the places of all parts have the same names."""
    from pypdf.generic import NameObject

    places = reader.named_destinations
    for page in reader.pages:
        for link in page.get("/Annots") or []:
            link = link.get_object()
            if link.get("/Dest") in places:
                link[NameObject("/Dest")] = places[link["/Dest"]].dest_array
    return reader


def _title(sheet):
    return "All sheets" if sheet.strip().lower() == "all" else f"Sheet {sheet.strip().upper()}"


def _pdf(nb, preamble, path=None):
    """One part as bytes; pictures named in its text are looked for beside the notebook."""
    about = {"metadata": {"name": path.stem, "path": str(path.parent)}} if path else {}
    try:
        return TypstPDFExporter(preamble=PREAMBLE + preamble).from_notebook_node(nb, resources=about)[0]
    except ExportError as error:
        raise SubmissionError(f"{path.name if path else 'the cover'} cannot be printed: {error}") from error


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
        lines.append(f"| {report.number} | {_escaped(report.title)} | {_span(start, end)} |")
    about = {"title": _title(sheet), "subtitle": "Recurrent and generative neural networks: a hands-on workbook"}
    about |= {"authors": [person.name for person in people], "date": date}
    return new_notebook(cells=[new_markdown_cell("\n".join(lines))], metadata={"workbook": about})


def _span(first, behind):
    """Pages from the first to the one before `behind`."""
    return f"{first}–{behind - 1}" if behind - first > 1 else f"{first}"


def _escaped(text):
    """Text that Markdown leaves as it is."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def relative(node):
    """A notebook, or a part of one, in whose texts paths of files within the workbook are relative."""
    if isinstance(node, str):
        for root, sep in ((str(ROOT), os.sep), (repr(str(ROOT))[1:-1], repr(os.sep)[1:-1])):
            node = re.sub(re.escape(root) + r"(?![\w.-])", ".", node.replace(root + sep, ""))
        return node
    if isinstance(node, list):
        return [relative(item) for item in node]
    return nbformat.from_dict({key: relative(value) for key, value in node.items()}) if isinstance(node, dict) else node


# --- the archive ----------------------------------------------------------------------------------------------------


def contents(reports, notebooks_folder, used):
    """What is packed beside the PDF: {kind: {name in the archive: bytes}}.

    Args:
        reports: what is handed in. notebooks_folder: where their own pictures and Python files lie.
        used: files in the store of checkpoints, relative to it, that the notebooks loaded or wrote when they ran.

    Left out is whatever else lies in the folders: data, caches, exports, other notebooks and other results. Results in
    `checkpoints/local/` are packed if the notebooks used them: weights and numbers, never the data behind them.
    """
    texts = "\n".join(cell.source for report in reports for cell in report.nb.cells if cell.cell_type == "markdown")
    notebooks = {f"notebooks/{report.path.name}": _bytes(report.nb) for report in reports}
    for name, path in _files(notebooks_folder):
        if path.suffix in CODE - {""} or (path.suffix.lower() in PICTURES and name in texts):
            notebooks[f"notebooks/{name}"] = path.read_bytes()
    code = {
        f"{folder}/{name}": path.read_bytes()
        for folder in FOLDERS
        for name, path in _files(ROOT / folder)
        if path.suffix in CODE or folder == "docs" and path.suffix in PICTURES
    }
    code |= {name: (ROOT / name).read_bytes() for name in FILES if name != FEEDBACK}
    shipped, local = {}, {}
    numbers = tuple(f"{report.number}_" for report in reports)
    for name, path in _files(checkpoints_folder()):
        if path.suffix in STORED and (name in used or name.startswith(numbers)):
            (local if name.startswith("local/") else shipped)[f"checkpoints/{name}"] = path.read_bytes()
    return {
        "notebooks": notebooks,
        "checkpoints that ship": shipped,
        "checkpoints/local, your own that the notebooks used": local,
        "code": code,
        FEEDBACK: {FEEDBACK: (ROOT / FEEDBACK).read_bytes()},
    }


def _files(folder):
    """Regular files below a folder as (name relative to it, path), without hidden ones, caches and links."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name != "__pycache__" and "egg-info" not in name
        )
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path


def _bytes(nb):
    """The notebook as its file, without the facts for the title page."""
    nb = nbformat.from_dict(nb)
    nb.metadata = nbformat.from_dict({key: value for key, value in nb.metadata.items() if key != "workbook"})
    return (nbformat.writes(nb) + "\n").encode()


def write(path, kinds, date=None):
    """Write the archive at once or not at all; returns the packed size of each kind in bytes.

    Args:
        path: of the zip file. kinds: {kind: {name: bytes}}. date: of the files in it (default: today).

    Raises:
        SubmissionError: a name that not every system can unpack, or the file cannot be written.
    """
    files = sorted((name, data, kind) for kind, packed in kinds.items() for name, data in packed.items())
    _check_names([name for name, _, _ in files])
    date = date or datetime.date.today()
    content, sizes = io.BytesIO(), dict.fromkeys(kinds, 0)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, kind in files:
            info = zipfile.ZipInfo(name, (date.year, date.month, date.day, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(info, data)
            sizes[kind] += info.compress_size
    try:
        write_atomically(path, content.getbuffer())
    except CheckpointError as error:
        raise SubmissionError(
            f"{error}. Make room or the folder writable, or let WORKBOOK_EXPORTS name another one"
        ) from error
    return sizes


def _check_names(names):
    for name in names:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or len(name) > 180 or any(map(_is_foreign, parts)):
            raise SubmissionError(f"{name!r} cannot be unpacked on every system: rename or remove it")
    for name, other in itertools.pairwise(sorted(names, key=str.lower)):
        if name.lower() == other.lower():
            raise SubmissionError(f"{name} and {other} are one file on Windows and macOS: rename one of them")


def _is_foreign(part):
    """Whether Windows refuses this name of a file or folder."""
    odd = re.search(r'[<>:"\\|?*\x00-\x1f]', part) or part.endswith((" ", "."))
    return bool(odd) or part.split(".")[0].lower() in RESERVED


# --- what is said about it ------------------------------------------------------------------------------------------


def summary(path, kinds, sizes, reports, first):
    """Lines that say what an archive holds, how large it is, and what may have been forgotten."""
    count = sum(len(files) for files in kinds.values())
    yield f"{path}: {_size(path.stat().st_size)}, {count} files"
    spans = zip(reports, itertools.pairwise(first), strict=True)
    pages = "; ".join(f"{report.number} {report.title} {_span(start, end)}" for report, (start, end) in spans)
    for kind, files in kinds.items():
        if kind.endswith(".pdf"):
            note = f"{first[-1] - 1} pages: cover 1; {pages}"
        elif kind == FEEDBACK:
            note = _feedback_note(files[FEEDBACK].decode("utf-8", "replace"), [report.number for report in reports])
        elif kind == "code":
            note = f"{len(files)} files: " + ", ".join(sorted({name.split("/")[0] for name in files}))
        else:
            note = f"{len(files)} files: {', '.join(_folders(files))}" if files else "none"
        yield f"  {_size(sizes[kind]):>9}  {kind}: {note}"
    yield "  left out: other data, notebooks and results, exports, caches"


def _folders(files):
    places = [PurePosixPath(name) for name in files]
    named = {place.name if place.suffix == ".ipynb" else place.parent.name for place in places}
    return sorted(named - {"notebooks"})


def _feedback_note(text, numbers):
    empty = [number for number in numbers if re.search(rf"^\|\s*{number}\b[^|]*\|\s*\|\s*$", text, re.M)]
    return f"the hours for {', '.join(empty)} are not filled in" if empty else "filled in, thank you"


def _size(count):
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def used_by(paths, listing):
    """Files in the store of checkpoints that the last runs of these notebooks noted in their file `listing`."""
    files = [exports_folder() / path.stem / listing for path in paths]
    return {line for file in files if file.is_file() for line in file.read_text("utf-8").splitlines()}
