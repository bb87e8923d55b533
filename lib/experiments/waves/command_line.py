"""The command line of the wave experiments.

    python -m lib.experiments.waves train data=fast model.c_list=[8,16,32] training.steps=500
    python -m lib.experiments.waves train -m seed=0,1,2 data=slow,fast          (one run for each combination)
    python -m lib.experiments.waves evaluate exports/runs/waves/2026-01-31_12-00-00_123456
    python -m lib.experiments.waves evaluate "exports/runs/waves/*"

The tree of settings lies in `lib/experiments/config`; `python -m lib.experiments.waves train --help` shows it. Every
run keeps its settings in `.hydra/`, its weights and its TensorBoard events in one folder under `exports/runs/`.
"""

import argparse
import glob
import json
import os
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from lib import training
from lib.experiments.waves.evaluation import evaluate
from lib.experiments.waves.limits import check
from lib.experiments.waves.overrides import check_command_line
from lib.experiments.waves.settings import CONFIG, SettingsError
from lib.experiments.waves.training import WEIGHTS, load, train
from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import exports_folder
from lib.training import distributed

KNOWN = (ValueError, CheckpointError, training.TrainingError)  # their messages say all; else the traceback is shown
FAILED = []  # what went wrong in the runs of this process, a line each


def main(arguments=None):
    """Do what the arguments (default: those of the program) ask for; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = arguments.pop(0) if arguments else "--help"
    try:
        if command == "train":
            return _train_all(arguments)
        if command == "evaluate":
            return _evaluate_all(arguments)
    except training.TrainingError as error:  # a line for each run that failed as a job
        print(error, file=sys.stderr)
        return 1
    except KNOWN as error:
        print(str(error).partition("\n")[0], file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:  # of a training it says how far it was
        print(str(stopped) or "Stopped: the same command goes on where this one was", file=sys.stderr)
        return 130
    print(__doc__)
    return 0 if command in ("-h", "--help") else 2


# --- training -------------------------------------------------------------------------------------------------------


def _train_all(arguments):
    """Let Hydra make the runs that are asked for, each with `_train`."""
    check_command_line(arguments)
    os.environ["WORKBOOK_EXPORTS"] = str(exports_folder())  # the tree of settings names it
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, instead of being printed with half their traceback
    FAILED.clear()
    if not distributed.is_main():  # of the processes that share a training, one keeps records
        arguments = [*arguments, *(f"hydra.{kind}.dir={tempfile.mkdtemp()}" for kind in ("run", "sweep"))]
    if any(text.startswith("hydra/launcher=") for text in arguments):
        from lib.experiments.waves import slurm  # it needs Slurm's modules, which only Linux has

        slurm.install()
    sys.argv = [sys.argv[0], *arguments]
    try:
        hydra.main(config_path=str(CONFIG), config_name="config", version_base="1.3")(_train)()
    except training.TrainingError:
        raise
    except Exception as error:  # outside of the runs, of which `_train` tells: a setting of Hydra's own
        cause = error.__cause__ or error
        raise SettingsError(f"{' '.join(arguments)}: {type(cause).__name__}: {str(cause).strip()}") from error
    return int(bool(FAILED))


def _train(config):
    """One run of `train`; Hydra has made its folder and stored its overrides there.

    Returns:
        None, or what went wrong in one line, so that the other runs of a multirun go on.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        train(config, "waves/run", log_dir=folder)
    except Exception as error:
        problem = f"{folder}: {error}"
        if isinstance(error, MemoryError) or "allocate" in str(error):
            problem = f"{folder}: not enough memory; lower training.predictions_per_step, the model or data.share"
        elif not isinstance(error, KNOWN):
            traceback.print_exc()
        FAILED.append(problem)
        print(problem, file=sys.stderr)
        return problem
    if distributed.is_main():
        print(f"{folder}: evaluate with `python -m lib.experiments.waves evaluate {shlex.quote(str(folder))}`")
    return None


# --- evaluating -----------------------------------------------------------------------------------------------------


def _evaluate_all(arguments):
    parser = argparse.ArgumentParser(prog="python -m lib.experiments.waves evaluate")
    parser.add_argument("runs", nargs="+", help="folders of runs; wildcards are allowed")
    parser.add_argument("--test-runs", type=int, help="how many of the test runs (default: as configured)")
    args = parser.parse_args(arguments)
    matches = []
    for pattern in args.runs:  # itself, else what its wildcards match; a bracket may be part of a name
        escaped = pattern.replace("[", "[[]")
        matches += [pattern] if os.path.exists(pattern) else glob.glob(pattern) or glob.glob(escaped)
    folders = list(dict.fromkeys(found for folder in sorted(matches) for found in _runs_in(Path(folder))))
    if not folders:
        raise SettingsError(f"no finished run matches {' '.join(args.runs)}")
    print(f"{'one step':>10} {'% of persistence':>16} {'50 steps':>9} {'100 steps':>9}   run (VRMSE in %)")
    code = 0
    for folder in folders:
        try:
            print(_evaluated(folder, args.test_runs), flush=True)
        except KNOWN as error:  # the others are evaluated all the same
            print(error, file=sys.stderr)
            code = 2
    return code


def _evaluated(folder, runs):
    """Evaluate a run, store its numbers in its folder, and return its row of the table."""
    model, config = load(folder)
    if runs is not None:
        config.evaluation.runs = runs
        check(config)
    result = evaluate(model, config)
    write_atomically(folder / "scores.json", json.dumps(result).encode())
    at = [f"{100 * result['vrmse'][h - 1]:.1f}" if len(result["vrmse"]) >= h else "–" for h in (50, 100)]
    one_step, share = 100 * result["one_step"], 100 * result["one_step_share"]
    return f"{one_step:10.4f} {share:16.4f} {at[0]:>9} {at[1]:>9}   {folder}"


def _runs_in(folder):
    """A run's folder itself, or the runs of a multirun below it."""
    if (folder / WEIGHTS).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{WEIGHTS}"))
