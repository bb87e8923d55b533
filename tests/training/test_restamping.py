"""Code that has changed and results that have not: what is restamped, and what has to be trained again."""

import json
import linecache
import sys
import types

import pytest
import torch

from lib.storage import tensors
from lib.storage.files import read_table, write_table
from lib.storage.paths import checkpoints_folder
from lib.training import probes, restamping

# A notebook: a training with two phases and a falling learning rate, a validation, and a sweep of two kinds of runs.
NOTEBOOK = """
import torch
from torch import nn
from lib import training
from lib.training import checkpoints

EPOCHS, STEPS = 4, 6
TARGET = 3.0

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        answer = self.layer(x)
        return answer

def build():
    torch.manual_seed(0)
    return Line()

def held_out(model):
    x = torch.linspace(-1, 1, 20)[:, None]
    return (model(x) - TARGET * x).square().mean()

def fit(model, sign=1, **keep):
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, EPOCHS * STEPS)

    def batches(generator):
        for _ in range(STEPS):
            yield torch.randn(8, 1, generator=generator)

    def loss(model, x):
        late = schedule.last_epoch >= 3 * STEPS
        return (model(x) - sign * TARGET * x).square().mean() * (2 if late else 1)

    validate = lambda model: {"error": held_out(model).item()}
    return training.fit(model, batches, loss, optimizer, epochs=EPOCHS, schedule=schedule, validate=validate,
                        clip=1.0, progress=False, **keep)

def run(kind, seed):
    torch.manual_seed(seed)
    model = Line()
    history = fit(model, 1 if kind == "plain" else -1, seed=seed)
    return {"error": history["error"][-1], "curve": history["loss"], "time": history["seconds"][-1]}

def trained(half=False):
    return checkpoints.train_or_load("toy/line", build, fit, {"steps": STEPS}, half=half)

def swept():
    cells = [{"kind": kind, "seed": seed} for kind in ("plain", "turned") for seed in (0, 1)]
    return checkpoints.sweep("toy/sweep", run, cells, {"steps": STEPS}, timed=["time"])
"""
CHANGES = {  # what is changed, and what remains: text, and whether the results are still the same
    "a variable has another name": ("answer", "result", True),
    "a line does nothing": ("        answer =", "        x = x + 0\n        answer =", True),
    "a sign in the model": ("return answer", "return -answer", False),
    "a sign in the validation": ("- TARGET * x).square().mean()\n\ndef", "+ TARGET * x).square().mean()\n\ndef", False),
    "a sign in the last phase": ("* (2 if late else 1)", "* (-2 if late else 1)", False),
    "the last phase begins later": ("schedule.last_epoch >= 3 * STEPS", "schedule.last_epoch >= 4 * STEPS", False),
    "the decay of the learning rate": ("optimizer, 1.0, 0.1,", "optimizer, 1.0, 0.9,", False),
    "another optimiser": ("torch.optim.Adam(", "torch.optim.RMSprop(", False),
    "other initial weights": ("manual_seed(0)\n    return", "manual_seed(1)\n    return", False),
    "other data": ("torch.randn(8", "torch.rand(8", False),
    "an error": ("return answer", "return answer.nothing", False),
}


@pytest.fixture
def notebook(monkeypatch):
    """A function that gives the notebook with a piece of its text replaced, as if its cells had just been run."""

    def make(old="", new=""):
        source = NOTEBOOK.replace(old, new) if old else NOTEBOOK
        assert old in NOTEBOOK
        made = types.ModuleType("__main__")
        file = f"<cells {hash(source)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        monkeypatch.setitem(sys.modules, "__main__", made)
        exec(compile(source, file, "exec"), made.__dict__)
        return made

    return make


@pytest.fixture
def shipped(notebook, monkeypatch):
    """A training and a sweep of the notebook as they ship, the local store empty."""
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    notebook().trained()
    notebook().swept()
    monkeypatch.delenv("WORKBOOK_SHIP")
    for file in (checkpoints_folder() / "local").rglob("*.*"):
        file.unlink()
    return checkpoints_folder() / "toy" / "line.safetensors", checkpoints_folder() / "toy" / "sweep.json"


@pytest.fixture(autouse=True)
def outcomes(monkeypatch):
    monkeypatch.setattr(restamping, "OUTCOMES", [])
    for variable in ("WORKBOOK_RESTAMP", "WORKBOOK_ACCEPT"):
        monkeypatch.setenv(variable, "")


def restamped(monkeypatch, call, how="1"):
    """Call with restamping on; the outcome of the first result and its detail, or None if nothing was to be done."""
    restamping.OUTCOMES.clear()
    monkeypatch.setenv("WORKBOOK_RESTAMP", how)
    call()
    monkeypatch.setenv("WORKBOOK_RESTAMP", "")
    return (restamping.OUTCOMES or [None])[0]


def as_first_edition(file):
    """The stored training as the first edition stored it: without a probe and without the parts of its code."""
    stored = tensors.load(file)
    tensors.save(file, {key: value for key, value in stored.items() if key not in ("probe", "code")})


# The first epoch and the last validation, which is all that results of the first edition have, do not see these.
LATE = ("a sign in the last phase", "the last phase begins later")
EDITIONS = [(change, True) for change in CHANGES] + [(change, False) for change in CHANGES if change not in LATE]


@pytest.mark.parametrize(("change", "has_probe"), EDITIONS)
def test_a_training_is_restamped_if_its_result_is_the_same(change, has_probe, notebook, shipped, monkeypatch, capsys):
    file, _ = shipped
    if not has_probe:
        as_first_edition(file)
    old, new, same = CHANGES[change]
    before = file.read_bytes()
    weights = tensors.load(file)["model"]
    changed = notebook(old, new)
    outcome = restamped(monkeypatch, changed.trained)
    assert outcome["outcome"] == ("equal" if same else "differs"), outcome
    assert bool(outcome["detail"]) != same, "the first number that differs is told"
    assert (file.read_bytes() == before) != same, "a result that differs keeps its file"
    assert not any((checkpoints_folder() / "local").rglob("*.safetensors")), "nothing is trained"
    capsys.readouterr()
    if same:
        assert restamped(monkeypatch, changed.trained) is None, "it need not be done again"
        changed.trained()
        assert "loaded (shipped)" in capsys.readouterr().out
        assert all(torch.equal(weights[name], value) for name, value in tensors.load(file)["model"].items())
    elif change != "an error":
        changed.trained()
        assert "training (the code has changed" in capsys.readouterr().out or not has_probe


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "other initial weights"])
def test_a_sweep_is_restamped_where_its_cheapest_runs_are_the_same(change, notebook, shipped, monkeypatch, capsys):
    _, file = shipped
    old, new, same = CHANGES[change]
    before = file.read_bytes()
    changed = notebook(old, new)
    outcome = restamped(monkeypatch, changed.swept)
    assert outcome["outcome"] == ("equal" if same else "differs"), outcome
    assert (file.read_bytes() == before) != same
    if same:
        assert outcome["detail"] == "2 of 4 runs", "the cheapest one of each kind"
        capsys.readouterr()
        changed.swept()
        assert "4 runs (4 shipped)" in capsys.readouterr().out


def test_a_change_in_one_kind_of_runs_is_found(notebook, shipped, monkeypatch):
    outcome = restamped(monkeypatch, notebook('"plain" else -1', '"plain" else -2').swept)
    assert outcome["outcome"] == "differs" and "kind turned" in outcome["detail"]


def test_long_runs_are_replayed_only_if_asked_to(notebook, shipped, monkeypatch):
    _, file = shipped
    rows, code = read_table(file)
    write_table(file, [row | {"seconds": 100.0 + number} for number, row in enumerate(rows)], code)
    changed = notebook("answer", "result")
    outcome = restamped(monkeypatch, changed.swept)
    assert outcome["outcome"] == "differs" and "100 CPU-seconds: use --slow" in outcome["detail"]
    assert restamped(monkeypatch, changed.swept, "slow")["detail"] == "2 of 4 runs"
    rows, code = read_table(file)
    write_table(file, [row | {"seconds": 16.0 + number} for number, row in enumerate(rows)], code)
    detail = restamped(monkeypatch, notebook("answer", "value").swept)["detail"]
    assert detail == "1 of 4 runs; not tried: kind turned", "no more than half a minute, and what is left is told"


def test_elsewhere_numbers_may_differ_in_their_last_digits(notebook, shipped, monkeypatch):
    file, table = shipped
    stored = tensors.load(file)
    stored["probe"] |= {"machine": "another one", "weights": "others"}
    stored["probe"]["losses"] = [loss * (1 + 1e-6) for loss in stored["probe"]["losses"]]
    tensors.save(file, stored)
    rows, code = read_table(table)
    for row in rows:
        row["machine"] = "another one"
        row["result"]["error"] *= 1 + 1e-6
    write_table(table, rows, code)
    changed = notebook("answer", "result")
    assert restamped(monkeypatch, changed.trained)["outcome"] == "close"
    assert restamped(monkeypatch, changed.swept)["outcome"] == "close"
    stored["probe"]["losses"][5] *= 1.001
    tensors.save(file, stored)
    assert "loss 6" in restamped(monkeypatch, notebook("answer", "value").trained)["detail"]


def test_half_precision_of_the_first_edition(notebook, monkeypatch):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    notebook().trained(half=True)
    monkeypatch.delenv("WORKBOOK_SHIP")
    as_first_edition(checkpoints_folder() / "toy" / "line.safetensors")
    outcome = restamped(monkeypatch, lambda: notebook("answer", "result").trained(half=True))
    assert outcome["outcome"] in ("equal", "close"), outcome


def test_what_cannot_be_replayed_is_accepted_by_name(notebook, shipped, monkeypatch):
    changed = notebook("return answer", "return -answer")
    monkeypatch.setenv("WORKBOOK_ACCEPT", "toy/sw*,other/name")
    assert restamped(monkeypatch, changed.swept)["outcome"] == "accepted"
    assert restamped(monkeypatch, changed.trained)["outcome"] == "differs"


def test_new_and_renamed_settings_pass_through_the_table(notebook, shipped, monkeypatch, capsys):
    renamed = '{"optimiser_steps": STEPS, "noise": 0.0}'
    changed = notebook('"toy/line", build, fit, {"steps": STEPS}', f'"toy/line", build, fit, {renamed}')
    assert restamped(monkeypatch, lambda: pytest.raises(probes.CannotReplay, changed.trained)) is None
    table = {"toy/l*": {"optimiser_steps": {"was": "steps"}, "noise": {"then": 0.0}}}
    (checkpoints_folder() / "migrations.json").write_text(json.dumps(table))
    assert restamped(monkeypatch, changed.trained)["outcome"] == "equal"
    capsys.readouterr()
    changed.trained()
    assert "loaded (shipped)" in capsys.readouterr().out
    noisy = renamed.replace("0.0", "0.1")
    other = notebook('"toy/line", build, fit, {"steps": STEPS}', f'"toy/line", build, fit, {noisy}')
    assert restamped(monkeypatch, lambda: pytest.raises(probes.CannotReplay, other.trained)) is None, "another training"


def test_nothing_is_done_where_nothing_has_changed(notebook, shipped, monkeypatch):
    before = [file.read_bytes() for file in shipped]
    assert restamped(monkeypatch, notebook().trained) is None
    assert restamped(monkeypatch, notebook().swept) is None
    assert [file.read_bytes() for file in shipped] == before
