"""A recurrent network without a loop over time: gates that see the input alone make the recurrence linear, and a linear
recurrence can be evaluated in log2(T) parallel steps instead of T sequential ones."""

import torch
from torch import Tensor, nn

from lib.models.checks import check_sequence, check_sizes
from lib.models.initialisation import chrono_bias


def linear_scan(a: Tensor, b: Tensor) -> Tensor:
    """All h_t = a_t h_{t-1} + b_t with h_0 = 0, for a and b of shape (B, T, H): (B, T, H).

    Two neighbouring steps are one step of the same kind, h_t = (a_t a_{t-1}) h_{t-2} + (a_t b_{t-1} + b_t). Every
    pass lets each step absorb the one `reach` before it and doubles the reach; after ceil(log2 T) passes all have
    reached back to h_0. There is no division and no logarithm: a product of many decays that underflows to 0 is as
    right as it is harmless.
    Source: Hillis and Steele (1986), "Data parallel algorithms".
    """
    T = a.shape[1]
    reach = 1
    while reach < T:
        b = torch.cat([b[:, :reach], torch.addcmul(b[:, reach:], a[:, reach:], b[:, :-reach])], dim=1)
        a = torch.cat([a[:, :reach], a[:, reach:] * a[:, :-reach]], dim=1)
        reach *= 2
    return b


class MinGRULayer(nn.Module):
    """h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ (W_h x_t + b_h) with z_t = σ(W_z x_t + b_z): (B, T, I) -> (B, T, H).

    Source: Feng et al. (2024), "Were RNNs all we needed?", section 3.1.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.linear = nn.Linear(input_size, 2 * hidden_size)  # the gate's rows, then the candidate's

    def decay_and_input(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """a_t = 1 - z_t and b_t = z_t times the candidate."""
        gate, candidate = self.linear(x).chunk(2, dim=-1)
        # σ(-k) rather than 1 - σ(k): the subtraction would round away a decay that is close to 0.
        return torch.sigmoid(-gate), torch.sigmoid(gate) * candidate

    def forward(self, x: Tensor) -> Tensor:
        return linear_scan(*self.decay_and_input(x))

    def sequential(self, x: Tensor) -> Tensor:
        """The same, one step after the other."""
        h, states = 0.0, []
        for x_t in x.unbind(1):
            a, b = self.decay_and_input(x_t)
            h = a * h + b
            states.append(h)
        return torch.stack(states, dim=1)


class MinGRU(nn.Module):
    """Layers of minGRU with residual connections from the second on, and a linear output: (B, T, I) -> (B, O).

    Args:
        forget_bias: how long the memory starts out. The bias of the update gate z is its negative, so that a unit keeps
            σ(forget_bias) of itself per step, which lasts for about 1 + exp(forget_bias) steps. "chrono" spreads the
            units over all lengths up to `max_length`.
        max_length: the longest lag in time steps, needed by "chrono" only.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        forget_bias: float | str = 0.0,
        max_length: int | None = None,
    ):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size, num_layers=num_layers)
        if isinstance(forget_bias, str) and forget_bias != "chrono":
            raise ValueError(f"forget_bias must be a number or 'chrono', but is {forget_bias!r}")
        self.input_size = input_size
        self.layers = nn.ModuleList(
            MinGRULayer(input_size if number == 0 else hidden_size, hidden_size) for number in range(num_layers)
        )
        self.output = nn.Linear(hidden_size, output_size)
        with torch.no_grad():
            for layer in self.layers:
                bias = chrono_bias(hidden_size, max_length) if forget_bias == "chrono" else forget_bias
                layer.linear.bias[:hidden_size] = -bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, I) -> output after the last step (B, O), by parallel scan.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        for number, layer in enumerate(self.layers):
            x = layer(x) if number == 0 else x + layer(x)
        return self.output(x[:, -1])

    def sequential(self, x: Tensor) -> Tensor:
        """The same as `forward`, with a loop over time: what the scan is tested against."""
        check_sequence(x, self.input_size)
        for number, layer in enumerate(self.layers):
            x = layer.sequential(x) if number == 0 else x + layer.sequential(x)
        return self.output(x[:, -1])
