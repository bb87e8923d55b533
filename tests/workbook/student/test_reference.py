"""Tables of sweeps in the student edition: the reference's, whatever the student's code looks like."""

import pytest

from lib.storage.files import write_table
from lib.storage.paths import checkpoints_folder
from lib.training import checkpoints
from lib.workbook.student import reference


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


def test_everything_else_is_that_of_checkpoints():
    assert reference.train_or_load is checkpoints.train_or_load and reference.RECORDS is checkpoints.RECORDS
