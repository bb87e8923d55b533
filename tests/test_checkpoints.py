"""What is kept: files that are whole or refused, names of what decides a result, and the choice to load or to train."""

import json
import linecache
import os
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lib import checkpoints, training
from lib.checkpoints import CheckpointError
from lib.models import LSTM, VanillaLSTM
from lib.paths import ROOT, checkpoints_folder

# --- files ----------------------------------------------------------------------------------------------------------

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


def alike(a, b):
    """Equal in type, shape and value, through dicts, lists and tuples; not-a-number equals itself."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.contiguous(), b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    return type(a) is type(b) and (a == b or a != a)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        [],
        None,
        3.5,
        {"a": {"b": [1, 2.5, "text", None, True, (1, (2, "ü → \n \"'"))]}, 7: {"x": float("inf"), 2.5: float("nan")}},
        {"state": {0: {"step": torch.tensor(3.0)}, 1: {"step": torch.tensor(4.0)}}, "groups": [{"betas": (0.9, 0.99)}]},
        torch.arange(3),
        [torch.zeros(0), torch.zeros(2, 0, 3), torch.tensor(True)],
        {"transposed": torch.arange(6).view(2, 3).T, "step": torch.arange(9)[::2], "spread": torch.ones(1).expand(4)},
        {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "": {"a.b": torch.ones(2)}},
        {1: torch.zeros(1), "1": torch.ones(1), "__metadata__": torch.ones(2), "__tensor__": {"__dict__": [1]}},
    ],
    ids=str,
)
def test_round_trip(tree, tmp_path):
    checkpoints.save(tmp_path / "deep" / "file", tree)
    assert alike(tree, checkpoints.load(tmp_path / "deep" / "file"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip_of_every_type(dtype, tmp_path):
    values = torch.tensor([0, 1, 0, 1, 1]).to(dtype)
    checkpoints.save(tmp_path / "file", {"flat": values, "one": values[1], "none": values[:0]})
    assert alike({"flat": values, "one": values[1], "none": values[:0]}, checkpoints.load(tmp_path / "file"))


def test_tied_tensors_and_parameters(tmp_path):
    layer = torch.nn.Linear(3, 3)
    checkpoints.save(tmp_path / "file", OrderedDict(weight=layer.weight, tied=layer.weight, row=layer.weight[1]))
    loaded = checkpoints.load(tmp_path / "file")
    assert torch.equal(loaded["weight"], layer.weight) and torch.equal(loaded["tied"], layer.weight)
    assert torch.equal(loaded["row"], layer.weight[1]) and not loaded["weight"].requires_grad


def test_what_is_loaded_can_be_changed_without_changing_the_file(tmp_path):
    checkpoints.save(tmp_path / "file", torch.zeros(5))
    checkpoints.load(tmp_path / "file").add_(1)
    assert checkpoints.load(tmp_path / "file").sum() == 0


@pytest.mark.parametrize(
    ("tree", "named"),
    [({"model": {"f": print}}, "model.f"), ({"a": [1, {2}]}, "a.1"), ({"a": {(1, 2): 0}}, "(1, 2)")],
    ids=["function", "set", "tuple as a key"],
)
def test_what_cannot_be_stored_is_named(tree, named, tmp_path):
    with pytest.raises(CheckpointError) as error:
        checkpoints.save(tmp_path / "file", tree)
    assert named in str(error.value) and not (tmp_path / "file").exists()


def test_a_type_that_safetensors_does_not_know(tmp_path):
    with pytest.raises(CheckpointError, match="cannot store.*complex128"):
        checkpoints.save(tmp_path / "file", torch.zeros(2, dtype=torch.complex128))


@pytest.fixture
def stored(tmp_path):
    """A small file whose header is longer than its content, as bytes, and its path."""
    path = tmp_path / "weights.safetensors"
    checkpoints.save(
        path, {"model": {"weight": torch.randn(4, 5), "bias": torch.zeros(5)}, "history": {"loss": [1.0, 0.5]}}
    )
    return path, path.read_bytes()


def test_truncated_files_are_named_and_never_loaded(stored):
    path, data = stored
    for length in {*range(0, len(data), 7), 1, 8, 9, len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged"):
            checkpoints.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged"):
        checkpoints.load(path)


def test_a_flipped_bit_anywhere_is_noticed(stored):
    path, data = stored
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors is"):
            checkpoints.load(path)
            pytest.fail(f"bit {position % 8} of byte {position} of {len(data)} was flipped and not noticed")


def test_foreign_files_are_refused(tmp_path):
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="foreign is not a checkpoint of this workbook"):
        checkpoints.load(tmp_path / "foreign")
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "foreign", {"format": "pt"})
    with pytest.raises(CheckpointError, match="foreign is not a checkpoint of this workbook"):
        checkpoints.load(tmp_path / "foreign")


class Trap:
    def __reduce__(self):
        return os.mkdir, (str(checkpoints_folder()) + "-sprung",)


@pytest.mark.parametrize("write", [lambda f: torch.save({"a": Trap()}, f), lambda f: pickle.dump(Trap(), f)])
def test_pickled_files_are_refused_unopened(write, tmp_path):
    with open(tmp_path / "pickled", "wb") as file:
        write(file)
    with pytest.raises(CheckpointError, match="pickled is damaged or not a safetensors file"):
        checkpoints.load(tmp_path / "pickled")
    assert not (tmp_path / "checkpoints-sprung").exists(), "the file was unpickled, which runs its code"


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint .*nowhere"):
        checkpoints.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="is damaged or not a safetensors file"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_of_the_disk_leaves_the_old_file(step, stored, monkeypatch):
    path, data = stored

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, step, fail)
    with pytest.raises(
        CheckpointError, match="cannot write .*No space left on device; the old file, if any, is unchanged"
    ):
        checkpoints.save(path, torch.zeros(100))
    assert path.read_bytes() == data and list(path.parent.glob(".weights*")) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write"):
        checkpoints.save(tmp_path / "file" / "weights", torch.zeros(1))
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written(stored):
    path, data = stored
    path.parent.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="cannot write"):
            checkpoints.save(path, torch.zeros(1))
    finally:
        path.parent.chmod(0o700)
    assert path.read_bytes() == data


def write_often(path, number):
    for _ in range(60):
        checkpoints.save(path, {"number": number, "values": torch.full((2000 * number,), number)})


def test_two_writers_and_a_reader(tmp_path, processes):
    """Whoever reads while others replace the file gets one version or the other, whole."""
    path = tmp_path / "shared"
    checkpoints.save(path, {"number": 1, "values": torch.full((2000,), 1)})
    writers = [processes.Process(target=write_often, args=(path, number)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        tree = checkpoints.load(path)
        assert alike(tree["values"], torch.full((2000 * tree["number"],), tree["number"]))
        seen.add(tree["number"])
    assert [writer.exitcode for writer in writers] == [0, 0] and seen == {1, 2}
    assert os.listdir(tmp_path) == ["shared"], "no temporary file stays behind"


def test_tables_are_whole_or_refused(tmp_path):
    path, rows = (
        tmp_path / "table.json",
        [{"settings": {"seed": 0}, "result": {"name": "ü", "curve": [0.1, float("nan")]}}],
    )
    checkpoints._write_table(path, rows)
    data = path.read_bytes()
    assert str(checkpoints._read_table(path)) == str(rows)
    path.write_bytes(data.replace(b"\n", b"\r\n"))
    assert str(checkpoints._read_table(path)) == str(rows), "git may turn the line ends into those of Windows"
    for length in range(len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"table\.json is damaged"):
            checkpoints._read_table(path)
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 7
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"table\.json is damaged"):
            checkpoints._read_table(path)
            pytest.fail(f"bit {position % 7} of byte {position} was flipped and not noticed")


# --- identity -------------------------------------------------------------------------------------------------------

SOURCE = '''
import math
from torch import nn

SCALE = 2.0
TABLE = {"width": 3}
UNUSED = 1

def helper(x):
    """Text."""
    return x * SCALE + len(__name__)

def other(x):
    return x

class Base(nn.Module):
    """Only a docstring."""

class Net(Base):
    """Text."""

    slope = 1.0

    def __init__(self):
        """Text
        over lines."""
        super().__init__()  # comment

    @property
    def width(self):
        return TABLE["width"]

    def forward(self, x):
        # comment
        return helper(x) * self.slope  # "#"
'''


def module(source, name="lib.models.toy", folder=None):
    """A module made of source text, as if it stood in a file (or, as `__main__`, in a notebook's cell)."""
    made = types.ModuleType(name)
    file = f"<{name} {hash(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    made.__file__ = file
    if name == "__main__":
        del made.__file__
    sys.modules[name] = made
    exec(compile(source, file, "exec"), made.__dict__)
    return made


@pytest.fixture
def hash_of(monkeypatch):
    """Hash of the class `Net` when a piece of its source is replaced by another."""

    def change(old="", new="", name="lib.models.toy"):
        assert old in SOURCE
        monkeypatch.setitem(sys.modules, name, None)
        return checkpoints.source_hash(module(SOURCE.replace(old, new), name).Net)

    return change


@pytest.mark.parametrize("name", ["lib.models.toy", "__main__"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# comment", "# another comment"),
        ("  # comment", ""),
        ('"""Text."""', '"""Another text."""'),
        ("        # comment\n", "\n\n"),
        ("over lines.", "over\n        several lines."),
        ('    """Only a docstring."""', '    """Only\n\n    a docstring."""'),
        ("UNUSED = 1", "UNUSED = 2"),
        ("def other(x):\n    return x", "def other(x):\n    return -x"),
    ],
)
def test_the_hash_ignores_what_decides_nothing(hash_of, old, new, name):
    assert hash_of(old, new, name) == hash_of(name=name)


@pytest.mark.parametrize("name", ["lib.models.toy", "__main__"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("helper(x) * self", "helper(x) + self"),
        ("x * SCALE", "x / SCALE"),
        ("slope = 1.0", "slope = 2.0"),
        ('TABLE["width"]', 'TABLE["width"] + 1'),
        ("class Net(Base)", "class Net(nn.Module)"),
        ("helper(x) *", "other(x) *"),
        ('"#"', '"#"\n        return 0'),
        ("class Base(nn.Module):", "class Base(nn.Module):\n    slope = 3\n"),
    ],
)
def test_the_hash_follows_the_code(hash_of, old, new, name):
    assert hash_of(old, new, name) != hash_of(name=name)


@pytest.mark.parametrize(("old", "new"), [("SCALE = 2.0", "SCALE = 3.0"), ('{"width": 3}', '{"width": 4}')])
def test_the_hash_follows_constants_of_the_library_but_not_of_a_notebook(hash_of, old, new):
    assert hash_of(old, new) != hash_of()
    assert hash_of(old, new, "__main__") == hash_of(name="__main__"), "a notebook's variables are settings"


def test_the_hash_is_the_same_in_every_process():
    names = {"lib.models": ["VanillaLSTM", "LSTM", "TCN"], "lib.datasets.palindromes": ["PalindromeDataset"]}
    code = "from lib.checkpoints import source_hash\n" + "\n".join(
        f"from {name} import {', '.join(classes)}\nprint(*map(source_hash, [{', '.join(classes)}]))"
        for name, classes in names.items()
    )
    import subprocess

    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and len(set(runs[0].split())) == 4


def test_modules_are_followed_too(monkeypatch):
    for name in ("lib.losses.toy", "lib.models.toy"):
        monkeypatch.setitem(sys.modules, name, None)
    use = "import sys\ntoy = sys.modules['lib.losses.toy']\ndef loss(x):\n    return toy.penalty(x) * toy.WEIGHT\n"
    hashes = set()
    for text in ("x", "-x"):
        for weight in (1, 2):
            module(f"WEIGHT = {weight}\ndef penalty(x):\n    return {text}\n", "lib.losses.toy")
            hashes.add(checkpoints.source_hash(module(use).loss))
    assert len(hashes) == 4


def test_the_training_loop_and_libraries_are_not_followed(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", None)
    code = "from torch import nn\nfrom lib.training import fit\ndef run(seed):\n    return fit(nn.Linear(1, 1), seed)\n"
    function = module(code, "__main__").run
    before = checkpoints.source_hash(function)
    monkeypatch.setattr(checkpoints, "FOLLOWED", ())
    assert checkpoints.source_hash(function) == before
    assert checkpoints.source_hash(torch.nn.LSTM) != checkpoints.source_hash(torch.nn.GRU)


def test_decorated_functions_are_seen_through():
    from functools import lru_cache

    def plain(x):
        return x

    assert checkpoints.source_hash(lru_cache(plain)) == checkpoints.source_hash(plain)


@pytest.mark.parametrize("thing", [3, torch.nn.Linear(1, 1), checkpoints, print])
def test_sources_must_be_classes_or_functions(thing):
    with pytest.raises(CheckpointError, match="sources must be classes and functions"):
        checkpoints.source_hash(thing)


def test_source_that_nobody_can_read():
    names = {"__name__": "typed"}
    exec("def typed(x): return x", names)
    with pytest.raises(CheckpointError, match="cannot be read; define it in a file or a notebook cell"):
        checkpoints.source_hash(names["typed"])


def test_fingerprints_of_files_and_tensors(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    tensors = [
        torch.zeros(2, 3),
        torch.zeros(3, 2),
        torch.zeros(6),
        torch.ones(6),
        torch.zeros(6).long(),
        torch.zeros(0),
    ]
    marks = [checkpoints.fingerprint(item) for item in (tmp_path / "a", *tensors)]
    assert len(set(marks)) == len(marks) and all(len(mark) == 12 for mark in marks)
    assert checkpoints.fingerprint(torch.arange(6).view(2, 3).T) == checkpoints.fingerprint(
        torch.arange(6).view(2, 3).T.contiguous()
    )


NOTEBOOK = """
import torch
from torch import nn
from lib import checkpoints, training

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    @property
    def factor(self):
        return {factor}

    def forward(self, x):  # {comment}
        return self.layer(x) * self.factor

def train(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = lambda generator: [torch.ones(2, 1)]
    return training.fit(model, batches, lambda m, x: m(x).square().mean(), optimizer, epochs=2, progress=False, **keep)

torch.manual_seed(0)
run = checkpoints.train_or_load("toy/mine", Mine(), train, {{"seed": 0}})
"""


def test_a_class_of_a_notebook_is_trained_once_and_again_when_its_code_changes():
    import nbclient  # slow to import, which would slow down the processes that other tests start
    import nbformat

    versions = [(2, "a"), (2, "a"), (2, "b"), (3, "b"), (2, "c")]
    nb = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(NOTEBOOK.format(factor=factor, comment=text)) for factor, text in versions]
    )
    os.environ["PYTHONPATH"] = str(ROOT)
    nbclient.NotebookClient(nb, kernel_name="python3", timeout=120).execute()
    printed = ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in nb.cells]
    assert ["trained;" in text for text in printed] == [True, False, False, True, False], printed
    assert ["loaded (local)" in text for text in printed] == [False, True, True, False, True], printed


# --- train or load --------------------------------------------------------------------------------------------------


class Toy(torch.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, x):
        return self.layer(x)


class Trainer:
    """Counts the trainings; each makes other weights, so that one can tell which were loaded."""

    def __init__(self, crash_after=None):
        self.runs, self.crash_after = 0, crash_after

    def __call__(self, model, resume, log_dir):
        self.runs += 1
        steps = []

        def batches(generator):
            if len(steps) == self.crash_after:
                raise KeyboardInterrupt
            steps.append(1)
            yield torch.randn(8, 3, generator=generator)

        return training.fit(
            model,
            batches,
            lambda model, x: (model(x) - x.sum(1, keepdim=True)).square().mean(),
            torch.optim.SGD(model.parameters(), lr=0.1),
            epochs=4,
            validate=lambda model: {"accuracy": 0.5, "weight": model.layer.weight[0, 0].item()},
            progress=False,
            resume=resume,
            log_dir=log_dir,
        )


def ask(train=None, settings=None, name="toy/run", **options):
    torch.manual_seed(options.pop("seed", 0))
    settings = {"epochs": 20, "rate": 0.1} if settings is None else settings
    return checkpoints.train_or_load(name, Toy(), train or Trainer(), settings, **options)


def test_it_trains_once_and_loads_the_second_time(capsys, stores):
    train = Trainer()
    first = ask(train)
    assert "toy/run: training (no finished training found) …" in capsys.readouterr().out
    second = ask(train, seed=1)
    output = capsys.readouterr().out
    assert train.runs == 1 and "toy/run: loaded (local); 0 CPU-seconds, accuracy 0.5, weight" in output
    assert torch.equal(first.model.layer.weight, second.model.layer.weight)
    assert first.history == second.history and second.settings == {"epochs": 20, "rate": 0.1}
    assert second.result == {"accuracy": 0.5, "weight": second.history["weight"][-1]}
    assert (first.origin, second.origin) == ("trained", "local") and first.seconds == second.seconds
    assert [file.suffix for file in (stores / "checkpoints" / "local" / "toy" / "run").iterdir()] == [".safetensors"]


def test_loading_brings_the_tensorboard_events_back(stores):
    import shutil

    from test_training import scalars

    history = ask().history
    folder = stores / "exports" / "runs" / "toy" / "run"
    expected = scalars(folder)
    assert [step for step, _ in expected["loss"]] == history["step"]
    shutil.rmtree(folder)
    for _ in range(2):
        ask()
        assert scalars(folder) == expected
    ask(settings={"epochs": 21})  # another training writes into the same folder
    ask()
    assert scalars(folder) == expected, "the events must be those of the model that was loaded"


def test_the_message_says_what_differs_from_what_ships(capsys, monkeypatch):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    monkeypatch.delenv("WORKBOOK_SHIP")
    capsys.readouterr()
    ask(settings={"epochs": 50, "rate": 0.1})
    assert "toy/run: training (epochs 20 → 50) …" in capsys.readouterr().out
    assert not checkpoints.is_reference()
    ask(settings={"epochs": 20, "momentum": 0.9})
    assert "toy/run: training (momentum unset → 0.9, rate 0.1 → unset) …" in capsys.readouterr().out
    ask(sources=[VanillaLSTM])
    assert "toy/run: training (its code differs from the shipped one) …" in capsys.readouterr().out
    ask()
    assert "loaded (local)" in capsys.readouterr().out
    assert checkpoints.is_reference(), "asking again with the shipped settings makes the notebook a reference again"


def test_shipped_weights_load_only_into_the_shipped_class(capsys, monkeypatch, stores):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    monkeypatch.delenv("WORKBOOK_SHIP")

    class Mine(Toy):
        def forward(self, x):
            return super().forward(x)

    train = Trainer()
    run = checkpoints.train_or_load("toy/run", Mine(), train, {"epochs": 20, "rate": 0.1})
    assert train.runs == 1 and run.origin == "trained" and not checkpoints.is_reference()
    assert "its code differs" in capsys.readouterr().out


def test_shipping_copies_and_the_local_store_wins(monkeypatch, stores, capsys):
    ask()
    shipped = stores / "checkpoints" / "toy" / "run.safetensors"
    assert not shipped.exists()
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask(retrain=True)
    assert "loaded (local)" in capsys.readouterr().out and shipped.exists(), "shipping never trains what is trained"
    monkeypatch.delenv("WORKBOOK_SHIP")
    first = shipped.read_bytes()
    again = ask(retrain=True, seed=5)
    assert again.origin == "trained" and shipped.read_bytes() == first, "only `make ship` writes what ships"
    loaded = ask()
    assert loaded.origin == "local" and torch.equal(loaded.model.layer.weight, again.model.layer.weight)
    for file in (stores / "checkpoints" / "local" / "toy" / "run").iterdir():
        file.unlink()
    assert ask().origin == "shipped"
    os.utime(shipped, (0, 0))
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    assert ask().origin == "shipped"
    assert shipped.stat().st_mtime > 0 and shipped.read_bytes() == first, "what is still asked for is marked as such"


def test_retraining(capsys):
    train = Trainer()
    ask(train)
    assert ask(train, retrain=True).origin == "trained" and train.runs == 2
    assert "training (asked to)" in capsys.readouterr().out


def test_a_retraining_started_again_by_a_cluster_keeps_what_it_has_done(monkeypatch, stores):
    train, run = Trainer(), Counter()
    ask(train), sweep(run)
    for file in (stores / "checkpoints" / "local").rglob("*.*"):
        os.utime(file, (1000, 1000))
    monkeypatch.setenv("WORKBOOK_RETRAIN_SINCE", "2000")
    for origin in ("trained", "local"):
        assert ask(train, retrain=True).origin == origin
        sweep(run, retrain=True)
        assert train.runs == 2 and len(run.calls) == 8, "once again for each, and no more"


def test_a_killed_training_resumes_to_the_same_end(stores):
    with pytest.raises(KeyboardInterrupt):
        ask(Trainer(crash_after=2))
    (state,) = (stores / "checkpoints" / "local" / "toy" / "run").iterdir()
    assert state.suffix == ".resume"
    resumed = ask(seed=7)  # the fresh weights, whatever they are, give way to the stored ones
    assert [file.suffix for file in state.parent.iterdir()] == [".safetensors"]
    state.parent.joinpath(next(state.parent.iterdir()).name).unlink()
    whole = ask()
    assert torch.equal(resumed.model.layer.weight, whole.model.layer.weight)
    assert resumed.history["loss"] == whole.history["loss"]


def test_half_precision(stores):
    whole, first = ask(), ask(half=True)
    assert torch.equal(first.model.layer.weight, whole.model.layer.weight.half().float()), "rounded when just trained"
    second = ask(half=True, seed=1)
    assert (second.origin, second.settings["precision"]) == ("local", "half")
    assert torch.equal(second.model.layer.weight, first.model.layer.weight)
    assert second.model.layer.weight.dtype == torch.float32
    folder = stores / "checkpoints" / "local" / "toy" / "run"
    kinds = {checkpoints.load(file)["model"]["layer.weight"].dtype for file in folder.iterdir()}
    assert kinds == {torch.float16, torch.float32}, "the two kinds do not stand in for each other"


def test_half_precision_of_numbers_that_are_too_large():
    def train(model, **paths):
        torch.nn.init.constant_(model.layer.weight, 1e6)
        return {"loss": [1.0]}

    with pytest.raises(CheckpointError, match="layer.weight has numbers beyond 65,504.*half=False"):
        ask(train, half=True)


def test_damaged_files_are_named_and_passed_over(capsys, monkeypatch, stores):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    monkeypatch.delenv("WORKBOOK_SHIP")
    (local,) = (stores / "checkpoints" / "local" / "toy" / "run").iterdir()
    local.write_bytes(local.read_bytes()[:-1])
    capsys.readouterr()
    assert ask().origin == "shipped"
    output = capsys.readouterr().out
    assert output.startswith("Ignored: checkpoints/local/toy/run/") and "is damaged" in output
    shipped = stores / "checkpoints" / "toy" / "run.safetensors"
    shipped.write_bytes(b"damaged")
    assert ask().origin == "trained"
    assert "Ignored: checkpoints/toy/run.safetensors is damaged" in capsys.readouterr().out
    assert shipped.read_bytes() == b"damaged", "a damaged file is left alone"


def test_settings_that_forget_the_size_of_the_model():
    ask()
    with pytest.raises(CheckpointError, match="toy/run: the stored weights do not fit.*name among the settings"):
        checkpoints.train_or_load("toy/run", Toy(width=4), Trainer(), {"epochs": 20, "rate": 0.1})


@pytest.mark.parametrize("name", ["run", "a/b/c", "../run", "a/../b", "/a/b", "a b/c", "", "a/", "toy/..", "toy/."])
def test_impossible_names(name):
    with pytest.raises(CheckpointError, match="must look like 'notebook/run'"):
        ask(name=name)


def test_impossible_settings():
    with pytest.raises(CheckpointError, match="settings must be plain numbers"):
        ask(settings={"model": Toy()})


def test_the_order_of_settings_does_not_matter():
    train = Trainer()
    ask(train, {"a": 1, "b": [1, 2]})
    assert ask(train, {"b": (1, 2), "a": 1}).origin == "local"


def test_records_for_the_run_table():
    for _ in range(2):  # as when a cell is run again
        ask(why="because")
        ask(name="toy/other")
    assert [(record["name"], record["why"]) for record in checkpoints.RECORDS] == [
        ("toy/run", "because"),
        ("toy/other", ""),
    ]
    assert checkpoints.RECORDS[0]["rows"][0]["result"]["accuracy"] == 0.5


# --- sweeps ---------------------------------------------------------------------------------------------------------


class Counter:
    """The function of a sweep: remembers its calls, and fails at one of them if asked to."""

    def __init__(self, fail_at=None):
        self.calls, self.fail_at = [], fail_at

    def __call__(self, seed, length=5):
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append((seed, length))
        return {"accuracy": seed / 10, "curve": (0.5, length)}


CELLS = [{"seed": seed} for seed in range(4)]


def sweep(run, cells=CELLS, settings=None, **options):
    return checkpoints.sweep("toy/sweep", run, cells, settings, **options)


def test_a_sweep_is_computed_once(capsys):
    run = Counter()
    first, output = sweep(run), capsys.readouterr().out
    assert "toy/sweep: 4 of 4 runs to compute (no stored results found) …" in output
    assert "toy/sweep: 4 runs (4 computed)" in output
    second = sweep(run)
    assert "4 runs (4 local)" in capsys.readouterr().out
    assert len(run.calls) == 4 and first == second
    assert [row["seed"] for row in first] == [0, 1, 2, 3] and first[2]["accuracy"] == 0.2
    assert first[0]["curve"] == [0.5, 5], "what is computed looks like what is loaded"
    assert all(row["cpu_seconds"] >= 0 for row in first)


def test_only_missing_runs_are_computed():
    run = Counter()
    sweep(run)
    sweep(run, [{"seed": 3}, {"seed": 4}, {"seed": 4, "length": 9}])
    assert run.calls[4:] == [(4, 5), (4, 9)]
    sweep(run, settings={"rate": 0.1})
    assert len(run.calls) == 10, "shared settings belong to the identity of every run"
    sweep(run, sources=[LSTM])
    assert len(run.calls) == 14, "so does the code"


def test_what_a_crashed_sweep_has_finished_is_kept():
    with pytest.raises(KeyboardInterrupt):
        sweep(Counter(fail_at=3))
    run = Counter()
    assert len(sweep(run)) == 4 and run.calls == [(3, 5)]


def test_retraining_a_sweep_goes_on_after_a_kill(monkeypatch):
    sweep(Counter())
    with pytest.raises(KeyboardInterrupt):
        sweep(Counter(fail_at=2), retrain=True)
    run = Counter()
    sweep(run, retrain=True)
    assert 2 <= len(run.calls) <= 3, "of four runs two were finished (one may fall into the clock tick of the start)"
    assert (3, 5) in run.calls and (2, 5) in run.calls
    run = Counter()
    sweep(run, retrain=True)
    assert len(run.calls) == 4, "a retraining that is complete leaves no trace"


def test_shipping_a_sweep(capsys, monkeypatch, stores):
    run = Counter()
    sweep(run)
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    sweep(run, CELLS[:3], retrain=True)
    monkeypatch.delenv("WORKBOOK_SHIP")
    assert len(run.calls) == 4, "shipping never computes what is there"
    table = stores / "checkpoints" / "toy" / "sweep.json"
    assert len(json.loads(table.read_text())["rows"]) == 3
    for file in (stores / "checkpoints" / "local" / "toy" / "sweep").iterdir():
        file.unlink()
    capsys.readouterr()
    rows = sweep(run)
    output = capsys.readouterr().out
    assert "1 of 4 runs to compute (settings or code differ, about 0 min)" in output
    assert "4 runs (3 shipped, 1 computed)" in output and [row["accuracy"] for row in rows] == [0, 0.1, 0.2, 0.3]
    assert not checkpoints.is_reference()
    sweep(run, CELLS[:2])
    assert checkpoints.is_reference(), "a part of what ships is still what ships"


def test_the_files_behind_what_is_returned_are_listed(monkeypatch, stores):
    """What handing in packs: where a result came from, whether it was trained, loaded or shipped."""
    listing = stores / "used.txt"
    monkeypatch.setenv("WORKBOOK_USED", str(listing))

    def listed(call):
        listing.write_text("")
        call()
        return sorted(listing.read_text().split())

    store = stores / "checkpoints"
    (model,) = listed(ask)
    cells = listed(lambda: sweep(Counter()))
    assert model.startswith("local/toy/run/") and len(cells) == 4 and cells[0].startswith("local/toy/sweep/")
    assert all((store / name).is_file() for name in [model, *cells])
    assert listed(ask) == [model] and listed(lambda: sweep(Counter(), CELLS[:2])) != cells
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    ask()
    sweep(Counter(), CELLS[:3])
    monkeypatch.delenv("WORKBOOK_SHIP")
    for name in [model, *cells]:
        (store / name).unlink()
    assert listed(ask) == ["toy/run.safetensors"] and listed(lambda: sweep(Counter(), CELLS[:3])) == ["toy/sweep.json"]
    computed, shipped = listed(lambda: sweep(Counter()))
    assert computed in cells and shipped == "toy/sweep.json"


def test_damaged_results_are_named_and_computed_again(capsys, monkeypatch, stores):
    run = Counter()
    sweep(run)
    local = sorted((stores / "checkpoints" / "local" / "toy" / "sweep").iterdir())[0]
    local.write_text(local.read_text().replace("accuracy", "acuracy"))
    sweep(run)
    assert "Ignored: checkpoints/local/toy/sweep/" in capsys.readouterr().out and len(run.calls) == 5
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    sweep(run)
    monkeypatch.delenv("WORKBOOK_SHIP")
    local.write_text("")
    sweep(run)
    assert "3 local" in capsys.readouterr().out and len(run.calls) == 5, (
        "the shipped result stands in for a damaged one"
    )
    table = stores / "checkpoints" / "toy" / "sweep.json"
    table.write_text(table.read_text()[:-9])
    local.unlink()
    sweep(run)
    assert "Ignored: checkpoints/toy/sweep.json is damaged" in capsys.readouterr().out and len(run.calls) == 6


def test_results_that_cannot_be_stored_are_named():
    with pytest.raises(CheckpointError, match="results must be plain numbers, texts and lists"):
        checkpoints.sweep("toy/sweep", lambda seed: {"weights": torch.zeros(2)}, CELLS)


def test_paths_stay_where_the_environment_points(stores):
    assert checkpoints_folder() == stores / "checkpoints" and Path(checkpoints.local_folder()).is_relative_to(stores)
