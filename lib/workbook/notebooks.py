"""What there is: the notebooks, their titles and parameters, and the profiles that set these."""

import json
import logging
import os
import re
import warnings
from pathlib import Path

import yaml

from lib.storage.paths import ROOT, checkpoints_folder, exports_folder
from lib.workbook.values import parameters_of

FOLDER = ROOT / "notebooks"
PROFILES = ("cpu", "smoke", "gpu", "gpu-short")  # "cpu" is what stands in the notebooks themselves
RETRAIN = {"1": True, "all": "all"}
PAPERMILL_TAGS = {"injected-parameters", "papermill-error-cell-tag"}  # of the cells that papermill adds to a copy
# What a training or a sweep says of its place in the store, in `lib.training.checkpoints`; the run table has the same.
STORED = re.compile(r"^\d\d_\w+/[\w.-]+: .*\d CPU-(seconds|minutes)\b.*\n?", re.M)


class UsageError(Exception):
    """What is asked for does not exist or cannot be done; the message lists what there is, or names the remedy. Exit
    code 2.
    """


def short(path):
    """A path as it is printed: relative to the workbook's folder if it lies in it."""
    path = Path(path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def read(path):
    """A notebook, in today's format.

    Raises:
        UsageError: there is none, it cannot be read, or it is none.
    """
    import nbformat  # not above: it takes a second, and no kernel needs it

    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # nbformat logs there what is raised below
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cells without ids get some
            nb = nbformat.read(path, 4, capture_validation_error=(found := {}))
        reason = getattr(found.get("ValidationError"), "message", "")
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # what is no notebook can raise nearly anything
        reason = f"{type(error).__name__}: {error}"
    if reason:
        remedy = f"; the committed one returns with `git checkout {short(path)}`" if Path(path).parent == FOLDER else ""
        raise UsageError(f"{short(path)} is no notebook that can be read: {' '.join(reason.split())[:150]}{remedy}")
    return nb


def paths(only=None):
    """Paths of the notebooks, all or those whose numbers are listed ("01,02").

    Raises:
        UsageError: a number without a notebook, or with two.
    """
    found = {}
    for path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb")):
        found.setdefault(path.name[:2], []).append(path)
    wanted = sorted(found) if only is None else [one.strip().zfill(2) for one in str(only).split(",") if one.strip()]
    if unknown := [number for number in wanted if number not in found]:
        raise UsageError(f"no notebook {', '.join(unknown)}; there are {', '.join(found)}")
    for number in wanted:
        if len(found[number]) > 1:
            names = " and ".join(path.name for path in found[number])
            raise UsageError(f"{names} have one number: rename one, to begin with another number or with a letter")
    return [found[number][0] for number in sorted(set(wanted))]


def cell_tags(cell):
    """The tags of a cell, as a set."""
    return {*cell.metadata.get("tags", [])}


def title(nb):
    """Text of the first heading, without the number that may stand before it."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    match = re.search(r"^#\s+(?:\d+\s+)?(.+)$", text, re.M)
    return match.group(1).strip() if match else "untitled"


def default_parameters(path):
    """What can be set in a notebook, in the cell tagged `parameters`: {name: `lib.workbook.values.Parameter`}.

    Raises:
        UsageError: it cannot be read, or that cell is no Python.
    """
    cells = [cell for cell in read(path).cells if "parameters" in cell_tags(cell)]
    try:
        return parameters_of(cells[0].source) if cells else {}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = f"{error.msg}, line {error.lineno}" if isinstance(error, SyntaxError) else type(error).__name__
        raise UsageError(f"{short(path)}: the cell tagged `parameters` is no Python ({reason})") from error


def parameters(path, profile, retrain=None, extra=()):
    """The values that papermill sets in a notebook: the profile's, then RETRAIN, then those given by hand.

    Raises:
        UsageError: an unknown or damaged profile, a parameter that the notebook does not have, or a value that it
            cannot use.
    """
    known, given = default_parameters(path), _profile(path, profile)
    arithmetic_of(path, profile)  # is no parameter, and refused here if there is no such thing
    given.pop(ARITHMETIC, None)
    given = {name: known[name].settled(value) if name in known else value for name, value in given.items()}
    if retrain is not None:
        if retrain not in RETRAIN:
            raise UsageError(f"no RETRAIN={retrain}; use 1 (the headline models) or all (the sweeps too)")
        given |= {"retrain": RETRAIN[retrain]} if "retrain" in known else {}  # where something is trained
    for assignment in extra:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"-p wants name=value, got {assignment!r}")
        name = name.strip()
        given[name] = _placed(path, name, known[name], known[name].read(text)) if name in known else text
    if unknown := sorted(map(str, {*given} - {*known})):
        raise UsageError(f"{path.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    for name, value in given.items():
        usable = known[name].takes(value) or (name, value) == ("retrain", RETRAIN.get(retrain))
        if not usable or not _can_be_written(value):
            raise UsageError(f"{path.name}: {name} wants {known[name].wanted()}; got {repr(value)[:100]}")
    return given


def set_environment(path, profile, values):
    """Tell the notebook that this process or its child runs what `lib.workbook.reporting`, `lib.storage.paths` and
    `lib.training.arithmetic` ask for. Claims are held to the values that stand in a notebook, but for `retrain`, which
    changes no result.
    """
    own = profile == "cpu" and {*values} - {"retrain"}
    os.environ["WORKBOOK_PROFILE"] = "own values" if own else profile
    os.environ["WORKBOOK_ARITHMETIC"] = " ".join(arithmetic_of(path, profile))
    # Named by relative paths, these would be others in the notebooks' folder.
    os.environ["WORKBOOK_EXPORTS"] = str(exports_folder().resolve())
    os.environ["WORKBOOK_CHECKPOINTS"] = str(checkpoints_folder().resolve())


def _profile(path, profile):
    """What a profile sets in a notebook: {name: value}."""
    if profile not in PROFILES:
        raise UsageError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    if profile == "cpu":
        return {}
    file = FOLDER / "profiles" / f"{profile}.yaml"
    try:
        return {**((yaml.safe_load(file.read_text("utf-8")) or {}).get(path.stem) or {})}
    except (OSError, yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{short(file)} must be YAML that maps the notebooks' names to mappings of parameters to values "
            f"({' '.join(str(error).split())[:200]})"
        ) from error


ARITHMETIC = "arithmetic"  # among the values of a profile: no parameter of a notebook, but how trainings compute


def arithmetic_of(path, profile):
    """What a profile chooses for the trainings of a notebook: some of `lib.training.arithmetic.CHOICES`.

    Raises:
        UsageError: something else.
    """
    if not (found := _profile(path, profile).get(ARITHMETIC)):
        return []
    from lib.training.arithmetic import CHOICES  # loads torch

    if not isinstance(found, list) or not {*map(str, found)} <= {*CHOICES}:
        problem = f"wants a list of {', '.join(CHOICES)}; got {found!r}"
        raise UsageError(f"{path.name}: {ARITHMETIC} in profiles/{profile}.yaml {problem}")
    return found


def _placed(path, name, parameter, value):
    """A typed value of a parameter; the path of a file leads from the notebook's folder to where it was meant.

    Raises:
        UsageError: there is no such file or folder, neither where the command was typed nor beside the notebook.
    """
    if not parameter.is_path() or not value or parameter.names(value):
        return value
    typed = Path(os.path.expanduser(value))
    here = Path.cwd() / typed
    if os.path.exists(here):
        within = not typed.is_absolute() and here.is_relative_to(path.parent.parent)
        return Path(os.path.relpath(here, path.parent) if within else here).as_posix()
    if os.path.exists(path.parent / typed) or "any text" in parameter.comment:
        return value
    names = [parameter.default, *re.findall(r'"([^"]*)"', parameter.comment)]
    known = ", ".join(dict.fromkeys(filter(None, names)))
    places = f"looked for in {Path.cwd()} and in {path.parent}" + f"; it also takes {known}" * bool(known)
    raise UsageError(f"{path.name}: {name}: there is no file or folder {value[:200]!r}; {places}")


def _can_be_written(value):
    """Whether papermill can write this value into a notebook: JSON gives it back. Papermill does not escape what stands
    in others, such as a date, a set or bytes, which might end as code.
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
        return bool(text.encode()) and repr(json.loads(text)) == repr(value)  # not ==, which nan is not to itself
    except (TypeError, ValueError):
        return False
