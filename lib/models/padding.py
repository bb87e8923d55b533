"""How a picture goes on beyond its edges, and convolutions that keep its size; fast depthwise gradients on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sizes

PADDINGS = ("zeros", "odd", "circular")
TILE = 16  # side of the tiles in which `_Depthwise` sums a weight's gradient; the fastest of 4, 8, 16 where measured


def pad(x: Tensor, width: int, mode: str = "zeros") -> Tensor:
    """Add `width` cells on all four sides: (B, C, H, W) -> (B, C, H + 2 width, W + 2 width).

    "odd" mirrors about a ghost cell of value 0 with changed sign: …, -u_1, -u_0, 0 | u_0, u_1, … This continues a
    membrane that is held at 0 one cell outside the grid: a wave running through the wall meets its own negative.

    Raises:
        ValueError: an unknown mode, or a field too small to be continued that far.
    """
    if mode not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {mode!r}")
    if width == 0:
        return x
    if mode == "zeros":
        return F.pad(x, (width,) * 4)
    if width > min(x.shape[2:]):
        raise ValueError(f"a field of {x.shape[2]} × {x.shape[3]} cells cannot be continued by {width} cells")
    if mode == "circular":
        return F.pad(x, (width,) * 4, mode="circular")
    for axis in (2, 3):
        wall = torch.zeros_like(x.narrow(axis, 0, 1))
        near = x.narrow(axis, 0, width - 1).flip(axis).neg()
        far = x.narrow(axis, x.shape[axis] - width + 1, width - 1).flip(axis).neg()
        x = torch.cat([near, wall, x, wall, far], axis)
    return x


class _Depthwise(torch.autograd.Function):
    """Depthwise correlation of `x` (already padded) with `weight`; on a CPU torch's own gradient of a 7 × 7 kernel
    takes up to 30 times the forward pass.

    The gradient of x is a correlation of the padded output gradient with the turned kernel, so it is computed by the
    fast forward routine. The gradient of the weight correlates x with the output gradient, which is as large as the
    picture; no routine is fast for such a kernel. Cut into tiles it is: every tile of every picture becomes a channel
    of one more depthwise correlation, and the results are added up.
    """

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, groups=len(weight))

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        channels, _, size, _ = weight.shape
        for_x = for_weight = None
        if ctx.needs_input_grad[0]:
            for_x = F.conv2d(gradient, weight.flip(2, 3), padding=size - 1, groups=channels)
        if ctx.needs_input_grad[1]:
            for_weight = _weight_gradient(x, gradient, size)
        return for_x, for_weight


def _weight_gradient(x, gradient, size):
    """Sum over b, i, j of x[b, c, i + k, j + l] * gradient[b, c, i, j]: (C, 1, size, size)."""
    B, C, H, W = gradient.shape
    tile = min(TILE, H, W)
    missing = (-W % tile, -H % tile)
    if any(missing):
        gradient, x = (F.pad(t, (0, missing[0], 0, missing[1])) for t in (gradient, x))
    # One channel per tile: (B, C, …) -> (1, tiles * B * C, …), in the order channels-last memory has anyway.
    reach = tile + size - 1
    windows = x.permute(0, 2, 3, 1).unfold(1, reach, tile).unfold(2, reach, tile)  # (B, n, m, C, y, x)
    windows = windows.permute(4, 5, 1, 2, 0, 3).reshape(1, reach, reach, -1).permute(0, 3, 1, 2)
    tiles = gradient.permute(0, 2, 3, 1).unfold(1, tile, tile).unfold(2, tile, tile)
    tiles = tiles.permute(4, 5, 1, 2, 0, 3).reshape(tile, tile, 1, -1).permute(3, 2, 0, 1)
    parts = F.conv2d(windows, tiles, groups=len(tiles))  # (1, n * m * B * C, size, size)
    return parts.view(-1, C, 1, size, size).sum(0)


class PaddedConv2d(nn.Conv2d):
    """`nn.Conv2d` of odd kernel size and stride 1 that keeps the size of the picture, with any padding of `pad`.

    Weights and results are those of `nn.Conv2d`; a depthwise one (groups = channels) computes its gradients on a CPU
    several times faster.

    Raises:
        ValueError: an even kernel size, or an unknown padding.
    """

    def __init__(self, c_in: int, c_out: int, kernel_size: int, padding: str = "zeros", groups: int = 1):
        check_sizes(c_in=c_in, c_out=c_out, kernel_size=kernel_size, groups=groups)
        if kernel_size % 2 == 0:
            raise ValueError(f"the kernel size must be odd, so that the picture keeps its size; got {kernel_size}")
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {padding!r}")
        super().__init__(c_in, c_out, kernel_size, groups=groups)
        self.mode, self.width = padding, kernel_size // 2

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H, W)."""
        x = pad(x, self.width, self.mode)
        if self.groups == self.in_channels == self.out_channels > 1 and x.device.type == "cpu":
            return _Depthwise.apply(x, self.weight) + self.bias.view(-1, 1, 1)
        return super().forward(x)
