"""Blurred densities are means of the sharp ones."""

import pytest
import torch

from lib.datasets.blurred_densities import blurred_log_density
from lib.datasets.densities import KNOWN, from_text, log_density, sample


@pytest.mark.parametrize("name", [*KNOWN, "text"])
def test_blurred_densities_are_means_of_the_density_around_a_point(name):
    """Against a plain mean over the same density: the blurred one at x is the mean of p(x - width ε)."""
    density, width = (from_text("ab") if name == "text" else name), 0.01
    x = sample(density, 30, torch.Generator().manual_seed(0)).double()
    noise = torch.randn(40_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = blurred_log_density(density, x, width).exp()
    for point, value in zip(x, found, strict=True):
        around = log_density(density, point + width * noise).exp()
        assert abs(around.mean() - value) < 5 * around.std() / 200 + 1e-4 * value
    with pytest.raises(ValueError, match="must be positive"):
        blurred_log_density(density, x, 0.0)
