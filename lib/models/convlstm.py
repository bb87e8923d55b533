"""ConvLSTM: the LSTM whose states are pictures and whose matrices are convolutions."""

import torch
from torch import Tensor, nn

from lib.models.checks import check_sizes
from lib.models.forecasting import HEADS, check_frames
from lib.models.padding import PaddedConv2d


class ConvLSTMCell(nn.Module):
    """One step of a ConvLSTM: (x, (h, c)) -> (h', c'). Every cell of the grid runs the same LSTM and sees, besides its
    input, the hidden states of its neighbours within half a kernel.

    Source: Shi et al. (2015), "Convolutional LSTM network", without the peephole weights from c to the gates.

    Args:
        c_in: channels of x. c_hidden: channels of h and c. kernel_size: odd. padding: see `lib.models.pad`.
    """

    def __init__(self, c_in: int, c_hidden: int, kernel_size: int = 3, padding: str = "zeros"):
        super().__init__()
        check_sizes(c_in=c_in, c_hidden=c_hidden)
        self.c_in, self.c_hidden = c_in, c_hidden
        self.gates = PaddedConv2d(c_in + c_hidden, 4 * c_hidden, kernel_size, padding)
        with torch.no_grad():  # the forget gates start open, as in the LSTM of Jozefowicz et al. (2015)
            self.gates.bias[c_hidden : 2 * c_hidden] = 1.0

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """x (B, c_in, H, W), h and c (B, c_hidden, H, W); no state means zeros.

        Raises:
            ValueError: x has not four axes or another number of channels.
        """
        if x.dim() != 4 or x.shape[1] != self.c_in:
            raise ValueError(f"x must be (B, {self.c_in}, H, W), but its shape is {tuple(x.shape)}")
        if state is None:
            zeros = x.new_zeros(len(x), self.c_hidden, *x.shape[2:]).contiguous(memory_format=torch.channels_last)
            state = (zeros, zeros)
        h, c = state
        i, f, g, o = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)  # each (B, c_hidden, H, W)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class ConvLSTM(nn.Module):
    """Forecaster of a field made of ConvLSTM cells, one above the other, and a convolution that reads the prediction
    off the last hidden state.

    Args:
        c_hidden: channels of every layer's states. num_layers, kernel_size, padding: of the cells.
        head: what the output is added to, see `NextFrame`. field_scale, step_scale: sizes of input and output.
        output: "linear", or "relu", which cannot become negative.
    """

    context_size, stateful = 1, True

    def __init__(
        self,
        c_hidden: int = 16,
        num_layers: int = 1,
        kernel_size: int = 3,
        padding: str = "zeros",
        head: str = "absolute",
        field_scale: float = 1.0,
        step_scale: float = 1.0,
        output: str = "linear",
    ):
        super().__init__()
        check_sizes(c_hidden=c_hidden, num_layers=num_layers)
        if head not in HEADS or output not in ("linear", "relu"):
            raise ValueError(f"head must be one of {', '.join(HEADS)}, output linear or relu; got {head!r}, {output!r}")
        self.head, self.output = head, output
        widths = [1] + [c_hidden] * (num_layers - 1)
        self.cells = nn.ModuleList(ConvLSTMCell(width, c_hidden, kernel_size, padding) for width in widths)
        self.readout = PaddedConv2d(c_hidden, 1, 3, padding)
        self.register_buffer("field_scale", torch.tensor(float(field_scale)))
        self.register_buffer("step_scale", torch.tensor(float(step_scale)))

    def run(self, frames: Tensor, horizon: int = 0, state=None) -> tuple[Tensor, tuple]:
        """Predictions (B, T + horizon, H, W) of the frames that follow `frames` (B, T, H, W) one by one, and then their
        own; and the state with which the run can be taken up where it ended.

        Raises:
            ValueError: frames have another rank, or there are none.
        """
        check_frames(frames, 1)
        states, before = state if state is not None else ([None] * len(self.cells), None)
        states, predictions = list(states), []
        for t in range(frames.shape[1] + horizon):
            u = frames[:, t : t + 1] if t < frames.shape[1] else predictions[-1]  # (B, 1, H, W)
            x = u / self.field_scale
            for number, cell in enumerate(self.cells):
                states[number] = cell(x, states[number])
                x = states[number][0]
            out = self.step_scale * (torch.relu(self.readout(x)) if self.output == "relu" else self.readout(x))
            if self.head == "change":
                out = out + u
            elif self.head == "extrapolate":  # the very first frame has no predecessor: released from rest
                out = out + 2 * u - (u if before is None else before)
            predictions.append(out)
            before = u
        return torch.cat(predictions, dim=1), (states, before)

    def forward(self, frames: Tensor, horizon: int = 0) -> Tensor:
        """Teacher-forced over all frames, then `horizon` more in closed loop: (B, T, H, W) -> (B, T + horizon, H, W),
        the predictions of frames 1 … T + horizon."""
        return self.run(frames, horizon)[0]
