"""The losses against their definitions written out, and where their gradients flow."""

import pytest
import torch
from torch import nn

from lib.losses import CarriedStateLoss, forecast_loss, next_character_loss, pushforward_loss
from lib.models import ConvLSTM, NextFrame, NoNetwork

SCALE = 0.25  # exact also in single precision


def batch(T=2, R=3, B=4):
    u = torch.randn(B, T + R, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return u[:, :T], u[:, T:]


def forecaster(context_size=2, head="change", K=1):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(context_size, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, K, 3, padding=1))
    return NextFrame(network, context_size, head, field_scale=0.7, step_scale=[SCALE] * K).double()


def recurrent():
    torch.manual_seed(0)
    return ConvLSTM(3, head="change", field_scale=0.7, step_scale=SCALE).double()


def assert_same(model, ours, theirs):
    """Two losses with the same value and the same gradients."""
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0, msg=lambda text: f"the loss differs: {text}")
    parameters = list(model.parameters())
    for (name, _), a, b in zip(
        model.named_parameters(),
        torch.autograd.grad(ours, parameters, retain_graph=True),
        torch.autograd.grad(theirs, parameters, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=f"the gradient of {name} differs")


@pytest.mark.parametrize(("T", "R"), [(2, 1), (2, 3), (5, 1), (5, 3)])
def test_the_forecast_loss_is_the_mean_square_of_all_predictions(T, R):
    model, (frames, targets) = forecaster(), batch(T, R)
    u = torch.cat([frames, targets], dim=1)
    fed, squares = frames, []
    for t in range(2, T + R):
        prediction = model.step(fed[:, t - 2 : t])
        squares.append(((prediction[:, 0] - u[:, t]) / SCALE) ** 2)
        if t >= T:
            fed = torch.cat([fed, prediction], dim=1)  # with its gradient
    assert_same(model, forecast_loss(model, (frames, targets)), torch.stack(squares).mean())


@pytest.mark.parametrize(("T", "R"), [(1, 1), (4, 1), (4, 3)])
def test_the_forecast_loss_of_a_recurrent_network_counts_every_frame_after_the_first(T, R):
    model, (frames, targets) = recurrent(), batch(T, R)
    predictions = model(frames, R - 1)
    truth = torch.cat([frames[:, 1:], targets], dim=1)
    assert predictions.shape == truth.shape
    assert_same(model, forecast_loss(model, (frames, targets)), ((predictions - truth) / SCALE).square().mean())


def test_a_forecast_without_error_costs_nothing_and_the_unit_is_the_step_scale():
    line = torch.arange(5.0)[None, :, None, None].expand(2, 5, 3, 3)
    model = NextFrame(NoNetwork(), 2, "extrapolate", step_scale=0.25)
    assert forecast_loss(model, (line[:, :2], line[:, 2:])) == 0
    still = NextFrame(NoNetwork(), 2, "change", step_scale=0.25)
    expected = (1 + 4 + 9) / 3 / 0.25**2
    assert forecast_loss(still, (line[:, :2], line[:, 2:])).item() == pytest.approx(expected)
    assert pushforward_loss(still, (line[:, :2], line[:, 2:])).item() == pytest.approx(9 / 0.25**2)


@pytest.mark.parametrize("head", ["absolute", "change", "extrapolate"])
@pytest.mark.parametrize(("T", "R"), [(2, 1), (2, 2), (2, 4), (5, 3)])
def test_the_pushforward_loss_has_its_gradient_from_the_last_step_only(T, R, head):
    model, (frames, targets) = forecaster(head=head), batch(T, R)
    fed = frames
    for _ in range(R - 1):
        fed = torch.cat([fed, model.step(fed[:, -2:])], dim=1).detach()
    expected = ((model.step(fed[:, -2:])[:, 0] - targets[:, -1]) / SCALE).square().mean()
    ours = pushforward_loss(model, (frames, targets))
    assert_same(model, ours, expected)
    if R > 1:
        through = ((model(frames, R - 1)[:, -1] - targets[:, -1]) / SCALE).square().mean()
        assert ours.item() == pytest.approx(through.item()), "the value is that of the last frame of the roll-out"
        weight = model.network[0].weight
        a, b = (torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (expected, through))
        assert not torch.allclose(a, b), "but the gradient through the roll-out is another one"


@pytest.mark.parametrize("R", [1, 2, 4, 6])
def test_bundles_are_fed_back_frame_by_frame(R):
    model, (frames, targets) = forecaster(K=3), batch(2, R)
    fed = torch.cat([frames, model.roll_out(frames, R - 1)], dim=1) if R > 1 else frames
    expected = ((model.step(fed.detach()[:, -2:])[:, 0] - targets[:, -1]) / SCALE).square().mean()
    assert_same(model, pushforward_loss(model, (frames, targets)), expected)
    whole = ((model.roll_out(frames, R) - targets) / SCALE).square().mean()
    assert_same(model, forecast_loss(model, (frames, targets)), whole)


@pytest.mark.parametrize("R", [1, 3])
def test_the_pushforward_loss_of_a_recurrent_network_keeps_its_memory(R):
    model, (frames, targets) = recurrent(), batch(4, R)
    with torch.no_grad():
        fed = torch.cat([frames, model(frames, R - 1)[:, 3:-1]], dim=1)
    expected = ((model(fed)[:, -1] - targets[:, -1]) / SCALE).square().mean()
    assert_same(model, pushforward_loss(model, (frames, targets)), expected)


class Counting(torch.nn.Module):
    """A text model whose state is how many characters it has read, and whose logits depend on it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -1.0, 0.5]))
        self.seen = []

    def forward(self, tokens, state=None):
        count = torch.zeros(len(tokens), 1) if state is None else state[0]
        self.seen.append(count[0, 0].item())
        places = count + torch.arange(1, tokens.shape[1] + 1)
        return places[..., None] * self.weight, (places[:, -1:] * self.weight[0],)


def test_the_loss_of_windows_is_the_cross_entropy_of_every_next_character():
    model, batch = Counting(), (torch.zeros(2, 4, dtype=torch.int64), torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]]))
    logits = model(batch[0])[0]
    expected = -logits.log_softmax(-1).gather(-1, batch[1][..., None]).mean()
    assert torch.allclose(next_character_loss(model, batch), expected)


def test_the_state_is_carried_from_chunk_to_chunk_and_dropped_with_the_epoch():
    chunk = (torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.int64))
    model, loss = Counting(), CarriedStateLoss(lambda generator: iter([chunk] * 3))
    for _ in range(2):
        for batch in loss.batches(torch.Generator()):
            loss(model, batch).backward()  # a second time through the same graph would be an error
    assert model.seen == [0, 4, 8, 0, 4, 8], "an epoch begins without a state, its chunks go on from each other"
