"""Convolution over time from `nn.Linear`, and three networks made of it: strided, pooled, and causal with dilation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sequence, check_sizes


class Conv1d(nn.Module):
    """One linear layer applied to every window of the sequence: (B, C, T) -> (B, O, L), without padding.

    A window takes `kernel_size` values per channel, `dilation` steps apart, and so spans
    (kernel_size - 1) * dilation + 1 steps; windows start `stride` steps apart: L = (T - span) // stride + 1 of them.
    `linear.weight.view(out_channels, in_channels, kernel_size)` is the weight of `nn.Conv1d`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 3, dilation: int = 1):
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        check_sizes(stride=stride, dilation=dilation)
        self.in_channels, self.kernel_size, self.stride, self.dilation = in_channels, kernel_size, stride, dilation
        self.span = (kernel_size - 1) * dilation + 1
        self.linear = nn.Linear(in_channels * kernel_size, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, O, L).

        Raises:
            ValueError: x has not three axes, has another number of channels, or is shorter than one window.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.in_channels, "(B, C, T)")
        if x.shape[2] < self.span:
            raise ValueError(
                f"x has {x.shape[2]} time steps, but a window spans {self.span}: pad x at one end by F.pad"
            )
        windows = x.unfold(2, self.span, self.stride)[..., :: self.dilation]  # (B, C, T) -> (B, C, L, K), a view
        rows = windows.transpose(1, 2).flatten(2)  # (B, L, C * K)
        return self.linear(rows).transpose(1, 2)  # (B, O, L)


class TCN(nn.Module):
    """Convolutions with kernel = stride = 3 until one step is left: (B, T, I) -> (B, O). No pooling.

    Each layer divides the length by 3, rounding up, so ceil(log3 T) layers leave one step (and T = 1 still takes one
    layer). Every input position meets its own taps: the network covers the whole sequence, but shares little between
    positions.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, sequence_length: int):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        check_sizes(sequence_length=sequence_length)
        self.input_size = input_size
        num_layers = 1
        while 3**num_layers < sequence_length:
            num_layers += 1
        self.longest = 3**num_layers
        widths = [input_size] + [hidden_size] * (num_layers - 1) + [output_size]
        self.layers = nn.ModuleList(Conv1d(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, I) -> (B, O), for any T up to 3 ** (number of layers).

        Raises:
            ValueError: x has not three axes, another number of features than `input_size`, or too many time steps.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        if x.shape[1] > self.longest:
            raise ValueError(
                f"x has {x.shape[1]} time steps, but {len(self.layers)} layers reduce at most {self.longest} to one: "
                "build the TCN with a larger sequence_length"
            )
        x = x.transpose(1, 2)  # (B, I, T)
        for number, layer in enumerate(self.layers):
            if number > 0:
                x = torch.relu(x)
            x = F.pad(x, (0, -x.shape[2] % 3))  # zeros at the end, up to a multiple of 3
            x = layer(x)  # (B, ..., T) -> (B, ..., T / 3)
        return x.squeeze(2)  # (B, O, 1) -> (B, O)


class PooledTCN(nn.Module):
    """The same taps at every position, and the strongest answer wins: (B, T, I) -> (B, O).

    Unpadded convolutions of stride 1, a maximum over time, a linear layer. Without padding no position differs from
    another, and the maximum forgets where it was found, so what is learnt at one position holds at all others.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_layers: int = 1, kernel_size: int = 3):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size, num_layers=num_layers)
        self.input_size = input_size
        widths = [input_size] + [hidden_size] * num_layers
        self.layers = nn.ModuleList(
            Conv1d(a, b, kernel_size, stride=1) for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, I) -> (B, O), for any T of at least num_layers * (kernel_size - 1) + 1.

        Raises:
            ValueError: x has not three axes, another number of features than `input_size`, or too few time steps.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        x = x.transpose(1, 2)  # (B, I, T)
        for layer in self.layers:
            x = torch.relu(layer(x))  # (B, H, T) -> (B, H, T - kernel_size + 1)
        return self.output(x.amax(dim=2))  # (B, H, T) -> (B, H) -> (B, O)


class CausalTCN(nn.Module):
    """Residual convolutions that look back only, each layer `kernel_size` times farther: (B, T, I) -> (B, O).

    Layer l = 0, 1, ... takes its values kernel_size**l steps apart, which tiles the past without gap or overlap: the
    output after the last step sees exactly the last kernel_size**num_layers steps. Zeros on the left stand for the
    time before.
    Source: Bai, Kolter and Koltun (2018), "An empirical evaluation of generic convolutional and recurrent networks",
    with one convolution per block and dilations that are powers of the kernel size.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, num_layers: int, kernel_size: int = 2):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size, kernel_size=kernel_size)
        check_sizes(smallest=0, num_layers=num_layers)
        self.input_size = input_size
        self.input = nn.Linear(input_size, hidden_size)
        self.layers = nn.ModuleList(
            Conv1d(hidden_size, hidden_size, kernel_size, stride=1, dilation=kernel_size**level)
            for level in range(num_layers)
        )
        self.output = nn.Linear(hidden_size, output_size)

    @property
    def receptive_field(self) -> int:
        """How many of the last time steps the output depends on."""
        return 1 + sum(layer.span - 1 for layer in self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, I) -> output after the last step (B, O), for any T.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        h = self.input(x).transpose(1, 2)  # (B, T, I) -> (B, H, T)
        for layer in self.layers:
            h = h + torch.relu(layer(F.pad(h, (layer.span - 1, 0))))  # the length stays T
        return self.output(h[:, :, -1])  # (B, O)
