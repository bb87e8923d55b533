"""Reading the settings of the wave experiments through Hydra, and refusing what does not exist or cannot be trained."""

import contextlib
import copy
import itertools
from functools import lru_cache

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lib.experiments.waves.limits import check
from lib.experiments.waves.settings import CONFIG, SettingsError

GROUPS = ("data", "model", "training", "evaluation", "experiment")
SHOWING = {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--version"}  # options that start no training


def compose(experiment=None, overrides=()) -> DictConfig:
    """The settings of one training.

    Args:
        experiment: name of a preset in `lib/experiments/config/experiment`, or None.
        overrides: texts such as "data=fast" or "model.c_list=[8,16,32]", as on the command line.

    Raises:
        SettingsError: a group, key or value that does not exist or does not fit.
    """
    parsed = _parsed(([f"experiment={experiment}"] if experiment else []) + [str(text) for text in overrides])
    for item in parsed:
        if item.type != OverrideType.CHANGE or item.package:
            raise SettingsError(f"{item.input_line}: settings can be changed, but not added or removed")
        if item.is_sweep_override():
            raise SettingsError(
                f"{item.input_line}: several values make a multirun, which needs -m; a list is written in brackets"
            )
    files = tuple((file, file.stat().st_mtime_ns) for file in sorted(CONFIG.rglob("*.yaml")))
    config = copy.deepcopy(_of_groups(tuple(_group(item) for item in parsed if item.key_or_group in GROUPS), files))
    for item in parsed:  # as Hydra does: after the groups, wherever they stand
        if item.key_or_group not in GROUPS:
            with _one_line(item.input_line):
                OmegaConf.update(config, item.key_or_group, item.value(), merge=True)
    with _one_line(" ".join(item.input_line for item in parsed)):
        OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    check(config)
    return config


def check_command_line(arguments):
    """Raise SettingsError for arguments of `train` of which a run would be refused, before the first one begins."""
    options = {text.partition("=")[0] for text in arguments if text.startswith("-")}
    if SHOWING & options:
        return
    several = {"-m", "--multirun"} & options
    for text in arguments:
        if text.startswith("hydra/launcher=") and not several:
            raise SettingsError(f"{text}: a launcher is for several runs: add -m")
        if text.startswith("hydra") and len(text.splitlines()) > 1:  # it would go on as a line of a script for Slurm
            raise SettingsError(f"{text.splitlines()[0]} …: takes one line of text")
    parsed = _parsed([text for text in arguments if not text.startswith(("-", "hydra"))])
    choices = [_values(item) if several and item.is_sweep_override() else [item.input_line] for item in parsed]
    for run in itertools.product(*choices):
        compose(overrides=run)


@contextlib.contextmanager
def _one_line(text):
    """What Hydra and OmegaConf raise about a text becomes a SettingsError of one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        line = str(error.__cause__ or error).strip().partition("\n")[0]
        if isinstance(error, (ConfigAttributeError, ConfigKeyError)) and error.parent_node is not None:
            line += f"; there are {', '.join(sorted(map(str, error.parent_node)))}"
        raise SettingsError(f"{text}: {line}") from error


def _parsed(overrides):
    items = []
    for text in overrides:
        with _one_line(f"cannot read {text!r}"):
            items += OverridesParser.create().parse_overrides([text])
    return items


def _values(item):
    """The single overrides of a sweep such as seed=0,1 or data=slow,fast."""
    with _one_line(item.input_line):
        return [f"{item.key_or_group}={value}" for value in item.sweep_string_iterator()]


def _group(item):
    """An override that exchanges a group, as text; one that is not there is refused."""
    options = sorted(path.stem for path in (CONFIG / item.key_or_group).glob("*.yaml"))
    if item.value() not in options:
        raise SettingsError(f"{item.input_line}: there are {', '.join(options)}")
    return item.input_line


@lru_cache
def _of_groups(groups, files):
    """The settings of these groups. Hydra reads all its files anew for every composition, a tenth of a second; so the
    same groups of the same `files`, given with their times, are composed once.
    """
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"), _one_line(" ".join(groups)):
        return hydra.compose("config", list(groups))
