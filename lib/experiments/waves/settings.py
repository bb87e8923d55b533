"""Settings of the wave experiments: their names and types, reading them through Hydra, and what is refused.

The values stand in the YAML files of `lib/experiments/config`, one folder for each group.
"""

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CONFIG = Path(__file__).parents[1] / "config"
GROUPS = ("data", "model", "training", "evaluation", "experiment")
# Of Hydra's own settings and options, those that may be given: the others create objects by the names of their classes,
# read settings from elsewhere, or load a pickle, and so can run any code.
HYDRA_SETTINGS = ("run", "sweep", "job", "launcher", "sweeper", "verbose", "mode", "output_subdir")
# Of the launcher's and the sweeper's, those that ask for something. Others add shell commands or options to a job's
# script, or carry settings past this list.
LAUNCHER_SETTINGS = ("account", "array_parallelism", "comment", "constraint", "cpus_per_gpu", "cpus_per_task")
LAUNCHER_SETTINGS += ("exclude", "gpus_per_node", "gpus_per_task", "gres", "max_num_timeout", "mem_gb", "mem_per_cpu")
LAUNCHER_SETTINGS += ("mem_per_gpu", "name", "nodes", "partition", "qos", "signal_delay_s", "tasks_per_node")
LAUNCHER_SETTINGS += ("timeout_min",)
ASKED = {"launcher": LAUNCHER_SETTINGS, "sweeper": ("max_batch_size",)}
HYDRA_OPTIONS = ("--help", "-h", "--hydra-help", "--version", "--multirun", "-m", "--run", "-r", "--info", "-i")
HYDRA_OPTIONS += ("--cfg", "-c", "--resolve", "--package", "-p")


class SettingsError(ValueError):
    """A setting that does not exist or has an impossible value; the message says what there is."""


# --- names and types ------------------------------------------------------------------------------------------------


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


STORE = ConfigStore.instance()
STORE.store(name="schema", node=Settings)
STORE.store(group="data", name="schema", node=Data)
STORE.store(group="model", name="unet_schema", node=UNetModel)
STORE.store(group="model", name="convlstm_schema", node=ConvLSTMModel)
STORE.store(group="training", name="schema", node=Training)
STORE.store(group="evaluation", name="schema", node=Evaluation)


# --- reading --------------------------------------------------------------------------------------------------------


def compose(experiment=None, overrides=()) -> DictConfig:
    """The settings of one training.

    Args:
        experiment: name of a preset in `lib/experiments/config/experiment`, or None.
        overrides: texts such as "data=fast" or "model.c_list=[16,32]", as on the command line.

    Raises:
        SettingsError: a group, key or value that does not exist or does not fit.
    """
    overrides = ([f"experiment={experiment}"] if experiment else []) + [str(text) for text in overrides]
    refuse_code(overrides)
    if (config := _changed(overrides)) is not None:
        return config
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
        if any(text.startswith(("+", "~")) for text in overrides):
            _check(overrides)
        try:
            return _composed(overrides)
        except ValueError:
            _check(overrides)  # says more, if it finds the cause
            raise


def check_command_line(arguments):
    """Raise SettingsError for arguments of Hydra's command line that are refused, or that it would refuse with less."""
    refuse_code(arguments)
    if {"-h", "--help", "--hydra-help", "--info", "--cfg", "-c"} & {*arguments}:
        return
    overrides = [text for text in arguments if not text.startswith("-")]
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
        _check(overrides)
        if not {"-m", "--multirun"} & {*arguments}:
            _composed([text for text in overrides if not text.startswith("hydra")])


def flat(config):
    """Everything that decides a training, as one flat dict: {"data.skip_rate": 1, …}."""
    tree = OmegaConf.to_container(config, resolve=True)
    groups = {group: tree[group] for group in ("data", "model", "training")}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()} | {
        "seed": tree["seed"]
    }


# --- refusing -------------------------------------------------------------------------------------------------------


def refuse_code(arguments):
    """Raise SettingsError for arguments with which Hydra would run code that they name."""
    for text in arguments:
        option = text.partition("=")[0]
        if text.startswith("-") and option not in HYDRA_OPTIONS:
            raise SettingsError(f"{option} is not taken here; of Hydra's options are {', '.join(HYDRA_OPTIONS)}")
        root, *names = re.split(r"[./]", option.lstrip("+~").partition("@")[0])
        if root.strip() == "hydra" and (not names or names[0] not in HYDRA_SETTINGS):
            raise SettingsError(f"{text}: of Hydra's own settings can be changed {', '.join(HYDRA_SETTINGS)}")
        if root.strip() == "hydra" and names[0] in ("launcher", "sweeper") and re.search(r"\b_[a-z]+_\b|\$", text):
            raise SettingsError(f"{text}: what Hydra creates cannot be chosen by the name of a class; use a group")
        if root.strip() == "hydra" and names[0] in ASKED:
            kind, value = names[0], text.partition("=")[2]
            chosen = len(names) == 1 and re.search(rf"hydra/{kind}(@|$)", option.strip())  # a group, not its contents
            if not chosen and names[1:] not in [[name] for name in ASKED[kind]]:
                raise SettingsError(f"{text.splitlines()[0]}: of hydra.{kind} can be changed {', '.join(ASKED[kind])}")
            if re.search(r"[\r\n]", text) or (chosen and not re.fullmatch(r"\w*", value)):
                raise SettingsError(f"{text.splitlines()[0]} …: takes one plain word, on one line")


def _composed(overrides):
    try:
        config = hydra.compose("config", overrides)
        OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        return config
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        raise SettingsError(f"{' '.join(overrides)}: {str(cause).splitlines()[0]}") from error


def _changed(overrides):
    """The settings, if all that is asked for are groups and values, or None: then Hydra has to say what is wrong.

    Hydra reads all its files anew for every composition, a tenth of a second; so the same groups are composed once.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        if any(item.type != OverrideType.CHANGE or item.package or item.is_sweep_override() for item in parsed):
            return None
        groups = tuple(item.input_line for item in parsed if item.key_or_group in GROUPS)
        files = tuple((file, file.stat().st_mtime_ns) for file in sorted(CONFIG.rglob("*.yaml")))
        config = copy.deepcopy(_of_groups(groups, files))
        for item in parsed:  # as Hydra does: after the groups, wherever they stand
            if item.key_or_group not in GROUPS:
                OmegaConf.update(config, item.key_or_group, item.value(), merge=True)
        OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        return config
    except (HydraException, OmegaConfBaseException, ValueError):
        return None


@lru_cache
def _of_groups(groups, files):
    """The settings of these groups; `files`, with their times, are what was read for it."""
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
        return _composed(list(groups))


def _check(overrides):
    """Name what does not exist, and what does, before Hydra gives up with less."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
        values = {id(item): list(item.sweep_iterator()) if item.is_sweep_override() else None for item in parsed}
    except HydraException as error:
        raise SettingsError(f"cannot read {' '.join(overrides)!r}: {str(error).splitlines()[0]}") from error
    groups = [item for item in parsed if item.key_or_group in GROUPS]
    for item in groups:
        options = sorted(path.stem for path in (CONFIG / item.key_or_group).glob("*.yaml"))
        for value in values[id(item)] or [item.value()]:
            if str(value) not in options:
                raise SettingsError(f"{item.key_or_group}={value}: there are {', '.join(options)}")
    choices = [item.input_line for item in groups if not item.is_sweep_override()]
    known = _composed(choices)
    for item in parsed:
        if item in groups or item.key_or_group.replace("/", ".").split(".")[0] == "hydra":
            continue
        if item.is_add() or item.is_force_add() or item.is_delete():
            raise SettingsError(f"{item.input_line}: settings can be changed, but not added or removed")
        node, place = known, "the tree of settings"
        for name in item.key_or_group.split("."):
            if not isinstance(node, DictConfig) or name not in node:
                valid = ", ".join(sorted(map(str, node))) if isinstance(node, DictConfig) else "no parts"
                raise SettingsError(f"{item.input_line}: {place} has no {name!r}; it has {valid}")
            node, place = node[name], name
        for value in values[id(item)] or []:
            _composed([*choices, f"{item.key_or_group}={value}"])


def check_training(settings):
    """Raise SettingsError for values of the group `training` that cannot be trained with."""
    lengths, shares = list(settings.rollout_steps), list(settings.phases)
    if len(lengths) != len(shares) or not lengths or min(lengths) < 1 or abs(sum(shares) - 1) > 1e-6:
        raise SettingsError(
            "training.rollout_steps must be at least 1 each, and training.phases as many shares that add up to 1; got "
            f"{lengths} and {shares}"
        )
    if settings.optimizer not in ("adam", "adamw"):
        raise SettingsError(f"training.optimizer must be adam or adamw, got {settings.optimizer!r}")
    for name, least in (("steps", 1), ("predictions_per_step", 1), ("sequence_length", 0), ("noise", 0)):
        if settings[name] < least:
            raise SettingsError(f"training.{name} must be at least {least}, got {settings[name]}")
    for name in ("learning_rate", "clip"):
        if not settings[name] > 0:
            raise SettingsError(f"training.{name} must be above 0, got {settings[name]}")
