"""What there is: the notebooks, their titles and parameters, and the profiles that set these."""

import ast
import re
from pathlib import Path

import nbformat
import yaml

from lib.storage.paths import ROOT

FOLDER = ROOT / "notebooks"
PROFILES = ("cpu", "smoke", "gpu")  # "cpu" is what stands in the notebooks themselves
RETRAIN = {"1": True, "all": "all"}
PAPERMILL_TAGS = {"injected-parameters", "papermill-error-cell-tag"}  # of the cells that papermill adds to a copy


class UsageError(Exception):
    """What is asked for does not exist or cannot be done; the message lists what there is, or names the remedy. Exit
    code 2.
    """


def short(path):
    """A path as it is printed: relative to the workbook's folder if it lies in it."""
    path = Path(path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def paths(only=None):
    """Paths of the notebooks, all or those whose numbers are listed ("01,02").

    Raises:
        UsageError: a number without a notebook.
    """
    found = {path.name[:2]: path for path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))}
    if only is None:
        return list(found.values())
    wanted = [number.strip().zfill(2) for number in str(only).split(",") if number.strip()]
    if unknown := [number for number in wanted if number not in found] or (not wanted and ["(none)"]):
        raise UsageError(f"no notebook {', '.join(unknown)}; there are {', '.join(found)}")
    return [found[number] for number in sorted(set(wanted))]


def cell_tags(cell):
    """The tags of a cell, as a set."""
    return {*cell.metadata.get("tags", [])}


def title(nb):
    """Text of the first heading, without the number that may stand before it."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    match = re.search(r"^#\s+(?:\d+\s+)?(.+)$", text, re.M)
    return match.group(1).strip() if match else "untitled"


def default_parameters(nb):
    """Names and source of the values in the cell tagged `parameters`."""
    cells = [cell for cell in nb.cells if "parameters" in cell_tags(cell)]
    return {
        target.id: ast.unparse(node.value)
        for node in (ast.parse(cells[0].source).body if cells else [])
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def parameters(path, profile, retrain=None, extra=()):
    """The values that papermill sets in a notebook: the profile's, then RETRAIN, then those given by hand.

    Raises:
        UsageError: an unknown profile, a parameter that the notebook does not have, or a value that is no YAML.
    """
    if profile not in PROFILES:
        raise UsageError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    values = {}
    if profile != "cpu":
        values |= (yaml.safe_load((FOLDER / "profiles" / f"{profile}.yaml").read_text("utf-8")) or {}).get(
            path.stem
        ) or {}
    if retrain is not None:
        if retrain not in RETRAIN:
            raise UsageError(f"no RETRAIN={retrain}; use 1 (the headline models) or all (the sweeps too)")
        values["retrain"] = RETRAIN[retrain]
    for assignment in extra:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"-p wants name=value, got {assignment!r}")
        values[name.strip()] = _parsed(name.strip(), value)
    for name, value in values.items():
        if not _can_be_written(value):
            raise _not_plain(name, value)
    known = default_parameters(nbformat.read(path, 4))
    if unknown := sorted(set(values) - set(known)):
        raise UsageError(f"{path.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    return values


def _parsed(name, text):
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):  # a value that contains itself
            raise _not_plain(name, text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise _not_plain(name, text) from error


def _not_plain(name, value):
    return UsageError(
        f"the value of {name!r} is no plain value: {str(value)[:100]!r}; plain are numbers, texts, true, false, null, "
        "and lists and mappings of them"
    )


def _can_be_written(value):
    """Whether papermill can write this value into a notebook. It does not escape what stands in others: a date, a set
    or the bytes of YAML's `!!binary` might end as code.
    """
    if isinstance(value, list):
        return all(map(_can_be_written, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _can_be_written(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, float, str))
