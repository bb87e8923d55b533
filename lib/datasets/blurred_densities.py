"""Known densities in the plane after noise was added to their points: what a perfect network at that noise knows."""

import math

import numpy as np
import torch
from torch import Tensor

from lib.datasets.densities import CHECKERBOARD, MIXTURES, Ink, log_density


def blurred_log_density(density, x: Tensor, width: float) -> Tensor:
    """Log density in nats of x_0 + width · ε, with x_0 from a known density and ε ~ N(0, 1): (N, 2) -> (N,).

    Exact for mixtures and for pictures, whose every pixel becomes a product of differences of error functions; for the
    rings and the pinwheel by the quadrature of Gauss and Hermite with 7 × 7 nodes, whose error is below 1e-6 nats while
    `width` is at most a sixth of the width of their lines.

    Args:
        density: a name in KNOWN, or what `from_text` or `from_image` returns. width: of the noise, in standard
            deviations of the data.

    Raises:
        ValueError: as in `log_density`, or a width that is not positive.
    """
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    log_density(density, x[:1])  # refuses what is not known
    points = x.cpu().double()
    if density in MIXTURES:  # every component's covariance grows by width² in all directions
        weights, means, values, vectors = MIXTURES[density]
        along = torch.einsum("nki,kij->nkj", points[:, None] - means, vectors)  # the axes of each component
        logs = -0.5 * (along.square() / (values + width**2) + (2 * math.pi * (values + width**2)).log()).sum(2)
        return (logs + weights.log()).logsumexp(1).to(x)
    ink = CHECKERBOARD if density == "checkerboard" else density if isinstance(density, Ink) else None
    if ink is None:
        nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(7))
        shifts = width * torch.cartesian_prod(nodes, nodes)
        shares = torch.outer(weights, weights).flatten() / (2 * math.pi)
        logs = torch.stack([log_density(density, points + shift) for shift in shifts], dim=1)
        return (logs + shares.log()).logsumexp(1).to(x)
    lower, upper = ((ink.corners + step - ink.mean) / ink.std for step in (0, 1))  # of every pixel, (K, 2)
    inside = [
        (torch.special.ndtr((upper - part[:, None]) / width) - torch.special.ndtr((lower - part[:, None]) / width))
        .prod(-1)
        .sum(-1)
        for part in points.split(100)  # bounds the memory
    ]
    return (torch.cat(inside).log() - ink.entropy()).to(x)
