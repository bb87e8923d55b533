"""A decoder that enlarges by nearest-neighbour upsampling and convolution, and a variational autoencoder with it."""

import torch
from torch import Tensor, nn

from lib.models.vae import ConvVAE


class NearestUpsampleConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then a 3 × 3 convolution: (B, C, H, W) -> (B, D, 2 H, 2 W).

    Every output pixel sees at most 2 × 2 different input pixels, so both steps together are one transposed convolution
    with kernel 4 and stride 2 whose kernel has 9 free values instead of 16: along each axis the weights (a, b, c)
    become (c, b + c, a + b, a). Computed like that, they cost as much as a transposed convolution, four ninths of the
    two steps. Source of the two steps: Odena, Dumoulin and Olah (2016), "Deconvolution and checkerboard artifacts".

    Args:
        in_channels, out_channels: C, D. bias: whether the convolution has one.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)
        spread = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
        self.register_buffer("spread", spread, persistent=False)  # (4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The enlarged pictures."""
        kernel = torch.einsum("ai,dcij,bj->cdab", self.spread, self.weight.flip(2, 3), self.spread)  # (C, D, 4, 4)
        return nn.functional.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)


class NearestVAE(ConvVAE):
    """`ConvVAE` whose decoder enlarges by `NearestUpsampleConv2d` where that has transposed convolutions.

    Arguments and errors are those of `ConvVAE`.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        for number, layer in enumerate(self.decoder):
            if isinstance(layer, nn.ConvTranspose2d):
                self.decoder[number] = NearestUpsampleConv2d(layer.in_channels, layer.out_channels)
