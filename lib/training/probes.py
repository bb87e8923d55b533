"""Probes: short replays of a training that tell whether changed code still gives the result that is stored.

A training takes minutes, a probe seconds. It consists of numbers that any change of the model, the data, the loss, the
schedule or the validation changes: a checksum of the initial weights; the first losses; two losses at each of some
later moments of the training, counted from the *final* weights, which are stored anyway, so that later phases
(longer roll-outs, learning-rate decay, averaging) are tried as well; and the validation of the final weights.

The loops report to the probe that is being taken (`begin`, `step`, `epoch`); without one, these calls do nothing.
"""

import contextlib
import hashlib
import io
import math
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lib.storage import tensors

FIRST, LATER = 20, 2  # losses from the beginning, and at each later moment
TOLERANCE = 1e-4  # relative, where the processor or torch is another one than when the probe was taken


class Enough(BaseException):
    """Ends a replay from inside a training loop: everything that was asked for has been seen."""


class CannotReplay(Exception):
    """A training cannot be begun here, because something that it needs is not stored."""


@dataclass
class Replay:
    """What is asked of a training loop, and what it has reported so far.

    Attributes:
        steps: number of losses, or 0. epochs: number of whole epochs, or 0. validate: the validation at the beginning.
        weights: checksum of the weights at the beginning. losses, entries: one per step, one per epoch.
    """

    steps: int = 0
    epochs: int = 0
    validate: bool = False
    weights: str = ""
    validation: dict = field(default_factory=dict)
    losses: list = field(default_factory=list)
    entries: list = field(default_factory=list)


_replay = None


def active():
    """Whether a probe is being taken, so that nothing is to be shown."""
    return _replay is not None


def begin(model, validated):
    """A loop is about to begin: `validated()` returns what the validation says of the model, dict of numbers."""
    if _replay is not None:
        _replay.weights = checksum(model)
        if _replay.validate:
            _replay.validation = numbers(validated())
        if not _replay.steps and not _replay.epochs:
            raise Enough


def step(*losses):
    """A loop has computed the losses of one optimiser step."""
    if _replay is not None:
        _replay.losses.append(list(losses) if len(losses) > 1 else losses[0])
        if len(_replay.losses) == _replay.steps:
            raise Enough


def epoch(entry):
    """A loop has finished an epoch with this entry of its history."""
    if _replay is not None:
        _replay.entries.append(numbers(entry))
        if len(_replay.entries) == _replay.epochs:
            raise Enough


def numbers(entry):
    """The numbers in a dict, times aside."""
    return {k: v for k, v in entry.items() if isinstance(v, (int, float)) and k != "seconds"}


def checksum(model):
    """Twelve hexadecimal digits of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(tensors.tensor_bytes(value.detach().cpu().contiguous()))
    return digest.hexdigest()[:12]


def machine():
    """What decides the last digit of a number: torch's version, the processor's instructions and the threads."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


# --- taking and comparing -------------------------------------------------------------------------------------------


def replay(build, train, wanted, weights=None, history=None):
    """Begin a training and end it as soon as `wanted`, a `Replay`, has everything; returns it.

    Args:
        build, train: as in `lib.training.checkpoints.train_or_load`.
        weights: state dict to begin with instead of the initial weights. history: how far the training has come then.
    """
    global _replay
    if _replay is not None:
        raise CannotReplay("a training within a training")
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # a schedule that is moved on without optimiser steps
        resume = Path(folder, "state")
        if weights is not None:
            tensors.save(resume, {"of": resume.name, "model": weights, "history": history or {}})
        model = build()
        _replay = wanted
        try:
            train(model, resume=resume, log_dir=None)
        except Enough:
            pass
        finally:
            _replay = None
    return wanted


def take(build, train, weights, history):
    """The probe of a finished training with today's code, as plain values.

    Args:
        build, train: as in `lib.training.checkpoints.train_or_load`. weights: final state dict. history: the whole one.
    """
    first = replay(build, train, Replay(steps=FIRST))
    validation = replay(build, train, Replay(validate=True), weights).validation
    count, later = len(history["step"]), {}
    for index in sorted({count // 4, count // 2, 3 * count // 4, count - 1} - {0}):
        before = {name: values[:index] for name, values in history.items()}
        later[str(index)] = replay(build, train, Replay(steps=LATER), weights, before).losses
    return {
        "machine": machine(),
        "weights": first.weights,
        "losses": first.losses,
        "later": later,
        "validation": validation,
    }


def first_difference(new, old):
    """The first number in which two probes differ, as text; empty if they agree.

    On the machine on which the old one was taken they have to agree bit for bit, elsewhere losses within `TOLERANCE`;
    there the validation, which may count right answers, may differ by a hundredth.
    """
    same_machine = new["machine"] == old["machine"]
    if same_machine and new["weights"] != old["weights"]:
        return "the initial weights"
    exact = 0.0 if same_machine else TOLERANCE
    for name in ("losses", "later"):
        if found := unequal(new[name], old[name], exact, {"losses": "loss", "later": "later loss"}[name]):
            return found
    return unequal(new["validation"], old["validation"], 0.0 if same_machine else 1e-2, "validation")


def unequal(new, old, tolerance, name, skipped=()):
    """Where nested results differ by more than a relative tolerance: "name: old → new"; empty if nowhere.

    Numbers that are kept with three to five decimals may also differ by one unit of the last one, unless the tolerance
    is 0. `skipped` are keys of dicts that are not compared.
    """
    if isinstance(new, dict) and isinstance(old, dict):
        if {*new} - {*skipped} != {*old} - {*skipped}:
            return f"{name}: other entries, {', '.join(sorted({*new} ^ {*old}))}"
        pairs = [(f"{name} {key}", new[key], old[key]) for key in new if key not in skipped]
    elif isinstance(new, (list, tuple)) and isinstance(old, (list, tuple)):
        if len(new) != len(old):
            return f"{name}: {len(old)} → {len(new)} numbers"
        pairs = [(f"{name} {number}", a, b) for number, (a, b) in enumerate(zip(new, old, strict=True), 1)]
    else:
        return "" if _equal(new, old, tolerance) else f"{name}: {_short(old)} → {_short(new)}"
    return next((found for key, a, b in pairs if (found := unequal(a, b, tolerance, key, skipped))), "")


def _equal(new, old, tolerance):
    if not all(isinstance(value, (int, float)) for value in (new, old)):
        return new == old
    decimals = len(repr(old).partition(".")[2])
    unit = 1.01 * 10**-decimals if tolerance and "e" not in repr(old) and 3 <= decimals <= 5 else 0.0
    close = math.isclose(new, old, rel_tol=tolerance, abs_tol=unit)
    return new == old or (math.isnan(new) and math.isnan(old)) or close


def _short(value):
    return f"{value:.9g}" if isinstance(value, float) else str(value)[:40]
