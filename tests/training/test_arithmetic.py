"""What a profile chooses of a training's arithmetic, tried on the CPU."""

import pytest
import torch
from torch import nn

from lib.training import arithmetic, checkpoints, fit, shuffled


class Picture(nn.Module):
    """A small network on pictures, which notes what its layers give and are given."""

    def __init__(self):
        super().__init__()
        self.convolution, self.output = nn.Conv2d(2, 3, 3), nn.Linear(3, 1)
        self.seen = []

    def forward(self, x):
        features = self.convolution(x)
        self.seen.append((features.dtype, x.is_contiguous(memory_format=torch.channels_last)))
        return self.output(features.mean((2, 3)))[:, 0]


def squared(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def trained(epochs=3):
    torch.manual_seed(0)
    model = Picture()
    x = torch.randn(16, 2, 6, 5, generator=torch.Generator().manual_seed(1))
    batches = shuffled(x, x.mean((1, 2, 3)), batch_size=8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    history = fit(
        model,
        batches,
        squared,
        optimizer,
        epochs=epochs,
        validate=lambda model: {"error": squared(model, (x, x.mean((1, 2, 3)))).item()},
        progress=False,
    )
    return model, history


def test_nothing_is_chosen_unless_a_profile_does(monkeypatch):
    monkeypatch.delenv(arithmetic.VARIABLE, raising=False)
    assert arithmetic.chosen() == [] and arithmetic.as_setting() == {}
    model, _ = trained()
    assert {dtype for dtype, _ in model.seen} == {torch.float32} and not any(last for _, last in model.seen)


def test_bfloat16_computes_the_forward_pass_and_leaves_the_rest_in_float32(monkeypatch):
    exact, history = trained()
    monkeypatch.setenv(arithmetic.VARIABLE, "bfloat16")
    model, rounded = trained()
    steps = [dtype for dtype, _ in model.seen]
    assert steps == 3 * [torch.bfloat16, torch.bfloat16, torch.float32], "two steps of an epoch, then its validation"
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert rounded["loss"] != history["loss"] and rounded["loss"] == pytest.approx(history["loss"], rel=0.05)
    pairs = zip(exact.parameters(), model.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=0.02) for a, b in pairs)


def test_channels_last_changes_the_order_in_memory_and_no_result(monkeypatch):
    exact, history = trained()
    monkeypatch.setenv(arithmetic.VARIABLE, "channels_last")
    model, same = trained()
    assert all(last for dtype, last in model.seen[:2]) and model.convolution.weight.is_contiguous(
        memory_format=torch.channels_last
    )
    assert same["loss"] == pytest.approx(history["loss"], rel=1e-4)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(exact.parameters(), model.parameters(), strict=True))


def test_what_is_not_a_picture_stays_as_it_is(monkeypatch):
    monkeypatch.setenv(arithmetic.VARIABLE, "channels_last")
    rows, pictures = torch.zeros(4, 3), torch.zeros(4, 3, 5, 6)
    first, second, third = arithmetic.arranged((rows, pictures, "a name"))
    assert first is rows and third == "a name" and second.is_contiguous(memory_format=torch.channels_last)


def test_results_are_stored_under_what_was_chosen(stores, monkeypatch):
    def train(model, resume=None, log_dir=None):
        return {"step": [1], "loss": [0.5]}

    calls = []

    def run(seed):
        calls.append(seed)
        return {"score": 1.0}

    first = checkpoints.train_or_load("01_x/model", Picture, train, {"width": 3})
    checkpoints.sweep("01_x/runs", run, [{"seed": 0}])
    monkeypatch.setenv(arithmetic.VARIABLE, "bfloat16")
    second = checkpoints.train_or_load("01_x/model", Picture, train, {"width": 3})
    checkpoints.sweep("01_x/runs", run, [{"seed": 0}])
    assert first.settings == {"width": 3} and second.settings == {"width": 3, "computed_in": "bfloat16"}
    assert second.origin == "trained" and calls == [0, 0]
    monkeypatch.delenv(arithmetic.VARIABLE)
    assert checkpoints.train_or_load("01_x/model", Picture, train, {"width": 3}).origin == "local"
