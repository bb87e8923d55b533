"""Stands in for `lib.training.checkpoints` in the notebooks of the student edition: tables of sweeps are the
reference's, as stored, whatever the student's classes look like; what is trained there is trained with the student's,
once something of the student's is in use.
"""

import json

from lib.storage import tensors
from lib.storage.files import read_table
from lib.storage.paths import checkpoints_folder
from lib.training import checkpoints
from lib.training.stores import note_used, read_result
from lib.workbook.student import working


def __getattr__(name):
    return getattr(checkpoints, name)


def _key(settings):
    return json.dumps(settings, sort_keys=True)


def sweep(name, run, cells, settings=None, *, retrain=False, why="", **options):
    """As `checkpoints.sweep`; runs that ship are taken by their settings alone, and labelled as the reference's."""
    stored = read_result(checkpoints_folder() / f"{name}.json", read_table) or ([], {})
    rows = {_key(row["settings"]): row for row in stored[0]}
    wanted = [_key({**(settings or {}), **cell}) for cell in cells]
    if retrain or not set(wanted) <= set(rows):
        return checkpoints.sweep(name, run, cells, settings, retrain=retrain, why=why, **options)
    print(f"{name}: {len(cells)} runs of the reference (not of your class)")
    found = [{part: rows[key][part] for part in ("settings", "result", "seconds")} for key in wanted]
    _remember(name, why, found)
    pairs = zip(cells, found, strict=True)
    return [{**cell, **row["result"], "cpu_seconds": row["seconds"]} for cell, row in pairs]


def train_or_load(name, build, train, settings, *, retrain=False, why="", half=False, **options):
    """As `checkpoints.train_or_load`; as long as nothing that the student has written is in use, the weights that ship
    are taken by their settings alone: the library without its solutions has another code."""
    file = checkpoints_folder() / f"{name}.safetensors"
    shipped = read_result(file, tensors.load)
    wanted = settings | ({"precision": "half"} if half else {})
    stored = shipped and not retrain and _key(shipped["settings"]) == _key(wanted)
    model = build() if stored else None  # looks up what the student has written
    if not stored or working.own_code_in_use():
        return checkpoints.train_or_load(name, build, train, settings, retrain=retrain, why=why, half=half, **options)
    model.load_state_dict(shipped["model"])
    print(f"{name}: the reference's weights (nothing of yours is in use)")
    note_used(file)
    run = checkpoints.Run(name, model, shipped["history"], wanted, shipped["seconds"], "shipped")
    _remember(name, why, [{"settings": wanted, "result": run.result, "seconds": run.seconds}])
    return run


def _remember(name, why, rows):
    checkpoints.RECORDS[:] = [one for one in checkpoints.RECORDS if one["name"] != name]
    checkpoints.RECORDS.append({"name": name, "why": f"{why} (reference)", "reference": True, "rows": rows})
