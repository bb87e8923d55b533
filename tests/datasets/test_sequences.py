"""Palindromes and the memory task: the sequences are what they are said to be."""

from itertools import islice

import numpy as np
import pytest
import torch

from lib.datasets.memory import EMPTY, REQUEST, every_sequence, memory_positions, memory_sequences
from lib.datasets.palindromes import PalindromeDataset, generate_palindrome, num_palindromes

LENGTHS = [2, 3, 4, 5, 10, 21]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- palindromes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_a_palindrome_reads_the_same_backwards(length):
    rng = np.random.default_rng(0)
    for _ in range(50):
        digits = generate_palindrome(length, rng)
        assert digits.shape == (length,) and digits.dtype.kind == "i"
        assert (digits == digits[::-1]).all() and digits.min() >= 0 and digits.max() <= 9


@pytest.mark.parametrize("length", [2, 3, np.int64(2)])
def test_all_palindromes_are_drawn_equally_often(length):
    rng = np.random.default_rng(0)
    drawn = {tuple(generate_palindrome(length, rng)) for _ in range(2000)}
    assert len(drawn) == num_palindromes(length) == 10 ** ((length + 1) // 2)


@pytest.mark.parametrize("encoding", ["one_hot", "scalar"])
@pytest.mark.parametrize("length", LENGTHS)
def test_samples_are_palindromes_without_their_last_digit(length, encoding):
    data = PalindromeDataset(length, encoding)
    x, y = data.sample(200, generator())
    assert x.shape == (200, length - 1, data.input_size) and x.dtype == torch.float32
    assert y.shape == (200,) and y.dtype == torch.int64
    if encoding == "one_hot":
        assert (x.sum(2) == 1).all() and ((x == 0) | (x == 1)).all()
        digits = x.argmax(2)
    else:
        digits = x[..., 0].long()
        assert data.input_size == 1 and torch.equal(digits.float(), x[..., 0])
    whole = torch.cat([digits, y[:, None]], 1)
    assert torch.equal(whole, whole.flip(1)) and torch.equal(data.encode(digits), x)


@pytest.mark.parametrize("length", [4, 5])
def test_digits_are_uniform_at_every_position(length):
    x, y = PalindromeDataset(length).sample(20_000, generator())
    shares = torch.cat([x.mean(0), torch.bincount(y, minlength=10)[None] / len(y)])  # (T, 10)
    assert (shares - 0.1).abs().max() < 0.015, "a share of 0.1 of 20000 draws has a standard error of 0.002"


def test_only_the_first_digit_tells_the_last():
    x, y = PalindromeDataset(9).sample(20_000, generator())
    for position in range(1, 8):
        agreement = (x[:, position].argmax(1) == y).float().mean()
        assert abs(agreement - 0.1) < 0.015, f"position {position} gives the label away"


def test_one_seed_gives_one_sample():
    data = PalindromeDataset(7)
    (a, b), (c, d), (e, _) = data.sample(8, generator(1)), data.sample(8, generator(1)), data.sample(8, generator(2))
    assert torch.equal(a, c) and torch.equal(b, d) and not torch.equal(a, e)


@pytest.mark.parametrize("encoding", ["one_hot", "scalar"])
def test_iteration_never_ends_and_starts_anew_alike(encoding):
    data = PalindromeDataset(6, encoding, seed=3)
    first, second = (list(islice(data, 5)) for _ in range(2))
    for (x, y), (again, label) in zip(first, second, strict=True):
        assert x.shape == (5, data.input_size) and y.shape == ()
        assert torch.equal(x, again) and y == label
    loader = torch.utils.data.DataLoader(data, batch_size=5)
    x, y = next(iter(loader))
    assert torch.equal(x, torch.stack([x for x, _ in first])) and y.tolist() == [y.item() for _, y in first]
    other, _ = next(iter(PalindromeDataset(6, encoding, seed=4)))
    assert not torch.equal(first[0][0], other)


def test_batches_yield_what_an_epoch_asks_for():
    draw = PalindromeDataset(6).batches(batch_size=4, steps=3)
    source = generator()
    first, second = list(draw(source)), list(draw(source))
    assert [x.shape for x, _ in first] == [(4, 5, 10)] * 3
    assert not torch.equal(first[0][0], second[0][0]), "every epoch draws anew"


@pytest.mark.parametrize("length", [1, 0, -3, 2.0, "5", None])
def test_impossible_lengths(length):
    for attempt in (
        lambda: PalindromeDataset(length),
        lambda: generate_palindrome(length, np.random.default_rng(0)),
        lambda: num_palindromes(length),
    ):
        with pytest.raises(ValueError, match=f"whole-number length of at least 2 .*got {length!r}"):
            attempt()


def test_unknown_encoding():
    with pytest.raises(ValueError, match="'one_hot' or 'scalar', got 'binary'"):
        PalindromeDataset(5, "binary")


# --- the memory task ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [3, 4, 30])
def test_one_token_and_the_request_at_the_end(length):
    x, y, position = memory_sequences(300, length, generator=generator())
    assert x.shape == (300, length, 5) and x.dtype == torch.float32
    assert y.dtype == position.dtype == torch.int64 and y.shape == position.shape == (300,)
    assert (x.sum(2) == 1).all() and ((x == 0) | (x == 1)).all()
    tokens = x.argmax(2)
    assert (tokens[:, -1] == REQUEST).all()
    assert ((tokens != EMPTY).sum(1) == 2).all(), "one token and the request"
    assert torch.equal(tokens[torch.arange(300), position], y) and set(y.tolist()) == {1, 2, 3}
    assert set(position.tolist()) == set(range(length - 1)), "every place before the request occurs"


def test_tokens_and_positions_are_uniform_and_independent():
    _, y, position = memory_sequences(30_000, 11, generator=generator())
    shares = torch.zeros(10, 4).index_put_((position, y), torch.ones(30_000), accumulate=True)[:, 1:] / 30_000
    assert (shares - 1 / 30).abs().max() < 0.006


@pytest.mark.parametrize("positions", [[0], [5, 2], range(3, 6), torch.tensor([7, 8])])
def test_positions_are_honoured(positions):
    x, _, position = memory_sequences(100, 10, positions, generator())
    allowed = {int(p) for p in positions}
    assert set(position.tolist()) == allowed
    assert set(x[:, :-1].argmax(2).nonzero()[:, 1].tolist()) == allowed


@pytest.mark.parametrize("length", [3, 4, 7, 30, 31])
def test_the_halves_share_no_place_and_miss_none(length):
    first, second = memory_positions(length, "first"), memory_positions(length, "second")
    assert [*first, *second] == list(memory_positions(length)) == list(range(length - 1))
    assert 0 <= len(second) - len(first) <= 1 and len(first) > 0


def test_one_seed_gives_one_set_of_sequences():
    (a, *_), (b, *_), (c, *_) = (memory_sequences(9, 30, generator=generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("length", [2, 0, -1])
def test_sequences_that_are_too_short(length):
    with pytest.raises(ValueError, match=f"at least 3 tokens .*got {length}"):
        memory_sequences(4, length)


@pytest.mark.parametrize("positions", [[], [9], [-1], [0, 12]])
def test_impossible_positions(positions):
    with pytest.raises(ValueError, match="positions must lie between 0 and 8, before the request at 9"):
        memory_sequences(4, 10, positions)


def test_an_unknown_half():
    with pytest.raises(ValueError, match="part must be one of all, first, second; got 'third'"):
        memory_positions(10, "third")


@pytest.mark.parametrize("positions", [None, [3], range(2, 5)])
def test_every_sequence_comes_once(positions):
    x, y, position = every_sequence(8, positions)
    places = list(memory_positions(8) if positions is None else positions)
    assert list(zip(position.tolist(), y.tolist(), strict=True)) == [(p, t) for p in places for t in (1, 2, 3)]
    tokens = x.argmax(2)
    assert x.shape == (3 * len(places), 8, 5) and (tokens[:, -1] == REQUEST).all()
    assert torch.equal(tokens[torch.arange(len(x)), position], y) and ((tokens != EMPTY).sum(1) == 2).all()
