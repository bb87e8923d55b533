"""A plain flower to start from, and what the tests of flowers measure in pictures."""

import math

import torch

from lib.datasets.flowers import FACTORS, render
from lib.datasets.flowers_shapes import BENDS, RISES, project

NAMES = list(FACTORS)
PLAIN = {
    "petals": 1,
    "layers": 0,
    "shape": 0.5,
    "petal_colour": 3 / 7,  # white
    "gradient": 0.0,
    "centre_size": 0.5,
    "centre_colour": 0.0,
    "tilt": 0.0,
    "turn": 0.3,
    "leaves": 0,
    "background": 0.3,
    "light": 0.0,
}
CENTRE_HEIGHT = 0.1  # about, above the middle of the petals


def ends(name):
    """The lowest and the highest value of a factor."""
    values = FACTORS[name]
    return (0, values - 1) if isinstance(values, int) else values


def flower(**changes):
    """The factors of a plain flower, some changed: (1, F)."""
    return torch.tensor([[float({**PLAIN, **changes}[name]) for name in NAMES]])


def picture(**changes):
    """Its picture: int32 (3, 64, 64)."""
    return render(flower(**changes))[0].int()


def changed(a, b, least=8):
    """Which pixels of two pictures differ by `least` of 255 levels in some colour: bool (64, 64)."""
    return (a - b).abs().amax(0) >= least


def distances(point, tilt=0.0):
    """Of the pixels' middles from where a point (u, v, w) of the flower is seen, in pixels: (64, 64)."""
    places = torch.arange(64) + 0.5
    column, row = project([point], tilt)[0]
    return ((places - column).square() + (places[:, None] - row).square()).sqrt()


def ring(radius, tilt, count=720):
    """Columns and rows of pixels along a circle around the axis, on the outermost bowl: two int64 (count,)."""
    angle = 2 * math.pi * torch.arange(count) / count
    height = torch.full((count,), RISES[0] + BENDS[0] * radius**2)
    points = torch.stack([radius * angle.cos(), radius * angle.sin(), height], 1)
    return project(points, tilt).long().clamp(0, 63).unbind(1)
