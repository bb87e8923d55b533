"""`python -m lib.experiments.waves`: training, many at once, evaluating, and one line for what goes wrong."""

import json
import os
import subprocess
import sys

import pytest
from tiny_waves import SETTINGS, UNET, WEIGHTS, same, weights

from lib.experiments import waves
from lib.storage.paths import ROOT, exports_folder


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lib.experiments.waves", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def test_train_multirun_and_evaluate_on_the_command_line(stores, capsys):
    runs = stores / "exports" / "runs" / "waves"
    quick = [*UNET, "training.steps=1"]
    done = command("train", *quick)
    assert done.returncode == 0, done.stderr
    (single,) = runs.iterdir()
    assert (single / SETTINGS).is_file() and (single / WEIGHTS).is_file() and list(single.glob("events*"))
    assert "data.size=16" in (single / ".hydra" / "overrides.yaml").read_text()
    assert f"evaluate {single}" in done.stdout, "the next command must be named"

    done = command("train", "-m", *quick, "seed=0,1")
    assert done.returncode == 0, done.stderr
    (multirun,) = set(runs.iterdir()) - {single}
    assert [waves.load(multirun / str(number))[1].seed for number in (0, 1)] == [0, 1]
    assert "loaded (local)" in done.stdout, "the run with seed 0 has just been trained"
    same_weights = weights(waves.load(multirun / "0")[0])
    assert same(same_weights, weights(waves.load(single)[0]))
    assert not same(same_weights, weights(waves.load(multirun / "1")[0]))

    assert waves.main(["evaluate", str(runs / "*"), "--test-runs", "2"]) == 0
    rows = capsys.readouterr().out.strip().splitlines()[1:]
    assert [row.split()[-1] for row in rows] == [str(single), str(multirun / "0"), str(multirun / "1")]
    result = json.loads((single / "scores.json").read_text())
    model, config = waves.load(single)
    assert result["rmse"] == pytest.approx(waves.evaluate(model, config, 2)["rmse"], rel=1e-3)


def test_an_error_during_a_run_is_one_line_on_the_command_line():
    done = command("train", *UNET, "data.speed=20")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "0.707" in line and str(exports_folder()) in line, "the run and what is wrong with it"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "data=medium"],
        ["train", "model.c_lst=[1]"],
        ["train", "training.steps=many"],
        ["train", "+model.foo=1"],
        ["train", "-m", "training.steps=10,many"],
        ["train", "--multirun", "data=slow,medium"],
        ["train", "seed=0,1"],
    ],
)
def test_settings_that_do_not_exist_end_with_code_two_before_anything_starts(arguments, capsys, stores):
    assert waves.main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message and "\n" not in message, "one line must do"
    assert not (stores / "exports").exists(), "no run may have begun"


def test_evaluating_what_is_no_run_ends_with_code_two(finished, capsys):
    assert waves.main(["evaluate", str(finished.parent / "no*")]) == 2
    assert "no finished run matches" in capsys.readouterr().err
    (finished / SETTINGS).write_text("")
    assert waves.main(["evaluate", str(finished)]) == 2
    assert "config.yaml are damaged" in capsys.readouterr().err
    (finished / WEIGHTS).write_bytes(b"nothing")
    assert waves.main(["evaluate", str(finished)]) == 2


def test_anything_else_prints_how_it_is_used(capsys):
    assert waves.main([]) == waves.main(["--help"]) == 0
    assert waves.main(["fly"]) == 2
    assert capsys.readouterr().out.count("python -m lib.experiments.waves train") >= 3
