"""A diagonal state-space layer: a linear recurrence of complex numbers that rotate and fade, without a loop over time.

Every component of the state is multiplied by a constant λ_j of its own in each step. |λ_j| says how long it remembers,
the argument of λ_j how fast it turns, and both are learned.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.models.checks import check_sequence, check_sizes


def constant_scan(decay: Tensor, b: Tensor) -> Tensor:
    """All h_t = λ ⊙ h_{t-1} + b_t with h_0 = 0, for λ (H,) and b (B, T, H), real or complex: (B, T, H).

    Written out, h_t = Σ_k λ^k b_{t-k}. Every pass doubles the number of terms that each step has summed up, because
    the sum of 2n terms is the sum of n terms plus λ^n times the same sum n steps earlier; ceil(log2 T) passes do. As
    λ is the same for all steps, so is λ^n: unlike `linear_scan`, there is no second sequence to carry along.
    Source: Hillis and Steele (1986), "Data parallel algorithms".
    """
    reach = 1
    while reach < b.shape[1]:
        b = torch.cat([b[:, :reach], b[:, reach:] + decay * b[:, :-reach]], dim=1)
        decay, reach = decay * decay, 2 * reach
    return b


class LRULayer(nn.Module):
    """The linear recurrent unit: (B, T, I) -> (B, T, I), real numbers in and out, a complex state (B, T, H) within.

        h_t = λ ⊙ h_{t-1} + γ ⊙ (W x_t),   y_t = Re(C h_t) + d ⊙ x_t,   h_0 = 0
        λ_j = exp(-exp(ν_j) + i exp(θ_j)),   γ_j = sqrt(1 - |λ_j|²)

    exp(-exp(ν)) lies between 0 and 1 whatever ν is, so that no training can make the recurrence explode. γ keeps the
    size of the state the same for all λ, if the inputs of different steps are independent. At the start the λ_j are
    spread evenly over a ring of the complex plane, or over a sector of it, from angle 0 to `max_phase`.

    Args:
        r_min, r_max: the smallest and the largest |λ_j| at the start, 0 <= r_min < r_max < 1. A component remembers for
            about 1/(1 - |λ_j|) steps.
        max_phase: the largest angle of λ_j at the start, above 0 and at most 2π.

    Raises:
        ValueError: a size, radius or angle outside its range.

    Source: Orvieto et al. (2023), "Resurrecting recurrent neural networks for long sequences", section 3 and
    appendix A. W is B there; here γ is no parameter of its own, but follows λ.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * math.pi,
    ):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        if not 0 <= r_min < r_max < 1:
            raise ValueError(f"the radii must satisfy 0 <= r_min < r_max < 1, but are {r_min!r} and {r_max!r}")
        if not 0 < max_phase <= 2 * math.pi:
            raise ValueError(f"max_phase must lie above 0 and not above 2π, but is {max_phase!r}")
        # |λ|² is uniform between the squared radii: as many λ on each piece of the ring as its area asks for. A radius
        # or an angle of exactly 0, or a radius that is rounded to 1, would make a logarithm below infinite.
        tiny, one = torch.finfo(torch.float32).tiny, 1 - torch.finfo(torch.float32).eps
        squares = r_min**2 + (r_max**2 - r_min**2) * torch.rand(hidden_size)
        angles = max_phase * torch.rand(hidden_size)
        self.nu = nn.Parameter((-0.5 * squares.clamp(tiny, one).log()).log())
        self.theta = nn.Parameter(angles.clamp(min=tiny).log())
        # Real and imaginary parts side by side, as real parameters, which every optimiser can handle.
        self.W = nn.Parameter(torch.randn(2 * hidden_size, input_size) / math.sqrt(2 * input_size))
        self.C = nn.Parameter(torch.randn(input_size, 2 * hidden_size) / math.sqrt(hidden_size))
        self.d = nn.Parameter(torch.randn(input_size))

    def decay(self) -> Tensor:
        """λ (H,), complex."""
        return torch.polar(torch.exp(-torch.exp(self.nu)), torch.exp(self.theta))

    def input(self, x: Tensor) -> Tensor:
        """γ ⊙ (W x): (…, I) -> (…, H), complex."""
        gamma = torch.sqrt(-torch.expm1(-2 * torch.exp(self.nu)))  # sqrt(1 - |λ|²), precise where |λ| is close to 1
        real, imaginary = (x @ self.W.t()).chunk(2, dim=-1)
        return torch.complex(gamma * real, gamma * imaginary)

    def output(self, h: Tensor, x: Tensor) -> Tensor:
        """Re(C h) + d ⊙ x: (…, H), (…, I) -> (…, I), with the parameter C as Re C | -Im C."""
        return torch.cat([h.real, h.imag], dim=-1) @ self.C.t() + self.d * x

    def forward(self, x: Tensor) -> Tensor:
        return self.output(constant_scan(self.decay(), self.input(x)), x)

    def sequential(self, x: Tensor) -> Tensor:
        """The same, one step after the other."""
        h, outputs = 0.0, []
        for x_t in x.unbind(1):
            h = self.decay() * h + self.input(x_t)
            outputs.append(self.output(h, x_t))
        return torch.stack(outputs, dim=1)


class LRUBlock(nn.Module):
    """x + GLU(GELU(LRU(norm(x)))): the recurrence is linear, so what is not linear happens here, at each step alone.

    GLU(y) = (A y + a) ⊙ σ(G y + g), a gate for every feature. Source: Orvieto et al. (2023), appendix A.
    """

    def __init__(self, size: int, hidden_size: int, r_min: float, r_max: float, max_phase: float):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.recurrence = LRULayer(size, hidden_size, r_min, r_max, max_phase)
        self.gate = nn.Linear(size, 2 * size)

    def mix(self, x: Tensor, y: Tensor) -> Tensor:
        return x + F.glu(self.gate(F.gelu(y)))

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x, self.recurrence(self.norm(x)))

    def sequential(self, x: Tensor) -> Tensor:
        return self.mix(x, self.recurrence.sequential(self.norm(x)))


class LRU(nn.Module):
    """A linear map to `hidden_size` features, blocks of LRU layers, and a linear output: (B, T, I) -> (B, O).

    Args:
        hidden_size: the number of features between the blocks and of complex state components in each.
        r_min, r_max, max_phase: where the λ of all layers start, see `LRULayer`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * math.pi,
    ):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size, output_size=output_size, num_layers=num_layers)
        self.input_size = input_size
        self.embedding = nn.Linear(input_size, hidden_size)
        self.blocks = nn.ModuleList(
            LRUBlock(hidden_size, hidden_size, r_min, r_max, max_phase) for _ in range(num_layers)
        )
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, I) -> output after the last step (B, O), by parallel scan.

        Raises:
            ValueError: x has not three axes, or another number of features than `input_size`.
            TypeError: x is not floating point.
        """
        check_sequence(x, self.input_size)
        x = self.embedding(x)
        for block in self.blocks:
            x = block(x)
        return self.output(x[:, -1])

    def sequential(self, x: Tensor) -> Tensor:
        """The same as `forward`, with a loop over time: what the scan is tested against."""
        check_sequence(x, self.input_size)
        x = self.embedding(x)
        for block in self.blocks:
            x = block.sequential(x)
        return self.output(x[:, -1])
