"""A training on its way: its state, which is stored after every epoch and taken up again after an interruption, and the
sentence that is said when Ctrl+C, or ■ in a notebook, interrupts it.
"""

import contextlib
import math
import signal
import threading
import time
from pathlib import Path

import torch

from lib.storage import tensors
from lib.storage.files import CheckpointError

# --- the state ------------------------------------------------------------------------------------------------------


def stored_state(resume):
    """The state at a path; None if there is none, or, with one printed line, if it is that of another training.

    Raises:
        CheckpointError: it is damaged, or no state at all.
    """
    if resume is None or not Path(resume).exists():
        return None
    state = tensors.load(resume)
    if not isinstance(state, dict) or not {"of", "model", "history"} <= state.keys():
        raise CheckpointError(f"{resume} is not the state of an interrupted training; move it away to train anew")
    if state["of"] != Path(resume).name:
        print(f"Ignored: {Path(resume).name} is the state of another training, {state['of']}")
        return None
    return state


def state_of(resume, model, optimizer, schedule, generator, history):
    """Everything that decides how the training goes on; `resume` is the path where it will lie."""
    return {
        "of": Path(resume).name,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "schedule": schedule.state_dict() if schedule is not None else None,
        "generator": generator.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def restore(state, model, optimizer, schedule, generator):
    """Put a stored state back and return the history so far. A probe's state (`lib.training.probes`) holds no more than
    weights and history: the rest then stays as at the beginning, but for the schedule, which moves on to its step.

    Where fewer or more GPUs are visible than before, one printed line says so.

    Raises:
        CheckpointError: the state is that of another model or optimiser.
    """
    history = state["history"]
    try:
        model.load_state_dict(state["model"])
        if "optimizer" not in state:
            for _ in range(history["step"][-1] if history and schedule is not None else 0):
                schedule.step()
            return history
        optimizer.load_state_dict(state["optimizer"])
        if schedule is not None:
            schedule.load_state_dict(state["schedule"])
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the state {state['of']} of an interrupted training does not fit this one, although settings and code are "
            f"the same: name among the settings what the model's size depends on, or delete the state ({error})"
        ) from error
    generator.set_state(state["generator"])
    torch.set_rng_state(state["torch"])
    before, now = len(state["cuda"]), torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(min(before, now)):
        torch.cuda.set_rng_state(state["cuda"][number], number)
    if before != now:
        print(
            f"Going on with {now} visible GPUs instead of {before}: the end may differ from that without interruption"
        )
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    return history


# --- interruptions --------------------------------------------------------------------------------------------------


class Stopped(KeyboardInterrupt):
    """Ctrl+C, or ■, during a training: one sentence, which a notebook shows without a traceback.

    Args:
        sentence: what has become of the training. goes_on: whether something is stored, from which it will go on.
    """

    def __init__(self, sentence, goes_on):
        super().__init__(sentence)
        self.goes_on = goes_on

    def _render_traceback_(self):  # IPython asks for it
        return [str(self)]


@contextlib.contextmanager
def interruptible(sentence):
    """Turn a KeyboardInterrupt within into `Stopped`, with the arguments that `sentence()` returns; a training within
    this one that goes on has the last word.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        _be_deaf_for(math.inf)
        try:
            if getattr(error, "goes_on", False):
                raise
            raise Stopped(*sentence()) from None
        finally:
            _be_deaf_for(1)


def how_to_go_on(resume):
    """The arguments of `Stopped` for a training whose state lies at `resume`, if it has come that far."""
    with contextlib.suppress(CheckpointError):
        if (state := stored_state(resume)) and state["history"].get("step"):
            step = state["history"]["step"][-1]
            return f"Stopped at step {step:,}, the last one that is stored; run the cell again to go on", True
    return "Stopped before anything was stored; run the cell again to begin anew", False


deaf_until = 0.0


def _be_deaf_for(seconds):
    """Ignore Ctrl+C for a while: the impatient press it twice, which must not interrupt the sentence itself."""
    global deaf_until
    deaf_until = time.monotonic() + seconds
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, interrupt)


def interrupt(number, frame):
    """What Python does at Ctrl+C, but for that while: a handler of signals."""
    if time.monotonic() > deaf_until:
        signal.default_int_handler(number, frame)
