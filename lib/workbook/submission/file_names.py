"""Names of files that every system can store and unpack, and every upload form accepts."""

import itertools
import re
import unicodedata
from pathlib import PurePosixPath

from lib.workbook.notebooks import UsageError

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}  # on Windows
FOLDED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "Ae"}
    | {"ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "þ": "th", "Þ": "Th"}
)


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
        UsageError: the name is none that every system accepts.
    """
    name = unicodedata.normalize("NFC", (wanted or "").strip()) or f"{stem}.pdf"
    if (
        not re.fullmatch(r"[\w(][\w ()+,.-]*\.pdf", name)
        or len(name) > 100
        or name.split(".")[0].strip().lower() in RESERVED
    ):
        raise UsageError(
            f"PDF_NAME: {name!r} cannot be the name of the PDF on every system: letters, digits, blanks, hyphens and "
            "underscores, ending in .pdf, as in submission.pdf"
        )
    return name


def check_names(names):
    """Refuse names in an archive that not every system can unpack, or tell apart.

    Raises:
        UsageError: naming the first of them.
    """
    for name in names:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or len(name) > 180 or any(map(_is_foreign, parts)):
            raise UsageError(f"{name!r} cannot be unpacked on every system: rename or remove it")
    for name, other in itertools.pairwise(sorted(names, key=str.lower)):
        if name.lower() == other.lower():
            raise UsageError(f"{name} and {other} are one file on Windows and macOS: rename one of them")


def _is_foreign(part):
    """Whether Windows refuses this name of a file or folder."""
    odd = re.search(r'[<>:"\\|?*\x00-\x1f]', part) or part.endswith((" ", "."))
    return bool(odd) or part.split(".")[0].lower() in RESERVED
