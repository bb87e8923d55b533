"""The files that jobs write about themselves: a damaged one is named, and hides nothing else."""

import pytest

from lib.workbook.cluster import records, slurm, states
from lib.workbook.cluster.__main__ import main
from lib.workbook.notebooks import UsageError

DAMAGED = [
    "",
    "{",
    "[]",
    '"text"',
    "[" * 100_000,
    "\0",
    '{"numbers": 3, "state": 3}',
    '{"numbers": "all", "seconds": "1"}',
]
DAMAGED += ['{"numbers": true, "state": null}', '{"numbers": {}, "restarts": "often"}', '{"numbers": null, "node": 1}']


@pytest.fixture
def job(stores, monkeypatch):
    """Job 7 of the notebooks 1 and 2: the first is done, the second waits."""
    monkeypatch.setattr(states, "queued", lambda job: {2: ("pending", "Priority")})
    monkeypatch.setattr(states, "details", lambda job, number: {})
    records.write(records.folder() / "7.json", {"numbers": [1, 2]})
    records.write(records.folder() / "7_1.json", {"state": "done", "seconds": 60, "node": "a"})
    return "7"


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:20])
def test_a_damaged_file_is_named(text, stores):
    file = records.folder() / "7.json"
    records.write(file, {})
    file.write_text(text)
    with pytest.raises(UsageError, match=r"7\.json is damaged.*delete it") as caught:
        records.read(file)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:20])
def test_the_table_stands_all_the_same(text, job, capsys):
    (records.folder() / "7.json").write_text(text)
    assert main(["status"]) == 0
    said = capsys.readouterr()
    assert "7.json is damaged" in said.err and "Traceback" not in said.err
    assert "01_palindromes  done" in said.out and "02_memory       waiting" in said.out

    records.write(records.folder() / "7.json", {"numbers": [1, 2]})
    (records.folder() / "7_1.json").write_text(text)
    assert main(["summary", "7"]) == 1
    said = capsys.readouterr().out
    assert "0 of 2 notebooks done" in said and "7_1.json is damaged" in said and "02_memory       waiting" in said


def test_numbers_that_are_none_are_left_out(job):
    records.write(records.folder() / "7.json", {"numbers": [2, "x", None]})
    assert records.numbers("7") == {1, 2}


@pytest.mark.parametrize("name", ["*", "../7", "7_1", "x", "7.", "[7]", "8"])
def test_a_job_that_was_not_submitted_is_refused(name, job, capsys):
    assert main(["status", name]) == 2
    assert capsys.readouterr().err.strip() == f"no job {name} was submitted from here; there are 7"


def test_other_files_beside_the_jobs_are_not_asked_about(job, monkeypatch):
    for name in ("7_x.json", "8 copy.json", "notes.json", "9_1_2.json"):
        (records.folder() / name).write_text("{}")
    assert records.jobs() == ["7"] and records.numbers("7") == {1, 2}


def test_reports_that_cannot_be_gathered_leave_the_table(job, capsys):
    (records.folder() / "7").write_text("a file where the folder should be")
    assert main(["summary", "7"]) == 2
    said = capsys.readouterr().err
    assert "01_palindromes  done" in said and "cannot be gathered in" in said


def test_reasons_with_bars_in_them_are_read(monkeypatch):
    monkeypatch.setattr(slurm, "call", lambda *command: "3|PENDING|(a|b)\n12|RUNNING|node\nN/A|x|y")
    assert slurm.queued("7") == {3: ("pending", "a|b"), 12: ("running", "node")}
