"""Pictures that a notebook's text names: only those of its own folder, and none that would fill the memory."""

import base64
import binascii
import io
import re
import urllib.parse
import warnings
from pathlib import Path

from PIL import Image

REMOTE = re.compile(r"(https?:)?//", re.I)
MOST = 100_000_000  # pixels; far more than paper shows, and as much as a computer with little memory decodes
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")  # what Typst reads, besides SVG
DAMAGED = "a picture cannot be read; draw or save it again"


def file(folder, name, fail):
    """The bytes of a file in the notebook's folder or below; `fail(problem)` is called for any other."""
    shown = name if len(name) <= 80 else f"{name[:80]}…"
    try:
        path, home = Path(folder, urllib.parse.unquote(name)).resolve(), Path(folder).resolve()
        if not path.is_relative_to(home):
            fail(
                f"the picture '{shown}' lies outside the notebook's folder; copy it into this folder and name it there"
            )
        return path.read_bytes()
    except (OSError, ValueError):  # ValueError for names that no file has
        fail(f"there is no picture '{shown}' to read; correct its path, which starts at the notebook's folder")


def decoded(text, fail):
    """The bytes of a picture that a notebook keeps as text."""
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        fail(DAMAGED)


def measured(data, fail):
    """(format as Typst calls it, columns, rows, dots per inch or 0) of a picture, which is not decoded for that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow has limits of its own, at which it warns
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                (columns, rows), dpi = picture.size, float(picture.info.get("dpi", (0, 0))[0])
    except Image.DecompressionBombError:
        columns = rows = MOST
    except Exception:  # a damaged file makes Pillow raise nearly anything
        fail(DAMAGED)
    if columns * rows > MOST:
        fail(f"a picture has more than {MOST // 1_000_000} million pixels; save it smaller")
    return picture.format.lower(), columns, rows, dpi if dpi > 10 else 0


def width(value):
    """A width such as 300, "300px" or "50%" as (number, "%" or not), or None where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(px|%)?", str(value or "").strip())
    return (float(found[1]), found[2] == "%") if found and float(found[1]) > 0 else None
