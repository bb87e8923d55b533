"""What a text model has to beat: counting. Character n-grams, a compressor, and measures of copying.

Everything is in bits per character, on text that was not counted; the n-gram model works on encoded text (integers
0 … A - 1), compressors and measures of copying on strings.
"""

import itertools
import lzma
import math

import torch
from torch import Tensor


class NGram:
    """Interpolated character n-gram model of a text.

    The probability of a character after the last n - 1 characters h is a mixture of what was counted after h and of
    the same with a context shorter by one, down to no context and then to all characters being equally likely:
    P(c | h) = (N(h c) + D(h) P(c | h')) / (N(h) + D(h)), with N the counts in the training text, h' the context h
    without its oldest character, and D(h) the number of different characters seen after h. A context that was followed
    by many different characters is trusted less; one that never occurred leaves all to the shorter one. Nothing has to
    be fitted.
    Source: Witten and Bell (1991), "The zero-frequency problem", method C, interpolated.

    Args:
        tokens: training text, int64 (T,), T >= 1.
        alphabet_size: A.
        order: n, the longest n-gram that is counted, contexts being n - 1 long; 1 ignores the context.

    Raises:
        ValueError: tokens of another kind or outside the alphabet, an empty text, or an order below 1.
    """

    def __init__(self, tokens: Tensor, alphabet_size: int, order: int = 5):
        if order < 1:
            raise ValueError(f"the order must be at least 1, but is {order}")
        self.alphabet_size, self.order = alphabet_size, order
        self._check(tokens)
        if len(tokens) == 0:
            raise ValueError("the training text is empty")
        self.tables, numbers = [], torch.zeros(len(tokens) + 1, dtype=torch.int64)
        for n in range(1, order + 1):
            table, numbers = self._count(numbers[:-1], tokens[n - 1 :])
            self.tables.append(table)

    def _check(self, tokens):
        if tokens.dim() != 1 or tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be int64 (T,), got {tokens.dtype} {tuple(tokens.shape)}")
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < self.alphabet_size:
            raise ValueError(
                f"tokens must lie in 0 … {self.alphabet_size - 1}, but reach {tokens.min()} and {tokens.max()}"
            )

    def _count(self, contexts, characters):
        """Sorted n-grams with their counts, and their sorted contexts with N(h) and D(h); and the numbers of the
        n-grams in the text, which are the contexts of those that are longer by one.

        An n-gram is numbered by its place among all different ones, so that no number is larger than the text is long,
        and A times that, the largest in use, is never too large, whatever the alphabet and the order.
        """
        grams, numbers, counts = (contexts * self.alphabet_size + characters).unique(
            return_inverse=True, return_counts=True
        )
        known, place, distinct = (grams // self.alphabet_size).unique(return_inverse=True, return_counts=True)
        totals = torch.zeros(len(known), dtype=torch.int64).scatter_add_(0, place, counts)
        return (grams, counts, known, totals, distinct), numbers

    def _contexts(self, tokens):
        """For n = 1 … order the numbers of the n - 1 characters before every character from place n - 1 on, -1 for what
        was not counted: int64 (T - n + 1,)."""
        numbers = torch.zeros(len(tokens) + 1, dtype=torch.int64)
        for n, (grams, *_) in enumerate(self.tables, 1):
            contexts = numbers[:-1]
            yield contexts
            places = torch.arange(1, len(grams) + 1)
            numbers = _lookup(grams, places, contexts * self.alphabet_size + tokens[n - 1 :]) - 1

    def _mix(self, n, shorter, contexts, characters):
        """P(c | h) of order n from the probabilities `shorter` of order n - 1, for numbered contexts of n - 1."""
        grams, counts, known, totals, distinct = self.tables[n - 1]
        seen = _lookup(grams, counts, contexts * self.alphabet_size + characters)
        total, weight = _lookup(known, totals, contexts), _lookup(known, distinct, contexts)
        mixed = (seen + weight * shorter) / (total + weight).clamp(min=1)
        return torch.where(total > 0, mixed, shorter)

    def log2_probabilities(self, tokens: Tensor) -> Tensor:
        """log2 P of every character given those before it in `tokens`, at most n - 1: (T,) -> float64 (T,).

        The first characters have shorter contexts; put n - 1 characters in front if the text goes on from others.
        """
        self._check(tokens)
        p = torch.full((len(tokens),), 1 / self.alphabet_size, dtype=torch.float64)
        for n, contexts in enumerate(self._contexts(tokens), 1):
            p[n - 1 :] = self._mix(n, p[n - 1 :], contexts, tokens[n - 1 :])
        return p.log2()

    def bits(self, tokens: Tensor) -> float:
        """Cross-entropy on a text in bits per character."""
        if len(tokens) == 0:
            raise ValueError("the text is empty")
        return -self.log2_probabilities(tokens).mean().item()

    def probabilities(self, context: Tensor) -> Tensor:
        """P(c | context) for every character c: int64 (any length,) -> float64 (A,)."""
        self._check(context)
        characters = torch.arange(self.alphabet_size)
        p = torch.full((self.alphabet_size,), 1 / self.alphabet_size, dtype=torch.float64)
        recent = context[max(0, len(context) - self.order + 1) :]
        recent = torch.cat([recent, recent.new_zeros(1)])  # whatever comes next: it has these contexts before it
        for n, contexts in enumerate(self._contexts(recent), 1):
            if len(contexts):
                p = self._mix(n, p, contexts[-1:].repeat(self.alphabet_size), characters)
        return p

    def sample(self, prompt: Tensor, num: int, generator=None) -> Tensor:
        """Draw `num` characters, one after the other, as they may follow the prompt: int64 (num,)."""
        text = prompt
        for _ in range(num):
            p = self.probabilities(text[-self.order :])
            text = torch.cat([text, torch.multinomial(p, 1, generator=generator)])
        return text[len(prompt) :]


class KneserNey(NGram):
    """Interpolated character n-gram model with modified Kneser–Ney smoothing: the counts of `NGram`, mixed otherwise.

    From every count N a discount D(N) is taken off, and what a context h gives up goes to the context shorter by one:
    P(c | h) = (N(h c) - D(N(h c)) + F(h) P(c | h')) / N(h), with F(h) the sum of the discounts after h. A shorter
    context is asked only where the longer one has failed, so there a character counts once for every *different*
    character that stood before h c, however often: a continuation count. There are three discounts for every order,
    D(1), D(2) and D(3 and more), estimated from how many n-grams have the counts 1, 2, 3 and 4.
    Sources: Kneser and Ney (1995), "Improved backing-off for m-gram language modeling"; Chen and Goodman (1999), "An
    empirical study of smoothing techniques for language modeling", modified and interpolated.

    Args:
        tokens, alphabet_size, order: as for `NGram`.

    Raises:
        ValueError: as for `NGram`.
    """

    def __init__(self, tokens: Tensor, alphabet_size: int, order: int = 5):
        super().__init__(tokens, alphabet_size, order)
        suffixes = [torch.zeros(len(self.tables[0][0]), dtype=torch.int64)]  # of single characters: the empty one
        for (shorter, *_), (grams, *_) in itertools.pairwise(self.tables):
            ends = suffixes[-1][grams // alphabet_size] * alphabet_size + grams % alphabet_size
            suffixes.append(torch.searchsorted(shorter, ends))
        for n, (grams, counts, known, *_) in enumerate(self.tables):
            if n + 1 < order:  # only the longest n-grams are counted as often as they occur
                counts = suffixes[n + 1].bincount(minlength=len(grams))
            self.tables[n] = self._discounted(grams, counts, known)

    def _discounted(self, grams, counts, known):
        """What `_mix` needs of one order: each n-gram's count less its discount; of each context N(h) and F(h)."""
        off = _discounts(counts)[counts.clamp(max=3)]
        place = torch.searchsorted(known, grams // self.alphabet_size)
        totals = torch.zeros(len(known), dtype=torch.int64).scatter_add_(0, place, counts)
        freed = torch.zeros(len(known), dtype=torch.float64).scatter_add_(0, place, off)
        return grams, counts - off, known, totals, freed

    def _mix(self, n, shorter, contexts, characters):
        grams, kept, known, totals, freed = self.tables[n - 1]
        seen = _lookup(grams, kept, contexts * self.alphabet_size + characters)
        total = _lookup(known, totals, contexts)
        mixed = (seen + _lookup(known, freed, contexts) * shorter) / total.clamp(min=1)
        return torch.where(total > 0, mixed, shorter)


def _discounts(counts):
    """What is taken off the counts 0, 1, 2, and 3 and more: D(k) = k - (k + 1) Y n(k + 1) / n(k) with Y = n(1) / (n(1)
    + 2 n(2)), where n(k) is how many n-grams have the count k. D(k) is at least 0.1, so that every context leaves
    something for what it has not seen; where an n(k) is 0, each is 1/2."""
    n = [(counts == k).sum().item() for k in range(5)]
    if min(n[1:]) == 0:
        return torch.tensor([0, 0.5, 0.5, 0.5], dtype=torch.float64)
    y = n[1] / (n[1] + 2 * n[2])
    return torch.tensor([0, *(max(k - (k + 1) * y * n[k + 1] / n[k], 0.1) for k in (1, 2, 3))], dtype=torch.float64)


def _lookup(keys, values, wanted):
    """values[i] where keys[i] is wanted, else 0, for sorted keys."""
    if len(keys) == 0:  # a text shorter than the order has no n-gram of that length
        return torch.zeros_like(wanted)
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, values[place], 0)


# --- other baselines ------------------------------------------------------------------------------------------------


def uniform_bits(alphabet_size: int) -> float:
    """Bits per character if all are equally likely: log2 A."""
    return math.log2(alphabet_size)


def xz_bits(train: str, test: str) -> float:
    """What a general compressor needs for `test` once it knows `train`: 8 (C(train + test) - C(train)) / |test|.

    C is the size in bytes of the UTF-8 text as xz at its greatest effort writes it (`xz -9e`: LZMA2 with a dictionary
    of 64 MiB, lc = 3, lp = 0, pb = 2, and a checksum whose size cancels); |test| is in characters.

    Raises:
        ValueError: `test` is empty.
    """
    if not test:
        raise ValueError("the text is empty")

    def size(text):
        return len(lzma.compress(text.encode(), format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME))

    return 8 * (size(train + test) - size(train)) / len(test)


# --- copying --------------------------------------------------------------------------------------------------------


def longest_copy(sample: str, train: str) -> tuple[int, str]:
    """The longest stretch of the sample that also stands in the training text, and its length: (length, stretch).

    The first one, if there are several. Every start in the sample is asked whether it can do better than the best so
    far, so that there are at most 2 |sample| searches in the training text.
    """
    best, where = 0, 0
    for start in range(len(sample)):
        while start + best < len(sample) and sample[start : start + best + 1] in train:
            best, where = best + 1, start
    return best, sample[where : where + best]


def distinct_ngrams(sample: str, n: int) -> float:
    """How varied a text is: its different n-grams as a share of all its n-grams, 1 if none occurs twice.

    Source: Li et al. (2016), "A diversity-promoting objective function", distinct-n. It falls with the length of the
    text: compare samples of equal length only.

    Raises:
        ValueError: n is not positive, or the sample has no n-gram.
    """
    if not 1 <= n <= len(sample):
        raise ValueError(f"n must lie between 1 and the length of the sample, {len(sample)}; got {n}")
    grams = [sample[place : place + n] for place in range(len(sample) - n + 1)]
    return len(set(grams)) / len(grams)
