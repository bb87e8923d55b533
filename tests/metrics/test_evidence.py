"""Evidence in nats: against integrals over the latent, against exact linear models, and on codes with known answers."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, MultivariateNormal

from lib.losses import LIKELIHOODS, VAELoss, kl_normal, log_likelihood
from lib.metrics import evidence
from lib.metrics.evidence import (
    active_units,
    elbo,
    importance_weighted_bound,
    kl_decomposition,
    kl_per_dimension,
    pixel_entropy_floor,
    ppca,
    ppca_log_likelihood,
)
from lib.models import VAE, ConvVAE


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- bounds against an integral over the only latent ------------------------------------------------------------------


def small(likelihood):
    """A model with one latent, its pictures, log p(x) and the exact lower bound by integration over z."""
    torch.manual_seed(0)
    model = VAE(6, (8,), 1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.7 * torch.randn_like(parameter)
        model.noise_logvar.fill_(-1.0)
        model.encoder[2].weight *= 0.3
        model.encoder[2].bias.copy_(torch.tensor([0.3, 0.4]))  # wider than the prior: no weight is out of bounds
        x = torch.rand(5, 6, dtype=torch.float64).sort(dim=1).values
        z = torch.linspace(-12, 12, 6001, dtype=torch.float64)
        log_p = log_likelihood(model.decode(z[:, None])[:, None].expand(-1, 5, -1), x, likelihood, -1.0)  # (6001, 5)
        log_joint = log_p - 0.5 * (z.square() + math.log(2 * math.pi))[:, None]
        mu, logvar = (part[:, 0] for part in model.encode(x))
        log_q = -0.5 * ((z[:, None] - mu).square() / logvar.exp() + logvar + math.log(2 * math.pi))
        step = z[1] - z[0]
        exact = log_joint.logsumexp(0) + step.log()
        bound = (log_q.exp() * (log_joint - log_q)).sum(0) * step
    return model, x, exact, bound


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_lower_bound_is_that_of_integration(likelihood):
    model, x, exact, bound = small(likelihood)
    ours = torch.stack([elbo(model, x, likelihood, 50, seeded(seed)) for seed in range(40)])
    error = ours.std(0) / math.sqrt(40)
    assert ((ours.mean(0) - bound).abs() < 4 * error).all(), f"off by {(ours.mean(0) - bound) / error} standard errors"
    assert (bound < exact).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_importance_weighted_bound_rises_with_k_to_the_integral(likelihood):
    model, x, exact, bound = small(likelihood)
    means, errors = {}, {}
    for K in (1, 4, 32):
        many = x.repeat(400, 1)  # each picture 400 times, each time with other draws
        ours = importance_weighted_bound(model, many, K, likelihood, generator=seeded(K)).view(400, 5)
        means[K], errors[K] = ours.mean().item(), ours.mean(1).std().item() / math.sqrt(400)
    assert means[1] == pytest.approx(bound.mean().item(), abs=4 * errors[1]), "K = 1 is the lower bound"
    assert means[1] < means[4] < means[32] < exact.mean().item() + 4 * errors[32], f"by K: {means}"
    converged = importance_weighted_bound(model, x, 500_000, likelihood, chunk=50_000, generator=seeded(9))
    assert (converged - exact).abs().max() < 0.03, f"{converged} is not {exact}"


def test_the_lower_bound_is_the_negative_loss():
    model, x, _, bound = small("bernoulli")
    torch.manual_seed(1)
    with torch.no_grad():
        losses = torch.stack([VAELoss()(model, x) for _ in range(2000)])
    bounds = torch.stack([elbo(model, x).mean() for _ in range(2000)])
    for estimates in (-losses, bounds):
        assert (estimates.mean() - bound.mean()).abs() < 4 * estimates.std() / math.sqrt(2000)


# --- bounds: draws, chunks, kinds of models ---------------------------------------------------------------------------


def test_one_draw_is_an_importance_weighted_bound_of_one():
    model, x, _, _ = small("bernoulli")
    assert torch.equal(elbo(model, x, generator=seeded()), importance_weighted_bound(model, x, 1, generator=seeded()))


@pytest.mark.parametrize("chunk", [1, 3, 5, 12, 1000])
def test_chunks_bound_what_is_decoded_at_once_and_nothing_else(chunk, monkeypatch):
    model, x, _, _ = small("normal")
    sizes, decode = [], model.decode
    monkeypatch.setattr(model, "decode", lambda z: sizes.append(len(z)) or decode(z))
    # Without noise every draw is the same, so that no chunk may be counted twice or left out.
    monkeypatch.setattr(evidence, "draw_noise", lambda shape, like, generator: torch.full(shape, 0.5, dtype=like.dtype))
    single = elbo(model, x, "normal")
    sizes.clear()
    for bounds in (
        elbo(model, x, "normal", samples=7, chunk=chunk),
        importance_weighted_bound(model, x, 7, "normal", chunk=chunk),
    ):
        torch.testing.assert_close(bounds, single)
    assert max(sizes) <= chunk and sum(sizes) == 2 * 7 * 5, f"chunks of {sizes}"


@pytest.mark.parametrize("model", [VAE(8, (4,), 3), ConvVAE(1, 16, 2, 2)], ids=["VAE", "ConvVAE"])
def test_mode_gradients_and_random_numbers_are_left_as_they_were(model):
    x = torch.rand(3, *model.example_shape)
    state = torch.get_rng_state()
    for train in (True, False):
        model.train(train)
        first, again = (importance_weighted_bound(model, x, 5, generator=seeded(1)) for _ in range(2))
        assert first.shape == (3,) and torch.equal(first, again) and not first.requires_grad
        assert model.training == train
    assert torch.equal(torch.get_rng_state(), state), "a generator leaves torch's own random numbers alone"


def test_impossible_numbers_of_draws_are_named():
    model = VAE(4, (), 1)
    calls = [lambda x: elbo(model, x, samples=0), lambda x: importance_weighted_bound(model, x, 0)]
    for call in [*calls, lambda x: elbo(model, x, chunk=0), lambda x: elbo(model, x[:0])]:
        with pytest.raises(ValueError, match=r"at least one example, one draw per example and a chunk"):
            call(torch.zeros(2, 4))


# --- the floor of the cross-entropy ---------------------------------------------------------------------------------


def test_no_prediction_has_a_smaller_cross_entropy_than_the_floor():
    x = torch.rand(4, 3, 5, dtype=torch.float64)
    floor = pixel_entropy_floor(x)
    torch.testing.assert_close(floor, Bernoulli(x).entropy().flatten(1).sum(1))
    torch.testing.assert_close(floor, -log_likelihood(torch.logit(x), x), msg="it is reached where the pixel is told")
    for seed in range(20):
        logits = torch.logit(x) + 0.1 * torch.randn(x.shape, dtype=x.dtype, generator=seeded(seed))
        assert (-log_likelihood(logits, x) > floor).all()


def test_the_floor_of_black_and_white_is_zero():
    x = torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(pixel_entropy_floor(x), torch.tensor([0.0, 2 * math.log(2)]))
    tiny = torch.tensor([[1e-30, 1 - 2**-24]])
    assert pixel_entropy_floor(tiny).isfinite().all() and pixel_entropy_floor(tiny) >= 0
    for wrong in (x[0], 255 * x, x - 1, x.byte()):
        with pytest.raises(ValueError, match="within 0 … 1.*x / 255"):
            pixel_entropy_floor(wrong)


# --- a linear model, where everything is known ----------------------------------------------------------------------


def correlated(N=300, D=9, seed=0):
    """Data with directions of different variance: (N, D) in float64."""
    generator = seeded(seed)
    mixing = torch.randn(D, D, dtype=torch.float64, generator=generator) * torch.logspace(0.5, -1, D).double()
    return torch.randn(N, D, dtype=torch.float64, generator=generator) @ mixing.T + 1.5


def linear_vae(x, latent_size):
    """A VAE without hidden layers, set to probabilistic PCA and its true posterior."""
    D, (weight, mean, variance) = x[0].numel(), ppca(x, latent_size)
    model = VAE(D, (), latent_size, learned_noise=True).double()
    values = weight.square().sum(0) + variance  # λ_j = |w_j|² + σ²
    with torch.no_grad():
        model.decoder[0].weight.copy_(weight)
        model.decoder[0].bias.copy_(mean)
        model.noise_logvar.copy_(variance.log())
        model.encoder[0].weight.zero_()
        model.encoder[0].weight[:latent_size] = (weight / values).T
        model.encoder[0].bias[:latent_size] = -(weight / values).T @ mean
        model.encoder[0].bias[latent_size:] = (variance / values).log()
    return model


@pytest.mark.parametrize("latent_size", [1, 3, 8])
def test_the_exact_likelihood_is_the_published_closed_form(latent_size):
    x = correlated()
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    D, variance = x.shape[1], values[latent_size:].mean()
    closed = D * math.log(2 * math.pi) + values[:latent_size].log().sum() + (D - latent_size) * variance.log() + D
    ours = ppca_log_likelihood(x, latent_size)
    assert ours.shape == (300,) and ours.mean().item() == pytest.approx(-0.5 * closed.item(), abs=1e-9)
    weight, mean, noise = ppca(x, latent_size)
    covariance = weight @ weight.T + noise * torch.eye(D, dtype=torch.float64)
    torch.testing.assert_close(ours, MultivariateNormal(mean, covariance).log_prob(x))
    assert (weight.norm(dim=0).diff() <= 0).all(), "latents from the largest variance to the smallest"


def test_no_other_weights_are_more_likely():
    x = correlated()
    weight, mean, variance = ppca(x, 2)
    best = ppca_log_likelihood(x, 2).mean()
    for seed in range(20):
        w = weight + 0.05 * torch.randn(weight.shape, dtype=weight.dtype, generator=seeded(seed))
        for noise in (variance, 0.9 * variance, 1.1 * variance):
            covariance = w @ w.T + noise * torch.eye(9, dtype=torch.float64)
            assert MultivariateNormal(mean, covariance).log_prob(x).mean() < best


@pytest.mark.parametrize("samples", [1, 20])
@pytest.mark.parametrize("latent_size", [1, 3, 8])
def test_a_linear_vae_with_the_true_posterior_has_the_exact_likelihood(latent_size, samples):
    x = correlated()
    model, exact = linear_vae(x, latent_size), ppca_log_likelihood(x, latent_size)
    for bound in (
        elbo(model, x, "normal", samples, seeded()),
        importance_weighted_bound(model, x, samples, "normal", generator=seeded()),
    ):
        difference = (bound - exact).abs().max().item()
        assert difference < 1e-3, f"every draw must give log p(x), but one example is {difference:.4f} nats off"
    torch.manual_seed(0)
    with torch.no_grad():
        many = torch.stack([VAELoss(likelihood="normal")(model, x) for _ in range(200)])
    error = 4 * many.std() / math.sqrt(200)
    assert (many.mean() + exact.mean()).abs() < error, "the loss is the same bound, with chance left in it"


def test_the_optimum_of_the_loss_is_probabilistic_pca():
    x = correlated()
    model = linear_vae(x, 3)
    many, loss, parameters = x.repeat(20, 1), VAELoss(likelihood="normal"), list(model.parameters())
    torch.manual_seed(0)
    gradients = [torch.autograd.grad(loss(model, many), parameters) for _ in range(20)]
    for (name, _), estimates in zip(model.named_parameters(), zip(*gradients, strict=True), strict=True):
        estimates = torch.stack(estimates)
        error = estimates.mean(0).abs() / (estimates.std(0) / math.sqrt(20) + 1e-9)
        assert error.max() < 6, f"the loss still pulls at {name}, by {error.max():.1f} standard errors"


def test_a_wrong_posterior_costs_its_divergence_and_many_draws_make_up_for_it():
    x = correlated(100)
    model, exact = linear_vae(x, 3), ppca_log_likelihood(x, 3)
    right_mu, right_logvar = model.get_mu_logvar(x)
    # Means moved by a share of the standard deviations, and variances multiplied by e^0.8, e^0.5, e^0.6.
    move, widen = torch.tensor([0.8, -0.5, 1.0]).double(), torch.tensor([0.8, 0.5, 0.6]).double()
    with torch.no_grad():
        model.encoder[0].bias += torch.cat([move * (0.5 * right_logvar[0]).exp(), widen])
    gap = kl_normal(move, widen).sum()  # KL(q || p(z | x)), the same for every example
    torch.testing.assert_close(model.encode(x)[0] - right_mu, (move * (0.5 * right_logvar).exp()))
    estimate = elbo(model, x, "normal", 2000, seeded())
    assert gap > 0.5 and (estimate - (exact - gap)).abs().max() < 0.2
    assert (estimate - (exact - gap)).mean().abs() < 0.02
    many = x.repeat(20, 1)
    bounds = [importance_weighted_bound(model, many, K, "normal", generator=seeded(K)).mean() for K in (1, 4, 20, 100)]
    assert all(a < b for a, b in zip(bounds, bounds[1:], strict=False)), f"the bound must rise with K, but is {bounds}"
    assert bounds[-1] < exact.mean() + 0.01
    converged = importance_weighted_bound(model, x, 10_000, "normal", 50_000, seeded())
    assert (converged - exact).mean().abs() < 0.01 and (converged - exact).abs().max() < 0.2


def test_pictures_are_flattened_and_impossible_numbers_of_latents_named():
    x = correlated()
    assert torch.equal(ppca_log_likelihood(x.view(300, 3, 3), 2), ppca_log_likelihood(x, 2))
    assert ppca_log_likelihood(x.float(), 2).dtype == torch.float64
    for latent_size, data in ((0, x), (9, x), (2, x[:1])):
        with pytest.raises(ValueError, match=r"1 … D - 1 and x hold two"):
            ppca(data, latent_size)
    flat = x[:, :3] @ torch.randn(3, 9, dtype=torch.float64, generator=seeded())
    assert ppca_log_likelihood(flat, 2).isfinite().all()
    for latent_size in (3, 5):
        with pytest.raises(ValueError, match=f"no more than {latent_size} directions"):
            ppca_log_likelihood(flat, latent_size)


# --- what the latents hold ------------------------------------------------------------------------------------------


def assert_decomposition(mu, logvar, draws=2000, seed=0, **expected):
    """Every part within four standard errors of the exact value, and of its sum with the others."""
    values, errors = kl_decomposition(mu, logvar, draws, seeded(seed))
    assert set(values) == set(errors) == {"kl", "mutual_information", "total_correlation", "dimension_wise_kl"}
    assert values["kl"] == pytest.approx(kl_per_dimension(mu, logvar).sum().item(), rel=1e-6) and errors["kl"] == 0
    for name, value in expected.items():
        assert abs(values[name] - value) < 4 * errors[name] + 1e-6, f"{name}: {values[name]} instead of {value}"
    parts = [name for name in values if name != "kl"]
    gap = sum(values[name] for name in parts) - values["kl"]
    assert abs(gap) < 4 * sum(errors[name] for name in parts) + 1e-6, f"the parts miss the KL by {gap}"
    return values


def test_a_code_that_says_nothing():
    assert_decomposition(
        torch.zeros(50, 3), torch.zeros(50, 3), mutual_information=0, total_correlation=0, dimension_wise_kl=0
    )
    mu, logvar = torch.tensor([[0.5, -1.0]]).repeat(50, 1), torch.tensor([[-1.0, 0.7]]).repeat(50, 1)
    kl = kl_normal(mu[0], logvar[0]).sum().item()
    assert_decomposition(mu, logvar, mutual_information=0, total_correlation=0, dimension_wise_kl=kl)


@pytest.mark.parametrize("logvar", [-6.0, -15.0, -30.0])
def test_codes_far_apart(logvar):
    corners = 2 * torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    independent = {"mutual_information": math.log(4), "total_correlation": 0}
    assert_decomposition(corners, torch.full((4, 2), logvar), **independent)
    together = {"mutual_information": math.log(2), "total_correlation": math.log(2)}  # each latent tells what both do
    assert_decomposition(corners[[0, 3]], torch.full((2, 2), logvar), **together)


def test_normal_codes_with_a_correlation():
    N, rho, variance = 4000, 0.8, 0.3
    a, b = torch.randn(2, N, dtype=torch.float64, generator=seeded())
    mu = torch.stack([a, rho * a + math.sqrt(1 - rho**2) * b], dim=1)
    r = rho / (1 + variance)  # of z, whose covariance is that of mu plus the variance
    total = torch.tensor([[1.0, rho], [rho, 1.0]]) + variance * torch.eye(2)
    information = 0.5 * (torch.logdet(total) - 2 * math.log(variance)).item()
    values = assert_decomposition(mu, torch.full((N, 2), math.log(variance), dtype=mu.dtype), draws=4000)
    assert values["total_correlation"] == pytest.approx(-0.5 * math.log(1 - r * r), abs=0.05)
    assert values["mutual_information"] == pytest.approx(information, abs=0.05)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_parts_are_those_of_integration(seed):
    mu, logvar = torch.randn(2, 5, 2, dtype=torch.float64, generator=seeded(seed))
    z = torch.linspace(-12, 12, 601, dtype=torch.float64)
    step, log_2pi = (z[1] - z[0]).item(), math.log(2 * math.pi)
    log_each = -0.5 * (
        (z - mu[..., None]).square() / logvar.exp()[..., None] + logvar[..., None] + log_2pi
    )  # (5, 2, Z)
    joint = (log_each[:, 0, :, None].exp() * log_each[:, 1, None, :].exp()).mean(0)  # q(z) on a grid (Z, Z)
    marginals = log_each.exp().mean(0)  # (2, Z)

    def entropy(density, volume):
        return -torch.xlogy(density, density).sum().item() * volume

    own = 0.5 * (logvar + log_2pi + 1).sum(1).mean().item()  # mean entropy of the posteriors
    whole, single = entropy(joint, step**2), entropy(marginals, step)
    cross = 0.5 * (mu.square() + logvar.exp() + log_2pi).sum(1).mean().item()  # -E[log p(z)]
    assert_decomposition(
        mu,
        logvar,
        draws=20_000,
        mutual_information=whole - own,
        total_correlation=single - whole,
        dimension_wise_kl=cross - single,
    )


def test_the_decomposition_is_the_same_in_any_chunks(monkeypatch):
    mu, logvar = torch.randn(2, 30, 4, generator=seeded())
    whole = kl_decomposition(mu, logvar, 100, seeded())
    for pairs in (1, 30 * 4 * 7):
        monkeypatch.setattr(evidence, "PAIRS", pairs)
        for ours, theirs in zip(kl_decomposition(mu, logvar, 100, seeded()), whole, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_every_example_is_drawn_from_equally_often():
    mu = 100.0 * torch.arange(8)[:, None]  # so far apart that each draw tells its example
    values, errors = kl_decomposition(mu, torch.zeros(8, 1), draws=16, generator=seeded())
    assert values["mutual_information"] == pytest.approx(math.log(8)) and errors["mutual_information"] < 1e-6


def test_kl_per_dimension_is_a_mean_over_examples():
    mu, logvar = torch.randn(2, 7, 3, generator=seeded())
    ours = kl_per_dimension(mu, logvar)
    torch.testing.assert_close(ours, kl_normal(mu, logvar).sum(0) / 7)
    assert ours.shape == (3,)


def test_active_units_are_those_whose_mean_moves():
    mu = torch.randn(1000, 4, generator=seeded()) * torch.tensor([1.0, 0.12, 0.05, 0.0]) + 3.0
    active = active_units(mu)
    assert active.dtype == torch.bool and active.tolist() == [True, True, False, False], "0.12² > 0.01 > 0.05²"
    assert active_units(mu, threshold=0.1).sum() == 1


def test_wrong_posteriors_are_named():
    mu = torch.zeros(4, 2)
    for call in (kl_per_dimension, kl_decomposition):
        for wrong in ((mu, mu[:2]), (mu[0], mu[0]), (mu[:0], mu[:0])):
            with pytest.raises(ValueError, match=r"need \(N, L\).*as model.encode returns"):
                call(*wrong)
    with pytest.raises(ValueError, match=r"need \(N, L\)"):
        active_units(mu[0])
    with pytest.raises(ValueError, match="two examples or more"):
        active_units(mu[:1])
    with pytest.raises(ValueError, match="draws must be at least 2, got 1"):
        kl_decomposition(mu, mu, draws=1)
