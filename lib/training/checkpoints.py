"""What is kept of a training: weights, settings, history and results, and the decision whether to load them or to
train.

Two stores hold finished work. `checkpoints/` ships with the workbook and is written only by `make ship` and `restamp`;
`checkpoints/local/` receives every training of the reader and wins where both match. A training is identified by its
name, its settings (plain numbers and strings) and the code that decides its result (`lib.storage.fingerprint`).
Everything equal: it is loaded. Anything different: it is trained.
"""

import contextlib
import os
import time
import weakref
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from lib.storage import tensors
from lib.storage.files import CheckpointError, check_writable, read_table, write_atomically, write_table
from lib.storage.fingerprint import code_parts, difference, fingerprint_of
from lib.storage.paths import checkpoints_folder, exports_folder
from lib.training import arithmetic, distributed, durations, events, probes, restamping, states
from lib.training.loop import check_weights
from lib.training.stores import check_name, is_shipping, key_of, local_folder, note_used, read_result, was_retrained

_BUILT = weakref.WeakSet()  # models that `build` functions have returned, and their parts
RECORDS = []  # one entry per name that `train_or_load` or `sweep` was called with; `lib.workbook.reporting` reads it


def is_reference():
    """Whether this process may be held to the shipped results (the claims' condition, together with the profile)."""
    return all(record["reference"] for record in RECORDS)


# --- train or load --------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A trained model and what is known about its training.

    Attributes:
        name: `notebook/run`.
        model: the module, with the trained weights, on the device on which it was built or trained.
        history: dict of lists, one number per epoch: `step`, `loss`, `rate`, `seconds`, and what the validation
            returned.
        settings: what the training was asked to do. seconds: CPU time of the training (`time.process_time`).
        origin: "shipped", "local" or "trained".
    """

    name: str
    model: torch.nn.Module
    history: dict
    settings: dict
    seconds: float
    origin: str = "trained"

    @property
    def result(self):
        """The last value of every validated quantity (or of the loss, where nothing was validated)."""
        last = {
            key: values[-1] for key, values in self.history.items() if values and key not in ("step", "rate", "seconds")
        }
        return {key: value for key, value in last.items() if key not in ("loss", "gradient_norm")} or last


def train_or_load(name, build, train, settings, *, sources=(), retrain=False, why="", log_dir=None, half=False):
    """Return a trained model: loaded if exactly this training was done before, otherwise trained now and stored.

    Args:
        name: "notebook/run", for example "01_palindromes/lstm_T20".
        build: function of no arguments that returns a freshly initialised module, for example
            `lambda: build(VanillaRNN, seed=0)`. A module itself is refused: it may have been trained before.
        train: called as `train(model, resume=path, log_dir=path)`, returns the history; pass both paths on to
            `training.fit`.
        settings: everything else that decides the result, as plain values: sizes, rates, steps, seed.
        sources: further classes and functions whose code decides the result, where `build` and `train` do not refer to
            them by name (see `lib.storage.fingerprint.code_parts`).
        retrain: train even if a finished training exists (a killed one still resumes).
        why: one sentence for the run table: the reason for this training.
        log_dir: folder of its TensorBoard events (default: `exports/runs/<name>`).
        half: round the trained weights to half precision, relative errors of up to 5e-4, which makes the file half as
            large. The model that is returned has the rounded weights, whether it was trained now or loaded; the
            settings then say "precision": "half".

    Returns:
        Run: model, history, settings, CPU-seconds and where it came from.

    Raises:
        CheckpointError: the name or the settings cannot be stored, nothing can be written, or `build` builds no module.
            A damaged file is named, left alone and never loaded.
        TrainingError: the trained weights are not finite. Stopped: see `lib.training.states`.
    """
    check_name(name)
    model = _built(name, build)
    settings = settings | ({"precision": "half"} if half else {}) | arithmetic.as_setting()
    parts = code_parts(build, train, type(model), *sources)
    key = key_of(settings, source := fingerprint_of(parts))
    local_file = local_folder() / name / f"{key}.safetensors"
    shipped_file = checkpoints_folder() / f"{name}.safetensors"
    shipped = read_result(shipped_file, tensors.load)
    if shipped and restamping.wanted():
        shipped = restamping.training(shipped_file, name, shipped, build, train, settings, parts)
    unlike = _unlike(settings, source, parts, shipped) if shipped else ""
    stored, origin = (read_result(local_file, tensors.load, settings, source), "local")
    resume = local_folder() / name / f"{key}.resume"
    if stored and distributed.is_main():
        _remove_finished(resume, stored)
    if stored is None and shipped and not unlike:
        stored, origin = shipped, "shipped"
    log_dir = log_dir or exports_folder() / "runs" / name
    usable = stored is not None and (not retrain or is_shipping() or was_retrained(local_file))
    # Processes that share their trainings must all train or all load: what the main one has found decides.
    stored, origin, usable = distributed.agree((stored, origin, usable))

    if usable:
        try:
            model.load_state_dict(stored["model"])
        except RuntimeError as error:
            raise CheckpointError(
                f"{name}: the stored weights do not fit the model, although settings and code are the same; name among "
                f"the settings what the model's size depends on ({error})"
            ) from error
        run = Run(name, model, stored["history"], settings, stored["seconds"], origin)
        message = f"loaded ({origin})"
        if distributed.is_main() and not probes.active():
            events.write(log_dir, run.history, mark=key)
    else:
        if restamping.wanted() or probes.active():  # where a short replay was asked for, nothing long is begun
            raise probes.CannotReplay(f"{name} is not stored")
        check_writable(local_folder() / name)
        durations.tell(name)
        reason = "asked to" if retrain else unlike or "no finished training found"
        if resume.exists():
            reason += "; going on where an interrupted training stopped"
        print(f"{name}: training ({reason}) …")
        start = time.process_time()
        with states.interruptible(lambda: states.how_to_go_on(resume)):
            history = train(model, resume=resume, log_dir=log_dir)
        if not isinstance(history, dict):
            raise CheckpointError(f"{name}: `train` must return the history, got a {type(history).__name__}")
        check_weights(model, history.get("step", [0])[-1])
        seconds = history["seconds"][-1] if history.get("seconds") else time.process_time() - start
        stored = {
            "name": name,
            "settings": settings,
            "source": source,
            "code": parts,
            "history": history,
            "seconds": seconds,
            "torch": torch.__version__,
            "model": _halved(model.state_dict()) if half else model.state_dict(),
        }
        if distributed.is_main():  # of the processes that share a training
            tensors.save(local_file, stored)
            resume.unlink(missing_ok=True)
        distributed.wait()
        if half:
            model.load_state_dict(stored["model"])
        run = Run(name, model, history, settings, seconds)
        message = "trained"
    as_shipped = shipped and not unlike and "probe" in shipped and shipped["history"] == stored["history"]
    if is_shipping() and not as_shipped:
        try:
            stored["probe"] = probes.take(build, train, stored["model"], stored["history"])
        except probes.CannotReplay as error:
            print(f"{name}: ships without a probe, and cannot be restamped ({error})")
        tensors.save(shipped_file, stored)
    outcome = ", ".join(f"{key} {value:.4g}" for key, value in run.result.items() if isinstance(value, (int, float)))
    print(f"{name}: {message}; {run.seconds:.0f} CPU-seconds, {outcome}")
    note_used(shipped_file if run.origin == "shipped" else local_file)
    _remember(name, why, not unlike, [{"settings": settings, "result": run.result, "seconds": run.seconds}])
    return run


def _built(name, build):
    if isinstance(build, torch.nn.Module) or not callable(build):
        raise CheckpointError(
            f"{name}: `build` must be a function that returns a new model, for example `lambda: VanillaRNN(10, 128, "
            f"10)`, not a {type(build).__name__}: a model that exists may have been trained before"
        )
    model = build()
    if not isinstance(model, torch.nn.Module):
        raise CheckpointError(f"{name}: `build` must return a torch module, got a {type(model).__name__}")
    trained = [part for part in model.modules() if any(weight.requires_grad for weight in part.parameters())]
    if any(part in _BUILT for part in trained):
        raise CheckpointError(f"{name}: `build` must return a new model at every call, not (parts of) an earlier one")
    _BUILT.update(trained)
    return model


def _remove_finished(resume, stored):
    """Remove the state of a training that is finished and stored, which a kill just after storing it has left."""
    with contextlib.suppress(CheckpointError):
        state = states.stored_state(resume)
        if state and all(state["history"].get(part) == stored["history"].get(part) for part in ("step", "seconds")):
            resume.unlink()


def _unlike(settings, source, parts, stored):
    """One phrase that says what differs from a stored training; empty if nothing does."""
    old = stored["settings"]
    changed = [
        f"{key} {old.get(key, 'unset')} → {settings.get(key, 'unset')}"
        for key in sorted({*old, *settings})
        if old.get(key) != settings.get(key)
    ]
    if changed or stored["source"] == source:
        return ", ".join(changed)
    return difference(parts, stored.get("code", {})) or "its code differs from the shipped one"


def _halved(weights):
    """Weights in half precision, which has no numbers beyond 65,504; whole numbers, such as counters, as they are."""
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    if lost := [name for name, value in halved.items() if not torch.equal(value.isfinite(), weights[name].isfinite())]:
        raise CheckpointError(f"{lost[0]} has numbers beyond 65,504, too large for half precision: use half=False")
    return halved


# --- sweeps ---------------------------------------------------------------------------------------------------------


def _began(marker):
    """When the retraining of a sweep began that a file marks, so that one that was killed goes on."""
    if not marker.exists():
        write_atomically(marker, b"")
    since = os.environ.get("WORKBOOK_RETRAIN_SINCE") or "inf"  # see `lib.training.stores.was_retrained`
    return min(marker.stat().st_mtime, float(since))


def sweep(name, run, cells, settings=None, *, sources=(), retrain=False, why="", timed=()):
    """Run one function over many settings, keeping the numbers of each run; finished runs are loaded, missing ones
    computed.

    Args:
        name: "notebook/sweep".
        run: called as `run(**cell)`, returns a dict of plain numbers and lists. Its code decides, as in
            `train_or_load`. `settings` are only remembered, not passed.
        cells: list of dicts, one per run, of what is varied (seed, length, …).
        settings: dict of what all runs share.
        sources: further classes and functions whose code decides the results, where `run` does not refer to them.
        retrain: compute everything again (what a killed attempt has finished is kept).
        why: one sentence for the run table.
        timed: names of results that are, or contain, measured times, others at every run.

    Returns:
        list of dicts in the order of `cells`: the cell's own values, the function's result, and `cpu_seconds`.

    Raises:
        CheckpointError: name, settings or results cannot be stored. Stopped: see `lib.training.states`.
    """
    check_name(name)
    settings = (settings or {}) | arithmetic.as_setting()
    parts = code_parts(run, *sources)
    source = fingerprint_of(parts)
    folder = local_folder() / name
    shipped_file = checkpoints_folder() / f"{name}.json"
    shipped_rows, shipped_parts = read_result(shipped_file, read_table) or ([], {})
    if shipped_rows and restamping.wanted():
        shipped_rows = restamping.sweep(shipped_file, name, shipped_rows, run, cells, settings, parts, timed)
    shipped = {key_of(row["settings"], row["source"]): row for row in shipped_rows}
    keys = [key_of({**settings, **cell}, source) for cell in cells]
    marker = folder / ".retraining" if retrain and not is_shipping() else None
    since = _began(marker) if marker else float("-inf")

    rows, counts, used = {}, {"shipped": 0, "local": 0}, []
    for key, cell in zip(keys, cells, strict=True):
        file = folder / f"{key}.json"
        fresh = file.exists() and file.stat().st_mtime > since
        if fresh and (found := read_result(file, read_table, {**settings, **cell}, source)):
            rows[key] = found[0][0]
            counts["local"] += 1
            used.append(file)
        elif key in shipped and marker is None:
            rows[key] = shipped[key]
            counts["shipped"] += 1
            used.append(shipped_file)
    rows, counts, used = distributed.agree((rows, counts, used))  # as in `train_or_load`
    missing = [(key, cell) for key, cell in zip(keys, cells, strict=True) if key not in rows]
    if missing:
        if restamping.wanted():
            raise probes.CannotReplay(f"{len(missing)} of {len(cells)} runs of {name} are not stored")
        known = [row["seconds"] for row in shipped.values()]
        estimate = f", about {sum(known) / len(known) * len(missing) / 60:.0f} min" if known else ""
        unlike = difference(parts, shipped_parts) or "settings or code differ"
        reason = "asked to" if retrain else unlike if shipped_rows else "no stored results found"
        check_writable(folder)
        durations.tell(name)
        print(f"{name}: {len(missing)} of {len(cells)} runs to compute ({reason}{estimate}) …")
    bar = tqdm(missing, desc=name.split("/")[1], leave=False, disable=not missing, mininterval=0.5)

    def stopped():
        done = sum(key in rows for key, _ in missing)
        return f"Stopped after {done} of {len(missing)} runs, which are stored; run the cell again to go on", True

    with states.interruptible(stopped), bar:
        for key, cell in bar:
            start = time.process_time()
            result, file = run(**cell), folder / f"{key}.json"
            if not isinstance(result, dict):
                raise CheckpointError(f"{name}: `run` must return a dict of results, got a {type(result).__name__}")
            row = {
                "settings": {**settings, **cell},
                "source": source,
                "result": result,
                "seconds": round(time.process_time() - start, 2),
                "machine": probes.machine(),
            }
            if distributed.is_main():
                write_table(file, [row])
                (row,), _ = read_table(file)  # as it will look when loaded: a tuple has become a list
            rows[key] = distributed.agree(row)
            used.append(file)
    if marker:
        marker.unlink(missing_ok=True)
    note_used(*dict.fromkeys(used))
    if is_shipping():
        write_table(shipped_file, [rows[key] for key in keys], parts)
    seconds = sum(row["seconds"] for row in rows.values())
    origins = ", ".join(f"{count} {origin}" for origin, count in {**counts, "computed": len(missing)}.items() if count)
    print(f"{name}: {len(cells)} runs ({origins}); {seconds / 60:.1f} CPU-minutes")
    _remember(
        name,
        why,
        not shipped_rows or all(key in shipped for key in keys),
        [{key: rows[k][key] for key in ("settings", "result", "seconds")} for k in keys],
    )
    return [
        {**cell, **rows[key]["result"], "cpu_seconds": rows[key]["seconds"]}
        for key, cell in zip(keys, cells, strict=True)
    ]


def _remember(name, why, reference, rows):
    """Note a call for the run table; running a notebook's cell again replaces what it noted before."""
    record = {"name": name, "why": why, "reference": reference, "rows": rows}
    number = next((number for number, old in enumerate(RECORDS) if old["name"] == name), len(RECORDS))
    RECORDS[number : number + 1] = [record]
