"""Diffusion and flow matching: against brute-force normal distributions, and with exact scores in a network's place."""

import math

import pytest
import torch

from lib.datasets.densities import MIXTURES, log_density, sample, score
from lib.models.diffusion import (
    LAST_ANGLE,
    NoisePredictor,
    alpha_bars,
    ancestral_sample,
    clean_and_noise,
    cosine_alpha_bar,
    ddim_sample,
    diffuse,
    flow_matching_loss,
    flow_sample,
    log_likelihood,
    noise_loss,
    posterior,
    sinusoids,
)

SCHEDULES = {
    "cosine": lambda steps: alpha_bars("cosine", steps),
    "linear": lambda steps: alpha_bars("linear", steps),
    "the toy's": lambda steps: alpha_bars("linear", steps, betas=(1e-4, 0.02)),
    "zero terminal": lambda steps: alpha_bars("linear", steps, zero_terminal=True),
    "cosine, zero terminal": lambda steps: alpha_bars("cosine", steps, zero_terminal=True),
}
PLAIN = ("cosine", "linear", "the toy's")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed))


def exact_noise(name):
    """E[ε | x_t] of a mixture, in the place of a network for the cosine schedule."""

    def model(x, time):
        alpha_bar = cosine_alpha_bar(time)
        return -(1 - alpha_bar).sqrt()[:, None] * score(name, x, alpha_bar)

    return model


def exact_v(name):
    def model(x, time):
        alpha_bar = cosine_alpha_bar(time)
        a, b = alpha_bar.sqrt()[:, None], (1 - alpha_bar).sqrt()[:, None]
        return (-b * score(name, x, alpha_bar) - b * x) / a

    return model


def exact_velocity(name):
    """E[x_0 - ε | x_t] on straight lines; x_t / s with s² = t² + (1 - t)² is diffusion with ᾱ = t² / s²."""

    def model(x, time):
        time = time[:, None]
        square = time**2 + (1 - time) ** 2
        noise = -(1 - time) / square.sqrt() * score(name, x / square.sqrt(), (time**2 / square)[:, 0])
        clean = torch.where(time > 0, (x - (1 - time) * noise) / time.clamp(min=1e-9), 0.0)  # mean 0 at the start
        return clean - noise

    return model


# --- schedules and the forward process ------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 50, 1000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_fall_from_one(name, steps):
    if name == "linear" and steps == 2 or name == "zero terminal" and steps == 2:
        with pytest.raises(ValueError, match="more steps"):
            SCHEDULES[name](steps)
        return
    table = SCHEDULES[name](steps)
    assert table.shape == (steps + 1,) and table[0] == 1
    assert (table.diff() < 0).all(), "every step adds noise"
    assert (table[-1] == 0) == ("zero" in name)


def test_known_values_of_the_schedules():
    assert alpha_bars("cosine", 77)[-1].item() == pytest.approx(1e-4)
    assert alpha_bars("cosine", 10)[5].item() == pytest.approx(math.cos(LAST_ANGLE / 2) ** 2)
    ho = alpha_bars("linear", 1000)
    assert ho[1].item() == pytest.approx(1 - 1e-4) and ho[1000].item() == pytest.approx(4.04e-5, rel=0.01)
    assert (1 - ho[1000] / ho[999]).item() == pytest.approx(0.02)
    toy = alpha_bars("linear", 50, betas=(1e-4, 0.02))
    assert toy[-1].item() == pytest.approx(0.60, abs=0.005), "most of the data is left at the end of the popular toy"
    rescaled = alpha_bars("linear", 1000, zero_terminal=True)
    assert rescaled[1].item() == pytest.approx(ho[1].item()), "the first step stays what it was"


@pytest.mark.parametrize("name", PLAIN)
def test_the_chain_simulated_step_by_step_has_the_known_distribution(name):
    """x_t = √(1 - β_t) x_{t-1} + √β_t ε, from one x_0: mean √ᾱ_t x_0 and variance 1 - ᾱ_t."""
    table, count = SCHEDULES[name](25), 20_000
    x0 = torch.tensor([0.7, -1.2], dtype=torch.float64)
    x, draw = x0.expand(count, 2), generator()
    for t in range(1, 26):
        beta = 1 - table[t] / table[t - 1]
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(x.shape, dtype=x.dtype, generator=draw)
        variance = 1 - table[t]
        assert ((x.mean(0) - table[t].sqrt() * x0).abs() < 4 * (variance / count).sqrt()).all(), f"mean at t = {t}"
        assert ((x.var(0) - variance).abs() < 4 * variance * math.sqrt(2 / count)).all(), f"variance at t = {t}"


def test_diffuse_is_a_weighted_sum():
    x0, noise = normal(5, 2), normal(5, 2, seed=1)
    torch.testing.assert_close(diffuse(x0, 0.36, noise), 0.6 * x0 + 0.8 * noise)
    levels = torch.linspace(0, 1, 5, dtype=torch.float64)
    each = torch.cat([diffuse(x0[i : i + 1], levels[i].item(), noise[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(diffuse(x0, levels, noise), each)


@pytest.mark.parametrize(("t", "before"), [(1, None), (7, None), (20, None), (20, 12), (9, 0)])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_posterior_against_conditioning_of_a_joint_normal_distribution(name, t, before):
    """Given x_0, x_s and x_t are jointly normal; the distribution of x_s given x_t follows from their covariance."""
    table = SCHEDULES[name](30)
    s = t - 1 if before is None else before
    x0, xt = normal(4, 2), normal(4, 2, seed=1)
    now, then = table[t].item(), table[s].item()
    variance_s, variance_t = 1 - then, 1 - now
    covariance = math.sqrt(now / then) * variance_s  # x_t = √(ᾱ_t / ᾱ_s) x_s + independent noise
    expected = math.sqrt(then) * x0 + covariance / variance_t * (xt - math.sqrt(now) * x0)
    mean, variance = posterior(x0, xt, table, t, before)
    torch.testing.assert_close(mean, expected)
    assert variance == pytest.approx(variance_s - covariance**2 / variance_t, abs=1e-12)


@pytest.mark.parametrize("prediction", ["noise", "v"])
@pytest.mark.parametrize("alpha_bar", [1.0, 0.9, 0.01])
def test_predictions_give_back_the_point_and_the_noise(prediction, alpha_bar):
    x0, noise = normal(6, 2), normal(6, 2, seed=1)
    xt = diffuse(x0, alpha_bar, noise)
    output = noise if prediction == "noise" else math.sqrt(alpha_bar) * noise - math.sqrt(1 - alpha_bar) * x0
    clean, found = clean_and_noise(output, xt, alpha_bar, prediction)
    torch.testing.assert_close(clean, x0)
    torch.testing.assert_close(found, noise)


def test_only_v_knows_the_data_where_nothing_of_it_is_left():
    noise = normal(3, 2)
    clean, found = clean_and_noise(torch.ones(3, 2).double(), noise, 0.0, "v")
    assert (clean == -1).all() and torch.equal(found, noise)
    with pytest.raises(ValueError, match="ᾱ = 0 predicted noise cannot give x_0"):
        clean_and_noise(noise, noise, 0.0, "noise")


# --- the network and its losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hidden", "layers", "frequencies"), [(96, 3, 8), (16, 1, 1), (24, 5, 4)])
def test_the_network_maps_points_to_points(hidden, layers, frequencies):
    torch.manual_seed(0)
    model = NoisePredictor(hidden, layers, frequencies)
    x, time = normal(7, 2).float(), torch.rand(7, generator=generator())
    assert torch.equal(model(x, time), torch.zeros(7, 2)), "the last layer starts at zero"
    torch.nn.init.normal_(model.leave.weight)
    out = model(x, time)
    assert out.shape == (7, 2)
    torch.testing.assert_close(model(x[3:4], time[3:4]), out[3:4], msg="points do not influence each other")
    assert not torch.allclose(out, model(x, 1 - time)), "the time matters"
    skip = NoisePredictor(hidden, layers, frequencies, cosine_skip=True)
    skip.load_state_dict(model.state_dict())
    angle = LAST_ANGLE * time[:, None]
    torch.testing.assert_close(skip(x, time), angle.sin() * x + angle.cos() * out)


def test_the_sinusoids_have_the_shape_and_frequencies_they_should():
    values = torch.linspace(0, 1, 6, dtype=torch.float64).view(3, 2)
    out = sinusoids(values, 3, 1.0, 100.0)
    assert out.shape == (3, 2, 6)
    for place, frequency in enumerate((1, 10, 100)):
        torch.testing.assert_close(out[..., place], torch.sin(frequency * values))
        torch.testing.assert_close(out[..., 3 + place], torch.cos(frequency * values))


class Recorder:
    """A model that answers 0 and keeps what it was asked."""

    def __call__(self, x, time):
        self.x, self.time = x, time
        return torch.zeros_like(x)


@pytest.mark.parametrize("prediction", ["noise", "v"])
@pytest.mark.parametrize("table", [None, alpha_bars("linear", 50)])
def test_the_loss_is_the_error_of_what_is_predicted(prediction, table):
    model, x0 = Recorder(), normal(400, 2)
    value = noise_loss(model, (x0, "labels"), table, prediction, generator())
    alpha_bar = cosine_alpha_bar(model.time) if table is None else table[(50 * model.time).round().long()]
    a, b = alpha_bar.sqrt()[:, None], (1 - alpha_bar).sqrt()[:, None]
    noise = (model.x - a * x0) / b
    target = noise if prediction == "noise" else a * noise - b * x0
    assert value.item() == pytest.approx(target.square().mean().item())
    assert noise.var().item() == pytest.approx(1, abs=0.15) and abs(noise.mean()) < 0.15
    parts = torch.histc(model.time, 8, 0, 1)
    assert (parts - 50).abs().max() <= (0.5 if table is None else 10), "the times are spread evenly over the batch"


def test_discrete_times_are_the_steps_of_the_table():
    model = Recorder()
    noise_loss(model, normal(5000, 2), alpha_bars("cosine", 10), generator=generator())
    found, counts = (10 * model.time).unique(return_counts=True)
    torch.testing.assert_close(found, torch.arange(1, 11).double())
    assert counts.min() > 480, "all steps alike, and never t = 0"


def test_the_flow_matching_loss_goes_along_straight_lines():
    model, x0 = Recorder(), normal(300, 2)
    value = flow_matching_loss(model, x0, generator())
    time = model.time[:, None]
    noise = (model.x - time * x0) / (1 - time).clamp(min=1e-12)
    known = model.time < 0.999
    assert value.item() == pytest.approx((x0 - noise)[known].square().mean().item(), rel=0.02)


@pytest.mark.parametrize("loss", [noise_loss, flow_matching_loss])
def test_training_learns_a_normal_distribution(loss):
    """The least error for N(0, 1) is known: ε from x_t has 1 - b², the velocity 2 - (1 - 2b)² / (b² + (1 - b)²)."""
    torch.manual_seed(0)
    model = NoisePredictor(16, 1, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    values = []
    for _ in range(150):
        optimizer.zero_grad()
        values.append(loss(model, torch.randn(256, 2)))
        values[-1].backward()
        optimizer.step()
    b = torch.linspace(0, 1, 1001)
    least = (torch.cos(LAST_ANGLE * b) ** 2).mean() if loss is noise_loss else math.pi / 2
    assert sum(values[-50:]).item() / 50 == pytest.approx(float(least), abs=0.1)


# --- samplers, with exact models ------------------------------------------------------------------------------------

SAMPLERS = {
    "ancestral": lambda name, n: ancestral_sample(
        exact_noise(name), alpha_bars("cosine", 60), n, generator=generator()
    ),
    "ancestral, forward variance": lambda name, n: ancestral_sample(
        exact_noise(name), alpha_bars("cosine", 60), n, variance="forward", generator=generator()
    ),
    "ancestral, v": lambda name, n: ancestral_sample(
        exact_v(name), alpha_bars("cosine", 60), n, prediction="v", generator=generator()
    ),
    "DDIM": lambda name, n: ddim_sample(exact_noise(name), alpha_bars("cosine", 100), n, generator=generator()),
    "DDIM of a longer table": lambda name, n: ddim_sample(
        exact_noise(name), alpha_bars("cosine", 1000), n, steps=75, generator=generator()
    ),
    "Euler": lambda name, n: flow_sample(exact_velocity(name), 100, n, generator=generator()),
    "midpoint": lambda name, n: flow_sample(exact_velocity(name), 25, n, method="midpoint", generator=generator()),
    "Heun": lambda name, n: flow_sample(exact_velocity(name), 25, n, method="heun", generator=generator()),
}


@pytest.mark.parametrize("how", SAMPLERS)
def test_samples_of_an_exact_model_have_the_right_moments(how):
    points = SAMPLERS[how]("gaussian_mixture", 2500).double()
    truth = sample("gaussian_mixture", 100_000, generator(1)).double()
    assert points.shape == (2500, 2)
    for what, name in ((points, "mean"), (points.square(), "variance"), (points.prod(1, keepdim=True), "covariance")):
        same = truth if name == "mean" else truth.square() if name == "variance" else truth.prod(1, keepdim=True)
        limit = 4 * same.std(0) / math.sqrt(2500) + 0.02
        assert ((what.mean(0) - same.mean(0)).abs() < limit).all(), f"{name} of {how}: {what.mean(0).tolist()}"
    logs = log_density("gaussian_mixture", points)
    expected = log_density("gaussian_mixture", truth)
    assert logs.mean().item() == pytest.approx(expected.mean().item(), abs=0.1), "the points lie where they should"


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_the_orders_of_the_methods(method, order):
    """Twice the steps divide the error by 2 to the order."""
    start, model = normal(50, 2), exact_velocity("eight_gaussians")
    best = flow_sample(model, 300, method="midpoint", start=start)
    errors = [(flow_sample(model, n, method=method, start=start) - best).norm().item() for n in (40, 80)]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.35)


@pytest.mark.parametrize(("variance", "data"), [("posterior", "a point"), ("forward", "normal")])
def test_each_variance_is_exact_for_the_data_it_is_made_for(variance, data):
    """With a single point at (1, -1), or N(0, 1), for data, even four steps leave x_t distributed as it should be."""
    table, place, count = alpha_bars("cosine", 4), torch.tensor([1.0, -1.0], dtype=torch.float64), 20_000

    def model(x, time):  # the mean of the noise given x
        alpha_bar = cosine_alpha_bar(time)[:, None]
        a, b = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        return (x - a * place) / b if data == "a point" else b * x

    start = normal(count, 2, seed=5)
    if data == "a point":
        start = diffuse(place.expand(count, 2), table[-1].item(), start)
    path = ancestral_sample(model, table, start=start, variance=variance, generator=generator(), return_path=True)
    for t in (3, 2, 1):
        x, left = path[4 - t], (1 - table[t]).item() if data == "a point" else 1.0
        mean = table[t].sqrt() * place if data == "a point" else torch.zeros(2, dtype=torch.float64)
        assert ((x.mean(0) - mean).abs() < 4 * math.sqrt(left / count)).all()
        assert ((x.var(0) / left - 1).abs() < 4 * math.sqrt(2 / count)).all()


def test_the_path_starts_with_noise_and_ends_with_the_samples():
    start, table = normal(5, 2), alpha_bars("cosine", 12)
    model = exact_noise("eight_gaussians")
    for how in (ancestral_sample, ddim_sample):
        path = how(model, table, start=start, steps=4, return_path=True, generator=generator())
        assert path.shape == (5, 5, 2) and torch.equal(path[0], start)
        assert torch.equal(path[-1], how(model, table, start=start, steps=4, generator=generator()))
    path = flow_sample(exact_velocity("eight_gaussians"), 6, start=start, return_path=True)
    assert path.shape == (7, 5, 2) and torch.equal(path[0], start)
    assert torch.equal(path[-1], flow_sample(exact_velocity("eight_gaussians"), 6, start=start))
    one, same, other = (ddim_sample(model, table, 3, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_samplers_are_without_gradients():
    model = NoisePredictor(8, 1, 2)
    assert not ancestral_sample(model, alpha_bars("cosine", 3), 4).requires_grad
    assert not flow_sample(model, 3, 4).requires_grad
    assert ddim_sample(model, alpha_bars("cosine", 3), 4).dtype == torch.float32


# --- likelihood, with exact models ----------------------------------------------------------------------------------

EXACT = {"noise": exact_noise, "v": exact_v, "flow": exact_velocity}


@pytest.mark.parametrize("prediction", EXACT)
@pytest.mark.parametrize("name", MIXTURES)
def test_the_likelihood_of_an_exact_model_is_the_known_density(name, prediction):
    x = sample(name, 60, generator()).double()
    found, error = log_likelihood(EXACT[prediction](name), x, prediction, steps=40, smallest=2e-3)
    expected = log_density(name, x)
    assert found.shape == error.shape == (60,)
    assert (found - expected).abs().max() < 0.01, "nats"
    assert (found - expected).abs().max() < 0.01 + error.max(), "the error estimate is no smaller than the error"
    assert error.mean() < 0.03


def test_the_density_of_the_flow_integrates_to_one():
    """Also for a network that was never trained: whatever it predicts, the flow only moves probability around."""
    torch.manual_seed(0)
    network = NoisePredictor(16, 1, 1).double()
    torch.nn.init.normal_(network.leave.weight, std=0.05)
    for model, prediction, half_width in (
        (exact_noise("gaussian_mixture"), "noise", 4.0),
        (network, "v", 6.0),
        (network, "flow", 6.0),
    ):
        cells = 50
        axis = half_width * (2 * torch.arange(cells, dtype=torch.float64).add(0.5) / cells - 1)
        logs, _ = log_likelihood(model, torch.cartesian_prod(axis, axis), prediction, steps=16, smallest=2e-2)
        assert logs.exp().sum().item() * (2 * half_width / cells) ** 2 == pytest.approx(1, abs=0.01), prediction


def test_the_error_estimate_falls_with_the_steps():
    x = sample("eight_gaussians", 40, generator()).double()
    model = exact_noise("eight_gaussians")
    coarse, fine = (log_likelihood(model, x, steps=steps)[1].mean() for steps in (16, 64))
    assert fine < coarse / 20


# --- what is refused ------------------------------------------------------------------------------------------------

POINTS, TABLE, NETWORK = torch.zeros(3, 2), alpha_bars("cosine", 5), NoisePredictor(8, 1, 1)
BAD = {
    "an unknown schedule": (lambda: alpha_bars("sine", 5), "cosine and linear.*'sine'"),
    "β for the cosine": (lambda: alpha_bars("cosine", 5, betas=(0.1, 0.2)), "only linear takes betas"),
    "no steps": (lambda: alpha_bars("cosine", 0), "at least 1 steps, got 0"),
    "β above 1": (lambda: alpha_bars("linear", 5, betas=(0.1, 1.2)), "last β < 1, got 0.1 and 1.2"),
    "too few steps for β": (lambda: alpha_bars("linear", 20), "more steps"),
    "other noise": (lambda: diffuse(POINTS, 0.5, torch.zeros(2, 2)), r"\(3, 2\) and \(2, 2\)"),
    "ᾱ above 1": (lambda: diffuse(POINTS, 1.5, POINTS), "between 0 and 1"),
    "ᾱ of other examples": (lambda: diffuse(POINTS, torch.ones(2), POINTS), r"one number or \(3,\)"),
    "t beyond T": (lambda: posterior(POINTS, POINTS, TABLE, 6), "≤ 5, got before=5 and t=6"),
    "no step back": (lambda: posterior(POINTS, POINTS, TABLE, 2, before=2), "before < t"),
    "an unknown prediction": (lambda: clean_and_noise(POINTS, POINTS, 0.5, "score"), "noise, v; got 'score'"),
    "no layers": (lambda: NoisePredictor(layers=0), "layers must be a whole number of at least 1, got 0"),
    "points in space": (lambda: NETWORK(torch.zeros(3, 3), torch.zeros(3)), r"\(N, 2\).*\(3, 3\)"),
    "a single time": (lambda: NETWORK(POINTS, torch.tensor(0.5)), r"time.expand\(len\(x\)\)"),
    "an unknown loss": (lambda: noise_loss(NETWORK, POINTS, prediction="x"), "noise, v; got 'x'"),
    "noise at ᾱ = 0": (
        lambda: noise_loss(NETWORK, POINTS, alpha_bars("cosine", 5, zero_terminal=True)),
        "prediction='v'",
    ),
    "sampling from ᾱ = 0": (
        lambda: ddim_sample(NETWORK, alpha_bars("cosine", 5, zero_terminal=True), 3),
        "prediction='v'",
    ),
    "more steps than there are": (lambda: ddim_sample(NETWORK, TABLE, 3, steps=6), "between 1 and the 5"),
    "no number of points": (lambda: ancestral_sample(NETWORK, TABLE), "num=None"),
    "an unknown variance": (lambda: ancestral_sample(NETWORK, TABLE, 3, variance="β"), "posterior or forward"),
    "an unknown method": (lambda: flow_sample(NETWORK, 3, 3, method="rk4"), "'rk4'"),
    "no flow steps": (lambda: flow_sample(NETWORK, 0, 3), "steps ≥ 1"),
    "an unknown likelihood": (lambda: log_likelihood(NETWORK, POINTS, "x"), "noise, v, flow; got 'x'"),
    "one step": (lambda: log_likelihood(NETWORK, POINTS, steps=1), "at least 2 steps"),
    "a start at the data itself": (lambda: log_likelihood(NETWORK, POINTS, smallest=0.0), "0 < smallest"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_named(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()
