"""Stored results after a change of the code: proved to be what today's code would give, they get today's fingerprint.

`python -m lib.workbook restamp` runs a notebook's cells with WORKBOOK_RESTAMP set. `train_or_load` and `sweep` then
come here with every shipped result before they compare it with what is asked for. Nothing is trained: a result that
cannot be confirmed is listed, and used as it is for the rest of the notebook.
"""

import fnmatch
import json
import os
import time

import torch

from lib.storage import tensors
from lib.storage.files import write_table
from lib.storage.fingerprint import fingerprint_of
from lib.storage.paths import checkpoints_folder
from lib.training import probes

# Unless asked to be slow (WORKBOOK_RESTAMP=slow), a run of a sweep is computed again only if it took no longer than
# this, and so much is spent on the different kinds of runs of one sweep.
ROW_SECONDS, SWEEP_SECONDS = 60, 30
ROUNDED = 2e-2  # relative, for the validation of weights that were rounded to half precision after it
OUTCOMES = []  # of each result: dict of name, outcome ("equal", "close", "accepted" or "differs"), detail, seconds


def wanted():
    """Whether this process restamps."""
    return bool(os.environ.get("WORKBOOK_RESTAMP"))


def training(file, name, stored, build, train, settings, parts):
    """Confirm a stored training and write today's fingerprint into its file; returns it with that fingerprint.

    Args:
        file: the shipped file. stored: its content. The others: as in `lib.training.checkpoints.train_or_load`.
    """
    source, before = fingerprint_of(parts), former(name, settings)
    if stored["settings"] not in (settings, before) or (stored["settings"], stored["source"]) == (settings, source):
        return stored
    renewed = stored | {"settings": settings, "source": source, "code": parts}
    start = time.perf_counter()
    if _is_accepted(name):
        outcome, detail, probe = "accepted", "without a replay", stored.get("probe")
    else:
        try:
            outcome, detail, probe = _replayed(stored, build, train)
        except Exception as error:  # whatever today's code does, the stored result is not lost
            outcome, detail, probe = "differs", f"cannot be replayed: {type(error).__name__}: {error}", None
    _note(name, outcome, detail, start)
    if outcome != "differs":
        tensors.save(file, renewed | ({"probe": probe} if probe else {}))
    return renewed


def _replayed(stored, build, train):
    """Outcome, detail and today's probe. Without a stored one, the first epoch and the last validation are compared."""
    history, weights = stored["history"], stored["model"]
    probe = probes.take(build, train, weights, history)
    if "probe" in stored:
        found = probes.first_difference(probe, stored["probe"])
        exact = probe["machine"] == stored["probe"]["machine"]
        return ("differs" if found else "equal" if exact else "close"), found, probe
    entry = probes.replay(build, train, probes.Replay(epochs=1)).entries[0]
    first = {key: history[key][0] for key in entry if key in history}
    last = {key: history[key][-1] for key in probe["validation"] if key in history}
    rounded = any(value.dtype == torch.half for value in weights.values())
    exact, detail = True, ""
    for new, old, tolerance, what in (
        (entry, first, probes.TOLERANCE, "first epoch"),
        (probe["validation"], last, ROUNDED if rounded else probes.TOLERANCE, "last validation"),
    ):
        detail = detail or probes.unequal(new, old, tolerance, what)
        exact = exact and not probes.unequal(new, old, 0.0, what)
    return ("differs" if detail else "equal" if exact else "close"), detail, probe


def sweep(file, name, rows, run, cells, settings, parts, timed):
    """Confirm the stored runs of a sweep by computing the cheapest of each kind again; returns the rows, those that are
    asked for with today's settings and fingerprint.

    Runs are of different kinds if they differ in a text or a switch; numbers only make a run longer or shorter.
    """
    source = fingerprint_of(parts)
    asked = {json.dumps(former(name, {**settings, **cell}), sort_keys=True): cell for cell in cells}
    found = {n: asked.get(json.dumps(row["settings"], sort_keys=True)) for n, row in enumerate(rows)}
    if not any(cell is not None and row["source"] != source for row, cell in zip(rows, found.values(), strict=True)):
        return rows
    start = time.perf_counter()
    if _is_accepted(name):
        outcome, detail = "accepted", "without a replay"
    else:
        outcome, detail = _recomputed(rows, found, run, timed)
    _note(name, outcome, detail, start)
    renewed = [
        row if found[n] is None else row | {"settings": {**settings, **found[n]}, "source": source}
        for n, row in enumerate(rows)
    ]
    if outcome != "differs":
        write_table(file, renewed, parts)
    return renewed


def _recomputed(rows, found, run, timed):
    slow = os.environ["WORKBOOK_RESTAMP"] == "slow"
    kinds = {n: _kinds(cell) for n, cell in found.items() if cell is not None}
    seen, spent, done, outcome, reason = set(), 0.0, 0, "equal", "no run of it is asked for"
    for number in sorted(kinds, key=lambda n: rows[n]["seconds"]):
        row, cell = rows[number], found[number]
        if done and (kinds[number] <= seen or (not slow and spent + row["seconds"] > SWEEP_SECONDS)):
            continue
        if row["seconds"] > ROW_SECONDS and not slow:
            reason = reason if done else f"its cheapest run takes {row['seconds']:.0f} CPU-seconds: use --slow"
            break
        try:
            with torch.random.fork_rng():
                result = json.loads(json.dumps(run(**cell)))
        except probes.CannotReplay as error:
            reason = f"cannot be replayed: {error}"
            continue
        except Exception as error:  # whatever today's code does, the stored result is not lost
            return "differs", f"cannot be replayed: {type(error).__name__}: {error}"
        seen, spent, done = seen | kinds[number], spent + row["seconds"], done + 1
        if probes.unequal(result, row["result"], 0.0, "", timed):
            tolerance = 0.0 if row.get("machine") == probes.machine() else probes.TOLERANCE
            if difference := probes.unequal(result, row["result"], tolerance, "", timed):
                varied = ", ".join(f"{key} {value}" for key, value in cell.items() if _varies(rows, key))
                return "differs", f"{varied}: {difference.strip()}".removeprefix(": ")[:200]
            outcome = "close"
    if not done:
        return "differs", reason
    rest = sorted({f"{key} {value}" for key, value in set().union(*kinds.values()) - seen})
    untried = f"; not tried: {', '.join(rest[:3])}{' …' if len(rest) > 3 else ''}" if rest else ""
    return outcome, f"{done} of {len(rows)} runs{untried}"


def _kinds(cell):
    return {(key, str(value)) for key, value in cell.items() if isinstance(value, (str, bool))}


def _varies(rows, key):
    return len({json.dumps(row["settings"].get(key)) for row in rows}) > 1


def _note(name, outcome, detail, start):
    OUTCOMES.append(
        {"name": name, "outcome": outcome, "detail": detail, "seconds": round(time.perf_counter() - start, 1)}
    )


def _is_accepted(name):
    return any(fnmatch.fnmatch(name, pattern) for pattern in os.environ.get("WORKBOOK_ACCEPT", "").split(","))


# --- settings that are new or have another name ---------------------------------------------------------------------


def former(name, settings):
    """What the settings of a result were before the changes that `checkpoints/migrations.json` lists.

    It says for names of results (with wildcards) which settings are new there, and what they were before: under
    another name, {"was": "rate"}, or absent, with what is now written as a value at work, {"then": 0.0}. A new
    setting with another value than "then" is a new training, whose results no stored one can be.
    """
    file, old = checkpoints_folder() / "migrations.json", dict(settings)
    table = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for pattern, changes in table.items():
        for new, change in changes.items() if fnmatch.fnmatch(name, pattern) else ():
            if new in old and "was" in change:
                old[change["was"]] = old.pop(new)
            elif new in old and old[new] == change["then"]:
                del old[new]
    return old
