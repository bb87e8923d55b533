"""Training and evaluating forecasters of waves, configured by Hydra; notebooks and the command line call the same.

    python -m lib.experiments.waves train data=fast model.c_list=[16,32] training.steps=500
    python -m lib.experiments.waves train -m seed=0,1,2 data=slow,fast          (one run for each combination)
    python -m lib.experiments.waves evaluate exports/runs/waves/2026-01-31_12-00-00
    python -m lib.experiments.waves evaluate "exports/runs/waves/*"

The tree of settings lies in `lib/experiments/config`; `python -m lib.experiments.waves train --help` shows it. Every
run keeps its settings in `.hydra/`, its weights and its TensorBoard events in one folder under `exports/runs/`.
"""

import argparse
import glob
import json
import math
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lib import checkpoints, distributed, training
from lib.datasets.waves import SPLITS, WaveWindows, exact_stencil, wave_set
from lib.losses import forecast_loss, pushforward_loss
from lib.models import ConvLSTM, NextFrame, NoNetwork, Stencil, UNet
from lib.paths import exports_folder

CONFIG = Path(__file__).with_name("config")
GROUPS = ("data", "model", "training", "evaluation", "experiment")
EPOCHS = 10  # validations during a training
WEIGHTS = "model.safetensors"
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


# --- settings: names and types; the values stand in the YAML files --------------------------------------------------


@dataclass
class Data:
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
    runs: int = MISSING
    study_runs: int = MISSING
    warm_up: int = MISSING
    horizon: int = MISSING
    seeds: list[int] = MISSING


@dataclass
class Settings:
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


def compose(experiment=None, overrides=()) -> DictConfig:
    """The settings of one training.

    Args:
        experiment: name of a preset in `lib/experiments/config/experiment`, or None.
        overrides: texts such as "data=fast" or "model.c_list=[16,32]", as on the command line.

    Raises:
        SettingsError: a group, key or value that does not exist or does not fit.
    """
    overrides = ([f"experiment={experiment}"] if experiment else []) + [str(text) for text in overrides]
    _refuse_code(overrides)
    with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
        if any(text.startswith(("+", "~")) for text in overrides):
            _check(overrides)
        try:
            return _composed(overrides)
        except ValueError:
            _check(overrides)  # says more, if it finds the cause
            raise


def _refuse_code(arguments):
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


# --- data, model, training ------------------------------------------------------------------------------------------


def wave_data(data, use, share=1.0):
    """The "train", "validation" or "test" set of these settings (the group `data`): (N, T, H, W)."""
    physics = {"size": data.size, "speed": data.speed, "num_sources": data.num_sources, "damping": data.damping}
    physics |= {"obstacle": data.obstacle, "start": data.start}
    return wave_set(use, data.skip_rate, seed=data.seed, share=share, **physics)


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


BUILDERS = {"unet": (unet, UNet), "convlstm": (convlstm, ConvLSTM)}


def build(config):
    """The forecaster of these settings, with fresh weights drawn with `config.seed`.

    Raises:
        SettingsError: the model's settings contradict each other.
    """
    if config.model.name not in BUILDERS:
        raise SettingsError(f"model.name must be one of {', '.join(BUILDERS)}; got {config.model.name!r}")
    torch.manual_seed(config.seed)
    try:
        return BUILDERS[config.model.name][0](config.model)
    except ValueError as error:
        raise SettingsError(f"model: {error}") from error


def set_scales(model, runs):
    """Store in a forecaster the standard deviation of the field, and the size of what it has to add to its base."""
    model.field_scale.fill_(runs.std())
    bundle, last = model.step_scale.numel(), runs[:, 1:]
    slope = last - runs[:, :-1] if model.head == "extrapolate" else 0.0
    for k in range(1, bundle + 1):
        later = runs[:, 1 + k :]
        base = 0.0 if model.head == "absolute" else (last + k * slope)[:, :-k]
        model.step_scale.view(-1)[k - 1] = (later - base).square().mean().sqrt()


def rollout_length(step, settings):
    """Frames predicted in closed loop in an optimiser step, numbered from 0 (settings: the group `training`)."""
    border = 0.0
    for length, share in zip(settings.rollout_steps, settings.phases, strict=True):
        border += share * settings.steps
        if step < round(border):
            return length
    return settings.rollout_steps[-1]


def rate_factor(step, steps):
    """Learning rate over its greatest value: up in the first tenth, then down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, steps - rise))


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


def fit(model, config, **options):
    """Train a forecaster on the data of its settings; returns the history. `options` go to `training.fit`.

    Every optimiser step evaluates the network about `predictions_per_step` times, in many short roll-outs or in few
    long ones: neither its time nor its memory grows with the length of the roll-out.
    """
    settings = config.training
    check_training(settings)
    runs = wave_data(config.data, "train", config.data.share)
    if config.model.get("scaled", True):
        set_scales(model, runs)
    device = training.best_device()
    model.to(device)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    betas = (0.9, 0.99)  # gradients shrink by orders of magnitude during a training: forget the old ones sooner
    optimizer = kind(model.parameters(), settings.learning_rate, betas, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, settings.steps))
    given, bundle = settings.sequence_length or model.context_size, model.step_scale.numel()
    cut = (config.data.cut_start, config.data.cut_end)
    windows = {length: WaveWindows(runs, given, length, *cut) for length in set(settings.rollout_steps)}
    epochs = min(EPOCHS, settings.steps)
    borders = [round(settings.steps * (epoch + 1) / epochs) for epoch in range(epochs)]

    def batches(generator):
        end = next(border for border in borders if border > schedule.last_epoch)
        while schedule.last_epoch < end:  # the schedule counts the steps, also across an interruption
            length = rollout_length(schedule.last_epoch, settings)
            evaluations = given - model.context_size + -(-length // bundle)
            frames, targets = windows[length].draw(max(1, settings.predictions_per_step // evaluations), generator)
            if settings.noise:
                sigma = settings.noise * model.field_scale.item()
                frames = frames + sigma * torch.randn(frames.shape, generator=generator)
            yield frames, targets

    watched = wave_data(config.data, "validation", 0.027).to(device)

    def validate(model):
        result = score(model, watched, watched.shape[1] // 2)
        return {"one_step_share": result["one_step_share"], "closed_loop": result["rmse"][-1]}

    loss = pushforward_loss if settings.pushforward else forecast_loss
    options |= {"schedule": schedule, "clip": settings.clip, "seed": config.seed, "validate": validate}
    history = training.fit(model, batches, loss, optimizer, epochs=epochs, **options)
    model.cpu()
    return history


def flat(config):
    """Everything that decides a training, as one flat dict: {"data.skip_rate": 1, …}."""
    tree = OmegaConf.to_container(config, resolve=True)
    groups = {group: tree[group] for group in ("data", "model", "training")}
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()} | {
        "seed": tree["seed"]
    }


def train(config, name, *, retrain=False, why="", log_dir=None):
    """Train a forecaster, or load it if exactly this training has been done; see `lib.checkpoints.train_or_load`.

    The run's folder, `exports/runs/<name>` unless told otherwise, receives its settings (`.hydra/config.yaml`), its
    weights and its TensorBoard events, in either case.

    Returns:
        checkpoints.Run
    """
    model = build(config)
    check_training(config.training)
    try:
        wave_data(config.data, "validation", 0.01)
        if not 0 < config.data.share <= 1:
            raise ValueError(f"share must lie above 0 and at most at 1, got {config.data.share}")
    except ValueError as error:
        raise SettingsError(f"data: {error}") from error
    folder = Path(log_dir) if log_dir else exports_folder() / "runs" / name

    def start(model, resume, log_dir):
        return fit(model, config, resume=resume, log_dir=log_dir)

    sources = (fit, *BUILDERS[config.model.name])
    run = checkpoints.train_or_load(
        name, model, start, flat(config), sources=sources, retrain=retrain, why=why, log_dir=folder
    )
    if distributed.is_main():
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        settings = OmegaConf.to_yaml(config, resolve=True)
        checkpoints.write_atomically(folder / ".hydra" / "config.yaml", settings.encode())
        checkpoints.save(folder / WEIGHTS, run.model.state_dict())
    distributed.wait()
    return run


def baselines(config):
    """What a forecaster has to beat: by name, the zero prediction, copying, the straight line, and the exact rule."""
    data = config.data
    kernel = exact_stencil(data.skip_rate, data.speed).float()
    return {
        "zero": NextFrame(NoNetwork(), 1, "absolute"),
        "copy last frame": NextFrame(NoNetwork(), 1, "change"),
        "straight line": NextFrame(NoNetwork(), 2, "extrapolate"),
        "exact stencil": NextFrame(Stencil(kernel), 2, "absolute"),
    }


# --- evaluation -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def forecast(model, runs, warm_up):
    """Predictions of runs (N, T, H, W), teacher-forced up to frame `warm_up`, then in closed loop to the end.

    Returns:
        (N, T - context_size, H, W), the predictions of frames context_size … T - 1; the last T - 1 - warm_up of them
        are made in closed loop.

    Raises:
        ValueError: the warm-up is shorter than the model's context, or leaves nothing to predict.
    """
    first, last = model.context_size, runs.shape[1] - 1
    if not first - 1 <= warm_up < last:
        raise ValueError(
            f"warm_up is the number of the last true frame: between {first - 1}, which fills the model's context, and "
            f"{last - 1}, the last frame but one; got {warm_up}"
        )
    return torch.cat([model(part[:, : warm_up + 1], last - 1 - warm_up) for part in runs.split(50)])


def score(model, runs, warm_up):
    """Errors of a forecaster, see `forecast`; horizons count from frame `warm_up`.

    Returns:
        dict of `one_step_mse` (of the predictions made from true frames), `one_step_share` (the same over the error of
        copying the last frame), and by horizon, 1 … T - 1 - warm_up: `rmse` (in units of the standard deviation of the
        runs) and `correlation` (with the true frame, mean over the runs).
    """
    first, steps = model.context_size, runs.shape[1] - 1 - warm_up
    predictions = forecast(model, runs, warm_up)
    squares, forced = (predictions - runs[:, first:]).square(), warm_up + 2 - first
    copying = (runs[:, first : first + forced] - runs[:, first - 1 : first - 1 + forced]).square().mean()
    cosine = torch.cosine_similarity(predictions[:, -steps:].flatten(2), runs[:, -steps:].flatten(2), dim=2)
    return {
        "one_step_mse": squares[:, :forced].mean().item(),
        "one_step_share": (squares[:, :forced].mean() / copying).item(),
        "rmse": (squares[:, -steps:].mean((0, 2, 3)).sqrt() / runs.std()).tolist(),
        "correlation": cosine.mean(0).tolist(),
    }


def evaluate(model, config, runs=None):
    """`score` on the test runs of these settings, in plain rounded numbers; `runs` says how many of them."""
    device = training.best_device()
    share = (runs or config.evaluation.runs) / SPLITS["test"][0]
    test = wave_data(config.data, "test", share)[:, : config.evaluation.warm_up + config.evaluation.horizon + 1]
    result = score(model.to(device), test.to(device), config.evaluation.warm_up)
    model.cpu()
    return _rounded(result)


def _rounded(numbers):
    return {
        key: [float(f"{number:.5g}") for number in value] if isinstance(value, list) else float(f"{value:.5g}")
        for key, value in numbers.items()
    }


def study(name, configs, *, runs=None, trained=(), retrain=False, why=""):
    """Train and evaluate many settings, keeping only the numbers; see `lib.checkpoints.sweep`.

    Args:
        configs: settings of the trainings. runs: test runs for the evaluation (default: all that are configured).
        trained: results of `train`; where one has the same settings, it is evaluated instead of trained again.

    Returns:
        list of dicts: the flat settings, what `evaluate` returns, `loss` and `share` (the one-step error on validation
        runs over copying's, after each tenth of the training), and `cpu_seconds`.
    """
    first, known = configs[0], {json.dumps(run.settings): run for run in trained}
    by_settings = {json.dumps(flat(config)): config for config in configs}

    def run(**settings):
        config, done = by_settings[json.dumps(settings)], known.get(json.dumps(settings))
        model, history = (done.model, done.history) if done else (build(config), None)
        history = history or fit(model, config, progress=False)
        curves = {"loss": history["loss"], "share": history["one_step_share"]}
        return evaluate(model, config, runs) | _rounded(curves)

    shared = {"test runs": runs or first.evaluation.runs, "warm-up": first.evaluation.warm_up}
    shared["horizon"] = first.evaluation.horizon
    sources = (fit, evaluate, *{source for config in configs for source in BUILDERS[config.model.name]})
    cells = [flat(config) for config in configs]
    return checkpoints.sweep(name, run, cells, shared, sources=sources, retrain=retrain, why=why)


def error_at(result, horizon):
    """RMSE at a horizon in % of the field's standard deviation (the last one, if the roll-out was shorter)."""
    return 100 * result["rmse"][min(horizon, len(result["rmse"])) - 1]


def summary(results, **names):
    """One line of a table: mean over results of `evaluate`, with the lowest and the highest; `names` come first."""
    mse = sum(result["one_step_mse"] for result in results) / len(results)
    line = dict(names) | {"one-step MSE": f"{mse:.1e}"}
    for title, values in (
        ("% of copying", [100 * result["one_step_share"] for result in results]),
        ("RMSE @10, %", [error_at(result, 10) for result in results]),
        ("@50", [error_at(result, 50) for result in results]),
        ("@100", [error_at(result, 100) for result in results]),
    ):
        mean, low, high = (
            f"{number:.0e}" if number > 1e5 else f"{number:,.0f}" if number >= 99.5 else f"{number:.2g}"
            for number in (sum(values) / len(values), min(values), max(values))
        )
        line[title] = f"{mean} ({low}–{high})" if len(values) > 1 else mean
    return line


def load(folder):
    """The trained forecaster of a run's folder and its settings, exactly as trained: (model, config).

    Raises:
        SettingsError: the folder is no finished run, or its settings are damaged.
        CheckpointError: its weights are damaged.
    """
    folder = Path(folder)
    file = folder / ".hydra" / "config.yaml"
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        raise SettingsError(f"{folder} is no finished run: it has no {file.name if not file.is_file() else WEIGHTS}")
    try:
        config = OmegaConf.load(file)
        model = build(config)
        model.load_state_dict(checkpoints.load(folder / WEIGHTS))
    except checkpoints.CheckpointError:
        raise
    except Exception as error:
        raise SettingsError(f"the settings in {file} are damaged or of another version: {error}") from error
    return model, config


# --- command line ---------------------------------------------------------------------------------------------------


def _train(config):
    """One run of `train` on the command line; Hydra has made its folder and stored its overrides there."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        train(config, "waves/run", log_dir=folder)
    except (ValueError, training.TrainingError, checkpoints.CheckpointError) as error:
        raise SystemExit(f"{folder}: {error}") from error  # one line; anything unexpected keeps its traceback
    print(f"{folder}: evaluate with `python -m lib.experiments.waves evaluate {folder}`")


def _evaluate(patterns, runs):
    folders = sorted({Path(match) for pattern in patterns for match in glob.glob(str(pattern))})
    folders = [found for folder in folders for found in _runs_in(folder)]
    if not folders:
        raise SettingsError(f"no finished run matches {' '.join(patterns)}")
    print(f"{'one step':>10} {'% of copying':>13} {'RMSE @50':>9} {'@100':>7}   run (RMSE in % of the deviation)")
    for folder in folders:
        model, config = load(folder)
        result = evaluate(model, config, runs)
        checkpoints.write_atomically(folder / "scores.json", json.dumps(result).encode())
        at = [f"{100 * result['rmse'][h - 1]:.1f}" if len(result["rmse"]) >= h else "–" for h in (50, 100)]
        share = 100 * result["one_step_share"]
        print(f"{result['one_step_mse']:10.2e} {share:13.4f} {at[0]:>9} {at[1]:>7}   {folder}", flush=True)


def _runs_in(folder):
    """A run's folder itself, or the runs of a multirun below it."""
    if (folder / WEIGHTS).is_file():
        return [folder]
    return sorted(file.parent for file in folder.glob(f"*/{WEIGHTS}"))


def main(arguments=None):
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command = arguments.pop(0) if arguments else "--help"
    try:
        if command == "train":
            _refuse_code(arguments)
            overrides = [text for text in arguments if not text.startswith("-")]
            if not {"-h", "--help", "--hydra-help", "--info", "--cfg", "-c"} & {*arguments}:
                with hydra.initialize_config_dir(str(CONFIG), version_base="1.3"):
                    _check(overrides)
                    if not {"-m", "--multirun"} & {*arguments}:
                        _composed([text for text in overrides if not text.startswith("hydra")])
            os.environ["WORKBOOK_EXPORTS"] = str(exports_folder())  # the tree of settings names it
            if not distributed.is_main():  # of the processes that share a training, one keeps records
                arguments += [f"hydra.{kind}.dir={tempfile.mkdtemp()}" for kind in ("run", "sweep")]
            sys.argv = [sys.argv[0], *arguments]
            hydra.main(config_path=str(CONFIG), config_name="config", version_base="1.3")(_train)()
            return 0
        if command == "evaluate":
            parser = argparse.ArgumentParser(prog="python -m lib.experiments.waves evaluate")
            parser.add_argument("runs", nargs="+", help="folders of runs; wildcards are allowed")
            parser.add_argument("--test-runs", type=int, help="how many of the test runs (default: as configured)")
            args = parser.parse_args(arguments)
            _evaluate(args.runs, args.test_runs)
            return 0
    except (SettingsError, checkpoints.CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    print(__doc__)
    return 0 if command in ("-h", "--help") else 2


if __name__ == "__main__":
    # By its name: so the processes of a cluster find the functions, and their sources.
    from lib.experiments import waves

    sys.exit(waves.main())
