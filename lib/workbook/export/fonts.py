"""Characters that the fonts of every PDF lack, and the fonts of this machine for them."""

import io
import re
import shutil
import sys
import unicodedata
from pathlib import Path

import typst
from pypdf import PdfReader

from .pandoc import quote
from .template import FAMILIES, fonts

NAMED = 20  # characters in a message
BOXES = re.compile("LastResort")  # a font of ours that has a box for every character
OWN = re.compile("Libertinus|DejaVu|NewCM|LastResort")
PAGE = f"#set page(width: 1in, height: 1in)\n#set text(font: {FAMILIES})\n"


def compiled(main, source, folder, name):
    """The PDF of a document of Typst whose code is `source` and lies in the file `main`.

    Where all characters are in the fonts that come with the workbook, these alone are used, and the PDF is the same
    on every machine. Else those of this machine help; what they lack as well is named on standard error.
    """
    ours = {"font_paths": fonts(), "ignore_system_fonts": True}
    pdf = typst.compile(str(main), root=str(folder), **ours)
    if not any(_pages_with(BOXES, pdf)):
        return pdf
    own = Path(folder, "fonts")
    own.mkdir(exist_ok=True)
    for font in Path(fonts()[0]).glob("DejaVu*.ttf"):
        shutil.copy(font, own)
    all_fonts = {"font_paths": [str(own)], "ignore_system_fonts": False}
    seen = sorted(char for char in {*source} if char > "~" and unicodedata.category(char)[0] not in "CZ")
    if boxes := _set_in(OWN, _set_in(BOXES, seen, folder, ours), folder, all_fonts):
        shown = " ".join(boxes[:NAMED]) + (" …" if len(boxes) > NAMED else "")
        print(
            f"{name}: no font of this machine has {shown}; the PDF shows boxes for them. Install a font that has them, "
            "such as Noto (fonts-noto-cjk, fonts-noto-color-emoji), or export the notebook as HTML",
            file=sys.stderr,
        )
    return typst.compile(str(main), root=str(folder), **all_fonts)


def _set_in(names, chars, folder, options):
    """Those of the characters that Typst takes from a font with one of these names."""
    if not chars:
        return []
    file = Path(folder, "characters.typ")
    file.write_text(PAGE + "\n#pagebreak()\n".join(f"#{quote(char)}" for char in chars), "utf-8")
    found = _pages_with(names, typst.compile(str(file), root=str(folder), **options))
    return [char for char, here in zip(chars, found, strict=True) if here]


def _pages_with(names, pdf):
    """For every page, whether it has text in a font with one of these names."""
    for page in PdfReader(io.BytesIO(pdf)).pages:
        used = page.get("/Resources", {}).get("/Font", {}).values()
        yield any(names.search(str(font.get_object().get("/BaseFont"))) for font in used)
