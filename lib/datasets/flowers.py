"""Drawn flowers with known factors, every factor drawn independently of all others; and photographs, Oxford's flowers.

`render` paints a blurred garden, leaves and a stem, then the layers of petals from the outermost to the innermost, then
the centre. Each part is found by rays through the pixels (`lib.datasets.flowers_shapes`), lit, blended softly at its
edge, and shades what lies beneath. A picture depends on nothing but its own factors: rendered alone or among others it
is the same.
"""

import math
from functools import partial

import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib.datasets.download import downloads_folder, library_download
from lib.datasets.flowers_shapes import LEAVES, PETALS, RADIUS, Layer, leaf, middle, on_bowl, pixels, rays, rotation
from lib.datasets.images import INSTEAD
from lib.datasets.pictures import ImagesError, check_request, read_file, read_pictures
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
    "petals": len(PETALS),  # 4, 5, 6, 8, 12 or 16 in every layer
    "layers": 3,  # one, two or three
    "shape": (0.0, 1.0),  # of petals: from narrow and pointed to broad and round, at last with a notch
    "petal_colour": (0.0, 1.0),  # red, orange, yellow, white, pink, magenta, violet, blue
    "gradient": (0.0, 1.0),  # from one colour all over to a base in another colour, see THROATS
    "centre_size": (0.0, 1.0),  # from 13 to 30 per cent of the flower's radius
    "centre_colour": (0.0, 1.0),  # yellow, orange, brown, dark purple, green
    "tilt": (0.0, 50.0),  # degrees; 0: the flower looks at the camera, above: upwards
    "turn": (0.0, 1.0),  # about its axis, in distances from petal to petal; both ends look nearly the same
    "leaves": len(LEAVES) + 1,  # so many leaves, 0 … 3
    "background": (0.0, 1.0),  # lime, green, teal, blue, violet, rose
    "light": (-60.0, 60.0),  # degrees; positive: it comes from the right of the picture
}

# Colours, 8-bit sRGB; a factor from 0 to 1 goes along its list. THROATS are those of the bases of petals.
PETAL_COLOURS = [(222, 38, 48), (250, 122, 30), (254, 206, 48), (250, 246, 236), (246, 140, 176), (206, 52, 150)]
PETAL_COLOURS += [(134, 84, 208), (72, 112, 226)]
THROATS = [(84, 8, 30), (190, 24, 24), (232, 96, 20), (236, 190, 90), (190, 20, 84), (250, 214, 236)]
THROATS += [(244, 226, 250), (236, 244, 255)]
CENTRES = [(250, 206, 60), (226, 132, 36), (110, 60, 34), (70, 40, 66), (150, 176, 70)]
BACKGROUNDS = [(136, 158, 64), (58, 128, 74), (50, 124, 138), (84, 116, 178), (140, 104, 168), (176, 108, 122)]
GRASS, LEAF, SUN = (30, 60, 34), (72, 138, 54), (255, 236, 170)

ELEVATION, AMBIENT, DIFFUSE = 38.0, 0.42, 0.76  # of the light: degrees above the horizon, strengths
SPOTS, DOTS = 14, 55  # of light in the background; on the centre
GOLDEN = math.pi * (3 - math.sqrt(5))  # angle from dot to dot, as seeds grow


# --- factors --------------------------------------------------------------------------------------------------------


def sample_factors(num, seed=0) -> Tensor:
    """Draw the factors of `num` flowers: (num, F), float32, columns in the order of FACTORS, see `draw_factors`.

    Raises:
        ValueError: num is below 1.
    """
    return draw_factors(FACTORS, "flower", num, seed)


# --- painting: every function returns the picture, light intensities (3, R), with something more on it --------------


def lay(picture, colour, distance, shade, softness=0.018, reach=0.08):
    """Lay a shape on the picture, by the distances (R,) to its edge; within about `reach` it shades what is there."""
    near = 1 / (1 + (distance.clamp_min(0) / reach).square())
    return torch.lerp(picture * (1 - shade * near.square()), colour, inside(distance, softness))


def shading(slope_u, slope_v, light):
    """Light (R,) that falls on a surface with these slopes, dw/du and dw/dv, from the direction (3,).

    Petals let some through, so it falls off to zero only beyond the surface's edge.
    """
    cosine = (light[2] - slope_u * light[0] - slope_v * light[1]) / (1 + slope_u.square() + slope_v.square()).sqrt()
    return AMBIENT + DIFFUSE * (cosine + 0.25).clamp_min(0) / 1.25


def paint_background(xy, place, light):
    """A garden out of focus at points (2, R): grass below, brighter above and towards the light, spots of sunshine."""
    x, y = xy
    hue, height = along(BACKGROUNDS, place), (y + 1) / 2
    picture = torch.lerp(intensities(GRASS) + 0.25 * hue, hue, height)
    picture = picture * (0.8 + 0.35 * height * (1 + 0.9 * light[0] * x))
    k = torch.arange(1, SPOTS + 1)[:, None]
    angle, reach = GOLDEN * k + 1.9 * place, 0.95 + 0.25 * torch.sin(2.3 * k + 3 * place)  # they wander with the hue
    size, strength = 0.13 + 0.08 * torch.sin(3.1 * k + 1), 0.34 + 0.22 * torch.sin(5 * k + 4 * place)
    distance = ((x - reach * angle.cos()).square() + (y - 0.15 - reach * angle.sin()).square()).sqrt() - size
    shine = 1 - (1 - strength * inside(distance, 0.07)).prod(0)
    return torch.lerp(picture, (1.3 * hue + 0.25 * intensities(SUN)).clamp_max(0.75), shine)


def paint_green(picture, xy, factors, light):
    """A stem from the flower's middle to the ground, and leaves."""
    green, top = intensities(LEAF), middle(factors["tilt"])
    aside = (xy[0] - 0.05 * torch.sin(2.2 * (xy[1] - top))) / 0.045
    stem = torch.maximum(0.045 * (aside.abs() - 1), xy[1] - top)
    picture = lay(picture, green * (0.75 + 0.3 * light[0] * aside), stem, 0.25)
    for number in range(int(factors["leaves"])):
        s, across, distance = leaf(number, xy)
        veins = 0.3 * torch.exp(-70 * across.square()) + 0.1 * torch.cos(22 * (s - 0.45 * across.abs())).clamp_min(0)
        bright = 0.75 + 0.15 * across.sign() + 0.2 * LEAVES[number][0] * light[0] + veins
        picture = lay(picture, green * bright * (0.7 + 0.5 * s), distance, 0.35)
    return picture


def paint_petals(picture, layer, u, v, factors, light):
    """The petals of one layer, at points u, v (R,) of its bowl."""
    tip, throat = along(PETAL_COLOURS, factors["petal_colour"]), along(THROATS, factors["petal_colour"])
    for which, aside in layer.neighbours(u, v):
        s, across, distance = layer.petal(which, u, v)
        cosine, sine, edge = layer.cosines[which], layer.sines[which], across.square()
        # Its sides are bent down, its base and its tip too.
        arch, curl = 0.65 * across, 0.5 * s.square() - 0.12
        slope_u = 2 * layer.bend * u - curl * cosine + arch * sine
        slope_v = 2 * layer.bend * v - curl * sine - arch * cosine
        lit = shading(slope_u, slope_v, light) * layer.tones[which] * (0.6 + 0.4 * (2.2 * s).clamp_max(1))
        veins = 0.12 * torch.exp(-50 * edge) + 0.07 * torch.cos(4.5 * math.pi * across) * (1 - s)
        share = factors["gradient"] * (1.45 - 1.6 * s - 0.3 * edge).clamp(0, 1)
        colour = torch.lerp(tip, throat, share) * (lit * (1 - veins) * (1 - 0.1 * edge.square().square()))
        # Only the petals on both sides of a point are painted there, so a shadow must end at the next petal's axis.
        picture = lay(picture, colour, distance, 0.6 * (2 - 2 * aside).clamp_max(1))
    return picture


def paint_centre(picture, radius, u, v, factors, light):
    """A dome with an uneven edge, covered with dots in a spiral."""
    order = torch.arange(1, DOTS + 1)
    place = 1.08 * radius * (order / DOTS).sqrt()
    squares = (u[:, None] - place * (GOLDEN * order).cos()).square()
    squares = squares + (v[:, None] - place * (GOLDEN * order).sin()).square()
    dots = (1 - squares.amin(1).sqrt() / (0.13 * radius)).clamp_min(0)
    r = (u.square() + v.square()).sqrt() / radius
    lit = shading(-0.7 * u / radius, -0.7 * v / radius, light) * (0.65 + 0.75 * dots - 0.15 * r)
    edge = radius * (r - 1 - 0.03 * torch.cos(9 * torch.atan2(v, u)))
    return lay(picture, along(CENTRES, factors["centre_colour"]) * lit, edge, 0.55)


# --- pictures -------------------------------------------------------------------------------------------------------


def _render_one(factors, coarse, fine):
    """The picture for one dict of factors, light intensities (3, R), at the pixels `fine` (2, R).

    The blurred background is computed at `coarse` pixels (2, R / 4), each as large as four fine ones.
    """
    light = light_direction(factors["light"], ELEVATION)
    picture, size = paint_background(coarse, factors["background"], light), math.isqrt(coarse.shape[1])
    picture = picture.view(3, size, 1, size, 1).expand(3, size, 2, size, 2).reshape(3, -1)
    picture = paint_green(picture, fine, factors, light)
    points, directions = rays(fine, factors["tilt"])
    light = rotation(factors["tilt"]) @ light
    for number in range(int(factors["layers"]) + 1):
        layer = Layer(number, PETALS[int(factors["petals"])], factors["shape"], factors["turn"])
        index, u, v = _within(layer.reach, *on_bowl(points, directions, layer.rise, layer.bend))
        picture[:, index] = paint_petals(picture[:, index], layer, u, v, factors, light)
    radius = RADIUS * (0.13 + 0.17 * factors["centre_size"])
    dome = on_bowl(points, directions, 0.06 + 0.35 * radius, -0.35 / radius)
    index, u, v = _within(1.8 * radius, *dome)
    picture[:, index] = paint_centre(picture[:, index], radius, u, v, factors, light)
    return picture


def _within(reach, u, v):
    """Which points (R,) lie near the axis, and the u and v of these: three (K,)."""
    index = (u.square() + v.square() < reach**2).nonzero()[:, 0]
    return index, u[index], v[index]


def render(factors: Tensor, size=64, progress=False) -> Tensor:
    """Pictures of flowers, computed on the CPU, about 0.01 s each.

    Args:
        factors: (N, F), see FACTORS and `sample_factors`. size: pixels along a side. progress: show a bar.

    Returns:
        uint8 (N, 3, size, size), sRGB; divide by 255 for a network.

    Raises:
        ValueError: a factor is out of its range, the factors have another shape, or the size is below 8.
    """
    check_factors(FACTORS, factors)
    if size < 8:
        raise ValueError(f"the size must be at least 8 pixels, got {size}")
    coarse, fine = pixels(size), pixels(2 * size)
    pictures = torch.empty(len(factors), 3, size, size, dtype=torch.uint8)
    for number, row in enumerate(tqdm(factors.tolist(), unit="flower", disable=not progress)):
        picture = _render_one(dict(zip(FACTORS, row, strict=True)), coarse, fine)
        rows = picture.view(3, size, 2, 2 * size).sum(2)
        pictures[number] = on_screen(0.25 * (rows[..., ::2] + rows[..., 1::2]))
    return pictures


def make_flowers(num=3_000, seed=0, size=64, progress=True):
    """A data set of flowers, rendered once and kept, see `lib.datasets.rendered`.

    Returns:
        pictures uint8 (num, 3, size, size) and factors (num, F).

    Raises:
        ValueError: num or size make no sense.
    """
    return kept("flowers", sample_factors, render, num, seed, size, progress)


# --- photographs ----------------------------------------------------------------------------------------------------

OXFORD_SPLITS = {"train": ["trnid"], "val": ["valid"], "test": ["tstid"], "all": ["trnid", "valid", "tstid"]}
OXFORD_FLOWERS = 8189


def load_oxford_flowers(size=(64, 64), max_images=None, *, split="train", progress=True) -> Tensor:
    """Oxford's 102 kinds of flowers (Nilsback and Zisserman 2008), 8,189 photographs, through torchvision (350 MB).

    They lie in the folder `flowers-102` within the folder of downloads. What does not fit the proportions of `size` is
    cut off equally on both sides.

    Args:
        size, max_images: see `lib.datasets.images.load_images`.
        split: "train" (1,020 photographs), "val" (1,020), "test" (6,149) or "all".

    Returns:
        uint8 (N, 3, H, W), in the order of their numbers.

    Raises:
        DownloadError: the photographs are not there and cannot be downloaded. ImagesError: they are incomplete.
        ValueError: a size or number below 1, or an unknown split.
    """
    check_request(size, max_images, 1, 1.0)
    if split not in OXFORD_SPLITS:
        raise ValueError(f"split must be {', '.join(OXFORD_SPLITS)}; got {split!r}")
    from scipy.io import loadmat

    from lib.datasets.torchvision_compat import import_torchvision

    folder = downloads_folder() / "flowers-102"
    remedy = f"{INSTEAD}save 102flowers.tgz, imagelabels.mat and setid.mat in {folder} by hand and unpack the first"
    with library_download("Oxford's flowers", remedy):
        import_torchvision().datasets.Flowers102(downloads_folder(), download=True)
    found = sum(1 for _ in (folder / "jpg").glob("image_*.jpg"))
    if found < OXFORD_FLOWERS:
        raise ImagesError(
            f"{folder} has {found} of {OXFORD_FLOWERS} photographs, it was unpacked in part: delete it, run again"
        )
    sets = loadmat(folder / "setid.mat")
    names = [f"image_{number:05d}.jpg" for key in OXFORD_SPLITS[split] for number in sets[key].ravel().tolist()]
    files = {name: partial(read_file, folder / "jpg" / name) for name in names}
    return read_pictures(folder, files, size, max_images, 100, 1.0, progress)
