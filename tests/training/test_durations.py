"""Before something long is computed, the reader is told what the whole notebook takes."""

import pytest
import torch
from toys import CELLS, Counter, ask, sweep

from lib.storage import tensors
from lib.storage.files import write_table
from lib.storage.paths import checkpoints_folder
from lib.training import durations


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    monkeypatch.setattr(durations, "told", set())


def shipped(*seconds, notebook="toy"):
    """Stored results that took so long: one model, the others comparisons of one run each."""
    folder = checkpoints_folder() / notebook
    tensors.save(folder / "model.safetensors", {"model": {"weight": torch.zeros(1)}, "seconds": seconds[0]})
    for number, time in enumerate(seconds[1:]):
        write_table(folder / f"comparison{number}.json", [{"settings": {}, "result": {}, "seconds": time}])


TOLD = (
    "toy: everything takes about 14 minutes of one core, 1 minute for models and 12 minutes for comparisons (with the "
    'shipped settings). For the headline models alone set retrain = True, not "all", or stop (■) at the first '
    "comparison; what is finished is kept."
)


@pytest.mark.parametrize("call", [ask, lambda: sweep(Counter())], ids=["training", "sweep"])
def test_the_total_istold_once_and_first(call, capsys):
    shipped(80, 600, 140)
    call()
    assert capsys.readouterr().out.splitlines()[0] == TOLD
    ask(name="toy/other"), sweep(Counter(), CELLS[:1], {"rate": 0.2})
    assert "minutes" not in capsys.readouterr().out.replace("CPU-minutes", "")


def test_nothing_istold_where_nothing_is_computed_or_nothing_long(capsys):
    ask(), sweep(Counter())
    shipped(80, 600)
    durations.told.clear()
    capsys.readouterr()
    ask(), sweep(Counter())
    assert "of one core" not in capsys.readouterr().out, "all of it was loaded"
    shipped(60, 50, notebook="short")
    for notebook in ("short", "nowhere"):
        durations.tell(f"{notebook}/run")
    assert capsys.readouterr().out == ""


def test_what_is_damaged_or_foreign_does_not_count(capsys):
    shipped(80, 700)
    folder = checkpoints_folder() / "toy"
    (folder / "comparison1.json").write_text("damaged")
    (folder / "weights.safetensors").write_bytes(b"damaged")
    write_table(folder / "comparison2.json", [{"nothing": 1}])
    tensors.save(folder / "list.safetensors", [1, 2])
    (folder / "notes.txt").write_text("mine")
    durations.tell("toy/run")
    assert "about 13 minutes of one core, 1 minute for models and 12 minutes for" in capsys.readouterr().out
