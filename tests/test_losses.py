"""The losses against their definitions written out, and where their gradients flow."""

import pytest
import torch
from torch import distributions, nn

from lib.losses import (
    LIKELIHOODS,
    CarriedStateLoss,
    VAELoss,
    forecast_loss,
    kl_normal,
    log_likelihood,
    next_character_loss,
    pixel_mean,
    pushforward_loss,
)
from lib.models import VAE, ConvLSTM, NextFrame, NoNetwork
from lib.training import fit, shuffled

SCALE = 0.25  # exact also in single precision


def batch(T=2, R=3, B=4):
    u = torch.randn(B, T + R, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return u[:, :T], u[:, T:]


def forecaster(context_size=2, head="change", K=1):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(context_size, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, K, 3, padding=1))
    return NextFrame(network, context_size, head, field_scale=0.7, step_scale=[SCALE] * K).double()


def recurrent():
    torch.manual_seed(0)
    return ConvLSTM(3, head="change", field_scale=0.7, step_scale=SCALE).double()


def assert_same(model, ours, theirs):
    """Two losses with the same value and the same gradients."""
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0, msg=lambda text: f"the loss differs: {text}")
    parameters = list(model.parameters())
    for (name, _), a, b in zip(
        model.named_parameters(),
        torch.autograd.grad(ours, parameters, retain_graph=True),
        torch.autograd.grad(theirs, parameters, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=f"the gradient of {name} differs")


@pytest.mark.parametrize(("T", "R"), [(2, 1), (2, 3), (5, 1), (5, 3)])
def test_the_forecast_loss_is_the_mean_square_of_all_predictions(T, R):
    model, (frames, targets) = forecaster(), batch(T, R)
    u = torch.cat([frames, targets], dim=1)
    fed, squares = frames, []
    for t in range(2, T + R):
        prediction = model.step(fed[:, t - 2 : t])
        squares.append(((prediction[:, 0] - u[:, t]) / SCALE) ** 2)
        if t >= T:
            fed = torch.cat([fed, prediction], dim=1)  # with its gradient
    assert_same(model, forecast_loss(model, (frames, targets)), torch.stack(squares).mean())


@pytest.mark.parametrize(("T", "R"), [(1, 1), (4, 1), (4, 3)])
def test_the_forecast_loss_of_a_recurrent_network_counts_every_frame_after_the_first(T, R):
    model, (frames, targets) = recurrent(), batch(T, R)
    predictions = model(frames, R - 1)
    truth = torch.cat([frames[:, 1:], targets], dim=1)
    assert predictions.shape == truth.shape
    assert_same(model, forecast_loss(model, (frames, targets)), ((predictions - truth) / SCALE).square().mean())


def test_a_forecast_without_error_costs_nothing_and_the_unit_is_the_step_scale():
    line = torch.arange(5.0)[None, :, None, None].expand(2, 5, 3, 3)
    model = NextFrame(NoNetwork(), 2, "extrapolate", step_scale=0.25)
    assert forecast_loss(model, (line[:, :2], line[:, 2:])) == 0
    still = NextFrame(NoNetwork(), 2, "change", step_scale=0.25)
    expected = (1 + 4 + 9) / 3 / 0.25**2
    assert forecast_loss(still, (line[:, :2], line[:, 2:])).item() == pytest.approx(expected)
    assert pushforward_loss(still, (line[:, :2], line[:, 2:])).item() == pytest.approx(9 / 0.25**2)


def test_a_burn_in_leaves_out_the_first_predictions_and_absolute_errors_are_not_squared():
    model, (frames, targets) = recurrent(), batch(4, 3)
    errors = (model(frames, 2) - torch.cat([frames[:, 1:], targets], dim=1)) / SCALE
    assert_same(model, forecast_loss(model, (frames, targets), burn_in=2), errors[:, 2:].square().mean())
    assert_same(model, forecast_loss(model, (frames, targets), kind="absolute"), errors.abs().mean())


@pytest.mark.parametrize("head", ["absolute", "change", "extrapolate"])
@pytest.mark.parametrize(("T", "R"), [(2, 1), (2, 2), (2, 4), (5, 3)])
def test_the_pushforward_loss_has_its_gradient_from_the_last_step_only(T, R, head):
    model, (frames, targets) = forecaster(head=head), batch(T, R)
    fed = frames
    for _ in range(R - 1):
        fed = torch.cat([fed, model.step(fed[:, -2:])], dim=1).detach()
    expected = ((model.step(fed[:, -2:])[:, 0] - targets[:, -1]) / SCALE).square().mean()
    ours = pushforward_loss(model, (frames, targets))
    assert_same(model, ours, expected)
    if R > 1:
        through = ((model(frames, R - 1)[:, -1] - targets[:, -1]) / SCALE).square().mean()
        assert ours.item() == pytest.approx(through.item()), "the value is that of the last frame of the roll-out"
        weight = model.network[0].weight
        a, b = (torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (expected, through))
        assert not torch.allclose(a, b), "but the gradient through the roll-out is another one"


@pytest.mark.parametrize("R", [1, 2, 4, 6])
def test_bundles_are_fed_back_frame_by_frame(R):
    model, (frames, targets) = forecaster(K=3), batch(2, R)
    fed = torch.cat([frames, model.roll_out(frames, R - 1)], dim=1) if R > 1 else frames
    expected = ((model.step(fed.detach()[:, -2:])[:, 0] - targets[:, -1]) / SCALE).square().mean()
    assert_same(model, pushforward_loss(model, (frames, targets)), expected)
    whole = ((model.roll_out(frames, R) - targets) / SCALE).square().mean()
    assert_same(model, forecast_loss(model, (frames, targets)), whole)


@pytest.mark.parametrize("R", [1, 3])
def test_the_pushforward_loss_of_a_recurrent_network_keeps_its_memory(R):
    model, (frames, targets) = recurrent(), batch(4, R)
    with torch.no_grad():
        fed = torch.cat([frames, model(frames, R - 1)[:, 3:-1]], dim=1)
    expected = ((model(fed)[:, -1] - targets[:, -1]) / SCALE).square().mean()
    assert_same(model, pushforward_loss(model, (frames, targets)), expected)


class Counting(torch.nn.Module):
    """A text model whose state is how many characters it has read, and whose logits depend on it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, -1.0, 0.5]))
        self.seen = []

    def forward(self, tokens, state=None):
        count = torch.zeros(len(tokens), 1) if state is None else state[0]
        self.seen.append(count[0, 0].item())
        places = count + torch.arange(1, tokens.shape[1] + 1)
        return places[..., None] * self.weight, (places[:, -1:] * self.weight[0],)


def test_the_loss_of_windows_is_the_cross_entropy_of_every_next_character():
    model, batch = Counting(), (torch.zeros(2, 4, dtype=torch.int64), torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]]))
    logits = model(batch[0])[0]
    expected = -logits.log_softmax(-1).gather(-1, batch[1][..., None]).mean()
    assert torch.allclose(next_character_loss(model, batch), expected)


def test_the_state_is_carried_from_chunk_to_chunk_and_dropped_with_the_epoch():
    chunk = (torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.int64))
    model, loss = Counting(), CarriedStateLoss(lambda generator: iter([chunk] * 3))
    for _ in range(2):
        for batch in loss.batches(torch.Generator()):
            loss(model, batch).backward()  # a second time through the same graph would be an error
    assert model.seen == [0, 4, 8, 0, 4, 8], "an epoch begins without a state, its chunks go on from each other"


# --- variational autoencoders ---------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """A variational autoencoder whose outputs are parameters: what the loss makes of them is left."""

    def __init__(self, B=4, L=3, pixels=(2, 5)):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        shapes = ((B, *pixels), (B, L), (B, L))
        self.outputs = nn.ParameterList(
            torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes
        )
        self.noise_logvar = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))
        self.x = torch.rand(B, *pixels, dtype=torch.float64, generator=generator)

    def forward(self, x):
        return tuple(self.outputs)


def written_out(model, likelihood):
    """The negative log-likelihood of torch's own distributions, summed over the pixels, mean over the batch."""
    logits, options = model.outputs[0], {"validate_args": False}
    distribution = {
        "bernoulli": lambda: distributions.Bernoulli(logits=logits, **options),  # on grey levels: the cross-entropy
        "normal": lambda: distributions.Normal(logits, (model.noise_logvar / 2).exp()),
        "continuous_bernoulli": lambda: distributions.ContinuousBernoulli(logits=logits, **options),
    }[likelihood]()
    return -distribution.log_prob(model.x).flatten(1).sum(1).mean()


@pytest.mark.parametrize("beta", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_vae_loss_is_reconstruction_plus_beta_times_kl(likelihood, beta):
    model, loss = Fixed(), VAELoss(beta, likelihood)
    _, mu, logvar = model.outputs
    standard = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    kl = distributions.kl_divergence(distributions.Normal(mu, (logvar / 2).exp()), standard)
    expected = written_out(model, likelihood) + beta * kl.sum(1).mean()
    for batch in (model.x, (model.x,), (model.x, torch.arange(4)), [model.x]):
        ours = loss(model, batch)
        assert ours.shape == ()
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=0)
    parameters = [p for p in model.parameters() if likelihood == "normal" or p is not model.noise_logvar]
    for a, b in zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9, msg="the gradient differs")
    reconstruction, per_latent = loss.parts(model, model.x)
    torch.testing.assert_close(per_latent, kl.mean(0), msg="one KL for every latent, mean over the batch")
    torch.testing.assert_close(reconstruction + beta * per_latent.sum(), expected)


def test_beta_may_change_during_training():
    model, loss = Fixed(), VAELoss(0.0)
    values = []
    for beta in (0.0, 0.5, 1.0):
        loss.beta = beta
        values.append(loss(model, model.x).item())
    assert values[2] - values[1] == pytest.approx(values[1] - values[0]) != 0


def test_beta_against_a_mean_over_pixels_and_latents_is_beta_times_m_over_n():
    model, beta = Fixed(), 4.0
    (reconstruction, kl), N, M = VAELoss().parts(model, model.x), 10, 3
    averaged = reconstruction / N + beta * M / N * kl.mean()
    torch.testing.assert_close(N * averaged, VAELoss(beta)(model, model.x))
    torch.testing.assert_close(N * (reconstruction / N + kl.sum()), VAELoss(beta=N)(model, model.x))


def test_a_model_without_a_noise_variance_has_variance_one():
    model, loss = Fixed(), VAELoss(likelihood="normal")
    with torch.no_grad():
        model.noise_logvar.zero_()
    expected = loss(model, model.x)
    del model.noise_logvar
    assert torch.equal(loss(model, model.x), expected)


def test_the_vae_loss_fits_the_training_loop():
    torch.manual_seed(0)
    model, x = VAE(12, (8,), 2), torch.eye(2).repeat(20, 6)  # two patterns
    loss = VAELoss()

    def validate(model):
        reconstruction, kl = loss.parts(model, x)
        return {"reconstruction": reconstruction.item(), "kl": kl.sum().item()}

    optimizer, batches = torch.optim.Adam(model.parameters(), 1e-2), shuffled(x, batch_size=10)
    history = fit(model, batches, loss, optimizer, epochs=15, validate=validate, progress=False)
    assert history["loss"][-1] < 0.7 * history["loss"][0] and len(history["kl"]) == 15


@pytest.mark.parametrize("mu", [-3.0, 0.0, 0.001, 2.0])
@pytest.mark.parametrize("logvar", [-12.0, -1e-4, 0.0, 1.5])
def test_the_kl_is_torchs_and_what_draws_say(mu, logvar):
    posterior = distributions.Normal(torch.tensor(mu).double(), torch.tensor(logvar / 2).double().exp())
    prior = distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    ours = kl_normal(torch.tensor(mu).double(), torch.tensor(logvar).double()).item()
    assert ours == pytest.approx(distributions.kl_divergence(posterior, prior).item(), abs=1e-6) and ours >= 0
    z = posterior.mean + posterior.stddev * torch.randn(20_000, generator=torch.Generator().manual_seed(2)).double()
    ratios = posterior.log_prob(z) - prior.log_prob(z)
    error = 3 * ratios.std().item() / len(z) ** 0.5
    assert ratios.mean().item() == pytest.approx(ours, abs=error + 1e-9), "log q - log p must have the KL as its mean"
    single = kl_normal(torch.tensor(mu), torch.tensor(logvar)).item()
    assert single == pytest.approx(ours, rel=1e-4, abs=1e-12), "single precision must do"


# Around ½, on either side of where the series takes over (η = ½, λ = 0.62), and far out.
ETAS = [0.0, 1e-8, 1e-4, 3e-3, 0.05, 0.499, 0.501, 1.0, 5.0, 20.0]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_continuous_bernoulli_is_torchs_with_its_gradient(sign):
    eta = (sign * torch.tensor(ETAS, dtype=torch.float64)).requires_grad_()
    for x in (0.0, 0.3, 0.5, 1.0):
        pixels = torch.full((1, 1), x, dtype=torch.float64)
        ours = log_likelihood(eta[:, None, None], pixels, "continuous_bernoulli").squeeze(1)
        theirs = distributions.ContinuousBernoulli(logits=eta).log_prob(pixels[0])
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9)
        ours, theirs = (torch.autograd.grad(part.sum(), eta, retain_graph=True)[0] for part in (ours, theirs))
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7, msg="the gradient by the logit differs")
    means = distributions.ContinuousBernoulli(logits=eta).mean
    torch.testing.assert_close(pixel_mean(eta, "continuous_bernoulli"), means, rtol=1e-7, atol=1e-9)


def test_the_continuous_bernoulli_keeps_its_digits_in_single_precision():
    eta = torch.cat([torch.logspace(-12, 4, 500), -torch.logspace(-12, 4, 500), torch.zeros(1)]).requires_grad_()
    exact = eta.detach().double().requires_grad_()
    for x in (0.0, 0.7):
        values = [
            log_likelihood(e[:, None, None], torch.full((1, 1), x, dtype=e.dtype), "continuous_bernoulli")
            for e in (eta, exact)
        ]
        torch.testing.assert_close(values[0].double(), values[1], rtol=1e-6, atol=1e-6)
        single, double = (torch.autograd.grad(v.sum(), e)[0] for v, e in zip(values, (eta, exact), strict=True))
        assert single.isfinite().all(), "a branch that is not taken must not spoil the gradient"
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("eta", [-30.0, -2.0, -0.3, 0.0, 1e-3, 0.6, 4.0])
def test_likelihoods_are_normalised_and_have_the_mean_that_is_shown(eta):
    for likelihood, low, high in (("continuous_bernoulli", 0, 1), ("normal", eta - 10, eta + 10)):
        x = torch.linspace(low, high, 20_001, dtype=torch.float64)[:, None]  # pictures of one pixel
        logits = torch.full_like(x, eta)
        density = log_likelihood(logits, x, likelihood, -0.5).exp()
        assert torch.trapezoid(density, x[:, 0]).item() == pytest.approx(1, abs=1e-5), likelihood
        mean = torch.trapezoid(x[:, 0] * density, x[:, 0]).item()
        assert mean == pytest.approx(pixel_mean(logits, likelihood)[0].item(), abs=1e-5), likelihood
    logits = logits[:1]
    black, white = (log_likelihood(logits, torch.full((1, 1), x).double()).exp().item() for x in (0.0, 1.0))
    assert black + white == pytest.approx(1) and white == pytest.approx(pixel_mean(logits).item())


def test_several_draws_share_one_picture():
    logits, x = torch.randn(5, 2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    for likelihood in LIKELIHOODS:
        together = log_likelihood(logits, x, likelihood)
        assert together.shape == (5, 2)
        torch.testing.assert_close(together[3], log_likelihood(logits[3], x, likelihood))
        pixels = log_likelihood(logits[3].flatten()[:, None], x.flatten()[:, None], likelihood)
        torch.testing.assert_close(together[3], pixels.view(2, -1).sum(1), msg="the sum over the pixels")


def test_wrong_likelihoods_pixels_and_weights_are_named():
    x, logits = torch.rand(2, 6), torch.zeros(2, 6)
    for call in (log_likelihood, lambda *args: pixel_mean(logits, "beta"), lambda *args: VAELoss(1.0, "beta")):
        with pytest.raises(ValueError, match="one of bernoulli, normal, continuous_bernoulli; got 'beta'"):
            call(logits, x, "beta")
    for likelihood in ("bernoulli", "continuous_bernoulli"):
        for wrong in (x - 1, 255 * x):
            with pytest.raises(ValueError, match=f"0 … 1 for '{likelihood}'.*rescale"):
                log_likelihood(logits, wrong, likelihood)
    assert log_likelihood(logits, 255 * x, "normal").isfinite().all()
    for wrong in (torch.rand(2, 2, 3), torch.rand(1, 6), torch.rand(6)):
        with pytest.raises(ValueError, match=r"end with the shape of x \(B, \*pixels\)"):
            log_likelihood(logits, wrong)
    for beta in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite number of at least 0"):
            VAELoss(beta)
