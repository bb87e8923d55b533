"""N-grams against counting by hand, compressors and copies against what they must find."""

import itertools
import math
from collections import Counter

import pytest
import torch

from lib.baselines.ngrams import KneserNey, NGram, distinct_ngrams, longest_copy, uniform_bits, xz_bits

A = 4


def text(length, seed=0, alphabet_size=A):
    """Tokens with structure: each repeats the one three places before, three times out of four."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(alphabet_size, (length,), generator=generator)
    keep = torch.rand(length, generator=generator) < 0.75
    for place in range(3, length):
        if keep[place]:
            tokens[place] = tokens[place - 3]
    return tokens


def witten_bell_by_hand(train, context, character, order):
    """The recursion written out with strings and a Counter."""
    train, context = tuple(train.tolist()), tuple(context)
    p = 1 / A
    for n in range(1, min(order, len(context) + 1) + 1):
        h = context[len(context) - n + 1 :]
        after = Counter(train[i + n - 1] for i in range(len(train) - n + 1) if train[i : i + n - 1] == h)
        if after:
            p = (after[character] + len(after) * p) / (after.total() + len(after))
    return p


def kneser_ney_by_hand(train, context, character, order):
    """Modified Kneser–Ney smoothing written out with tuples and Counters, from the longest context down."""
    train, context = tuple(train.tolist()), tuple(context)
    grams = [{train[i : i + n] for i in range(len(train) - n + 1)} for n in range(order + 2)]

    def counts(n):
        if n == order:
            return Counter(train[i : i + n] for i in range(len(train) - n + 1))
        return Counter(gram[1:] for gram in grams[n + 1])  # before how many different characters it stands

    def discounts(number):
        n = Counter(number.values())
        if not all(n[k] for k in (1, 2, 3, 4)):
            return {1: 0.5, 2: 0.5, 3: 0.5}
        y = n[1] / (n[1] + 2 * n[2])
        return {k: max(k - (k + 1) * y * n[k + 1] / n[k], 0.1) for k in (1, 2, 3)}

    def probability(h):
        shorter = probability(h[1:]) if h else 1 / A
        number = counts(len(h) + 1)
        d = discounts(number)
        after = {gram[-1]: count for gram, count in number.items() if gram[:-1] == h}
        if not after:
            return shorter
        seen = after[character] - d[min(after[character], 3)] if character in after else 0
        return (seen + sum(d[min(count, 3)] for count in after.values()) * shorter) / sum(after.values())

    return probability(context[len(context) - order + 1 :] if len(context) >= order else context)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 7, 40, 400])
@pytest.mark.parametrize(("kind", "by_hand"), [(NGram, witten_bell_by_hand), (KneserNey, kneser_ney_by_hand)])
def test_probabilities_are_those_counted_by_hand(kind, by_hand, length, order):
    train, test = text(length), text(30, seed=1)
    model = kind(train, A, order)
    expected = [by_hand(train, test[:t].tolist(), test[t].item(), order) for t in range(len(test))]
    expected = torch.tensor(expected, dtype=torch.float64)
    ours = model.log2_probabilities(test)
    torch.testing.assert_close(ours, expected.log2(), msg=lambda m: f"order {order}, {length} characters: {m}")
    assert model.bits(test) == pytest.approx(-expected.log2().mean().item())
    one_by_one = torch.stack([model.probabilities(test[:t])[test[t]] for t in range(len(test))])
    torch.testing.assert_close(one_by_one, expected, msg=lambda m: f"probabilities() disagrees: {m}")


def test_kneser_ney_on_paper():
    """0 1 0 1 0 2 holds 01 twice, 10 twice, 02 once: too little to estimate discounts, so each is 1/2. Before 0, 1 and
    2 one different character stands: P(1) = (1/2 + 3/2 · 1/4) / 3. After 0: P(1 | 0) = (2 - 1/2 + 1 · P(1)) / 3."""
    model = KneserNey(torch.tensor([0, 1, 0, 1, 0, 2]), A, 2)
    single = (0.5 + 1.5 / 4) / 3
    assert model.probabilities(torch.tensor([], dtype=torch.int64))[1].item() == pytest.approx(single)
    assert model.probabilities(torch.tensor([0]))[1].item() == pytest.approx((1.5 + single) / 3)
    assert model.probabilities(torch.tensor([3]))[1].item() == pytest.approx(single), "3 never occurs"


def test_kneser_ney_counts_continuations_where_the_context_is_new():
    """2 is as frequent as 3, but only ever after 0, while 3 follows 0, 1 and 4: in a new context it is likelier."""
    train = torch.tensor([0, 2, 0, 2, 0, 2, 1, 3, 0, 3, 1, 1, 0, 0, 4, 3, 1])
    p = KneserNey(train, 6, 2).probabilities(torch.tensor([5]))
    assert (train == 2).sum() == (train == 3).sum() and p[3] > p[2]


def test_kneser_ney_does_not_lose_by_long_contexts():
    """Here each character depends on the third before it alone: longer contexts are noise."""
    train, test = text(3000, alphabet_size=8), text(3000, seed=1, alphabet_size=8)
    few, many = ([counts(train, 8, order).bits(test) for order in (4, 9)] for counts in (KneserNey, NGram))
    assert few[0] < many[0] and few[1] - few[0] < 0.3 < many[1] - many[0], f"{few} against {many}"


@pytest.mark.parametrize("counts", [NGram, KneserNey])
@pytest.mark.parametrize("order", [1, 3, 4])
@pytest.mark.parametrize("length", [1, 3, 50, 600])
def test_probabilities_sum_to_one_for_every_context_seen_or_not(counts, order, length):
    model = counts(text(length), A, order)
    for size in range(order + 1):
        for context in itertools.product(range(A), repeat=size):
            p = model.probabilities(torch.tensor(context, dtype=torch.int64))
            assert (p > 0).all() and p.sum().item() == pytest.approx(1), f"after {context} they sum to {p.sum()}"


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_more_text_never_breaks_and_helps(order):
    test = text(2000, seed=1)
    bits = [NGram(text(length), A, order).bits(test) for length in (1, 3, 10, 100, 1000, 10_000)]
    assert all(math.isfinite(value) and 0 < value < 2 * math.log2(A) for value in bits), f"order {order}: {bits}"
    assert bits[-1] < bits[-2] + 0.01 < bits[0], f"order {order}: with more text {bits} must fall"


def test_structure_is_found_by_the_order_that_can_see_it():
    train, test = text(20_000), text(5000, seed=1)
    bits = [NGram(train, A, order).bits(test) for order in (1, 2, 3, 4)]
    share = 0.75 + 0.25 / A  # of tokens that equal the one three places before
    entropy = -share * math.log2(share) - 3 * (0.25 / A) * math.log2(0.25 / A)
    assert min(bits[:3]) > 1.9 and entropy - 0.05 < bits[3] < entropy + 0.1, f"{bits} against {entropy:.3f}"


def test_a_sample_follows_the_text_and_can_be_repeated():
    train = torch.tensor([0, 1, 2, 3] * 200)
    model = NGram(train, A, 3)
    drawn = [model.sample(torch.tensor([0, 1]), 40, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*drawn) and drawn[0].shape == (40,)
    steps = torch.cat([torch.tensor([1]), drawn[0]]).diff() % 4
    assert (steps == 1).float().mean() > 0.9, "after 0 1 comes 2, after 1 2 comes 3"


def test_an_alphabet_may_be_larger_than_what_occurs():
    model = NGram(torch.zeros(10, dtype=torch.int64), 3, 2)
    assert model.bits(torch.tensor([0, 2, 1, 0])) > 1, "characters never seen must cost bits, not infinity"


@pytest.mark.parametrize("order", [5, 8, 40])
def test_neither_alphabet_nor_order_has_a_limit(order):
    """Renamed characters are counted alike: only that they could be a million others costs something."""
    train, test = text(300), text(50, seed=1)
    small, large = NGram(train, A, order), NGram(train * 250_000, 1_000_000, order)
    few, many = (2 ** model.log2_probabilities(tokens) for model, tokens in ((small, test), (large, test * 250_000)))
    assert (few[order:] >= many[order:]).all() and few[-1] == pytest.approx(many[-1].item(), rel=0.02)


def test_single_characters_are_counted_alone():
    assert uniform_bits(64) == 6
    train, test = text(3000), text(3000, seed=1)
    counts = train.bincount(minlength=A).double()
    smoothed = (counts + A * 1 / A) / (len(train) + A)
    alone = NGram(train, A, order=1).bits(test)
    assert alone == pytest.approx(-smoothed[test].log2().mean().item())
    assert abs(alone - uniform_bits(A)) < 0.05, "here all are about as frequent"


def test_wrong_input_is_named():
    good = text(10)
    for wrong in (good.float(), good[None]):
        with pytest.raises(ValueError, match="int64"):
            NGram(wrong, A)
    for wrong in (good + A, good - A):
        with pytest.raises(ValueError, match="must lie in 0 … 3"):
            NGram(wrong, A)
    with pytest.raises(ValueError, match="empty"):
        NGram(good[:0], A)
    with pytest.raises(ValueError, match="empty"):
        NGram(good, A).bits(good[:0])
    with pytest.raises(ValueError, match="at least 1, but is 0"):
        NGram(good, A, 0)


# --- compressor and copies ------------------------------------------------------------------------------------------


def letters(length, seed=0):
    return "".join(chr(97 + token) for token in text(length, seed, alphabet_size=20).tolist())


def test_xz_needs_little_for_what_it_knows_and_much_for_what_it_does_not():
    train = letters(4000)
    assert xz_bits(train, train) < 0.5
    assert xz_bits(train, letters(4000, seed=1)) > 1.3
    assert xz_bits(train, "☃" * 1000) < 1, "bits are counted per character, not per byte"
    with pytest.raises(ValueError, match="empty"):
        xz_bits(train, "")


def brute_force(sample, train):
    common = {sample[i:j] for i in range(len(sample)) for j in range(i, len(sample) + 1)}
    return max(len(part) for part in common if part in train)


@pytest.mark.parametrize("seed", range(8))
def test_the_longest_copy_is_the_longest_one(seed):
    sample, train = letters(40, seed), letters(300, seed + 100)
    length, stretch = longest_copy(sample, train)
    assert length == len(stretch) == brute_force(sample, train)
    assert stretch in sample and stretch in train


def test_a_planted_copy_is_found():
    train = letters(5000)
    length, stretch = longest_copy("XX" + train[1234:1300] + "YY" + train[50:80], train)
    assert (length, stretch) == (66, train[1234:1300])
    assert longest_copy("XYZ", train) == (0, "") and longest_copy("", train) == (0, "")
    assert longest_copy(train, train) == (5000, train)


def test_distinct_ngrams():
    assert distinct_ngrams("abcd", 2) == 1 and distinct_ngrams("aaaa", 1) == 0.25
    assert distinct_ngrams("abababa", 2) == pytest.approx(2 / 6) and distinct_ngrams("abc", 3) == 1
    for n in (0, 4):
        with pytest.raises(ValueError, match=f"length of the sample, 3; got {n}"):
            distinct_ngrams("abc", n)
