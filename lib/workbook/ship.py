"""Make what was trained the results that ship, and keep the outputs of the notebooks that show them."""

import os
import time

import nbformat

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import checkpoints_folder
from lib.workbook.check import clean
from lib.workbook.contents import refresh
from lib.workbook.notebooks import UsageError
from lib.workbook.run import executed_copy, run_all


def ship(paths, workers):
    """Run the notebooks as they stand, keep the results they ask for in `checkpoints/` and write their outputs back.

    Results in `checkpoints/<name>/` that a notebook no longer asks for are removed. Returns the paths that went well.
    """
    os.environ["WORKBOOK_SHIP"] = "1"  # then what is loaded is copied into the shipped store, or touched there
    start = time.time()
    good = run_all([{"path": path, "form": "none"} for path in paths], workers)
    for path in good:
        nb = clean(nbformat.read(executed_copy(path), 4))
        refresh(nb)
        try:
            write_atomically(path, f"{nbformat.writes(nb)}\n".encode())
        except CheckpointError as error:
            raise UsageError(str(error)) from error
        for file in (checkpoints_folder() / path.stem).glob("*"):
            if file.stat().st_mtime < start - 2:  # two seconds: the coarsest clock of a file system in use
                file.unlink()
    return good
