"""What is reported: predictions in batches, accuracy, confidence intervals, bits per character."""

import math

import pytest
import torch

from lib.metrics import accuracy, bits_per_character, predict, surprise, wilson_interval
from lib.models import CharLSTM, CharTransformer


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


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_surprise_reads_the_text_once_whatever_the_chunk(chunk):
    torch.manual_seed(0)
    model, tokens = CharLSTM(5, hidden_size=8), torch.randint(5, (50,))
    bits = surprise(model, tokens, chunk=chunk)
    logits = model(tokens[None, :-1])[0][0]
    expected = -logits.log_softmax(-1).gather(1, tokens[1:, None])[:, 0] / math.log(2)
    assert bits.shape == (49,), "the first character is only read"
    assert torch.allclose(bits, expected, atol=1e-5)


@pytest.mark.parametrize("length", [2, 8, 9, 12, 13, 40])
def test_with_a_context_every_character_is_predicted_once_from_at_least_half_of_it(length):
    torch.manual_seed(0)
    model, tokens = (
        CharTransformer(5, width=16, num_heads=2, context=8, positions="learned"),
        torch.randint(5, (length,)),
    )
    bits = surprise(model, tokens, context=8)
    assert bits.shape == (length - 1,)
    for place in range(1, length):
        seen = []  # the model is given windows: is there one that explains this number?
        for start in range(max(0, place - 8), max(1, place - 3)):
            logits = model(tokens[None, start:place])[0][0, -1]
            seen.append(-logits.log_softmax(-1)[tokens[place]].item() / math.log(2))
        assert any(abs(bits[place - 1].item() - one) < 1e-4 for one in seen), f"character {place} of {length}"


def test_what_stands_before_is_read_but_not_counted():
    torch.manual_seed(0)
    model, tokens = CharLSTM(5, hidden_size=8), torch.randint(5, (60,))
    whole = surprise(model, tokens)
    assert bits_per_character(model, tokens[20:], before=tokens[:20]) == pytest.approx(whole[19:].mean().item())
    assert bits_per_character(model, tokens) == pytest.approx(whole.mean().item())
    assert bits_per_character(model, tokens[1:], tokens[:1]) == pytest.approx(whole.mean().item())


def test_too_short_a_text_is_refused():
    with pytest.raises(ValueError, match="at least two characters"):
        surprise(CharLSTM(5, hidden_size=8), torch.tensor([1]))
