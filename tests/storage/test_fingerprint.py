"""What a result depends on: what is followed, what counts, and what does not."""

import functools
import linecache
import os
import subprocess
import sys
import types

import pytest
import torch

from lib.storage import fingerprint
from lib.storage.files import CheckpointError
from lib.storage.fingerprint import code_fingerprint, code_parts, data_fingerprint, difference, source_text
from lib.storage.paths import ROOT

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
        return code_fingerprint(module(SOURCE.replace(old, new), name).Net)

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


@pytest.mark.parametrize("name", ["lib.models.toy", "__main__"])
@pytest.mark.parametrize(("old", "new"), [("SCALE = 2.0", "SCALE = 3.0"), ('{"width": 3}', '{"width": 4}')])
def test_the_hash_follows_the_plain_values_that_code_reads(hash_of, old, new, name):
    """Also those of a notebook: a class that reads a changed variable must not load the weights of the old one."""
    assert hash_of(old, new, name) != hash_of(name=name)


def test_the_hash_is_the_same_in_every_process():
    names = {"lib.models": ["VanillaLSTM", "LSTM", "TCN"], "lib.datasets.palindromes": ["PalindromeDataset"]}
    code = "from lib.storage.fingerprint import code_fingerprint\n" + "\n".join(
        f"from {name} import {', '.join(classes)}\nprint(*map(code_fingerprint, [{', '.join(classes)}]))"
        for name, classes in names.items()
    )
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
            hashes.add(code_fingerprint(module(use).loss))
    assert len(hashes) == 4


def test_the_training_loop_and_libraries_are_not_followed(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", None)
    code = "from torch import nn\nfrom lib.training import fit\ndef run(seed):\n    return fit(nn.Linear(1, 1), seed)\n"
    function = module(code, "__main__").run
    before = code_fingerprint(function)
    monkeypatch.setattr(fingerprint, "FOLLOWED", ())
    assert code_fingerprint(function) == before
    assert code_fingerprint(torch.nn.LSTM) != code_fingerprint(torch.nn.GRU)


def test_decorated_functions_are_seen_through():
    from functools import lru_cache

    def plain(x):
        return x

    assert code_fingerprint(lru_cache(plain)) == code_fingerprint(plain)


@pytest.mark.parametrize("thing", [3, torch.nn.Linear(1, 1), fingerprint, print])
def test_sources_must_be_classes_or_functions(thing):
    with pytest.raises(CheckpointError, match="must be a class, a function or a bound method"):
        code_fingerprint(thing)


def test_source_that_nobody_can_read():
    names = {"__name__": "typed"}
    exec("def typed(x): return x", names)
    with pytest.raises(CheckpointError, match="cannot be read; define it in a file or a notebook cell"):
        code_fingerprint(names["typed"])


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
    marks = [data_fingerprint(item) for item in (tmp_path / "a", *tensors)]
    assert len(set(marks)) == len(marks) and all(len(mark) == 12 for mark in marks)
    assert data_fingerprint(torch.arange(6).view(2, 3).T) == data_fingerprint(torch.arange(6).view(2, 3).T.contiguous())


# --- a notebook's functions: what they read --------------------------------------------------------------------------

CELL = """
import functools
import numpy as np
import torch
from lib.models import VanillaRNN
from lib.datasets.palindromes import PalindromeDataset

RATE = 0.1
RULES = {"clip": 1.0}
KINDS = {"RNN": (VanillaRNN, 3)}
OPTIMIZER = torch.optim.SGD
SEEN = []
HALVE = functools.partial(divmod, 2)
SCALE = np.float32(0.5)
retrain = False

def helper(x):
    return x + 1

@functools.cache
def cached(x):
    return helper(x)

def train(model, steps=RULES["clip"], *, factor=2):
    unrelated = [RATE for RATE in range(3)]
    return cached(model) * RATE * factor, OPTIMIZER, PalindromeDataset, SEEN, retrain

def build(name="RNN"):
    kind, size = KINDS[name]
    return kind(size, 1, 1)

def around(kind, size):
    def inner():
        return kind(size)
    return inner

STEPS = {'a': 0}
LOG = [0.5]

def count(loss):
    STEPS["a"] += 1
    LOG.append(loss)

def other():
    RATE = 5
    return RATE

def halved():
    return HALVE(1), SCALE
"""


def cell(monkeypatch, old="", new=""):
    assert old in CELL
    monkeypatch.setitem(sys.modules, "__main__", None)
    return module(CELL.replace(old, new), "__main__")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("train", "RATE = 0.1", "RATE = 0.2"),
        ("train", '{"clip": 1.0}', '{"clip": 2.0}'),
        ("train", "factor=2", "factor=3"),
        ("train", "return x + 1", "return x - 1"),  # behind a decorator
        ("train", "optim.SGD", "optim.RMSprop"),  # a library's class under a name of the notebook's own
        ("build", "(VanillaRNN, 3)", "(VanillaRNN, 4)"),
        ("build", "(VanillaRNN, 3)", "(PalindromeDataset, 3)"),
        ("halved", "partial(divmod, 2)", "partial(divmod, 3)"),
        ("halved", "np.float32(0.5)", "np.float32(0.25)"),
    ],
)
def test_what_a_function_reads_counts(monkeypatch, name, old, new):
    before = code_fingerprint(getattr(cell(monkeypatch), name))
    assert code_fingerprint(getattr(cell(monkeypatch, old, new), name)) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("other", "RATE = 0.1", "RATE = 0.2"),  # a variable of its own has the same name
        ("build", "RATE = 0.1", "RATE = 0.2"),
        ("train", "retrain = False", "retrain = 'all'"),  # says whether to compute, not what
        ("train", "return x + 1", "return x + 1  # a remark"),
        ("train", "SEEN = []", "SEEN = [object()]"),  # filled with results while the notebook runs
        ("count", "STEPS = {'a': 0}", "STEPS = {'a': 7}"),  # what the code changes is no input of it
        ("count", "LOG = [0.5]", "LOG = [0.5, 0.25]"),
    ],
)
def test_what_a_function_does_not_read_does_not_count(monkeypatch, name, old, new):
    before = code_fingerprint(getattr(cell(monkeypatch), name))
    assert code_fingerprint(getattr(cell(monkeypatch, old, new), name)) == before


def test_code_in_containers_and_closures_is_followed(monkeypatch):
    made = cell(monkeypatch)
    assert "lib.models.vanilla.VanillaRNN" in code_parts(made.build)
    assert "lib.datasets.palindromes.PalindromeDataset" in code_parts(made.train)
    inner = made.around(made.VanillaRNN, 3)
    assert "lib.models.vanilla.VanillaRNN" in code_parts(inner)
    assert code_fingerprint(inner) != code_fingerprint(made.around(made.VanillaRNN, 4))
    assert code_fingerprint(inner) != code_fingerprint(made.around(made.PalindromeDataset, 3))
    assert code_fingerprint(functools.partial(made.train, factor=5)) != code_fingerprint(made.train)


def test_an_instance_counts_by_its_class(monkeypatch):
    text = "from lib.datasets.palindromes import PalindromeDataset\ndata = PalindromeDataset(5)\n"
    text += "def run(): return data\n"
    monkeypatch.setitem(sys.modules, "__main__", None)
    assert "lib.datasets.palindromes.PalindromeDataset" in code_parts(module(text, "__main__").run)


def test_a_dataclass_whose_methods_python_makes(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", None)
    text = "import dataclasses\n@dataclasses.dataclass\nclass Kind:\n    width: int = 3\ndef run(): return Kind\n"
    kinds = [module(text.replace("3", number), "__main__") for number in "345"]
    assert len({code_fingerprint(made.run) for made in kinds}) == 3


def test_lambdas_of_one_line_are_told_apart(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", None)
    made = module("pair = {'a': lambda x: x + 1, 'b': (lambda x: x +\n    2)}\ndef run(): return pair\n", "__main__")
    assert [source_text(made.pair[name]) for name in "ab"] == ["(lambda x: x + 1)", "(lambda x: x +\n    2)"]
    assert len([name for name in code_parts(made.run) if "lambda" in name]) == 2, "neither hides the other"


def test_moved_or_renamed_code_is_the_same(monkeypatch):
    for name in ("lib.models.toy", "lib.models.moved"):
        monkeypatch.setitem(sys.modules, name, None)
    first, second = (module(SOURCE, name) for name in ("lib.models.toy", "lib.models.moved"))
    assert code_fingerprint(first.Net) == code_fingerprint(second.Net)


def test_the_difference_names_what_has_changed(monkeypatch):
    before = code_parts(cell(monkeypatch).train)
    assert difference(before, before) == ""
    after = code_parts(cell(monkeypatch, "RATE = 0.1", "RATE = 0.2").train)
    assert difference(after, before) == "the code has changed: RATE"
    after = code_parts(cell(monkeypatch, "return x + 1", "return x - 1").train)
    assert difference(after, before) == "the code has changed: helper"
