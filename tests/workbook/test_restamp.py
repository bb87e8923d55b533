"""`python -m lib.workbook restamp`: the table that it prints, and that nothing is trained."""

import os
import subprocess
import sys

import pytest
from small_notebooks import write

from lib.storage.paths import ROOT, checkpoints_folder

NOTEBOOK = """
import torch
from lib import training
from lib.training import checkpoints

class Line(torch.nn.Linear):
    def forward(self, x):
        return SIGNsuper().forward(x)

def fit(model, **keep):
    batches = training.shuffled(torch.ones(8, 1), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loss = lambda model, batch: (model(batch[0]) - 3).square().mean()
    return training.fit(model, batches, loss, optimizer, epochs=steps, progress=False, **keep)

def build():
    torch.manual_seed(0)
    return Line(1, 1)

run = checkpoints.train_or_load("01_line/run", build, fit, {"steps": steps}, retrain=retrain)
rows = checkpoints.sweep("01_line/sweep", lambda seed: {"sum": seed + 1 REMARK}, [{"seed": 2}])
print("not shown")
"""


@pytest.fixture
def restamp(stores):
    """Write the notebook with a change and run a command on it, in a process of its own: exit code, what it prints."""

    def call(*arguments, sign="", remark="", **environment):
        source = NOTEBOOK.replace("SIGN", sign).replace("REMARK", remark)
        write(stores / "notebooks" / "01_line.ipynb", source)
        program = "import sys; from pathlib import Path; from lib.workbook import notebooks; "
        program += f"notebooks.FOLDER = Path({str(stores / 'notebooks')!r}); "
        program += "from lib.workbook.command_line import main; sys.exit(main(sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    code, printed = call("train", WORKBOOK_SHIP="1")
    assert code == 0, printed
    for file in (checkpoints_folder() / "local").rglob("*.*"):
        file.unlink()
    return call


def test_what_is_the_same_is_restamped_and_the_rest_is_listed(restamp):
    shipped = checkpoints_folder() / "01_line" / "run.safetensors"
    before = shipped.read_bytes()
    code, printed = restamp("restamp", sign="+", remark="+ 1")
    assert code == 1 and "not shown" not in printed
    assert "  01_line/run: equal, bit for bit, " in printed
    assert "  01_line/sweep: DIFFERS (sum: 3 → 4), " in printed
    assert "  2 results with other code, 1 of them differ; " in printed
    assert shipped.read_bytes() != before

    code, printed = restamp("restamp", "--accept", "01_line/s*", sign="+", remark="+ 1")
    assert code == 0 and "  01_line/sweep: accepted without a replay" in printed and "01_line/run" not in printed

    code, printed = restamp("restamp", "-p", "steps=7", sign="+", remark="+ 1")
    assert code == 1 and "the notebook stopped, what stands behind is not restamped: cell 3: CannotReplay" in printed
    assert not any((checkpoints_folder() / "local").rglob("*.*")), "nothing is trained"
