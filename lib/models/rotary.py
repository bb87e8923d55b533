"""Rotary positions: where a token stands is told by turning its query and its key."""

from torch import Tensor, cat


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the pair (x_i, x_{i + D/2}) of every vector by its angle: (..., T, D), (T, D / 2) -> (..., T, D).

    The dot product of a query turned by α and a key turned by β depends on β - α alone: on how far the two tokens are
    apart, not on where they stand.
    Source: Su et al. (2021), "RoFormer: enhanced transformer with rotary position embedding".
    """
    cos, sin = angles.cos().to(x), angles.sin().to(x)
    a, b = x.chunk(2, dim=-1)
    return cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
