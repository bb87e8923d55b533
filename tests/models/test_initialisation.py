"""Every way to start the vanilla networks does what its name says, and the same for the same seed."""

import math

import pytest
import torch
from torch import nn

from lib.models import VanillaLSTM, VanillaRNN, chrono_bias, initialise

H = 64
RECURRENT = {VanillaRNN: ["W_hh"], VanillaLSTM: ["W_gh", "W_ih", "W_fh", "W_oh"]}
kinds = pytest.mark.parametrize("kind", [VanillaRNN, VanillaLSTM])


def weights_of(model):
    return {name: p.detach() for name, p in model.named_parameters() if name.startswith("W")}


@kinds
def test_default(kind):
    model = initialise(kind(10, H, 10), "default")
    for name, weight in weights_of(model).items():
        bound = H**-0.5
        assert weight.abs().max() <= bound, f"{name} leaves ±1/sqrt(H)"
        assert abs(weight.std() - bound / math.sqrt(3)) < 0.1 * bound, f"{name} is not uniform"
    assert all((p == 0).all() for name, p in model.named_parameters() if name.startswith("b"))


@kinds
def test_small(kind):
    for name, weight in weights_of(initialise(kind(10, H, 10), "small")).items():
        assert 0.8e-4 < weight.std() < 1.2e-4, f"{name} must have standard deviation 1e-4"


@kinds
def test_orthogonal(kind):
    weights = weights_of(initialise(kind(10, H, 10), "orthogonal"))
    for name in RECURRENT[kind]:
        error = (weights[name] @ weights[name].T - torch.eye(H)).abs().max()
        assert error < 1e-5, f"{name} {name}^T must be the identity, but is off by {error:.1e}"
    assert weights["W_ph"].abs().max() <= H**-0.5, "the output matrix stays as in the default"


def test_forget_bias_number():
    model = initialise(VanillaLSTM(10, H, 10), forget_bias=2.0)
    assert (model.b_f == 2).all() and (model.b_i == 0).all()


def test_chrono():
    model = initialise(VanillaLSTM(10, 5000, 10), "small", forget_bias="chrono", max_length=50)
    lengths = model.b_f.detach().exp()
    assert lengths.min() >= 1 - 1e-4 and lengths.max() <= 49 + 1e-3, "exp(b_f) must lie between 1 and max_length - 1"
    assert abs(lengths.mean() - 25) < 1, "exp(b_f) must be uniform"
    assert torch.equal(model.b_i, -model.b_f)


@kinds
@pytest.mark.parametrize("weights", ["default", "small", "orthogonal"])
def test_one_seed_one_model(kind, weights):
    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        state = torch.get_rng_state()
        model = kind(10, 8, 10)
        torch.set_rng_state(state)
        initialise(model, weights, "chrono", max_length=20, generator=generator)
        assert torch.equal(torch.get_rng_state(), state), "with a generator the global random state must stay untouched"
        return model.state_dict()

    first, again, other = make(1), make(1), make(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["W_ph"], other["W_ph"])


@kinds
def test_returns_the_model_ready_to_train(kind):
    model = kind(10, 8, 10)
    assert initialise(model, "orthogonal", forget_bias=None) is model
    assert all(p.requires_grad for p in model.parameters())


def test_bad_choices_are_named():
    lstm = VanillaLSTM(10, 8, 10)
    with pytest.raises(ValueError, match="default, small, orthogonal"):
        initialise(lstm, "large")
    with pytest.raises(ValueError, match="number or 'chrono'"):
        initialise(lstm, forget_bias="long")
    with pytest.raises(ValueError, match="max_length >= 3"):
        initialise(lstm, forget_bias="chrono")
    with pytest.raises(ValueError, match="max_length >= 3"):
        chrono_bias(8, 2)
    with pytest.raises(TypeError, match="Linear"):
        initialise(nn.Linear(3, 3))
