"""Waves: the scheme is second order, keeps its energy, reflects at the walls, and blows up where theory says."""

import math

import pytest
import torch
import torch.nn.functional as F

from lib.datasets import waves
from lib.datasets.waves import (
    DT,
    DX,
    SPEED,
    check_stability,
    energy,
    exact_stencil,
    gaussian,
    gaussians,
    obstacle_cells,
    simulate,
    spectrum,
    standing_wave,
    wave_runs,
)
from lib.models import pad

R2 = (SPEED * DT / DX) ** 2


def fields(num_runs=2, size=12, seed=0):
    """Random smooth start fields in float64: (num_runs, size, size)."""
    return gaussians(num_runs, size, generator=torch.Generator().manual_seed(seed)).double()


def assert_same(ours, theirs, what, atol=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, msg=lambda text: f"{what}: {text}")


# --- the scheme -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["rest", "exact"])
@pytest.mark.parametrize("mode", [(1, 1), (1, 2)])
def test_halving_both_steps_quarters_the_error(mode, start):
    speed, r, time = 2.0, 0.3, 0.6
    errors = []
    for cells in (20, 40, 80):  # between the walls of a membrane of side 1
        dx = 1 / cells
        dt = r * dx / speed
        steps = round(time / dt)
        exact = standing_wave([-dt, 0, steps * dt], cells - 1, mode=mode, speed=speed, dx=dx)
        previous = exact[:1] if start == "exact" else "rest"
        frames = simulate(exact[1:2], steps + 1, speed=speed, dt=dt, dx=dx, previous=previous)
        errors.append((frames[0, -1] - exact[2]).square().mean().sqrt().item())
    orders = [math.log2(coarse / fine) for coarse, fine in zip(errors[:-1], errors[1:], strict=True)]
    assert all(1.9 < order < 2.1 for order in orders), f"errors {errors} shrink with the orders {orders}, not 2"


@pytest.mark.parametrize("mode", [(1, 1), (2, 3), (8, 8)])
def test_a_sine_mode_turns_by_the_angle_of_the_scheme(mode):
    size, steps = 8, 40
    start = standing_wave([0.0], size, mode=mode)
    sine = sum(math.sin(math.pi * number / (2 * (size + 1))) ** 2 for number in mode)
    theta = 2 * math.asin(math.sqrt(R2 * sine))
    expected = torch.cos(theta * torch.arange(steps + 1, dtype=torch.float64))[:, None, None] * start
    assert_same(simulate(start, steps + 1)[0], expected, f"mode {mode} must swing as cos(nθ)")


def test_released_from_rest_the_past_mirrors_the_future():
    start = fields()
    frames = simulate(start, 12)
    assert_same(simulate(start, 12, previous=frames[:, 1]), frames, "u(-Δt) must be u(Δt)")


def test_the_scheme_runs_backwards_as_well():
    frames = simulate(fields(), 30)
    back = simulate(frames[:, -2], 29, previous=frames[:, -1])
    assert_same(back, frames.flip(1)[:, 1:], "with its last two frames exchanged a run must retrace its steps", 1e-10)


def test_the_published_start_about_doubles_the_peak():
    start = gaussian(8, 8, 17)
    kicked, released = (simulate(start, 4, previous=name)[0].amax((1, 2)) / start.max() for name in waves.STARTS[::-1])
    assert released.max() == 1, "released from rest, a hill can only sink at first"
    assert 1.6 < kicked.max() < 2.4, f"the peak goes as {[round(value, 2) for value in kicked.tolist()]}"
    first = 2 * start + R2 * waves.laplacian(start)
    assert_same(simulate(start, 2, previous="published")[:, 1], first, "with u(-Δt) = 0 the first step", 1e-5)


@pytest.mark.parametrize("options", [{}, {"damping": 0.3}, {"previous": "published"}, {"obstacle": "disc"}])
def test_every_third_frame_of_slow_waves_is_a_fast_wave(options):
    if "obstacle" in options:
        options = {"obstacle": obstacle_cells("disc", 12)}
    slow, fast = simulate(fields(), 16, **options), simulate(fields(), 6, skip_rate=3, **options)
    assert torch.equal(fast, slow[:, ::3]), "skip_rate must only leave out frames"


def test_waves_superpose():
    a, b = fields(seed=1), fields(seed=2)
    both = simulate(2 * a - 3 * b, 40, damping=0.1)
    apart = 2 * simulate(a, 40, damping=0.1) - 3 * simulate(b, 40, damping=0.1)
    assert_same(both, apart, "the wave equation is linear")


@pytest.mark.parametrize(
    "turn",
    [lambda u: u.flip(-1), lambda u: u.flip(-2), lambda u: u.transpose(-1, -2), lambda u: u.rot90(1, (-2, -1))],
    ids=["left-right", "up-down", "diagonal", "quarter turn"],
)
def test_the_membrane_has_the_symmetries_of_a_square(turn):
    start = fields()
    assert_same(simulate(turn(start), 40), turn(simulate(start, 40)), "turning first or simulating first")


def test_batched_runs_do_not_touch_each_other():
    start = fields(3)
    assert torch.equal(simulate(start, 10)[1:2], simulate(start[1:2], 10))
    before = start.clone()
    simulate(start, 5, obstacle=obstacle_cells("disc", 12))
    assert torch.equal(start, before), "simulate must leave its argument alone"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_of_the_start_is_the_type_of_the_run(dtype):
    frames = simulate(fields().to(dtype), 5, skip_rate=2)
    assert frames.dtype == dtype and frames.shape == (2, 5, 12, 12)
    assert torch.equal(frames[:, 0], fields().to(dtype)), "the start is the first frame"


# --- stability ------------------------------------------------------------------------------------------------------

LIMIT = 1 / math.sqrt(2)


@pytest.mark.parametrize("speed", [1.0, 3.0, "field"])
def test_a_time_step_beyond_the_limit_is_refused(speed):
    fastest = 3.0
    if speed == "field":
        speed = torch.ones(12, 12)
        speed[3, 4] = fastest
    else:
        fastest = speed
    with pytest.raises(ValueError, match="0.707"):
        simulate(fields(), 2, speed=speed, dt=(LIMIT + 1e-3) / fastest)
    with pytest.raises(ValueError, match="c·Δt/Δx"):
        exact_stencil(speed=fastest, dt=(LIMIT + 1e-3) / fastest)
    assert check_stability(speed, dt=LIMIT / fastest) == pytest.approx(LIMIT)
    assert check_stability(speed, dt=(LIMIT + 0.1) / fastest, dx=2.0) < LIMIT, "a larger cell allows a larger step"


@pytest.mark.parametrize(
    "speed",
    [
        0.0,
        -3.0,
        math.nan,
    ],
)
def test_a_speed_that_is_not_positive_is_refused(speed):
    with pytest.raises(ValueError, match="0 < c·Δt/Δx"):
        simulate(fields(), 2, speed=speed)


@pytest.mark.parametrize("speed", [2.0, 3.0])
def test_the_time_step_that_the_message_proposes_is_accepted(speed):
    with pytest.raises(ValueError, match="at most") as caught:
        check_stability(speed, dt=5.0)
    proposed = float(str(caught.value).split("here ")[1].split(",")[0])
    assert proposed * speed > 0.7, f"{proposed} is needlessly small"
    assert check_stability(speed, dt=proposed) <= LIMIT + 1e-12


def test_just_below_the_limit_a_run_stays_bounded_and_beyond_it_blows_up(monkeypatch):
    start = fields(1, 16)
    calm = simulate(start, 501, speed=1.0, dt=LIMIT - 1e-3)
    first = energy(calm[:, 0], calm[:, 1], speed=1.0, dt=LIMIT - 1e-3)
    last = energy(calm[:, -2], calm[:, -1], speed=1.0, dt=LIMIT - 1e-3)
    assert calm.abs().max() < 10 * start.abs().max(), "after 500 steps just below the limit nothing may have grown"
    assert_same(last / first, torch.ones_like(first), "and the energy is the same", 1e-8)

    monkeypatch.setattr(waves, "check_stability", lambda *args, **options: None)
    wild = simulate(start, 501, speed=1.0, dt=LIMIT + 0.02)
    assert wild[:, -1].abs().max() > 1e20, "beyond the limit the checkerboard pattern grows at every step"
    signs = wild[0, 200].sign()
    checkerboard = (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    assert (signs * checkerboard).mean().abs() == 1, "what grows must be the checkerboard"


# --- energy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip_rate", [1, 2, 3])
def test_energy_is_conserved(skip_rate):
    frames = simulate(fields(2, 15), 120, skip_rate=skip_rate)
    values = energy(frames[:, :-1], frames[:, 1:], skip_rate=skip_rate)  # (N, T - 1)
    spread = (values / values[:, :1] - 1).abs().max()
    assert spread < 1e-10, f"the energy wanders by {spread:.1e} of its value"
    slow = simulate(fields(2, 15), 2)
    assert_same(values[:, 0], energy(slow[:, 0], slow[:, 1]), "the energy must not depend on skip_rate", 1e-9)


@pytest.mark.parametrize("skip_rate", [1, 2, 3])
def test_damping_takes_energy_away(skip_rate):
    frames = simulate(fields(2, 15), 60, skip_rate=skip_rate, damping=0.2)
    values = energy(frames[:, :-1], frames[:, 1:], skip_rate=skip_rate)
    if skip_rate == 1:
        assert (values.diff(dim=1) < 0).all(), "every single step must lose energy"
    shares = (values[:, -1] / values[:, 0]).tolist()
    expected = math.exp(-0.2 * 58 * skip_rate * DT)  # e^(-γt): kinetic energy decays at the rate 2γ, half of the time
    assert all(0.5 < share / expected < 2 for share in shares), f"{shares} of the energy is left, not {expected:.3f}"


def test_energy_is_kinetic_plus_elastic():
    dt, dx, speed = 0.07, 0.5, 2.0
    frames = simulate(fields(2, 9), 20, speed=speed, dt=dt, dx=dx)
    u, v = frames[:, :-1], frames[:, 1:]
    kinetic = 0.5 * ((v - u) / dt).square().sum((-2, -1)) * dx**2
    wide_u, wide_v = F.pad(u, (1,) * 4), F.pad(v, (1,) * 4)  # the edges between the last cells and the walls count
    elastic = 0.0
    for axis, cut in ((-2, (..., slice(None), slice(1, -1))), (-1, (..., slice(1, -1), slice(None)))):
        elastic = elastic + (wide_v.diff(dim=axis)[cut] * wide_u.diff(dim=axis)[cut]).sum((-2, -1))
    direct = kinetic + 0.5 * speed**2 * elastic  # (Δu / Δx)² Δx²
    assert_same(energy(u, v, speed=speed, dt=dt, dx=dx), direct, "energy written out in cells", 1e-10)


# --- walls and obstacles --------------------------------------------------------------------------------------------


def test_continued_by_odd_reflection_the_field_obeys_the_scheme_beyond_the_walls():
    wide = pad(simulate(fields(), 40), 6, "odd")  # (N, T, 12 + 12, 12 + 12)
    u, inner = wide[..., 1:-1, 1:-1], slice(1, -1)
    lap = wide[..., 2:, inner] + wide[..., :-2, inner] + wide[..., inner, 2:] + wide[..., inner, :-2] - 4 * u
    after = (2 * u + R2 * lap)[:, 1:-1] - u[:, :-2]
    assert_same(u[:, 2:], after, "a wave that meets its own negative at the wall")


@pytest.mark.parametrize("skip_rate", [1, 2, 3])
def test_the_exact_stencil_with_odd_padding_predicts_the_next_frame(skip_rate):
    frames = simulate(fields(3), 30, skip_rate=skip_rate)
    kernel = exact_stencil(skip_rate)
    assert kernel.shape == (2 * skip_rate + 1,) * 2 and kernel.dtype == torch.float64
    assert_same(kernel.sum(), torch.tensor(2.0, dtype=torch.float64), "a constant field must stay: ΣK = 2")
    predictions = F.conv2d(pad(frames[:, 1:-1].flatten(0, 1)[:, None], skip_rate, "odd"), kernel[None, None])
    predictions = predictions.view_as(frames[:, 1:-1]) - frames[:, :-2]
    assert_same(predictions, frames[:, 2:], f"K * u(t) - u(t - {skip_rate} Δt)")


@pytest.mark.parametrize("skip_rate", [1, 2, 3])
def test_with_zeros_beyond_the_walls_fast_waves_go_wrong_there_and_only_there(skip_rate):
    frames = simulate(fields(3), 30, skip_rate=skip_rate)
    kernel = exact_stencil(skip_rate)[None, None]
    predictions = F.conv2d(frames[:, 1:-1].flatten(0, 1)[:, None], kernel, padding=skip_rate)
    wrong = (predictions.view_as(frames[:, 1:-1]) - frames[:, :-2] - frames[:, 2:]).abs().amax((0, 1))
    width = skip_rate - 1  # the ghost cell next to the wall is zero indeed, so one step reaches no wrong one
    interior = wrong[width : 12 - width, width : 12 - width]
    assert interior.max() < 1e-12, "away from the walls padding does not matter"
    border = torch.ones(12, 12, dtype=torch.bool)
    border[width : 12 - width, width : 12 - width] = False
    assert (wrong[border] > 1e-6).all(), "next to the walls zeros are wrong"


@pytest.mark.parametrize("name", ["slit", "disc"])
def test_obstacle_cells_stay_at_zero_and_the_wave_notices(name):
    cells = obstacle_cells(name, 20)
    assert cells.shape == (20, 20) and 0 < cells.sum() < 100
    runs = wave_runs(3, 60, size=20, obstacle=name)
    assert (runs[:, :, cells] == 0).all(), f"the cells of the {name} move"
    assert not torch.allclose(runs, wave_runs(3, 60, size=20)), "an obstacle must change the waves"


def test_a_slit_has_one_opening_through_which_waves_come():
    cells = obstacle_cells("slit", 20)
    assert cells.any(0).sum() == 1, "the wall is one column thick"
    column = int(cells.any(0).nonzero())
    opening = (~cells[:, column]).nonzero().flatten()
    assert len(opening) > 0 and torch.equal(opening, torch.arange(opening[0], opening[-1] + 1))
    frames = simulate(gaussian(10, 4, 20), 120, obstacle=cells)[0]
    behind = frames[:, :, column + 1 :].square().sum((1, 2))
    assert behind[0] < 1e-6 < 0.01 < behind.max(), "a wave must arrive behind the slit, later"
    closed = cells.clone()
    closed[:, column] = True
    assert simulate(gaussian(10, 4, 20), 120, obstacle=closed)[0, :, :, column + 1 :].abs().max() < 1e-6


def test_without_obstacle_there_are_no_cells():
    assert obstacle_cells("none") is None


# --- speeds that differ from place to place ---------------------------------------------------------------------------


def test_a_constant_field_of_speeds_is_a_speed():
    constant = torch.full((12, 12), 2.5, dtype=torch.float64)
    assert_same(simulate(fields(), 20, speed=constant), simulate(fields(), 20, speed=2.5), "a constant field of c")


def test_where_the_speed_is_zero_nothing_moves():
    speed = torch.full((12, 12), 3.0)
    speed[:, 6:] = 0
    frames = simulate(fields(), 20, speed=speed)
    assert torch.equal(frames[:, -1, :, 6:], frames[:, 0, :, 6:]) and not torch.allclose(frames[:, -1], frames[:, 0])


def test_waves_are_faster_where_the_speed_is_greater():
    speed = torch.full((41, 41), 1.5)
    speed[:, 20:] = 3.0
    frames = simulate(gaussian(20, 20, 41), 60, speed=speed)[0]
    reached = [(frames[:, 20, 20 + side * 8].abs() > 0.05).int().argmax().item() for side in (-1, 1)]
    assert reached[0] > 1.5 * reached[1], f"8 cells to the slow and fast side take {reached} frames"


# --- spectrum -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "half_waves"), [((1, 2), 2), ((3, 4), 5), ((6, 8), 10)])
def test_the_spectrum_of_a_standing_wave_is_one_line(mode, half_waves):
    wave = standing_wave([0.0], 12, mode=mode)
    power = spectrum(wave)
    total = wave.square().sum().item()
    assert power.shape == (11,) and power.sum().item() == pytest.approx(total)
    assert power[half_waves - 2].item() == pytest.approx(total), "all of Σ u² lies in the wave's own line"


def test_the_spectrum_of_noise_adds_up_to_its_power():
    noise = torch.randn(400, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    k = torch.arange(1, 13)
    inside = ((k[:, None] ** 2 + k**2.0).sqrt().round() <= 12).sum().item() - 1  # of 144 modes, less (1, 1)
    assert spectrum(noise).sum().item() == pytest.approx(inside, rel=0.02)
