"""ConvLSTM: the cell against explicit gates and against torch's LSTM, the network against feeding it by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models import ConvLSTM, ConvLSTMCell, pad


def assert_same(ours, theirs, what):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12, msg=lambda text: f"{what} differs: {text}")


def network(seed=0, **options):
    torch.manual_seed(seed)
    options = {"c_hidden": 4, "num_layers": 2, "field_scale": 0.7, "step_scale": 0.3} | options
    return ConvLSTM(**options).double()


def frames(B=2, T=6, H=5, W=7):
    return torch.randn(B, T, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


# --- cell -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["zeros", "odd", "circular"])
@pytest.mark.parametrize(("c_in", "c_hidden", "kernel_size"), [(1, 3, 3), (2, 1, 5), (3, 4, 1)])
def test_a_cell_equals_its_gates_written_out(c_in, c_hidden, kernel_size, padding):
    torch.manual_seed(0)
    cell = ConvLSTMCell(c_in, c_hidden, kernel_size, padding).double()
    x = torch.randn(2, 4, c_in, 6, 5, dtype=torch.float64, requires_grad=True)  # (B, T, c_in, H, W)
    weight = cell.gates.weight.detach().clone().requires_grad_()
    bias = cell.gates.bias.detach().clone().requires_grad_()
    W = {gate: weight[n * c_hidden : (n + 1) * c_hidden] for n, gate in enumerate("ifgo")}
    b = {gate: bias[n * c_hidden : (n + 1) * c_hidden, None, None] for n, gate in enumerate("ifgo")}

    def gate(name, x, h):
        x, h = (pad(picture, kernel_size // 2, padding) for picture in (x, h))
        return F.conv2d(x, W[name][:, :c_in]) + F.conv2d(h, W[name][:, c_in:]) + b[name]

    h = c = torch.zeros(2, c_hidden, 6, 5, dtype=torch.float64)
    state, ours, theirs = None, [], []
    for t in range(4):
        state = cell(x[:, t], state)
        ours += state
        i, f, o = (1 / (1 + torch.exp(-gate(name, x[:, t], h))) for name in "ifo")
        c = f * c + i * torch.tanh(gate("g", x[:, t], h))
        h = o * torch.tanh(c)
        theirs += [h, c]
        assert_same(state[0], h, f"h after step {t + 1}")
        assert_same(state[1], c, f"c after step {t + 1}")
    left = torch.autograd.grad(torch.cat(ours).square().sum(), [x, cell.gates.weight, cell.gates.bias])
    right = torch.autograd.grad(torch.cat(theirs).square().sum(), [x, weight, bias])
    for name, mine, reference in zip(("x", "the weights", "the biases"), left, right, strict=True):
        assert_same(mine, reference, f"the gradient of {name}")


def test_on_a_single_cell_of_the_grid_it_is_torchs_lstm():
    torch.manual_seed(0)
    ours, theirs = ConvLSTMCell(3, 4, kernel_size=1).double(), nn.LSTMCell(3, 4).double()
    with torch.no_grad():
        ours.gates.weight.copy_(torch.cat([theirs.weight_ih, theirs.weight_hh], dim=1)[..., None, None])
        ours.gates.bias.copy_(theirs.bias_ih + theirs.bias_hh)
    x = torch.randn(5, 6, 3, dtype=torch.float64, requires_grad=True)  # (B, T, I)
    state = reference = None
    for t in range(6):
        state, reference = ours(x[:, t, :, None, None], state), theirs(x[:, t], reference)
        for name, a, b in zip("hc", state, reference, strict=True):
            assert_same(a[..., 0, 0], b, f"{name} after step {t + 1}")
    total, expected = (sum(part.square().sum() for part in pair) for pair in (state, reference))
    left = torch.autograd.grad(total, [x, ours.gates.weight, ours.gates.bias])
    x_grad, w_ih, w_hh, b_ih, _ = torch.autograd.grad(expected, [x, *theirs.parameters()])
    assert_same(left[0], x_grad, "the gradient of x")
    assert_same(left[1][..., 0, 0], torch.cat([w_ih, w_hh], dim=1), "the gradient of the weights")
    assert_same(left[2], b_ih, "the gradient of the biases")


def test_every_place_runs_the_same_lstm():
    cell = ConvLSTMCell(2, 3, kernel_size=1).double()
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    state = tuple(torch.randn(1, 3, 4, 5, dtype=torch.float64) for _ in range(2))
    order = torch.randperm(5)
    moved = cell(x[..., order], tuple(part[..., order] for part in state))
    for a, b in zip(moved, cell(x, state), strict=True):
        assert_same(a, b[..., order], "with a 1 × 1 kernel, moving the columns first or afterwards")


def test_a_hidden_state_hears_its_neighbours_one_kernel_per_step():
    cell = ConvLSTMCell(1, 2, kernel_size=3).double()
    x = torch.randn(1, 3, 1, 11, 11, dtype=torch.float64, requires_grad=True)
    state = None
    for t in range(3):
        state = cell(x[:, t], state)
    seen = torch.autograd.grad(state[0][0, :, 5, 5].sum(), x)[0][0, :, 0, 5].abs() > 0
    reach = [(row.nonzero().max() - 5).item() for row in seen]
    assert reach == [3, 2, 1], f"the inputs of the three steps reach {reach} cells far"


def test_forget_gates_start_open_and_no_state_means_zeros():
    cell = ConvLSTMCell(2, 3)
    assert (cell.gates.bias[3:6] == 1).all() and not (cell.gates.bias[:3] == 1).any()
    x, zeros = torch.randn(2, 2, 4, 4), torch.zeros(2, 3, 4, 4)
    assert all(torch.equal(a, b) for a, b in zip(cell(x), cell(x, (zeros, zeros)), strict=True))


# --- network --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["absolute", "change", "extrapolate"])
@pytest.mark.parametrize("output", ["linear", "relu"])
def test_a_run_can_be_taken_up_where_it_ended(head, output):
    model, u = network(head=head, output=output), frames()
    whole, _ = model.run(u)
    first, state = model.run(u[:, :2])
    second, state = model.run(u[:, 2:3], state=state)
    third, _ = model.run(u[:, 3:], state=state)
    assert whole.shape == u.shape
    assert_same(torch.cat([first, second, third], dim=1), whole, "in three parts")

    closed, _ = model.run(u, horizon=6)
    early, state = model.run(u, horizon=2)
    late, _ = model.run(early[:, -1:], horizon=3, state=state)
    assert_same(torch.cat([early, late], dim=1), closed, "a closed loop in two parts")


def test_a_state_can_be_used_twice():
    model, u = network(), frames()
    _, state = model.run(u[:, :3])
    assert_same(model.run(u[:, 3:], state=state)[0], model.run(u[:, 3:], state=state)[0], "the second use")


@pytest.mark.parametrize("head", ["absolute", "change", "extrapolate"])
def test_the_closed_loop_is_feeding_predictions_back_by_hand(head):
    model, u = network(head=head), frames()
    fed = u
    for _ in range(4):
        fed = torch.cat([fed, model(fed)[:, -1:]], dim=1)
    predictions = model(u, horizon=4)
    assert predictions.shape == (2, 10, 5, 7)
    assert_same(predictions, model(fed), "with four predictions fed back")


def test_a_prediction_sees_no_later_frame():
    model, u = network(), frames()
    changed = u.clone()
    changed[:, 3:] += 1
    assert torch.equal(model(u)[:, :3], model(changed)[:, :3]), "the future must not leak into a prediction"
    assert not torch.equal(model(u)[:, 3], model(changed)[:, 3])
    changed = u.clone()
    changed[:, 0] += 1
    assert not torch.equal(model(u)[:, -1], model(changed)[:, -1]), "the state must remember the first frame"


def test_heads_differ_only_in_what_the_output_is_added_to():
    u = frames()
    plain, change, extrapolate = (network(head=head)(u) for head in ("absolute", "change", "extrapolate"))
    assert_same(change, plain + u, "change adds u_t")
    before = torch.cat([u[:, :1], u[:, :-1]], dim=1)  # the very first frame counts as released from rest
    assert_same(extrapolate, plain + 2 * u - before, "extrapolate adds 2 u_t - u_{t-1}")


def test_scales_are_units_of_input_and_output():
    u, plain = frames(), network(field_scale=1.0, step_scale=1.0, head="absolute")
    scaled = network(field_scale=4.0, step_scale=3.0, head="absolute")
    assert_same(scaled(4 * u), 3 * plain(u), "4 times the field, in units of 4, with an output in units of 3")
    assert {"field_scale", "step_scale"} <= set(scaled.state_dict()), "weights are useless without their units"


@pytest.mark.parametrize("head", ["absolute", "change", "extrapolate"])
def test_a_relu_output_never_falls_below_what_it_is_added_to(head):
    u = frames()
    linear, relu, silent = network(head=head), network(head=head, output="relu"), network(head=head, output="relu")
    for model in (linear, relu, silent):
        nn.init.zeros_(model.readout.bias)  # so that outputs of both signs occur
    nn.init.zeros_(silent.readout.weight)
    plain, added, base = linear(u), relu(u), silent(u)
    assert (plain < base).any() and (plain > base).any()
    assert_same(added, torch.maximum(plain, base), "relu must cut the linear output off at 0")


def test_gradients_reach_every_weight_through_the_closed_loop():
    model, u = network(num_layers=3), frames(T=1).requires_grad_()
    model(u, horizon=5)[:, -1].square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without and u.grad.abs().sum() > 0, f"{without} can learn nothing"


def test_memory_may_be_channels_last():
    model, u = network(), frames()
    assert_same(network().to(memory_format=torch.channels_last)(u, 3), model(u, 3), "in channels-last memory")


def test_layers_lie_one_above_the_other():
    model = ConvLSTM(8, num_layers=3, kernel_size=5)
    assert [(cell.c_in, cell.c_hidden) for cell in model.cells] == [(1, 8), (8, 8), (8, 8)]
    count = sum(p.numel() for p in model.parameters())
    assert count == (9 * 25 + 1) * 32 + 2 * (16 * 25 + 1) * 32 + 8 * 9 + 1, "four gates a layer and one 3 × 3 readout"


@pytest.mark.parametrize(
    "options", [{"head": "none"}, {"output": "tanh"}, {"num_layers": 0}, {"padding": "mirror"}, {"kernel_size": 4}]
)
def test_impossible_options_are_named(options):
    valid = {"head": "absolute, change, extrapolate", "output": "linear or relu", "num_layers": "at least 1"}
    valid |= {"padding": "zeros, odd, circular", "kernel_size": "odd"}
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"{valid[name]}.*{value}"):
        ConvLSTM(**options)


def test_a_wrong_input_is_named():
    model = ConvLSTM(2)
    for wrong in (torch.zeros(2, 5, 5), torch.zeros(1, 2, 1, 5, 5), torch.zeros(1, 2, 5, 5, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"floating point \(B, T, H, W\)"):
            model(wrong)
    with pytest.raises(ValueError, match="needs 1 frames of context, got 0"):
        model(torch.zeros(1, 0, 5, 5))
    for wrong in (torch.zeros(1, 2, 5, 5), torch.zeros(1, 5, 5)):
        with pytest.raises(ValueError, match=r"must be \(B, 1, H, W\)"):
            ConvLSTMCell(1, 2)(wrong)
