"""Training the forecasters of waves: one, which is kept with its settings, or many, of which the numbers are kept."""

import json
import math
from functools import partial
from pathlib import Path

import torch
from omegaconf import OmegaConf

from lib import training
from lib.datasets.waves import WaveWindows
from lib.experiments.waves.evaluation import evaluate, rounded, score
from lib.experiments.waves.forecasters import build, builder, wave_data
from lib.experiments.waves.limits import check
from lib.experiments.waves.settings import SettingsError, flat, typed
from lib.losses import forecast_loss, pushforward_loss
from lib.storage import tensors
from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import exports_folder
from lib.training import checkpoints, distributed, events

EPOCHS = 10  # validations during a training
WATCHED = 0.027  # share of the validation runs that they predict, four of them; never more than of the training runs
CURVES = ("loss", "validation_loss")  # kept of every training of a study
WEIGHTS = "model.safetensors"


# --- one training ---------------------------------------------------------------------------------------------------


def set_scales(model, runs):
    """Store in a forecaster the standard deviation of the field, and the size of what it has to add to its base."""
    model.field_scale.fill_(runs.std())
    bundle, last = model.step_scale.numel(), runs[:, 1:]
    slope = last - runs[:, :-1] if model.head == "extrapolate" else 0.0
    for k in range(1, bundle + 1):
        later = runs[:, 1 + k :]
        base = 0.0 if model.head == "absolute" else (last + k * slope)[:, :-k]
        model.step_scale.view(-1)[k - 1] = (later - base).square().mean().sqrt()


def phase(step, settings):
    """The phase of an optimiser step, both numbered from 0: (its number, its first step, the first step of the next).

    settings: the group `training`.
    """
    borders = [round(settings.steps * sum(settings.phases[:count])) for count in range(len(settings.phases) + 1)]
    number = next((n for n, end in enumerate(borders[1:]) if step < end), len(settings.phases) - 1)
    return number, borders[number], borders[number + 1]


def rollout_length(step, settings):
    """Frames predicted in closed loop in an optimiser step."""
    return settings.rollout_steps[phase(step, settings)[0]]


def rate_factor(step, steps):
    """Learning rate over its greatest value: up in the first tenth, then down along a cosine."""
    rise = max(1, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, steps - rise))


def learning_rate(step, settings):
    """Learning rate of a step over the greatest one: one `rate_factor` for all phases, or, with `restart`, one for
    each (warm restarts; Loshchilov and Hutter, 2017), those after the first scaled by it."""
    if not settings.restart:
        return rate_factor(step, settings.steps)
    number, begin, end = phase(step, settings)
    return (settings.restart if number else 1.0) * rate_factor(step - begin, end - begin)


def fit(model, config, **options):
    """Train a forecaster on the data of its settings; returns the history. `options` go to `training.fit`.

    Every optimiser step evaluates the network about `predictions_per_step` times, in many short roll-outs or in few
    long ones: neither its time nor its memory grows with the length of the roll-out. Where `windows_per_step` is set,
    it makes that many roll-outs, however long.
    """
    settings = config.training
    runs = wave_data(config.data, "train", config.data.share)
    if config.model.get("scaled", True):
        set_scales(model, runs)
    device = training.best_device()
    model.to(device)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimizer]
    betas = (0.9, 0.99)  # gradients shrink by orders of magnitude during a training: forget the old ones sooner
    optimizer = kind(model.parameters(), settings.learning_rate, betas, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, settings))
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
            count = settings.windows_per_step or max(1, settings.predictions_per_step // evaluations)
            frames, targets = windows[length].draw(count, generator)
            if settings.noise:
                sigma = settings.noise * model.field_scale.item()
                frames = frames + sigma * torch.randn(frames.shape, generator=generator)
            yield frames, targets

    watched = wave_data(config.data, "validation", min(WATCHED, config.data.share))
    watched = watched[:, cut[0] : watched.shape[1] - cut[1]].to(device)

    def validate(model):
        result = score(model, watched, max(watched.shape[1] // 2, model.context_size - 1))
        error = result["one_step"] * watched.std() / model.step_scale.flatten()[0]
        return {
            "validation_loss": error.square().item(),  # in the unit of the training's
            "one_step_share": result["one_step_share"],
            "closed_loop": result["vrmse"][-1],
        }

    loss = partial(forecast_loss, burn_in=settings.burn_in, kind=settings.loss)
    loss = pushforward_loss if settings.pushforward else loss
    options |= {"schedule": schedule, "clip": settings.clip, "seed": config.seed, "validate": validate}
    history = training.fit(model, batches, loss, optimizer, epochs=epochs, **options)
    model.cpu()
    return history


# --- what is kept ---------------------------------------------------------------------------------------------------


def train(config, name, *, retrain=False, why="", log_dir=None):
    """Train a forecaster, or load it if exactly this training was done; see `lib.training.checkpoints.train_or_load`.

    The run's folder, `exports/runs/<name>` unless told otherwise, receives its settings (`.hydra/config.yaml`), its
    weights and its TensorBoard events, in either case.

    Returns:
        checkpoints.Run

    Raises:
        SettingsError: no such training is possible. CheckpointError: the name cannot be stored.
    """
    check(config)
    make = builder(config)
    folder = Path(log_dir) if log_dir else exports_folder() / "runs" / name

    def start(model, resume, log_dir):
        return fit(model, config, resume=resume, log_dir=log_dir)

    run = checkpoints.train_or_load(name, make, start, flat(config), retrain=retrain, why=why, log_dir=folder)
    if distributed.is_main():
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        settings = OmegaConf.to_yaml(config, resolve=True)
        write_atomically(folder / ".hydra" / "config.yaml", settings.encode())
        tensors.save(folder / WEIGHTS, run.model.state_dict())
    distributed.wait()
    return run


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
        config = typed(OmegaConf.load(file))
        check(config)  # before memory is taken
        model = build(config)
        model.load_state_dict(tensors.load(folder / WEIGHTS))
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise SettingsError(f"the settings in {file} are damaged or of another version: {reason}") from error
    return model, config


def study(name, configs, *, runs=None, trained=(), retrain=False, why=""):
    """Train and evaluate many settings, keeping only the numbers; see `lib.training.checkpoints.sweep`.

    Args:
        configs: settings of the trainings. runs: test runs for the evaluation (default: all that are configured).
        trained: results of `train`; where one has the same settings, it is evaluated instead of trained again.

    Returns:
        list of dicts: the flat settings, what `evaluate` returns, `loss` and `validation_loss` (one step ahead, in the
        same unit) at `step`, which is every tenth of the training, and `cpu_seconds`. TensorBoard finds the curves of
        each under `exports/runs/<name>`, in a folder named after the settings that differ.
    """
    for config in configs:
        check(config)
    first, known = configs[0], {json.dumps(run.settings): run for run in trained}
    asked = {"evaluation": {"runs": runs}} if runs else {}
    # What `run` reads decides its results: of the builders, those of these settings and no others.
    by_settings = {json.dumps(flat(config)): (OmegaConf.merge(config, asked), builder(config)) for config in configs}

    def run(**settings):
        (config, make), done = by_settings[json.dumps(settings)], known.get(json.dumps(settings))
        model, history = (done.model, done.history) if done else (make(), None)
        history = history or fit(model, config, progress=False)
        curves = {name: history[name] for name in ("step", *CURVES)}
        return evaluate(model, config) | rounded(curves)

    shared = {"test runs": runs or first.evaluation.runs, "warm-up": first.evaluation.warm_up}
    shared["horizon"] = first.evaluation.horizon
    rows = checkpoints.sweep(name, run, [flat(config) for config in configs], shared, retrain=retrain, why=why)
    names = dict.fromkeys(key for config in configs for key in flat(config))
    varied = [key for key in names if any(row.get(key) != rows[0].get(key) for row in rows)]
    for row in rows if distributed.is_main() else ():
        values = {key.rpartition(".")[2]: row[key] for key in varied if key in row}
        label = " ".join(f"{key}={value}" for key, value in values.items()).replace("/", "-") or "only"
        curves = {key: row[key] for key in ("step", *CURVES)}
        events.write(exports_folder() / "runs" / name / label, curves, json.dumps(curves))
    return rows
