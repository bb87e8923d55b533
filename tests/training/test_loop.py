"""The training loop: what it does in a step, and what it refuses."""

import math

import pytest
import torch
from toys import fit, problem, same, squared_error, without_time

from lib import training
from lib.storage import tensors

# --- the plain loop -------------------------------------------------------------------------------------------------


def optimizers(model, kind):
    if kind == "adam":
        return torch.optim.Adam(model.parameters(), lr=0.02)
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


def copies(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["adam", "momentum"])
@pytest.mark.parametrize("scheduled", [True, False])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_it_is_the_plain_loop_bit_for_bit(clip, scheduled, kind, tmp_path):
    """Weights before every step, every loss and every number of the history. What is stored does not follow the code
    of the loop; instead it is held here, step by step, to a loop written out with torch alone.
    """
    epochs, size, seed = 4, 16, 7

    # written out
    model, (x, y), _ = problem(dropout=0.3)
    optimizer = optimizers(model, kind)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12) if scheduled else None
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    expected, steps = {"step": [], "loss": [], "rate": [], "gradient_norm": [], "error": []}, []
    for epoch in range(epochs):
        model.train()
        losses, norms = [], []
        for index in torch.randperm(len(x), generator=generator).split(size):
            weights = copies(model)
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x[index]), y[index])
            loss.backward()
            if clip is not None:
                norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), clip).item())
            optimizer.step()
            if scheduled:
                schedule.step()
            losses.append(loss.item())
            steps.append((x[index], weights, loss.item()))
        expected["step"].append(3 * (epoch + 1))
        expected["loss"].append(sum(losses) / 3)
        expected["rate"].append(optimizer.param_groups[0]["lr"])
        if clip is not None:
            expected["gradient_norm"].append(sum(norms) / 3)
        model.eval()
        with torch.no_grad():
            expected["error"].append(torch.nn.functional.mse_loss(model(x), y).item())
    if clip is None:
        del expected["gradient_norm"]

    # the workbook's
    other, data, _ = problem(dropout=0.3)
    optimizer = optimizers(other, kind)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12) if scheduled else None
    seen = []

    def watched(model, batch):
        weights, value = copies(model), squared_error(model, batch)
        seen.append((batch[0], weights, value.item()))
        return value

    options = {"schedule": schedule, "clip": clip, "seed": seed, "resume": tmp_path / "state", "log_dir": tmp_path}
    options["validate"] = lambda model: {"error": squared_error(model, data).item()}
    history = training.fit(
        other, training.shuffled(*data, batch_size=size), watched, optimizer, epochs=epochs, progress=False, **options
    )
    assert len(seen) == len(steps) == 12
    for number, (found, written_out) in enumerate(zip(seen, steps, strict=True), 1):
        assert torch.equal(found[0], written_out[0]), f"step {number} has another batch"
        assert same(found[1], written_out[1]), f"step {number} begins with other weights"
        assert found[2] == written_out[2], f"step {number} has another loss"
    assert same(other.state_dict(), model.state_dict())
    assert without_time(history) == expected


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


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"epochs": -1},
        {"epochs": 2.5},
        {"epochs": "5"},
        {"clip": 0.0},
        {"clip": -1.0},
        {"clip": math.nan},
    ],
    ids=str,
)
def test_impossible_numbers(options):
    with pytest.raises(ValueError, match="epochs must be a whole number from 1, clip above 0"):
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


def test_weights_that_are_not_finite_are_not_stored(tmp_path):
    """A gradient that is not finite although the loss was: without clipping its norm is not computed."""
    model, data, optimizer = problem()
    file, calls = tmp_path / "state", []

    def loss(m, batch):
        calls.append(1)
        spoilt = torch.sqrt(m[0].weight.sum() * 0) if len(calls) == 9 else 0  # the last step of the third epoch
        return squared_error(m, batch) + spoilt

    batches = training.shuffled(*data, batch_size=16)
    options = {"progress": False, "resume": file}
    with pytest.raises(training.TrainingError, match=r"step 9: 0\.weight is no longer finite.*lower the learning rate"):
        training.fit(model, batches, loss, optimizer, epochs=5, **options)
    state = tensors.load(file)
    assert state["history"]["step"] == [3, 6] and all(value.isfinite().all() for value in state["model"].values())
    model, data, optimizer = problem()
    assert len(training.fit(model, batches, squared_error, optimizer, epochs=5, **options)["step"]) == 5


def test_a_mask_of_infinite_numbers_is_no_weight():
    model, data, optimizer = problem()
    model.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
    fit(model, data, optimizer, epochs=1)
    for number in (math.nan, math.inf):  # as the variance of a batch norm may become
        model.register_buffer("variance", torch.tensor([1.0, number]))
        with pytest.raises(training.TrainingError, match="variance is no longer finite"):
            fit(model, data, optimizer, epochs=1)


LOSSES = {
    "one for each example": (
        lambda m, b: (m(b[0]) - b[1]).square(),
        r"one number, .* got a tensor \(16, 1\): use .mean",
    ),
    "a number": (lambda m, b: squared_error(m, b).item(), "one number, a scalar tensor, got a float"),
    "nothing": (lambda m, b: None, "one number, a scalar tensor, got a NoneType"),
    "several": (lambda m, b: (squared_error(m, b), 0), "one number, a scalar tensor, got a tuple"),
    "detached": (lambda m, b: squared_error(m, b).detach(), "depends on no parameter.*frozen, or detached"),
    "of the data": (lambda m, b: b[1].mean(), "depends on no parameter"),
    "of another model": (lambda m, b: squared_error(problem()[0], b), "depends on no parameter of this model"),
}


@pytest.mark.parametrize(("loss", "message"), LOSSES.values(), ids=LOSSES)
def test_a_loss_that_cannot_be_minimised(loss, message):
    model, data, optimizer = problem()
    with pytest.raises(ValueError, match=message):
        training.fit(model, training.shuffled(*data, batch_size=16), loss, optimizer, epochs=1, progress=False)


def test_a_loss_of_one_entry_is_a_scalar():
    model, data, optimizer = problem()
    batches = training.shuffled(*data, batch_size=16)
    training.fit(model, batches, lambda m, b: squared_error(m, b)[None], optimizer, epochs=1, progress=False)


def test_a_model_that_cannot_be_trained():
    model, data, optimizer = problem()
    for frozen in (torch.nn.Tanh(), torch.nn.Sequential()):
        with pytest.raises(ValueError, match=f"{type(frozen).__name__} has no parameters: there is nothing to train"):
            fit(frozen, data, optimizer)
    with pytest.raises(ValueError, match="the optimiser holds no parameter of this model: make it after the model"):
        fit(problem()[0], data, optimizer)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="depends on no parameter that can be trained"):
        fit(model, data, optimizer)


@pytest.mark.parametrize("name", ["step", "loss", "rate", "seconds", "gradient_norm"])
def test_a_validation_does_not_overwrite_the_history(name):
    model, data, optimizer = problem()
    with pytest.raises(ValueError, match=f"`validate` returned '{name}', which is the training's own"):
        fit(model, data, optimizer, validate=lambda model: {"accuracy": 1.0, name: 0.0})
