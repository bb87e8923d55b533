"""What rendered data sets share: factors within their ranges, colours as light, and files in which pictures are kept.

A data set names its factors in a dict, name: (lowest, highest) of a continuous factor, or the number of choices 0, 1, …
of a discrete one. Colours are written as 8-bit sRGB triples and added up as light intensities, 0 … 1.
"""

import math

import numpy as np
import torch
from torch import Tensor

from lib.storage.files import CheckpointError
from lib.storage.fingerprint import code_fingerprint
from lib.storage.paths import exports_folder
from lib.storage.tensors import load, save

GAMMA = 2.2  # of the screen


# --- factors --------------------------------------------------------------------------------------------------------


def draw_factors(factors, what, num, seed=0) -> Tensor:
    """Draw the factors of `num` pictures: (num, F), float32, columns in the order of `factors`.

    Continuous factors are uniform in their range, discrete ones uniform over their choices, all independent. The first
    rows are the same however many are drawn.

    Args:
        factors: dict of the ranges, see above. what: name of the thing that is drawn, for the message.

    Raises:
        ValueError: num is below 1.
    """
    if num < 1:
        raise ValueError(f"need at least 1 {what}, got num = {num}")
    drawn = np.random.default_rng(seed).random((num, len(factors)))
    for column, values in enumerate(factors.values()):
        if isinstance(values, int):
            drawn[:, column] = np.floor(drawn[:, column] * values)
        else:
            drawn[:, column] = values[0] + (values[1] - values[0]) * drawn[:, column]
    return torch.from_numpy(drawn).float()


def check_factors(factors, drawn: Tensor):
    """Raise ValueError, with the factor and its range, unless `drawn` (N, F) lies within the ranges of `factors`."""
    if drawn.dim() != 2 or drawn.shape[1] != len(factors) or not drawn.is_floating_point():
        raise ValueError(
            f"factors must be floating point (N, {len(factors)}), with the columns {', '.join(factors)}; "
            f"got {drawn.dtype} {tuple(drawn.shape)}"
        )
    for (name, values), column in zip(factors.items(), drawn.T, strict=True):
        if isinstance(values, int):
            wrong = ~torch.isin(column, torch.arange(values).to(column))
            allowed = f"a whole number from 0 to {values - 1}"
        else:
            wrong = ~((column >= values[0]) & (column <= values[1]))
            allowed = f"from {values[0]:g} to {values[1]:g}"
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise ValueError(f"{name} must be {allowed}, but is {column[row].item():g} in row {row}")


# --- colours and light ----------------------------------------------------------------------------------------------


def intensities(colour) -> Tensor:
    """An 8-bit sRGB triple as light intensities 0 … 1: (3, 1)."""
    return (torch.tensor(colour, dtype=torch.float32)[:, None] / 255) ** GAMMA


def along(colours, place) -> Tensor:
    """The colour at `place`, 0 … 1, on the way through a list of sRGB triples, as light intensities (3, 1)."""
    first = min(int(place * (len(colours) - 1)), len(colours) - 2)
    share = place * (len(colours) - 1) - first
    return torch.lerp(intensities(colours[first]), intensities(colours[first + 1]), share)


def inside(distance, softness=0.03):
    """Coverage 0 … 1 by a shape, from the signed distance to its edge (negative inside), which is `softness` wide."""
    return (0.5 - distance / softness).clamp(0, 1)


def light_direction(azimuth, elevation) -> Tensor:
    """Unit vector (3,) to the light: x to the right, y upwards, z to the camera. Angles in degrees."""
    azimuth, elevation = math.radians(azimuth), math.radians(elevation)
    level = math.cos(elevation)
    return torch.tensor([math.sin(azimuth) * level, math.sin(elevation), math.cos(azimuth) * level])


def on_screen(light) -> Tensor:
    """Light intensities of any shape as grey levels or colours of the same shape: uint8, sRGB; above 1 is white."""
    return (255 * light.clamp(0, 1) ** (1 / GAMMA)).round().byte()


# --- files ----------------------------------------------------------------------------------------------------------


def kept(name, sample_factors, render, num, seed, size, progress):
    """Pictures uint8 (num, 3, size, size) and their factors (num, F), rendered at the first call, then loaded.

    The file, below `exports/data/`, is named after its content: number, seed, size and the code that renders. Delete
    it at any time; a damaged one is rendered again, which is said in one printed line.

    Args:
        name: of the data set. sample_factors: function of num and seed. render: function of factors, size, progress.
    """
    factors, code = sample_factors(num, seed), code_fingerprint(sample_factors, render)
    path = exports_folder() / "data" / f"{name}_{num}_{seed}_{size}_{code}.safetensors"
    if path.exists():
        try:
            stored = load(path)
            return stored["pictures"], stored["factors"]
        except (CheckpointError, KeyError, TypeError):
            print(f"{path.name} is damaged; rendering the {name} again")
    pictures = render(factors, size, progress)
    try:
        save(path, {"pictures": pictures, "factors": factors})
    except CheckpointError as error:
        print(f"The {name} are not kept: {error}")
    return pictures, factors
