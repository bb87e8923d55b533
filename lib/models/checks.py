"""Clear messages for sizes and inputs of the wrong kind, instead of a matrix product that fails three calls deeper."""

from numbers import Integral

import torch
from torch import Tensor


def check_sizes(smallest: int = 1, **sizes: int | list[int]) -> None:
    """Raise ValueError unless every size (or list of sizes) of a model is made of whole numbers of at least 1."""
    for name, given in sizes.items():
        for size in given if isinstance(given, (list, tuple)) else [given]:
            if not isinstance(size, Integral) or size < smallest:
                raise ValueError(f"{name} must be a whole number of at least {smallest}, got {size!r}")


def check_sequence(x: Tensor, width: int, layout: str = "(B, T, I)") -> None:
    """Raise unless `x` is a floating-point tensor of rank 3, not empty in time, and as wide as the model expects.

    `layout` is "(B, T, I)" or "(B, C, T)"; `width` is the size of its I or C axis.
    """
    if x.dim() != 3:
        raise ValueError(
            f"x must have three axes {layout}, but its shape is {tuple(x.shape)}: "
            "use x.unsqueeze(0) for a single sequence, x.unsqueeze(-1) for sequences of plain numbers"
        )
    time, features = (2, 1) if layout == "(B, C, T)" else (1, 2)
    if x.shape[features] != width:
        raise ValueError(
            f"x of shape {tuple(x.shape)} has {x.shape[features]} features on axis {features} of {layout}, but the "
            f"model was built for {width}: check the order of the axes and the size the model was given"
        )
    if x.shape[time] == 0:
        raise ValueError(f"x of shape {tuple(x.shape)} has no time steps: give at least one")
    if not torch.is_floating_point(x):
        raise TypeError(f"x must be floating point, but is {x.dtype}: encode symbols one-hot, convert with x.float()")
