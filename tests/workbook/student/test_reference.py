"""Tables of sweeps in the student edition: the reference's, whatever the student's code looks like."""

import pytest
import torch

from lib.storage import tensors
from lib.storage.files import write_table
from lib.storage.paths import checkpoints_folder
from lib.training import checkpoints
from lib.workbook.student import reference, working


@pytest.fixture
def shipped(stores):
    rows = [
        {
            "settings": {"steps": 9, "seed": seed},
            "source": "other code",
            "result": {"accuracy": seed / 4},
            "seconds": 2.0,
        }
        for seed in (0, 1)
    ]
    write_table(checkpoints_folder() / "01_x" / "runs.json", rows, {})


def run(seed):
    return {"accuracy": 5.0}


def test_a_table_that_ships_is_shown_and_labelled(shipped, capsys):
    found = reference.sweep("01_x/runs", run, [{"seed": 1}], {"steps": 9}, why="to compare")
    assert found == [{"seed": 1, "accuracy": 0.25, "cpu_seconds": 2.0}]
    assert "01_x/runs: 1 runs of the reference (not of your class)" in capsys.readouterr().out
    (record,) = checkpoints.RECORDS
    assert record["why"] == "to compare (reference)" and record["rows"][0]["settings"] == {"steps": 9, "seed": 1}


def test_other_settings_are_computed_with_the_students_code(shipped):
    assert reference.sweep("01_x/runs", run, [{"seed": 7}], {"steps": 9})[0]["accuracy"] == 5.0
    assert reference.sweep("01_x/runs", run, [{"seed": 1}], {"steps": 9}, retrain=True)[0]["accuracy"] == 5.0


@pytest.fixture
def weights(stores):
    stored = {"settings": {"width": 2}, "source": "other code", "history": {"step": [9], "loss": [0.5]}, "seconds": 3.0}
    tensors.save(
        checkpoints_folder() / "05_x" / "model.safetensors", stored | {"model": torch.nn.Linear(2, 1).state_dict()}
    )
    return tensors.load(checkpoints_folder() / "05_x" / "model.safetensors")["model"]


def refuse(model, resume, log_dir):
    raise AssertionError("this begins to train")


def test_the_reference_is_loaded_as_long_as_nothing_is_the_students(weights, capsys):
    run = reference.train_or_load("05_x/model", lambda: torch.nn.Linear(2, 1), refuse, {"width": 2}, why="to see")
    assert torch.equal(run.model.weight, weights["weight"]) and run.result["loss"] == 0.5
    assert "the reference's weights" in capsys.readouterr().out
    assert [record["why"] for record in checkpoints.RECORDS] == ["to see (reference)"]


def test_what_the_student_wrote_is_trained(weights, monkeypatch):
    monkeypatch.setitem(working.MODULES, working.work_folder() / "M1.py", (0, None))
    with pytest.raises(AssertionError, match="begins to train"):
        reference.train_or_load("05_x/model", lambda: torch.nn.Linear(2, 1), refuse, {"width": 2})


def test_ours_in_place_of_the_students_is_no_code_of_theirs(weights, monkeypatch):
    monkeypatch.setitem(working.MODULES, working.work_folder() / "ours" / "M1.py", (0, None))
    reference.train_or_load("05_x/model", lambda: torch.nn.Linear(2, 1), refuse, {"width": 2})


def test_other_settings_are_trained(weights):
    with pytest.raises(AssertionError, match="begins to train"):
        reference.train_or_load("05_x/model", lambda: torch.nn.Linear(2, 1), refuse, {"width": 3})


def test_everything_else_is_that_of_checkpoints():
    assert reference.RECORDS is checkpoints.RECORDS
