"""Make what was trained the results that ship, and keep the outputs of the notebooks that show them."""

import os
from copy import deepcopy
from pathlib import PurePosixPath

import nbformat

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import checkpoints_folder
from lib.workbook.check import clean
from lib.workbook.contents import refresh
from lib.workbook.notebooks import UsageError
from lib.workbook.run import run_all


def ship(paths, workers):
    """Run the notebooks as they stand, keep the results they ask for in `checkpoints/` and write their outputs back.

    Results in `checkpoints/<name>/` that a notebook no longer asks for are removed. A notebook that was changed while
    it ran is left alone. Warnings are printed here, since the outputs are written without them. Returns the paths that
    went well.

    Raises:
        UsageError: a notebook cannot be read or written.
    """
    os.environ["WORKBOOK_SHIP"] = "1"  # then what is loaded or trained is in the shipped store too
    before = {path: path.read_bytes() for path in paths if path.is_file()}
    shipped = []
    good = run_all([{"path": path, "form": "none"} for path in paths], workers)
    for path, outcome in good.items():
        for number, warning in _warnings(outcome.nb):
            print(f"{path.name}: cell {number} warns: {warning}", flush=True)
        nb = clean(outcome.nb)
        refresh(nb)
        if path.read_bytes() != before[path]:
            print(f"{path.name} was changed while it ran, and stays as it is: ship it again", flush=True)
            continue
        try:
            write_atomically(path, f"{nbformat.writes(nb)}\n".encode())
        except CheckpointError as error:
            raise UsageError(str(error)) from error
        asked_for = {checkpoints_folder() / _shipped(name) for name in outcome.used}
        for file in (checkpoints_folder() / path.stem).glob("*"):
            if file not in asked_for and file.is_file():
                file.unlink()
        shipped.append(path)
    return shipped


def _warnings(nb):
    """What cells wrote to standard error, progress bars aside: pairs (number of the cell, its first line)."""
    from lib.workbook.export.static_outputs import tidy_streams  # slow to import

    for number, cell in enumerate(nb.cells):
        for output in tidy_streams(deepcopy(cell.get("outputs", []))):
            if output.get("name") == "stderr":
                yield number, output.text.strip().partition("\n")[0]


def _shipped(name):
    """Where a result ships that was used under this name: local/NAME/run/KEY.json as NAME/run.json."""
    place = PurePosixPath(name)
    return f"{place.parent.relative_to('local')}{place.suffix}" if place.parts[0] == "local" else name
