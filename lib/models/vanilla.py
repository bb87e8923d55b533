"""A recurrent network and an LSTM from parameters and matrix products, one weight matrix for each arrow of the diagram.

Both read a sequence (B, T, I) and answer with the logits (B, num_classes) of the last step; the state starts at zero.
W_gx is the matrix that leads from the input x to the gate g, W_gh the one from the state h to g, b_g the bias of g.
"""

import torch
from torch import Tensor, nn

from lib.models.checks import check_sequence, check_sizes
from lib.models.initialisation import initialise


class VanillaRNN(nn.Module):
    """h_t = tanh(W_hx x_t + W_hh h_{t-1} + b_h),  p_t = W_ph h_t + b_p,  h_0 = 0."""

    def __init__(self, input_size: int, hidden_size: int, num_classes: int):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_classes=num_classes)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_hx = nn.Parameter(torch.empty(hidden_size, input_size))
        self.W_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.b_h = nn.Parameter(torch.empty(hidden_size))
        self.W_ph = nn.Parameter(torch.empty(num_classes, hidden_size))
        self.b_p = nn.Parameter(torch.empty(num_classes))
        initialise(self)

    def forward(self, x: Tensor, return_states: bool = False) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        """(B, T, I) -> logits of the last step (B, num_classes).

        With `return_states`: (logits, h), where h holds T tensors (B, H), the states after each step. They are the very
        tensors the logits were computed from: `torch.autograd.grad` gives ∂logits/∂h_t or ∂h_T/∂h_t for all t.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        B, T, I = x.shape
        # The inputs do not depend on the state, so W_hx x_t + b_h is done for all t in one product, before the loop.
        rows = x.transpose(0, 1).reshape(T * B, I)  # time first: the rows of one step lie together
        W_hx = self.W_hx.t().contiguous()  # (I, H); in this layout its gradient is several times faster to compute
        projected = torch.addmm(self.b_h, rows, W_hx).view(T, B, -1)
        W_hh = self.W_hh.t()
        h = x.new_zeros(B, self.hidden_size)
        states = []
        for a_t in projected.unbind(0):
            h = torch.tanh(torch.addmm(a_t, h, W_hh))  # (B, H)
            states.append(h)
        logits = torch.addmm(self.b_p, h, self.W_ph.t())  # (B, H) -> (B, num_classes)
        return (logits, tuple(states)) if return_states else logits


class VanillaLSTM(nn.Module):
    """g = tanh(W_gx x_t + W_gh h_{t-1} + b_g), and i, f, o likewise with σ instead of tanh;

    c_t = g ⊙ i + c_{t-1} ⊙ f,  h_t = tanh(c_t) ⊙ o,  p_t = W_ph h_t + b_p,  h_0 = c_0 = 0.

    Source: Hochreiter and Schmidhuber (1997); the forget gate is that of Gers, Schmidhuber and Cummins (2000).
    """

    def __init__(self, input_size: int, hidden_size: int, num_classes: int, forget_bias: float = 1.0):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, num_classes=num_classes)
        self.input_size, self.hidden_size = input_size, hidden_size
        for gate in "gifo":  # W_gx, W_gh, b_g, W_ix, W_ih, b_i, ...
            self.register_parameter(f"W_{gate}x", nn.Parameter(torch.empty(hidden_size, input_size)))
            self.register_parameter(f"W_{gate}h", nn.Parameter(torch.empty(hidden_size, hidden_size)))
            self.register_parameter(f"b_{gate}", nn.Parameter(torch.empty(hidden_size)))
        self.W_ph = nn.Parameter(torch.empty(num_classes, hidden_size))
        self.b_p = nn.Parameter(torch.empty(num_classes))
        # With b_f = 0 the forget gate starts at σ(0) = 1/2 and halves the memory at every step.
        # After 20 steps a millionth is left, and as little gradient comes back; with
        # σ(1) = 0.73 it is two thousandths, enough for training to start.
        initialise(self, forget_bias=forget_bias)

    def joined(self) -> tuple[Tensor, Tensor, Tensor]:
        """W_x (I, 4H), W_h (H, 4H) and b (4H,) of all gates: x W_x + h W_h + b is g | i | f | o before tanh and σ."""
        W_x = torch.cat([self.W_gx.t(), self.W_ix.t(), self.W_fx.t(), self.W_ox.t()], dim=1)
        W_h = torch.cat([self.W_gh.t(), self.W_ih.t(), self.W_fh.t(), self.W_oh.t()], dim=1)
        return W_x, W_h, torch.cat([self.b_g, self.b_i, self.b_f, self.b_o])

    def forward(self, x: Tensor, return_states: bool = False):
        """(B, T, I) -> logits of the last step (B, num_classes).

        With `return_states`: (logits, (h, c)), where h and c hold T tensors (B, H) each, the states after each step.
        They are part of the graph, and c_t stands for the cell path alone: derivatives for h_t and c_t, as from
        `torch.autograd.grad(h[-1].sum(), [h[t], c[t]])`, are those of two separate variables, although h_t was
        computed from c_t.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        W_x, W_h, b = self.joined()
        h = c = x.new_zeros(len(x), self.hidden_size)
        hs, cs = [], []
        for x_t in x.unbind(1):
            a = torch.addmm(b, x_t, W_x).addmm_(h, W_h)  # (B, I), (B, H) -> (B, 4H), the second added in place
            g, i, f, o = a.chunk(4, dim=1)  # (B, 4H) -> 4 x (B, H)
            c = g.tanh() * i.sigmoid() + c * f.sigmoid()
            h = c.tanh() * o.sigmoid()
            if return_states:
                c = c.view_as(c)  # a node of its own in the graph, which h_t does not depend on
                hs.append(h)
                cs.append(c)
        logits = torch.addmm(self.b_p, h, self.W_ph.t())  # (B, H) -> (B, num_classes)
        return (logits, (tuple(hs), tuple(cs))) if return_states else logits

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """What happens inside, step by step and gate by gate: g, i, f, o, c and h, each (B, T, H).

        This follows the equations to the letter, and `forward` is tested against it.
        """
        check_sequence(x, self.input_size)
        h = c = x.new_zeros(len(x), self.hidden_size)
        trace = {name: [] for name in "gifoch"}
        for x_t in x.unbind(1):
            g = torch.tanh(x_t @ self.W_gx.t() + h @ self.W_gh.t() + self.b_g)  # what could be stored
            i = torch.sigmoid(x_t @ self.W_ix.t() + h @ self.W_ih.t() + self.b_i)  # how much of it is
            f = torch.sigmoid(x_t @ self.W_fx.t() + h @ self.W_fh.t() + self.b_f)  # how much of the old is kept
            o = torch.sigmoid(x_t @ self.W_ox.t() + h @ self.W_oh.t() + self.b_o)  # how much is shown
            c = g * i + c * f
            h = torch.tanh(c) * o
            for name, value in zip("gifoch", (g, i, f, o, c, h), strict=True):
                trace[name].append(value)
        return {name: torch.stack(values, dim=1) for name, values in trace.items()}
