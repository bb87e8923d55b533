"""Rendered faces with known factors: heads in three dimensions, every factor drawn independently of all others.

`render` traces rays to a head (its shape is in `lib.datasets.faces_geometry`), paints what they meet, lights it, and
averages four rays a pixel. A picture depends on nothing but its own factors: rendered alone or among others it is the
same. The picture of mirrored factors (`mirror`) is the mirrored picture.
"""

import math

import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib.datasets.faces_geometry import (
    BLOCK,
    DISTANCE,
    HAIR,
    HALF_WIDTH,
    NECK,
    SHIRT,
    SKIN,
    Head,
    camera_rays,
    intersect,
    rotation,
    unit,
)
from lib.datasets.rendered import (
    along,
    check_factors,
    draw_factors,
    inside,
    intensities,
    kept,
    light_direction,
    on_screen,
)

# Ranges, as `lib.datasets.rendered` describes them.
FACTORS = {
    "yaw": (-45.0, 45.0),  # degrees; positive: the face turns to the right of the picture
    "pitch": (-20.0, 20.0),  # degrees; positive: it looks up
    "skin": (0.0, 1.0),  # from light to dark
    "hair_colour": (0.0, 1.0),  # black, brown, red, dark blond, blond
    "hair_length": (0.0, 1.0),  # from cropped to the shoulders
    "eye_colour": (0.0, 1.0),  # brown, hazel, green, blue
    "smile": (0.0, 1.0),  # from closed lips to a broad smile with teeth, cheeks and brows raised
    "glasses": 2,  # 0: none, 1: worn
    "beard": 2,  # 0: none, 1: full
    "light": (-60.0, 60.0),  # degrees; positive: it comes from the right of the picture
    "background": (0.0, 1.0),  # red, yellow, green, blue, violet
}
ODD = ("yaw", "light")  # these change sign in the mirror

# Colours, 8-bit sRGB; a factor from 0 to 1 goes along its list.
SKINS = [(252, 222, 200), (236, 192, 160), (205, 150, 112), (150, 98, 66), (102, 66, 48)]
HAIRS = [(26, 22, 24), (66, 42, 30), (140, 66, 34), (196, 144, 72), (236, 208, 138)]
IRISES = [(84, 46, 20), (118, 116, 40), (50, 140, 90), (60, 130, 215)]
BACKGROUNDS = [(205, 95, 90), (222, 178, 96), (124, 178, 112), (88, 158, 196), (146, 112, 190)]
WHITE, BLACK, LASHES, LIPS = (246, 244, 240), (14, 12, 14), (44, 30, 26), (196, 84, 84)
MOUTH, CLOTH, FRAME = (96, 30, 34), (86, 98, 118), (34, 36, 48)

ELEVATION, AMBIENT, DIFFUSE = 32.0, 0.34, 0.86  # of the light: degrees above the horizon, strengths
GLOSS = {SKIN: (0.14, 14), HAIR: (0.26, 20), NECK: (0.05, 14), SHIRT: (0.0, 1)}  # strengths and exponents


# --- factors --------------------------------------------------------------------------------------------------------


def sample_factors(num, seed=0) -> Tensor:
    """Draw the factors of `num` faces: (num, F), float32, columns in the order of FACTORS, see `draw_factors`.

    Raises:
        ValueError: num is below 1.
    """
    return draw_factors(FACTORS, "face", num, seed)


def mirror(factors: Tensor) -> Tensor:
    """The factors of the mirrored pictures, left and right exchanged: (N, F) -> (N, F).

    Raises:
        ValueError: see `render`.
    """
    check_factors(FACTORS, factors)
    return factors * torch.tensor([-1.0 if name in ODD else 1.0 for name in FACTORS]).to(factors)


# --- colours --------------------------------------------------------------------------------------------------------


def paint_skin(p, factors):
    """The colour of the skin, with eyes, brows, mouth and beard: points in head coordinates (3, R) -> (3, R).

    Features are drawn in x and y, as if projected onto the face from straight ahead.
    """
    x, y, z = p[0].abs(), p[1], p[2]
    front = inside(0.25 - z, 0.1)
    skin, hair, smile = along(SKINS, factors["skin"]), along(HAIRS, factors["hair_colour"]), factors["smile"]

    rosy = skin * torch.tensor([[1.0], [0.62], [0.6]])
    blush = 0.55 * torch.exp(-((x - 0.36).square() + (y + 0.2).square()) / 0.03)
    blush = blush + 0.35 * torch.exp(-(x.square() + (y + 0.17).square()) / 0.012)  # cheeks and nose
    colour = torch.lerp(skin, rosy, blush * front)
    if factors["beard"]:
        # Its upper edge runs below nose and cheeks and up to the ears.
        edge = -0.30 - 0.62 * (x - 0.12).clamp_min(0) + 1.3 * (x - 0.36).clamp(0, 0.32)
        colour = torch.lerp(colour, 0.8 * hair, inside(y - edge, 0.06) * inside(-0.1 - z, 0.2))
    colour = _paint_mouth(colour, x, y, front, torch.lerp(skin, intensities(LIPS), 0.65), smile)
    colour = _paint_eyes(colour, p[0], y, front, factors)

    beside = x - 0.29
    arch = y - 0.31 - 0.02 * smile + 0.9 * beside.square() - 0.06 * beside
    brow = inside(torch.maximum(arch.abs() - 0.036, beside.abs() - 0.19)) * front
    return torch.lerp(colour, 0.6 * hair, 0.9 * brow)


def _paint_mouth(colour, x, y, front, lips, smile):
    """Lips along a parabola whose ends a smile lifts; it opens the mouth too, with teeth behind."""
    half = 0.22 + 0.07 * smile
    bow = 1 - (x / half).square()  # 1 in the middle, 0 at the corners
    height = y + 0.51 - 0.01 * smile - 0.15 * smile * (0.4 - bow)
    gap = (0.008 + 0.075 * smile) * bow
    colour = torch.lerp(colour, lips, inside(torch.maximum(height.abs() - gap - 0.052 * bow, x - 0.9 * half)) * front)
    colour = torch.lerp(colour, intensities(MOUTH), inside(height.abs() - gap, 0.025) * inside(-bow, 0.1) * front)
    teeth = torch.maximum(height.abs() - gap + 0.008, -height - 0.3 * gap)
    shown = min(1.0, 3 * smile) * inside(0.3 - bow, 0.2) * front
    return torch.lerp(colour, intensities(WHITE), inside(teeth, 0.02) * shown)


def _paint_eyes(colour, x, y, front, factors):
    """Lashes, then in the opening between the lids white, iris, pupil, and the light that they reflect."""
    across, up = x.abs() - 0.29, y - 0.07
    bow = 1 - (across / 0.19).square()
    upper, lower = 0.115 * bow, (0.025 * factors["smile"] - 0.085) * bow  # a smile lifts the lower lid
    lashes = inside((up - upper - 0.005).abs() - 0.022) * inside(across.abs() - 0.185) * front
    opening = inside(torch.maximum(up - upper, lower - up)) * front
    radius = (across.square() + up.square()).sqrt()
    iris = along(IRISES, factors["eye_colour"])
    colour = torch.lerp(colour, intensities(LASHES), lashes)
    colour = torch.lerp(colour, intensities(WHITE), opening)
    for size, what in ((0.098, 0.55 * iris), (0.085, iris), (0.042, intensities(BLACK))):
        colour = torch.lerp(colour, what, opening * inside(radius - size))
    from_light = x - 0.29 * x.sign() - 0.045 * math.sin(math.radians(factors["light"]))
    spot = inside((from_light.square() + (up - 0.045).square()).sqrt() - 0.022)
    return torch.lerp(colour, intensities(WHITE), 0.9 * opening * spot)


def glasses(origin, rays, t):
    """How much of each ray the frame and the lenses of glasses cover, as far as nothing is before them: two (R,).

    They are flat: rings and a bridge in a plane before the eyes, the temples in planes at the sides.

    Args:
        origin, rays: of the camera in head coordinates, (3,) and (3, R). t: distances (R,) to what the rays meet.
    """
    reach = (0.92 - origin[2]) / rays[2]
    x, y = (origin[0] + reach * rays[0]).abs(), origin[1] + reach * rays[1]
    ring = (((x - 0.30) / 1.15).square() + (y - 0.05).square()).sqrt() - 0.205
    bridge = torch.maximum((y - 0.10).abs() - 0.022, x - 0.08)
    shown = (reach < t).float()
    frame, lens = inside(torch.minimum(ring.abs() - 0.024, bridge)) * shown, inside(ring) * shown
    for side in (-1.0, 1.0):  # a temple seen from above: from x = ±0.54, z = 0.92 to x = ±0.84, z = -0.05
        normal = torch.tensor([0.97 * side, 0.0, 0.30])
        reach = (0.97 * 0.54 + 0.30 * 0.92 - normal @ origin) / (normal @ rays)
        y, z = origin[1] + reach * rays[1], origin[2] + reach * rays[2]
        temple = inside(torch.maximum((y - 0.10).abs() - 0.026, (z - 0.435).abs() - 0.485))
        frame = torch.maximum(frame, temple * (reach < t))
    return frame, lens


# --- pictures -------------------------------------------------------------------------------------------------------


def _surface(what, p, head, factors):
    """Colour (3, K) or (3, 1) of points (3, K), and how much of the light comes to them, (K,) or 1."""
    if what == SKIN:
        return paint_skin(p, factors), 0.55 + 0.45 * (head.hair(head.features(p)) / 0.12).clamp(0, 1)  # less near hair
    if what == HAIR:
        around = torch.atan2(p[0].abs(), p[2])  # strands fall from the crown
        strands = ((19 * around).cos() + (31 * around + 1).cos()) * (p[0].square() + p[2].square()).sqrt().clamp_max(1)
        return along(HAIRS, factors["hair_colour"]) * (1 + 0.13 * strands), 1.0
    if what == NECK:
        return along(SKINS, factors["skin"]), 0.5 + 0.5 * ((-0.85 - p[1]) / 0.5).clamp(0, 1)  # less below the chin
    return intensities(CLOTH), 1.0


def _render_one(factors, rays):
    """The colour of each ray (3, R), as light intensities (3, R), for one dict of factors."""
    head = Head(factors["smile"], factors["hair_length"], factors["beard"])
    turn = rotation(factors["yaw"], factors["pitch"])
    t, met = intersect(head, turn, rays)
    height = -rays[1] / rays[2] * DISTANCE / HALF_WIDTH  # from -1 at the lower to 1 at the upper edge
    picture = along(BACKGROUNDS, factors["background"]) * (0.86 + 0.2 * height)
    light = light_direction(factors["light"], ELEVATION)
    for what, (index, p, n) in met.items():
        colour, share = _surface(what, p, head, factors)
        n = turn @ n if what in (SKIN, HAIR) else n
        half = unit(light[:, None] - rays.index_select(1, index))  # between the ways to the light and to the camera
        strength, exponent = GLOSS[what]
        diffuse = AMBIENT * (1 + 0.3 * n[1]) + DIFFUSE * ((light @ n + 0.15) / 1.15).clamp_min(0)
        gloss = strength * (half * n).sum(0).clamp_min(0) ** exponent
        picture.index_copy_(1, index, share * (colour * diffuse + colour.sqrt() * gloss))
    if factors["glasses"]:
        frame, lens = glasses(turn.T @ torch.tensor([0.0, 0.0, DISTANCE]), turn.T @ rays, t)
        picture = torch.lerp(picture, torch.ones(3, 1), 0.03 * lens)
        picture = torch.lerp(picture, intensities(FRAME), frame)
    return picture


def render(factors: Tensor, size=64, progress=False) -> Tensor:
    """Pictures of faces, computed on the CPU, about 0.01 s each.

    Args:
        factors: (N, F), see FACTORS and `sample_factors`. size: pixels along a side, even. progress: show a bar.

    Returns:
        uint8 (N, 3, size, size), sRGB; divide by 255 for a network.

    Raises:
        ValueError: a factor is out of its range, the factors have another shape, or the size is odd or below 8.
    """
    check_factors(FACTORS, factors)
    if size < 8 or 2 * size % BLOCK:
        raise ValueError(f"the size must be even and at least 8 pixels, got {size}")
    rays = camera_rays(2 * size)
    pictures = torch.empty(len(factors), 3, size, size, dtype=torch.uint8)
    for number, row in enumerate(tqdm(factors.tolist(), unit="face", disable=not progress)):
        picture = _render_one(dict(zip(FACTORS, row, strict=True)), rays)
        pictures[number] = on_screen(picture.view(3, size, 2, size, 2).mean((2, 4)))
    return pictures


def make_faces(num=10_000, seed=0, size=64, progress=True):
    """A data set of faces, rendered once and kept, see `lib.datasets.rendered`.

    Returns:
        pictures uint8 (num, 3, size, size) and factors (num, F).

    Raises:
        ValueError: num or size make no sense.
    """
    return kept("faces", sample_factors, render, num, seed, size, progress)
