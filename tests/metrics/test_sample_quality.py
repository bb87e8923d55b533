"""Distances of clouds: against brute force, known answers for normal distributions, and other implementations."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from lib.datasets.torchvision_compat import import_torchvision  # which torchmetrics.image needs
from lib.metrics import sample_quality
from lib.metrics.sample_quality import (
    density_coverage,
    frechet_distance,
    kid,
    mmd,
    precision_recall,
    sliced_wasserstein,
)


def cloud(N=60, D=3, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, D, dtype=torch.float64, generator=generator) * torch.linspace(1, 2, D) + shift


def distances(a, b):
    return (a[:, None] - b[None]).square().sum(-1).sqrt()


# --- sliced Wasserstein ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 2, 5])
def test_sliced_wasserstein_of_a_shift_is_its_mean_projection(D):
    a, shift = cloud(200, D), torch.arange(1.0, D + 1)
    assert sliced_wasserstein(a, a) == 0
    found = sliced_wasserstein(a, a + shift, directions=4000)
    assert found == pytest.approx(shift.norm().item() / math.sqrt(D), rel=0.05), "|d| / √D"
    assert sliced_wasserstein(3 * a, 3 * (a + shift), 4000) == pytest.approx(3 * found), "in the units of the data"


def test_sliced_wasserstein_of_a_scaled_cloud():
    """W2 of N(0, 1) and N(0, s²) is |s - 1| in every direction."""
    a = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0))
    assert sliced_wasserstein(a, 1.5 * a, directions=100) == pytest.approx(0.5, rel=0.03)


def test_sliced_wasserstein_is_symmetric_seeded_and_blind_to_the_order():
    a, b = cloud(), cloud(seed=1)
    found = sliced_wasserstein(a, b)
    assert found == pytest.approx(sliced_wasserstein(b, a)) and found == sliced_wasserstein(a, b)
    assert found == pytest.approx(sliced_wasserstein(a.flip(0), b))
    assert found != sliced_wasserstein(a, b, seed=1)


def test_sliced_wasserstein_in_one_dimension_is_the_best_matching():
    from scipy.optimize import linear_sum_assignment

    a, b = cloud(30, 1), cloud(30, 1, seed=1)
    costs = distances(a, b).square().numpy()
    best = costs[linear_sum_assignment(costs)].mean()
    assert sliced_wasserstein(a, b, directions=3) == pytest.approx(math.sqrt(best))


# --- kernels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "M"), [(2, 2), (40, 25), (600, 700)])  # the last ones in several parts
def test_mmd_against_brute_force(N, M):
    a, b = cloud(N), cloud(M, seed=1, shift=0.5)

    def kernel(x, y):
        return sum(torch.exp(-distances(x, y).square() / (2 * s * s)) for s in (0.5, 2.0)) / 2

    within_a, within_b = kernel(a, a), kernel(b, b)
    within_a.fill_diagonal_(0), within_b.fill_diagonal_(0)
    expected = within_a.sum() / (N * (N - 1)) + within_b.sum() / (M * (M - 1)) - 2 * kernel(a, b).mean()
    assert mmd(a, b, bandwidths=(0.5, 2.0)) == pytest.approx(expected.item(), abs=1e-6)


def test_mmd_of_normal_distributions():
    """E k(x, y) for x - y ~ N(m, v) in one dimension is s / √(s² + v) exp(-m² / 2(s² + v))."""
    s, shift, values = 1.0, 0.7, []
    for seed in range(40):
        a, b = cloud(300, 1, seed), cloud(300, 1, 100 + seed) + shift
        values.append(mmd(a, b, bandwidths=(s,)))
    expected = 2 * s / math.sqrt(s * s + 2) * (1 - math.exp(-(shift**2) / (2 * (s * s + 2))))
    error = np.std(values) / math.sqrt(len(values))
    assert np.mean(values) == pytest.approx(expected, abs=3 * error), "unbiased"


def test_mmd_of_equal_distributions_is_zero_in_the_mean():
    values = np.array([mmd(cloud(60, 2, seed), cloud(60, 2, 1000 + seed)) for seed in range(60)])
    assert abs(values.mean()) < 3 * values.std() / math.sqrt(len(values)) and (values < 0).any()


def test_kid_against_torchmetrics():
    import_torchvision()
    from torchmetrics.image import kid as other

    a, b = cloud(50, 8), cloud(40, 8, seed=1, shift=0.3)
    expected = other.poly_mmd(a[:30], b[:30]).item()
    found = kid(a[:30], b[:30], subsets=4, subset_size=30)
    assert found.mean == pytest.approx(expected) and found.std == pytest.approx(0, abs=1e-9), (
        "all points in each subset"
    )
    several = kid(a, b, subsets=20, subset_size=20)
    assert several.std > 0 and several == kid(a, b, subsets=20, subset_size=20)
    assert several != kid(a, b, subsets=20, subset_size=20, seed=1)


def test_kid_against_brute_force():
    a, b = cloud(12, 4), cloud(12, 4, seed=1)
    within_a, within_b, between = ((x @ y.T / 4 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within_a.fill_diagonal_(0), within_b.fill_diagonal_(0)
    expected = (within_a.sum() + within_b.sum()) / (12 * 11) - 2 * between.mean()
    assert kid(a, b, subsets=1, subset_size=12).mean == pytest.approx(expected.item())


# --- Fréchet distance -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "D"), [(50, 1), (60, 3), (5, 12)])  # the last one with singular covariances
def test_frechet_distance_against_the_definition(N, D):
    a, b = cloud(N, D), cloud(N + 7, D, seed=1, shift=0.5)
    first, second = (np.atleast_2d(np.cov(x.numpy().T)) for x in (a, b))
    cross = np.trace(np.real(sqrtm(first @ second + 1e-12 * np.eye(D))))
    shift = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = shift + np.trace(first) + np.trace(second) - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_against_torchmetrics():
    import_torchvision()
    from torchmetrics.image import fid as other

    a, b = cloud(80, 4), cloud(70, 4, seed=1, shift=0.2)
    expected = other._compute_fid(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T)).item()
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_frechet_distance_of_a_shifted_and_stretched_cloud():
    a = cloud(500, 2)
    assert frechet_distance(a, a + torch.tensor([3.0, 4.0])) == pytest.approx(25)
    stretched = frechet_distance(a, a.mean(0) + 2 * (a - a.mean(0)))
    assert stretched == pytest.approx(torch.cov(a.T).trace().item()), "|2σ - σ|² along every axis"


# --- neighbours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("N", "M"), [(30, 20), (700, 800)])  # the last ones in several parts
def test_neighbours_against_brute_force(N, M, k):
    real, fake = cloud(N), cloud(M, seed=1, shift=0.7)
    within_real, within_fake, between = distances(real, real), distances(fake, fake), distances(real, fake)
    real_radii = within_real.sort(1).values[:, k]  # column 0 is the point itself
    fake_radii = within_fake.sort(1).values[:, k]
    inside = between <= real_radii[:, None]  # (N, M)
    found = precision_recall(real, fake, k)
    assert found.precision == pytest.approx(inside.any(0).double().mean().item())
    assert found.recall == pytest.approx((between <= fake_radii).any(1).double().mean().item())
    found = density_coverage(real, fake, k)
    assert found.density == pytest.approx(inside.sum().item() / (k * M))
    assert found.coverage == pytest.approx(inside.any(1).double().mean().item())


def test_neighbours_of_equal_distributions():
    real, fake = cloud(1500, 2), cloud(1500, 2, seed=1)
    assert precision_recall(real, real) == (1, 1)
    assert density_coverage(real, fake).density == pytest.approx(1, abs=0.1)
    assert density_coverage(real, fake, k=5).coverage == pytest.approx(1 - 2**-5, abs=0.02), "1 - 2^-k"


def test_a_model_that_misses_half_has_precision_without_recall_and_the_other_way_round():
    real = torch.cat([cloud(500, 2), cloud(500, 2, seed=1, shift=50)])
    half, wide = cloud(1000, 2, seed=2), torch.cat([cloud(500, 2, seed=3), 200 + cloud(500, 2, seed=4)])
    found = precision_recall(real, half)
    assert found.precision > 0.9 and 0.4 < found.recall < 0.55
    assert precision_recall(real, wide).precision < 0.55 and density_coverage(real, half).coverage < 0.55


# --- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "clouds of unequal size": (lambda: sliced_wasserstein(cloud(5), cloud(6)), r"same number .*\(5, 3\) and \(6, 3\)"),
    "other dimensions": (lambda: mmd(cloud(5, 2), cloud(5, 3)), r"\(5, 2\) and \(5, 3\)"),
    "whole numbers": (lambda: mmd(torch.ones(4, 2).long(), cloud(4, 2)), "floating point .*int64"),
    "a single axis": (lambda: frechet_distance(torch.ones(4), torch.ones(4)), r"\(N, D\), got .*\(4,\)"),
    "a point for which sampling diverged": (lambda: sliced_wasserstein(cloud(1) / 0, cloud(1)), "1 of 1 .* diverged"),
    "no directions": (lambda: sliced_wasserstein(cloud(4), cloud(4), directions=0), "at least 1"),
    "no bandwidth": (lambda: mmd(cloud(4), cloud(4), bandwidths=()), "positive"),
    "a bandwidth of 0": (lambda: mmd(cloud(4), cloud(4), bandwidths=(1.0, 0.0)), "positive"),
    "one point": (lambda: frechet_distance(cloud(1), cloud(5)), "at least 2 points"),
    "too large subsets": (lambda: kid(cloud(5), cloud(9), subset_size=6), "subset_size ≤ 5"),
    "no neighbours": (lambda: precision_recall(cloud(3), cloud(9), k=3), "at least 4 points .* got 3"),
    "k = 0": (lambda: density_coverage(cloud(3), cloud(9), k=0), "k must be at least 1"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_named(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()


def test_results_do_not_depend_on_how_many_pairs_are_taken_at_a_time(monkeypatch):
    a, b = cloud(50), cloud(50, seed=1)

    def scores():
        return [sliced_wasserstein(a, b), mmd(a, b), *precision_recall(a, b), *density_coverage(a, b)]

    expected = scores()
    monkeypatch.setattr(sample_quality, "PAIRS", 7)
    assert scores() == pytest.approx(expected, abs=1e-7)
