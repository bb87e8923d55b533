"""Waves on a square membrane: the two-dimensional wave equation by finite differences, all runs at once.

The membrane has `size` × `size` cells and is held at u = 0 one cell outside the grid. `python -m lib.datasets.waves`
writes the training, validation and test runs of both speeds as `.npy` files.
"""

import argparse
import io
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from lib.storage.files import write_atomically
from lib.storage.paths import ROOT

SIZE, SPEED, DT, DX = 32, 3.0, 0.1, 1.0  # cells, length units per time unit, time step, width of a cell
VARIANCE, AMPLITUDE = 0.5, 3.4  # of the Gaussian at the start, in cells² and in units of u
STARTS = ("rest", "published")
SKIP_RATES = {"slow": 1, "fast": 3}  # solver steps from one stored frame to the next
SPLITS = {"train": (500, 101), "validation": (150, 101), "test": (150, 201)}  # runs, stored frames


def check_stability(speed=SPEED, dt=DT, dx=DX):
    """Return r = c Δt / Δx (of the fastest place), the Courant number.

    Raises:
        ValueError: r exceeds 1/√2; the explicit scheme then multiplies the checkerboard pattern at every step
            (Courant, Friedrichs and Lewy, 1928).
    """
    speeds = torch.as_tensor(speed, dtype=torch.float64)
    fastest = speeds.max().item()
    r = fastest * dt / dx
    if not 0 < r <= 1 / math.sqrt(2) + 1e-12 or speeds.min() < 0:
        longest = f", here {math.floor(1e4 * dx / (math.sqrt(2) * fastest)) / 1e4:g}" if fastest > 0 and dx > 0 else ""
        raise ValueError(
            f"c·Δt/Δx = {r:.3f}, but the scheme is stable only for 0 < c·Δt/Δx ≤ 1/√2 ≈ 0.707: choose a time step of "
            f"at most Δx/(√2 c){longest}, or another speed or width of the cells"
        )
    return r


def laplacian(u: Tensor) -> Tensor:
    """Five-point Laplacian in units of 1/Δx², with u = 0 one cell outside: (..., H, W) -> (..., H, W)."""
    out = -4 * u
    out[..., 1:, :] += u[..., :-1, :]
    out[..., :-1, :] += u[..., 1:, :]
    out[..., 1:] += u[..., :-1]
    out[..., :-1] += u[..., 1:]
    return out


def gaussians(num_runs, size=SIZE, *, num_sources=1, variance=VARIANCE, amplitude=AMPLITUDE, generator=None):
    """Start fields: `num_sources` Gaussians at random points, added up: (num_runs, size, size)."""
    # Cell k reaches from k - ½ to k + ½.
    centres = size * torch.rand(num_runs, num_sources, 2, generator=generator) - 0.5
    return sum(gaussian(centres[:, i, 0], centres[:, i, 1], size, variance, amplitude) for i in range(num_sources))


def gaussian(row, column, size=SIZE, variance=VARIANCE, amplitude=AMPLITUDE) -> Tensor:
    """Gaussians centred at the given rows and columns (numbers or tensors of shape (N,)), in cells: (N, size, size)."""
    cells = torch.arange(size, dtype=torch.float32)
    row, column = (torch.as_tensor(place, dtype=torch.float32).reshape(-1, 1) for place in (row, column))
    along_rows = torch.exp(-((cells - row) ** 2) / (2 * variance))  # (N, size)
    along_columns = torch.exp(-((cells - column) ** 2) / (2 * variance))
    return amplitude * along_rows[:, :, None] * along_columns[:, None, :]


def simulate(
    start: Tensor,
    num_frames,
    *,
    skip_rate=1,
    speed=SPEED,
    dt=DT,
    dx=DX,
    previous: Tensor | str = "rest",
    damping=0.0,
    obstacle: Tensor | None = None,
) -> Tensor:
    """Integrate u_tt + γ u_t = c² Δu from given fields with the leapfrog scheme
    u(t + Δt) = 2 u(t) − u(t − Δt) + (c Δt / Δx)² Lap u(t), second order in time and space.

    Args:
        start: u(0), (N, H, W); computed in its floating-point type.
        num_frames: frames to store, the start included.
        skip_rate: solver steps from one stored frame to the next; 1 gives slow, 3 gives fast waves.
        speed: c, a number or a field (H, W); a field refracts. dt, dx: Δt, Δx.
        previous: u(−Δt), a tensor like `start`, or "rest" (released from rest: u(0) + ½ r² Lap u(0)), or "published"
            (zero, which kicks the membrane so that the peak about doubles at once).
        damping: γ ≥ 0, per time unit. obstacle: bool (H, W), cells that are held at u = 0.

    Returns:
        (N, num_frames, H, W)

    Raises:
        ValueError: the scheme would be unstable, or a shape or value makes no sense.
    """
    check_stability(speed, dt, dx)
    if start.dim() != 3 or not start.is_floating_point():
        raise ValueError(f"start must be floating point (N, H, W), got {start.dtype} {tuple(start.shape)}")
    if num_frames < 1 or skip_rate < 1 or damping < 0:
        raise ValueError(
            f"need num_frames ≥ 1, skip_rate ≥ 1 and damping ≥ 0; got {num_frames}, {skip_rate} and {damping}"
        )
    size = tuple(start.shape[1:])
    if obstacle is not None and (obstacle.shape != size or obstacle.dtype != torch.bool):
        raise ValueError(f"the obstacle must be bool {size}, got {obstacle.dtype} {tuple(obstacle.shape)}")
    if isinstance(speed, Tensor) and speed.dim() > 0 and speed.shape != size:
        raise ValueError(f"the speed must be a number or a field {size}, got {tuple(speed.shape)}")
    r2 = (torch.as_tensor(speed, dtype=start.dtype, device=start.device) * dt / dx) ** 2
    free = 1 if obstacle is None else (~obstacle).to(start)
    u = start * free
    if isinstance(previous, Tensor):
        if previous.shape != start.shape:
            raise ValueError(f"previous must be like start, {tuple(start.shape)}; got {tuple(previous.shape)}")
        before = previous * free
    elif previous in STARTS:
        before = u + 0.5 * r2 * laplacian(u) if previous == "rest" else torch.zeros_like(u)
    else:
        raise ValueError(f"previous must be a tensor or one of {', '.join(STARTS)}; got {previous!r}")
    drag = damping * dt / 2
    frames = torch.empty(len(u), num_frames, *u.shape[1:], dtype=u.dtype, device=u.device)
    frames[:, 0] = u
    for frame in range(1, num_frames):
        for _ in range(skip_rate):
            after = laplacian(u).mul_(r2).add_(u, alpha=2).sub_(before, alpha=1 - drag)
            if drag:
                after /= 1 + drag
            if obstacle is not None:
                after *= free
            before, u = u, after
        frames[:, frame] = u
    return frames


def wave_runs(
    num_runs, num_frames, *, skip_rate=1, size=SIZE, num_sources=1, start="rest", seed=0, obstacle="none", **physics
) -> Tensor:
    """Runs from random Gaussian starts: float32 (num_runs, num_frames, size, size).

    Args:
        start: "rest" or "published", see `simulate`. seed: fixes the places. obstacle: a name of `obstacle_cells`.
        physics: more arguments of `simulate`.

    Raises:
        ValueError: an argument makes no sense, or the scheme would be unstable.
    """
    if num_runs < 1 or size < 3 or num_sources < 1:
        raise ValueError(f"need num_runs ≥ 1, size ≥ 3, num_sources ≥ 1; got {num_runs}, {size}, {num_sources}")
    fields = gaussians(num_runs, size, num_sources=num_sources, generator=torch.Generator().manual_seed(seed))
    cells = obstacle_cells(obstacle, size)
    return simulate(fields, num_frames, skip_rate=skip_rate, previous=start, obstacle=cells, **physics)


def obstacle_cells(name, size=SIZE):
    """Cells held at u = 0 inside the membrane, bool (size, size): a "slit" (a wall with one opening), a "disc", or
    None for "none"."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle = size // 2
    masks = {
        "none": None,
        "slit": (columns == middle) & ((rows - middle).abs() > size // 10),
        "disc": (rows - middle) ** 2 + (columns - middle) ** 2 <= (size / 8) ** 2,
    }
    if name not in masks:
        raise ValueError(f"obstacle must be one of {', '.join(masks)}; got {name!r}")
    return masks[name]


def wave_set(use, skip_rate=1, *, seed=0, share=1.0, **options) -> Tensor:
    """The "train", "validation" or "test" set: 500, 150, 150 runs of 101, 101, 201 frames.

    Args:
        seed: of all three sets together; every set has places of its own. share: of the runs. options: see `wave_runs`.
    """
    if use not in SPLITS:
        raise ValueError(f"the sets are {', '.join(SPLITS)}; got {use!r}")
    if not 0 < share <= 1:
        raise ValueError(f"share must lie above 0 and at most at 1, got {share}")
    num_runs, num_frames = SPLITS[use]
    seed = 1000 * seed + list(SPLITS).index(use)
    return wave_runs(max(1, round(share * num_runs)), num_frames, skip_rate=skip_rate, seed=seed, **options)


# --- what is known exactly ------------------------------------------------------------------------------------------


def standing_wave(times, size=SIZE, *, mode=(1, 1), speed=SPEED, dx=DX) -> Tensor:
    """An exact solution of the wave equation, sin(k_y y) sin(k_x x) cos(ωt) with ω² = c² (k_y² + k_x²), which is zero
    on the walls: float64 (T, size, size) at the given times.

    The walls are (size + 1) Δx apart; `mode` counts the half waves along y and x.
    """
    places = torch.arange(1, size + 1, dtype=torch.float64) / (size + 1)
    along_y, along_x = (torch.sin(math.pi * number * places) for number in mode)
    omega = speed * math.pi * math.hypot(*mode) / ((size + 1) * dx)
    swing = torch.cos(omega * torch.as_tensor(times, dtype=torch.float64))
    return swing[:, None, None] * along_y[:, None] * along_x


def exact_stencil(skip_rate=1, speed=SPEED, dt=DT, dx=DX) -> Tensor:
    """The kernel K with u(t + s Δt) = K * u(t) - u(t - s Δt) away from the walls: float64 (2 s + 1, 2 s + 1).

    For s = 1 it is the scheme itself, 2 δ + r² Lap. Its eigenvalues are 2 cos θ, one step being a turn by the angle θ;
    s steps turn by sθ, so the recursion of the Chebyshev polynomials, cos(s + 1)θ = 2 cos θ cos sθ - cos(s - 1)θ, gives
    the others. Continued beyond the walls by odd reflection it is exact up to the wall.
    """
    r2 = check_stability(speed, dt, dx) ** 2
    one = torch.tensor([[0, r2, 0], [r2, 2 - 4 * r2, r2], [0, r2, 0]], dtype=torch.float64)
    lower, kernel = torch.full((1, 1), 2, dtype=torch.float64), one
    for _ in range(skip_rate - 1):
        product = F.conv2d(kernel[None, None], one[None, None], padding=2)[0, 0]  # one is symmetric
        lower, kernel = kernel, product - F.pad(lower, (2,) * 4)
    return kernel


def energy(before: Tensor, after: Tensor, *, skip_rate=1, speed=SPEED, dt=DT, dx=DX) -> Tensor:
    """Energy of the membrane from two successive stored frames: (..., H, W), (..., H, W) -> (...).

    For skip_rate 1 it is the discrete energy that the leapfrog scheme conserves exactly (without damping and
    obstacles), kinetic plus elastic: ½ Σ ((u' - u) / Δt)² Δx² + ½ c² Σ ∇u' · ∇u Δx². In the sine modes of the
    membrane, each of which turns by an angle θ per step, this reads ½ Σ (a² + b² - 2 a b cos θ) / Δt² Δx²; with s steps
    between the frames the angle is sθ, and the factor sin²θ / sin²sθ makes the sum the same number.

    Raises:
        ValueError: a mode turns by half a circle or more between two frames, which leaves its energy open.
    """
    r = check_stability(speed, dt, dx)
    sines = []
    for n in before.shape[-2:]:
        k = torch.arange(1, n + 1, dtype=torch.float64, device=before.device)
        basis = math.sqrt(2 / (n + 1)) * torch.sin(math.pi / (n + 1) * k[:, None] * k)  # orthogonal and symmetric
        sines.append((basis, torch.sin(math.pi / 2 * k / (n + 1)) ** 2))
    (rows, along_y), (columns, along_x) = sines
    a, b = (rows @ frame.double() @ columns for frame in (before, after))
    theta = 2 * torch.asin(r * torch.sqrt(along_y[:, None] + along_x))  # sin²(θ/2) = r² (sin² + sin²)
    if skip_rate * theta.max() >= math.pi:
        raise ValueError(f"frames {skip_rate} steps apart do not determine the energy: keep more frames")
    weight = (torch.sin(theta) / torch.sin(skip_rate * theta)) ** 2
    form = weight * (a * a + b * b - 2 * a * b * torch.cos(skip_rate * theta))
    return 0.5 * form.sum((-2, -1)) * (dx / dt) ** 2


def spectrum(frames: Tensor) -> Tensor:
    """Power of frames (N, n, n) by wavelength: mean square of the sine modes, added up over modes of similar length.

    Returns:
        (n - 1,), for waves with about 2, 3, …, n half waves across the membrane. The sum over all modes is the mean of
        Σ u² (Parseval); modes shorter than n half waves, in the corner, are left out.
    """
    n = frames.shape[-1]
    k = torch.arange(1, n + 1, device=frames.device)
    basis = math.sqrt(2 / (n + 1)) * torch.sin(math.pi / (n + 1) * k[:, None] * k).to(frames.dtype)
    power = (basis @ frames @ basis).square().mean(0)
    number = torch.sqrt(k[:, None] ** 2 + k.double() ** 2).round().long()
    return torch.stack([power[number == half_waves].sum() for half_waves in range(2, n + 1)])


# --- examples for training ------------------------------------------------------------------------------------------


class WaveWindows(Dataset):
    """All stretches of context_size + max_rollout_steps frames in a set of runs.

    Args:
        runs: (N, T, H, W). context_size: frames a model sees. max_rollout_steps: frames it has to predict, at most.
        cut_start, cut_end: frames left out at both ends of every run. share: of the runs that is used, 0 … 1.

    Raises:
        ValueError: the runs are too short, or a value makes no sense.
    """

    def __init__(self, runs: Tensor, context_size, max_rollout_steps=1, cut_start=0, cut_end=0, share=1.0):
        if context_size < 1 or max_rollout_steps < 1 or min(cut_start, cut_end) < 0 or not 0 < share <= 1:
            raise ValueError(
                "need context_size ≥ 1, max_rollout_steps ≥ 1, cut_start ≥ 0, cut_end ≥ 0 and 0 < share ≤ 1; got "
                f"{context_size}, {max_rollout_steps}, {cut_start}, {cut_end}, {share}"
            )
        self.runs = runs[: max(1, round(share * len(runs))), cut_start : runs.shape[1] - cut_end]
        self.context_size, self.max_rollout_steps = context_size, max_rollout_steps
        self.per_run = self.runs.shape[1] - context_size - max_rollout_steps + 1
        if self.per_run < 1:
            raise ValueError(
                f"runs of {runs.shape[1]} frames, less {cut_start} at the start and {cut_end} at the end, hold no "
                f"stretch of {context_size} + {max_rollout_steps} frames: cut less, or roll out fewer steps"
            )

    def __len__(self):
        return len(self.runs) * self.per_run

    def __getitem__(self, index):
        """Context (context_size, H, W) and target (max_rollout_steps, H, W); a tensor of indices gives a batch."""
        index = torch.as_tensor(index)
        if ((index < 0) | (index >= len(self))).any():
            raise IndexError(f"there are {len(self)} stretches; no number {index.tolist()}")
        times = index[..., None] % self.per_run + torch.arange(self.context_size + self.max_rollout_steps)
        frames = self.runs[index[..., None] // self.per_run, times]
        return frames.split([self.context_size, self.max_rollout_steps], dim=-3)

    def draw(self, count, generator):
        """A batch of `count` random stretches: (count, context_size, H, W), (count, max_rollout_steps, H, W)."""
        return self[torch.randint(len(self), (count,), generator=generator)]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lib.datasets.waves", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "data", help="where to write (default: data/)")
    parser.add_argument("--start", choices=STARTS, default="rest", help="how a run begins (default: rest)")
    parser.add_argument("--share", type=float, default=1.0, help="of the runs to write, for a first look (default: 1)")
    args = parser.parse_args(arguments)
    if not 0 < args.share <= 1:
        parser.error(f"--share must lie above 0 and at most at 1, got {args.share}")
    sets = [(speed, use) for speed in SKIP_RATES for use in SPLITS]
    for speed, use in tqdm(sets, unit="set"):
        runs = wave_set(use, SKIP_RATES[speed], share=args.share, start=args.start)
        content = io.BytesIO()
        np.save(content, runs.numpy())
        write_atomically(args.folder / f"waves_{speed}_{use}.npy", content.getbuffer())
    print(f"{len(sets)} files waves_<speed>_<set>.npy, float32 (runs, frames, height, width), in {args.folder}")


if __name__ == "__main__":
    main()
