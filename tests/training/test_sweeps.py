"""Sweeps: one function over many settings, of which only what is missing is computed."""

import json
import shutil

import pytest
import torch
from toys import CELLS, Counter, ask, exchange, sweep, written

from lib.models import LSTM
from lib.storage.files import CheckpointError, write_table
from lib.training import checkpoints


def test_a_sweep_is_computed_once(capsys):
    counter = Counter()
    first, output = sweep(counter), capsys.readouterr().out
    assert "toy/sweep: 4 of 4 runs to compute (no stored results found) …" in output
    assert "toy/sweep: 4 runs (4 computed)" in output
    second = sweep(counter)
    assert "4 runs (4 local)" in capsys.readouterr().out
    assert len(counter.calls) == 4 and first == second
    assert [row["seed"] for row in first] == [0, 1, 2, 3] and first[2]["accuracy"] == 0.2
    assert first[0]["curve"] == [0.5, 5], "what is computed looks like what is loaded"
    assert all(row["cpu_seconds"] >= 0 for row in first)


def test_only_missing_runs_are_computed():
    counter = Counter()
    sweep(counter)
    sweep(counter, [{"seed": 3}, {"seed": 4}, {"seed": 4, "length": 9}])
    assert counter.calls[4:] == [(4, 5), (4, 9)]
    sweep(counter, settings={"rate": 0.1})
    assert len(counter.calls) == 10, "shared settings belong to the identity of every run"
    sweep(counter, sources=[LSTM])
    assert len(counter.calls) == 14, "so does the code"


def test_what_a_crashed_sweep_has_finished_is_kept():
    with pytest.raises(KeyboardInterrupt):
        sweep(Counter(fail_at=3))
    counter = Counter()
    assert len(sweep(counter)) == 4 and counter.calls == [(3, 5)]


def test_retraining_a_sweep_goes_on_after_a_kill(monkeypatch):
    sweep(Counter())
    with pytest.raises(KeyboardInterrupt):
        sweep(Counter(fail_at=2), retrain=True)
    counter = Counter()
    sweep(counter, retrain=True)
    # One of the two that were finished may fall into the clock tick of the start.
    assert 2 <= len(counter.calls) <= 3, "of four runs two were finished"
    assert (3, 5) in counter.calls and (2, 5) in counter.calls
    counter = Counter()
    sweep(counter, retrain=True)
    assert len(counter.calls) == 4, "a retraining that is complete leaves no trace"


def test_shipping_a_sweep(capsys, monkeypatch, stores):
    counter = Counter()
    sweep(counter)
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    sweep(counter, CELLS[:3], retrain=True)
    monkeypatch.delenv("WORKBOOK_SHIP")
    assert len(counter.calls) == 4, "shipping never computes what is there"
    table = stores / "checkpoints" / "toy" / "sweep.json"
    assert len(json.loads(table.read_text())["rows"]) == 3
    for file in (stores / "checkpoints" / "local" / "toy" / "sweep").iterdir():
        file.unlink()
    capsys.readouterr()
    rows = sweep(counter)
    output = capsys.readouterr().out
    assert "1 of 4 runs to compute (settings or code differ, about 0 min)" in output
    assert "4 runs (3 shipped, 1 computed)" in output and [row["accuracy"] for row in rows] == [0, 0.1, 0.2, 0.3]
    assert not checkpoints.is_reference()
    sweep(counter, CELLS[:2])
    assert checkpoints.is_reference(), "a part of what ships is still what ships"


def test_exchanged_rows_are_not_believed(capsys, stores):
    counter = Counter()
    first = sweep(counter)
    exchange(*sorted((stores / "checkpoints" / "local" / "toy" / "sweep").iterdir())[:2])
    capsys.readouterr()
    again, output = sweep(counter), capsys.readouterr().out
    ignored = [line for line in output.splitlines() if line.startswith("Ignored: checkpoints/local/toy/sweep/")]
    assert len(ignored) == 2 and all("of other settings or code than its name says" in line for line in ignored)
    assert "toy/sweep: 4 runs (2 local, 2 computed)" in output and len(counter.calls) == 6
    assert without_time(again) == without_time(first)
    sweep(counter)
    assert "toy/sweep: 4 runs (4 local)" in capsys.readouterr().out, "what is computed again stands in its place"


def test_an_exchanged_shipped_table_is_not_believed(monkeypatch, stores):
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    sweep(Counter())
    checkpoints.sweep("toy/other", Counter().run, CELLS, {"rate": 0.1})
    monkeypatch.delenv("WORKBOOK_SHIP")
    shutil.rmtree(stores / "checkpoints" / "local")
    exchange(stores / "checkpoints" / "toy" / "sweep.json", stores / "checkpoints" / "toy" / "other.json")
    counter = Counter()
    sweep(counter)
    assert len(counter.calls) == 4


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "cpu_seconds"} for row in rows]


def test_retraining_a_sweep_is_like_computing_it_from_nothing():
    counter = Counter()
    first, loaded = sweep(counter), sweep(counter)
    again = sweep(counter, retrain=True)
    assert len(counter.calls) == 8 and without_time(again) == without_time(first) == without_time(loaded)


CODE = '''
def run(seed):
    """What is measured."""
    # one number
    return {"accuracy": part(seed)}

def part(seed):
    return seed / 10
'''


@pytest.mark.parametrize(
    ("old", "new", "computed"),
    [
        ("part(seed)}", "part(seed) + 1}", True),
        ('"accuracy"', '"error"', True),
        ('(seed):\n    "', '(seed, half=False):\n    "', True),
        ("# one number", "# another number", False),
        ("    # one number\n", "\n", False),
        ("What is measured.", "What it measures.", False),
    ],
)
def test_changed_code_is_run_again_and_a_comment_is_not(old, new, computed, capsys):
    assert old in CODE
    for text, count in ((CODE, True), (CODE.replace(old, new), computed)):
        rows = checkpoints.sweep("toy/code", written(text)["run"], CELLS)
        assert f"4 runs (4 {'computed' if count else 'local'})" in capsys.readouterr().out
    assert ("error" in rows[0]) == ("error" in new)


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
    counter = Counter()
    sweep(counter)
    local = sorted((stores / "checkpoints" / "local" / "toy" / "sweep").iterdir())[0]
    local.write_text(local.read_text().replace("accuracy", "acuracy"))
    sweep(counter)
    assert "Ignored: checkpoints/local/toy/sweep/" in capsys.readouterr().out and len(counter.calls) == 5
    monkeypatch.setenv("WORKBOOK_SHIP", "1")
    sweep(counter)
    monkeypatch.delenv("WORKBOOK_SHIP")
    local.write_text("")
    sweep(counter)
    assert "3 local" in capsys.readouterr().out and len(counter.calls) == 5, (
        "the shipped result stands in for a damaged one"
    )
    table = stores / "checkpoints" / "toy" / "sweep.json"
    table.write_text(table.read_text()[:-9])
    local.unlink()
    sweep(counter)
    assert "Ignored: checkpoints/toy/sweep.json is damaged" in capsys.readouterr().out and len(counter.calls) == 6


def test_results_that_cannot_be_stored_are_named():
    with pytest.raises(CheckpointError, match="results must be plain numbers, texts and lists"):
        checkpoints.sweep("toy/sweep", lambda seed: {"weights": torch.zeros(2)}, CELLS)


def test_settings_whose_keys_are_numbers():
    counter, settings = Counter(), {"lengths": {10: 2, 9: 3}}
    sweep(counter, settings=settings)
    sweep(counter, settings=settings)
    assert len(counter.calls) == 4


def test_an_empty_table_in_the_place_of_a_run_is_passed_over(stores):
    counter = Counter()
    sweep(counter)
    write_table(next((stores / "checkpoints" / "local" / "toy" / "sweep").iterdir()), [])
    sweep(counter)
    assert len(counter.calls) == 5
