"""The runner that compares speeds: contenders in turn, medians, ratios; the cases that it finds; what is asked for."""

import json
import runpy

import pytest
import torch

from lib.workbook import bench

SLEEPS = """
import time
TITLE = "Naps"
SIZE = "seats"
NOTES = {"a note that is long": lambda row: f"{row['rest_ms'] > 0}"}

def nap(seconds):
    return lambda: time.sleep(seconds)

def cases():
    naps = {"ours": nap(0.002), "torch": nap(0.02), "rest": nap(0)}
    yield {"model": "chair", "seats": 4, "rounds": 3, "target": 0.5, "contenders": naps, "colour": "red"}
"""


def test_contenders_take_turns_and_every_call_is_made_twice():
    calls = []
    times = bench.time_in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert "".join(calls) == "aabbaabb"
    assert {name: len(values) for name, values in times.items()} == {"a": 2, "b": 2}


def test_the_ratio_is_the_median_over_the_rounds(monkeypatch):
    times = {"ours": [1.0, 9.0, 3.0], "torch": [1.0, 3.0, 2.0], "floor": [1.0, 1.0, 1.0]}
    monkeypatch.setattr(bench, "time_in_turn", lambda contenders, rounds: times)
    case = {"model": "m", "size": 3, "rounds": 3, "target": 1.1, "contenders": {}}
    numbers = bench.measured(case)
    own = {"model": "m", "size": 3, "target": 1.1}
    assert numbers == own | {"ours_ms": 3e3, "torch_ms": 2e3, "floor_ms": 1e3, "ratio": 1.5}


def test_a_step_gives_gradients_anew():
    model = torch.nn.Linear(2, 1)
    step = bench.training_step(model, lambda model: model(torch.ones(1, 2)).sum())
    step()
    step()
    assert torch.equal(model.weight.grad, torch.ones(1, 2))


def test_the_table_and_the_numbers(stores, monkeypatch, capsys):
    (stores / "bench").mkdir()
    (stores / "bench" / "naps.py").write_text(SLEEPS)
    monkeypatch.setattr(bench, "FOLDER", stores / "bench")
    threads = torch.get_num_threads()
    assert bench.main(["layers", "--json", str(stores / "out" / "numbers.json"), "--rounds", "1"]) == 0
    assert torch.get_num_threads() == threads
    title, heading, line, *others = capsys.readouterr().out.splitlines()
    assert title == "Naps" and others[-1].startswith("Load during the last minute: ")
    assert " ".join(heading.split()) == "threads seats model ours torch ratio target a note that is long"
    words = line.split()
    assert words[:3] == ["1", "4", "chair"] and words[-3:] == ["≤", "0.5", "True"]
    assert len(line) == len(heading), "what stands below a heading ends where it ends"
    (row, *_) = json.loads((stores / "out" / "numbers.json").read_text())["rows"]
    assert row["colour"] == "red" and row["threads"] == 1 and words[7] == f"{row['ratio']:.2f}"
    assert row["ratio"] == pytest.approx(row["ours_ms"] / row["torch_ms"]), "with one round the median is that round"


def test_without_cases_it_says_so(stores, monkeypatch, capsys):
    monkeypatch.setattr(bench, "FOLDER", stores)
    assert bench.main([]) == 2
    assert "there is nothing to time in" in capsys.readouterr().err


def test_widgets_are_measured_alone_and_those_of_some_notebooks(stores, monkeypatch, capsys):
    asked, file = [], stores / "numbers.json"
    table = {"notebook": "02", "widget": "Move it.", "median_ms": 60.0, "controls": {"x": 60.0}}
    monkeypatch.setattr(bench.widget_bench, "print_table", lambda *given: asked.append(given) or [table])
    monkeypatch.setattr(bench, "FOLDER", stores)  # without layers
    assert bench.main(["widgets", "--only", "02,7", "--rounds", "3", "--json", str(file)]) == 0
    ((paths, moves),) = asked
    assert [path.name[:2] for path in paths] == ["02", "07"] and moves == 3
    assert json.loads(file.read_text()) == {"torch": torch.__version__, "rows": [], "widgets": [table]}
    assert bench.main(["widgets", "--only", "77"]) == 2
    assert "no notebook 77" in capsys.readouterr().err


@pytest.mark.parametrize("file", sorted(bench.FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_the_cases_are_what_the_runner_expects(file):
    """The first of each, without timing it."""
    table = runpy.run_path(str(file))
    case = next(iter(table["cases"]()))
    assert {"model", table["SIZE"], "rounds", "target", "contenders"} <= set(case) and table["TITLE"]
    for call in case["contenders"].values():
        call()
    numbers = bench.measured(case, rounds=1)
    assert all(note(numbers) for note in table.get("NOTES", {}).values())
