"""Our cells against torch's, outputs and gradients, and the networks around them."""

import pytest
import torch
from torch import nn

from lib.models import LSTM, RNN, LSTMCell, RNNCell

SIZES = [(1, 1, 1, 1), (3, 1, 5, 8), (1, 9, 4, 5), (4, 30, 5, 16)]  # B, T, I, H
MODELS = [(RNN, RNNCell), (RNN, nn.RNNCell), (RNN, nn.GRUCell), (LSTM, LSTMCell), (LSTM, nn.LSTMCell)]


def assert_same(ours, theirs, what):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13, msg=lambda text: f"{what} differs: {text}")


def pair(kind, I, H):
    """A network with our cell and one with torch's, in float64, with the same weights."""
    ours = kind(I, H, 3).double()
    theirs = kind(I, H, 3, cell=nn.RNNCell if kind is RNN else nn.LSTMCell).double()
    with torch.no_grad():
        ours.cell.linear.weight.copy_(torch.cat([theirs.cell.weight_ih, theirs.cell.weight_hh], dim=1))
        ours.cell.linear.bias.copy_(theirs.cell.bias_ih + theirs.cell.bias_hh)
    ours.output.load_state_dict(theirs.output.state_dict())
    return ours, theirs


@pytest.mark.parametrize("kind", [RNN, LSTM])
@pytest.mark.parametrize("sizes", SIZES)
def test_equals_torch(kind, sizes):
    B, T, I, H = sizes
    ours, theirs = pair(kind, I, H)
    x = torch.randn(B, T, I, dtype=torch.float64, requires_grad=True)
    assert_same(ours(x), theirs(x), "the output")

    x_ours, weight, bias = torch.autograd.grad(ours(x).square().sum(), [x, *ours.cell.parameters()])
    x_theirs, w_ih, w_hh, b_ih, b_hh = torch.autograd.grad(theirs(x).square().sum(), [x, *theirs.cell.parameters()])
    assert_same(x_ours, x_theirs, "the gradient of x")
    assert_same(weight, torch.cat([w_ih, w_hh], dim=1), "the gradient of the weights")
    assert_same(bias, b_ih, "the gradient of the bias")
    assert_same(b_ih, b_hh, "the gradients of torch's two biases")


@pytest.mark.parametrize(("kind", "cell"), MODELS)
def test_shapes_and_states(kind, cell):
    model = kind(5, 8, 3, cell=cell)
    x = torch.randn(2, 6, 5)
    output, states = model(x, return_states=True)
    assert output.shape == (2, 3), "only the last step is answered: (B, O)"
    assert_same(output, model(x), "the output when states are asked for")
    h = states if kind is RNN else states[0]
    assert len(h) == 6 and h[0].shape == (2, 8)
    assert_same(model.output(h[-1]), output, "the output computed from the last state")
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(output.sum(), h)), "a gradient must reach every state"


def test_cells_are_single_linear_layers():
    for cell, rows in ((RNNCell, 8), (LSTMCell, 32)):
        layers = [m for m in cell(5, 8).modules() if not list(m.children())]
        assert [type(m) for m in layers] == [nn.Linear] and layers[0].weight.shape == (rows, 13)


@pytest.mark.parametrize("cell", [LSTMCell, nn.LSTMCell])
def test_forget_bias_reaches_the_forget_gate_only(cell):
    model = LSTM(5, 8, 3, cell=cell, forget_bias=2.5)
    total = sum(p for p in model.cell.parameters() if p.dim() == 1)
    assert (total[8:16] == 2.5).all(), "the biases of the forget gate, rows H to 2H, must add up to forget_bias"
    assert not (total[:8] == 2.5).any() and not (total[16:] == 2.5).any()


def test_gate_traces():
    model = LSTM(5, 8, 3).double()
    x = torch.randn(2, 6, 5, dtype=torch.float64)
    trace = model.gates(x)
    _, (h, c) = model(x, return_states=True)
    assert list(trace) == list("ifgoch") and all(value.shape == (2, 6, 8) for value in trace.values())
    assert_same(trace["h"], torch.stack(h, 1).detach(), "h")
    assert_same(trace["c"], torch.stack(c, 1).detach(), "c")
    before = torch.cat([torch.zeros_like(trace["c"][:, :1]), trace["c"][:, :-1]], dim=1)
    assert_same(trace["f"] * before + trace["i"] * trace["g"], trace["c"], "c = f ⊙ c + i ⊙ g")
    with pytest.raises(TypeError, match="cell=LSTMCell"):
        LSTM(5, 8, 3, cell=nn.LSTMCell).gates(x.float())


@pytest.mark.parametrize("kind", [RNN, LSTM])
def test_bad_input_is_named(kind):
    model = kind(5, 8, 3)
    with pytest.raises(ValueError, match="three axes"):
        model(torch.zeros(30, 5))
    with pytest.raises(ValueError, match="built for 5"):
        model(torch.zeros(2, 5, 30))
    with pytest.raises(TypeError, match="floating point"):
        model(torch.zeros(2, 30, 5, dtype=torch.long))
