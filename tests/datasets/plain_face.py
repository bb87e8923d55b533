"""A plain face to start from, and what the tests of faces measure in pictures."""

import torch

from lib.datasets.faces import FACTORS, render
from lib.datasets.faces_geometry import Head, camera_rays, intersect, project, rotation

NAMES = list(FACTORS)
PLAIN = {
    "yaw": 0.0,
    "pitch": 0.0,
    "skin": 0.3,
    "hair_colour": 0.2,
    "hair_length": 0.0,
    "eye_colour": 0.5,
    "smile": 0.5,
    "glasses": 0,
    "beard": 0,
    "light": 0.0,
    "background": 0.5,
}


def ends(name):
    """The lowest and the highest value of a factor."""
    values = FACTORS[name]
    return (0, values - 1) if isinstance(values, int) else values


def face(**changes):
    """The factors of a plain face, some changed: (1, F)."""
    return torch.tensor([[float({**PLAIN, **changes}[name]) for name in NAMES]])


def picture(**changes):
    """Its picture: int32 (3, 64, 64)."""
    return render(face(**changes))[0].int()


def changed(a, b, least=8):
    """Which pixels of two pictures differ by `least` of 255 levels in some colour: bool (64, 64)."""
    return (a - b).abs().amax(0) >= least


def column_and_row(mask):
    """The middle of the true pixels."""
    row, column = (mask.nonzero().double() + 0.5).mean(0).tolist()
    return column, row


def away_from(points, radius, yaw=0.0, pitch=0.0):
    """Pixels whose middle is farther than `radius` pixels from the projections of all points: bool (64, 64)."""
    places = project(points, yaw, pitch)
    middle = torch.arange(64) + 0.5
    rows, columns = torch.meshgrid(middle, middle, indexing="ij")
    return ((torch.stack([columns, rows], -1)[:, :, None] - places).norm(dim=-1) > radius).all(-1)


def seen(resolution=128, **changes):
    """What the rays meet, see `intersect`, for a plain face with some factors changed."""
    factors = {**PLAIN, **changes}
    head = Head(factors["smile"], factors["hair_length"], factors["beard"])
    return intersect(head, rotation(factors["yaw"], factors["pitch"]), camera_rays(resolution))
