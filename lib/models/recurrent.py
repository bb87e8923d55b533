"""Recurrent cells from `nn.Linear`, and the networks that run a cell over a sequence.

A cell does one time step and has the interface of torch's own (`nn.RNNCell`, `nn.LSTMCell`), so either may be put in.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib.models.checks import check_sequence, check_sizes


class RNNCell(nn.Module):
    """h' = tanh(W [x, h] + b): (B, I), (B, H) -> (B, H).

    Torch's cell writes W_ih x + b_ih + W_hh h + b_hh: the same, with the two matrices side by side and the biases
    added.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.linear = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.linear(torch.cat([x, h], dim=1)))


class RNN(nn.Module):
    """A cell run over the sequence from h_0 = 0, and a linear layer on the last state: (B, T, I) -> (B, O).

    Args:
        cell: a class called as cell(input_size, hidden_size), for instance `RNNCell`, `nn.RNNCell` or `nn.GRUCell`.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, cell: Callable[..., nn.Module] = RNNCell):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = cell(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor, return_states: bool = False) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        """(B, T, I) -> output after the last step (B, O); with `return_states` also the T states h_t, each (B, H).

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        h = x.new_zeros(len(x), self.hidden_size)
        states = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            states.append(h)
        return (self.output(h), tuple(states)) if return_states else self.output(h)


class LSTMCell(nn.Module):
    """All four gates in a single linear layer: (B, I), ((B, H), (B, H)) -> ((B, H), (B, H)); the pairs are (h, c).

    The rows of the layer are the gates i, f, g, o, in torch's order.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.linear = nn.Linear(input_size + hidden_size, 4 * hidden_size)

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The activations i, f, g, o, each (B, H)."""
        i, f, g, o = self.linear(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, g, o = self.gates(x, h)
        c = f * c + i * g
        return o * torch.tanh(c), c


class LSTM(nn.Module):
    """An LSTM cell run over the sequence from h_0 = c_0 = 0, and a linear layer on the last h: (B, T, I) -> (B, O).

    Args:
        cell: a class called as cell(input_size, hidden_size), for instance `LSTMCell` or `nn.LSTMCell`.
        forget_bias: what the forget gate's bias starts at, in any cell whose biases are in the order i, f, g, o. None
            leaves the cell as it is: near 0, where the gate is half open and a memory loses half of itself at each
            step.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        cell: Callable[..., nn.Module] = LSTMCell,
        forget_bias: float | None = None,
    ):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.cell = cell(input_size, hidden_size)
        self.output = nn.Linear(hidden_size, output_size)
        if forget_bias is not None:
            self.set_forget_bias(forget_bias)

    @torch.no_grad()
    def set_forget_bias(self, value: float) -> None:
        """Torch's cell adds two biases (ours has one): the first takes the value, the other becomes zero.

        Raises:
            ValueError: the cell has no bias of length 4H.
        """
        biases = [p for p in self.cell.parameters() if p.shape == (4 * self.hidden_size,)]
        if not biases:
            raise ValueError(f"{type(self.cell).__name__} has no bias of length 4H: leave forget_bias at None")
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        for number, bias in enumerate(biases):
            bias[forget] = value if number == 0 else 0.0

    def forward(self, x: Tensor, return_states: bool = False):
        """(B, T, I) -> output after the last step (B, O); with `return_states` also (h, c), T tensors (B, H) each.

        In the graph c_t stands for the cell path alone, so that derivatives for h_t and c_t are those of two separate
        variables, although h_t was computed from c_t.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        h = c = x.new_zeros(len(x), self.hidden_size)
        hs, cs = [], []
        for x_t in x.unbind(1):
            h, c = self.cell(x_t, (h, c))
            if return_states:
                c = c.view_as(c)  # a node of its own in the graph, which h_t does not depend on
                hs.append(h)
                cs.append(c)
        return (self.output(h), (tuple(hs), tuple(cs))) if return_states else self.output(h)

    @torch.no_grad()
    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Traces for figures: i, f, g, o, c and h over time, each (B, T, H), without gradient.

        Raises:
            TypeError: the cell does not show its gates, as torch's does not.
        """
        check_sequence(x, self.input_size)
        if not hasattr(self.cell, "gates"):
            raise TypeError(f"{type(self.cell).__name__} does not show its gates: build the network with cell=LSTMCell")
        h = c = x.new_zeros(len(x), self.hidden_size)
        trace = {name: [] for name in "ifgoch"}
        for x_t in x.unbind(1):
            activations = self.cell.gates(x_t, h)
            h, c = self.cell(x_t, (h, c))
            for name, value in zip("ifgoch", (*activations, c, h), strict=True):
                trace[name].append(value)
        return {name: torch.stack(values, dim=1) for name, values in trace.items()}
