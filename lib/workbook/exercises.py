"""The items of the exercise sheets that are written as code. `student/exercises.toml` lists them by their codes, with a
title, the definitions (classes, functions, methods) that each consists of, by the names they are imported under, and
the methods of them that are given.
"""

import pkgutil
import tomllib
from functools import cache

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError

FILE = ROOT / "student" / "exercises.toml"


@cache
def items():
    """The table: {"P2": {"title": …, "definitions": […], "given": […]}, …}; nothing may be given."""
    return tomllib.loads(FILE.read_text("utf-8"))


def answer(item):
    """What answers an item: (its classes, functions and methods, the names of their methods that are given).

    Raises:
        UsageError: there is no such item, or a name in its list leads nowhere.
    """
    if item not in items():
        raise UsageError(f"no exercise {item!r}; there are {', '.join(items())}")
    try:
        written = [pkgutil.resolve_name(name) for name in items()[item]["definitions"]]
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{FILE.name}, item {item}: {error}") from error
    return written, items()[item].get("given", [])
