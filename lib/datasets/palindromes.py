"""Random palindromes of digits: the last digit can be told only by a model that remembers the first."""

import numpy as np
import torch
from torch.nn import functional as F

NUM_DIGITS = 10


def _check_length(length):
    if not isinstance(length, (int, np.integer)) or length < 2:
        raise ValueError(
            f"a palindrome needs a whole-number length of at least 2 (an input and a label), got {length!r}"
        )


def num_palindromes(length):
    """How many different palindromes of digits there are: the first half, the middle included, can be chosen freely."""
    _check_length(length)
    return NUM_DIGITS ** ((length + 1) // 2)


def generate_palindrome(length, rng):
    """One palindrome, every palindrome of this length being equally likely.

    Args:
        length: number of digits, T >= 2.
        rng: `numpy.random.Generator`.

    Returns:
        int array (length,), digits 0 … 9.

    Raises:
        ValueError: the length is no whole number of at least 2.
    """
    _check_length(length)
    half = rng.integers(0, NUM_DIGITS, size=(length + 1) // 2)
    return np.concatenate([half, half[: length // 2][::-1]])


class PalindromeDataset(torch.utils.data.IterableDataset):
    """Endless palindromes: the first T-1 digits are the input, the last digit is the label.

    Iterating yields single examples, `(T-1, I), ()`; training draws whole batches at once with `sample`, which costs
    a small fraction of a training step. I is 10 for one-hot digits and 1 for scalars.

    Args:
        length: T, number of digits of the whole palindrome, at least 2.
        encoding: "one_hot", or "scalar" (the digit as one float, as in the published numbers).
        seed: of the examples that iteration yields.

    Raises:
        ValueError: an impossible length or an unknown encoding.
    """

    def __init__(self, length, encoding="one_hot", seed=0):
        _check_length(length)
        if encoding not in ("one_hot", "scalar"):
            raise ValueError(f"encoding must be 'one_hot' or 'scalar', got {encoding!r}")
        self.length, self.encoding, self.seed = length, encoding, seed
        self.input_size = NUM_DIGITS if encoding == "one_hot" else 1

    def sample(self, batch_size, generator=None):
        """Draw a batch: inputs `(B, T-1, I)` float32 and labels `(B,)` int64."""
        digits = torch.randint(NUM_DIGITS, (batch_size, (self.length + 1) // 2), generator=generator)
        sequence = torch.cat([digits, digits[:, : self.length // 2].flip(1)], dim=1)  # (B, T)
        return self.encode(sequence[:, :-1]), sequence[:, -1]

    def encode(self, digits):
        """Digits `(…, T-1)` of any integer type as the network's input `(…, T-1, I)`."""
        if self.encoding == "scalar":
            return digits[..., None].float()
        return F.one_hot(digits.long(), NUM_DIGITS).float()

    def batches(self, batch_size, steps):
        """A function that yields `steps` fresh batches from a generator: one epoch for `lib.training.fit`."""

        def draw(generator):
            for _ in range(steps):
                yield self.sample(batch_size, generator)

        return draw

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            x, y = self.sample(1, generator)
            yield x[0], y[0]
