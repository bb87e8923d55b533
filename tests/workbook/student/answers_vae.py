"""Answers to the items of notebooks 05 and 06: right ones that are built differently, and the classic mistakes."""

VAE_TWO_HEADS = """
class VAE(nn.Module):
    def __init__(self, input_size=784, hidden_sizes=(400,), latent_size=20, learned_noise=False):
        super().__init__()
        sizes = [input_size, *hidden_sizes]
        self.down = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.mean, self.width = nn.Linear(sizes[-1], latent_size), nn.Linear(sizes[-1], latent_size)
        sizes = [latent_size, *sizes[:0:-1]]
        self.up = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.last = nn.Linear(sizes[-1], input_size)

    def encode(self, x):
        for layer in self.down:
            x = F.leaky_relu(layer(x))
        return self.mean(x), self.width(x)

    def reparameterise(self, mu, logvar, generator=None):
        sigma = logvar.exp().sqrt()
        noise = torch.empty_like(mu).normal_(generator=generator)
        return torch.addcmul(mu, sigma, noise)

    def decode(self, z):
        for layer in self.up:
            z = F.leaky_relu(layer(z))
        return self.last(z)

    def forward(self, x):
        mu, logvar = self.encode(x)
        z = self.reparameterise(mu, logvar)
        return [self.decode(z), mu, logvar]

    def get_mu_logvar(self, x):
        with torch.no_grad():
            return self.encode(x)

    def generate_from_latent(self, z):
        return torch.sigmoid(self.decode(z)).detach()
"""

VAE_RSAMPLE = """
from torch.distributions import Normal

class VAE(nn.Module):
    def __init__(self, N=784, hidden_sizes=(400,), latent_size=20, learned_noise=False, **sizes):
        super().__init__()
        N, self.L = sizes.get("input_size", N), latent_size
        self.encoder = self.net(N, *hidden_sizes, 2 * self.L)
        self.decoder = self.net(self.L, *hidden_sizes[::-1], N)

    def net(self, *sizes):
        layers = []
        for number in range(len(sizes) - 1):
            layers += [nn.Linear(sizes[number], sizes[number + 1]), nn.Tanh()]
        return nn.Sequential(*layers[:-1])

    def encode(self, x):
        both = self.encoder(x).view(len(x), self.L, 2)
        return both[..., 0], both[..., 1]

    def reparameterise(self, mu, logvar, generator=None):
        return Normal(mu, torch.exp(logvar / 2)).rsample()

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(Normal(mu, torch.exp(logvar / 2)).rsample()), mu, logvar

    def get_mu_logvar(self, x):
        return tuple(one.detach() for one in self.encode(x))

    @torch.no_grad()
    def generate_from_latent(self, z):
        return 1 / (1 + torch.exp(-self.decode(z)))
"""

LOSS_BY_DISTRIBUTIONS = """
from torch.distributions import Normal, kl_divergence
from lib.losses import log_likelihood

def kl_normal(mu, logvar):
    return kl_divergence(Normal(mu, torch.exp(logvar / 2)), Normal(0.0, 1.0))

class VAELoss(nn.Module):
    def __init__(self, beta=1.0, likelihood="bernoulli"):
        super().__init__()
        self.beta, self.likelihood = beta, likelihood

    def parts(self, model, batch):
        x = batch if torch.is_tensor(batch) else batch[0]
        logits, mu, logvar = model(x)
        log_p = log_likelihood(logits, x, self.likelihood, model.noise_logvar)
        return -log_p.sum() / len(x), kl_normal(mu, logvar).mean(dim=0)

    def forward(self, model, batch):
        error, kl = self.parts(model, batch)
        return error + (self.beta * kl).sum()
"""

LOSS_BY_EXAMPLES = """
from lib.losses import log_likelihood

def kl_normal(mu, log_sigma_squared):
    sigma = torch.exp(0.5 * log_sigma_squared)
    return (mu * mu + sigma * sigma - 1) / 2 - torch.log(sigma)

class VAELoss:
    def __init__(self, beta=1.0, likelihood="bernoulli"):
        self.b, self.kind = beta, likelihood

    def parts(self, model, batch):
        x, *_ = batch if isinstance(batch, (tuple, list)) else (batch,)
        outputs, errors, kls = model(x), [], []
        for n in range(len(x)):
            logits, mu, logvar = (one[n : n + 1] for one in outputs)
            errors.append(-log_likelihood(logits, x[n : n + 1], self.kind, getattr(model, "noise_logvar", 0.0))[0])
            kls.append(kl_normal(mu, logvar)[0])
        return torch.stack(errors).mean(), sum(kls) / len(kls)

    def __call__(self, model, batch):
        error, kl = self.parts(model, batch)
        for one in kl:
            error = error + self.b * one
        return error
"""

LOSS_BY_CROSS_ENTROPY = """
from lib.losses import log_likelihood

def kl_normal(mu, logvar):
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp())

class VAELoss:
    def __init__(self, beta=1.0, likelihood="bernoulli"):
        self.beta, self.likelihood = beta, likelihood

    def both(self, model, batch):
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        logits, mu, logvar = model(x)
        if self.likelihood == "bernoulli":
            error = F.binary_cross_entropy(logits.sigmoid(), x, reduction="sum") / x.shape[0]
        else:
            error = -log_likelihood(logits, x, self.likelihood, model.noise_logvar).mean()
        return error, kl_normal(mu, logvar)

    def parts(self, model, batch):
        error, kl = self.both(model, batch)
        return error, kl.mean(0)

    def __call__(self, model, batch):
        error, kl = self.both(model, batch)
        return error + self.beta * kl.sum(1).mean()
"""

FACES_BY_LIBRARY = """
from lib.losses import pixel_mean

def generate_from_latent(model, z):
    with torch.no_grad():
        return pixel_mean(model.decode(z))
"""

FACES_ONE_BY_ONE = """
def generate_from_latent(vae, latents):
    pictures = [1 / (1 + torch.exp(-vae.decoder(z[None])[0])) for z in latents]
    return torch.stack(pictures).detach()
"""

GRID_BY_LOOPS = """
def sample_on_grid(model, count=12, reach=None, axes=(0, 1)):
    normal = torch.distributions.Normal(0.0, 1.0)
    places = [(i + 0.5) / count for i in range(count)]
    line = [float(normal.icdf(torch.tensor(p))) for p in places]
    if reach is not None:
        line = [-reach + 2 * reach * i / (count - 1) for i in range(count)]
    pictures = []
    for y in reversed(line):
        for x in line:
            z = torch.zeros(1, model.latent_size)
            z[0, axes[0]], z[0, axes[1]] = x, y
            pictures.append(model.generate_from_latent(z))
    return torch.cat(pictures)
"""
GRID_BY_PRODUCT = """
def sample_on_grid(model, count=12, reach=None, axes=(0, 1)):
    line = torch.arange(count)
    line = torch.erfinv((2 * line + 1) / count - 1) * 2**0.5 if reach is None else reach * (2 * line / (count - 1) - 1)
    pairs = torch.cartesian_prod(-line, line)
    unit = torch.eye(model.latent_size)
    return torch.sigmoid(model.decode(pairs @ unit[[axes[1], axes[0]]]))
"""

RIGHT = {
    "F2": {"by the library": FACES_BY_LIBRARY, "one by one": FACES_ONE_BY_ONE},
    "M1": {"two heads": VAE_TWO_HEADS, "rsample": VAE_RSAMPLE},
    "M2": {
        "by torch.distributions": LOSS_BY_DISTRIBUTIONS,
        "example by example": LOSS_BY_EXAMPLES,
        "by the cross-entropy": LOSS_BY_CROSS_ENTROPY,
    },
    "M3": {"by loops": GRID_BY_LOOPS, "by a product": GRID_BY_PRODUCT},
}

DRAW = "mu + torch.exp(0.5 * logvar) * noise"
NOISE = "torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=device)"
KL = "0.5 * (mu.square() + torch.expm1(logvar) - logvar)"
SUM = "reconstruction + self.beta * kl.sum()"
FACES = "return torch.sigmoid(self.decode(z))"

MISTAKES = [
    ("F2", "no sigmoid", [(FACES, "return self.decode(z)")], "the sigmoid is missing"),
    ("F2", "with gradients", [("@torch.no_grad()\n", "")], "torch.no_grad() is missing"),
    (
        "F2",
        "a draw of its own",
        [(FACES, "return torch.sigmoid(self.decode(torch.randn_like(z)))")],
        "nothing is drawn",
    ),
    ("F2", "cut off", [(FACES, "return self.decode(z).clamp(0, 1)")], "cut off at 0 and 1"),
    ("F2", "pictures flattened", [(FACES, "return torch.sigmoid(self.decode(z)).flatten(1)")], "of the decoder's"),
    ("F2", "a sigmoid twice", [(FACES, "return self.decode(z).sigmoid().sigmoid()")], "a sigmoid twice"),
    ("M1", "the log variance as log σ", [(DRAW, "mu + torch.exp(logvar) * noise")], "for the logarithm of σ"),
    ("M1", "the log variance as σ", [(DRAW, "mu + logvar * noise")], "a log variance is no standard deviation"),
    ("M1", "the log variance as variance", [(DRAW, "mu + logvar.abs().sqrt() * noise")], "is taken for the variance"),
    ("M1", "σ left out", [(DRAW, "mu + noise")], "logvar is not used"),
    ("M1", "uniform noise", [(NOISE, "torch.rand(mu.shape)")], "torch.randn, not torch.rand"),
    ("M1", "one noise for the batch", [(NOISE, "torch.randn(mu.shape[1])")], "of the shape of mu"),
    ("M1", "one noise for all latents", [(NOISE, "torch.randn(len(mu), 1)")], "of the shape of mu"),
    ("M1", "no noise", [(DRAW, "mu")], "mu itself is returned"),
    (
        "M1",
        "no gradient through the sample",
        [(DRAW, "torch.normal(mu, torch.exp(0.5 * logvar)).detach()")],
        "no gradient through the sample",
    ),
    (
        "M1",
        "a sample of torch.distributions",
        [(DRAW, "torch.distributions.Normal(mu, torch.exp(0.5 * logvar)).sample()")],
        "no gradient through the sample",
    ),
    ("M1", "σ detached", [(DRAW, "mu + torch.exp(0.5 * logvar).detach() * noise")], "a gradient of logvar"),
    (
        "M1",
        "z detached in forward",
        [("self.decode(self.reparameterise(mu, logvar))", "self.decode(self.reparameterise(mu, logvar).detach())")],
        "by way of z and the logits",
    ),
    ("M1", "the mean decoded", [("self.decode(self.reparameterise(mu, logvar))", "self.decode(mu)")], "not a draw"),
    (
        "M1",
        "the mean decoded in evaluation",
        [
            (
                "self.decode(self.reparameterise(mu, logvar))",
                "self.decode(self.reparameterise(mu, logvar) if self.training else mu)",
            )
        ],
        "in evaluation too",
    ),
    ("M1", "mu and logvar exchanged", [("logvar)), mu, logvar", "logvar)), logvar, mu")], "exchanged"),
    (
        "M1",
        "a sigmoid in the decoder",
        [("return self.decoder(z)", "return self.decoder(z).sigmoid()")],
        "a sigmoid after",
    ),
    ("M1", "a ReLU after the encoder", [("self.encoder(x).chunk", "self.encoder(x).relu().chunk")], "either sign"),
    ("M1", "hidden sizes not reversed", [("*reversed(hidden_sizes)", "*hidden_sizes")], "in reverse"),
    ("M1", "half as wide", [("*hidden_sizes, 2 * latent_size)", "*hidden_sizes, latent_size)")], None),
    (
        "M1",
        "the variance to look at",
        [("return self.encode(x)\n", "mu, logvar = self.encode(x)\n        return mu, logvar.exp()\n")],
        "the variance, not its logarithm",
    ),
    ("M1", "logits to look at", [("torch.sigmoid(self.decode(z))", "self.decode(z)")], "the sigmoid is missing"),
    ("M2", "KL sign", [(KL, f"-{KL}")], "never negative"),
    ("M2", "KL sign in the loss", [(SUM, SUM.replace("+", "-"))], "KL sign"),
    ("M2", "KL mean instead of sum", [(SUM, SUM.replace("sum", "mean"))], "KL mean instead of sum"),
    ("M2", "KL mean in the entries", [(KL, f"({KL}).mean(1)")], "entry by entry"),
    (
        "M2",
        "the log variance as variance",
        [(KL, "0.5 * (mu.square() + logvar - 1 - torch.log(logvar))")],
        "the log variance is taken for the variance",
    ),
    (
        "M2",
        "the log variance as log σ",
        [(KL, "0.5 * (mu.square() + torch.exp(2 * logvar) - 1 - 2 * logvar)")],
        "for the logarithm of σ",
    ),
    ("M2", "no half", [(KL, KL.removeprefix("0.5 * "))], "the factor ½ is missing"),
    ("M2", "no -1", [("torch.expm1", "torch.exp")], "the -1 is missing"),
    ("M2", "the other sign of log σ²", [("expm1(logvar) - logvar", "expm1(logvar) + logvar")], "the sign of log σ²"),
    ("M2", "the mean not squared", [("mu.square()", "mu")], "not squared"),
    (
        "M2",
        "the distributions exchanged",
        [(KL, "0.5 * ((1 + mu.square()) / logvar.exp() - 1 + logvar)")],
        "exchanged",
    ),
    ("M2", "β not used", [(SUM, "reconstruction + kl.sum()")], "β is not used"),
    (
        "M2",
        "β before the wrong part",
        [(SUM, "self.beta * reconstruction + kl.sum()")],
        "β stands before the reconstruction",
    ),
    (
        "M2",
        "the likelihood maximised with the wrong sign",
        [("return -log_likelihood(", "return log_likelihood(")],
        "its sign",
    ),
    (
        "M2",
        "the mean over the pixels",
        [("noise_logvar).mean(), kl", "noise_logvar).mean() / x[0].numel(), kl")],
        "averaged over the pixels",
    ),
    (
        "M2",
        "the sum over the batch",
        [(".mean(), kl_normal(mu, logvar).mean(0)", ".sum(), kl_normal(mu, logvar).sum(0)")],
        "the sum over the batch",
    ),
    (
        "M2",
        "the sigmoid twice",
        [("log_likelihood(logits, x,", "log_likelihood(logits.sigmoid(), x,")],
        "the sigmoid twice",
    ),
    ("M2", "the KL detached", [(SUM, "reconstruction + self.beta * kl.sum().item()")], "detach, .item()"),
    ("M2", "the noise not passed on", [("self.likelihood, noise_logvar)", "self.likelihood)")], "not passed on"),
    (
        "M2",
        "β in the parts",
        [
            ("kl_normal(mu, logvar).mean(0)", "self.beta * kl_normal(mu, logvar).mean(0)"),
            (SUM, "reconstruction + kl.sum()"),
        ],
        "not to the parts",
    ),
    ("M3", "upside down", [("line.flip(0), line", "line, line")], "upside down"),
    ("M3", "axes exchanged", [("first.flatten(), second.flatten()", "second.flatten(), first.flatten()")], "exchanged"),
    (
        "M3",
        "even in z",
        [("torch.special.ndtri((torch.arange(count) + 0.5) / count)", "torch.linspace(-2, 2, count)")],
        "even steps in z",
    ),
]
