"""Nearest-neighbour upsampling and convolution in one step: equal to the two steps, gradients included."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib.models.upsampling import NearestUpsampleConv2d, NearestVAE


@pytest.mark.parametrize(("C", "D", "H", "W"), [(1, 1, 1, 1), (3, 2, 4, 4), (2, 5, 3, 6)])
def test_equals_upsampling_then_convolution(C, D, H, W):
    torch.manual_seed(0)
    layer = NearestUpsampleConv2d(C, D).double()
    x = torch.randn(2, C, H, W, dtype=torch.float64, requires_grad=True)
    two_steps = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)
    assert layer(x).shape == (2, D, 2 * H, 2 * W)
    torch.testing.assert_close(layer(x), two_steps)
    weight = torch.randn_like(two_steps)
    inputs = (x, layer.weight, layer.bias)
    gradients = torch.autograd.grad((two_steps * weight).sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad((layer(x) * weight).sum(), inputs), gradients)


def test_only_the_upsampling_differs_from_the_transposed_decoder():
    model = NearestVAE(width=4, latent_size=5, activation=nn.SiLU)
    logits, mu, _ = model(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 3, 64, 64) and mu.shape == (2, 5)
    assert not any(isinstance(layer, nn.ConvTranspose2d) for layer in model.decoder)
    assert sum(isinstance(layer, NearestUpsampleConv2d) for layer in model.decoder) == 4
    assert "decoder.4.spread" not in model.state_dict()
