"""The raw RNN and LSTM against torch's layers, a naive reading of the equations, and finite differences."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lib.models import VanillaLSTM, VanillaRNN, vanilla

SIZES = [(1, 1, 1, 1, 2), (3, 1, 10, 8, 10), (1, 7, 4, 5, 3), (5, 20, 1, 6, 10), (4, 19, 10, 16, 10)]  # B, T, I, H, C
GATES = "ifgo"  # torch's order


def problem(B, T, I, C):
    generator = torch.Generator().manual_seed(B + T + I)
    x = torch.randn(B, T, I, generator=generator, dtype=torch.float64, requires_grad=True)
    return x, torch.randint(C, (B,), generator=generator)


def gradients(logits, y, variables):
    return torch.autograd.grad(cross_entropy(logits, y), variables)


def assert_same(ours, theirs, what):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13, msg=lambda text: f"{what} differs: {text}")


class NaiveLSTM(nn.Module):
    """One matrix product per arrow and step, and the parameters registered in another order."""

    def __init__(self, I, H, C):
        super().__init__()
        for gate in "ofig":
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.zeros(H)))
            self.register_parameter(f"W_{gate}h", nn.Parameter(torch.zeros(H, H)))
            self.register_parameter(f"W_{gate}x", nn.Parameter(torch.zeros(H, I)))
        self.W_ph, self.b_p = nn.Parameter(torch.zeros(C, H)), nn.Parameter(torch.zeros(C))

    def forward(self, x):
        h = c = torch.zeros(len(x), len(self.b_o), dtype=x.dtype)
        for t in range(x.shape[1]):
            a = {k: x[:, t] @ self.get_parameter(f"W_{k}x").T + h @ self.get_parameter(f"W_{k}h").T for k in "gifo"}
            a = {k: value + self.get_parameter(f"b_{k}") for k, value in a.items()}
            c = a["g"].tanh() * a["i"].sigmoid() + c * a["f"].sigmoid()
            h = c.tanh() * a["o"].sigmoid()
        return h @ self.W_ph.T + self.b_p


@pytest.mark.parametrize("sizes", SIZES)
def test_rnn_equals_torch(sizes):
    B, T, I, H, C = sizes
    x, y = problem(B, T, I, C)
    ours = VanillaRNN(I, H, C).double()
    theirs = nn.RNN(I, H, batch_first=True).double()
    with torch.no_grad():
        ours.b_h.normal_()
        theirs.weight_ih_l0.copy_(ours.W_hx)
        theirs.weight_hh_l0.copy_(ours.W_hh)
        theirs.bias_ih_l0.copy_(ours.b_h)
        theirs.bias_hh_l0.zero_()
    h = theirs(x)[0]
    logits = h[:, -1] @ ours.W_ph.T + ours.b_p
    assert_same(ours(x), logits, "the output of the last step")
    left = gradients(ours(x), y, [x, ours.W_hx, ours.W_hh, ours.b_h, ours.W_ph, ours.b_p])
    right = gradients(logits, y, [x, theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, ours.W_ph, ours.b_p])
    for name, a, b in zip(["x", "W_hx", "W_hh", "b_h", "W_ph", "b_p"], left, right, strict=True):
        assert_same(a, b, f"the gradient of {name}")


@pytest.mark.parametrize("sizes", SIZES)
def test_lstm_equals_torch(sizes):
    B, T, I, H, C = sizes
    x, y = problem(B, T, I, C)
    ours = VanillaLSTM(I, H, C).double()
    theirs = nn.LSTM(I, H, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(torch.cat([ours.get_parameter(f"W_{gate}x") for gate in GATES]))
        theirs.weight_hh_l0.copy_(torch.cat([ours.get_parameter(f"W_{gate}h") for gate in GATES]))
        theirs.bias_ih_l0.copy_(torch.cat([ours.get_parameter(f"b_{gate}") for gate in GATES]))
        theirs.bias_hh_l0.zero_()
    logits = theirs(x)[0][:, -1] @ ours.W_ph.T + ours.b_p
    assert_same(ours(x), logits, "the output of the last step")
    names = ["W_{}x", "W_{}h", "b_{}"]
    left = gradients(ours(x), y, [x] + [ours.get_parameter(n.format(gate)) for n in names for gate in GATES])
    right = gradients(logits, y, [x, theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0])
    assert_same(left[0], right[0], "the gradient of x")
    for number, name in enumerate(names):
        joined = torch.cat(left[1 + 4 * number : 5 + 4 * number])
        assert_same(joined, right[1 + number], f"the gradient of {name.format('*')}, gates {GATES}")


@pytest.mark.parametrize("sizes", SIZES)
def test_naive_lstm_loads_the_same_weights_and_agrees(sizes):
    B, T, I, H, C = sizes
    x, y = problem(B, T, I, C)
    ours, naive = VanillaLSTM(I, H, C).double(), NaiveLSTM(I, H, C).double()
    naive.load_state_dict(ours.state_dict())
    assert_same(ours(x), naive(x), "the output")
    left = dict(zip(dict(ours.named_parameters()), gradients(ours(x), y, list(ours.parameters())), strict=True))
    right = dict(zip(dict(naive.named_parameters()), gradients(naive(x), y, list(naive.parameters())), strict=True))
    for name in left:
        assert_same(left[name], right[name], f"the gradient of {name}")


@pytest.mark.parametrize("kind", [VanillaRNN, VanillaLSTM])
def test_states_belong_to_the_logits(kind):
    x, _ = problem(3, 6, 4, 5)
    model = kind(4, 8, 5).double()
    logits, states = model(x, return_states=True)
    h = states if kind is VanillaRNN else states[0]
    assert len(h) == 6 and h[0].shape == (3, 8)
    assert_same(logits, model(x), "the output when states are asked for")
    assert_same(h[-1] @ model.W_ph.T + model.b_p, logits, "the output computed from the last state")
    for t, gradient in enumerate(torch.autograd.grad(logits.sum(), h)):
        assert gradient.abs().sum() > 0, f"no gradient reaches h_{t}: the states must be part of the graph"


def test_gates_follow_the_equations_of_forward():
    x, _ = problem(3, 6, 4, 5)
    model = VanillaLSTM(4, 8, 5).double()
    trace = model.gates(x)
    _, (h, c) = model(x, return_states=True)
    assert list(trace) == list("gifoch") and all(value.shape == (3, 6, 8) for value in trace.values())
    assert_same(torch.stack(h, 1), trace["h"], "h")
    assert_same(torch.stack(c, 1), trace["c"], "c")
    assert all(((trace[gate] > 0) & (trace[gate] < 1)).all() for gate in "ifo"), "i, f and o lie between 0 and 1"


def test_lstm_state_derivatives_are_those_of_separate_variables():
    """One step by hand: ∂(h_2, c_2)/∂(h_1, c_1) from the returned states equals the derivative of the step alone."""
    model = VanillaLSTM(3, 4, 2).double()
    x = torch.randn(1, 2, 3, dtype=torch.float64)
    _, (h, c) = model(x, return_states=True)

    def step(h, c):
        W_x, W_h, b = model.joined()
        g, i, f, o = (x[:, 1] @ W_x + h @ W_h + b).chunk(4, 1)
        c = g.tanh() * i.sigmoid() + c * f.sigmoid()
        return torch.cat([c.tanh() * o.sigmoid(), c], 1)

    expected = torch.cat(torch.autograd.functional.jacobian(step, (h[0].detach(), c[0].detach())), dim=-1).view(8, 8)
    end = torch.cat([h[1], c[1]], 1)[0]
    rows = torch.autograd.grad(end, [h[0], c[0]], torch.eye(8, dtype=torch.float64), is_grads_batched=True)
    assert_same(torch.cat(rows, -1).view(8, 8), expected, "the Jacobian of the joint state")


@pytest.mark.parametrize("kind", [VanillaRNN, VanillaLSTM])
def test_gradients_agree_with_finite_differences(kind):
    model = kind(2, 3, 2).double()
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    names, values = zip(*model.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *values))


@pytest.mark.parametrize(("d", "n"), [(1, 1), (10, 128), (7, 3)])
def test_parameter_count_of_the_lstm_cell(d, n):
    cell = sum(p.numel() for name, p in VanillaLSTM(d, n, 5).named_parameters() if "p" not in name)
    assert cell == 4 * (n * d + n * n + n), "four gates, each with n·d and n·n weights and n biases"


def test_forget_bias_of_the_lstm():
    assert (VanillaLSTM(3, 4, 2).b_f == 1).all(), "by default the memory starts out kept, not halved"
    assert (VanillaLSTM(3, 4, 2, forget_bias=0.0).b_f == 0).all()


@pytest.mark.parametrize("kind", [VanillaRNN, VanillaLSTM])
def test_bad_input_is_named(kind):
    model = kind(10, 8, 5)
    with pytest.raises(ValueError, match="three axes"):
        model(torch.zeros(7, 10))
    with pytest.raises(ValueError, match="built for 10"):
        model(torch.zeros(2, 10, 7))
    with pytest.raises(ValueError, match="no time steps"):
        model(torch.zeros(2, 0, 10))
    with pytest.raises(TypeError, match="floating point"):
        model(torch.zeros(2, 7, 10, dtype=torch.long))


def test_from_parameters_and_products_only():
    source = inspect.getsource(vanilla)
    for layer in ("nn.RNN", "nn.LSTM", "nn.Linear", "functional"):
        assert layer not in source, f"the raw models must not use {layer}"
