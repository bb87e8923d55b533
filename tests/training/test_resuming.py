"""Trainings that are killed at any moment and go on: they end bit for bit as if they were not; logs keep up."""

import contextlib
import os
import random
import signal
import time

import pytest
import torch
from torch.nn import functional as F
from toys import fit, problem, same, scalars, without_time

from lib import training
from lib.storage import tensors
from lib.storage.files import CheckpointError

# --- logs -----------------------------------------------------------------------------------------------------------


def test_tensorboard_events_are_written_and_not_doubled_by_a_resume(tmp_path):
    options = {"log_dir": tmp_path / "log", "resume": tmp_path / "state", "validate": lambda m: {"accuracy": 0.5}}
    fit(*problem(), epochs=3, **options)
    model, data, optimizer = problem()
    history = fit(model, data, optimizer, epochs=6, **options)
    logged = scalars(tmp_path / "log")
    assert set(logged) == {"loss", "rate", "accuracy", "seconds"}
    for tag, values in logged.items():
        assert [step for step, _ in values] == history["step"], f"{tag} must be logged once per epoch"
        assert [value for _, value in values] == pytest.approx(history[tag], rel=1e-5)


# --- resuming -------------------------------------------------------------------------------------------------------


def test_resume_goes_on_where_the_state_ends(tmp_path):
    whole, data, optimizer = problem(dropout=0.3)
    history = fit(whole, data, optimizer, epochs=6, clip=1.0)
    halves, data, optimizer = problem(dropout=0.3)
    fit(halves, data, optimizer, epochs=2, clip=1.0, resume=tmp_path / "state")
    halves, data, optimizer = problem(seed=9, dropout=0.3)  # the fresh weights must not matter
    resumed = fit(halves, data, optimizer, epochs=6, clip=1.0, resume=str(tmp_path / "state"))
    assert same(whole.state_dict(), halves.state_dict())
    assert without_time(resumed) == without_time(history)


def test_a_finished_state_is_not_trained_further(tmp_path):
    stops = []

    def stop(history):
        stops.append(len(history["step"]))
        return len(history["step"]) == 3

    model, data, optimizer = problem()
    fit(model, data, optimizer, epochs=9, stop=stop, resume=tmp_path / "state")
    again, data, optimizer = problem()
    history = fit(again, data, optimizer, epochs=9, stop=stop, resume=tmp_path / "state")
    assert len(history["step"]) == 3 and same(model.state_dict(), again.state_dict())
    assert stops == [1, 2, 3, 3], "each epoch is judged once, and the last one again after a resume"


def test_a_damaged_state_is_named(tmp_path):
    (tmp_path / "state").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="state is damaged"):
        fit(*problem(), resume=tmp_path / "state")


class Forgetful(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 12, batch_first=True)
        self.drop, self.out = torch.nn.Dropout(0.3), torch.nn.Linear(12, 3)

    def forward(self, x):
        return self.out(self.drop(self.lstm(x)[0][:, -1]))


def train_in_a_process(folder, pipe, pause):
    """Train an LSTM with everything that has a state; report every batch through the pipe; store what is left."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Forgetful()
    x = torch.randn(60, 9, 4, generator=torch.Generator().manual_seed(1))
    y = x.sum((1, 2)).sign().long() + 1
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    phases = (
        torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 90),
    )
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [*phases], milestones=[30])
    draw, generators = training.shuffled(x, y, batch_size=20), []

    def batches(generator):
        generators.append(generator)
        for batch in draw(generator):
            pipe.send("batch")
            time.sleep(pause)
            yield batch

    history = training.fit(
        model,
        batches,
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        optimizer,
        epochs=40,
        schedule=schedule,
        clip=0.5,
        seed=3,
        progress=False,
        resume=folder / "state",
        log_dir=folder / "log",
        validate=lambda model: {"accuracy": (model(x).argmax(1) == y).float().mean().item()},
    )
    tensors.save(
        folder / "end",
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "generators": [generators[-1].get_state(), torch.get_rng_state()],
            "history": without_time(history),
        },
    )


def test_killed_at_random_moments_it_ends_bit_for_bit_the_same(tmp_path, processes):
    def start(folder, pause=0.0):
        folder.mkdir(exist_ok=True)
        ours, theirs = processes.Pipe()
        process = processes.Process(target=train_in_a_process, args=(folder, theirs, pause))
        process.start()
        theirs.close()
        return process, ours

    def finish(process, pipe):
        with contextlib.suppress(EOFError):
            while True:
                pipe.recv()
        process.join()
        assert process.exitcode == 0

    chance, reached = random.Random(), []
    for _ in range(10):
        process, pipe = start(tmp_path / "killed", pause=0.001)
        for _ in range(chance.randint(1, 11)):  # 40 epochs are 120 batches: ten times 11 do not reach the end
            pipe.recv()
        time.sleep(chance.uniform(0, 0.008))
        process.kill()
        process.join()
        assert os.name != "posix" or process.exitcode == -signal.SIGKILL
        if (tmp_path / "killed" / "state").exists():  # whatever the moment was, the stored state is whole
            reached.append(len(tensors.load(tmp_path / "killed" / "state")["history"]["step"]))
    finish(*start(tmp_path / "killed"))
    finish(*start(tmp_path / "whole"))

    assert reached == sorted(reached) and 0 < reached[-1] < 40, "the kills must hit a training on its way"
    found, expected = (tensors.load(tmp_path / name / "end") for name in ("killed", "whole"))
    for part in ("history", "model", "optimizer", "schedule", "generators"):
        assert identical(found[part], expected[part]), f"{part} differs after kills at epochs {reached}"
    assert [step for step, _ in scalars(tmp_path / "killed" / "log")["loss"]] == expected["history"]["step"]


def identical(a, b):
    """Equal to the last bit, through dicts, lists and tuples."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))
    return a == b
