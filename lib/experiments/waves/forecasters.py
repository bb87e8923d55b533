"""Data and forecasters of the wave experiments, by their settings."""

from functools import lru_cache, partial

import torch

from lib.datasets import fields
from lib.datasets.waves import SPLITS, exact_stencil, wave_set
from lib.experiments.waves.settings import SettingsError
from lib.models import ConvLSTM, FourierOperator, NextFrame, NoNetwork, Stencil, UNet


def wave_data(data, use, share=1.0):
    """The "train", "validation" or "test" set of these settings (the group `data`): (N, T, H, W).

    The last sets are kept, since trainings that are compared share theirs: do not change them in place.

    Raises:
        FieldsError: a file with runs, `data.path`, is missing or of no use.
    """
    if data.path is not None:
        return _read(fields.content(data.path), data.path, use, data.skip_rate, share, data.field)
    physics = {"size": data.size, "speed": data.speed, "num_sources": data.num_sources, "damping": data.damping}
    physics |= {"obstacle": data.obstacle, "start": data.start}
    return _simulated(use, data.skip_rate, seed=data.seed, share=share, **physics)


@lru_cache(maxsize=3)
def _read(content, *arguments):
    return fields.read_set(*arguments)


@lru_cache(maxsize=3)  # up to 200 MB each
def _simulated(use, skip_rate, **options):
    return wave_set(use, skip_rate, **options)


def set_shape(data, use):
    """Runs, frames, height and width of a set, see `wave_data`, before it is made. Raises FieldsError."""
    if data.path is None:
        return *SPLITS[use], data.size, data.size
    count, frames, height, width = fields.shape_of(data.path, use, data.field)
    return count, -(-frames // data.skip_rate), height, width


def unet(model):
    """Forecaster with a U-Net inside, of the settings of the group `model`."""
    lists = [list(numbers) for numbers in (model.c_list, model.spatial_factor_list, model.num_block_list)]
    options = (model.padding, model.kernel_size, model.expansion, model.norm)
    network = UNet(model.context_size, model.bundle, *lists, *options)
    return NextFrame(network, model.context_size, model.head, step_scale=torch.ones(model.bundle))


def convlstm(model):
    """ConvLSTM of the settings of the group `model`."""
    options = (model.c_hidden, model.num_layers, model.kernel_size, model.padding, model.head)
    return ConvLSTM(*options, output=model.output).to(memory_format=torch.channels_last)


def fourier(model):
    """Forecaster with a Fourier neural operator inside, of the settings of the group `model`."""
    network = FourierOperator(model.context_size, 1, model.channels, model.modes, model.num_layers, model.padding)
    return NextFrame(network, model.context_size, model.head)


BUILDERS = {"unet": unet, "convlstm": convlstm, "fourier": fourier}


def builder(config):
    """A function of no arguments that builds the forecaster of these settings, see `build`.

    It knows the one function of BUILDERS that it needs: a stored result depends on no other kind of model.

    Raises:
        SettingsError: there is no such kind of model.
    """
    if config.model.name not in BUILDERS:
        raise SettingsError(f"model.name must be one of {', '.join(BUILDERS)}; got {config.model.name!r}")
    return partial(_drawn, BUILDERS[config.model.name], config)


def _drawn(make, config):
    torch.manual_seed(config.seed)
    try:
        return make(config.model)
    except ValueError as error:
        raise SettingsError(f"model: {error}") from error


def build(config):
    """The forecaster of these settings, with fresh weights drawn with `config.seed`.

    Raises:
        SettingsError: the model's settings contradict each other.
    """
    return builder(config)()


def baselines(config):
    """What a forecaster has to beat: by name, the zero prediction, persistence (the last frame again), linear
    extrapolation of the last two frames, and, where the membrane is ours, its exact stencil."""
    models = {
        "zero": NextFrame(NoNetwork(), 1, "absolute"),
        "persistence": NextFrame(NoNetwork(), 1, "change"),
        "linear extrapolation": NextFrame(NoNetwork(), 2, "extrapolate"),
    }
    if config.data.path is None:
        kernel = exact_stencil(config.data.skip_rate, config.data.speed).float()
        models["exact stencil"] = NextFrame(Stencil(kernel), 2, "absolute")
    return models
