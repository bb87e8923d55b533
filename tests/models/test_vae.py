"""Variational autoencoders: shapes, the networks layer by layer, and gradients through the random draw."""

import math

import pytest
import torch
from torch import nn

from lib.models import VAE, ConvVAE
from lib.models.vae import sample_on_grid

MODELS = {
    "784-400-20": (VAE, {}, (784,), 20),
    "linear": (VAE, {"input_size": 6, "hidden_sizes": (), "latent_size": 2}, (6,), 2),
    "deep": (VAE, {"input_size": 6, "hidden_sizes": (16, 12), "latent_size": 1}, (6,), 1),
    "faces": (ConvVAE, {"width": 4}, (3, 64, 64), 32),
    "digits": (ConvVAE, {"channels": 1, "size": 32, "latent_size": 2, "width": 8}, (1, 32, 32), 2),
    "smallest": (ConvVAE, {"channels": 2, "size": 16, "latent_size": 5, "width": 6}, (2, 16, 16), 5),
}


def build(name):
    torch.manual_seed(0)
    kind, options, shape, latents = MODELS[name]
    return kind(**options), shape, latents


def pictures(shape, B=3):
    return torch.rand(B, *shape, generator=torch.Generator().manual_seed(1))


def posterior(B=4, L=3):
    generator = torch.Generator().manual_seed(2)
    mu, logvar = torch.randn(2, B, L, dtype=torch.float64, generator=generator)
    return mu.requires_grad_(), logvar.requires_grad_()


# --- interface ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_shapes(name, B):
    model, shape, latents = build(name)
    x = pictures(shape, B)
    logits, mu, logvar = model(x)
    assert logits.shape == x.shape and mu.shape == logvar.shape == (B, latents)
    assert model.decode(mu).shape == x.shape and model.latent_size == latents and model.example_shape == shape
    assert not torch.equal(mu, logvar), "mean and log variance are two outputs"


@pytest.mark.parametrize("name", MODELS)
def test_forward_is_encode_draw_decode(name):
    model, shape, _ = build(name)
    for mode in (True, False):  # evaluation draws too
        model.train(mode)
        x = pictures(shape)
        torch.manual_seed(7)
        logits, mu, logvar = model(x)
        torch.manual_seed(7)
        expected = model.encode(x)
        assert torch.equal(mu, expected[0]) and torch.equal(logvar, expected[1])
        assert torch.equal(logits, model.decode(model.reparameterise(mu, logvar)))
        assert not torch.equal(logits, model(x)[0]), "the next z is another one"


@pytest.mark.parametrize("name", MODELS)
def test_examples_do_not_see_each_other(name):
    model, shape, _ = build(name)
    x = pictures(shape)
    for together, alone in zip(model.encode(x), model.encode(x[1:2]), strict=True):
        torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-6)
    z = torch.randn(3, model.latent_size)
    torch.testing.assert_close(model.decode(z)[1:2], model.decode(z[1:2]), rtol=1e-4, atol=1e-6)


def test_looking_at_latents_and_pictures_takes_no_gradients():
    model, shape, latents = build("digits")
    x, z = pictures(shape), torch.randn(4, latents)
    mu, logvar = model.get_mu_logvar(x)
    assert torch.equal(mu, model.encode(x)[0]) and torch.equal(logvar, model.encode(x)[1])
    made = model.generate_from_latent(z)
    torch.testing.assert_close(made, 1 / (1 + torch.exp(-model.decode(z).detach())))
    assert not (mu.requires_grad or logvar.requires_grad or made.requires_grad)
    assert made.shape == (4, *shape) and made.min() > 0 and made.max() < 1


# --- networks -------------------------------------------------------------------------------------------------------


def test_the_usual_example_has_the_usual_number_of_weights():
    model = VAE()
    encoder, decoder = 785 * 400 + 401 * 2 * 20, 21 * 400 + 401 * 784
    assert sum(p.numel() for p in model.parameters()) == encoder + decoder == 652_824


def test_no_hidden_layer_makes_it_linear():
    model, shape, latents = build("linear")
    x = pictures(shape)
    a, b = x[:1], x[1:2]
    torch.testing.assert_close(model.encode((a + b) / 2)[0], (model.encode(a)[0] + model.encode(b)[0]) / 2)
    torch.testing.assert_close(model.encode(x)[0], model.encoder[0](x)[:, :latents])
    torch.testing.assert_close(model.decode(torch.zeros(1, latents))[0], model.decoder[0].bias)


def test_the_convolutional_network_is_the_published_one():
    model = ConvVAE()
    x, outputs = torch.rand(2, 3, 64, 64), []
    for layer in model.encoder:
        x = layer(x)
        if not isinstance(layer, nn.ReLU | nn.Flatten):
            outputs.append(tuple(x.shape[1:]))
    assert outputs == [(32, 32, 32), (32, 16, 16), (64, 8, 8), (64, 4, 4), (256,), (64,)]
    z, outputs = torch.randn(2, 32), []
    for layer in model.decoder:
        z = layer(z)
        if not isinstance(layer, nn.ReLU | nn.Unflatten):
            outputs.append(tuple(z.shape[1:]))
    assert outputs == [(256,), (1024,), (64, 8, 8), (32, 16, 16), (32, 32, 32), (3, 64, 64)]
    for half in (model.encoder, model.decoder):
        kinds = [type(layer) for layer in half if not isinstance(layer, nn.Flatten | nn.Unflatten)]
        assert kinds[1::2] == [nn.ReLU] * 5, "a ReLU between any two layers, none at the end"
    kernels = [p.shape[-2:] for p in model.parameters() if p.dim() == 4]
    assert kernels == [(4, 4)] * 8


@pytest.mark.parametrize("learned", [False, True])
def test_the_noise_variance_is_one_number_and_starts_at_one(learned):
    for model in (VAE(4, (), 1, learned_noise=learned), ConvVAE(1, 16, 1, 1, learned_noise=learned)):
        assert model.noise_logvar == 0 and model.noise_logvar.shape == ()
        assert ("noise_logvar" in dict(model.named_parameters())) == learned and "noise_logvar" in model.state_dict()


# --- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_weight_through_the_draw(name):
    model, shape, _ = build(name)
    x = pictures(shape).requires_grad_()
    model(x)[0].square().sum().backward()  # the encoder is reached only by way of z
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without and x.grad.abs().sum() > 0, f"{without} can learn nothing: is z cut off from mu and logvar?"


def test_a_draw_has_the_derivatives_one_and_half_sigma_epsilon():
    mu, logvar = posterior()
    z = VAE(4, (), 3).reparameterise(mu, logvar, torch.Generator().manual_seed(3))
    noise = torch.randn(mu.shape, dtype=mu.dtype, generator=torch.Generator().manual_seed(3))
    sigma = logvar.exp().sqrt()
    torch.testing.assert_close(z, mu + sigma * noise)
    by_mu, by_logvar = torch.autograd.grad(z.sum(), [mu, logvar])
    torch.testing.assert_close(by_mu, torch.ones_like(mu), msg="dz/dmu must be 1")
    torch.testing.assert_close(by_logvar, sigma.detach() * noise / 2, msg="dz/dlogvar must be σ ε / 2")


@pytest.mark.parametrize(
    ("function", "by_mu", "by_logvar"),
    [  # E[f(z)] for z ~ N(μ, s), s = σ², is μ² + s, μ³ + 3 μ s, exp(μ + s/2), cos(μ) exp(-s/2)
        (torch.square, lambda m, s: 2 * m, lambda m, s: s),
        (lambda z: z**3, lambda m, s: 3 * m**2 + 3 * s, lambda m, s: 3 * m * s),
        (torch.exp, lambda m, s: (m + s / 2).exp(), lambda m, s: s / 2 * (m + s / 2).exp()),
        (torch.cos, lambda m, s: -m.sin() * (-s / 2).exp(), lambda m, s: -s / 2 * m.cos() * (-s / 2).exp()),
    ],
    ids=["z²", "z³", "exp z", "cos z"],
)
def test_the_gradient_of_a_mean_is_the_mean_of_the_gradients(function, by_mu, by_logvar):
    draws = 100_000
    mu = torch.tensor([0.7, -1.1, 0.0], dtype=torch.float64)
    logvar = torch.tensor([-0.5, -1.0, 0.2], dtype=torch.float64)
    many = [part.expand(draws, 3).clone().requires_grad_() for part in (mu, logvar)]
    z = VAE(4, (), 3).reparameterise(*many, torch.Generator().manual_seed(0))
    gradients = torch.autograd.grad(function(z).sum(), many)
    for what, gradient, exact in zip(("mu", "logvar"), gradients, (by_mu, by_logvar), strict=True):
        error = (gradient.mean(0) - exact(mu, logvar.exp())).abs() / (gradient.std(0) / math.sqrt(draws))
        worst = error[error.isfinite()].max() if error.isfinite().any() else 0  # d E[z²]/dμ may have no spread
        assert worst < 4, f"the gradient of {what} is {worst:.1f} standard errors off its analytic value"


def test_draws_have_the_mean_and_the_variance():
    mu, logvar = (part.detach()[:1].expand(200_000, 3) for part in posterior())
    z = VAE(4, (), 3).reparameterise(mu, logvar, torch.Generator().manual_seed(4))
    sigma = (logvar[0] / 2).exp()
    assert ((z.mean(0) - mu[0]).abs() < 4 * sigma / math.sqrt(len(z))).all()
    assert ((z.var(0) / sigma**2 - 1).abs() < 4 * math.sqrt(2 / len(z))).all()
    correlation = torch.corrcoef(z.T) - torch.eye(3)
    assert correlation.abs().max() < 4 / math.sqrt(len(z)), "latents are drawn independently"


def test_a_generator_fixes_the_draws():
    model, mu = VAE(4, (), 3), torch.zeros(2, 3)
    first, again = (model.reparameterise(mu, mu, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, model.reparameterise(mu, mu))


@pytest.mark.parametrize("value", [-200.0, -30.0, 30.0])
def test_log_variances_far_out_are_finite_and_keep_their_gradient(value):
    mu, logvar = torch.zeros(1, 1, requires_grad=True), torch.full((1, 1), value, requires_grad=True)
    z = VAE(4, (), 1).reparameterise(mu, logvar)
    kl = 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum()
    by_z, by_kl = torch.autograd.grad(z.sum(), logvar)[0], torch.autograd.grad(kl, logvar)[0]
    assert z.isfinite().all() and by_z.isfinite().all() and kl.isfinite()
    assert by_kl.item() * value > 0, "the KL must pull a log variance back towards 0, however far out it is"


# --- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["encode", "get_mu_logvar", "forward"])
def test_wrong_pictures_are_named(method):
    faces = ConvVAE(1, 16, 2, 1)
    for model, fit, shape in ((VAE(6, (4,), 2), (2, 6), "B, 6"), (faces, (2, 1, 16, 16), "B, 1, 16, 16")):
        getattr(model, method)(torch.zeros(fit))
        for wrong in (torch.zeros(2, 7), torch.zeros(2, 16, 16), torch.zeros(fit[1:]), torch.zeros(fit).byte()):
            with pytest.raises(ValueError, match=rf"floating point \({shape}\).*x.view\({shape}\)"):
                getattr(model, method)(wrong)


def test_wrong_latents_are_named():
    for model in (VAE(6, (4,), 2), ConvVAE(1, 16, 2, 1)):
        for wrong in (torch.zeros(2), torch.zeros(1, 3), torch.zeros(1, 1, 2)):
            for method in (model.decode, model.generate_from_latent):
                with pytest.raises(ValueError, match=r"z must be \(B, 2\).*unsqueeze"):
                    method(wrong)
        with pytest.raises(ValueError, match=r"same shape \(B, L\), got \(1, 2\), \(2, 2\)"):
            model.reparameterise(torch.zeros(1, 2), torch.zeros(2, 2))


def test_impossible_sizes_are_named():
    for options in ({"input_size": 0}, {"hidden_sizes": (4, 0)}, {"latent_size": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be a whole number of at least 1, got 0"):
            VAE(**options)
    with pytest.raises(ValueError, match="multiple of 16.*got 28"):
        ConvVAE(size=28)


def test_a_grid_over_the_latents_goes_right_and_up():
    model = VAE(4, (3,), 3)
    model.generate_from_latent = lambda z: z  # to be looked at
    z = sample_on_grid(model, count=3, reach=2.0, axes=(2, 0)).view(3, 3, 3)
    assert z[:, :, 2].tolist() == [[-2, 0, 2]] * 3 and z[:, 0, 0].tolist() == [2, 0, -2] and not z[:, :, 1].any()
    even = sample_on_grid(model, count=5)[:5, 0]
    assert torch.allclose(torch.distributions.Normal(0, 1).cdf(even), torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))
