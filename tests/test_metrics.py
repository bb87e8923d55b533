"""What is reported: predictions in batches, accuracy, confidence intervals."""

import pytest
import torch

from lib.metrics import accuracy, predict, wilson_interval


class Noisy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.drop, self.layer = torch.nn.Dropout(0.5), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(self.drop(x))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
@pytest.mark.parametrize("training", [True, False])
def test_predictions_do_not_depend_on_batches_or_mode(batch_size, training):
    torch.manual_seed(0)
    model, x = Noisy().train(training), torch.randn(7, 4)
    logits = predict(model, x, batch_size)
    assert torch.allclose(logits, model.layer(x), atol=1e-6), "dropout must be off"
    assert not logits.requires_grad and model.training == training


def test_accuracy_is_the_share_of_right_answers():
    model = torch.nn.Linear(3, 3)
    with torch.no_grad():
        model.weight.copy_(torch.eye(3))
        model.bias.zero_()
    x = torch.eye(3)[[0, 1, 2, 2]]
    assert accuracy(model, x, torch.tensor([0, 1, 2, 0])) == 0.75
    assert accuracy(model, x, torch.tensor([0, 1, 2, 2])) == 1.0
    assert accuracy(model, x, torch.tensor([1, 2, 0, 0])) == 0.0


def test_wilson_interval_against_published_values():
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
    for successes, trials, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(successes / trials, trials, z=1.959964) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.99, 1.0])
def test_wilson_interval_holds_the_share_and_shrinks(share):
    widths = []
    for count in (1, 10, 1000, 100_000):
        low, high = wilson_interval(share, count)
        assert 0 <= low <= share <= high <= 1
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.01


@pytest.mark.parametrize(("share", "count"), [(0.5, 0), (-0.1, 9), (1.1, 9), (float("nan"), 9)])
def test_what_is_no_share(share, count):
    with pytest.raises(ValueError, match="share between 0 and 1 of at least one trial"):
        wilson_interval(share, count)
