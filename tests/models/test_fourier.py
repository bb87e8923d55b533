"""The Fourier neural operator: its convolution against a sum, what it does at the walls, and what it refuses."""

import pytest
import torch

from lib.models import FourierOperator, SpectralConv2d, pad
from lib.models.fourier import continued

torch.manual_seed(0)


def circular_sum(x, kernel):
    """Σ_{r,s} K[r, s] x[i - r, j - s] around the torus: the convolution written out, (C, H, W), (C, C, H, W)."""
    shifted = torch.stack([x.roll((r, s), (1, 2)) for r in range(x.shape[1]) for s in range(x.shape[2])])
    return torch.einsum("nchw,con->ohw", shifted, kernel.flatten(2))


def kernel_of(layer, height, width):
    """The convolution's kernel: its answers to a one in one cell of each channel, (C_in, C_out, H, W)."""
    channels = layer.weight.shape[2]
    ones = torch.zeros(channels, channels, height, width, dtype=torch.float64)
    ones[range(channels), range(channels), 0, 0] = 1
    return layer(ones)


def test_it_is_a_convolution_around_the_torus():
    layer, x = SpectralConv2d(3, 2, "circular").double(), torch.randn(3, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(layer(x[None])[0], circular_sum(x, kernel_of(layer, 6, 8)))


def test_short_waves_do_not_pass():
    layer = SpectralConv2d(1, 3, "circular").double()
    cells = torch.arange(16, dtype=torch.float64)
    for waves, passes in ((2, True), (3, False), (5, False)):  # modes 0, 1 and 2 along the second axis
        field = torch.cos(2 * torch.pi * waves * cells / 16).expand(1, 1, 16, 16)
        assert (layer(field).abs().max() > 1e-6) == passes


def test_the_odd_continuation_is_that_of_pad():
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    wide = continued(x, "odd")
    assert wide.shape == (2, 3, 12, 10)
    assert torch.equal(wide.roll((3, 3), (2, 3))[:, :, :11], pad(x, 3, "odd"))
    assert torch.equal(continued(x, "zeros")[:, :, :5, :4], x) and continued(x, "zeros").sum().isclose(x.sum())
    assert continued(x, "circular") is x


@pytest.mark.parametrize("padding", ["zeros", "odd", "circular"])
def test_gradients_are_right(padding):
    layer = SpectralConv2d(2, 2, padding).double()
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(layer, {"weight": w}, x), (x, layer.weight))


def test_an_untrained_operator_adds_nothing_and_fits_any_size():
    model = FourierOperator(2, 3, channels=4, modes=3, num_layers=2, padding="odd")
    for size in ((6, 9), (16, 8)):
        out = model(torch.randn(5, 2, *size))
        assert out.shape == (5, 3, *size) and not out.any()
    model.head.weight.data.normal_()
    model(torch.randn(5, 2, 6, 9)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_what_is_impossible_is_refused():
    with pytest.raises(ValueError, match="zeros, odd, circular"):
        SpectralConv2d(1, 1, "mirror")
    with pytest.raises(ValueError, match="modes must be"):
        FourierOperator(1, 1, 2, 0)
    with pytest.raises(ValueError, match="6 × 6 cells has fewer than 4 waves .* lower modes"):
        SpectralConv2d(1, 4, "circular")(torch.zeros(1, 1, 6, 6))
