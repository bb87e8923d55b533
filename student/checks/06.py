"""Checks of M1, M2 and M3: the variational autoencoder, its loss, and a grid over its latents."""

import math

import torch
import torch.nn.functional as F

from lib.losses import log_likelihood
from lib.workbook.student.bench import weighted
from lib.workbook.student.checking import close, expect, expect_shape, load, part, shape

recurrent, vae = load("recurrent"), load("vae")  # the former for its linear fits

# --- M1 -------------------------------------------------------------------------------------------------------------


def autoencoder(student, hidden=(6,)):
    """A model with random weights: (it, pixels N, latents L, given)."""
    N, L = student.pick(9, 11), student.pick(2, 4)
    model = student.build("VAE", input_size=N, hidden_sizes=hidden, latent_size=L).randomise(0.5)
    return model, N, L, f"input_size = {N}, hidden_sizes = {hidden}, latent_size = {L}"


def pair_of(found, size, given, likely=""):
    """Mean and log variance of the right shapes."""
    expect(isinstance(found, (tuple, list)) and len(found) == 2, "the pair (mu, logvar)", given, shape(found), likely)
    expect_shape(list(found), [size, size], given, likely)
    return found


@part("M1", 0.5, "encoder and decoder")
def networks(student):
    for hidden in ((), (6,), (7, 5)):
        model, N, L, given = autoencoder(student, hidden)
        B = student.pick(4, 6)
        x, z = torch.rand(B, N, generator=student.generator), 3 * student.randn(B, L)
        mu, logvar = pair_of(
            model.method("encode", x),
            (B, L),
            f"encode, x ({B}, {N}), {given}",
            "2 L values: half means, half log variances",
        )
        expect(
            not close(mu, logvar) and not close(mu, logvar.exp()),
            "two different things: mean and log variance",
            given,
            "the same twice",
        )
        logits = model.method("decode", z)
        expect_shape(logits, (B, N), f"decode, z ({B}, {L}), {given}")
        sizes = [N, *hidden, 2 * L]
        wanted = sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
        back = [L, *reversed(hidden), N]
        wanted += sum((a + 1) * b for a, b in zip(back, back[1:], strict=False))
        expect(
            model.count() == wanted,
            f"{wanted} parameters: linear layers {' → '.join(map(str, sizes))} and {' → '.join(map(str, back))}",
            given,
            str(model.count()),
            "the decoder has the encoder's hidden sizes in reverse; each layer has a bias",
        )
        rows = student.randn(60, L)
        out = model.method("decode", rows)
        for inside, name in ((out > 0).all() and (out < 1).all(), "a sigmoid"), ((out >= 0).all(), "a ReLU"):
            expect(
                not inside,
                "logits, any real numbers",
                f"decode, {given}",
                "none below 0",
                f"{name} after the last layer",
            )
        bent = recurrent.affine(rows, out)[1] > recurrent.RESIDUAL
        expect(
            bent == bool(hidden),
            "a nonlinearity between any two layers" if hidden else "a decoder that is one linear layer",
            given,
            "a linear decoder" if hidden else "another one",
            "the ReLU between the layers is missing" if hidden else "an activation where there is no hidden layer",
        )
        rows = student.randn(60, N)
        least = min(one.min() for one in model.method("encode", rows))
        likely = "an activation after the encoder's last layer: means and logarithms may be negative"
        expect(least < 0, "means and log variances of either sign", f"encode, {given}", "none below 0", likely)


def draws(student, model, L):
    """Many draws from one normal distribution: (means, log variances (L,), z (N, L))."""
    mu, logvar = 2 * student.randn(L), torch.linspace(-3, 1.5, L)
    size = 20_000, L
    return mu, logvar, model.method("reparameterise", mu.expand(size).clone(), logvar.expand(size).clone())


@part("M1", 0.5, "the draw")
def draw(student):
    model, N, L, given = autoencoder(student)
    mu, logvar, z = draws(student, model, L)
    given = f"reparameterise, mu and logvar (20000, {L}), equal in all rows"
    expect_shape(z, (20_000, L), given)
    sigma = (0.5 * logvar).exp()
    likely = "mu itself is returned" if close(z[0], mu) else "one noise for all examples: draw ε of the shape of mu"
    expect(z.std(0).min() > 0, "random draws, another one in every row", given, "all rows alike", likely)
    expect(
        ((z.mean(0) - mu).abs() < 0.06 * z.std(0)).all(),
        f"draws with the mean mu, {told(mu)}",
        given,
        told(z.mean(0)),
        "the noise needs the mean 0: torch.randn, not torch.rand",
    )
    likely = vae.likely(
        z.std(0),
        {
            "σ = exp(logvar): the log variance is taken for the logarithm of σ; σ = exp(logvar / 2)": logvar.exp(),
            "σ = logvar: a log variance is no standard deviation; σ = exp(logvar / 2)": logvar.abs(),
            "σ = √|logvar|: the log variance is taken for the variance": logvar.abs().sqrt(),
            "σ = 1: logvar is not used": torch.ones(L),
            "the noise needs the variance 1: torch.randn, not torch.rand": sigma / 12**0.5,
            "the sign of the log variance": 1 / sigma,
        },
        "z = mu + σ ε with ε from N(0, 1) and σ = exp(logvar / 2)",
        lambda found, other: close(found / other, torch.ones(L), 0.03),
    )
    expect(
        ((z.std(0) / sigma - 1).abs() < 0.05).all(),
        f"the standard deviations exp(logvar / 2), {told(sigma)}",
        given,
        told(z.std(0)),
        likely,
    )
    noise = (z - mu) / sigma
    expect(
        abs(float(noise.pow(4).mean()) - 3) < 0.4,
        "normally distributed draws",
        given,
        "others",
        "torch.randn, not torch.rand",
    )
    together = (noise[:, 0] * noise[:, 1]).mean().abs() + (noise[1:] * noise[:-1]).mean().abs()
    expect(
        together < 0.1,
        "noise of its own for every latent and every example",
        given,
        "the same noise for several",
        "draw ε of the shape of mu",
    )


def told(values):
    return ", ".join(f"{value:.2f}" for value in values)


@part("M1", 1, "gradients through the draw")
def gradients(student):
    model, N, L, given = autoencoder(student)
    mu, logvar = student.randn(5, L), student.randn(5, L)
    z, (to_mu, to_logvar), _ = model.student.call(model.number, "reparameterise", True, (mu, logvar))
    given = f"reparameterise, mu and logvar (5, {L})"
    stopped = (
        "no gradient through the sample: normal(mu, σ) and .sample() have none, .detach() and no_grad() cut it off"
    )
    expect(to_mu is not None, "a gradient of mu", given, "none", stopped)
    unused = "logvar does not enter the draw, or σ is detached"
    expect(to_logvar is not None, "a gradient of logvar", given, "none", unused)
    weights = torch.arange(1.0, z.numel() + 1).cos().view_as(z)  # of the sum that is differentiated, see `weighted`
    expect(close(to_mu, weights), "dz/dmu = 1", given, "another value", "z = mu + σ ε")
    wanted = 0.5 * (z - mu) * weights
    likely = (
        "the log variance is taken for the logarithm of σ"
        if close(to_logvar, 2 * wanted)
        else "z = mu + exp(logvar / 2) ε"
    )
    expect(close(to_logvar, wanted), "dz/dlogvar = ½ σ ε", given, "another value", likely)
    model, N, L, given = autoencoder(student, hidden=())
    x = student.randn(3, N)
    (logits, *_), (gradient,), parameters = model.gradients(x)
    _, (direct,), _ = model.student.call(model.number, "encode", True, (x,))
    expect(gradient is not None, "a gradient of x", given, "none", stopped)
    change = gradient - (0 if direct is None else direct)  # what comes by way of the logits alone
    expect(change.abs().max() > 1e-4, "gradients of x by way of z and the logits", given, "none", stopped)
    dead = [name for name, value in parameters.items() if value is None]
    expect(not dead, "a gradient for every parameter", given, f"none for {', '.join(dead)}", stopped)


@part("M1", 0.5, "forward")
def forward(student):
    model, N, L, given = autoencoder(student, hidden=())
    x = student.randn(2000, N)
    answer = model(x)
    expect(isinstance(answer, (tuple, list)) and len(answer) == 3, "(logits, mu, logvar)", given, shape(answer))
    expect_shape(list(answer), [(2000, N), (2000, L), (2000, L)], f"x (2000, {N}), {given}", "(logits, mu, logvar)")
    logits, mu, logvar = answer
    encoded = model.method("encode", x)
    expect(
        all(close(one, two) for one, two in zip((mu, logvar), encoded, strict=True)),
        "mu and logvar as encode gives them",
        given,
        "exchanged" if close(mu, encoded[1]) else "others",
    )
    zero = torch.zeros(1, L)
    base = model.method("decode", zero)
    slopes = model.method("decode", torch.eye(L)) - base  # (L, N), of the linear decoder
    z = torch.linalg.lstsq(slopes.t().double(), (logits - base).t().double()).solution.t()
    left = (z.float() @ slopes + base - logits).abs().max()
    expect(left < 1e-2 * (1 + logits.abs().max()), "logits = decode(z)", given, "no z gives these logits")
    noise = ((z - mu) / (0.5 * logvar).exp()).float()
    usual = noise.std()
    likely = "the mean is decoded, not a draw" if usual < 0.1 else "σ = exp(logvar / 2), and one draw for each example"
    expect(0.93 < usual < 1.07, "one z from N(mu, exp(logvar)) for each example", given, f"σ times {usual:.2f}", likely)
    expect(not close(model(x)[0], logits, 1e-5), "another draw at every call", given, "the same")
    model.method("eval")
    still = close(model(x)[0], model(x)[0], 1e-5)
    likely = "a draw in training only; the bound is measured with draws as well"
    expect(not still, "a draw in evaluation too, as the docstring says", "after eval()", "no draw", likely)


@part("M1", 0.5, "get_mu_logvar and generate_from_latent")
def looking(student):
    model, N, L, given = autoencoder(student)
    x, z = student.randn(5, N), student.randn(6, L)
    found, (gradient,), _ = model.student.call(model.number, "get_mu_logvar", True, (x,))
    pair_of(found, (5, L), f"get_mu_logvar, x (5, {N}), {given}")
    mu, logvar = model.method("encode", x)
    likely = vae.likely(
        found[1],
        {"the variance, not its logarithm": logvar.exp(), "σ, not the log variance": (0.5 * logvar).exp()},
        "what encode gives",
    )
    expect(
        close(found[0], mu) and close(found[1], logvar), "mu and logvar as encode gives them", given, "others", likely
    )
    made, (to_z,), _ = model.student.call(model.number, "generate_from_latent", True, (z,))
    vae.check_pictures(made, model.method("decode", z), f"generate_from_latent, z (6, {L}), {given}")
    for name, one in {"get_mu_logvar": gradient, "generate_from_latent": to_z}.items():
        expect(
            one is None, "no gradients: it is there to be looked at", name, "a gradient", "torch.no_grad() is missing"
        )


# --- M2 -------------------------------------------------------------------------------------------------------------

LOSS = """
def _loss(settings, part, as_batch, noise, x, logits, mu, logvar):
    import torch

    class Model(torch.nn.Module):
        noise_logvar = torch.tensor(noise)

        def forward(self, given):
            return logits + 0 * given.sum(), mu, logvar

    loss = VAELoss(**settings)
    batch = {"x": x, "tuple": (x, torch.zeros(len(x))), "list": [x]}[as_batch]
    return loss.parts(Model(), batch) if part else loss(Model(), batch)
"""


BROKEN = "the logarithm of a negative number: the log variance is taken for the variance; σ² = exp(logvar)"


def kl_of(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def wrong_kl(mu, logvar):
    """{what is likely wrong: the KL, entry by entry, that comes out of it}."""
    right, variance = kl_of(mu, logvar), logvar.exp()
    return {
        "the sign: a KL divergence is never negative": -right,
        "the log variance is taken for the logarithm of σ: σ² = exp(logvar)": kl_of(mu, 2 * logvar),
        "the log variance is taken for the variance: σ² = exp(logvar)": 0.5 * (mu**2 + logvar - 1 - logvar.abs().log()),
        "the factor ½ is missing": 2 * right,
        "the -1 is missing": right + 0.5,
        "the sign of log σ²": 0.5 * (mu**2 + variance - 1 + logvar),
        "the mean is not squared": 0.5 * (mu + variance - 1 - logvar),
        "the two distributions are exchanged": 0.5 * ((1 + mu**2) / variance - 1 + logvar),
        "½ log σ² is log σ: it is halved twice, or the ½ stands before a part of the sum only": right + 0.25 * logvar,
    }


@part("M2", 0.25, "kl_normal")
def entries(student):
    B, L = student.pick(5, 6), student.pick(3, 4)
    mu, logvar = student.randn(B, L), student.randn(B, L)
    given = f"mu and logvar ({B}, {L})"
    found, gradients, _ = student.call("kl_normal", gradient=True, args=(mu, logvar))
    expect(
        shape(found) == str((B, L)),
        f"one value for each latent of each example, ({B}, {L})",
        given,
        f"shape {shape(found)}",
        "no sum and no mean in here: entry by entry",
    )
    expect(found.isfinite().all(), "finite numbers", given, "nan or inf", BROKEN)
    wanted = kl_of(mu, logvar)
    likely = vae.likely(found, wrong_kl(mu, logvar), "½ (mu² + σ² - 1 - log σ²) with σ² = exp(logvar)")
    expect(
        close(found, wanted),
        f"the KL of N(mu, exp(logvar)) from N(0, 1): {wanted[0, 0]:.3f} nats",
        f"mu = {mu[0, 0]:.3f}, logvar = {logvar[0, 0]:.3f}",
        f"{found[0, 0]:.3f}",
        likely,
    )
    zero = student.call("kl_normal", args=(torch.zeros(1, 1), torch.zeros(1, 1)))
    expect(zero.abs().max() < 1e-5, "0 nats", "mu = 0, logvar = 0", f"{float(zero):.3g}")
    fine = all(one is not None for one in gradients)
    expect(fine, "gradients of mu and logvar", given, "none", "detach, or torch.no_grad()")


def case(student, likelihood="bernoulli", noise=0.0):
    """Random outputs of a model, and reconstruction errors (B,) and KL (B, L) of them."""
    B, N, L = student.pick(3, 4), student.pick(6, 8), student.pick(2, 3)
    x, logits = torch.rand(B, N, generator=student.generator), 2 * student.randn(B, N)
    mu, logvar = student.randn(B, L), student.randn(B, L)
    given = f"x and logits ({B}, {N}), mu and logvar ({B}, {L}), {likelihood!r}"
    return x, logits, mu, logvar, -log_likelihood(logits, x, likelihood, noise), kl_of(mu, logvar), given


def loss_of(student, *tensors, gradient=False, part=False, batch="x", noise=0.0, **settings):
    """What a loss of the student's makes of a model with these outputs: x, logits, mu, logvar."""
    student.prepare(LOSS)
    return student.call("_loss", gradient=gradient, args=(settings, part, batch, noise, *tensors))


def wrong_losses(beta, x, logits, mu, logvar, errors, kl):
    """{what is likely wrong: the loss that comes out of it}."""
    error, N, B = errors.mean(), x.shape[1], len(x)
    sigmoid_twice = F.binary_cross_entropy_with_logits(logits.sigmoid(), x, reduction="none").sum(1).mean()
    mistakes = {
        "KL mean instead of sum: the latents' KL add up": error + beta * kl.mean(),
        "the reconstruction error is averaged over the pixels: both parts are sums": error / N
        + beta * kl.sum(1).mean(),
        "both parts are averaged over pixels and latents: both are sums": error / N + beta * kl.mean(),
        "KL sign: the loss is the reconstruction error plus β KL": error - beta * kl.sum(1).mean(),
        "the sign of the reconstruction error: log p(x | z) is to be large": -error + beta * kl.sum(1).mean(),
        "the sum over the batch instead of the mean": B * (error + beta * kl.sum(1).mean()),
        "the KL is summed over the batch, the error is not": error + beta * kl.sum(),
        "the error is summed over the batch, the KL is not": B * error + beta * kl.sum(1).mean(),
        "β is not used": error + kl.sum(1).mean(),
        "β stands before the reconstruction error": beta * error + kl.sum(1).mean(),
        "β stands before both parts": beta * (error + kl.sum(1).mean()),
        "the KL is missing": error,
        "the sigmoid twice: the cross-entropy takes logits": sigmoid_twice + beta * kl.sum(1).mean(),
    }
    wrong = {name: error + beta * one.sum(1).mean() for name, one in wrong_kl(mu, logvar).items()}
    return mistakes | {f"in the KL: {name}": value for name, value in wrong.items()}


@part("M2", 0.25, "the loss")
def loss(student):
    for beta in (1.0, 0.0, 4.0):
        *tensors, errors, kl, given = case(student)
        found = loss_of(student, *tensors, beta=beta)
        expect(
            shape(found) == "()",
            "one number",
            given,
            f"shape {shape(found)}",
            "sums over pixels and latents, a mean over the batch",
        )
        wanted = errors.mean() + beta * kl.sum(1).mean()
        mistakes = wrong_losses(beta, *tensors, errors, kl)
        likely = vae.likely(found, mistakes, "reconstruction error + β KL, mean over the batch")
        finite = bool(found.isfinite())
        expect(
            finite and close(found, wanted),
            f"{wanted:.3f} nats: error {errors.mean():.3f} and β times KL {kl.sum(1).mean():.3f}",
            f"β = {beta:g}, {given}",
            f"{found:.3f}",
            likely if finite else BROKEN,
        )


@part("M2", 0.25, "its two parts")
def two_parts(student):
    *tensors, errors, kl, given = case(student)
    found = loss_of(student, *tensors, part=True, beta=3.0)
    L = kl.shape[1]
    expect(
        isinstance(found, (tuple, list)) and len(found) == 2, "(reconstruction, KL)", f"parts, {given}", shape(found)
    )
    finite = all(one.isfinite().all() for one in found if isinstance(one, torch.Tensor))
    expect(finite, "finite numbers", f"parts, {given}", "nan or inf", BROKEN)
    expect_shape(list(found), [(), (L,)], f"parts, {given}", "the KL of every latent, the mean over the batch")
    error, of_latents = found
    likely = vae.likely(
        error,
        {
            "its sign": -errors.mean(),
            "the mean over the pixels instead of the sum": errors.mean() / tensors[0].shape[1],
            "the sum over the batch instead of the mean": errors.sum(),
        },
    )
    expect(close(error, errors.mean()), f"a reconstruction error of {errors.mean():.3f}", given, f"{error:.3f}", likely)
    likely = vae.likely(
        of_latents,
        {"β belongs to the loss, not to the parts": 3 * kl.mean(0), "the sum over the batch": kl.sum(0)}
        | {name: one.mean(0) for name, one in wrong_kl(*tensors[2:]).items()},
    )
    expect(close(of_latents, kl.mean(0)), f"the KL of the latents: {told(kl.mean(0))}", given, told(of_latents), likely)


@part("M2", 0.25, "gradients, batches and likelihoods")
def the_rest(student):
    *tensors, errors, kl, given = case(student)
    own = loss_of(student, *tensors)
    right = close(own, errors.mean() + kl.sum(1).mean())
    expect(right, "the loss itself, with β = 1", given, "another one", "put that right first")
    for batch in ("tuple", "list"):
        same = close(loss_of(student, *tensors, batch=batch), own)
        expect(same, "the same loss", f"a batch as a {batch} whose first entry is x", "another one")
    for likelihood, noise in (("continuous_bernoulli", 0.0), ("normal", 0.0), ("normal", -1.3)):
        *tensors, errors, kl, given = case(student, likelihood, noise)
        found, wanted = loss_of(student, *tensors, noise=noise, likelihood=likelihood), errors.mean() + kl.sum(1).mean()
        given += f", noise_logvar = {noise}" * (noise != 0)
        likely = "the likelihood, or the model's noise_logvar, is not passed on to log_likelihood"
        expect(close(found, wanted), f"{wanted:.3f} nats", given, f"{found:.3f}", likely)
    *tensors, errors, kl, given = case(student)
    _, (_, *found), _ = loss_of(student, *tensors, gradient=True, beta=2.0)
    x, *inputs = [one.clone().requires_grad_(number > 0) for number, one in enumerate(tensors)]
    wanted = -log_likelihood(inputs[0], x).mean() + 2.0 * kl_of(*inputs[1:]).sum(1).mean()
    right = torch.autograd.grad(weighted(wanted), inputs)
    for name, one, two in zip(("logits", "mu", "logvar"), found, right, strict=True):
        expect(
            one is not None and close(one, two) and math.isfinite(float(one.sum())),
            f"the gradient of {name}",
            given,
            "none" if one is None else "another one",
            "detach, .item() or torch.no_grad()",
        )


# --- M3 -------------------------------------------------------------------------------------------------------------

GRID = """
def _grid(size, options):
    import torch

    class Model(torch.nn.Module):
        latent_size, example_shape = size, (size,)

        def decode(self, z):
            return z

        def generate_from_latent(self, z):
            return z.sigmoid()

    return sample_on_grid(Model(), **options)
"""


def check_grid(student, options, size, line):
    """The latents under the pictures of a grid are those wanted; the model's pictures are sigmoids of its latents."""
    student.prepare(GRID)
    found = student.call("_grid", args=(size, options))
    count, (across, down) = len(line), options.get("axes", (0, 1))
    given = f"{size} latents, {', '.join(f'{name} = {value}' for name, value in options.items())}"
    expect_shape(found, (count**2, size), given, "one picture for each place, row by row")
    z = found.logit().unflatten(0, (count, count))
    rest = [latent for latent in range(size) if latent not in (across, down)]
    expect(not rest or z[:, :, rest].abs().max() < 1e-3, "0 for the other latents", given, "other values")
    columns, rows = z[:, :, across], z[:, :, down]
    exchanged = any(close(columns, one[:, None].expand(-1, count)) for one in (line, line.flip(0)))
    likely = "the two axes are exchanged" if exchanged else "each row goes through the whole line, from left to right"
    if (
        options.get("reach") is None
        and not exchanged
        and close(columns[0], torch.linspace(*columns[0, [0, -1]], count))
    ):
        likely = "even steps in z, not in probability: the quantiles (i + ½) / count of N(0, 1)"
    told_line = ", ".join(f"{value:.2f}" for value in columns[0])
    expect(
        close(columns, line.expand(count, -1)),
        f"the first latent from left to right: {told(line)}",
        given,
        told_line,
        likely,
    )
    upside = close(rows, line[:, None].expand(-1, count))
    likely = "upside down: pictures are drawn from top to bottom, and the axis points up" if upside else ""
    expect(
        close(rows, line.flip(0)[:, None].expand(-1, count)),
        "the second latent from top to bottom, falling",
        given,
        "other values",
        likely,
    )


@part("M3", 0.5, "even in z")
def even(student):
    for size, axes in ((2, (0, 1)), (4, (3, 1))):
        count, reach = student.pick(3, 5), float(student.pick(2, 4))
        line = torch.linspace(-reach, reach, count)
        check_grid(student, {"count": count, "reach": reach, "axes": axes}, size, line)


@part("M3", 0.5, "even in probability")
def quantiles(student):
    count = student.pick(4, 6)
    line = torch.special.ndtri((torch.arange(count) + 0.5) / count)
    check_grid(student, {"count": count}, 2, line)
