"""From a network to a forecast: what the heads add, what a prediction may see, and a rule that is exactly right."""

import pytest
import torch
from torch import nn

from lib.datasets.waves import exact_stencil, gaussians, simulate
from lib.models import NextFrame, NoNetwork, Stencil

HEADS = ["absolute", "change", "extrapolate"]


def assert_same(ours, theirs, what, atol=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=atol, msg=lambda text: f"{what} differs: {text}")


def frames(B=2, T=7, H=4, W=5):
    return torch.randn(B, T, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def forecaster(context_size=3, head="absolute", K=1, step_scale=0.3):
    """A small convolution that yields K frames, with scales that matter."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(context_size, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, K, 3, padding=1))
    step_scale = [step_scale * (k + 1) for k in range(K)]
    return NextFrame(network, context_size, head, field_scale=0.7, step_scale=step_scale).double()


# --- heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("K", [1, 3])
def test_a_step_is_the_base_of_the_head_plus_the_scaled_output(head, K):
    model, context = forecaster(head=head, K=K), frames(T=3)
    output = model.network(context / model.field_scale)
    previous, last = context[:, 1], context[:, 2]
    expected = []
    for k in range(1, K + 1):
        base = {"absolute": 0.0, "change": last, "extrapolate": last + k * (last - previous)}[head]
        expected.append(base + model.step_scale.flatten()[k - 1] * output[:, k - 1])
    assert model.bundle == K
    assert_same(model.step(context), torch.stack(expected, dim=1), f"the step of the head {head}")


def test_without_a_network_the_heads_are_zero_copy_and_straight_line():
    u = frames()
    zero, copy, line = (NextFrame(NoNetwork(), 2, head).double()(u, 5) for head in HEADS)
    assert zero.shape == copy.shape == line.shape == (2, 7 - 2 + 1 + 5, 4, 5)
    assert (zero == 0).all()
    assert torch.equal(copy[:, :6], u[:, 1:]) and torch.equal(copy[:, 6:], u[:, -1:].expand(-1, 5, -1, -1))
    slope = u[:, 1:] - u[:, :-1]
    ahead = torch.arange(1, 7).view(-1, 1, 1)
    assert_same(line[:, :5], (u[:, 1:] + slope)[:, :-1], "the straight line through two true frames")
    assert_same(line[:, 5:], u[:, -1:] + ahead * slope[:, -1:], "a straight line stays straight in closed loop")


def test_scales_are_units_and_belong_to_the_weights():
    plain, scaled = forecaster(K=2), forecaster(K=2)
    scaled.field_scale.mul_(5)
    scaled.step_scale.mul_(3)
    assert_same(scaled.step(5 * frames(T=3)), 3 * plain.step(frames(T=3)), "5 times the field, in units of 5")
    state = forecaster(K=2).state_dict()
    assert state["field_scale"].shape == () and state["step_scale"].shape == (2, 1, 1)
    plain.load_state_dict(scaled.state_dict())
    assert_same(plain(frames(), 3), scaled(frames(), 3), "with loaded weights and scales")


def test_a_bundle_needs_a_scale_for_each_of_its_frames():
    three = forecaster(head="extrapolate", K=3)
    with pytest.raises(ValueError, match="yields 3 frames, but step_scale has 1"):
        NextFrame(three.network, 3, "extrapolate", step_scale=0.5).double().step(frames(T=3))


# --- forecasts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("context_size", "T", "horizon"), [(2, 2, 0), (2, 2, 3), (2, 7, 0), (3, 7, 4), (7, 7, 1)])
def test_a_forecast_is_made_frame_by_frame(head, context_size, T, horizon):
    model, u = forecaster(context_size, head), frames(T=T)
    predictions = model(u, horizon)
    assert predictions.shape[1] == T - context_size + 1 + horizon, "frames context_size … T + horizon"
    fed, expected = u, []
    for t in range(context_size, T + horizon + 1):
        expected.append(model.step(fed[:, t - context_size : t]))
        if t >= T:
            fed = torch.cat([fed, expected[-1]], dim=1)
    assert_same(predictions, torch.cat(expected, dim=1), "the forecast made by hand")


def test_a_teacher_forced_prediction_sees_its_own_context_only():
    model, u = forecaster(), frames()
    for changed in range(7):
        other = u.clone()
        other[:, changed] += 1
        moved = (model(other) - model(u)).abs().amax((0, 2, 3)) > 1e-12  # predictions of frames 3 … 7
        expected = [changed < frame <= changed + 3 for frame in range(3, 8)]
        assert moved.tolist() == expected, f"frame {changed} may matter for the three frames after it only"


def test_the_closed_loop_depends_on_the_last_frames_only():
    model, u = forecaster(), frames()
    other = u.clone()
    other[:, :4] += 1
    assert torch.equal(model(other, 5)[:, -6:], model(u, 5)[:, -6:])
    assert_same(model(u[:, 4:], 5), model(u, 5)[:, -6:], "the forecast from the last three frames")
    assert_same(model.roll_out(u[:, 4:], 6), model(u, 5)[:, -6:], "roll_out")


def test_many_windows_are_predicted_as_one_is():
    model, u = forecaster(2), frames(B=3, T=200, H=2, W=2)  # 594 windows: more than are evaluated at a time
    expected = torch.stack([model.step(u[:, t - 2 : t])[:, 0] for t in range(2, 201)], dim=1)
    assert_same(model(u), expected, "every teacher-forced prediction")


@pytest.mark.parametrize("head", HEADS)
def test_a_bundle_is_used_whole_in_closed_loop_and_by_its_first_frame_before(head):
    model, u = forecaster(head=head, K=3), frames()
    predictions = model(u, 6)
    assert predictions.shape == (2, 7 - 3 + 1 + 6, 4, 5)
    forced = [model.step(u[:, t - 3 : t])[:, :1] for t in range(3, 7)]
    first = model.step(u[:, 4:])
    second = model.step(first)  # three frames of context, all from the first bundle
    third = model.step(second)
    expected = torch.cat([*forced, first, second, third[:, :1]], dim=1)
    assert_same(predictions, expected, "four forced frames and seven in bundles of three")
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    model.roll_out(u[:, 4:], 7)
    assert len(calls) == 3, "seven frames in bundles of three are three evaluations"


def test_a_bundle_may_be_shorter_than_the_context():
    model, u = forecaster(context_size=3, K=2), frames(T=3)
    first = model.step(u)
    second = model.step(torch.cat([u[:, -1:], first], dim=1))
    assert_same(model.roll_out(u, 4), torch.cat([first, second], dim=1), "the context keeps its newest true frame")


# --- gradients ------------------------------------------------------------------------------------------------------


class Factor(nn.Module):
    """u_{t+1} = w u_t."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, context):
        return self.w * context[:, -1:]


def test_the_gradient_passes_through_the_whole_roll_out():
    model = NextFrame(Factor(0.9)).double()
    u = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    for n in (1, 2, 10):
        last = model.roll_out(u, n)[:, -1].mean()
        slope = torch.autograd.grad(last, model.network.w)[0].item()
        assert slope == pytest.approx(n * 0.9 ** (n - 1)), f"u_n = wⁿ u_0, so its derivative is n wⁿ⁻¹ (n = {n})"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("K", [1, 2])
def test_gradients_are_those_of_finite_differences(head, K):
    model, u = forecaster(2, head, K), frames(B=1, T=3, H=2, W=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x, 3), [u])


# --- the exact rule -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip_rate", [1, 2, 3])
def test_the_exact_stencil_forecasts_a_hundred_frames(skip_rate):
    start = gaussians(2, 12, generator=torch.Generator().manual_seed(0)).double()
    truth = simulate(start, 102, skip_rate=skip_rate)
    model = NextFrame(Stencil(exact_stencil(skip_rate)), 2, field_scale=0.5, step_scale=0.5).double()
    assert_same(model(truth[:, :2], 99), truth[:, 2:], "100 frames in closed loop", atol=1e-9)
    if skip_rate == 3:
        zeros = NextFrame(Stencil(exact_stencil(skip_rate), "zeros"), 2).double()
        error = (zeros(truth[:, :2], 99) - truth[:, 2:]).abs().amax((0, 2, 3))
        assert not error.max() < 0.1, "with zeros beyond the walls the errors at the walls must have spread"


def test_a_stencil_is_a_linear_rule_on_two_frames():
    u = frames(T=2)
    nothing = Stencil(torch.zeros(3, 3, dtype=torch.float64))
    assert torch.equal(nothing(u), -u[:, :1])
    middle = torch.zeros(3, 3, dtype=torch.float64)
    middle[1, 1] = 2.0
    assert_same(Stencil(middle)(u), 2 * u[:, 1:] - u[:, :1], "the straight line as a stencil")
    assert not list(nothing.parameters()) and "kernel" in nothing.state_dict()


# --- refusals -------------------------------------------------------------------------------------------------------


def test_impossible_forecasters_are_refused():
    with pytest.raises(ValueError, match="absolute, change, extrapolate; got 'none'"):
        NextFrame(NoNetwork(), head="none")
    with pytest.raises(ValueError, match="'extrapolate' needs 2 frames of context, but context_size is 1"):
        NextFrame(NoNetwork(), 1, "extrapolate")
    with pytest.raises(ValueError, match="context_size is 0"):
        NextFrame(NoNetwork(), 0)


def test_wrong_frames_are_named():
    model = NextFrame(NoNetwork(), 3)
    for wrong in (torch.zeros(3, 5, 5), torch.zeros(1, 3, 1, 5, 5), torch.zeros(1, 3, 5, 5, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"floating point \(B, T, H, W\)"):
            model(wrong)
    with pytest.raises(ValueError, match="needs 3 frames of context, got 2"):
        model(torch.zeros(1, 2, 5, 5))
