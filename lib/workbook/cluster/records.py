"""What the jobs write about themselves, and which jobs there are."""

import json
import re
import sys
from pathlib import Path

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import exports_folder
from lib.workbook import notebooks
from lib.workbook.notebooks import UsageError

KINDS = {"numbers": list, "state": str, "node": str, "log": str, "problem": str, "report": (str, type(None))}
KINDS |= {name: (int, float) for name in ("seconds", "since", "begun", "restarts")}  # what the files hold


def folder():
    """Where the logs lie, and what the tasks write about themselves."""
    return exports_folder() / "cluster"


def write(path, content):
    """Store JSON so that whoever reads it meanwhile sees the old or the new one.

    Raises:
        UsageError: it cannot be written; the old one, if any, is unchanged.
    """
    try:
        write_atomically(path, json.dumps(content).encode())
    except CheckpointError as error:
        raise UsageError(str(error)) from error


def read(path):
    """What `write` stored; {} if there is no such file.

    Raises:
        UsageError: it is damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no mapping")
        for name, kinds in KINDS.items():
            if name in content and (not isinstance(content[name], kinds) or isinstance(content[name], bool)):
                raise ValueError(f"{name} is {content[name]!r}")
        return content
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{notebooks.short(path)} is damaged ({error}): delete it; reports and checkpoints are unharmed"
        ) from error


def jobs():
    """Numbers of the array jobs that left files here, the newest last."""
    files = [file for file in folder().glob("*.json") if re.fullmatch(r"\d+(_\d+)?", file.stem)]
    files.sort(key=lambda file: file.stat().st_mtime)
    return list(dict.fromkeys(file.stem.split("_")[0] for file in reversed(files)))[::-1]


def numbers(job):
    """Numbers of the notebooks of an array job, as far as it left files here; a damaged file is named."""
    found = {file.stem for file in folder().glob("*.json")}
    found = {int(stem.split("_")[1]) for stem in found if re.fullmatch(rf"{re.escape(str(job))}_\d+", stem)}
    try:
        submitted = read(folder() / f"{job}.json").get("numbers", [])
        return found | {number for number in submitted if isinstance(number, int)}
    except UsageError as error:
        print(error, file=sys.stderr)
        return found


def notebook(number):
    """Path of the notebook of a task, or "NN_" if there is none of that number."""
    try:
        return notebooks.paths(str(number))[0]
    except UsageError:
        return Path(f"{number:02}_")
