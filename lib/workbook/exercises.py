"""The items of the exercise sheets. `student/exercises.toml` lists them by their codes, with a title, the notebook that
each belongs to, the definitions (classes, functions, methods) that are written as code, by the names they are imported
under, the methods of them that are given, and what is answered in words.
"""

import pkgutil
import tomllib
from functools import cache

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError

FILE = ROOT / "student" / "exercises.toml"
EDITION = ROOT / "student" / "edition.json"  # only a student edition has it


@cache
def items():
    """The table: {"P2": {"title": …, "notebook": "01", "definitions": […], "given": […], …}, …}."""
    return tomllib.loads(FILE.read_text("utf-8"))


def item(code):
    """The row of one item.

    Raises:
        UsageError: there is no such item.
    """
    if code not in items():
        raise UsageError(f"no exercise {code!r}; there are {', '.join(items())}")
    return items()[code]


def answer(code):
    """What answers an item: (its classes, functions and methods, the names of their methods that are no part of it,
    because they are given or optional).

    Raises:
        UsageError: there is no such item, or a name in its list leads nowhere.
    """
    row = item(code)
    try:
        written = [pkgutil.resolve_name(name) for name in row.get("definitions", [])]
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{FILE.name}, item {code}: {error}") from error
    return written, row.get("given", []) + row.get("optional", [])


def given_in(definition, given):
    """Names of a class's methods that are given: those named alone, and those named with this class before them."""
    return [name.rpartition(".")[2] for name in given if name.rpartition(".")[0] in ("", definition.__name__)]
