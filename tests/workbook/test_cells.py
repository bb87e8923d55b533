"""A notebook's cells in a process without a notebook; what they train is what a notebook finds."""

import os
import subprocess
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.storage.paths import ROOT
from lib.workbook.command_line import main
from lib.workbook.run import run

FIRST = "steps = 3\nretrain = False"
TRAIN = """
import torch
from lib import training
from lib.training import checkpoints

def targets(x):  # the hash of a training follows what a notebook defines
    return x.sum(1, keepdim=True)

class Line(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x)

def train(model, resume, log_dir):
    x = torch.randn(8, 3)
    batches, optimizer = training.shuffled(x, targets(x), batch_size=4), torch.optim.SGD(model.parameters(), lr=0.1)
    loss = lambda model, batch: (model(batch[0]) - batch[1]).square().mean()
    return training.fit(model, batches, loss, optimizer, epochs=steps, resume=resume, progress=False)

def build():
    torch.manual_seed(0)
    return Line(3, 1)

run = checkpoints.train_or_load("test/run", build, train, {"steps": steps}, sources=[train], retrain=retrain)
rows = checkpoints.sweep("test/sweep", lambda seed: {"square": seed**2}, [{"seed": 2}], sources=[targets])
print(run.origin, len(run.history["step"]), rows[0]["square"])
"""
WITH_PICTURES = """
import os
from IPython.display import Markdown, display
from matplotlib import pyplot as plt
plt.plot([0, 1]); plt.show()
display(Markdown("a claim"))
print(plt.get_backend(), os.path.basename(os.getcwd()), os.environ["WORKBOOK_PROFILE"])
"""


def write(path, *sources):
    cells = [new_markdown_cell("# Title"), *map(new_code_cell, (FIRST, *sources))]
    cells[1].metadata["tags"] = ["parameters"]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


def train(path, **values):
    """In a process of its own, since IPython's shell takes `__main__` for itself."""
    program = "from pathlib import Path; from lib.workbook import cells; "
    program += f"print(cells.train(Path({str(path)!r}), 'gpu', {values}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_it_trains_is_what_the_notebook_finds(stores):
    path = write(stores / "notebooks" / "01_train.ipynb", TRAIN)
    assert "trained 5 4" in train(path, steps=5)
    assert "local 5 4" in train(path, steps=5)
    assert run(path, values={"steps": 5}, form="none")[1] == ""
    nb = nbformat.read(stores / "exports" / "01_train" / "01_train.ipynb", 4)
    printed = "".join(output.get("text", "") for cell in nb.cells for output in cell.get("outputs", []))
    assert "local 5 4" in printed and "1 runs (1 local)" in printed


def test_printed_lines_alone_are_shown(stores):
    path = write(stores / "notebooks" / "01_shows.ipynb", WITH_PICTURES)
    assert train(path) == ["agg notebooks gpu", ""]


def test_stores_named_by_relative_paths(stores, monkeypatch):
    path = write(stores / "notebooks" / "01_train.ipynb", TRAIN)
    monkeypatch.chdir(stores)
    monkeypatch.setenv("WORKBOOK_CHECKPOINTS", "mine")
    assert "trained 3 4" in train(path)
    assert [*(stores / "mine" / "local" / "test" / "run").glob("*.safetensors")]


def test_a_cell_that_fails_is_named(stores):
    path = write(stores / "notebooks" / "01_fails.ipynb", "print('so far')", "{}['key']", "print('never')")
    printed = train(path)
    assert printed[0] == "so far" and printed[-1] == "cell 4: KeyError: 'key'" and "never" not in printed


def test_told_to_stop_it_stops(stores):
    path = write(stores / "notebooks" / "01_long.ipynb", "raise KeyboardInterrupt  # as lib.workbook does on SIGTERM")
    program = f"from pathlib import Path; from lib.workbook import cells; cells.train(Path({str(path)!r}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "KeyboardInterrupt" in done.stderr
    assert done.stdout == "", "no traceback of the cell"


def test_as_a_command(capsys):
    assert main(["train", "--only", "01", "-p", "unknown=1"]) == 2
    assert "01_palindromes.ipynb has no parameter unknown" in capsys.readouterr().err
