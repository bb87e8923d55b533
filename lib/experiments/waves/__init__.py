"""Training and evaluating forecasters of waves, configured by Hydra; notebooks and the command line call the same.

`settings` says what can be asked for, `forecasters` makes data and models of it, `training` trains and keeps them,
`evaluation` measures them, `rollout` makes single predictions when they are looked at, `command_line` is
`python -m lib.experiments.waves`. The tree of settings lies in `lib/experiments/config`.
"""

from lib.experiments.waves.command_line import main
from lib.experiments.waves.evaluation import error_at, evaluate, forecast, score, summary
from lib.experiments.waves.forecasters import baselines, build, wave_data
from lib.experiments.waves.rollout import Rollout
from lib.experiments.waves.settings import CONFIG, SettingsError, check_training, compose, flat, refuse_code
from lib.experiments.waves.training import WEIGHTS, fit, load, rate_factor, rollout_length, set_scales, study, train

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "Rollout",
    "SettingsError",
    "baselines",
    "build",
    "check_training",
    "compose",
    "error_at",
    "evaluate",
    "fit",
    "flat",
    "forecast",
    "load",
    "main",
    "rate_factor",
    "refuse_code",
    "rollout_length",
    "score",
    "set_scales",
    "study",
    "summary",
    "train",
    "wave_data",
]
