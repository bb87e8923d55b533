"""What is minimised."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def forecast_loss(model, batch, burn_in=0, kind="squared"):
    """Mean squared error of all predictions that a forecaster makes of a batch, in units of its `step_scale`².

    Args:
        model: forecaster, called as `model(frames, horizon)`, see `lib.models.forecasting`.
        batch: true frames (B, S, H, W) and the R frames after them (B, R, H, W). The first R - 1 predictions beyond the
            true frames are fed back, with gradients through the whole roll-out.
        burn_in: number of predictions at the beginning that do not count; a network with a state begins with an empty
            one. kind: "squared", or "absolute" for the mean absolute error in units of `step_scale`.
    """
    frames, targets = batch
    predictions = model(frames, targets.shape[1] - 1)
    truth = torch.cat([frames, targets], dim=1)[:, -predictions.shape[1] :]
    errors = ((predictions - truth) / model.step_scale.flatten()[0])[:, burn_in:]
    return errors.square().mean() if kind == "squared" else errors.abs().mean()


def pushforward_loss(model, batch):
    """The same for the last of the R frames only; the frames fed back are taken as given, without gradients.

    Source: Brandstetter, Worrall and Welling (2022), "Message passing neural PDE solvers".
    """
    frames, targets = batch
    if targets.shape[1] > 1:
        with torch.no_grad():
            frames = torch.cat([frames, model(frames, targets.shape[1] - 2)[:, 1 - targets.shape[1] :]], dim=1)
    if not model.stateful:
        frames = frames[:, -model.context_size :]  # what came before has no influence
    error = model(frames)[:, -1:] - targets[:, -1:]
    return (error / model.step_scale.flatten()[0]).square().mean()


def next_character_loss(model, batch):
    """Cross-entropy of every next character, in nats, from windows that are read without a state.

    Args:
        model: as in `lib.models.text`. batch: inputs and targets, int64 (B, T) each.
    """
    inputs, targets = batch
    logits, _ = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class CarriedStateLoss:
    """The same for chunks that go on where the last ones ended: the state is handed on, gradients are not.

    Each epoch begins without a state. Truncated backpropagation through time: Williams and Peng (1990).

    Args:
        streams: function of a generator that yields the chunks of one epoch, inputs and targets (B, T).
    """

    def __init__(self, streams):
        self._streams, self._state = streams, None

    def batches(self, generator):
        """What `training.fit` wants; starting an epoch drops the state."""
        self._state = None
        yield from self._streams(generator)

    def __call__(self, model, batch):
        inputs, targets = batch
        logits, state = model(inputs, self._state)
        self._state = tuple(part.detach() for part in state)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


# --- variational autoencoders ---------------------------------------------------------------------------------------

LIKELIHOODS = ("bernoulli", "normal", "continuous_bernoulli")


def kl_normal(mu, logvar):
    """KL(N(mu, σ²) || N(0, 1)) with σ² = exp(logvar) in nats, entry by entry; derived in `VAELoss`."""
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar)  # expm1(a) = exp(a) - 1, exact also for small a


def _log_normaliser(eta):
    """A(η) = log((exp(η) - 1) / η), whose derivative is the mean of the continuous Bernoulli with the logit η.

    Around η = 0, where the quotient is 0 / 0, by its power series. Each branch sees only logits for which it is exact:
    in the gradient even a branch that is not taken would leave its infinities.
    """
    small = eta.abs() < 0.5
    near, far = torch.where(small, eta, 0.0), torch.where(small, 1.0, eta)
    s, size = near.square(), far.abs()
    series = near / 2 + s * (1 / 24 - s * (1 / 2880 - s * (1 / 181440 - s * (1 / 9676800 - s / 479001600))))
    return torch.where(small, series, far.clamp(min=0) + torch.log(-torch.expm1(-size) / size))


def log_likelihood(logits, x, likelihood="bernoulli", noise_logvar=0.0):
    """log p(x | z) in nats, summed over the pixels: logits (..., B, *pixels) and x (B, *pixels) -> (..., B).

    With η one of the logits, λ = sigmoid(η) and x the pixel:

    - "bernoulli": x log λ + (1 - x) log(1 - λ), the cross-entropy with its sign changed. A log-likelihood only for
      pixels that are 0 or 1; on grey levels it is not normalised, and never above
      -`lib.metrics.evidence.pixel_entropy_floor`.
    - "continuous_bernoulli": the same, normalised on [0, 1]: p(x) = exp(η x) η / (exp(η) - 1), uniform for η = 0.
      Source: Loaiza-Ganem and Cunningham (2019), "The continuous Bernoulli".
    - "normal": N(x; η, exp(noise_logvar)), the decoder's output being the mean itself.

    Raises:
        ValueError: unknown likelihood, shapes that do not fit, or pixels outside 0 … 1 (but for "normal").
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}; got {likelihood!r}")
    if x.dim() < 2 or logits.shape[-x.dim() :] != x.shape:
        raise ValueError(
            f"logits (..., B, *pixels) must end with the shape of x (B, *pixels), got {tuple(logits.shape)} and "
            f"{tuple(x.shape)}: flatten or unflatten x as the model does"
        )
    if likelihood == "normal":
        noise_logvar = torch.as_tensor(noise_logvar, dtype=x.dtype, device=x.device)
        errors = (x - logits).square() * torch.exp(-noise_logvar)
        per_pixel = -0.5 * (errors + noise_logvar + math.log(2 * math.pi))
    elif x.numel() and not 0 <= x.min() <= x.max() <= 1:
        raise ValueError(
            f"pixels must lie in 0 … 1 for {likelihood!r}, but reach {x.min():g} and {x.max():g}: rescale them, or "
            "take the likelihood 'normal'"
        )
    elif likelihood == "bernoulli":
        per_pixel = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    else:
        per_pixel = logits * x - _log_normaliser(logits)
    return per_pixel.flatten(logits.dim() - x.dim() + 1).sum(-1)


def pixel_mean(logits, likelihood="bernoulli"):
    """The mean of every pixel under the likelihood, a picture to look at: of the shape of the logits.

    sigmoid(η), for "normal" η itself, and for "continuous_bernoulli" 1 / (1 - exp(-η)) - 1/η: greyer than sigmoid(η),
    which is the parameter of that distribution, not its mean.

    Raises:
        ValueError: unknown likelihood.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}; got {likelihood!r}")
    if likelihood != "continuous_bernoulli":
        return torch.sigmoid(logits) if likelihood == "bernoulli" else logits
    small = logits.abs() < 0.5
    near, far = torch.where(small, logits, 0.0), torch.where(small, 1.0, logits)
    s = near.square()
    series = near * (1 / 12 - s * (1 / 720 - s * (1 / 30240 - s * (1 / 1209600 - s / 47900160))))
    return torch.where(small, 0.5 + series, -1 / torch.expm1(-far) - 1 / far)


class VAELoss:
    """Negative evidence lower bound, with a weight: reconstruction + β KL(q(z | x) || N(0, 1)), mean over the batch.

    With z drawn from q(z | x), the logarithm of p(x) is at least

        E_q[log p(x | z) + log p(z) - log q(z | x)] = E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    The first term, estimated from the one z that the model draws, is the negative reconstruction error, here summed
    over the pixels. The second has a closed form. For one latent, q = N(μ, σ²) and p = N(0, 1):

        log q(z) = -½ log 2π - ½ log σ² - ½ (z - μ)²/σ²     with mean -½ log 2π - ½ log σ² - ½,
        log p(z) = -½ log 2π - ½ z²                         with mean -½ log 2π - ½ (μ² + σ²),

    as E_q[(z - μ)²] = σ² and E_q[z²] = μ² + σ². The difference of the two is

        KL = ½ (μ² + σ² - 1 - log σ²),

    at least 0, and 0 only for μ = 0, σ = 1. Independent latents add up: the KL is summed over all L of them.

    β is the weight against a reconstruction summed over all N pixel values. Whoever averages it over them instead has
    divided only one of the two by N, and β = 1 there is β = N here (12288 for 64 × 64 colour pixels). With both
    averaged, over N pixel values and over M latents, the weight that means the same as β here is
    β_normalised = β M / N. Source: Higgins et al. (2017), "beta-VAE", section 4.2. Likewise a fixed variance of the
    likelihood "normal" is a β: N(x; η, s²) with weight β has the minimum of N(x; η, 1) with weight β s².

    Args:
        beta: β, at least 0. An attribute that may be changed during training. 1 gives the bound itself, 0 an
            autoencoder with noise that it may learn to switch off.
        likelihood: p(x | z), see `log_likelihood`. For "normal" its variance is exp(model.noise_logvar); a model
            without that attribute has variance 1.

    Raises:
        ValueError: β is negative or not finite, or an unknown likelihood; when called, see `log_likelihood`.
    """

    def __init__(self, beta=1.0, likelihood="bernoulli"):
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be a finite number of at least 0, got {beta}")
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}; got {likelihood!r}")
        self.beta, self.likelihood = beta, likelihood

    def parts(self, model, batch):
        """Reconstruction error, a scalar, and KL of every latent (L,), both in nats and means over the batch.

        Args:
            model: as in `lib.models.vae`, called as `model(x)` -> logits, mu, logvar.
            batch: x (B, *pixels), or a tuple whose first entry is x; labels after it are ignored.
        """
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        logits, mu, logvar = model(x)
        noise_logvar = getattr(model, "noise_logvar", 0.0)
        return -log_likelihood(logits, x, self.likelihood, noise_logvar).mean(), kl_normal(mu, logvar).mean(0)

    def __call__(self, model, batch):
        reconstruction, kl = self.parts(model, batch)
        return reconstruction + self.beta * kl.sum()


def factor_loss(model: nn.Module, batch) -> Tensor:
    """Mean over the factors: cross-entropy of choices over that of guessing, squared error over the variance.

    Both are 1 for whoever knows nothing, so that no factor outweighs the others, and 0 for perfect answers.

    Args:
        batch: pictures (B, C, S, S) and their factors (B, number of factors), in their own units.

    Raises:
        ValueError: the factors have another shape.
    """
    x, factors = batch
    if factors.shape != (len(x), len(model.factors)):
        raise ValueError(
            f"factors must be (B, {len(model.factors)}), the columns {', '.join(model.factors)}; "
            f"got {tuple(factors.shape)} for {len(x)} pictures"
        )
    losses = []
    for kind, output, truth in zip(model.factors.values(), model(x).split(model.sizes, 1), factors.T, strict=True):
        if isinstance(kind, int):
            guessing = torch.tensor(float(max(kind, 2))).log().item()
            losses.append(F.cross_entropy(output, truth.long()) / guessing)
        else:
            place = (truth - kind[0]) / (kind[1] - kind[0])
            losses.append(12 * F.mse_loss(output[:, 0], place))  # a uniform place has the variance 1/12
    return torch.stack(losses).mean()
