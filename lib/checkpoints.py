"""What is kept of a training: weights, settings, history and results, and the decision whether to load them or to
train.

Two stores hold finished work. `checkpoints/` ships with the workbook and is written only by `make ship`;
`checkpoints/local/` receives every training of the reader and wins where both match. A training is identified by its
name, its settings (plain numbers and strings) and the source code of the classes and functions that decide its
result. Everything equal: it is loaded. Anything different: it is trained.
"""

import ast
import hashlib
import inspect
import io
import json
import os
import re
import tempfile
import textwrap
import time
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from tqdm.auto import tqdm

from lib import events
from lib.paths import ROOT, checkpoints_folder, exports_folder

FORMAT = "workbook-1"
RECORDS = []  # one entry per call of `train_or_load` and `sweep` in this process; `lib.reporting` reads it


class CheckpointError(Exception):
    """A file that is missing, damaged or not ours, or a name or settings that cannot be stored."""


# --- files ----------------------------------------------------------------------------------------------------------


def write_atomically(path, data):
    """Write bytes so that `path` holds either its old content or all of the new one, whenever the process is killed."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; the old file, if any, is unchanged"
        ) from error


def _pack(node, tensors, name):
    """Replace every tensor in nested dicts, lists and tuples by its name; collect the tensors in `tensors`."""
    if isinstance(node, torch.Tensor):
        tensors[name] = node.detach().cpu().contiguous().clone()  # clone: safetensors refuses shared memory
        return {"__tensor__": name}
    if isinstance(node, dict):
        return {
            "__dict__": [
                [key, _pack(value, tensors, f"{name}.{key}" if name else str(key))] for key, value in node.items()
            ]
        }
    if isinstance(node, tuple):
        return {"__tuple__": [_pack(value, tensors, f"{name}.{i}") for i, value in enumerate(node)]}
    if isinstance(node, list):
        return [_pack(value, tensors, f"{name}.{i}") for i, value in enumerate(node)]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise CheckpointError(
        f"cannot store {name}: {type(node).__name__} is neither a tensor nor a plain value; convert it first"
    )


def _unpack(node, tensors):
    if isinstance(node, list):
        return [_unpack(value, tensors) for value in node]
    if isinstance(node, dict):
        ((kind, value),) = node.items()
        if kind == "__tensor__":
            return tensors[value]
        if kind == "__tuple__":
            return tuple(_unpack(item, tensors) for item in value)
        return {key: _unpack(item, tensors) for key, item in value}
    return node


def _digest(structure, tensors):
    """SHA-256 of everything in a file: safetensors itself notices truncation, but not a flipped bit."""
    digest = hashlib.sha256(structure.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def save(path, tree):
    """Store nested dicts, lists and tuples of tensors and plain values as one safetensors file with a checksum,
    atomically.

    Raises:
        CheckpointError: a value cannot be stored, or the file cannot be written (the old file then stays as it was).
    """
    tensors = {}
    structure = json.dumps(_pack(tree, tensors, ""))
    metadata = {"format": FORMAT, "structure": structure, "sha256": _digest(structure, tensors)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load(path):
    """Read what `save` stored; nothing is ever unpickled.

    Raises:
        CheckpointError: the file is missing, was not written by this workbook, or is damaged (truncated, bits flipped).
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise CheckpointError(f"{path} is not a checkpoint of this workbook (no '{FORMAT}' mark); move it away")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if _digest(metadata["structure"], tensors) != metadata["sha256"]:
            raise CheckpointError(f"{path} is damaged: its checksum does not fit its content; delete it to train again")
        return _unpack(json.loads(metadata["structure"]), tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}); delete it to train again"
        ) from error


def _write_table(path, rows):
    """Rows of plain values as JSON, one row a line (diffs stay readable), with a checksum."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    write_atomically(path, f'{{"format": "{FORMAT}", "sha256": "{digest}", "rows": [\n{lines}\n]}}\n'.encode())


def _read_table(path):
    try:
        text = Path(path).read_text("utf-8")
        table = json.loads(text)
        lines = text[text.index("[\n") + 2 : text.rindex("\n]}")]
        if table["format"] != FORMAT or hashlib.sha256(lines.encode()).hexdigest() != table["sha256"]:
            raise ValueError("its checksum does not fit its content")
        return table["rows"]
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no table {path}") from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a table of this workbook ({error}); delete it to run again"
        ) from error


# --- identity -------------------------------------------------------------------------------------------------------


def _code(obj):
    """Source text of a class or function without docstrings, comments and blank lines."""
    try:
        text = textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError):
        if not inspect.isclass(obj):
            raise
        # Before Python 3.13 a class defined in a notebook cell has no source, but its methods do.
        methods = [value for value in vars(obj).values() if inspect.isfunction(value)]
        return "\n".join(_code(method) for method in methods)
    lines = text.splitlines()
    cut = []  # numbers of the lines that are removed
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            cut += range(body[0].lineno, body[0].end_lineno + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    return "\n".join(line.rstrip() for number, line in enumerate(lines, 1) if number not in cut and line.strip())


def source_hash(*objects):
    """Twelve hex digits that change when the code of the given classes or functions changes, comments and docstrings
    aside.

    Functions, classes and plain constants of this project that the code refers to by name are followed; libraries
    are not. The text is compared, not Python's syntax tree, so that the hash is the same under every Python version.
    """
    texts, queue, seen = [], [inspect.unwrap(obj) for obj in objects], set()
    while queue:
        obj = queue.pop()
        if obj in seen:
            continue
        seen.add(obj)
        try:
            code = _code(obj)
        except (OSError, TypeError) as error:
            raise CheckpointError(
                f"the source of {obj!r} cannot be read; define it in a file or a notebook cell"
            ) from error
        texts.append(code)
        names = inspect.getmodule(obj).__dict__ if inspect.getmodule(obj) else {}
        for name in sorted({node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}):
            value = names.get(name)
            if inspect.isclass(value) or inspect.isfunction(value):
                if (value.__module__ or "").split(".")[0] in ("lib", "__main__"):
                    queue.append(value)
            elif isinstance(value, (bool, int, float, str, tuple)) and obj.__module__ != "__main__":
                texts.append(f"{name}={value!r}")
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:12]


def fingerprint(*paths_or_tensors):
    """Twelve hex digits of the content of files or tensors: put it among the settings when data come from outside.

    Data that the workbook generates need none: there the generator's source and settings say everything, also on
    machines whose last floating-point digit differs.
    """
    digest = hashlib.sha256()
    for item in paths_or_tensors:
        if isinstance(item, torch.Tensor):
            digest.update(f"{item.dtype}{tuple(item.shape)}".encode())
            digest.update(item.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(Path(item).read_bytes())
    return digest.hexdigest()[:12]


def _key(settings, source):
    try:
        text = json.dumps(settings, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"settings must be plain numbers, strings, lists and dicts: {error}") from error
    return hashlib.sha256(f"{text}{source}".encode()).hexdigest()[:16]


def local_folder():
    """The reader's own store, ignored by git."""
    return checkpoints_folder() / "local"


def _check_name(name):
    if not re.fullmatch(r"[A-Za-z0-9_]+/[A-Za-z0-9_.-]+", name):
        raise CheckpointError(f"the name {name!r} must look like 'notebook/run', of letters, digits, '_', '-' and '.'")


def _shipping():
    return os.environ.get("WORKBOOK_SHIP") == "1"


def _read(path, reader):
    """The content of a stored file, or None with one printed line if it is damaged (it is then never used)."""
    if not Path(path).exists():
        return None
    try:
        return reader(path)
    except CheckpointError as error:
        print(f"Ignored: {_relative(error)}")
        return None


def _relative(text):
    return str(text).replace(str(ROOT) + os.sep, "").replace(str(checkpoints_folder()) + os.sep, "checkpoints/")


# --- train or load --------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A trained model and what is known about its training.

    Attributes:
        name: `notebook/run`.
        model: the module, with the trained weights, on the device it was given on.
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


def _difference(settings, source, stored):
    """One phrase that says what differs from a stored run; empty if nothing does."""
    if stored["source"] != source:
        return "its code differs from the shipped one"
    old = stored["settings"]
    changed = [
        f"{key} {old.get(key, 'unset')} → {settings.get(key, 'unset')}"
        for key in sorted({*old, *settings})
        if old.get(key) != settings.get(key)
    ]
    return ", ".join(changed)


def train_or_load(name, model, train, settings, *, sources=(), retrain=False, why=""):
    """Return a trained model: loaded if exactly this training was done before, otherwise trained now and stored.

    Args:
        name: "notebook/run", for example "01_palindromes/lstm_T20".
        model: a freshly initialised module; the trained weights are put into it.
        train: called as `train(model, resume=path, log_dir=path)`, returns the history; pass both paths on to
            `training.fit`.
        settings: everything that decides the result, as plain values: sizes, rates, steps, seed.
        sources: classes and functions besides the model's own whose code decides the result (data set, loss).
        retrain: train even if a finished training exists (a killed one still resumes).
        why: one sentence for the run table: the reason for this training.

    Returns:
        Run: model, history, settings, CPU-seconds and where it came from.

    Raises:
        CheckpointError: the name or the settings cannot be stored. A damaged file is named, left alone and never
            loaded.
    """
    _check_name(name)
    source = source_hash(type(model), *sources)
    key = _key(settings, source)
    local_file = local_folder() / name / f"{key}.safetensors"
    shipped_file = checkpoints_folder() / f"{name}.safetensors"
    shipped = _read(shipped_file, load)
    difference = _difference(settings, source, shipped) if shipped else ""
    stored, origin = (_read(local_file, load), "local")
    if stored is None and shipped and not difference:
        stored, origin = shipped, "shipped"
    log_dir = exports_folder() / "runs" / name

    if stored is not None and (not retrain or _shipping()):
        model.load_state_dict(stored["model"])
        run = Run(name, model, stored["history"], settings, stored["seconds"], origin)
        message = f"loaded ({origin})"
        events.write(log_dir, run.history, mark=key)
    else:
        reason = "asked to" if retrain else difference or "no finished training found"
        print(f"{name}: training ({reason}) …")
        resume = local_folder() / name / f"{key}.resume"
        start = time.process_time()
        history = train(model, resume=resume, log_dir=log_dir)
        seconds = history["seconds"][-1] if history.get("seconds") else time.process_time() - start
        stored = {
            "name": name,
            "settings": settings,
            "source": source,
            "history": history,
            "seconds": seconds,
            "torch": torch.__version__,
            "model": model.state_dict(),
        }
        save(local_file, stored)
        resume.unlink(missing_ok=True)
        run = Run(name, model, history, settings, seconds)
        message = "trained"
    if _shipping():  # store what is not there yet; touch the rest, so that `make ship` knows what is still asked for
        save(shipped_file, stored) if origin == "local" else os.utime(shipped_file)
    outcome = ", ".join(f"{key} {value:.4g}" for key, value in run.result.items() if isinstance(value, (int, float)))
    print(f"{name}: {message}; {run.seconds:.0f} CPU-seconds, {outcome}")
    RECORDS.append(
        {
            "name": name,
            "why": why,
            "reference": not difference,
            "rows": [{"settings": settings, "result": run.result, "seconds": run.seconds}],
        }
    )
    return run


# --- sweeps ---------------------------------------------------------------------------------------------------------


@dataclass
class _Marker:
    """Remembers when a retraining of a sweep began, so that one that was killed goes on instead of starting over."""

    path: Path
    since: float = field(init=False)

    def __post_init__(self):
        if not self.path.exists():
            write_atomically(self.path, b"")
        self.since = self.path.stat().st_mtime


def sweep(name, run, cells, settings=None, *, sources=(), retrain=False, why=""):
    """Run one function over many settings, keeping the numbers of each run; finished runs are loaded, missing ones
    computed.

    Args:
        name: "notebook/sweep".
        run: called as `run(**cell)`, returns a dict of plain numbers and lists. `settings` are only remembered, not
            passed.
        cells: list of dicts, one per run, of what is varied (seed, length, …).
        settings: dict of what all runs share.
        sources: classes and functions whose code decides the results; the code of `run` itself is not compared,
            because it stands in a notebook where one may want to add a comment: name what it uses instead.
        retrain: compute everything again (what a killed attempt has finished is kept).
        why: one sentence for the run table.

    Returns:
        list of dicts in the order of `cells`: the cell's own values, the function's result, and `cpu_seconds`.
    """
    _check_name(name)
    settings = settings or {}
    source = source_hash(*sources)
    folder = local_folder() / name
    shipped_file = checkpoints_folder() / f"{name}.json"
    shipped_rows = _read(shipped_file, _read_table) or []
    shipped = {_key(row["settings"], row["source"]): row for row in shipped_rows}
    keys = [_key({**settings, **cell}, source) for cell in cells]
    marker = _Marker(folder / ".retraining") if retrain and not _shipping() else None

    rows, counts = {}, {"shipped": 0, "local": 0}
    for key in keys:
        file = folder / f"{key}.json"
        if file.exists() and (marker is None or file.stat().st_mtime >= marker.since):
            if found := _read(file, _read_table):
                rows[key] = found[0]
                counts["local"] += 1
        elif key in shipped and marker is None:
            rows[key] = shipped[key]
            counts["shipped"] += 1
    missing = [(key, cell) for key, cell in zip(keys, cells, strict=True) if key not in rows]
    if missing:
        known = [row["seconds"] for row in shipped.values()]
        estimate = f", about {sum(known) / len(known) * len(missing) / 60:.0f} min" if known else ""
        reason = "asked to" if retrain else "settings or code differ" if shipped_rows else "no stored results found"
        print(f"{name}: {len(missing)} of {len(cells)} runs to compute ({reason}{estimate}) …")
    for key, cell in tqdm(missing, desc=name.split("/")[1], leave=False, disable=not missing, mininterval=0.5):
        start = time.process_time()
        result = run(**cell)
        rows[key] = {
            "settings": {**settings, **cell},
            "source": source,
            "result": result,
            "seconds": round(time.process_time() - start, 2),
        }
        _write_table(folder / f"{key}.json", [rows[key]])
    if marker:
        marker.path.unlink(missing_ok=True)
    if _shipping():
        _write_table(shipped_file, [rows[key] for key in keys])
    seconds = sum(row["seconds"] for row in rows.values())
    origins = ", ".join(f"{count} {origin}" for origin, count in {**counts, "computed": len(missing)}.items() if count)
    print(f"{name}: {len(cells)} runs ({origins}); {seconds / 60:.1f} CPU-minutes")
    RECORDS.append(
        {
            "name": name,
            "why": why,
            "reference": not shipped_rows or all(key in shipped for key in keys),
            "rows": [{key: rows[k][key] for key in ("settings", "result", "seconds")} for k in keys],
        }
    )
    return [
        {**cell, **rows[key]["result"], "cpu_seconds": rows[key]["seconds"]}
        for key, cell in zip(keys, cells, strict=True)
    ]


def is_reference():
    """Whether this process may be held to the shipped results (the claims' condition, together with the profile)."""
    return all(record["reference"] for record in RECORDS)
