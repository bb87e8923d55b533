"""Probes: they see what a training does, and leave no trace."""

import math

import pytest
import torch

from lib import training
from lib.models import GAN, Discriminator, Generator
from lib.training import probes
from lib.training.adversarial import fit_gan


def build():
    torch.manual_seed(1)
    return torch.nn.Linear(2, 1)


def fit(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)

    def batches(generator):
        for _ in range(5):
            yield torch.randn(4, 2, generator=generator)

    def loss(model, x):
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    validate = lambda model: {"norm": model.weight.norm().item(), "text": "not a number"}  # noqa: E731
    options = {"epochs": 6, "schedule": schedule, "validate": validate, "progress": False}
    return training.fit(model, batches, loss, optimizer, **options, **keep)


def whole():
    model = build()
    return model, fit(model)


def test_the_first_losses_and_entries_are_those_of_the_training():
    model, history = whole()
    found = probes.replay(build, fit, probes.Replay(epochs=2))
    assert [entry["loss"] for entry in found.entries] == history["loss"][:2]
    assert [entry["norm"] for entry in found.entries] == history["norm"][:2]
    assert sum(found.losses[:5]) / 5 == history["loss"][0] and len(found.losses) == 10
    assert found.weights == probes.checksum(build()) != probes.checksum(model)
    assert len(probes.replay(build, fit, probes.Replay(steps=7)).losses) == 7


def test_the_validation_is_that_of_the_final_weights():
    model, history = whole()
    found = probes.replay(build, fit, probes.Replay(validate=True), model.state_dict())
    assert found.validation == {"norm": history["norm"][-1]} and found.losses == []


def test_later_moments_have_the_learning_rate_of_their_time():
    """Weights of the end, the schedule of the middle: the second loss follows from one step with that rate."""
    model, history = whole()
    probe = probes.take(build, fit, model.state_dict(), history)
    assert {*probe["later"]} == {"1", "3", "4", "5"} and len(probe["losses"]) == 20
    again = build()
    again.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(0)
    rate = 0.1 * 0.1 ** (15 // 3)  # 15 steps have been made before epoch 3
    losses = []
    for _ in range(2):
        x = torch.randn(4, 2, generator=generator)
        again.zero_grad()
        loss = (again(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter in again.parameters():
                parameter -= rate * parameter.grad
    assert probe["later"]["3"] == pytest.approx(losses, rel=1e-5)


def test_a_probe_leaves_no_trace(capsys, stores):
    model, history = whole()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    probes.take(build, fit, model.state_dict(), history)
    assert torch.equal(torch.get_rng_state(), before) and not probes.active()
    assert capsys.readouterr().out == "" and not list(stores.rglob("*.*"))
    assert probes.checksum(model) == probes.checksum(whole()[0])


def test_an_error_inside_ends_the_probe():
    def broken(model, **keep):
        raise KeyError("data")

    with pytest.raises(KeyError):
        probes.replay(build, broken, probes.Replay(steps=1))
    assert not probes.active()


def test_two_equal_trainings_have_equal_probes_and_others_do_not():
    model, history = whole()
    first, second = (probes.take(build, fit, model.state_dict(), history) for _ in range(2))
    assert first == second and probes.first_difference(first, second) == ""
    changed = probes.take(lambda: torch.nn.Linear(2, 1), fit, model.state_dict(), history)
    assert probes.first_difference(changed, first) == "the initial weights"


def gan():
    torch.manual_seed(0)
    return GAN(Generator(4, 2), Discriminator(2, batch_norm=False), 0.9)


def fit_both(model, **keep):
    optimizers = [torch.optim.Adam(part.parameters(), 1e-3) for part in (model.discriminator, model.generator)]

    def batches(generator):
        for _ in range(2):
            yield torch.rand(4, 3, 64, 64, generator=generator)

    validate = lambda model: {"pale": model.generator(torch.zeros(1, 4, 1, 1)).mean().item()}  # noqa: E731
    return fit_gan(model, batches, *optimizers, epochs=3, validate=validate, anneal=True, progress=False, **keep)


def test_adversarial_training_has_probes_too():
    model = gan()
    history = fit_both(model)
    probe = probes.take(gan, fit_both, model.state_dict(), history)
    mean = sum(loss for loss, _ in probe["losses"][:2]) / 2
    assert math.isclose(mean, history["discriminator_loss"][0], rel_tol=1e-6)
    assert probe["validation"] == {"pale": history["pale"][-1]}
    later = probe["later"]
    assert {*later} == {"1", "2"} and all(len(pair) == 2 for steps in later.values() for pair in steps)


@pytest.mark.parametrize(
    ("new", "old", "found"),
    [
        ({"a": 1.0}, {"a": 1.0}, ""),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.5]}, "x a 2: 2.5 → 2"),
        ({"a": 1}, {"b": 1}, "x: other entries, a, b"),
        ([1, 2], [1], "x: 1 → 2 numbers"),
        ({"a": "text"}, {"a": "text"}, ""),
        ({"a": "text"}, {"a": "other"}, "x a: other → text"),
        (math.nan, math.nan, ""),
        ({"t": 1.0, "a": 1}, {"t": 2.0, "a": 1}, ""),
        ({"a": 1, "t": 3.0}, {"a": 1}, ""),
    ],
)
def test_the_first_difference_is_named(new, old, found):
    assert probes.unequal(new, old, 0.0, "x", skipped=["t"]) == found


def test_tolerance_is_relative():
    assert probes.unequal(1.00001, 1.0, 1e-4, "x") == "" and probes.unequal(1.001, 1.0, 1e-4, "x")
    assert probes.unequal(0.0, 1e-9, 1e-4, "x"), "nothing is near zero but zero"
    assert probes.unequal(0.041, 0.042, 1e-4, "x") == "", "rounded, one unit of the last digit"
    assert probes.unequal(0.041, 0.042, 0.0, "x") and probes.unequal(0.041, 0.043, 1e-4, "x")
    assert probes.unequal(0.4, 0.5, 1e-4, "x"), "a share of few, not a rounded number"
