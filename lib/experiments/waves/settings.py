"""Settings of the wave experiments: their names and types.

The values stand in the YAML files of `lib/experiments/config`, one folder for each group; `overrides` reads them, and
`limits` says which of them make sense.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

CONFIG = Path(__file__).parents[1] / "config"


class SettingsError(ValueError):
    """A setting that does not exist or has an impossible value; the message says what there is."""


@dataclass
class Data:
    """Group `data`: the membrane, and the runs on it."""

    skip_rate: int = MISSING
    start: str = MISSING
    size: int = MISSING
    speed: float = MISSING
    num_sources: int = MISSING
    damping: float = MISSING
    obstacle: str = MISSING
    seed: int = MISSING
    share: float = MISSING
    cut_start: int = MISSING
    cut_end: int = MISSING


@dataclass
class UNetModel:
    """Group `model`, a forecaster with a U-Net inside."""

    name: str = MISSING
    context_size: int = MISSING
    head: str = MISSING
    c_list: list[int] = MISSING
    spatial_factor_list: list[int] = MISSING
    num_block_list: list[int] = MISSING
    padding: str = MISSING
    kernel_size: int = MISSING
    expansion: int = MISSING
    norm: bool = MISSING
    bundle: int = MISSING


@dataclass
class ConvLSTMModel:
    """Group `model`, a ConvLSTM."""

    name: str = MISSING
    c_hidden: int = MISSING
    num_layers: int = MISSING
    kernel_size: int = MISSING
    padding: str = MISSING
    head: str = MISSING
    output: str = MISSING
    scaled: bool = MISSING


@dataclass
class Training:
    """Group `training`: what an optimiser step sees, and how far it goes."""

    steps: int = MISSING
    predictions_per_step: int = MISSING
    sequence_length: int = MISSING
    rollout_steps: list[int] = MISSING
    phases: list[float] = MISSING
    learning_rate: float = MISSING
    optimizer: str = MISSING
    weight_decay: float = MISSING
    clip: float = MISSING
    noise: float = MISSING
    pushforward: bool = MISSING


@dataclass
class Evaluation:
    """Group `evaluation`: test runs, and how they are predicted."""

    runs: int = MISSING
    study_runs: int = MISSING
    warm_up: int = MISSING
    horizon: int = MISSING
    seeds: list[int] = MISSING


@dataclass
class Settings:
    """All groups together, and the seed of the first weights and of the order of the examples."""

    data: Data = MISSING
    model: Any = MISSING
    training: Training = MISSING
    evaluation: Evaluation = MISSING
    experiment: Any = None
    seed: int = MISSING


KINDS = {"unet": UNetModel, "convlstm": ConvLSTMModel}
STORE = ConfigStore.instance()
STORE.store(name="schema", node=Settings)
STORE.store(group="data", name="schema", node=Data)
STORE.store(group="model", name="unet_schema", node=UNetModel)
STORE.store(group="model", name="convlstm_schema", node=ConvLSTMModel)
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
    """Everything that decides a training, as one flat dict: {"data.skip_rate": 1, …}."""
    tree = OmegaConf.to_container(config, resolve=True)
    groups = {group: tree[group] for group in ("data", "model", "training")}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()} | {
        "seed": tree["seed"]
    }
