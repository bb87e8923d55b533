"""Adversarial training: losses, penalties, augmentation, one step of each network, and a loop that resumes exactly."""

import copy
import math

import pytest
import torch
from torch import nn

from lib import training
from lib.models.gan import GAN, Discriminator, Generator, sample
from lib.storage import tensors
from lib.training import states
from lib.training.adversarial import (
    LOSSES,
    augment,
    discriminator_loss,
    fit_gan,
    generator_loss,
    gradient_penalty,
    update_discriminator,
    update_generator,
)

POLICIES = ("colour", "translation", "cutout")
ALL = ",".join(POLICIES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(batch_norm=False, spectral_norm=False, seed=0):
    torch.manual_seed(seed)
    gan = GAN(Generator(8, 4, 3, 16), Discriminator(4, 3, 16, spectral_norm, batch_norm), decay=0.9)
    optimizers = [torch.optim.Adam(n.parameters(), 1e-3, (0.5, 0.99)) for n in (gan.discriminator, gan.generator)]
    return gan, *optimizers


def pictures(num=8):
    return torch.rand(num, 3, 16, 16, generator=seeded(1)) * 2 - 1


def weights(module):
    return copy.deepcopy(dict(module.named_parameters()))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- losses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 5])
def test_losses_are_those_of_the_papers(B):
    r, g = torch.randn(2, B, dtype=torch.float64, generator=seeded())
    log = nn.functional.logsigmoid
    ones, zeros = torch.ones_like(r), torch.zeros_like(r)
    entropy = nn.functional.binary_cross_entropy_with_logits
    torch.testing.assert_close(discriminator_loss(r, g), entropy(r, ones) + entropy(g, zeros))
    torch.testing.assert_close(generator_loss(r, g), entropy(g, ones), msg="the generator's labels are all 1")
    by_hand = sum(max(0, 1 - a) for a in r.tolist()) / B + sum(max(0, 1 + a) for a in g.tolist()) / B
    assert discriminator_loss(r, g, "hinge").item() == pytest.approx(by_hand)
    assert generator_loss(r, g, "hinge").item() == pytest.approx(-g.mean().item())
    torch.testing.assert_close(discriminator_loss(r, g, "relativistic"), -log(r - g).mean())
    torch.testing.assert_close(generator_loss(r, g, "relativistic"), -log(g - r).mean())


def test_a_discriminator_that_knows_nothing_has_the_documented_losses():
    zero = torch.zeros(3)
    for loss, expected in (("non-saturating", 2 * math.log(2)), ("hinge", 2), ("relativistic", math.log(2))):
        assert discriminator_loss(zero, zero, loss).item() == pytest.approx(expected), loss


@pytest.mark.parametrize("loss", LOSSES)
def test_both_networks_pull_the_logit_of_a_generated_picture_in_opposite_directions(loss):
    r, g = torch.zeros(4), torch.zeros(4, requires_grad=True)
    (down,), (up,) = (torch.autograd.grad(f(r, g, loss), g) for f in (discriminator_loss, generator_loss))
    assert (down > 0).all() and (up < 0).all()


def test_the_non_saturating_loss_still_has_a_gradient_where_the_discriminator_is_sure():
    g = torch.full((1,), -20.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(g, g), g)
    assert gradient.item() == pytest.approx(-1), "log(1 - sigmoid(g)) would give -2e-9"


# --- penalties ------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    def __init__(self, size=48):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, generator=seeded()))

    def forward(self, x):
        return x.flatten(1) @ self.weight


@pytest.mark.parametrize("B", [1, 4])
def test_the_penalty_of_a_linear_discriminator_is_half_its_squared_weights(B):
    model = Linear()
    penalty = gradient_penalty(model, torch.randn(B, 3, 4, 4))
    torch.testing.assert_close(penalty, 0.5 * model.weight.square().sum(), msg="½ |w|², whatever the batch size")
    penalty.backward()
    torch.testing.assert_close(model.weight.grad, model.weight.detach(), msg="d(½ |w|²)/dw = w: it must be trainable")


def test_the_penalty_is_the_mean_over_pictures_taken_one_by_one():
    network, x = Discriminator(4, 3, 16, batch_norm=False), pictures(4)
    alone = torch.stack([gradient_penalty(network, x[i : i + 1]) for i in range(4)]).mean()
    torch.testing.assert_close(gradient_penalty(network, x), alone)
    with pytest.raises(ValueError, match="batch_norm=False"):
        gradient_penalty(Discriminator(4, 3, 16), x)


# --- augmentation ---------------------------------------------------------------------------------------------------


def test_an_empty_policy_changes_nothing():
    x = pictures()
    assert augment(x) is x


def test_only_some_pictures_are_changed():
    images = torch.randn(400, 3, 8, 8)
    changed = augment(images, "colour", seeded(), probability=0.3) != images
    share = changed.flatten(1).any(1).float().mean().item()
    assert abs(share - 0.3) < 3 * (0.3 * 0.7 / 400) ** 0.5, f"{share:.2f} of the pictures were changed, not 0.3"
    assert torch.equal(augment(images, "colour", seeded(), probability=0.0), images)
    assert torch.equal(augment(images, "colour", seeded(), 1.0), augment(images, "colour", seeded()))
    with pytest.raises(ValueError, match="between 0 and 1, got 1.5"):
        augment(images, "colour", probability=1.5)


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
@pytest.mark.parametrize("shape", [(5, 3, 16, 16), (2, 1, 8, 24)])
def test_changes_keep_the_shape_are_reproducible_and_let_gradients_through(policy, shape):
    x = torch.randn(shape, generator=seeded()).requires_grad_()
    changed = augment(x, policy, seeded(3))
    assert changed.shape == x.shape and torch.equal(changed, augment(x, policy, seeded(3)))
    assert not torch.equal(changed, augment(x, policy, seeded(4)))
    changed.square().sum().backward()
    per_picture = x.grad.flatten(1).abs().sum(1)
    assert (per_picture > 0).all(), "the generator would learn nothing from these pictures"
    torch.autograd.gradcheck(
        lambda x: augment(x, policy, seeded(3)), x.detach().double()[:1, :, :8, :8].requires_grad_()
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_every_picture_is_changed_differently(policy):
    x = pictures(1).expand(6, -1, -1, -1)
    changed = augment(x, policy, seeded())
    assert len({tuple(picture.flatten().tolist()) for picture in changed}) > 3


def test_colour_has_the_documented_ranges():
    x = pictures(1).expand(4000, -1, -1, -1)
    changed = augment(x, "colour", seeded())
    shift = changed.mean((1, 2, 3)) - x.mean((1, 2, 3))
    assert shift.abs().max() <= 0.5 + 1e-5 and shift.mean().abs() < 4 * (1 / 12 / 4000) ** 0.5, "brightness: U(-½, ½)"
    grey, before = changed.mean(1), x.mean(1)
    contrast = grey.flatten(1).std(1) / before.flatten(1).std(1)
    assert 0.5 <= contrast.min() < 0.51 and 1.49 < contrast.max() <= 1.5 + 1e-4
    colour = (changed - grey[:, None]).flatten(1).std(1) / (x - before[:, None]).flatten(1).std(1) / contrast
    assert colour.min() < 0.01 and 1.99 < colour.max() <= 2 + 1e-4, "saturation: U(0, 2)"
    assert colour.mean().item() == pytest.approx(1, abs=0.04)


def test_translation_moves_by_whole_pixels_up_to_an_eighth():
    x = torch.zeros(3000, 1, 16, 16)
    x[:, :, 8, 5] = 1
    changed = augment(x, "translation", seeded())
    assert (changed.flatten(1).sum(1) == 1).all()
    moves = changed[:, 0].nonzero()[:, 1:] - torch.tensor([8, 5])
    values, counts = moves.unique(dim=0, return_counts=True)
    assert len(values) == 25 and values.abs().max() == 2, "-2 … 2 in both directions, all combinations"
    assert (counts / 3000 - 1 / 25).abs().max() < 0.015, "all equally likely"
    full = augment(torch.ones(500, 1, 16, 16), "translation", seeded())
    assert full.min() == 0, "0 moves in at the edges, not the other side of the picture"


def test_cutout_removes_a_square_of_half_the_side():
    changed = augment(torch.ones(3000, 2, 16, 16), "cutout", seeded())
    holes = (changed == 0).flatten(2).sum(2)
    assert torch.equal(holes[:, 0], holes[:, 1]), "all channels at the same place"
    assert holes.max() == 64 and holes.min() >= 16, "8 × 8 where nothing falls outside, a quarter of it in a corner"
    share = (changed[:, 0] == 0).float().mean(0)
    torch.testing.assert_close(share, share.flip(0).T.flip(0).T, atol=0.05, rtol=0, msg="no side is preferred")


# --- one step -------------------------------------------------------------------------------------------------------

STEPS = [{"loss": loss} for loss in LOSSES] + [{"loss": "relativistic", "r1": 0.5, "r2": 0.5, "policy": ALL}]


@pytest.mark.parametrize("options", STEPS)
def test_each_step_changes_its_own_network_only(options):
    gan, by_discriminator, by_generator = problem()
    before = weights(gan.generator), weights(gan.discriminator)
    told = update_discriminator(gan.generator, gan.discriminator, by_discriminator, pictures(), **options)
    assert set(told) == {"loss", "real", "generated", "penalty"} and all(
        v.shape == () and not v.requires_grad for v in told.values()
    )
    assert (told["penalty"] > 0) == ("r1" in options)
    after = weights(gan.discriminator)
    assert same(before[0], weights(gan.generator)), "the discriminator's step must not move the generator"
    *names, last = after  # a bias added to all logits cancels out in "relativistic", and here at first in "hinge"
    assert not any(torch.equal(before[1][name], after[name]) for name in names) and last.endswith("bias")
    options = {name: value for name, value in options.items() if name not in ("r1", "r2")}
    told = update_generator(gan.generator, gan.discriminator, by_generator, pictures(), **options)
    assert set(told) == {"loss", "generated"}
    assert same(after, weights(gan.discriminator)), "the generator's step must not move the discriminator"
    assert not any(torch.equal(before[0][name], p) for name, p in gan.generator.named_parameters())


def test_the_generators_step_leaves_no_gradients_on_the_discriminator():
    gan, _, by_generator = problem()
    update_generator(gan.generator, gan.discriminator, by_generator, pictures())
    assert all(p.grad is None for p in gan.discriminator.parameters())


def test_a_step_is_the_gradient_of_the_loss_written_out():
    gan, _, _ = problem()
    discriminator, x = gan.discriminator, pictures()
    torch.manual_seed(4)
    with torch.no_grad():
        generated = copy.deepcopy(gan.generator)(torch.randn(8, 8, 1, 1))
    value = discriminator_loss(discriminator(x), discriminator(generated))
    value = value + 0.3 * gradient_penalty(discriminator, x) + 0.2 * gradient_penalty(discriminator, generated)
    expected = torch.autograd.grad(value, list(discriminator.parameters()))
    before = weights(discriminator)
    torch.manual_seed(4)
    update_discriminator(
        gan.generator, discriminator, torch.optim.SGD(discriminator.parameters(), 1.0), x, r1=0.3, r2=0.2
    )
    for (name, p), gradient in zip(discriminator.named_parameters(), expected, strict=True):
        torch.testing.assert_close(before[name] - p, gradient, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_step_improves_what_it_is_for(loss):
    gan, by_discriminator, by_generator = problem()
    x = pictures(16)
    for _ in range(25):
        told = update_discriminator(gan.generator, gan.discriminator, by_discriminator, x, loss=loss)
    assert told["real"] > told["generated"], "25 steps suffice to tell noise from constant grey"
    first = update_generator(gan.generator, gan.discriminator, by_generator, x, loss=loss)
    for _ in range(10):
        last = update_generator(gan.generator, gan.discriminator, by_generator, x, loss=loss)
    assert last["loss"] < first["loss"] and last["generated"] > first["generated"]


def test_a_loss_that_is_not_finite_stops_the_training_before_the_weights_are_lost():
    gan, by_discriminator, by_generator = problem()
    x = pictures()
    x[0] = float("nan")
    before = weights(gan.discriminator)
    with pytest.raises(training.TrainingError, match="discriminator is nan: lower the learning rates"):
        update_discriminator(gan.generator, gan.discriminator, by_discriminator, x)
    assert same(before, weights(gan.discriminator))
    with torch.no_grad():
        gan.discriminator.layers[0].bias.fill_(float("inf"))
    with pytest.raises(training.TrainingError, match="generator"):
        update_generator(gan.generator, gan.discriminator, by_generator, x)


def test_wrong_names_are_named():
    gan, by_discriminator, by_generator = problem()
    for step, optimizer in ((update_discriminator, by_discriminator), (update_generator, by_generator)):
        with pytest.raises(ValueError, match="non-saturating, hinge, relativistic; got 'wgan'"):
            step(gan.generator, gan.discriminator, optimizer, pictures(), loss="wgan")
        with pytest.raises(ValueError, match="colour, translation, cutout.*got 'color'"):
            step(gan.generator, gan.discriminator, optimizer, pictures(), policy="translation,color")


# --- the loop -------------------------------------------------------------------------------------------------------

BATCHES = training.shuffled(pictures(20), batch_size=8)
RECIPES = [
    {"batch_norm": True},
    {"spectral_norm": True, "loss": "hinge", "policy": ALL},
    {"loss": "relativistic", "r1": 0.5, "r2": 0.5, "penalty_every": 2},
    {"policy": "colour", "probability": (0.0, 0.5), "anneal": True},
]


def fit(recipe, epochs=4, **options):
    recipe = dict(recipe)
    gan, *optimizers = problem(recipe.pop("batch_norm", False), recipe.pop("spectral_norm", False))
    history = fit_gan(gan, BATCHES, *optimizers, epochs=epochs, progress=False, **recipe, **options)
    return gan, history


def test_losses_that_are_read_together_are_those_that_are_read_one_by_one(monkeypatch):
    """As on an accelerator, where reading waits; the last steps of an epoch are fewer than are read at once."""
    _, one_by_one = fit(RECIPES[2])
    monkeypatch.setattr("lib.training.adversarial.read_after", lambda device: 2)
    _, together = fit(RECIPES[2])
    for history in (one_by_one, together):
        history.pop("seconds")
    assert one_by_one == together


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_that_was_killed_ends_bit_for_bit_like_one_that_was_not(recipe, tmp_path):
    whole, expected = fit(recipe)
    file = tmp_path / "state.safetensors"

    def killed(gan):
        if file.exists() and tensors.load(file)["history"]["step"][-1] >= 6:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, validate=killed, resume=file)
    torch.manual_seed(99)  # another process
    resumed, history = fit(recipe, resume=file)
    assert same(whole.state_dict(), resumed.state_dict()), "both networks and the average"
    assert expected.pop("seconds") and len(history.pop("seconds")) == 4 and history == expected
    again, _ = fit(recipe, resume=file)
    assert same(whole.state_dict(), again.state_dict()), "a finished training is left alone"


def test_the_history_has_one_entry_per_epoch():
    seen = []
    gan, history = fit(RECIPES[0], validate=lambda gan: seen.append(gan.training) or {"score": 1.5})
    names = {"step", "discriminator_loss", "generator_loss", "real", "generated", "penalty", "rate", "score", "seconds"}
    assert set(history) == names and all(len(values) == 4 for values in history.values())
    assert history["step"] == [3, 6, 9, 12] and history["rate"] == [1e-3] * 4 and seen == [False] * 4
    assert gan.average.n_averaged == 12 and not gan.training
    assert history["penalty"] == [0] * 4 and fit(RECIPES[2], epochs=1)[1]["penalty"][0] > 0


def test_rates_may_fall_along_a_cosine():
    assert fit({"anneal": True})[1]["rate"] == pytest.approx([1e-3, 0.853553e-3, 0.5e-3, 0.146447e-3], rel=1e-5)


def test_changes_may_become_more_frequent(monkeypatch):
    seen = []

    def augment(images, policy, generator, probability):
        seen.append(probability)
        return images

    monkeypatch.setattr("lib.training.adversarial.augment", augment)
    fit({"policy": "colour", "probability": (0.1, 0.7)})
    assert sorted(set(seen)) == pytest.approx([0.1, 0.3, 0.5, 0.7]) and seen == sorted(seen)


def test_lazy_penalties_are_computed_less_often_with_more_weight():
    recipe = {"loss": "relativistic", "r1": 0.5}
    _, always = fit(recipe, epochs=1)
    _, lazy = fit(recipe | {"penalty_every": 3}, epochs=1)  # three steps: only the first one
    assert lazy["penalty"][0] == pytest.approx(always["penalty"][0], rel=0.5)


def test_the_generator_learns_the_colour_of_its_pictures():
    torch.manual_seed(0)
    gan, *optimizers = problem()
    real = torch.tensor([0.6, -0.4, 0.1]).view(3, 1, 1).expand(64, 3, 16, 16) + 0.05 * torch.randn(64, 3, 16, 16)
    batches = training.shuffled(real, batch_size=16)
    fit_gan(gan, batches, *optimizers, epochs=20, loss="relativistic", r1=0.1, r2=0.1, progress=False)
    mean = sample(gan, 32, 1.0, seeded()).mean((0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor([0.6, -0.4, 0.1]), atol=0.2, rtol=0)


def test_a_loop_without_sense_is_refused():
    gan, *optimizers = problem()
    for options in ({"epochs": 0}, {"epochs": 2.5}, {"epochs": 1, "penalty_every": 0}, {"epochs": "9"}):
        with pytest.raises(ValueError, match="epochs and penalty_every must be whole numbers from 1"):
            fit_gan(gan, BATCHES, *optimizers, progress=False, **options)
    with pytest.raises(ValueError, match="loss must be one of"):
        fit_gan(gan, BATCHES, *optimizers, epochs=1, loss="mse", progress=False)
    with pytest.raises(training.TrainingError, match="no batch"):
        fit_gan(gan, lambda generator: iter(()), *optimizers, epochs=1, progress=False)
    other, *_ = problem()
    with pytest.raises(ValueError, match="the optimiser holds no parameter of this model"):
        fit_gan(other, BATCHES, *optimizers, epochs=1, progress=False)
    with pytest.raises(ValueError, match="the optimiser holds no parameter of this model"):
        fit_gan(gan, BATCHES, *reversed(optimizers), epochs=1, progress=False)


def test_weights_that_are_not_finite_are_not_stored(tmp_path):
    gan, discriminator_optimizer, generator_optimizer = problem()
    generator_optimizer.register_step_post_hook(
        lambda *_: torch.nn.init.constant_(next(gan.generator.parameters()), math.nan)
    )
    batches = training.shuffled(torch.zeros(8, 3, 16, 16), batch_size=8)  # one step
    with pytest.raises(training.TrainingError, match="step 1: generator.layers.0.weight is no longer finite"):
        fit_gan(
            gan, batches, discriminator_optimizer, generator_optimizer, epochs=1, resume=tmp_path / "a", progress=False
        )
    assert not (tmp_path / "a").exists()


def test_an_interrupted_training_says_where_it_goes_on(tmp_path):
    calls = []

    def validate(gan):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(states.Stopped, match="Stopped at step 6, the last one that is stored; run the cell again"):
        fit(RECIPES[0], validate=validate, resume=tmp_path / "state")
