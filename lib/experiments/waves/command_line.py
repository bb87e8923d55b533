"""The command line of the wave experiments.

    python -m lib.experiments.waves train data=fast model.c_list=[16,32] training.steps=500
    python -m lib.experiments.waves train -m seed=0,1,2 data=slow,fast          (one run for each combination)
    python -m lib.experiments.waves evaluate exports/runs/waves/2026-01-31_12-00-00
    python -m lib.experiments.waves evaluate "exports/runs/waves/*"

The tree of settings lies in `lib/experiments/config`; `python -m lib.experiments.waves train --help` shows it. Every
run keeps its settings in `.hydra/`, its weights and its TensorBoard events in one folder under `exports/runs/`.
"""

import argparse
import glob
import json
import os
import sys
import tempfile
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from lib import training
from lib.experiments.waves.evaluation import evaluate
from lib.experiments.waves.settings import CONFIG, SettingsError, check_command_line
from lib.experiments.waves.training import WEIGHTS, load, train
from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import exports_folder
from lib.training import distributed


def _train(config):
    """One run of `train` on the command line; Hydra has made its folder and stored its overrides there."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        train(config, "waves/run", log_dir=folder)
    except (ValueError, training.TrainingError, CheckpointError) as error:
        raise SystemExit(f"{folder}: {error}") from error  # one line; anything unexpected keeps its traceback
    print(f"{folder}: evaluate with `python -m lib.experiments.waves evaluate {folder}`")


def _evaluate(patterns, runs):
    folders = sorted({Path(match) for pattern in patterns for match in glob.glob(str(pattern))})
    folders = [found for folder in folders for found in _runs_in(folder)]
    if not folders:
        raise SettingsError(f"no finished run matches {' '.join(patterns)}")
    print(f"{'one step':>10} {'% of copying':>13} {'RMSE @50':>9} {'@100':>7}   run (RMSE in % of the deviation)")
    for folder in folders:
        model, config = load(folder)
        result = evaluate(model, config, runs)
        write_atomically(folder / "scores.json", json.dumps(result).encode())
        at = [f"{100 * result['rmse'][h - 1]:.1f}" if len(result["rmse"]) >= h else "–" for h in (50, 100)]
        share = 100 * result["one_step_share"]
        print(f"{result['one_step_mse']:10.2e} {share:13.4f} {at[0]:>9} {at[1]:>7}   {folder}", flush=True)


def _runs_in(folder):
    """A run's folder itself, or the runs of a multirun below it."""
    if (folder / WEIGHTS).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{WEIGHTS}"))


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = arguments.pop(0) if arguments else "--help"
    try:
        if command == "train":
            check_command_line(arguments)
            os.environ["WORKBOOK_EXPORTS"] = str(exports_folder())  # the tree of settings names it
            if not distributed.is_main():  # of the processes that share a training, one keeps records
                arguments += [f"hydra.{kind}.dir={tempfile.mkdtemp()}" for kind in ("run", "sweep")]
            sys.argv = [sys.argv[0], *arguments]
            hydra.main(config_path=str(CONFIG), config_name="config", version_base="1.3")(_train)()
            return 0
        if command == "evaluate":
            parser = argparse.ArgumentParser(prog="python -m lib.experiments.waves evaluate")
            parser.add_argument("runs", nargs="+", help="folders of runs; wildcards are allowed")
            parser.add_argument("--test-runs", type=int, help="how many of the test runs (default: as configured)")
            args = parser.parse_args(arguments)
            _evaluate(args.runs, args.test_runs)
            return 0
    except (SettingsError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    print(__doc__)
    return 0 if command in ("-h", "--help") else 2
