"""A U-Net of ConvNeXt blocks: down to coarse pictures, up again, and across."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sizes
from lib.models.padding import PaddedConv2d


class ConvNeXtBlock(nn.Module):
    """x + γ · MLP(LayerNorm(depthwise(x))): every channel looks around by itself, then the channels of a cell talk.

    The depthwise convolution mixes space and no channels, the two linear layers mix channels and no space, so a
    7 × 7 neighbourhood costs 49 weights per channel instead of 49 per pair of channels.
    Source: Liu et al. (2022), "A ConvNet for the 2020s". Here γ starts at 0.1 instead of 1e-6: with a handful of blocks
    nothing needs to be silenced at first.

    Args:
        channels: C. kernel_size: of the depthwise convolution, odd. padding: see `lib.models.pad`.
        expansion: hidden width of the linear layers in units of C. norm: False leaves the LayerNorm out.
    """

    def __init__(
        self, channels: int, kernel_size: int = 7, padding: str = "zeros", expansion: int = 4, norm: bool = True
    ):
        super().__init__()
        check_sizes(channels=channels, expansion=expansion)
        self.depthwise = PaddedConv2d(channels, channels, kernel_size, padding, groups=channels)
        self.norm = nn.LayerNorm(channels) if norm else nn.Identity()
        self.expand = nn.Linear(channels, expansion * channels)
        self.project = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))  # γ

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        h = self.depthwise(x).permute(0, 2, 3, 1)  # (B, H, W, C): a view, if memory is channels-last
        h = self.project(F.gelu(self.expand(self.norm(h))))
        return x + (self.scale * h).permute(0, 3, 1, 2)


class UNet(nn.Module):
    """U-Net: (B, c_in, H, W) -> (B, c_out, H, W), for H and W that the product of the factors divides.

    Encoder module i has num_block_list[i] ConvNeXt blocks of c_list[i] channels and then shrinks the picture by
    spatial_factor_list[i]; decoder module i enlarges it again and has as many blocks. Between the last encoder and the
    first decoder module, at the bottom, lie as many blocks as in these two, or a number of their own.
    Source: Ronneberger, Fischer and Brox (2015), "U-Net", with ConvNeXt blocks for pairs of 3 × 3 convolutions, strided
    convolutions for max-pooling, and padding, so that the output is as large as the input. The last convolution starts
    at zero: an untrained network adds nothing.

    Args:
        c_in, c_out: channels of input and output. c_list: channels of the levels, from the finest to the coarsest.
        spatial_factor_list: one factor less than levels. num_block_list: blocks of each encoder and decoder module (0
            is allowed), one entry for each factor; one more, if given, is for the bottom.
        padding, kernel_size, expansion, norm: see `ConvNeXtBlock`.

    Raises:
        ValueError: the lists do not fit together or hold impossible numbers.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        c_list: list[int],
        spatial_factor_list: list[int],
        num_block_list: list[int],
        padding: str = "zeros",
        kernel_size: int = 7,
        expansion: int = 4,
        norm: bool = True,
    ):
        super().__init__()
        c_list, factors, num_blocks = list(c_list), list(spatial_factor_list), list(num_block_list)
        if len(num_blocks) == len(factors) > 0:
            num_blocks.append(num_blocks[-1])
        if not len(c_list) == len(factors) + 1 == len(num_blocks):
            raise ValueError(
                "need one more entry in c_list than in spatial_factor_list, and in num_block_list as many as in "
                "spatial_factor_list, or one more for the bottom (a network of one level is nothing but bottom); got "
                f"c_list={c_list}, spatial_factor_list={factors}, num_block_list={num_block_list}"
            )
        check_sizes(c_in=c_in, c_out=c_out, c_list=c_list, spatial_factor_list=factors)
        check_sizes(smallest=0, num_block_list=num_blocks)

        def blocks(level):
            options = {"kernel_size": kernel_size, "padding": padding, "expansion": expansion, "norm": norm}
            return nn.Sequential(*(ConvNeXtBlock(c_list[level], **options) for _ in range(num_blocks[level])))

        self.c_in, self.c_out, self.c_list, self.spatial_factor_list = c_in, c_out, c_list, factors
        self.num_block_list = num_blocks  # with the bottom's
        levels = range(len(factors))  # all but the lowest
        self.stem = PaddedConv2d(c_in, c_list[0], 3, padding)
        self.encoder = nn.ModuleList(blocks(i) for i in levels)
        self.down = nn.ModuleList(nn.Conv2d(c_list[i], c_list[i + 1], factors[i], stride=factors[i]) for i in levels)
        self.bottom = blocks(-1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(c_list[i + 1], c_list[i], factors[i], stride=factors[i]) for i in levels
        )
        self.merge = nn.ModuleList(nn.Conv2d(2 * c_list[i], c_list[i], 1) for i in levels)
        self.decoder = nn.ModuleList(blocks(i) for i in levels)
        self.head = PaddedConv2d(c_list[0], c_out, 3, padding)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.to(memory_format=torch.channels_last)  # the layout in which depthwise and 1 × 1 convolutions are fast

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H, W).

        Raises:
            ValueError: x has not four axes, another number of channels, or a size that the factors do not divide.
        """
        total = math.prod(self.spatial_factor_list)
        if x.dim() != 4 or x.shape[1] != self.c_in:
            raise ValueError(f"x must be (B, {self.c_in}, H, W), but its shape is {tuple(x.shape)}")
        if x.shape[2] % total or x.shape[3] % total or not x.shape[2] * x.shape[3]:
            raise ValueError(
                f"height and width must be multiples of {total}, the product of the spatial factors "
                f"{self.spatial_factor_list}; got {x.shape[2]} × {x.shape[3]}: pad x, or choose other factors"
            )
        x = self.stem(x.contiguous(memory_format=torch.channels_last))  # (B, C_0, H, W)
        skips = []
        for blocks, down in zip(self.encoder, self.down, strict=True):
            skips.append(blocks(x))
            x = down(skips[-1])  # (B, C_i, H, W) -> (B, C_{i+1}, H / f, W / f)
        x = self.bottom(x)
        for level in reversed(range(len(skips))):
            across = torch.cat([skips[level], self.up[level](x)], dim=1)  # (B, 2 C_i, H, W)
            x = self.decoder[level](self.merge[level](across))
        return self.head(x)
