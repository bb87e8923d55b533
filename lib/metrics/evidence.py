"""How well a variational autoencoder explains pictures, in nats, and what its latents hold.

N counts the examples, L the latents, D the pixels of an example. Models are those of `lib.models.vae`, or any others
with `encode(x) -> (mu, logvar)`, `decode(z) -> logits` and, for the likelihood "normal", `noise_logvar`.
"""

import math

import torch
from torch.distributions import LowRankMultivariateNormal

from lib.losses import kl_normal, log_likelihood

PAIRS = 2**22  # entries of the largest tensor in `kl_decomposition`: 32 MB


# --- bounds of the likelihood ---------------------------------------------------------------------------------------


def draw_noise(shape, like, generator):
    """Standard normal numbers, drawn where the generator lives, moved to where they are needed."""
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


def _log_weights(model, x, mu, logvar, count, likelihood, generator):
    """log p(x | z) + log p(z) - log q(z | x) of `count` draws z from q(z | x) for every example: (count, B)."""
    noise = draw_noise((count, *mu.shape), mu, generator)
    z = mu + torch.exp(0.5 * logvar) * noise  # (count, B, L)
    logits = model.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])  # (count, B, *pixels)
    # From the noise itself log q(z | x) is exact, however narrow q is; log 2π of both densities cancels.
    log_ratio = 0.5 * (noise.square() + logvar - z.square()).sum(-1)
    return log_likelihood(logits, x, likelihood, getattr(model, "noise_logvar", 0.0)) + log_ratio


@torch.no_grad()
def _reduce_log_weights(model, x, count, likelihood, chunk, generator, reduce):
    """`reduce` (a sum or a logsumexp over the first axis) of `count` log weights of every example: (N,)."""
    if count < 1 or chunk < 1 or len(x) < 1:
        raise ValueError(
            f"need at least one example, one draw per example and a chunk of at least one; got {len(x)} examples, "
            f"{count} draws and chunk={chunk}"
        )
    device, mode, results = next(model.parameters()).device, model.training, []
    model.eval()
    for part in x.split(chunk):
        part = part.to(device)
        mu, logvar = model.encode(part)
        at_once, total = max(1, chunk // len(part)), None
        for done in range(0, count, at_once):
            draws = min(at_once, count - done)
            reduced = reduce(_log_weights(model, part, mu, logvar, draws, likelihood, generator))
            total = reduced if total is None else reduce(torch.stack([total, reduced]))
        results.append(total)
    model.train(mode)
    return torch.cat(results).to(x.device)


def elbo(model, x, likelihood="bernoulli", samples=1, generator=None, chunk=1024):
    """Evidence lower bound of every example in nats, at most log p(x): (N, *pixels) -> (N,).

    The mean over draws z from q(z | x) of the log weights log p(x | z) + log p(z) - log q(z | x). The KL part could be
    had in closed form, as in the loss. Left to chance it cancels chance in the rest: where q(z | x) is the true
    posterior, every draw gives log p(x) exactly.

    Args:
        likelihood: see `lib.losses.log_likelihood`; with "bernoulli" on grey pixels the result is no log-likelihood.
        samples: draws per example. generator: draws them; None takes torch's global random numbers.
        chunk: how many latent vectors are decoded at once, which bounds the memory. The random numbers depend on it,
            their distribution does not.

    Raises:
        ValueError: no examples, samples or chunk below 1, or x of a kind that the model or the likelihood rejects.
    """
    return _reduce_log_weights(model, x, samples, likelihood, chunk, generator, lambda w: w.sum(0)) / samples


def importance_weighted_bound(model, x, K, likelihood="bernoulli", chunk=1024, generator=None):
    """Importance-weighted bound of every example in nats: (N, *pixels) -> (N,).

    log (1/K) Σ_k w_k over K draws z_k from q(z | x), with weights w_k = p(x | z_k) p(z_k) / q(z_k | x) whose mean is
    p(x). K = 1 is the evidence lower bound; in expectation it rises with K, never above log p(x), which it reaches
    in the limit. Source: Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", theorem 1.

    Args:
        K: draws per example. The other arguments, and the errors, are those of `elbo`.
    """
    total = _reduce_log_weights(model, x, K, likelihood, chunk, generator, lambda w: w.logsumexp(0))
    return total - math.log(K)


def pixel_entropy_floor(x):
    """The smallest cross-entropy that any prediction can have on these pixels, in nats: (N, *pixels) -> (N,).

    -x log λ - (1 - x) log(1 - λ) is least at λ = x, where it is the pixel's own entropy: 0 for black and white, log 2
    for the middle grey. A cross-entropy on grey pixels is therefore to be read as a distance above this floor.

    Raises:
        ValueError: x is not floating point (N, *pixels) within 0 … 1.
    """
    if x.dim() < 2 or not x.is_floating_point() or (x.numel() and not 0 <= x.min() <= x.max() <= 1):
        raise ValueError(
            f"x must be floating point (N, *pixels) within 0 … 1, got {x.dtype} {tuple(x.shape)}: use x / 255 for "
            "bytes, x.unsqueeze(0) for a single example"
        )
    return -(torch.xlogy(x, x) + torch.special.xlog1py(1 - x, -x)).flatten(1).sum(1)


# --- an exact reference ---------------------------------------------------------------------------------------------


def ppca(x, latent_size):
    """Probabilistic PCA of maximum likelihood: x ~ N(mean, W Wᵀ + σ² 1), fitted in closed form, in float64.

    It is a linear VAE with one noise variance: z ~ N(0, 1), x | z ~ N(W z + mean, σ²). With the eigenvalues
    λ_1 ≥ λ_2 ≥ … of the covariance of the data and the eigenvectors U of the first L: σ² is the mean of the other
    D - L eigenvalues, and W = U (Λ - σ²)^½. The true posterior of z has independent latents, with
    mean (λ_j - σ²)^½ / λ_j u_jᵀ(x - mean) and variance σ² / λ_j, so that a linear encoder can match it.
    Source: Tipping and Bishop (1999), "Probabilistic principal component analysis", equations 6 to 8.

    Args:
        x: (N, *pixels), flattened to (N, D). latent_size: L, at least 1 and below D.

    Returns:
        W (D, L), mean (D,), σ² (scalar tensor); columns of W from the largest eigenvalue to the smallest.

    Raises:
        ValueError: L does not fit, or the data vary in no more than L directions, which leaves no noise.
    """
    x = x.flatten(1).double()
    if not 1 <= latent_size < x.shape[1] or len(x) < 2:
        raise ValueError(
            f"latent_size must lie in 1 … D - 1 and x hold two examples or more; got latent_size={latent_size}, "
            f"x of shape {tuple(x.shape)}"
        )
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))  # ascending
    variance = values[:-latent_size].mean()
    if not variance > 1e-12 * values[-1]:
        raise ValueError(
            f"the data vary in no more than {latent_size} directions, which leaves no noise to estimate: choose a "
            "smaller latent_size, or give more examples"
        )
    weight = vectors[:, -latent_size:] * (values[-latent_size:] - variance).clamp(min=0).sqrt()
    return weight.flip(1), mean, variance


def ppca_log_likelihood(x, latent_size):
    """Exact log p(x) of every example in nats under the probabilistic PCA fitted to these examples: (N,), float64.

    No linear VAE with L latents and one noise variance has a greater mean. That mean is, with `ppca`'s λ and σ²,
    -½ (D log 2π + Σ_{j ≤ L} log λ_j + (D - L) log σ² + D). Arguments and errors as in `ppca`.
    """
    weight, mean, variance = ppca(x, latent_size)
    return LowRankMultivariateNormal(mean, weight, variance.expand_as(mean)).log_prob(x.flatten(1).double())


# --- what the latents hold ------------------------------------------------------------------------------------------


def _check_posteriors(mu, logvar=None):
    if mu.dim() != 2 or min(mu.shape) < 1 or (logvar is not None and logvar.shape != mu.shape):
        shapes = tuple(mu.shape) if logvar is None else f"{tuple(mu.shape)} and {tuple(logvar.shape)}"
        raise ValueError(f"need (N, L) of at least one example and latent, as model.encode returns them; got {shapes}")


def kl_per_dimension(mu, logvar):
    """Mean over the examples of KL(q(z_j | x) || N(0, 1)) for every latent in nats: (N, L) twice -> (L,).

    Raises:
        ValueError: mu and logvar are not of one shape (N, L).
    """
    _check_posteriors(mu, logvar)
    return kl_normal(mu, logvar).mean(0)


def active_units(mu, threshold=0.01):
    """Which latents depend on the picture: variance of the posterior means over the examples above the threshold.

    Source: Burda, Grosse and Salakhutdinov (2016), section 5.2, with the threshold 0.01.

    Args:
        mu: (N, L), N >= 2. threshold: variance, in units of the prior's, 1.

    Returns:
        bool (L,); its sum is the number of active units.

    Raises:
        ValueError: mu is not (N, L), or a single example.
    """
    _check_posteriors(mu)
    if len(mu) < 2:
        raise ValueError("one example has no variance: give the means of two examples or more")
    return mu.var(0) > threshold


@torch.no_grad()
def kl_decomposition(mu, logvar, draws=2000, generator=None):
    """Where the KL goes: mean KL = mutual information + total correlation + dimension-wise KL, in nats.

    With n one of the N examples at random, q(z | n) its posterior and q(z) = (1/N) Σ_n q(z | n) their mixture:

    - mutual_information, E[log q(z | n) - log q(z)]: what z tells about which example it came from, at most log N;
    - total_correlation, E[log q(z) - Σ_j log q(z_j)]: how far the latents are from being independent;
    - dimension_wise_kl, E[Σ_j log q(z_j) - log p(z)]: how far each by itself is from the prior N(0, 1).

    The mixture over all N examples is computed as it is, with no estimate from minibatches; only the expectations are
    means over random draws. N has to be large enough for log N to exceed the mutual information, which otherwise
    comes out too small, and the rest too large. Costs draws · N · L exponentials.
    Source: Chen, Li, Grosse and Duvenaud (2018), "Isolating sources of disentanglement", equation 2.

    Args:
        mu, logvar: (N, L), as `model.encode` returns them.
        draws: how many z are drawn, from examples in random order, each as often as the others (± 1).
        generator: `torch.Generator` of the CPU; None takes torch's global random numbers.

    Returns:
        two dicts with the keys "kl", "mutual_information", "total_correlation", "dimension_wise_kl" and values in nats:
        estimates, and their standard errors. "kl" comes from the closed form, with the error 0, and the sum of the
        other three agrees with it within theirs.

    Raises:
        ValueError: mu and logvar are not of one shape (N, L), or fewer than two draws.
    """
    _check_posteriors(mu, logvar)
    if draws < 2:
        raise ValueError(f"draws must be at least 2, got {draws}")
    kl = kl_normal(mu, logvar).sum(1).mean().item()
    # In float64, which not every accelerator has: narrow posteriors make (z - mu) / σ lose digits.
    mu, logvar = mu.cpu().double(), logvar.cpu().double()
    N, L = mu.shape
    order = torch.randperm(N, generator=generator)[torch.arange(draws) % N]
    noise = draw_noise((draws, L), mu, generator)
    z = mu[order] + torch.exp(0.5 * logvar[order]) * noise  # (draws, L)

    half_log_2pi = 0.5 * math.log(2 * math.pi)
    mean, precision, offset = mu.T, torch.exp(-0.5 * logvar).T, -(0.5 * logvar + half_log_2pi).T  # (L, N) each
    joint, marginals = [], []
    for part in z.split(max(1, PAIRS // (N * L))):
        log_q = offset - 0.5 * ((part[:, :, None] - mean) * precision).square()  # (draws, L, N): log q(z_j | n)
        joint.append(log_q.sum(1).logsumexp(1) - math.log(N))  # log q(z)
        marginals.append((log_q.logsumexp(2) - math.log(N)).sum(1))  # Σ_j log q(z_j)
    log_joint, log_marginals = torch.cat(joint), torch.cat(marginals)
    log_own = -(0.5 * (noise.square() + logvar[order]) + half_log_2pi).sum(1)  # log q(z | n)
    log_prior = -(0.5 * z.square() + half_log_2pi).sum(1)
    terms = {
        "mutual_information": log_own - log_joint,
        "total_correlation": log_joint - log_marginals,
        "dimension_wise_kl": log_marginals - log_prior,
    }
    values = {"kl": kl} | {name: term.mean().item() for name, term in terms.items()}
    return values, {"kl": 0.0} | {name: term.std().item() / math.sqrt(draws) for name, term in terms.items()}
