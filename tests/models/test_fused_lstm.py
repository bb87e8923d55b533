"""The LSTM with a backward pass written by hand, against the one that autograd derives, torch's, and differences."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lib.models import FusedLSTM, VanillaLSTM
from lib.models.fused_lstm import LastState

SIZES = [(1, 1, 1, 1, 2), (3, 1, 10, 8, 10), (1, 7, 4, 5, 3), (5, 20, 1, 6, 10), (4, 19, 10, 16, 10)]  # B, T, I, H, C


def pair(I, H, C, dtype=torch.float64):
    """A readable and a fused LSTM with the same weights, none of them zero."""
    torch.manual_seed(0)
    readable, fused = VanillaLSTM(I, H, C).to(dtype), FusedLSTM(I, H, C).to(dtype)
    with torch.no_grad():
        for name, parameter in readable.named_parameters():
            if name.startswith("b_"):
                parameter.normal_()
    fused.load_state_dict(readable.state_dict())
    return readable, fused


def outcome(model, x, y):
    """The logits, and the gradients of x and of all parameters by name."""
    x = x.clone().requires_grad_()
    logits = model(x)
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(cross_entropy(logits, y), [x, *parameters])
    return {"logits": logits} | dict(zip(["x", *names], gradients, strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("sizes", SIZES)
def test_equals_the_readable_form(sizes, dtype, tolerance):
    B, T, I, H, C = sizes
    models = pair(I, H, C, dtype)
    x, y = torch.randn(B, T, I, dtype=dtype), torch.randint(C, (B,))
    readable, fused = (outcome(model, x, y) for model in models)
    assert readable.keys() == fused.keys()
    for name in readable:
        assert fused[name].dtype == dtype and fused[name].shape == readable[name].shape
        torch.testing.assert_close(
            fused[name], readable[name], rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("sizes", SIZES)
def test_equals_torch(sizes):
    B, T, I, H, C = sizes
    _, fused = pair(I, H, C)
    theirs = nn.LSTM(I, H, batch_first=True).double()
    ours = {part: [fused.get_parameter(part.format(gate)) for gate in "ifgo"] for part in ("W_{}x", "W_{}h", "b_{}")}
    with torch.no_grad():
        for parameter, part in zip([theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0], ours, strict=True):
            parameter.copy_(torch.cat(ours[part]))
        theirs.bias_hh_l0.zero_()
    x, y = torch.randn(B, T, I, dtype=torch.float64, requires_grad=True), torch.randint(C, (B,))
    logits = theirs(x)[0][:, -1] @ fused.W_ph.t() + fused.b_p
    torch.testing.assert_close(fused(x), logits, rtol=1e-12, atol=1e-12)
    variables = [x, theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0]
    right = torch.autograd.grad(cross_entropy(logits, y), variables)
    loss = cross_entropy(fused(x), y)
    left = [torch.autograd.grad(loss, x, retain_graph=True)[0]]
    left += [torch.cat(torch.autograd.grad(loss, part, retain_graph=True)) for part in ours.values()]
    for name, a, b in zip(["x", *ours], left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, msg=f"the gradient of {name} differs")


def test_gradients_agree_with_finite_differences():
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    W = torch.randn(4 * 5, 3 + 1 + 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LastState.apply, (x, W))


@pytest.mark.parametrize("wanted", ["x", "W", "both"])
def test_only_what_asks_for_a_gradient_gets_one(wanted):
    x, W = torch.randn(2, 4, 3, dtype=torch.float64), torch.randn(20, 9, dtype=torch.float64)
    full = torch.autograd.grad(LastState.apply(x.requires_grad_(), W.requires_grad_()).square().sum(), [x, W])
    x = x.detach().requires_grad_(wanted != "W")
    W = W.detach().requires_grad_(wanted != "x")
    h = LastState.apply(x, W)
    computed = h.grad_fn.apply(2 * h.detach())  # what backward itself returns, before autograd drops anything
    for value, asked, expected in zip(computed, (x.requires_grad, W.requires_grad), full, strict=True):
        assert (value is not None) == asked
        if asked:
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def test_frozen_weights_stay_without_gradient():
    _, fused = pair(3, 5, 2)
    fused.W_gh.requires_grad_(False)
    fused(torch.randn(2, 4, 3, dtype=torch.float64)).sum().backward()
    assert fused.W_gh.grad is None and all(p.grad is not None for name, p in fused.named_parameters() if name != "W_gh")
    with torch.no_grad():
        assert not fused(torch.randn(2, 4, 3, dtype=torch.float64)).requires_grad


def test_the_graph_can_be_used_twice_and_the_input_stays():
    _, fused = pair(3, 5, 2)
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    loss = fused(x).square().sum()
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second) and torch.equal(x, before)


def test_a_second_derivative_is_refused():
    _, fused = pair(3, 5, 2)
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(fused(x).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_weights_fit_both_ways_and_start_alike():
    torch.manual_seed(3)
    readable = VanillaLSTM(3, 5, 2, forget_bias=2.0)
    torch.manual_seed(3)
    fused = FusedLSTM(3, 5, 2, forget_bias=2.0)
    for (name, ours), (other, theirs) in zip(fused.named_parameters(), readable.named_parameters(), strict=True):
        assert name == other and torch.equal(ours, theirs), "one seed gives both the same initial weights"
    readable.load_state_dict(FusedLSTM(3, 5, 2).state_dict())
    fused.load_state_dict(readable.state_dict())
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(fused(x), readable(x))


def test_states_are_those_of_the_readable_form():
    readable, fused = pair(3, 5, 2)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    logits, (h, c) = fused(x, return_states=True)
    expected, states = readable(x, return_states=True)
    assert torch.equal(logits, expected)
    assert all(torch.equal(a, b) for a, b in zip(h + c, states[0] + states[1], strict=True))
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(logits.sum(), h))
    torch.testing.assert_close(fused(x), logits, rtol=1e-12, atol=1e-12)


def test_extreme_inputs_stay_finite():
    _, fused = pair(3, 5, 2, torch.float32)
    x = torch.tensor([1e4, -1e4, 0.0]).expand(2, 6, 3).clone().requires_grad_()
    logits = fused(x)
    assert logits.isfinite().all() and torch.autograd.grad(logits.sum(), x)[0].isfinite().all()


def test_bad_input_is_named():
    model = FusedLSTM(10, 8, 5)
    with pytest.raises(ValueError, match="three axes"):
        model(torch.zeros(7, 10))
    with pytest.raises(ValueError, match="built for 10"):
        model(torch.zeros(2, 10, 7))
    with pytest.raises(ValueError, match="no time steps"):
        model(torch.zeros(2, 0, 10))
    with pytest.raises(TypeError, match="floating point"):
        model(torch.zeros(2, 7, 10, dtype=torch.long))
    with pytest.raises(ValueError, match="hidden_size"):
        FusedLSTM(10, 0, 5)
