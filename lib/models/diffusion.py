"""Diffusion and flow matching for points in the plane: noise schedules, a network, samplers, exact likelihoods.

Diffusion: x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε with ε ~ N(0, 1), data at t = 0, noise at t = T. A table of ᾱ has T + 1
entries, ᾱ_0 = 1 first, so that its index is t. Networks are given t / T, the time from 0 to 1, so that one that was
trained for all times serves any number of steps. Flow matching: x_t = (1 - t) ε + t x_0, noise at t = 0, data at t = 1.

A model is any function (x (N, 2), time (N,)) -> (N, 2). For diffusion it predicts "noise", ε, or "v", which is
√ᾱ ε - √(1 - ᾱ) x_0 (Salimans and Ho, 2022) and gives x_0 even where ᾱ = 0.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sizes

LAST_ANGLE = math.acos(0.01)  # of the cosine schedule, which ends at ᾱ = 1e-4
COORDINATE_WAVES, TIME_WAVES = (0.5, 16.0), (1.0, 100.0)  # lowest and highest frequency in radians per unit

# --- the forward process --------------------------------------------------------------------------------------------


def three_steps(x_0, alpha_1, alpha_2, alpha_3):
    """Mean and variance of q(x_3 | x_0), one coordinate after three steps x_t = √α_t x_{t-1} + √(1 - α_t) ε_t, of
    numbers or of SymPy's symbols."""
    left = alpha_1 * alpha_2 * alpha_3  # of the variance of x_0
    return left**0.5 * x_0, 1 - left


def cosine_alpha_bar(time):
    """ᾱ of the cosine schedule at any times from 0 to 1: cos²(φ), the angle φ growing evenly from 0 to arccos(0.01).

    Source: Nichol and Dhariwal (2021), equation 17; they start 0.008 later and go on to ᾱ = 0.
    """
    return torch.cos(LAST_ANGLE * torch.as_tensor(time)).square()


def alpha_bars(kind, steps, betas=None, zero_terminal=False) -> Tensor:
    """The table ᾱ_0 = 1, ᾱ_1, …, ᾱ_T of a schedule: float64 (T + 1,).

    Args:
        kind: "cosine", see `cosine_alpha_bar`; or "linear", ᾱ_t = Π (1 - β_s) with β growing evenly.
        steps: T. betas: first and last β of "linear"; None takes those of Ho, Jain and Abbeel (2020), 1e-4 … 0.02 for
            1000 steps, times 1000 / T, which leaves ᾱ_T about what it is.
        zero_terminal: shift and stretch √ᾱ so that ᾱ_T = 0 and ᾱ_1 stays (Lin et al., 2024); for models of "v" only.

    Raises:
        ValueError: an unknown kind, too few steps, β outside 0 … 1, or β for "cosine".
    """
    if kind not in ("cosine", "linear") or (kind == "cosine" and betas is not None):
        raise ValueError(f"the schedules are cosine and linear, and only linear takes betas; got {kind!r} and {betas}")
    if steps < 1 + zero_terminal:
        raise ValueError(f"need at least {1 + zero_terminal} steps, got {steps}")
    if kind == "cosine":
        table = cosine_alpha_bar(torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    else:
        first, last = (0.1 / steps, 20 / steps) if betas is None else betas
        if not 0 < first <= last < 1:
            raise ValueError(f"need 0 < first β ≤ last β < 1, got {first:g} and {last:g}: give betas, or more steps")
        table = F.pad((1 - torch.linspace(first, last, steps, dtype=torch.float64)).cumprod(0), (1, 0), value=1.0)
    if zero_terminal:
        root = table.sqrt()
        table[1:] = ((root[1:] - root[-1]) * root[1] / (root[1] - root[-1])).square()
    return table


def _roots(alpha_bar, x):
    """√ᾱ and √(1 - ᾱ) as columns that multiply x (N, 2), from a number or (N,)."""
    if not isinstance(alpha_bar, Tensor):
        alpha_bar = torch.tensor(alpha_bar, dtype=torch.float64)  # 1 - ᾱ is small near the data
    if alpha_bar.numel() not in (1, len(x)) or not ((alpha_bar >= 0) & (alpha_bar <= 1)).all():
        raise ValueError(f"ᾱ must be one number or ({len(x)},) between 0 and 1, got {alpha_bar}")
    return alpha_bar.sqrt().to(x).reshape(-1, 1), (1 - alpha_bar).sqrt().to(x).reshape(-1, 1)


def diffuse(x0: Tensor, alpha_bar, noise: Tensor) -> Tensor:
    """A draw of q(x_t | x_0), √ᾱ x_0 + √(1 - ᾱ) ε: (N, 2), a number or (N,), (N, 2) -> (N, 2).

    Raises:
        ValueError: x0 and noise differ in shape, or ᾱ is not one number or (N,) between 0 and 1.
    """
    if x0.shape != noise.shape:
        raise ValueError(f"x0 and noise need one shape, got {tuple(x0.shape)} and {tuple(noise.shape)}")
    a, b = _roots(alpha_bar, x0)
    return a * x0 + b * noise


def posterior(x0: Tensor, xt: Tensor, table: Tensor, t: int, before: int | None = None):
    """Mean (N, 2) and variance (a number) of q(x_s | x_t, x_0), a normal distribution, with s = t - 1 or `before`.

    With β = 1 - ᾱ_t / ᾱ_s: mean (√ᾱ_s β x_0 + √(1 - β) (1 - ᾱ_s) x_t) / (1 - ᾱ_t), variance β (1 - ᾱ_s) / (1 - ᾱ_t).
    Source: Ho, Jain and Abbeel (2020), "Denoising diffusion probabilistic models", equations 6 and 7.

    Raises:
        ValueError: not 0 ≤ s < t ≤ T.
    """
    before = t - 1 if before is None else before
    if not 0 <= before < t < len(table):
        raise ValueError(f"need 0 ≤ before < t ≤ {len(table) - 1}, got before={before} and t={t}")
    now, then = table[t].item(), table[before].item()
    beta = 1 - now / then
    mean = (math.sqrt(then) * beta * x0 + math.sqrt(1 - beta) * (1 - then) * xt) / (1 - now)
    return mean, beta * (1 - then) / (1 - now)


def _check_prediction(prediction, smallest_alpha_bar=1.0, known=("noise", "v")):
    if prediction not in known:
        raise ValueError(f"prediction must be one of {', '.join(known)}; got {prediction!r}")
    if prediction == "noise" and smallest_alpha_bar <= 0:
        raise ValueError("at ᾱ = 0 predicted noise cannot give x_0: train with prediction='v', or end at ᾱ > 0")


def clean_and_noise(output: Tensor, xt: Tensor, alpha_bar, prediction="noise"):
    """The x_0 and the ε, both (N, 2), that a model's output (N, 2) at x_t (N, 2) stands for.

    Raises:
        ValueError: an unknown prediction; or "noise" at ᾱ = 0, where x_t is the noise and says nothing of x_0.
    """
    a, b = _roots(alpha_bar, xt)
    _check_prediction(prediction, a.min())
    if prediction == "v":
        return a * xt - b * output, b * xt + a * output
    return (xt - b * output) / a, output


# --- the network ----------------------------------------------------------------------------------------------------


def sinusoids(values: Tensor, count, lowest, highest) -> Tensor:
    """Sines and cosines of `count` frequencies in geometric progression: (…) -> (…, 2 count); Vaswani et al. (2017)."""
    powers = torch.linspace(0, 1, count, dtype=values.dtype, device=values.device)
    angles = values[..., None] * lowest * (highest / lowest) ** powers
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


class NoisePredictor(nn.Module):
    """Residual multilayer perceptron for points in the plane at a time from 0 to 1: (N, 2), (N,) -> (N, 2).

    Coordinates and time enter as they are and as sines and cosines, for the sake of sharp edges (Tancik and others,
    2020, "Fourier features"). Every block computes h + W_2 SiLU(W_1 SiLU(h) + V m), with m made of the time. At first
    the last layer gives 0.

    Args:
        hidden: H, width. layers: number of blocks. frequencies: of the time and, as many, of each coordinate.
        cosine_skip: return sin φ x + cos φ h, for "noise" with the cosine schedule, whose angle is φ. sin φ x is right
            for data that are N(0, 1), and h is left with v. After Karras, Aittala, Aila and Laine (2022), section 5.

    Raises:
        ValueError: a size below 1; when called, x is not floating point (N, 2), or time not (N,).
    """

    def __init__(self, hidden=96, layers=3, frequencies=8, cosine_skip=False):
        super().__init__()
        check_sizes(hidden=hidden, layers=layers, frequencies=frequencies)
        self.frequencies, self.cosine_skip = frequencies, cosine_skip
        self.enter = nn.Linear(2 + 4 * frequencies, hidden)
        self.moment = nn.Sequential(nn.Linear(1 + 2 * frequencies, hidden), nn.SiLU())
        self.first, self.shift, self.second = (
            nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers)) for _ in range(3)
        )
        self.leave = nn.Linear(hidden, 2)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        if x.dim() != 2 or x.shape[1] != 2 or not x.is_floating_point() or time.shape != x.shape[:1]:
            raise ValueError(
                f"x must be floating point (N, 2) and time (N,), got {x.dtype} {tuple(x.shape)} and "
                f"{tuple(time.shape)}: use time.expand(len(x)) for one time"
            )
        place = torch.cat([x, sinusoids(x, self.frequencies, *COORDINATE_WAVES).flatten(1)], dim=1)
        moment = torch.cat([time[:, None], sinusoids(time, self.frequencies, *TIME_WAVES)], dim=1)
        h, moment = self.enter(place), self.moment(moment)  # (N, H) both
        for first, shift, second in zip(self.first, self.shift, self.second, strict=True):
            h = h + second(F.silu(first(F.silu(h)) + shift(moment)))
        out, angle = self.leave(F.silu(h)), LAST_ANGLE * time[:, None]
        return torch.sin(angle) * x + torch.cos(angle) * out if self.cosine_skip else out


def _random(draw, like, generator):
    """Random numbers in the shape of a tensor, drawn where the generator lives, moved to where they are needed."""
    device = like.device if generator is None else generator.device
    return draw(like.shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


# --- losses ---------------------------------------------------------------------------------------------------------


def _draw(batch, generator):
    """x_0 (N, 2) of a batch, noise, and times in (0, 1], one in each of N equal intervals, which lessens the chance."""
    x0 = batch[0] if isinstance(batch, (tuple, list)) else batch
    chance = _random(torch.rand, x0[:, 0], generator)
    return x0, _random(torch.randn, x0, generator), (torch.arange(1, len(x0) + 1, device=x0.device) - chance) / len(x0)


def noise_loss(model, batch, table=None, prediction="noise", generator=None):
    """Mean squared error of the predicted noise, or of v, each example at a random time: a scalar.

    Source: Ho, Jain and Abbeel (2020), equation 14. The times of a batch, in random order, are evenly spread.

    Args:
        model: see the top of the module. batch: x_0 (N, 2), or a tuple whose first entry it is.
        table: from `alpha_bars`, with times t / T for t = 1 … T; None: the cosine schedule at any time from 0 to 1.
        generator: draws times and noise; None takes torch's global random numbers.

    Raises:
        ValueError: an unknown prediction; or "noise" with a table that ends at ᾱ = 0.
    """
    _check_prediction(prediction, 1.0 if table is None else table[-1])
    x0, noise, time = _draw(batch, generator)
    if table is None:
        a, b = torch.cos(LAST_ANGLE * time)[:, None], torch.sin(LAST_ANGLE * time)[:, None]
    else:
        T = len(table) - 1
        t = (T * time).ceil().long().clamp(1, T)
        time, (a, b) = t.to(time) / T, _roots(table[t.cpu()], x0)
    target = noise if prediction == "noise" else a * noise - b * x0
    return (model(a * x0 + b * noise, time) - target).square().mean()


def flow_matching_loss(model, batch, generator=None):
    """Mean squared error of the predicted velocity x_0 - ε on the straight line x_t = (1 - t) ε + t x_0: a scalar.

    Source: Lipman and others (2023), equation 23 with σ_min = 0. Arguments as in `noise_loss`.
    """
    x0, noise, time = _draw(batch, generator)
    return (model((1 - time[:, None]) * noise + time[:, None] * x0, time) - (x0 - noise)).square().mean()


# --- samplers -------------------------------------------------------------------------------------------------------


def _start(model, num, start, generator):
    """Where all samplers begin: N(0, 1) of (num, 2) on the model's device, or the points given."""
    if start is not None:
        return start
    if num is None or num < 1:
        raise ValueError(f"give num, at least 1, or start (N, 2); got num={num}")
    device = next(model.parameters()).device if isinstance(model, nn.Module) else "cpu"
    return torch.randn(num, 2, generator=generator).to(device)


def _at(model, x, time: float):
    """The model's output for points that are all at one time, by parts that stay in a processor's cache."""
    return torch.cat([model(part, torch.full_like(part[:, 0], time)) for part in x.split(1024)])


@torch.no_grad()
def _reverse(model, table, x, steps, prediction, return_path, step):
    path, T = [x], len(table) - 1
    steps = T if steps is None else steps
    if not 1 <= steps <= T:
        raise ValueError(f"steps must lie between 1 and the {T} of the table, got {steps}")
    times = [round(T * k / steps) for k in range(steps, -1, -1)]
    for t, before in zip(times, times[1:], strict=False):
        x = step(x, *clean_and_noise(_at(model, x, t / T), x, table[t].item(), prediction), t, before)
        path = [*path, x] if return_path else [x]
    return torch.stack(path) if return_path else x


def ancestral_sample(
    model,
    table,
    num=None,
    *,
    steps=None,
    prediction="noise",
    variance="posterior",
    generator=None,
    start=None,
    return_path=False,
) -> Tensor:
    """Draw x_{t-1} from q(x_{t-1} | x_t, x_0) with the predicted x_0, from x_T ~ N(0, 1) down to t = 0: (num, 2).

    Source: Ho, Jain and Abbeel (2020), algorithm 2, and section 3.2 for the two variances.

    Args:
        model: see the top of the module. table: from `alpha_bars`. num: how many points.
        steps: how many of the table's T, as evenly spaced as can be, one evaluation of the model each; None: all.
        variance: of the noise in every step: "posterior", that of q(x_s | x_t, x_0), exact for data that are a single
            point; or "forward", β = 1 - ᾱ_t / ᾱ_s, exact for N(0, 1). The last step adds no noise.
        start: x_T (N, 2) in place of num. return_path: all states (steps + 1, N, 2), noise first, for films.

    Raises:
        ValueError: an unknown variance, more steps than the table has, no num, or see `clean_and_noise`.
    """
    if variance not in ("posterior", "forward"):
        raise ValueError(f"variance must be posterior or forward; got {variance!r}")

    def step(x, x0, noise, t, before):
        mean, spread = posterior(x0, x, table, t, before)
        if variance == "forward" and before > 0:
            spread = 1 - table[t].item() / table[before].item()
        return mean + math.sqrt(spread) * _random(torch.randn, x, generator)

    return _reverse(model, table, _start(model, num, start, generator), steps, prediction, return_path, step)


def ddim_sample(
    model, table, num=None, *, steps=None, prediction="noise", generator=None, start=None, return_path=False
) -> Tensor:
    """From x_T ~ N(0, 1) without further chance: x_s = √ᾱ_s x_0 + √(1 - ᾱ_s) ε with the predicted x_0 and ε: (num, 2).

    Source: Song, Meng and Ermon (2021), equation 12 with σ = 0. Arguments and errors as in `ancestral_sample`.
    """

    def step(x, x0, noise, t, before):
        return diffuse(x0, table[before].item(), noise)

    return _reverse(model, table, _start(model, num, start, generator), steps, prediction, return_path, step)


@torch.no_grad()
def flow_sample(model, steps, num=None, *, method="euler", generator=None, start=None, return_path=False) -> Tensor:
    """Follow dx/dt = model(x, t) from noise at t = 0 to data at t = 1 in equal steps: (num, 2).

    Args:
        model: predicts velocities, trained with `flow_matching_loss`. steps: their number.
        method: "euler", of first order with one evaluation per step; "midpoint" or "heun", of second order with two.
        The others as in `ancestral_sample`.

    Raises:
        ValueError: an unknown method, fewer than one step, or no num.
    """
    if method not in ("euler", "midpoint", "heun") or steps < 1:
        raise ValueError(f"need steps ≥ 1 and one of the methods euler, midpoint and heun; got {steps}, {method!r}")
    x, dt = _start(model, num, start, generator), 1 / steps
    path = [x]
    for k in range(steps):
        slope = _at(model, x, k * dt)
        if method == "midpoint":
            slope = _at(model, x + dt / 2 * slope, (k + 0.5) * dt)
        elif method == "heun":
            slope = (slope + _at(model, x + dt * slope, (k + 1) * dt)) / 2
        x = x + dt * slope
        path = [*path, x] if return_path else [x]
    return torch.stack(path) if return_path else x


# --- exact likelihood -----------------------------------------------------------------------------------------------


def _with_divergence(velocity, x, tau):
    """The velocity (N, 2) and its divergence (N,), exact by two backward passes; the points do not influence others."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = velocity(x, tau)
        rows = [torch.autograd.grad(v[:, axis].sum(), x, retain_graph=axis == 0)[0][:, axis] for axis in (0, 1)]
    return v.detach(), rows[0] + rows[1]


def _integrate(velocity, x, times):
    """Positions (N, 2) at the end and the integral of the divergence (N,), by Runge and Kutta's method."""
    total = torch.zeros_like(x[:, 0])
    for tau, after in zip(times, times[1:], strict=False):
        h = after - tau
        v1, d1 = _with_divergence(velocity, x, tau)
        v2, d2 = _with_divergence(velocity, x + h / 2 * v1, tau + h / 2)
        v3, d3 = _with_divergence(velocity, x + h / 2 * v2, tau + h / 2)
        v4, d4 = _with_divergence(velocity, x + h * v3, after)
        x, total = x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4), total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
    return x, total


def log_likelihood(model, x: Tensor, prediction="noise", steps=64, smallest=1e-2):
    """Exact log density, in nats, of what the probability flow makes of N(0, 1): (N, 2) -> (N,) and its error (N,).

    Along the flow dx/dτ from data to noise log p(data) = log N(noise; 0, 1) + ∫ div dx/dτ dτ (Song and others, 2021,
    section 4.3). For flow matching τ is 1 - t; for diffusion it is the angle φ of x = cos φ x_0 + sin φ ε, in which the
    flow is simply dx/dφ = v. Steps grow in proportion to τ: near the data the flow changes on the scale of the noise.

    Args:
        model: one for all times of the cosine schedule (`noise_loss` without a table), or for the prediction "flow" one
            trained with `flow_matching_loss`. Any function will do that torch can differentiate by x.
        prediction: "noise", "v" or "flow". steps: of order four; the error is the difference from half as many.
        smallest: τ where the flow begins; the density is blurred by noise of as much (tan φ, or τ / (1 - τ)).

    Raises:
        ValueError: an unknown prediction, fewer than two steps, or smallest outside 0 … 0.5.
    """
    _check_prediction(prediction, known=("noise", "v", "flow"))
    if steps < 2 or not 0 < smallest < 0.5:
        raise ValueError(f"need at least 2 steps and 0 < smallest < 0.5, got {steps} and {smallest}")

    def velocity(x, tau):
        if prediction == "flow":
            return -model(x, (1 - tau).expand(len(x)))
        output = model(x, (tau / LAST_ANGLE).expand(len(x)))
        return output if prediction == "v" else (output - tau.sin() * x) / tau.cos()

    largest, scale = (1.0, 1 - smallest) if prediction == "flow" else (LAST_ANGLE, math.cos(smallest))
    values = []
    for count in (steps, steps // 2):
        powers = torch.linspace(0, 1, count + 1, dtype=x.dtype, device=x.device)
        end, divergence = _integrate(velocity, scale * x, smallest * (largest / smallest) ** powers)
        prior = -0.5 * end.square().sum(1) - math.log(2 * math.pi)
        values.append(prior + divergence + 2 * math.log(scale))
    return values[0], (values[0] - values[1]).abs()
