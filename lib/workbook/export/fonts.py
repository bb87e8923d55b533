"""Characters that the fonts of every PDF lack, and the fonts of this machine for them."""

import io
import re
import shutil
import unicodedata
import warnings
from functools import cache
from pathlib import Path

import typst
from pypdf import PdfReader

from .pandoc import quote
from .template import FAMILIES, fonts

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"}  # kinds of characters without a shape of their own, or for own use
NAMED = 20  # characters in a message
OWN = re.compile("Libertinus|DejaVu|NewCM|LastResort")
PAGE = f"#set page(width: 1in, height: 1in)\n#set text(font: {FAMILIES})\n"


def compiled(main, source, folder, name):
    """The PDF of a document of Typst whose code is `source` and lies in the file `main`.

    Where all characters are in the fonts that come with the workbook, these alone are used, and the PDF is the same
    on every machine. Else those of this machine help; what they lack as well is named in a warning.
    """

    def run(file, **options):
        return typst.compile(str(file), root=str(folder), **options)

    ours = {"font_paths": fonts(), "ignore_system_fonts": True}
    doubtful = sorted(char for char in {*source} - _common() if unicodedata.category(char) not in UNSEEN)
    lacking = _without_font(doubtful, run, folder, ours, "LastResort")
    if not lacking:
        return run(main, **ours)
    own = Path(folder, "fonts")
    own.mkdir(exist_ok=True)
    for font in Path(fonts()[0]).glob("DejaVu*.ttf"):  # without the font that has a box for every character
        shutil.copy(font, own)
    all_fonts = {"font_paths": [str(own)], "ignore_system_fonts": False}
    pdf = run(main, **all_fonts)
    if boxes := _without_font(lacking, run, folder, all_fonts, OWN.pattern):
        shown = " ".join(boxes[:NAMED]) + (" …" if len(boxes) > NAMED else "")
        warnings.warn(
            f"{name}: no font of this machine has {shown}; the PDF shows boxes for them. Install a font that has them, "
            "such as Noto (fonts-noto-cjk, fonts-noto-color-emoji), or export the notebook as HTML",
            stacklevel=2,
        )
    return pdf


@cache
def _common():
    """The characters of DejaVu, which is in every PDF."""
    from matplotlib.ft2font import FT2Font

    return frozenset(chr(code) for code in FT2Font(str(Path(fonts()[0], "DejaVuSans.ttf"))).get_charmap())


def _without_font(chars, run, folder, options, names):
    """Those of the characters that Typst takes from a font with one of these names."""
    if not chars:
        return []
    file = Path(folder, "characters.typ")
    file.write_text(PAGE + "\n#pagebreak()\n".join(f"#{quote(char)}" for char in chars), "utf-8")
    found = []
    for char, page in zip(chars, PdfReader(io.BytesIO(run(file, **options))).pages, strict=True):
        used = page.get("/Resources", {}).get("/Font", {}).values()
        if any(re.search(names, str(font.get_object().get("/BaseFont"))) for font in used):
            found.append(char)
    return found
