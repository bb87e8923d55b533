"""A Fourier neural operator: layers that mix a whole field at once, wave by wave."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sizes
from lib.models.padding import PADDINGS


def continued(x: Tensor, mode: str) -> Tensor:
    """One period of a field that goes on for ever: (B, C, H, W) -> (B, C, H', W'), with x in its upper left corner.

    "circular": the field itself. "odd": a membrane held at 0 one cell outside the grid, mirrored there with changed
    sign, H' = 2 (H + 1). "zeros": as many zeros as there are cells, H' = 2 H, which keeps the two ends apart.
    """
    for axis in (2, 3) if mode != "circular" else ():
        wall = torch.zeros_like(x.narrow(axis, 0, 1))
        x = torch.cat([x, wall, -x.flip(axis), wall] if mode == "odd" else [x, torch.zeros_like(x)], axis)
    return x


class SpectralConv2d(nn.Module):
    """A convolution as large as the field, of which only the long waves are learnt: (B, C, H, W) -> (B, C, H, W).

    The field is continued periodically and Fourier transformed; each of the `modes` longest waves along either axis, in
    both directions along the first, is multiplied by a complex matrix (C, C) of its own, and all others by zero.
    Source: Li et al. (2021), "Fourier neural operator for parametric partial differential equations".

    Args:
        channels: C. modes: waves kept along each axis, the constant included. padding: see `continued`.

    Raises:
        ValueError: an unknown padding, or numbers that are not positive; on call, more modes than the field has.
    """

    def __init__(self, channels: int, modes: int, padding: str = "zeros"):
        super().__init__()
        check_sizes(channels=channels, modes=modes)
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {padding!r}")
        self.modes, self.padding = modes, padding
        # Real and imaginary part stand apart, so that optimisers, clipping and files meet real numbers only.
        self.weight = nn.Parameter(torch.randn(2 * modes, modes, channels, channels, 2) / channels)

    def forward(self, x: Tensor) -> Tensor:
        (height, width), kept = x.shape[2:], self.modes
        wide = continued(x, self.padding)
        if 2 * kept > min(wide.shape[2], 2 * (wide.shape[3] // 2 + 1)):
            raise ValueError(
                f"a field of {height} × {width} cells has fewer than {kept} waves along an axis: lower modes"
            )
        waves = torch.fft.rfft2(wide)  # (B, C, H', W' // 2 + 1); negative frequencies are the last rows
        long = torch.cat([waves[:, :, :kept, :kept], waves[:, :, -kept:, :kept]], dim=2)
        long = torch.einsum("bihw,hwio->bohw", long, torch.view_as_complex(self.weight))
        out = torch.zeros_like(waves)
        out[:, :, :kept, :kept], out[:, :, -kept:, :kept] = long.split(kept, dim=2)
        return torch.fft.irfft2(out, s=wide.shape[2:])[:, :, :height, :width]


class FourierOperator(nn.Module):
    """Fourier neural operator: (B, c_in, H, W) -> (B, c_out, H, W), for fields of any size that has enough waves.

    Every layer adds a spectral convolution, which sees the whole field, to a 1 × 1 convolution, which sees one cell
    with all its short waves; GELU between layers. The last convolution starts at zero: an untrained network adds
    nothing.
    Source: Li et al. (2021).

    Args:
        c_in, c_out: channels of input and output. channels: of the layers. modes, padding: see `SpectralConv2d`.
        num_layers: spectral convolutions, one after the other.
    """

    def __init__(self, c_in: int, c_out: int, channels: int, modes: int, num_layers: int = 4, padding: str = "zeros"):
        super().__init__()
        check_sizes(c_in=c_in, c_out=c_out, num_layers=num_layers)
        self.lift = nn.Conv2d(c_in, channels, 1)
        self.spectral = nn.ModuleList(SpectralConv2d(channels, modes, padding) for _ in range(num_layers))
        self.local = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(num_layers))
        self.head = nn.Conv2d(channels, c_out, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H, W)."""
        x = self.lift(x)
        for number, (spectral, local) in enumerate(zip(self.spectral, self.local, strict=True), 1):
            x = spectral(x) + local(x)
            x = F.gelu(x) if number < len(self.local) else x
        return self.head(x)
