"""`python -m lib.experiments.waves`: training, many at once, evaluating, and one line for what goes wrong."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tiny_waves import SETTINGS, UNET, WEIGHTS, same, weights

from lib import training
from lib.datasets import excitable
from lib.experiments import waves
from lib.experiments.waves import command_line, overrides
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


def printed_commands():
    """The arguments of every `python -m lib.experiments.waves train …` that a reader meets."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("cluster/*"), *ROOT.glob("lib/**/*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files + [*ROOT.glob("lib/**/*.yaml")]]
    for notebook in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells]
    found = {end for text in texts for end in re.findall(r"-m lib\.experiments\.waves train ([^`\"\n#]*)", text)}
    return sorted(end.split("  ")[0].strip() for end in found)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file with runs of an excitable medium."""
    path = tmp_path_factory.mktemp("own") / "runs.npy"
    np.save(path, excitable.runs(7, num_frames=24, size=16))
    return path


@pytest.mark.parametrize("arguments", printed_commands())
def test_every_printed_command_starts_a_training(arguments, own):
    overrides.check_command_line(re.sub(r"data\.path=\S+", f"data.path={own}", arguments).split())


def test_runs_of_ones_own_are_trained_on_and_evaluated_by_the_same_commands(own, stores, capsys):
    mine = [*UNET, f"data.path={own}", "data.share=1", "model.padding=circular", "evaluation.warm_up=10"]
    config = waves.compose(overrides=mine)
    model = waves.train(config, "tests/own").model
    assert model.field_scale == waves.wave_data(config.data, "train").std()
    assert len(waves.evaluate(model, config)["vrmse"]) == 13, "24 frames, of which 11 are true"
    assert "exact stencil" not in waves.baselines(config)
    assert command_line.main(["evaluate", str(exports_folder() / "runs" / "tests" / "own")]) == 0
    assert "runs" in capsys.readouterr().out
    np.save(own, 2 * np.load(own))  # another content under the same name
    assert waves.train(config, "tests/own").model.field_scale > 1.9 * model.field_scale


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["evaluation.warm_up=30"], "evaluation.warm_up=30 .* test runs of 24 frames.* at most 22"),
        (["data.cut_start=22"], "cut less"),
        (["data.path=nowhere.npy"], "nowhere.npy: need a file"),
        (["model.spatial_factor_list=[5]"], "multiples of 5"),
    ],
)
def test_runs_of_ones_own_that_do_not_fit_are_refused_in_one_line(settings, message, own, capsys):
    arguments = [*UNET, f"data.path={own}", "evaluation.warm_up=10", *settings]
    assert waves.main(["train", *arguments]) == 2
    line = capsys.readouterr().err.strip()
    assert re.search(message, line) and "\n" not in line


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
    assert result["vrmse"] == pytest.approx(waves.evaluate(model, config, 2)["vrmse"], rel=1e-3)


def test_an_error_during_a_run_is_one_line_on_the_command_line(stores, monkeypatch):
    (stores / "file").touch()
    monkeypatch.setenv("WORKBOOK_CHECKPOINTS", str(stores / "file"))
    done = command("train", *UNET, "training.steps=1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if str(exports_folder()) in line)
    assert "file" in line, "the run and what is wrong with it"


@pytest.fixture
def in_process(monkeypatch):
    """Environment and arguments are put back after a run in this process."""
    for name in ("WORKBOOK_EXPORTS", "HYDRA_FULL_ERROR"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr("sys.argv", ["waves"])


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(stores, in_process, monkeypatch):
    monkeypatch.setattr(command_line, "train", lambda *_, **__: None)
    for _ in range(5):
        assert waves.main(["train", *UNET]) == 0
    assert len([*(stores / "exports" / "runs" / "waves").iterdir()]) == 5


def test_of_a_multirun_one_failure_does_not_stop_the_others(stores, monkeypatch, in_process, capsys):
    def train(config, *_, **__):
        if config.seed in (0, 2):
            raise {0: training.TrainingError("diverged"), 2: RuntimeError("cannot allocate memory")}[config.seed]

    monkeypatch.setattr(command_line, "train", train)
    assert waves.main(["train", "-m", *UNET, "seed=0,1,2,3"]) == 1
    said = capsys.readouterr()
    first, second = (line for line in said.err.strip().splitlines() if "[HYDRA]" not in line)
    assert first.endswith("0: diverged") and "2: not enough memory; lower training.predictions_per_step" in second
    assert said.out.count("evaluate with") == 2


def test_interrupted_it_says_how_to_go_on(stores, monkeypatch, in_process, capsys):
    def train(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "train", train)
    assert waves.main(["train", *UNET]) == 130
    assert capsys.readouterr().err.strip() == "Stopped: the same command goes on where this one was"


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
        ["train", "seed=range(0,3)"],
        ["train", "-m", "seed=interval(0,1)"],
        ["train", "-m", "data=glob(*)"],
        ["train", "-m", "model=unet,convlstm", "model.c_hidden=4"],
        ["train", "-m", "model=convlstm", "model.c_hidden=4,-4"],
        ["train", "model=convlstm", "model.c_hidden=-4"],
        ["train", "data.speed=20"],
        ["train", "data.size=100000"],
        ["train", "model.c_list=[16,32]"],
        ["train", "hydra/launcher=slurm"],
        ["train", "hydra.launcher.partition=gpu"],
        ["train", "-m", "hydra/launcher=slurm", "hydra.launcher.timeout_min=soon", "seed=0,1"],
        ["train", "-m", "hydra/launcher=joblib", "seed=0,1"],
        ["train", "hydra.verbose={a:1}"],
        ["train", "hydra.job.env_set={A: {b: 1}}"],
        ["train", "-m", "hydra/launcher=slurm", "hydra.sweep.dir='a\nb'", "seed=0,1"],
        ["train", "-m", "hydra/launcher=slurm", "hydra.job.name='a\nb'", "seed=0,1"],
        ["train", "x"],
        ["train", ""],
    ],
)
def test_settings_that_do_not_exist_end_with_code_two_before_anything_starts(arguments, capsys, stores):
    assert waves.main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message and "\n" not in message, "one line must do"
    assert not (stores / "exports").exists(), "no run may have begun"


def test_what_is_said_names_the_remedy(capsys):
    for arguments, remedy in (
        (["seed=0,1"], "a multirun, which needs -m"),
        (["hydra/launcher=slurm"], "add -m"),
        (["model.c_list=[16,32]"], "one more entry in c_list than in spatial_factor_list"),
    ):
        waves.main(["train", *arguments])
        assert remedy in capsys.readouterr().err


def test_evaluating_what_is_no_run_ends_with_code_two(finished, capsys):
    assert waves.main(["evaluate", str(finished.parent / "no*")]) == 2
    assert "no finished run matches" in capsys.readouterr().err
    (finished / SETTINGS).write_text("")
    assert waves.main(["evaluate", str(finished)]) == 2
    assert "config.yaml are damaged" in capsys.readouterr().err
    (finished / WEIGHTS).write_bytes(b"nothing")
    assert waves.main(["evaluate", str(finished)]) == 2


@pytest.mark.parametrize("number", ["0", "-3", "151"])
def test_there_are_150_test_runs(number, finished, capsys):
    assert waves.main(["evaluate", str(finished), "--test-runs", number]) == 2
    assert capsys.readouterr().err.strip() == f"evaluation.runs must be from 1 to 150; got {number}"


def test_brackets_in_a_path_are_part_of_it_and_a_damaged_run_does_not_hide_the_others(finished, capsys):
    folder = finished.parent / "runs [1]"
    shutil.copytree(finished, folder / "good")
    shutil.copytree(finished, folder / "bad")
    (folder / "bad" / SETTINGS).write_text((folder / "bad" / SETTINGS).read_text().replace("size: 16", "size: many"))
    for pattern in (folder, folder / "*", finished.parent / "runs ?1?"):
        assert waves.main(["evaluate", str(pattern), "--test-runs", "1"]) == 2
        said = capsys.readouterr()
        assert said.out.splitlines()[1].endswith(str(folder / "good")) and "bad/.hydra/config.yaml are" in said.err
    assert waves.main(["evaluate", str(finished.parent / "fin[iI]shed"), "--test-runs", "1"]) == 0


def test_anything_else_prints_how_it_is_used(capsys):
    assert waves.main([]) == waves.main(["--help"]) == 0
    assert waves.main(["fly"]) == 2
    assert capsys.readouterr().out.count("python -m lib.experiments.waves train") >= 3
