"""Which settings make sense: the range of each, and whether they fit together."""

from dataclasses import fields
from functools import lru_cache

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib.datasets.waves import WaveWindows, check_stability, obstacle_cells
from lib.experiments.waves.forecasters import BUILDERS, set_shape
from lib.experiments.waves.settings import SettingsError

PARAMETERS = 10**9  # of a model: with gradients and Adam's averages 16 GB


def check(config):
    """Raise SettingsError unless a training with these settings, of whatever origin, can begin.

    Args:
        config: complete settings with the types of `lib.experiments.waves.settings`.
    """
    for group in ("", "data", "model", "training", "evaluation"):
        part = config[group] if group else config
        for setting in fields(OmegaConf.get_type(part)):
            value, allowed = part[setting.name], setting.metadata.get("allowed", lambda value: True)
            if not all(map(allowed, value if OmegaConf.is_list(value) else [value])):
                name = f"{group}.{setting.name}".lstrip(".")
                raise SettingsError(f"{name} must be {setting.metadata['text']}; got {value}")
    if not config.evaluation.seeds:
        raise SettingsError("evaluation.seeds must not be empty")
    data, training = config.data, config.training
    if len(training.rollout_steps) != len(training.phases) or abs(sum(training.phases) - 1) > 1e-6:
        raise SettingsError(
            "training.phases must be as many shares as training.rollout_steps has lengths, and add up to 1; got "
            f"training.rollout_steps={training.rollout_steps} training.phases={training.phases}"
        )
    try:  # what the data and the models refuse themselves
        check_stability(data.speed)
        obstacle_cells(data.obstacle, data.size)
        _, stored, height, width = set_shape(data, "train")
        model = OmegaConf.to_yaml(config.model, resolve=True)
        frames, trained = _frames_read(model, height, width, training.sequence_length)
        if training.burn_in >= trained:
            raise ValueError(f"training.burn_in={training.burn_in} leaves none of {trained} predictions to be trained")
        WaveWindows(torch.empty(1, stored, 1, 1), frames, max(training.rollout_steps), data.cut_start, data.cut_end)
        _, stored, *_ = set_shape(data, "test")
        if config.evaluation.warm_up > stored - 2:
            raise ValueError(
                f"evaluation.warm_up={config.evaluation.warm_up} leaves nothing to predict in test runs of {stored} "
                f"frames: it is the number of the last true frame, at most {stored - 2}"
            )
    except (ValueError, RuntimeError, OmegaConfBaseException) as error:
        raise SettingsError(f"impossible settings: {str(error).partition(chr(10))[0]}") from error


@lru_cache
def _frames_read(model, height, width, sequence_length):
    """Frames that a model, given as YAML, reads of fields of this height and width, and the predictions that it makes
    meanwhile, up to the one of the next frame.

    It is built of nothing but shapes, without memory and without random numbers.
    """
    settings = OmegaConf.create(model)
    if settings.name not in BUILDERS:
        raise ValueError(f"model.name must be one of {', '.join(BUILDERS)}; got {settings.name!r}")
    with torch.device("meta"), torch.no_grad():
        model = BUILDERS[settings.name](settings)
        frames = sequence_length or model.context_size
        predictions = model(torch.empty(1, frames, height, width), 1)
    if (parameters := sum(parameter.numel() for parameter in model.parameters())) > PARAMETERS:
        raise ValueError(f"the model has {parameters:,} parameters, at most {PARAMETERS:,} are possible")
    return frames, predictions.shape[1] - 1
