"""Settings of the wave experiments: their names, their types, and the values that they may have.

The values stand in the YAML files of `lib/experiments/config`, one folder for each group; `overrides` reads them, and
`limits` refuses those that make no sense.
"""

from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from lib.datasets.fields import content
from lib.datasets.waves import SPLITS, STARTS

CONFIG = Path(__file__).parents[1] / "config"
ABOVE_ZERO = 1e-12


class SettingsError(ValueError):
    """A setting that does not exist or has an impossible value; the message says what there is."""


def between(low, high):
    """A field that is a number, or a list of numbers, from `low` to `high`."""
    metadata = {"text": f"from {low:,} to {high:,}"}
    metadata["allowed"] = lambda value: isinstance(value, (int, float)) and low <= value <= high  # no list in a list
    return field(default=MISSING, metadata=metadata)


def one_of(*words):
    """A field that is one of these words."""
    return field(default=MISSING, metadata={"allowed": words.__contains__, "text": f"one of {', '.join(words)}"})


@dataclass
class Data:
    """Group `data`: the membrane and the runs on it, or runs in a file."""

    path: str | None = None
    field: str | None = None
    skip_rate: int = between(1, 100)
    start: str = one_of(*STARTS)
    size: int = between(3, 256)
    speed: float = between(ABOVE_ZERO, 1000)
    num_sources: int = between(1, 1000)
    damping: float = between(0, 1000)
    obstacle: str = MISSING
    seed: int = between(0, 10**9)
    share: float = between(ABOVE_ZERO, 1)
    cut_start: int = between(0, 98)
    cut_end: int = between(0, 98)


@dataclass
class UNetModel:
    """Group `model`, a forecaster with a U-Net inside."""

    name: str = MISSING
    context_size: int = between(1, 50)
    head: str = MISSING
    c_list: list[int] = between(1, 4096)
    spatial_factor_list: list[int] = between(1, 1024)
    num_block_list: list[int] = between(0, 50)
    padding: str = MISSING
    kernel_size: int = between(1, 99)
    expansion: int = between(1, 64)
    norm: bool = MISSING
    bundle: int = between(1, 50)


@dataclass
class ConvLSTMModel:
    """Group `model`, a ConvLSTM."""

    name: str = MISSING
    c_hidden: int = between(1, 4096)
    num_layers: int = between(1, 50)
    kernel_size: int = between(1, 99)
    padding: str = MISSING
    head: str = MISSING
    output: str = MISSING
    scaled: bool = MISSING


@dataclass
class FourierModel:
    """Group `model`, a forecaster with a Fourier neural operator inside."""

    name: str = MISSING
    context_size: int = between(1, 50)
    head: str = MISSING
    channels: int = between(1, 4096)
    modes: int = between(1, 256)
    num_layers: int = between(1, 50)
    padding: str = MISSING


@dataclass
class Training:
    """Group `training`: what an optimiser step sees, and how far it goes."""

    steps: int = between(1, 10**9)
    predictions_per_step: int = between(1, 10**6)
    windows_per_step: int = between(0, 10**6)
    sequence_length: int = between(0, 100)
    burn_in: int = between(0, 99)
    rollout_steps: list[int] = between(1, 100)
    phases: list[float] = between(0, 1)
    learning_rate: float = between(ABOVE_ZERO, 1000)
    restart: float = between(0, 1)
    optimizer: str = one_of("adam", "adamw")
    weight_decay: float = between(0, 1000)
    loss: str = one_of("squared", "absolute")
    clip: float = between(ABOVE_ZERO, inf)
    noise: float = between(0, 1000)
    pushforward: bool = MISSING


@dataclass
class Evaluation:
    """Group `evaluation`: test runs, and how they are predicted."""

    runs: int = between(1, SPLITS["test"][0])
    study_runs: int = between(1, SPLITS["test"][0])
    warm_up: int = between(0, 199)
    horizon: int = between(1, 200)
    seeds: list[int] = between(0, 10**9)


@dataclass
class Settings:
    """All groups together, and the seed of the first weights and of the order of the examples."""

    data: Data = MISSING
    model: Any = MISSING
    training: Training = MISSING
    evaluation: Evaluation = MISSING
    experiment: Any = None
    seed: int = between(0, 10**9)


KINDS = {"unet": UNetModel, "convlstm": ConvLSTMModel, "fourier": FourierModel}
STORE = ConfigStore.instance()
STORE.store(name="schema", node=Settings)
STORE.store(group="data", name="schema", node=Data)
STORE.store(group="model", name="unet_schema", node=UNetModel)
STORE.store(group="model", name="convlstm_schema", node=ConvLSTMModel)
STORE.store(group="model", name="fourier_schema", node=FourierModel)
STORE.store(group="training", name="schema", node=Training)
STORE.store(group="evaluation", name="schema", node=Evaluation)


def typed(config):
    """Settings read from a file, with the types that composed ones have.

    Raises:
        OmegaConfBaseException, KeyError: a setting is missing, unknown, or of another type.
    """
    schema = OmegaConf.structured(Settings)
    schema.model = KINDS[config.model.name]
    config = OmegaConf.merge(schema, config)
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return config


def flat(config):
    """Everything that decides a training, as one flat dict: {"data.skip_rate": 1, …}.

    Of runs in a file it is what the file holds, and nothing of the membrane.
    """
    tree = OmegaConf.to_container(config, resolve=True)
    groups = {group: tree[group] for group in ("data", "model", "training")}
    path, field = groups["data"].pop("path"), groups["data"].pop("field")
    if path is not None:
        kept = {name: groups["data"][name] for name in ("skip_rate", "share", "cut_start", "cut_end")}
        groups["data"] = {"content": content(path), "field": field} | kept
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()} | {
        "seed": tree["seed"]
    }
