"""Conv1d against torch's, and what each convolutional network can and cannot see."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F

from lib.models import TCN, CausalTCN, Conv1d, PooledTCN


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize(("C", "O"), [(1, 1), (4, 2)])
@pytest.mark.parametrize(("T", "K", "S", "D"), [(1, 1, 1, 1), (3, 3, 3, 1), (10, 3, 3, 1), (11, 4, 2, 1), (9, 2, 1, 3)])
def test_conv1d_equals_torch(B, C, O, T, K, S, D):
    layer = Conv1d(C, O, kernel_size=K, stride=S, dilation=D).double()
    x = torch.randn(B, C, T, dtype=torch.float64, requires_grad=True)
    weight = layer.linear.weight.detach().view(O, C, K).requires_grad_()
    bias = layer.linear.bias.detach().requires_grad_()
    ours, theirs = layer(x), F.conv1d(x, weight, bias, stride=S, dilation=D)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)
    left = torch.autograd.grad(ours.square().sum(), [x, layer.linear.weight, layer.linear.bias])
    right = torch.autograd.grad(theirs.square().sum(), [x, weight, bias])
    for name, a, b in zip(["x", "weight", "bias"], left, right, strict=True):
        torch.testing.assert_close(a, b.view_as(a), rtol=1e-10, atol=1e-13, msg=f"the gradient of {name} differs")


def test_conv1d_has_no_loop():
    source = inspect.getsource(Conv1d.forward).split('"""')[-1]
    assert "for " not in source and "while " not in source


@pytest.mark.parametrize("T", [1, 2, 3, 4, 9, 10, 27, 28, 30, 81, 100])
def test_tcn_has_as_many_layers_as_the_length_needs(T):
    model = TCN(5, 14, 3, T)
    layers = max(1, math.ceil(math.log(T, 3) - 1e-9))
    assert len(model.layers) == layers, f"length {T} needs {layers} layers that divide it by 3"
    assert model(torch.randn(2, T, 5)).shape == (2, 3)


def test_tcn_sees_every_position():
    model = TCN(5, 14, 3, 30)
    x = torch.randn(8, 30, 5, requires_grad=True)
    seen = torch.autograd.grad(model(x).sum(), x)[0].abs().sum((0, 2)) > 0
    assert seen.all(), f"positions {torch.nonzero(~seen).flatten().tolist()} have no influence"


def test_pooled_tcn_ignores_the_position():
    model = PooledTCN(5, 8, 3, num_layers=2).eval()
    tokens = torch.zeros(30, dtype=torch.long)
    outputs = []
    for position in range(5, 25):
        moved = tokens.clone()
        moved[position] = 2
        outputs.append(model(F.one_hot(moved, 5).float()[None]))
    spread = (torch.cat(outputs) - outputs[0]).abs().max()
    assert spread < 1e-6, f"moving a token changed the output by {spread:.1e}: no position may be special"


@pytest.mark.parametrize(("kernel_size", "num_layers"), [(2, 0), (2, 1), (2, 4), (3, 1), (3, 3)])
def test_causal_tcn_receptive_field_is_exact(kernel_size, num_layers):
    torch.manual_seed(0)
    model = CausalTCN(5, 16, 3, num_layers, kernel_size=kernel_size).double()
    R = model.receptive_field
    assert kernel_size**num_layers == R
    T = R + 5
    x = torch.randn(4, T, 5, dtype=torch.float64)
    for lag, inside in ((0, True), (R - 1, True), (R, False), (R + 4, False)):
        changed = x.clone()
        changed[:, T - 1 - lag] += 10
        same = torch.equal(model(changed), model(x))
        matters = "must matter" if inside else "must not matter"
        assert same != inside, f"the field is {R} steps: the input {lag} steps back {matters}"


def test_causal_tcn_takes_any_length():
    model = CausalTCN(5, 8, 3, num_layers=4, kernel_size=2)
    assert all(model(torch.randn(2, T, 5)).shape == (2, 3) for T in (1, 3, 16, 200))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="spans 3"):
        Conv1d(4, 2)(torch.zeros(1, 4, 2))
    with pytest.raises(ValueError, match="built for 4"):
        Conv1d(4, 2)(torch.zeros(1, 9, 4))
    with pytest.raises(ValueError, match="larger sequence_length"):
        TCN(5, 14, 3, 27)(torch.zeros(1, 28, 5))
    with pytest.raises(ValueError, match="at least 1"):
        TCN(5, 14, 3, 0)
    for model in (TCN(5, 14, 3, 27), PooledTCN(5, 8, 3), CausalTCN(5, 8, 3, 2)):
        with pytest.raises(ValueError, match="three axes"):
            model(torch.zeros(27, 5))
        with pytest.raises(ValueError, match="built for 5"):
            model(torch.zeros(1, 5, 27))
