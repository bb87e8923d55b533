"""The items of the exercise sheets that are written as code. `student/exercises.toml` lists them by their codes, with a
title and the definitions (classes, functions, methods) that each consists of, by the names they are imported under.
"""

import pkgutil
import tomllib
from functools import cache

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError

FILE = ROOT / "student" / "exercises.toml"


@cache
def items():
    """The table: {"P2": {"title": …, "definitions": […]}, …}."""
    return tomllib.loads(FILE.read_text("utf-8"))


def definitions(item):
    """The classes and functions that belong to an item.

    Raises:
        UsageError: there is no such item, or a name in its list leads nowhere.
    """
    if item not in items():
        raise UsageError(f"no exercise {item!r}; there are {', '.join(items())}")
    try:
        return [pkgutil.resolve_name(name) for name in items()[item]["definitions"]]
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{FILE.name}, item {item}: {error}") from error
