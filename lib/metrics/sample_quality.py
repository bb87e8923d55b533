"""How far two clouds of points are apart: samples of a generative model against true ones.

Clouds are floating point (N, D): points of the plane as they are, or features of pictures from any network. Two true
samples against each other give the floor of every distance, which depends on N. All is computed in float64 on the CPU.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

PAIRS = 2**18  # entries of the largest matrix of distances at a time: 2 MB, which a processor keeps at hand
BANDWIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0)  # of the kernels of `mmd`, for standardised data


class KID(NamedTuple):
    """Kernel distance: mean and standard deviation over the subsets."""

    mean: float
    std: float


class PrecisionRecall(NamedTuple):
    """Shares, 0 … 1: of generated points among the real ones, and of real points among the generated ones."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density, about 1 for a perfect model and possibly above; coverage, a share, 0 … 1."""

    density: float
    coverage: float


def _clouds(a, b, least=1, equal=False):
    """Both clouds in float64 on the CPU, checked."""
    for cloud in (a, b):
        if cloud.dim() != 2 or not cloud.is_floating_point() or cloud.shape[1] < 1:
            raise ValueError(f"clouds must be floating point (N, D), got {cloud.dtype} {tuple(cloud.shape)}")
        if len(cloud) < least:
            raise ValueError(f"need at least {least} points in each cloud, got {len(cloud)}: draw more")
        if not cloud.isfinite().all():
            count = (~cloud.isfinite()).any(1).sum().item()
            raise ValueError(f"{count} of {len(cloud)} points are not finite: the sampler or the training diverged")
    if a.shape[1] != b.shape[1] or (equal and len(a) != len(b)):
        need = "the same number of points and of dimensions" if equal else "points of the same number of dimensions"
        raise ValueError(f"both clouds need {need}, got {tuple(a.shape)} and {tuple(b.shape)}")
    return a.detach().cpu().double(), b.detach().cpu().double()


# --- points as they are ---------------------------------------------------------------------------------------------


def sliced_wasserstein(a: Tensor, b: Tensor, directions=500, seed=0) -> float:
    """Sliced Wasserstein-2 distance in the units of the data: (N, D), (N, D) -> a number.

    The root of the mean over random directions of the squared Wasserstein-2 distance of the projections, which in one
    dimension is the mean squared difference of the sorted values. For two clouds that differ by a shift d it is
    |d| / √D. Source: Bonneel, Rabin, Peyré and Pfister (2015), "Sliced and Radon Wasserstein barycenters of measures".

    Args:
        directions: their number. seed: fixes them.

    Raises:
        ValueError: the clouds differ in size, have another shape or values that are not finite; no directions.
    """
    a, b = _clouds(a, b, equal=True)
    if directions < 1:
        raise ValueError(f"directions must be at least 1, got {directions}")
    generator = torch.Generator().manual_seed(seed)
    unit = torch.randn(directions, a.shape[1], dtype=torch.float64, generator=generator)
    unit /= unit.norm(dim=1, keepdim=True)
    total = 0.0
    for part in unit.split(max(1, PAIRS // len(a))):
        # One projection per row, so that what is sorted lies together in memory.
        total += ((part @ a.T).sort(1).values - (part @ b.T).sort(1).values).square().mean(1).sum().item()
    return math.sqrt(total / directions)


def _kernel_sums(a, b, kernel):
    """Sum of kernel(rows of a, b) over all pairs, some rows at a time."""
    return sum(kernel(rows, b).sum(dtype=torch.float64).item() for rows in a.split(max(1, PAIRS // len(b))))


def _unbiased(a, b, kernel, diagonals):
    """Unbiased estimate of MMD²: mean kernel within a, without the diagonal, and within b, less twice that between."""
    n, m = len(a), len(b)
    within_a = (_kernel_sums(a, a, kernel) - diagonals[0]) / (n * (n - 1))
    within_b = (_kernel_sums(b, b, kernel) - diagonals[1]) / (m * (m - 1))
    return within_a + within_b - 2 * _kernel_sums(a, b, kernel) / (n * m)


def mmd(a: Tensor, b: Tensor, bandwidths=BANDWIDTHS) -> float:
    """Squared maximum mean discrepancy, unbiased: its mean is 0 for equal distributions, so it can be negative.

    Kernel: the mean of Gaussians exp(-|x - y|² / 2 s²) with the bandwidths s in the units of the data. The value is
    at most 2. Source: Gretton and others (2012), "A kernel two-sample test", lemma 6.

    Args:
        a, b: (N, D), (M, D) with at least two points each.

    Raises:
        ValueError: fewer points, another shape, values that are not finite, or bandwidths that are not positive.
    """
    a, b = _clouds(a, b, least=2)
    if not len(bandwidths) or min(bandwidths) <= 0:
        raise ValueError(f"bandwidths must be positive numbers, got {bandwidths}")

    def kernel(x, y):
        squares = torch.cdist(x, y).square_().float()  # in single precision the many exponentials cost half as much
        total = torch.exp(squares * (-0.5 / bandwidths[0] ** 2))
        for s in bandwidths[1:]:
            total += torch.exp_(squares * (-0.5 / s**2))
        return total / len(bandwidths)

    return _unbiased(a, b, kernel, (len(a), len(b)))


# --- features -------------------------------------------------------------------------------------------------------


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Wasserstein-2 distance of the normal distributions fitted to two clouds: (N, D), (M, D) -> a number.

    |μ_a - μ_b|² + tr(C_a + C_b - 2 (C_a C_b)^½), with covariances over N - 1. On features of Inception it is the FID.
    It falls with N by a bias of order 1/N, so that only equal N compare.
    Source: Heusel and others (2017), "GANs trained by a two time-scale update rule", equation 6.

    Raises:
        ValueError: fewer than two points, another shape, or values that are not finite.
    """
    a, b = _clouds(a, b, least=2)
    covariances = [torch.cov(cloud.T).reshape(a.shape[1], a.shape[1]) for cloud in (a, b)]
    # The eigenvalues of C_a C_b are those of R C_b R with the symmetric root R of C_a, which is symmetric itself.
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return max(0.0, (shift + covariances[0].trace() + covariances[1].trace() - 2 * cross).item())


def kid(a: Tensor, b: Tensor, subsets=100, subset_size=1000, seed=0) -> KID:
    """Kernel inception distance of features: unbiased MMD² with the kernel (x · y / D + 1)³, over random subsets.

    Source: Bińkowski, Sutherland, Arbel and Gretton (2018), "Demystifying MMD GANs", section 4.

    Args:
        a, b: (N, D), (M, D). subsets: their number. subset_size: points of each in a subset. seed: of the subsets.

    Returns:
        `KID`, whose standard deviation is that between subsets, not the error of the mean.

    Raises:
        ValueError: subsets of fewer than two or of more points than there are, or as in `frechet_distance`.
    """
    a, b = _clouds(a, b, least=2)
    if subsets < 1 or not 2 <= subset_size <= min(len(a), len(b)):
        raise ValueError(
            f"need subsets ≥ 1 and 2 ≤ subset_size ≤ {min(len(a), len(b))}, the points there are; got {subsets} and "
            f"{subset_size}"
        )
    generator = torch.Generator().manual_seed(seed)

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    values = []
    for _ in range(subsets):
        parts = [cloud[torch.randperm(len(cloud), generator=generator)[:subset_size]] for cloud in (a, b)]
        diagonals = [((part.square().sum(1) / part.shape[1] + 1) ** 3).sum().item() for part in parts]
        values.append(_unbiased(*parts, kernel, diagonals))
    values = torch.tensor(values, dtype=torch.float64)
    return KID(values.mean().item(), values.std(correction=0).item())


def _radii(cloud, k):
    """Distance of every point to its k-th nearest neighbour, itself not counted: (N, D) -> (N,)."""
    parts = cloud.split(max(1, PAIRS // len(cloud)))
    return torch.cat([torch.cdist(rows, cloud).kthvalue(k + 1).values for rows in parts])


def _within(points, centres, radii):
    """In how many of the balls every point lies: (N, D), (M, D), (M,) -> (N,)."""
    parts = points.split(max(1, PAIRS // len(centres)))
    return torch.cat([(torch.cdist(rows, centres) <= radii).sum(1) for rows in parts])


def _with_neighbours(real, generated, k):
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return _clouds(real, generated, least=k + 1)


def precision_recall(real: Tensor, generated: Tensor, k=3) -> PrecisionRecall:
    """Improved precision and recall: (N, D), (M, D) -> two shares.

    The real points' region is the union of balls around each that reach to its k-th nearest neighbour. Precision is the
    share of generated points in it; recall is the same the other way round. Two equal distributions do not give 1.
    Source: Kynkäänniemi and others (2019), "Improved precision and recall metric for assessing generative models".

    Raises:
        ValueError: k < 1, k points or fewer in a cloud, another shape, or values that are not finite.
    """
    real, generated = _with_neighbours(real, generated, k)
    precision = (_within(generated, real, _radii(real, k)) > 0).double().mean()
    recall = (_within(real, generated, _radii(generated, k)) > 0).double().mean()
    return PrecisionRecall(precision.item(), recall.item())


def density_coverage(real: Tensor, generated: Tensor, k=5) -> DensityCoverage:
    """Density and coverage: (N, D), (M, D) -> two numbers.

    With the balls of `precision_recall` around real points only, which a few stray generated points cannot enlarge:
    density is the mean number of balls that a generated point lies in, over k; coverage is the share of balls with a
    generated point in them, for equal distributions and N = M about 1 - 2^-k.
    Source: Naeem, Oh, Uh, Choi and Yoo (2020), "Reliable fidelity and diversity metrics for generative models".

    Raises:
        ValueError: as in `precision_recall`.
    """
    real, generated = _with_neighbours(real, generated, k)
    radii = _radii(real, k)
    density = _within(generated, real, radii).double().mean() / k
    # A ball is covered if the nearest generated point lies in it.
    parts = real.split(max(1, PAIRS // len(generated)))
    nearest = torch.cat([torch.cdist(rows, generated).min(1).values for rows in parts])
    return DensityCoverage(density.item(), (nearest <= radii).double().mean().item())
