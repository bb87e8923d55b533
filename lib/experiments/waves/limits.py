"""Which values of the settings make sense: ranges, and what has to fit together. Nothing is computed for it."""

from dataclasses import fields
from functools import lru_cache
from math import inf

import torch
from omegaconf import OmegaConf

from lib.datasets.waves import SPLITS, STARTS, check_stability, obstacle_cells
from lib.experiments.waves.forecasters import BUILDERS
from lib.experiments.waves.settings import KINDS, SettingsError

ABOVE_ZERO = 1e-12
RANGES = {  # the lowest and the highest value; of a list, those of its entries
    "seed": (0, 10**9),
    "data.skip_rate": (1, 100),
    "data.size": (3, 1024),
    "data.speed": (ABOVE_ZERO, 1000),
    "data.num_sources": (1, 1000),
    "data.damping": (0, 1000),
    "data.seed": (0, 10**9),
    "data.share": (ABOVE_ZERO, 1),
    "data.cut_start": (0, 98),
    "data.cut_end": (0, 98),
    "model.context_size": (1, 50),
    "model.c_list": (1, 4096),
    "model.spatial_factor_list": (1, 1024),
    "model.num_block_list": (0, 50),
    "model.kernel_size": (1, 99),
    "model.expansion": (1, 64),
    "model.bundle": (1, 50),
    "model.c_hidden": (1, 4096),
    "model.num_layers": (1, 50),
    "training.steps": (1, 10**9),
    "training.predictions_per_step": (1, 10**6),
    "training.sequence_length": (0, 100),
    "training.rollout_steps": (1, 100),
    "training.phases": (0, 1),
    "training.learning_rate": (ABOVE_ZERO, 1000),
    "training.weight_decay": (0, 1000),
    "training.clip": (ABOVE_ZERO, inf),
    "training.noise": (0, 1000),
    "evaluation.runs": (1, SPLITS["test"][0]),
    "evaluation.study_runs": (1, SPLITS["test"][0]),
    "evaluation.warm_up": (0, 199),
    "evaluation.horizon": (1, 200),
    "evaluation.seeds": (0, 10**9),
}
MEMORY = 32  # GB that one set of runs may take
PARAMETERS = 10**9  # of a model: with gradients and Adam's averages 16 GB


def check(config):
    """Raise SettingsError unless a training with these settings, of whatever origin, can begin.

    Args:
        config: complete settings with the types of `lib.experiments.waves.settings`.
    """
    _check_ranges(config)
    try:
        check_stability(config.data.speed)
        obstacle_cells(config.data.obstacle, config.data.size)
    except ValueError as error:
        raise SettingsError(f"data: {error}") from error
    if config.data.start not in STARTS:
        raise SettingsError(f"data.start must be one of {', '.join(STARTS)}; got {config.data.start!r}")
    _check_model(config)
    _check_training(config)
    _check_frames(config)
    _check_memory(config)


def _check_ranges(config):
    for name, (low, high) in RANGES.items():
        found = OmegaConf.select(config, name)
        for value in found if OmegaConf.is_list(found) else [] if found is None else [found]:
            if not isinstance(value, (int, float)) or not low <= value <= high:  # nan is refused, too
                least = "above 0" if low == ABOVE_ZERO else f"at least {low:,}"
                most = "" if high == inf else f" and at most {high:,}"
                raise SettingsError(f"{name} must be {least}{most}; got {_typed(found)}")
    for name in ("training.rollout_steps", "evaluation.seeds"):
        if not OmegaConf.select(config, name):
            raise SettingsError(f"{name} must not be empty")


def _typed(value):
    """A value as it is typed on the command line."""
    return str(value).replace(" ", "")


def _check_model(config):
    model = config.model
    if model.name not in KINDS or {*model} != {field.name for field in fields(KINDS[model.name])}:
        choices = " or ".join(f"model={name}" for name in KINDS)
        raise SettingsError(f"model.name={model.name}: the kind of model is chosen by {choices}")
    if model.name == "unet":
        levels, factors, blocks = len(model.c_list), list(model.spatial_factor_list), list(model.num_block_list)
        fitting = (factors + [2] * levels)[: max(0, levels - 1)], (blocks + [1] * levels)[:levels]
        if not levels or (factors, blocks) != fitting:
            raise SettingsError(
                f"model.c_list={_typed(model.c_list)} has {levels} levels, which need one factor fewer and as many "
                f"numbers of blocks; got {_typed(factors)} and {_typed(blocks)}. For example "
                f"model.spatial_factor_list={_typed(fitting[0])} model.num_block_list={_typed(fitting[1])}"
            )
    try:
        parameters = _tried(OmegaConf.to_yaml(model, resolve=True), config.data.size)
    except ValueError as error:
        raise SettingsError(f"model: {error}") from error
    if parameters > PARAMETERS:
        raise SettingsError(
            f"model: {parameters:,} parameters, at most {PARAMETERS:,}: fewer channels, smaller kernels"
        )


@lru_cache
def _tried(model, size):
    """Number of parameters of a model, given as YAML, that can predict fields of this size; it is built of nothing but
    shapes, without memory and without random numbers.
    """
    settings = OmegaConf.create(model)
    with torch.device("meta"), torch.no_grad():
        model = BUILDERS[settings.name](settings)
        model(torch.empty(1, model.context_size, size, size), 1)
    return sum(parameter.numel() for parameter in model.parameters())


def _check_training(config):
    settings = config.training
    lengths, shares = list(settings.rollout_steps), list(settings.phases)
    if len(lengths) != len(shares) or abs(sum(shares) - 1) > 1e-6:
        raise SettingsError(
            "training.phases must be as many shares as training.rollout_steps has lengths, and add up to 1; got "
            f"training.rollout_steps={_typed(lengths)} training.phases={_typed(shares)}"
        )
    if settings.optimizer not in ("adam", "adamw"):
        raise SettingsError(f"training.optimizer must be adam or adamw, got {settings.optimizer!r}")


def _check_frames(config):
    """Whether the runs are long enough for what is cut off, read and predicted."""
    context = config.model.get("context_size", 1)
    given = config.training.sequence_length or context
    if given < context:
        raise SettingsError(f"training.sequence_length must be 0 or at least model.context_size={context}; got {given}")
    frames, cut = SPLITS["train"][1], config.data.cut_start + config.data.cut_end
    if max(3, given + max(config.training.rollout_steps)) > frames - cut:
        raise SettingsError(
            f"runs of {frames} frames, less data.cut_start={config.data.cut_start} and "
            f"data.cut_end={config.data.cut_end}, are too short for {given} frames to read and "
            f"{max(config.training.rollout_steps)} to predict (training.sequence_length, training.rollout_steps)"
        )
    frames, evaluation = SPLITS["test"][1], config.evaluation
    if not context - 1 <= evaluation.warm_up < frames - evaluation.horizon:
        raise SettingsError(
            f"evaluation.warm_up must be at least {context - 1}, model.context_size - 1, and together with "
            f"evaluation.horizon at most {frames - 1}; got {evaluation.warm_up} and {evaluation.horizon}"
        )


def _check_memory(config):
    train, test = SPLITS["train"], SPLITS["test"]
    numbers = max(config.data.share * train[0] * train[1], config.evaluation.runs * test[1]) * config.data.size**2
    if (needed := 4 * numbers / 1e9) > MEMORY:
        raise SettingsError(
            f"data.size={config.data.size}: the runs would take {needed:,.0f} GB, at most {MEMORY} GB: choose "
            "a smaller data.size, or a smaller data.share and evaluation.runs"
        )
