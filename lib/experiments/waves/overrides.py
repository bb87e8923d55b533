"""Reading the settings of the wave experiments through Hydra, and refusing what does not exist or cannot be trained."""

import copy
import itertools
import math
import re
from functools import lru_cache

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib.experiments.waves.limits import check
from lib.experiments.waves.settings import CONFIG, SettingsError

GROUPS = ("data", "model", "training", "evaluation", "experiment")
OPTIONS = ("--help", "-h", "--multirun", "-m", "--cfg", "-c")  # of Hydra's
SHOWN = ("job", "hydra", "all")  # what `--cfg` can show
# Of Hydra's own settings, those that say where runs go and what is asked of the cluster. Others create objects by the
# names of their classes or add commands to a job's script, and end in a traceback where they are mistyped.
LAUNCHER = (
    "account",
    "array_parallelism",
    "comment",
    "constraint",
    "cpus_per_task",
    "exclude",
    "gpus_per_node",
    "gres",
)
LAUNCHER += ("max_num_timeout", "mem_gb", "mem_per_cpu", "name", "partition", "qos", "signal_delay_s", "timeout_min")
MOST_RUNS = 1000  # of one multirun
ERRORS = (HydraException, OmegaConfBaseException, ValueError)


def compose(experiment=None, overrides=()) -> DictConfig:
    """The settings of one training.

    Args:
        experiment: name of a preset in `lib/experiments/config/experiment`, or None.
        overrides: texts such as "data=fast" or "model.c_list=[8,16,32]", as on the command line.

    Raises:
        SettingsError: a group, key or value that does not exist or does not fit.
    """
    texts = ([f"experiment={experiment}"] if experiment else []) + [str(text) for text in overrides]
    parsed = _parsed(texts)
    for item in parsed:
        if item.type != OverrideType.CHANGE or item.package:
            raise SettingsError(f"{item.input_line}: settings can be changed, but not added or removed")
        if item.is_sweep_override():
            raise SettingsError(f"{item.input_line}: several values make a multirun; a list is written in brackets")
    config = copy.deepcopy(_of_groups(tuple(item.input_line for item in parsed if _is_group(item)), _files()))
    for item in parsed:  # as Hydra does: after the groups, wherever they stand
        if not _is_group(item):
            _change(config, item)
    try:
        OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise SettingsError(f"{error.full_key or 'settings'}: {_first_line(error)}") from error
    check(config)
    return config


def check_command_line(arguments):
    """Raise SettingsError for arguments of `train` that are refused or would be refused later; nothing is started yet.

    Returns:
        number of runs that they ask for; 0: they only ask to be shown something.
    """
    options = [text.partition("=")[0] for text in arguments if text.startswith("-")]
    if unknown := [option for option in options if option not in OPTIONS]:
        raise SettingsError(f"{unknown[0]} is not taken here; of Hydra's options are {', '.join(OPTIONS)}")
    words = [text for text in arguments if not text.startswith("-")]
    if {"-h", "--help"} & {*options}:
        return 0
    shows, several = {"-c", "--cfg"} & {*options}, {"-m", "--multirun"} & {*options}
    if shows and (several or not {text.partition("=")[2] or text for text in arguments} & {*SHOWN}):
        raise SettingsError(f"{shows.pop()} shows {', '.join(SHOWN[:-1])} or {SHOWN[-1]}, and is given without -m")
    parsed = _parsed([text for text in words if not (shows and text in SHOWN)])
    own = [item for item in parsed if re.split(r"[./]", item.key_or_group)[0] == "hydra"]
    on_slurm = any(item.key_or_group == "hydra/launcher" and item.value() == "slurm" for item in own)
    for item in own:
        _check_own(item, several, on_slurm)
    parsed = [item for item in parsed if item not in own]
    if not several and (sweep := [item for item in parsed if item.is_sweep_override()]):
        raise SettingsError(
            f"{sweep[0].input_line}: several values need -m, which makes a run of each; a list is written in brackets, "
            f"{sweep[0].key_or_group}=[…]"
        )
    runs = [[item.input_line] if not item.is_sweep_override() else _values(item) for item in parsed]
    if (number := math.prod(map(len, runs))) > MOST_RUNS:
        raise SettingsError(f"more than {MOST_RUNS:,} runs are too many for one multirun")
    for run in itertools.product(*runs):
        compose(overrides=run)
    _check_launcher([item.input_line for item in own])
    return 0 if shows else number


# --- Hydra's own settings -------------------------------------------------------------------------------------------


def _check_own(item, several, on_slurm):
    text, name = item.input_line.splitlines()[0], item.key_or_group
    if name == "hydra/launcher" and not several:
        raise SettingsError(f"{text} is for several runs: add -m")
    allowed = ("hydra.sweep.dir", "hydra/launcher") if several else ("hydra.run.dir",)
    if name not in allowed and not (
        on_slurm and name.startswith("hydra.launcher.") and name.split(".")[-1] in LAUNCHER
    ):
        raise SettingsError(
            f"{text}: of Hydra's own settings one run takes hydra.run.dir; several (-m) take hydra.sweep.dir and "
            f"hydra/launcher, and with hydra/launcher=slurm hydra.launcher's {', '.join(LAUNCHER)}"
        )
    if item.package or item.value() == "":
        raise SettingsError(f"{text}: takes a value")
    if name == "hydra/launcher" and item.value() not in ("basic", "slurm"):
        raise SettingsError(f"{text}: there are basic, slurm")


def _check_launcher(own):
    """Refuse what Hydra refuses, what would end a line of the script for Slurm, and what Slurm reads as a pattern."""
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
        values = OmegaConf.to_container(_composed(own, return_hydra_config=True).hydra.launcher, resolve=True)
    for name, value in values.items():
        if isinstance(value, str) and re.search(r"[\x00-\x1f\x7f]", value):
            raise SettingsError(f"hydra.launcher.{name}={value!r}: takes one line of text")
    folder = values.get("submitit_folder", "").removesuffix("/.submitit/%j").removesuffix("/new")
    if "%" in folder:
        raise SettingsError(
            f"the runs would go to {folder}, but in names of files Slurm reads % as a pattern: choose another folder "
            "by WORKBOOK_EXPORTS or hydra.sweep.dir"
        )


# --- composing ------------------------------------------------------------------------------------------------------


def _first_line(error):
    return str(error.__cause__ or error).strip().partition("\n")[0]


def _parsed(overrides):
    items = []
    for text in overrides:
        try:
            items += OverridesParser.create().parse_overrides([text])
        except ERRORS as error:
            raise SettingsError(f"cannot read {text!r}: {_first_line(error)}") from error
    return items


def _values(item):
    """The single overrides of a sweep such as seed=0,1 or data=slow,fast."""
    try:
        values = itertools.islice(item.sweep_string_iterator(), MOST_RUNS + 1)
        return [f"{item.key_or_group}={value}" for value in values]
    except ERRORS as error:
        raise SettingsError(f"{item.input_line}: write out the values, separated by commas") from error


def _is_group(item):
    """Whether an override exchanges a group; one of a group that does not exist is refused."""
    if item.key_or_group not in GROUPS:
        return False
    options = sorted(path.stem for path in (CONFIG / item.key_or_group).glob("*.yaml"))
    if str(item.value()) not in options:
        raise SettingsError(f"{item.input_line}: there are {', '.join(options)}")
    return True


def _files():
    """The files that Hydra reads, with their times."""
    return tuple((file, file.stat().st_mtime_ns) for file in sorted(CONFIG.rglob("*.yaml")))


@lru_cache
def _of_groups(groups, files):
    """The settings of these groups. Hydra reads all its files anew for every composition, a tenth of a second; so the
    same groups of the same `files` are composed once.
    """
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
        return _composed(groups)


def _composed(overrides, **options):
    try:
        return hydra.compose("config", list(overrides), **options)
    except ERRORS as error:
        raise SettingsError(f"{' '.join(overrides)}: {_first_line(error)}") from error


def _change(config, item):
    """Change one setting in place, or say what there is."""
    node, place = config, "the tree of settings"
    for name in item.key_or_group.split("."):
        if not isinstance(node, DictConfig) or name not in node:
            valid = ", ".join(sorted(map(str, node))) if isinstance(node, DictConfig) else "no parts"
            raise SettingsError(f"{item.input_line}: {place} has no {name!r}; it has {valid}")
        node, place = node[name], name
    try:
        OmegaConf.update(config, item.key_or_group, item.value(), merge=True)
    except ERRORS as error:
        raise SettingsError(f"{item.input_line}: {_first_line(error)}") from error
