"""Training and evaluating forecasters of waves, configured by Hydra; notebooks and the command line call the same.

`settings` says what can be asked for, `limits` which values make sense, `overrides` reads them; `forecasters` makes
data and models of them, `training` trains and keeps them, `evaluation` measures them, `rollout` makes single
predictions when they are looked at, `command_line` is `python -m lib.experiments.waves`, `slurm` waits for its jobs.
The tree of settings lies in `lib/experiments/config`.
"""

from lib.experiments.waves.command_line import main
from lib.experiments.waves.evaluation import error_at, evaluate, forecast, score, summary
from lib.experiments.waves.forecasters import baselines, build, wave_data
from lib.experiments.waves.limits import check
from lib.experiments.waves.overrides import compose
from lib.experiments.waves.rollout import Rollout
from lib.experiments.waves.settings import CONFIG, SettingsError, flat
from lib.experiments.waves.training import (
    WEIGHTS,
    fit,
    learning_rate,
    load,
    rate_factor,
    rollout_length,
    set_scales,
    study,
    train,
)

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "Rollout",
    "SettingsError",
    "baselines",
    "build",
    "check",
    "compose",
    "error_at",
    "evaluate",
    "fit",
    "flat",
    "forecast",
    "learning_rate",
    "load",
    "main",
    "rate_factor",
    "rollout_length",
    "score",
    "set_scales",
    "study",
    "summary",
    "train",
    "wave_data",
]
