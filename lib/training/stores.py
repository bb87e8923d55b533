"""The two stores of finished work (see `lib.training.checkpoints`): where a result lies, and whether it may be used."""

import hashlib
import json
import os
import re
from pathlib import Path

from lib.storage.files import CheckpointError, read_table
from lib.storage.paths import ROOT, checkpoints_folder

_RESULT = {"settings": dict, "source": str, "seconds": (int, float)}  # what is stored with every result
_OF_TRAININGS, _OF_RUNS = {"model": dict, "history": dict}, {"result": dict}


def local_folder():
    """The reader's own store, ignored by git."""
    return checkpoints_folder() / "local"


def check_name(name):
    """Raise CheckpointError unless a name is "notebook/run"."""
    if not re.fullmatch(r"[A-Za-z0-9_]+/[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise CheckpointError(f"the name {name!r} must look like 'notebook/run', of letters, digits, '_', '-' and '.'")


def key_of(settings, source):
    """Name of the file for a result in the local store: 16 hexadecimal digits of its settings and its code.

    Raises:
        CheckpointError: settings that are no plain values.
    """
    try:
        text = json.dumps(json.loads(json.dumps(settings)), sort_keys=True)  # keys that are numbers become texts first
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"settings must be plain numbers, strings, lists and dicts: {error}") from error
    return hashlib.sha256(f"{text}{source}".encode()).hexdigest()[:16]


def was_retrained(path):
    """Whether a retraining that a cluster has interrupted and now starts again stored this file before."""
    since = os.environ.get("WORKBOOK_RETRAIN_SINCE")  # set by `lib.workbook.cluster` and `cluster/train.sbatch`
    return bool(since) and path.exists() and path.stat().st_mtime >= float(since)


def is_shipping():
    """Whether what is asked for becomes what ships, and nothing is trained that is there."""
    return os.environ.get("WORKBOOK_SHIP") == "1"


def read_result(path, reader, settings=None, source=None):
    """The content of a stored file, or None with one printed line if it is damaged or, where settings and source are
    given, holds the result of others (it is then never used).
    """
    if not Path(path).exists():
        return None
    try:
        stored = reader(path)
        found, own = (stored[0], _OF_RUNS) if reader is read_table else ([stored], _OF_TRAININGS)
        for result in found:
            for part, kind in (_RESULT | own).items():
                if not isinstance(result, dict) or not isinstance(result.get(part), kind):
                    raise CheckpointError(f"{path} holds no result (no {part!r}, or an odd one); move it away")
        # By its key and not by comparing: stored as JSON, a tuple has become a list.
        keys = {key_of(result["settings"], result["source"]) for result in found}
        if source is not None and keys != {key_of(settings, source)}:
            raise CheckpointError(f"{path} holds the result of other settings or code than its name says; delete it")
        return stored
    except CheckpointError as error:
        print(f"Ignored: {_relative(error)}")
        return None


def _relative(text):
    return str(text).replace(str(ROOT) + os.sep, "").replace(str(checkpoints_folder()) + os.sep, "checkpoints/")


def note_used(*files):
    """Append the files that hold what a call has returned to the list that WORKBOOK_USED names, if it names one."""
    if listing := os.environ.get("WORKBOOK_USED"):
        with open(listing, "a", encoding="utf-8") as file:
            file.writelines(f"{path.relative_to(checkpoints_folder()).as_posix()}\n" for path in files)
