"""The network that reads factors off pictures."""

import math

import pytest
import torch

from lib.losses import factor_loss
from lib.models.classifier import FactorClassifier

FACTORS = {"petals": 3, "tilt": (0.0, 50.0), "leaves": 2}


def build(**options):
    torch.manual_seed(0)
    return FactorClassifier(FACTORS, **({"width": 4, "size": 16} | options))


@pytest.mark.parametrize(("channels", "size", "B"), [(3, 16, 1), (1, 32, 4), (3, 64, 2)])
def test_shapes(channels, size, B):
    model = build(channels=channels, size=size).eval()
    x = torch.randn(B, channels, size, size)
    assert model.features(x).shape == (B, 64) and model(x).shape == (B, 3 + 1 + 2) and model.predict(x).shape == (B, 3)
    torch.testing.assert_close(model(x), model.head(torch.nn.functional.leaky_relu(model.features(x), 0.2)))
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=1e-4, atol=1e-5)


def test_number_of_parameters():
    model = FactorClassifier({"petals": 6, "tilt": (0, 1), "light": (0, 1)})
    convolutions, norms = 9 * (3 * 16 + 16 * 32 + 32 * 32 + 32 * 64), 2 * (16 + 32 + 32 + 64)
    expected = convolutions + norms + 1024 * 64 + 65 * 8
    assert sum(p.numel() for p in model.parameters()) == expected == 99_032


def test_every_feature_is_alive():
    model = build().train()
    features = model.features(torch.randn(256, 3, 16, 16))
    torch.testing.assert_close(features.mean(0), torch.zeros(64), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.var(0, correction=0), torch.ones(64), atol=1e-2, rtol=0)


def test_predictions_are_in_the_units_of_the_factors():
    model = build()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 2.0, 1.0, 0.5, -1.0, 3.0]))
    x = torch.randn(2, 3, 16, 16)
    assert model.predict(x).tolist() == [[1.0, 25.0, 1.0]] * 2
    with torch.no_grad():
        model.head.bias[3] = 1.4
    assert model.predict(x)[0, 1] == 50, "an estimate stays in the range of its factor"


def test_the_loss_of_knowing_nothing_is_one_and_of_knowing_all_is_zero():
    model, N = build(), 3000
    x, numbers = torch.randn(1, 3, 16, 16), torch.rand(N, 3, generator=torch.Generator().manual_seed(0))
    factors = torch.stack([(3 * numbers[:, 0]).floor(), 50 * numbers[:, 1], (2 * numbers[:, 2]).floor()], 1)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.5, 0.0, 0.0]))
        model.eval()
        assert factor_loss(model, (x.expand(N, -1, -1, -1), factors)).item() == pytest.approx(1, abs=0.02)
        model.head.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.25, 0.0, 50.0]))
        assert factor_loss(model, (x, torch.tensor([[1.0, 12.5, 1.0]]))).item() == pytest.approx(0, abs=1e-6)
        wrong = factor_loss(model, (x, torch.tensor([[1.0, 37.5, 1.0]]))).item()
    assert wrong == pytest.approx(12 * 0.25 / 3), "half a range off: 12 · 0.5², a third of the mean"


def test_it_learns_what_a_picture_shows():
    model = build()
    numbers = torch.rand(128, 3, generator=torch.Generator().manual_seed(0))
    factors = torch.stack([(3 * numbers[:, 0]).floor(), 50 * numbers[:, 1], (2 * numbers[:, 2]).floor()], 1)
    x = (numbers * 2 - 1)[:, :, None, None].expand(-1, -1, 16, 16)  # each factor is the strength of a colour
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        factor_loss(model, (x, factors)).backward()
        optimizer.step()
    predicted = model.eval().predict(x)
    assert (predicted[:, 0] == factors[:, 0]).float().mean() > 0.75, "guessing gets a third"
    assert (predicted[:, 1] - factors[:, 1]).abs().mean() < 8, "the middle of the range would be off by 12.5"


def test_gradients_reach_every_weight():
    model = build()
    factor_loss(model, (torch.randn(4, 3, 16, 16), torch.tensor([[0.0, 10.0, 1.0]] * 4))).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without, without
    assert math.isfinite(model.head.weight.grad.sum().item())


def test_wrong_input_is_named():
    model = build()
    for wrong in (torch.zeros(3, 16, 16), torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 16, 16).byte()):
        with pytest.raises(ValueError, match=r"\(B, 3, 16, 16\).*127.5"):
            model(wrong)
    with pytest.raises(ValueError, match=r"\(B, 3\), the columns petals, tilt, leaves"):
        factor_loss(model, (torch.zeros(2, 3, 16, 16), torch.zeros(2, 4)))
    with pytest.raises(ValueError, match="multiple of 16, got 3 factors and 24"):
        build(size=24)
    with pytest.raises(ValueError, match="at least one factor"):
        FactorClassifier({})
