"""The LSTM of `lib.models.vanilla` with a backward pass written by hand: same parameters, same numbers, less time.

Autograd records each operation of each step and plays it back. Derived by hand, a step backward takes two matrix
products and ten smaller operations, and the gradient of all weights is added up in one matrix.

Notation: columns are examples, and z_t = [x_t; 1; h_{t-1}] is all that step t reads, so that a_t = W z_t holds the four
blocks g, i, f, o before tanh and σ. δv is ∂loss/∂v. As h_t = o_t ⊙ tanh(c_t) and c_t = g_t ⊙ i_t + f_t ⊙ c_{t-1}, the
chain rule gives, from the last step to the first,

    δc_t = f_{t+1} ⊙ δc_{t+1} + δh_t ⊙ o_t ⊙ (1 - tanh²(c_t))   c_t acts through c_{t+1} and through h_t
    δa_t = [ δc_t ⊙ i_t       ⊙ (1 - g_t²)                      tanh' = 1 - tanh²
             δc_t ⊙ g_t       ⊙ i_t ⊙ (1 - i_t)                 σ' = σ (1 - σ)
             δc_t ⊙ c_{t-1}   ⊙ f_t ⊙ (1 - f_t)
             δh_t ⊙ tanh(c_t) ⊙ o_t ⊙ (1 - o_t) ]
    [δx_t; ·; δh_{t-1}] = Wᵀ δa_t
    δW = Σ_t δa_t z_tᵀ                                          the weights and biases of all gates

with c_0 = h_0 = 0 and δc_{T+1} = 0; δh_T comes from whatever reads the last state.

Sources: Hochreiter and Schmidhuber (1997); Gers, Schmidhuber and Cummins (2000) for the forget gate; Greff et al.
(2017), "LSTM: a search space odyssey", for the equations backward, here without peepholes.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.models.checks import check_sequence
from lib.models.vanilla import VanillaLSTM

# (δy, y) -> δa for y = tanh(a) and for y = σ(a): δy ⊙ (1 - y²) and δy ⊙ y ⊙ (1 - y), in one pass over the numbers.
tanh_backward, sigmoid_backward = torch.ops.aten.tanh_backward, torch.ops.aten.sigmoid_backward


def tanh(a: Tensor, out: Tensor) -> None:
    """tanh(a) = 2σ(2a) - 1: four operations, yet on a CPU half the time of torch's tanh."""
    torch.sigmoid(2 * a, out=out).mul_(2).sub_(1)


class LastState(torch.autograd.Function):
    """The state h_T (B, H) that an LSTM with the weights W (4H, I+1+H) reaches at the end of x (B, T, I)."""

    @staticmethod
    def forward(ctx, x: Tensor, W: Tensor) -> Tensor:
        B, T, I = x.shape
        H = len(W) // 4
        z = x.new_empty(T + 1, I + 1 + H, B)  # z[t] is [x; 1; h] as step t reads it; it writes its h into z[t+1]
        z[:T, :I], z[:T, I] = x.permute(1, 2, 0), 1  # (B, T, I) -> (T, I, B)
        gates = x.new_empty(T, 4 * H, B)  # with the examples last, each gate of a step is one contiguous block
        c, tanh_c = x.new_empty(T + 1, H, B), x.new_empty(T, H, B)  # step t leads from c[t] to c[t+1]
        z[0, -H:] = c[0] = 0
        a = x.new_empty(4 * H, B)
        a_g, a_ifo = a[:H], a[H:]
        g, i, f, o = (gate.unbind() for gate in gates.chunk(4, dim=1))  # T tensors (H, B) each
        zs, hs, cs, tanh_cs, ifo = (v.unbind() for v in (z, z[:, -H:], c, tanh_c, gates[:, H:]))
        for t in range(T):
            torch.mm(W, zs[t], out=a)  # (4H, I+1+H), (I+1+H, B) -> (4H, B)
            tanh(a_g, out=g[t])
            torch.sigmoid(a_ifo, out=ifo[t])  # three gates at once
            torch.mul(g[t], i[t], out=cs[t + 1]).addcmul_(f[t], cs[t])
            tanh(cs[t + 1], out=tanh_cs[t])
            torch.mul(o[t], tanh_cs[t], out=hs[t + 1])
        ctx.save_for_backward(W, z, gates, c, tanh_c)
        return hs[T].t().clone()

    @staticmethod
    @once_differentiable  # nothing records the operations below: asked for a second derivative, torch raises an error
    def backward(ctx, dh: Tensor) -> tuple[Tensor | None, Tensor | None]:
        W, z, gates, c, tanh_c = ctx.saved_tensors
        T, H, B = tanh_c.shape
        needs_x, needs_W = ctx.needs_input_grad
        back = (W if needs_x else W[:, -H:]).t().contiguous()  # from δa_t to δz_t, or to its last block δh_{t-1} alone
        dx = z.new_empty(T, W.shape[1] - 1 - H, B) if needs_x else None
        dW = z.new_zeros(W.shape[1], 4 * H) if needs_W else None
        dh, dc, da = dh.t(), z.new_zeros(H, B), z.new_empty(4 * H, B)
        dg, di, df, do, d_ifo = *da.chunk(4), da[H:]
        g, i, f, o = (gate.unbind() for gate in gates.chunk(4, dim=1))
        zs, cs, tanh_cs, ifo = (v.unbind() for v in (z, c, tanh_c, gates[:, H:]))
        for t in reversed(range(T)):
            dc += tanh_backward(dh * o[t], tanh_cs[t])
            torch.mul(dc, i[t], out=dg)
            torch.mul(dc, g[t], out=di)
            torch.mul(dc, cs[t], out=df)
            torch.mul(dh, tanh_cs[t], out=do)
            tanh_backward.grad_input(dg, g[t], grad_input=dg)
            sigmoid_backward.grad_input(d_ifo, ifo[t], grad_input=d_ifo)
            dc *= f[t]
            dz = back @ da
            dh = dz[-H:]
            if needs_x:
                dx[t] = dz[: dx.shape[1]]
            if needs_W:
                dW.addmm_(zs[t], da.t())  # (I+1+H, B), (B, 4H) -> (I+1+H, 4H)
        return dx.permute(2, 0, 1) if needs_x else None, dW.t() if needs_W else None


class FusedLSTM(VanillaLSTM):
    """`VanillaLSTM` with the same parameters, initial weights and results, but faster to train."""

    def forward(self, x: Tensor, return_states: bool = False):
        """(B, T, I) -> logits of the last step (B, num_classes). It can be differentiated once, not twice.

        With `return_states` it is `VanillaLSTM.forward`, whose states are part of autograd's graph.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        if return_states:
            return super().forward(x, return_states=True)
        check_sequence(x, self.input_size)
        W_x, W_h, b = self.joined()
        h = LastState.apply(x, torch.cat([W_x.t(), b[:, None], W_h.t()], dim=1))
        return torch.addmm(self.b_p, h, self.W_ph.t())
