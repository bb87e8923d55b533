"""What the jobs write about themselves, and which jobs there are."""

import json
from pathlib import Path

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import exports_folder
from lib.workbook import notebooks
from lib.workbook.notebooks import UsageError


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
    """What `write` stored; {} if there is no such file."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def jobs():
    """Numbers of the array jobs that left files here, the newest last."""
    files = sorted(folder().glob("[0-9]*.json"), key=lambda file: file.stat().st_mtime)
    return list(dict.fromkeys(file.stem.split("_")[0] for file in reversed(files)))[::-1]


def notebook(number):
    """Path of the notebook of a task, or "NN_" if there is none of that number."""
    try:
        return notebooks.paths(str(number))[0]
    except UsageError:
        return Path(f"{number:02}_")
