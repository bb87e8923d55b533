"""Answers to the items of notebooks 07 and 08: right ones that are built differently, and the classic mistakes."""

STEPS_BY_SYMPY = """
import sympy as sp

def three_steps(x, a, b, c):
    mean, variance = x, 0
    for alpha in (a, b, c):
        mean, variance = sp.sqrt(alpha) * mean, sp.expand(alpha * variance) + 1 - alpha
    return sp.simplify(mean), sp.factor(variance)
"""

STEPS_WRITTEN_OUT = """
def three_steps(x_0, alpha_1, alpha_2, alpha_3):
    noise = alpha_3 * alpha_2 * (1 - alpha_1) + alpha_3 * (1 - alpha_2) + (1 - alpha_3)
    return [alpha_1**0.5 * alpha_2**0.5 * x_0 * alpha_3**0.5, noise]
"""

DIFFUSION_BY_LOGARITHMS = """
def alpha_bars(kind, steps, betas=None, zero_terminal=False):
    t = torch.arange(steps + 1, dtype=torch.float64)
    if kind == "cosine":
        table = (1 + torch.cos(2 * math.acos(0.01) * t / steps)) / 2
    else:
        first, last = betas or (1e-4 * 1000 / steps, 0.02 * 1000 / steps)
        beta = first + (last - first) * (t[1:] - 1) / (steps - 1)
        table = torch.exp(torch.cat([torch.zeros(1).double(), torch.log1p(-beta).cumsum(0)]))
    if zero_terminal:
        s = table**0.5
        s[1:] = (s[1:] - s[steps]) / (s[1] - s[steps]) * s[1]
        table = s**2
    return table

def columns(alpha_bar, like):
    a = torch.as_tensor(alpha_bar, dtype=torch.float64).flatten()[:, None]
    return a.sqrt().to(like.dtype), (1 - a).sqrt().to(like.dtype)

def diffuse(x0, alpha_bar, noise):
    a, b = columns(alpha_bar, x0)
    return torch.lerp(torch.zeros_like(x0), x0, a.expand_as(x0)) + b * noise

def posterior(x0, xt, table, t, before=None):
    s = t - 1 if before is None else before
    alpha = table[t] / table[s]
    precision = 1 / (1 - table[s]).clamp(min=1e-300) + alpha / (1 - alpha)
    variance = 1 / precision
    first = variance * table[s].sqrt() / (1 - table[s]).clamp(min=1e-300)
    mean = first * x0 + variance * alpha.sqrt() / (1 - alpha) * xt
    return mean.to(x0.dtype), variance

def noise_loss(model, batch, table=None, prediction="noise", generator=None):
    x0 = batch[0] if type(batch) is tuple else batch
    total, N = 0.0, len(x0)
    noise = torch.randn(x0.shape, generator=generator)
    if table is None:
        time = torch.rand(N, generator=generator)
        alpha_bar = torch.cos(math.acos(0.01) * time.double()) ** 2
    else:
        T = len(table) - 1
        t = torch.randint(1, T + 1, (N,), generator=generator)
        time, alpha_bar = t / T, table[t]
    a, b = columns(alpha_bar, x0)
    wanted = {"noise": noise, "v": a * noise - b * x0}[prediction]
    for rows in torch.arange(N).split(50):
        x = diffuse(x0[rows], alpha_bar[rows], noise[rows])
        total = total + F.mse_loss(model(x, time[rows]), wanted[rows], reduction="sum")
    return total / wanted.numel()

def ancestral_sample(
    model, table, num=None, *, steps=None, prediction="noise", generator=None, start=None, return_path=False
):
    T = len(table) - 1
    x = torch.randn(num, 2, generator=generator) if start is None else start.clone()
    times = torch.linspace(T, 0, (steps or T) + 1).round().int().tolist()
    path = [x]
    with torch.no_grad():
        for now, then in zip(times[:-1], times[1:]):
            a, b = columns(table[now], x)
            out = torch.cat([model(part, torch.full((len(part),), now / T)) for part in x.split(300)])
            clean = a * x - b * out if prediction == "v" else (x - b * out) / a
            x, variance = posterior(clean, x, table, now, then)
            if then > 0:
                x = x + float(variance) ** 0.5 * torch.randn(x.shape, generator=generator)
            path.append(x)
    return torch.stack(path) if return_path else x
"""

DIFFUSION_BY_VELOCITY = """
def alpha_bars(kind, steps, betas=None, zero_terminal=False):
    values = [1.0]
    for t in range(1, steps + 1):
        if kind == "cosine":
            values.append(math.cos(math.acos(0.01) * t / steps) ** 2)
        else:
            low, high = (0.1 / steps, 20 / steps) if betas is None else betas
            values.append(values[-1] * (1 - low - (high - low) * (t - 1) / max(1, steps - 1)))
    if zero_terminal:
        roots = [value**0.5 for value in values]
        values[1:] = [((r - roots[-1]) * roots[1] / (roots[1] - roots[-1])) ** 2 for r in roots[1:]]
    return torch.tensor(values, dtype=torch.float64)

def diffuse(x0, alpha_bar, noise):
    if torch.is_tensor(alpha_bar) and alpha_bar.dim():
        return torch.stack([diffuse(x, float(a), e) for x, a, e in zip(x0, alpha_bar, noise)])
    return math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * noise

def posterior(x0, xt, table, t, before=None):
    before = t - 1 if before is None else before
    left, step = 1 - float(table[before]), float(table[t] / table[before])
    share = left * step / (1 - float(table[t]))  # of x_t / √α
    mean = share * xt / step**0.5 + (1 - share) * float(table[before]) ** 0.5 * x0
    return mean, torch.tensor((1 - step) * left / (1 - float(table[t])))

def noise_loss(model, batch, table=None, prediction="noise", generator=None):
    x0 = batch[0] if isinstance(batch, (list, tuple)) else batch
    if table is None:
        angle = math.acos(0.01) * torch.rand(len(x0), 1, generator=generator)
        time = angle[:, 0] / math.acos(0.01)
    else:
        index = torch.randint(len(table) - 1, (len(x0),), generator=generator) + 1
        angle, time = table[index].sqrt().acos().float()[:, None], index.float() / (len(table) - 1)
    noise = torch.randn(x0.shape, generator=generator)
    out = model(angle.cos() * x0 + angle.sin() * noise, time)
    if prediction == "v":
        out, noise = out + angle.sin() * x0, angle.cos() * noise
    return ((out - noise) ** 2).mean()

def ancestral_sample(
    model, table, num=None, *, steps=None, prediction="noise", generator=None, start=None, return_path=False
):
    T = len(table) - 1
    steps = T if steps is None else steps
    times = [T * k // steps for k in range(steps, -1, -1)]
    states = [torch.randn(num, 2, generator=generator) if start is None else start]
    for t, s in zip(times, times[1:]):
        x, c = states[-1], float(table[t])
        with torch.no_grad():
            out = model(x, torch.full_like(x[:, 0], t / T))
        clean = c**0.5 * x - (1 - c) ** 0.5 * out if prediction == "v" else (x - (1 - c) ** 0.5 * out) / c**0.5
        mean, variance = posterior(clean, x, table, t, s)
        states.append(mean + variance.sqrt() * torch.randn(x.shape, generator=generator))
    return torch.stack(states) if return_path else states[-1]
"""

NETWORKS_WITH_BIASES = """
class Generator(nn.Module):
    def __init__(self, latent_size=64, width=32, channels=3, size=64, upsampling="transposed"):
        super().__init__()
        self.latent_size, self.parts, side = latent_size, nn.ModuleList(), 4
        now = width * size // 8
        self.parts += [nn.ConvTranspose2d(latent_size, now, (4, 4)), nn.BatchNorm2d(now), nn.ReLU()]
        while side < size:
            side, last = 2 * side, 2 * side == size
            then = channels if last else now // 2
            if upsampling == "nearest":
                self.parts += [nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(now, then, 3, 1, "same")]
            else:
                self.parts.append(nn.ConvTranspose2d(now, then, 4, 2, 1))
            self.parts += [] if last else [nn.BatchNorm2d(then), nn.ReLU()]
            now = then

    def forward(self, z):
        for part in self.parts:
            z = part(z)
        return torch.tanh(z)

class Discriminator(nn.Module):
    def __init__(self, width=32, channels=3, size=64, spectral_norm=False, batch_norm=True):
        super().__init__()
        self.convolutions, self.norms, now = nn.ModuleList(), nn.ModuleList(), channels
        wrap = nn.utils.parametrizations.spectral_norm if spectral_norm else lambda layer: layer
        for level in range(int(math.log2(size)) - 2):
            self.convolutions.append(wrap(nn.Conv2d(now, width * 2**level, 4, 2, 1)))
            now = width * 2**level
            self.norms.append(nn.BatchNorm2d(now) if batch_norm and level else nn.Identity())
        self.last = wrap(nn.Conv2d(now, 1, 4))

    def forward(self, x):
        for convolution, norm in zip(self.convolutions, self.norms):
            x = F.leaky_relu(norm(convolution(x)), 0.2)
        return self.last(x)[:, 0, 0, 0]
"""

NETWORKS_WITH_A_MATRIX = """
from torch.nn.utils.parametrizations import spectral_norm as bounded

class Generator(nn.Module):
    def __init__(self, latent_size=64, width=32, channels=3, size=64, upsampling="transposed"):
        super().__init__()
        stages = round(math.log2(size / 4))
        self.latent_size, self.top = latent_size, width * 2 ** (stages - 1)
        self.first = nn.Linear(latent_size, 16 * self.top, bias=False)
        layers = []
        for level in range(stages):
            a, b = self.top // 2**level, channels if level == stages - 1 else self.top // 2 ** (level + 1)
            layers += [nn.BatchNorm2d(a), nn.ReLU(inplace=True)]
            if upsampling == "transposed":
                layers += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)]
            else:
                layers += [nn.Upsample(scale_factor=2), nn.ZeroPad2d(1), nn.Conv2d(a, b, 3)]
        self.rest = nn.Sequential(*layers, nn.Hardtanh(-1, 1))

    def forward(self, z):
        return self.rest(self.first(z.flatten(1)).view(len(z), self.top, 4, 4))

class Discriminator(nn.Module):
    def __init__(self, width=32, channels=3, size=64, spectral_norm=False, batch_norm=True):
        super().__init__()
        kept = bounded if spectral_norm else (lambda module: module)
        layers, a, side = [], channels, size
        while side > 4:
            b = width if a == channels and side == size else 2 * a
            layers.append(kept(nn.Conv2d(a, b, 4, stride=2, padding=1)))
            if batch_norm and side < size:
                layers.append(nn.BatchNorm2d(b))
            layers.append(nn.LeakyReLU(0.2))
            a, side = b, side // 2
        self.all = nn.Sequential(*layers, nn.Flatten(), kept(nn.Linear(16 * a, 1)))

    def forward(self, x):
        return self.all(x).squeeze(1)
"""

STEPS_BY_CROSS_ENTROPY = """
from lib.training.adversarial import augment, gradient_penalty

def entropy(logits, answer):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))

def discriminator_loss(real, generated, loss="non-saturating"):
    if loss == "non-saturating":
        return entropy(real, 1.0) + entropy(generated, 0.0)
    if loss == "hinge":
        return (1 - real).clamp(min=0).mean() + (1 + generated).clamp(min=0).mean()
    return entropy(real - generated, 1.0)

def generator_loss(real, generated, loss="non-saturating"):
    if loss == "hinge":
        return -generated.mean()
    return entropy(generated if loss == "non-saturating" else generated - real, 1.0)

def draw(network, count, generator):
    return network(torch.randn(count, network.latent_size, 1, 1, generator=generator))

def update_discriminator(
    generator_model, discriminator, optimizer, real, *, loss="non-saturating", r1=0.0, r2=0.0, policy="",
    probability=1.0, generator=None
):
    optimizer.zero_grad()
    fake = draw(generator_model, len(real), generator).detach()
    both = augment(torch.cat([real, fake]), policy, generator, probability)
    a, b = discriminator(both).split(len(real))
    value, penalty = discriminator_loss(a, b, loss), 0.0
    if r1 or r2:
        first, second = both.split(len(real))
        penalty = r1 * gradient_penalty(discriminator, first) + r2 * gradient_penalty(discriminator, second)
    (value + penalty).backward()
    optimizer.step()
    return {"loss": value.detach(), "real": a.detach().mean(), "generated": b.mean().item(), "penalty": float(penalty)}

def update_generator(
    generator_model, discriminator, optimizer, real, *, loss="non-saturating", policy="", probability=1.0,
    generator=None
):
    optimizer.zero_grad()
    judged = discriminator(augment(draw(generator_model, len(real), generator), policy, generator, probability))
    with torch.no_grad():
        known = discriminator(augment(real, policy, generator, probability))
    value = generator_loss(known, judged, loss)
    value.backward()
    optimizer.step()
    return {"generated": judged.mean().item(), "loss": value.item()}
"""

STEPS_BY_GRAD = """
from lib.training.adversarial import augment, gradient_penalty

def discriminator_loss(real, generated, loss="non-saturating"):
    return {
        "non-saturating": lambda: -(F.logsigmoid(real).mean() + F.logsigmoid(-generated).mean()),
        "hinge": lambda: torch.relu(1 - real).mean() + torch.relu(1 + generated).mean(),
        "relativistic": lambda: -F.logsigmoid(real - generated).mean(),
    }[loss]()

def generator_loss(real, generated, loss="non-saturating"):
    return {
        "non-saturating": lambda: -F.logsigmoid(generated).mean(),
        "hinge": lambda: generated.neg().mean(),
        "relativistic": lambda: discriminator_loss(generated, real, "relativistic"),
    }[loss]()

def pictures(model, like, generator):
    return model(torch.randn((len(like), model.latent_size, 1, 1), generator=generator))

def go(network, optimizer, value):
    own = [p for p in network.parameters()]
    for p, g in zip(own, torch.autograd.grad(value, own)):
        p.grad = g
    optimizer.step()

def update_discriminator(generator_model, discriminator, optimizer, real, *, loss="non-saturating", r1=0, r2=0,
                         policy="", probability=1.0, generator=None):
    with torch.no_grad():
        made = augment(pictures(generator_model, real, generator), policy, generator, probability)
    real = augment(real, policy, generator, probability)
    made_logits, real_logits = discriminator(made), discriminator(real)
    value = discriminator_loss(real_logits, made_logits, loss)
    penalty = sum(g * gradient_penalty(discriminator, x) for g, x in ((r1, real), (r2, made)) if g)
    go(discriminator, optimizer, value + penalty)
    return dict(loss=value.item(), real=real_logits.mean().item(), generated=made_logits.mean().item(),
                penalty=float(penalty))

def update_generator(generator_model, discriminator, optimizer, real, *, loss="non-saturating", policy="",
                     probability=1.0, generator=None):
    made = discriminator(augment(pictures(generator_model, real, generator), policy, generator, probability))
    known = discriminator(augment(real, policy, generator, probability)).detach()
    value = generator_loss(known, made, loss)
    go(generator_model, optimizer, value)
    return dict(loss=value.item(), generated=made.mean().item())
"""

PICTURES_BY_NUMPY = """
import numpy as np

def batch_images_to_numpy(images):
    array = np.moveaxis(images.detach().cpu().numpy(), 1, -1)
    return np.clip(np.rint((array + 1) * 127.5), 0, 255).astype(np.uint8)

def sample(generator_model, num, temperature=1.0, generator=None):
    before = generator_model.training
    generator_model.eval()
    with torch.inference_mode():
        noise = torch.normal(0.0, temperature**0.5, (num, generator_model.latent_size, 1, 1), generator=generator)
        found = generator_model(noise)
    generator_model.train(before)
    return found
"""

PICTURES_ONE_BY_ONE = """
def batch_images_to_numpy(images):
    levels = ((images.detach().clamp(-1, 1) + 1) / 2 * 255 + 0.5).floor().to(torch.uint8)
    return torch.stack([picture.permute(1, 2, 0) for picture in levels]).numpy()

@torch.no_grad()
def sample(generator_model, num, temperature=1.0, generator=None):
    mode = generator_model.training
    generator_model.train(False)
    z = torch.randn(num, generator_model.latent_size, 1, 1, generator=generator)
    drawn = [generator_model(one[None] * math.sqrt(temperature)) for one in z]
    generator_model.train(mode)
    return torch.cat(drawn)
"""

RIGHT = {
    "D1": {"step by step, with SymPy": STEPS_BY_SYMPY, "written out": STEPS_WRITTEN_OUT},
    "D2": {"by logarithms, in parts": DIFFUSION_BY_LOGARITHMS, "by angles": DIFFUSION_BY_VELOCITY},
    "G1": {"with biases": NETWORKS_WITH_BIASES, "with linear layers": NETWORKS_WITH_A_MATRIX},
    "G2": {"by cross-entropy, in one batch": STEPS_BY_CROSS_ENTROPY, "by autograd.grad": STEPS_BY_GRAD},
    "G3": {"by NumPy": PICTURES_BY_NUMPY, "one by one": PICTURES_ONE_BY_ONE},
}

SOLVED = "return left**0.5 * x_0, 1 - left"

# (item, what the mistake is, [(code of the solution, what is written instead)], a phrase of the message)
MISTAKES = [
    ("D1", "no root", [("left**0.5 * x_0", "left * x_0")], "the root is missing"),
    ("D1", "the standard deviation", [(SOLVED, SOLVED.replace("1 - left", "(1 - left) ** 0.5"))], "standard deviation"),
    (
        "D1",
        "the noise is not shrunk",
        [(", 1 - left", ", 3 - alpha_1 - alpha_2 - alpha_3")],
        "the noise of earlier steps is shrunk",
    ),
    (
        "D1",
        "β for α",
        [("alpha_1 * alpha_2 * alpha_3", "(1 - alpha_1) * (1 - alpha_2) * (1 - alpha_3)")],
        "β_t = 1 - α_t where α_t belongs",
    ),
    ("D1", "text that is no arithmetic", [(SOLVED, "return '__import__(\"os\").getcwd()', 1 - left")], "no arithmetic"),
    ("D2", "the α_t themselves", [(".cumprod(0)", "")], "the α_t = 1 - β_t themselves"),
    ("D2", "no ᾱ_0", [("steps + 1, dtype", "steps, dtype"), ("(1, 0), value", "(0, 0), value")], "ᾱ_0 = 1 comes first"),
    (
        "D2",
        "the roots are missing",
        [("return a * x0 + b * noise", "return a**2 * x0 + b**2 * noise")],
        "roots are missing",
    ),
    (
        "D2",
        "β for ᾱ in the posterior",
        [("beta = 1 - now / then", "beta = 1 - now")],
        "β for ᾱ",
    ),
    (
        "D2",
        "the standard deviation of the posterior",
        [("return mean, beta * (1 - then) / (1 - now)", "return mean, math.sqrt(beta * (1 - then) / (1 - now))")],
        "the standard deviation instead of the variance",
    ),
    (
        "D2",
        "β for ᾱ in the loss",
        [("_roots(table[t.cpu()], x0)", "_roots(table[t.cpu()] / table[t.cpu() - 1], x0)")],
        "β_t (or α_t = 1 - β_t) where ᾱ_t belongs",
    ),
    ("D2", "times from 0", [(".long().clamp(1, T)", ".long().clamp(1, T) - 1")], "t = 0 is the data themselves"),
    ("D2", "t for t / T", [("time, (a, b) = t.to(time) / T,", "time, (a, b) = t.to(time),")], "t itself, not t / T"),
    (
        "D2",
        "other noise in the target",
        [("target = noise if", "noise_2 = torch.randn_like(noise)\n    target = noise_2 if")],
        "not the noise that was added",
    ),
    ("D2", "x_0 for the noise", [("target = noise if", "target = x0 if")], "compared with x_0 instead of the noise"),
    ("D2", "the sum of squares", [(".square().mean()", ".square().sum()")], "the sum instead of the mean"),
    (
        "D2",
        "noise at the last step",
        [("math.sqrt(spread) *", "math.sqrt(max(spread, 0.02)) *")],
        "noise is added at the last step too",
    ),
    (
        "D2",
        "β for the posterior's variance",
        [
            (
                "mean + math.sqrt(spread)",
                "mean + (math.sqrt(1 - table[t] / table[before]) if before else 0)",
            )
        ],
        "β_t instead of the posterior's variance",
    ),
    (
        "D2",
        "variance for its root",
        [("mean + math.sqrt(spread)", "mean + spread")],
        "multiplied by the variance instead of its root",
    ),
    (
        "D2",
        "no noise at all",
        [("mean + math.sqrt(spread) *", "mean + 0 *")],
        "no noise between the steps",
    ),
    (
        "D2",
        "the noise taken for x_0",
        [("posterior(x0, x, table", "posterior(noise, x, table")],
        "is not what stands in the mean",
    ),
    ("G1", "no tanh", [("nn.Sequential(*layers, nn.Tanh())", "nn.Sequential(*layers)")], "no tanh at the end"),
    ("G1", "a sigmoid for the pictures", [("nn.Tanh()", "nn.Sigmoid()")], "a sigmoid"),
    (
        "G1",
        "probabilities for logits",
        [("nn.Conv2d(widths[-1], 1, 4))", "nn.Conv2d(widths[-1], 1, 4), nn.Sigmoid())")],
        "the losses are computed from logits",
    ),
    ("G1", "axes that stay", [("return self.layers(x).flatten()", "return self.layers(x)")], "without further axes"),
    (
        "G1",
        "no batch norm in the generator",
        [
            ("layers += [nn.BatchNorm2d(before), nn.ReLU(), ", "layers += [nn.ReLU(), "),
            ("layers += [nn.BatchNorm2d(width), nn.ReLU(), ", "layers += [nn.ReLU(), "),
        ],
        "batch norm is missing",
    ),
    (
        "G1",
        "batch norm whatever is asked for",
        [("if batch_norm else []", "if True else []")],
        "batch_norm=False is not looked at",
    ),
    ("G1", "no spectral norm", [("if spectral_norm:", "if False:")], "spectral_norm is not looked at"),
    (
        "G2",
        "detach forgotten",
        [
            (
                "    with torch.no_grad():  # the generator learns nothing here\n"
                "        generated = _draw(generator_model, real, generator)",
                "    generated = _draw(generator_model, real, generator)",
            )
        ],
        "detach is forgotten",
    ),
    (
        "G2",
        "a saturating loss",
        [("return F.softplus(-generated).mean()", "return -F.softplus(generated).mean()")],
        "the saturating loss",
    ),
    (
        "G2",
        "a saturating step",
        [("value = generator_loss(logits, generated, loss)", "value = -F.softplus(generated).mean()")],
        "the saturating loss",
    ),
    (
        "G2",
        "no gradient for the generator",
        [
            (
                "discriminator(augment(_draw(generator_model, real, generator), policy",
                "discriminator(augment(_draw(generator_model, real, generator).detach().requires_grad_(), policy",
            ),
            (
                '_step("generator", generator_model, optimizer, value, real)',
                "sum(p.sum() * 0 for p in generator_model.parameters()).backward(); optimizer.step()",
            ),
        ],
        "no gradient arrives at the generator",
    ),
    (
        "G2",
        "real and generated exchanged",
        [("F.softplus(-real).mean() + F.softplus(generated)", "F.softplus(real).mean() + F.softplus(-generated)")],
        "real and generated exchanged",
    ),
    (
        "G2",
        "the discriminator moves too",
        [
            (
                '_step("generator", generator_model, optimizer, value, real)',
                "optimizer.zero_grad(); value.backward(); optimizer.step(); "
                "[p.data.sub_(0.1 * p.grad) for p in discriminator.parameters()]",
            )
        ],
        "only the generator's optimiser makes a step",
    ),
    (
        "G2",
        "gradients that add up",
        [
            (
                '_step("discriminator", discriminator, optimizer, value + penalty, real)',
                "(value + penalty).backward(inputs=[*discriminator.parameters()]); optimizer.step()",
            )
        ],
        "are not cleared",
    ),
    (
        "G2",
        "only real pictures are changed",
        [
            (
                "real, generated = (augment(images, policy, generator, probability) for images in (real, generated))",
                "real = augment(real, policy, generator, probability)",
            )
        ],
        "real and generated pictures go through the same changes",
    ),
    ("G2", "no penalty", [("        if weight:", "        if False:")], "r1 and r2 are not looked at"),
    (
        "G3",
        "a reshape",
        [("levels.permute(0, 2, 3, 1)", "levels.reshape(len(levels), *levels.shape[2:], 3)")],
        "a reshape instead of a permutation",
    ),
    ("G3", "fractions cut off", [(".round().clamp", ".clamp")], "fractions are cut off"),
    ("G3", "no clamp", [(".clamp(0, 255).byte()", ".to(torch.int64).byte()")], "wraps around"),
    ("G3", "T for its root", [("math.sqrt(temperature) *", "temperature *")], "temperature is the variance"),
    ("G3", "training mode", [("    generator_model.eval()", "    pass")], "batch norm would take the statistics"),
]
