"""Shipping: results that are asked for are kept, others go, and the notebooks get their outputs."""

import os
import re
import time

import nbformat
from small_notebooks import write

from lib.workbook import check
from lib.workbook.command_line import main

TRAINS = """import torch
from lib import training
from lib.training import checkpoints

def train(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = lambda model, x: model(x).square().mean()
    return training.fit(model, lambda generator: [torch.ones(2, 1)], loss, optimizer, epochs=2, **keep)

run = checkpoints.train_or_load("03_ships/model", lambda: torch.nn.Linear(1, 1), train, {"steps": steps})
rows = checkpoints.sweep("03_ships/sweep", lambda seed: {"accuracy": 1.0}, [{"seed": 0}])"""


def test_shipping_keeps_what_is_asked_for_and_the_outputs(folder, stores, capsys):
    path = write(folder / "03_ships.ipynb", TRAINS)
    shipped = stores / "checkpoints" / "03_ships"
    shipped.mkdir(parents=True)
    other = stores / "checkpoints" / "04_other" / "model.safetensors"
    other.parent.mkdir()
    ahead = time.time() + 3600  # a file server whose clock runs ahead, or behind: times tell nothing
    for old, clock in ((shipped / "unused.safetensors", ahead), (shipped / ".model.safetensors.123", 1), (other, 1)):
        old.write_text("old")
        os.utime(old, (clock, clock))
    assert main(["ship", "--only", "03"]) == 0, capsys.readouterr().out
    assert sorted(file.name for file in shipped.iterdir()) == ["model.safetensors", "sweep.json"]
    assert other.exists(), "results of other notebooks are none of its business"
    nb = nbformat.read(path, 4)
    printed = "".join(output.get("text", "") for output in nb.cells[2].outputs)
    assert "03_ships/model: training (" in printed and "CPU-seconds" not in printed and check.problems(path) == []

    before = (shipped / "model.safetensors").read_bytes()
    for file in (stores / "checkpoints" / "local").rglob("*.*"):
        file.unlink()
    for file in shipped.iterdir():
        os.utime(file, (1, 1))
    assert main(["ship", "--only", "03"]) == 0
    assert (shipped / "model.safetensors").read_bytes() == before and (shipped / "sweep.json").exists()
    printed = "".join(output.get("text", "") for output in nbformat.read(path, 4).cells[2].outputs)
    assert "03_ships/model" not in printed, "what was loaded is not told in the committed notebook"


CHANGED = """import pathlib
path = pathlib.Path("03_ships.ipynb")
path.write_text(path.read_text().replace("Title of", "My title of"))"""


def test_what_is_written_into_the_notebook_while_it_runs_is_not_lost(folder, stores, capsys):
    path = write(folder / "03_ships.ipynb", CHANGED)
    kept = stores / "checkpoints" / "03_ships" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_text("old")
    assert main(["ship", "--only", "03"]) == 1
    assert "03_ships.ipynb was changed while it ran, and stays as it is: ship it again" in capsys.readouterr().out
    assert "My title of" in path.read_text() and kept.exists()


def test_shipping_a_notebook_that_fails_changes_nothing(folder, stores):
    path = folder / "01_fails.ipynb"
    before, kept = path.read_bytes(), stores / "checkpoints" / "01_fails" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_text("old")
    os.utime(kept, (1, 1))
    assert main(["ship", "--only", "01"]) == 1
    assert path.read_bytes() == before and kept.exists()


WARNS = """import sys, warnings
print(" 50%|#####     | 1/2", file=sys.stderr)
warnings.warn("mean of nothing")"""


def test_a_warning_is_printed_since_it_is_not_kept_in_the_outputs(folder, stores, capsys):
    path = write(folder / "03_ships.ipynb", WARNS)
    assert main(["ship", "--only", "03"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^03_ships.ipynb: cell 2 warns: .*UserWarning: mean of nothing$", printed, re.M)
    assert "50%" not in printed and check.problems(path) == []
