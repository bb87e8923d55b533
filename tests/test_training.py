"""The training loop: what it does in a step, what it refuses, and that a killed training ends as if it were not."""

import contextlib
import math
import os
import random
import signal
import time

import pytest
import torch
from torch.nn import functional as F

from lib import checkpoints, training


def problem(seed=0, dropout=0.0):
    """A small regression: model, data, optimiser."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1)
    )
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    return model, (x, x.sum(1, keepdim=True)), torch.optim.Adam(model.parameters(), lr=0.02)


def squared_error(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


def fit(model, data, optimizer, **options):
    options = {"epochs": 5, "progress": False} | options
    return training.fit(model, training.shuffled(*data, batch_size=16), squared_error, optimizer, **options)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# --- the loop -------------------------------------------------------------------------------------------------------


def test_loss_falls_and_the_history_has_one_entry_per_epoch():
    model, data, optimizer = problem()
    history = fit(
        model, data, optimizer, epochs=30, clip=1.0, validate=lambda m: {"error": squared_error(m, data).item()}
    )
    assert set(history) == {"step", "loss", "rate", "gradient_norm", "error", "seconds"}
    assert all(len(values) == 30 for values in history.values())
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["step"] == list(range(3, 91, 3)), "40 examples in batches of 16 are 3 steps an epoch"
    assert history["error"][-1] == pytest.approx(squared_error(model, data).item())
    assert history["seconds"] == sorted(history["seconds"])
    assert not model.training, "the model is handed back in evaluation mode"


def test_validation_sees_evaluation_mode_without_gradients():
    model, data, optimizer = problem(dropout=0.5)
    seen = []

    def validate(m):
        seen.append((m.training, torch.is_grad_enabled()))
        return {}

    fit(model, data, optimizer, epochs=2, validate=validate)
    assert seen == [(False, False)] * 2


def test_training_mode_comes_back_after_validation():
    model, data, optimizer = problem()
    modes = []

    def loss(m, batch):
        modes.append(m.training)
        return squared_error(m, batch)

    training.fit(
        model, training.shuffled(*data, batch_size=40), loss, optimizer, epochs=3, validate=lambda m: {}, progress=False
    )
    assert modes == [True] * 3


def test_the_schedule_moves_once_per_step():
    model, data, optimizer = problem()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)  # an epoch has three steps
    history = fit(model, data, optimizer, epochs=4, schedule=schedule)
    assert history["rate"] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])


def test_the_gradient_is_scaled_down_to_the_clip():
    model, data, _ = problem()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    history = training.fit(
        model, training.shuffled(*data, batch_size=40), squared_error, optimizer, epochs=1, clip=0.01, progress=False
    )
    moved = torch.cat([(new - old).flatten() for new, old in zip(model.parameters(), before, strict=True)]).norm()
    assert history["gradient_norm"][0] > 0.01, "the history holds the norm before clipping"
    assert moved.item() == pytest.approx(0.01, rel=1e-3), "with rate 1 the step is as long as the clipped gradient"


def test_stop_ends_after_the_epoch_it_asks_for():
    model, data, optimizer = problem()
    history = fit(model, data, optimizer, epochs=50, stop=lambda history: len(history["loss"]) == 4)
    assert len(history["step"]) == 4


def test_one_seed_gives_one_training_and_another_seed_another():
    def run(seed):
        model, data, optimizer = problem(dropout=0.3)
        history = fit(model, data, optimizer, seed=seed)
        return model.state_dict(), history["loss"]

    (first, losses), (second, again), (third, _) = run(0), run(0), run(1)
    assert same(first, second) and losses == again
    assert not same(first, third)


def test_the_seed_makes_the_past_irrelevant():
    torch.manual_seed(5)
    model, data, optimizer = problem(dropout=0.3)
    torch.rand(17)  # what a notebook may have drawn in between
    fit(model, data, optimizer)
    other, data, optimizer = problem(dropout=0.3)
    fit(other, data, optimizer)
    assert same(model.state_dict(), other.state_dict())


def test_progress_bar_changes_nothing(capsys):
    model, data, optimizer = problem()
    fit(model, data, optimizer, epochs=10, progress=True)
    other, data, optimizer = problem()
    fit(other, data, optimizer, epochs=10)
    assert same(model.state_dict(), other.state_dict())


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 10), (1, 1), (10, 1)])
def test_shuffled_covers_every_example_once_an_epoch(count, size):
    x, y = torch.arange(count), torch.arange(count) * 2
    batches, generator = training.shuffled(x, y, batch_size=size), torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        parts = list(batches(generator))
        assert [len(a) for a, _ in parts] == [size] * (count // size) + ([count % size] if count % size else [])
        assert all(torch.equal(2 * a, b) for a, b in parts), "inputs and labels must stay together"
        orders.append(torch.cat([a for a, _ in parts]).tolist())
        assert sorted(orders[-1]) == list(range(count))
    assert count == 1 or orders[0] != orders[1], "every epoch needs an order of its own"


def test_to_device_keeps_the_kind_of_container():
    moved = training.to_device((torch.ones(2), [torch.ones(1), "text"]), torch.device("cpu"))
    assert isinstance(moved, tuple) and isinstance(moved[1], list) and moved[1][1] == "text"


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 41])
def test_impossible_batch_sizes(size):
    with pytest.raises(ValueError, match="batch_size must lie between 1 and the number of examples, 40"):
        training.shuffled(torch.zeros(40), batch_size=size)


def test_tensors_of_different_length():
    with pytest.raises(ValueError, match="same number of examples"):
        training.shuffled(torch.zeros(4), torch.zeros(5), batch_size=2)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"epochs": -1}, {"clip": 0.0}, {"clip": -1.0}, {"clip": math.nan}])
def test_impossible_numbers(options):
    with pytest.raises(ValueError, match="epochs must be at least 1 and clip above 0"):
        fit(*problem(), **options)


def test_no_batches():
    model, _, optimizer = problem()
    with pytest.raises(training.TrainingError, match="yielded no batch"):
        training.fit(model, lambda generator: iter(()), squared_error, optimizer, epochs=1, progress=False)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_its_step(bad):
    model, data, optimizer = problem()
    calls = []

    def loss(m, batch):
        calls.append(1)
        return squared_error(m, batch) * (bad if len(calls) == 8 else 1)

    with pytest.raises(training.TrainingError, match=r"step 8: loss (nan|inf).*learning rate 0\.02; lower the rate"):
        training.fit(model, training.shuffled(*data, batch_size=16), loss, optimizer, epochs=5, progress=False)
    assert all(p.isfinite().all() for p in model.parameters()), "the step that fails must not be taken"


def test_a_gradient_that_is_not_finite_names_its_step():
    model, data, optimizer = problem()

    def loss(m, batch):  # finite, but its derivative at 0 is not
        return squared_error(m, batch) + torch.sqrt(m[0].weight.sum() * 0)

    with pytest.raises(training.TrainingError, match=r"step 1: loss \d.*gradient norm nan"):
        training.fit(
            model, training.shuffled(*data, batch_size=16), loss, optimizer, epochs=1, clip=1.0, progress=False
        )


# --- logs -----------------------------------------------------------------------------------------------------------


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


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
    assert {**resumed, "seconds": 0} == {**history, "seconds": 0}


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
    with pytest.raises(checkpoints.CheckpointError, match="state is damaged"):
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
    checkpoints.save(
        folder / "end",
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "generators": [generators[-1].get_state(), torch.get_rng_state()],
            "history": {name: values for name, values in history.items() if name != "seconds"},
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
            reached.append(len(checkpoints.load(tmp_path / "killed" / "state")["history"]["step"]))
    finish(*start(tmp_path / "killed"))
    finish(*start(tmp_path / "whole"))

    assert reached == sorted(reached) and 0 < reached[-1] < 40, "the kills must hit a training on its way"
    found, expected = (checkpoints.load(tmp_path / name / "end") for name in ("killed", "whole"))
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
