"""The memory task: a digit hidden among empty tokens has to be named at the end of the sequence."""

import torch
from torch.nn import functional as F

EMPTY, REQUEST = 0, 4  # the tokens 1, 2 and 3 are what has to be remembered
NUM_SYMBOLS = 5


def memory_positions(length, part="all"):
    """The places where the token may stand: all before the request, or their first or second half.

    Args:
        length: T, tokens of a sequence, the request included; at least 3.
        part: "all", "first" or "second". With an odd number of places the second half is the larger one.

    Returns:
        range of positions, counted from 0; the request stands at position T - 1.
    """
    if length < 3:
        raise ValueError(f"a sequence needs at least 3 tokens (two places and the request), got {length}")
    places = length - 1
    parts = {"all": range(places), "first": range(places // 2), "second": range(places // 2, places)}
    if part not in parts:
        raise ValueError(f"part must be one of {', '.join(parts)}; got {part!r}")
    return parts[part]


def _checked(positions, length):
    """The allowed positions as a tensor; by default all before the request."""
    positions = torch.tensor(list(memory_positions(length) if positions is None else positions))
    if len(positions) == 0 or positions.min() < 0 or positions.max() > length - 2:
        raise ValueError(
            f"positions must lie between 0 and {length - 2}, before the request at {length - 1}; "
            f"got {positions.tolist()}"
        )
    return positions


def _one_hot(token, position, length):
    """The sequences with the given tokens (N,) at the given positions (N,): float32 (N, length, 5)."""
    tokens = torch.full((len(token), length), EMPTY)
    tokens[torch.arange(len(token)), position] = token
    tokens[:, -1] = REQUEST
    return F.one_hot(tokens, NUM_SYMBOLS).float()


def memory_sequences(num_sequences, length, positions=None, generator=None):
    """Draw sequences of the memory task.

    Args:
        num_sequences: N. length: T, the request included.
        positions: allowed places of the token (default: all before the request).
        generator: `torch.Generator`.

    Returns:
        x: float32 (N, T, 5), one-hot tokens. y: int64 (N,), the token to be named, 1 … 3.
        position: int64 (N,), where it stands.

    Raises:
        ValueError: no position, or one outside 0 … T - 2.
    """
    positions = _checked(positions, length)
    position = positions[torch.randint(len(positions), (num_sequences,), generator=generator)]
    token = torch.randint(1, REQUEST, (num_sequences,), generator=generator)
    return _one_hot(token, position, length), token, position


def every_sequence(length, positions=None):
    """All sequences there are, once each: three tokens at every allowed position, sorted by position, then by token.

    Returns:
        x: float32 (3 P, T, 5), for P positions. y: int64 (3 P,). position: int64 (3 P,).

    Raises:
        ValueError: no position, or one outside 0 … T - 2.
    """
    position = _checked(positions, length).repeat_interleave(REQUEST - 1)
    token = torch.arange(1, REQUEST).repeat(len(position) // (REQUEST - 1))
    return _one_hot(token, position, length), token, position
