"""What is kept of a training: weights, settings, history and results, and the decision whether to load them or to
train.

Two stores hold finished work. `checkpoints/` ships with the workbook and is written only by `make ship`;
`checkpoints/local/` receives every training of the reader and wins where both match. A training is identified by its
name, its settings (plain numbers and strings) and the source code of the classes and functions that decide its
result. Everything equal: it is loaded. Anything different: it is trained.
"""

import ast
import contextlib
import hashlib
import inspect
import io
import json
import linecache
import os
import re
import secrets
import sys
import textwrap
import time
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from tqdm.auto import tqdm

from lib import distributed, events
from lib.paths import ROOT, checkpoints_folder, exports_folder

FORMAT = "workbook-1"
# What `source_hash` looks into.
FOLLOWED = ("lib.models", "lib.datasets", "lib.losses", "lib.adversarial", "lib.experiments", "__main__")
RECORDS = []  # one entry per name that `train_or_load` or `sweep` was called with; `lib.reporting` reads it


class CheckpointError(Exception):
    """A file that is missing, damaged or not ours, or a name or settings that cannot be stored."""


# --- files ----------------------------------------------------------------------------------------------------------


def write_atomically(path, data):
    """Write bytes so that `path` holds either its old content or all of the new one, whenever the process is killed."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; the old file, if any, is unchanged"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _replace(source, target, patience=5.0):
    """`os.replace`, which Windows refuses as long as another process has the target open, be it only to read it."""
    end = time.monotonic() + (patience if os.name == "nt" else 0)
    while True:
        try:
            return os.replace(source, target)
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def _pack(node, tensors, name):
    """Replace every tensor in nested dicts, lists and tuples by its name; collect the tensors in `tensors`."""
    if isinstance(node, torch.Tensor):
        while name in tensors or name == "__metadata__":  # {"a.b": …} beside {"a": {"b": …}}; safetensors' own name
            name += "'"
        tensors[name] = node.detach().cpu().resolve_conj().contiguous().clone()  # safetensors refuses shared memory
        return {"__tensor__": name}
    if isinstance(node, dict):
        if strange := [key for key in node if not isinstance(key, (str, int, float, bool, type(None)))]:
            raise CheckpointError(f"cannot store {name}: the key {strange[0]!r} is neither text nor number")
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
        digest.update(f"{name}{tensors[name].dtype}{tuple(tensors[name].shape)}".encode())
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(tensor):
    return tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""


def save(path, tree):
    """Store nested dicts, lists and tuples of tensors and plain values as one safetensors file with a checksum,
    atomically.

    Raises:
        CheckpointError: a value cannot be stored, or the file cannot be written (the old file then stays as it was).
    """
    tensors = {}
    structure = json.dumps(_pack(tree, tensors, ""))
    try:
        data = safetensors.torch.save(
            tensors, {"format": FORMAT, "structure": structure, "sha256": _digest(structure, tensors)}
        )
    except (KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        kinds = sorted({str(tensor.dtype) for tensor in tensors.values()})
        raise CheckpointError(
            f"cannot store {path}: one of {', '.join(kinds)} is no type that safetensors knows"
        ) from error
    write_atomically(path, data)


def load(path):
    """Read what `save` stored; nothing is ever unpickled.

    Raises:
        CheckpointError: the file is missing, was not written by this workbook, or is damaged (truncated, bits flipped).
    """
    try:
        # Read at once: another process may replace the file at any time, and Windows replaces no file that is open.
        data = Path(path).read_bytes()
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__") or {}
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path} is not a checkpoint of this workbook (no '{FORMAT}' mark); move it away")
        if _digest(metadata["structure"], tensors) != metadata["sha256"]:
            raise CheckpointError(f"{path} is damaged: its checksum does not fit its content; delete it to train again")
        return _unpack(json.loads(metadata["structure"]), tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}); delete it to train again"
        ) from error


def _write_table(path, rows):
    """Rows of plain values as JSON, one row a line (diffs stay readable), with a checksum."""
    try:
        lines = ",\n".join(json.dumps(row) for row in rows)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"cannot store {path}: results must be plain numbers, texts and lists ({error})"
        ) from error
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


def source_text(obj):
    """Source of a class or function, whether it stands in a file or in a notebook cell.

    Raises:
        OSError, TypeError: there is no source, as for what is built into Python or was typed into a plain console.
    """
    try:
        return textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError):
        if not inspect.isclass(obj):
            raise
    # Before Python 3.13 nobody knows where a class of a notebook stands. Its methods do: they lead to the cell.
    for value in vars(obj).values():
        method = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))
        if inspect.isfunction(method):
            lines, number = linecache.getlines(method.__code__.co_filename), method.__code__.co_firstlineno
            for node in ast.walk(ast.parse("".join(lines))):
                if (
                    isinstance(node, ast.ClassDef)
                    and node.name == obj.__name__
                    and node.lineno <= number <= node.end_lineno
                ):
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
    if any(map(inspect.isfunction, vars(obj).values())):
        raise OSError(f"the source of {obj.__qualname__} is gone")
    plain = {key: value for key, value in vars(obj).items() if not key.startswith("__") and _is_plain(value)}
    bases = ", ".join(base.__name__ for base in obj.__bases__)
    return "\n    ".join([f"class {obj.__name__}({bases}):", *(f"{k} = {v!r}" for k, v in plain.items()), "pass"])


def _is_plain(value):
    """Whether this is a number, a text or a nesting of them, which prints alike in every process."""
    try:
        return isinstance(value, (bool, int, float, str, tuple, list, dict)) and bool(json.dumps(value))
    except (TypeError, ValueError):
        return False


def _code(obj):
    """Source text of a class or function without docstrings, comments and blank lines, and its syntax tree."""
    text = source_text(obj)
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a lambda in the middle of a line, or a text with lines that are indented less than the code
        return text, ast.Module([], [])
    lines = text.splitlines()
    cut = set()  # numbers of the lines that are removed
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            cut |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    kept = [line.rstrip() for number, line in enumerate(lines, 1) if number not in cut and line.strip()]
    return "\n".join(kept), tree


def _references(obj, tree):
    """What code refers to, by name or as attribute of a followed module: (name, value, whether a constant counts)."""
    names = getattr(sys.modules.get(obj.__module__), "__dict__", {})
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            # The variables of a notebook are its settings; they are compared by `settings`, not here.
            yield node.id, names.get(node.id), obj.__module__ != "__main__"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id)
            if inspect.ismodule(module) and module.__name__.startswith(FOLLOWED):
                yield node.attr, getattr(module, node.attr, None), True
    for base in getattr(obj, "__bases__", ()):
        yield base.__name__, base, False


def source_hash(*objects):
    """Twelve hex digits that change when the code of the given classes or functions changes, comments and docstrings
    aside.

    What the code refers to is followed if it belongs to a model, a data set, a loss or the notebook: functions, classes
    and plain constants. The training loop and whatever shows or keeps results are not followed, libraries neither: of a
    library's class only the name counts. The text is compared, not Python's syntax tree, so that the hash is the same
    under every Python version.

    Raises:
        CheckpointError: something is neither a class nor a function, or its source cannot be read.
    """
    texts, queue, seen = set(), [inspect.unwrap(obj) for obj in objects], set()
    while queue:
        obj = queue.pop()
        if not (inspect.isclass(obj) or inspect.isfunction(obj)):
            raise CheckpointError(f"sources must be classes and functions, not {obj!r}; put values among the settings")
        if obj in seen:
            continue
        seen.add(obj)
        file = getattr(sys.modules.get(obj.__module__), "__file__", None) or ""
        if {"site-packages", "dist-packages"} & {*Path(file).parts}:
            texts.add(f"{obj.__module__}.{obj.__qualname__}")
            continue
        try:
            code, tree = _code(obj)
        except (OSError, TypeError) as error:
            raise CheckpointError(
                f"the source of {obj!r} cannot be read; define it in a file or a notebook cell"
            ) from error
        texts.add(code)
        for name, value, constant_counts in _references(obj, tree):
            if inspect.isclass(value) or inspect.isfunction(value):
                if (value.__module__ or "").startswith(FOLLOWED):
                    queue.append(value)
            elif constant_counts and not name.startswith("__") and _is_plain(value):
                texts.add(f"{name}={value!r}")
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
            digest.update(_bytes(item.detach().cpu().contiguous()))
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
    if not re.fullmatch(r"[A-Za-z0-9_]+/[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise CheckpointError(f"the name {name!r} must look like 'notebook/run', of letters, digits, '_', '-' and '.'")


def _retrained(path):
    """Whether a retraining that a cluster has interrupted and now starts again stored this file before."""
    since = os.environ.get("WORKBOOK_RETRAIN_SINCE")  # set by `lib.cluster` and `cluster/train.sbatch`
    return bool(since) and path.exists() and path.stat().st_mtime >= float(since)


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


def train_or_load(name, model, train, settings, *, sources=(), retrain=False, why="", log_dir=None, half=False):
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
        log_dir: folder of its TensorBoard events (default: `exports/runs/<name>`).
        half: round the trained weights to half precision, relative errors of up to 5e-4, which makes the file half as
            large. The model that is returned has the rounded weights, whether it was trained now or loaded; the
            settings then say "precision": "half".

    Returns:
        Run: model, history, settings, CPU-seconds and where it came from.

    Raises:
        CheckpointError: the name or the settings cannot be stored. A damaged file is named, left alone and never
            loaded.
    """
    _check_name(name)
    settings = settings | ({"precision": "half"} if half else {})
    source = source_hash(type(model), *sources)
    key = _key(settings, source)
    local_file = local_folder() / name / f"{key}.safetensors"
    shipped_file = checkpoints_folder() / f"{name}.safetensors"
    shipped = _read(shipped_file, load)
    difference = _difference(settings, source, shipped) if shipped else ""
    stored, origin = (_read(local_file, load), "local")
    if stored is None and shipped and not difference:
        stored, origin = shipped, "shipped"
    log_dir = log_dir or exports_folder() / "runs" / name
    usable = stored is not None and (not retrain or _shipping() or _retrained(local_file))
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
        if distributed.is_main():
            events.write(log_dir, run.history, mark=key)
    else:
        reason = "asked to" if retrain else difference or "no finished training found"
        resume = local_folder() / name / f"{key}.resume"
        if resume.exists():
            reason += "; going on where an interrupted training stopped"
        print(f"{name}: training ({reason}) …")
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
            "model": _halved(model.state_dict()) if half else model.state_dict(),
        }
        if distributed.is_main():  # of the processes that share a training
            save(local_file, stored)
            resume.unlink(missing_ok=True)
        distributed.wait()
        if half:
            model.load_state_dict(stored["model"])
        run = Run(name, model, history, settings, seconds)
        message = "trained"
    if _shipping():  # store what is new; touch the rest, so that `make ship` knows what is still asked for
        if shipped and not difference and shipped["history"] == stored["history"]:
            os.utime(shipped_file)
        else:
            save(shipped_file, stored)
    outcome = ", ".join(f"{key} {value:.4g}" for key, value in run.result.items() if isinstance(value, (int, float)))
    print(f"{name}: {message}; {run.seconds:.0f} CPU-seconds, {outcome}")
    _note_used(shipped_file if run.origin == "shipped" else local_file)
    _remember(name, why, not difference, [{"settings": settings, "result": run.result, "seconds": run.seconds}])
    return run


def _halved(weights):
    """Weights in half precision, which has no numbers beyond 65,504; whole numbers, such as counters, as they are."""
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    if lost := [name for name, value in halved.items() if not torch.equal(value.isfinite(), weights[name].isfinite())]:
        raise CheckpointError(f"{lost[0]} has numbers beyond 65,504, too large for half precision: use half=False")
    return halved


def _note_used(*files):
    """Append the files that hold what a call has returned to the list that WORKBOOK_USED names, if it names one."""
    if listing := os.environ.get("WORKBOOK_USED"):
        with open(listing, "a", encoding="utf-8") as file:
            file.writelines(f"{path.relative_to(checkpoints_folder()).as_posix()}\n" for path in files)


def _remember(name, why, reference, rows):
    """Note a call for the run table; running a notebook's cell again replaces what it noted before."""
    record = {"name": name, "why": why, "reference": reference, "rows": rows}
    for number, old in enumerate(RECORDS):
        if old["name"] == name:
            RECORDS[number] = record
            return
    RECORDS.append(record)


# --- sweeps ---------------------------------------------------------------------------------------------------------


@dataclass
class _Marker:
    """Remembers when a retraining of a sweep began, so that one that was killed goes on instead of starting over."""

    path: Path
    since: float = field(init=False)

    def __post_init__(self):
        if not self.path.exists():
            write_atomically(self.path, b"")
        since = os.environ.get("WORKBOOK_RETRAIN_SINCE") or "inf"  # see `_retrained`
        self.since = min(self.path.stat().st_mtime, float(since))


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

    rows, counts, used = {}, {"shipped": 0, "local": 0}, []
    for key in keys:
        file = folder / f"{key}.json"
        fresh = file.exists() and (marker is None or file.stat().st_mtime > marker.since)
        if fresh and (found := _read(file, _read_table)):
            rows[key] = found[0]
            counts["local"] += 1
            used.append(file)
        elif key in shipped and marker is None:
            rows[key] = shipped[key]
            counts["shipped"] += 1
            used.append(shipped_file)
    rows, counts, used = distributed.agree((rows, counts, used))  # as in `train_or_load`
    missing = [(key, cell) for key, cell in zip(keys, cells, strict=True) if key not in rows]
    if missing:
        known = [row["seconds"] for row in shipped.values()]
        estimate = f", about {sum(known) / len(known) * len(missing) / 60:.0f} min" if known else ""
        reason = "asked to" if retrain else "settings or code differ" if shipped_rows else "no stored results found"
        print(f"{name}: {len(missing)} of {len(cells)} runs to compute ({reason}{estimate}) …")
    for key, cell in tqdm(missing, desc=name.split("/")[1], leave=False, disable=not missing, mininterval=0.5):
        start = time.process_time()
        result, file = run(**cell), folder / f"{key}.json"
        row = {
            "settings": {**settings, **cell},
            "source": source,
            "result": result,
            "seconds": round(time.process_time() - start, 2),
        }
        if distributed.is_main():
            _write_table(file, [row])
            (row,) = _read_table(file)  # as it will look when loaded: a tuple has become a list
        rows[key] = distributed.agree(row)
        used.append(file)
    if marker:
        marker.path.unlink(missing_ok=True)
    _note_used(*dict.fromkeys(used))
    if _shipping():
        _write_table(shipped_file, [rows[key] for key in keys])
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


def is_reference():
    """Whether this process may be held to the shipped results (the claims' condition, together with the profile)."""
    return all(record["reference"] for record in RECORDS)
