"""Checks of G1, G2 and G3: two networks, a step of each, and pictures drawn from the trained one."""

import math

import torch
import torch.nn.functional as F

from lib.workbook.student.checking import close, expect, expect_shape, part, shape

# --- G1 -------------------------------------------------------------------------------------------------------------

SIZES = """
def _latent_size(*args):
    return Generator(*args).latent_size
"""


def widths(width, size):
    """Channels of the stages, from the 4 × 4 places on."""
    stages = int(math.log2(size)) - 2
    return [width * 2**stage for stage in reversed(range(stages))]


def check_companions(network, x, given, together, likely):
    """Whether the first output of a batch depends on the others, in training mode as `together` says, never else."""
    other = torch.cat([x[:1], x[1:] * 2 + 1])
    network.method("train")
    changes = not close(network(x)[:1], network(other)[:1], 1e-4)
    expect(
        changes == together,
        "batch norm: in training an output depends on the whole batch" if together else "no batch norm",
        given,
        "it depends on its own input alone" if together else "an output depends on the others of its batch",
        likely,
    )
    for _ in range(30):  # running statistics
        network(x)
    network.method("eval")
    expect(
        close(network(x)[:1], network(other)[:1], 1e-4),
        "outputs of one input each, in evaluation mode",
        given,
        "they depend on the others of the batch",
        "statistics of the batch are used in evaluation mode too",
    )


def check_count(network, weights, others, given):
    """Between the convolutions' weights and these with a bias and two numbers of batch norm for every channel."""
    count = network.count()
    expect(
        weights <= count <= weights + others,
        f"{weights:,} weights of convolutions, and up to {others:,} numbers beside them",
        given,
        f"{count:,} parameters",
        "a convolution is missing" if count < weights else "a layer too many, or channels of other numbers",
    )


@part("G1", 0, "Generator: shapes")
def generator_shapes(student):
    for S, C in ((16, 3), (32, 1), (64, 3)):
        L, W, B = student.pick(3, 9), student.pick(2, 4), student.pick(2, 4)
        given = f"z ({B}, {L}, 1, 1), Generator({L}, {W}, {C}, {S})"
        drawn = student.build("Generator", L, W, C, S)(student.randn(B, L, 1, 1))
        expect_shape(drawn, (B, C, S, S), given, "4 × 4 places first, then every layer doubles the side")
    student.prepare(SIZES)
    L = student.pick(3, 9)
    expect(
        student.call("_latent_size", args=(L, 2, 3, 16)) == L,
        f"the attribute latent_size, {L}",
        f"Generator({L}, …)",
        "another",
        "trainings and samplers ask the generator how much noise it wants",
    )


@part("G1", 0, "Generator: pictures from -1 to 1")
def generator_range(student):
    L = 6
    given = f"z (16, {L}, 1, 1), random weights"
    network, z = student.build("Generator", L, 3, 3, 16).randomise(0.5), student.randn(16, L, 1, 1)
    drawn = network(z)
    expect_shape(drawn, (16, 3, 16, 16), given)
    expect(drawn.abs().max() <= 1, "values from -1 to 1", given, f"up to {drawn.abs().max():.2f}", "no tanh at the end")
    expect(
        drawn.min() < -0.3 and drawn.max() > 0.3,
        "values from -1 to 1",
        given,
        f"from {drawn.min():.2f} to {drawn.max():.2f}",
        "a sigmoid, or a ReLU, where the tanh belongs",
    )
    for number in range(L):
        changed = z.clone()
        changed[:, number] += 1
        expect(
            not close(network(changed), drawn, 1e-5),
            "pictures that depend on all of z",
            given,
            f"entry {number} changes nothing",
        )
    _, (gradient,), parameters = network.gradients(z)
    dead = [name for name, value in parameters.items() if value is None]
    expect(gradient is not None and not dead, "gradients of z and all parameters", given, f"none of {dead or 'z'}")


@part("G1", 0, "Generator: layers")
def generator_layers(student):
    L, W, C, S = student.pick(3, 6), student.pick(2, 4), 3, 32
    for upsampling, taps in (("transposed", 16), ("nearest", 9)):
        given, places = f"Generator({L}, {W}, {C}, {S}, upsampling='{upsampling}')", widths(W, S)
        network = student.build("Generator", L, W, C, S, upsampling=upsampling)
        weights = 16 * L * places[0] + taps * sum(a * b for a, b in zip(places, [*places[1:], C], strict=True))
        check_count(network, weights, 3 * sum(places) + C, given)
        expect_shape(network(student.randn(2, L, 1, 1)), (2, C, S, S), given)
        if taps == 16:
            z = student.randn(6, L, 1, 1)
            check_companions(network.randomise(0.5), z, given, True, "batch norm is missing")


@part("G1", 0, "Discriminator: shapes, and logits")
def discriminator_shapes(student):
    for S, C in ((16, 3), (32, 1), (64, 3)):
        W, B = student.pick(2, 4), student.pick(2, 4)
        given = f"x ({B}, {C}, {S}, {S}), Discriminator({W}, {C}, {S})"
        judged = student.build("Discriminator", W, C, S)(student.randn(B, C, S, S))
        expect_shape(judged, (B,), given, "one number for each picture, without further axes")
    network, x = student.build("Discriminator", 3, 3, 16).randomise(1.5), student.randn(24, 3, 16, 16)
    judged, given = network(x), "x (24, 3, 16, 16), random weights"
    expect(
        judged.min() < 0 or judged.max() > 1,
        "logits, from -∞ to ∞",
        given,
        f"all from {judged.min():.2f} to {judged.max():.2f}",
        "a sigmoid at the end: the losses are computed from logits",
    )
    expect(judged.abs().max() > 1, "logits, from -∞ to ∞", given, "all from -1 to 1", "a tanh at the end")
    _, (gradient,), parameters = network.gradients(x)
    dead = [name for name, value in parameters.items() if value is None]
    expect(gradient is not None and not dead, "gradients of x and all parameters", given, f"none of {dead or 'x'}")


@part("G1", 0, "Discriminator: layers")
def discriminator_layers(student):
    W, C, S = student.pick(2, 4), 3, 32
    places = widths(W, S)[::-1]
    weights = 16 * sum(a * b for a, b in zip([C, *places], [*places, 1], strict=True))
    for batch_norm in (True, False):
        given = f"Discriminator({W}, {C}, {S}, batch_norm={batch_norm})"
        network = student.build("Discriminator", W, C, S, batch_norm=batch_norm)
        check_count(network, weights, 3 * sum(places) + 1, given)
        likely = "batch norm is missing" if batch_norm else "batch_norm=False is not looked at"
        x = student.randn(6, C, S, S)
        check_companions(network.randomise(0.5), x, given, batch_norm, likely)


@part("G1", 0, "Discriminator: spectral norm")
def spectral_norm(student):
    network = student.build("Discriminator", 3, 3, 16, spectral_norm=True, batch_norm=False).randomise(3.0)
    x, given = student.randn(8, 3, 16, 16), "spectral_norm=True, batch_norm=False, huge weights"
    network.method("train")
    for _ in range(20):  # the singular values are found by and by
        network(x)
    network.method("eval")
    steps = 0.1 * student.randn(8, 3, 16, 16)
    slope = ((network(x + steps) - network(x)).abs() / steps.flatten(1).norm(dim=1)).max()
    expect(
        slope < 8,
        "no layer that stretches any direction",
        given,
        f"a change of the picture is multiplied by {slope:.0f}",
        "spectral_norm is not looked at, or one of the layers is left out",
    )


# --- G2: the losses -------------------------------------------------------------------------------------------------

LOSSES = ("non-saturating", "hinge", "relativistic")


def for_discriminator(real, generated, loss):
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + generated).mean()
    if loss == "relativistic":
        return F.softplus(generated - real).mean()
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def for_generator(real, generated, loss):
    if loss == "hinge":
        return -generated.mean()
    return F.softplus(real - generated).mean() if loss == "relativistic" else F.softplus(-generated).mean()


SATURATING = "log(1 - sigmoid(g)), the saturating loss: it has hardly any gradient while the pictures are bad"


def likely_of(found, mistakes):
    """What is likely, of {told: what would come out}."""
    return next((told for told, other in mistakes.items() if close(found, other, 1e-4)), "")


@part("G2", 0, "the losses")
def losses(student):
    B = student.pick(5, 9)
    real, generated = 2 * student.randn(B) + 1, 2 * student.randn(B) - 1
    for loss in LOSSES:
        options = {} if loss == LOSSES[0] else {"loss": loss}
        given = f"real and generated ({B},), loss='{loss}'"
        found = student.call("discriminator_loss", args=(real, generated), **options)
        expect(torch.is_tensor(found) and found.dim() == 0, "a scalar", given, shape(found), "the mean is missing")
        wanted = for_discriminator(real, generated, loss)
        mistakes = {
            "real and generated exchanged": for_discriminator(generated, real, loss),
            "half of it": wanted / 2,
            "its sign is turned": -wanted,
            "the sum instead of the mean": wanted * B,
            "only what is said of real pictures": F.softplus(-real).mean(),
            "only what is said of generated pictures": F.softplus(generated).mean(),
            "the loss 'non-saturating' whatever is asked for": for_discriminator(real, generated, LOSSES[0]),
        }
        told = likely_of(found, mistakes)
        expect(close(found, wanted, 1e-5), f"discriminator_loss {wanted:.4f}", given, f"{found:.4f}", told)
        found = student.call("generator_loss", args=(real, generated), **options)
        expect(torch.is_tensor(found) and found.dim() == 0, "a scalar", given, shape(found), "the mean is missing")
        wanted = for_generator(real, generated, loss)
        mistakes = {
            SATURATING: -F.softplus(generated).mean(),
            "its sign is turned": -wanted,
            "real and generated exchanged": for_generator(generated, real, loss),
            "the loss of the discriminator": for_discriminator(real, generated, loss),
            "the generator would learn to be found out": F.softplus(generated).mean(),
            "the loss 'non-saturating' whatever is asked for": for_generator(real, generated, LOSSES[0]),
        }
        told = likely_of(found, mistakes)
        expect(close(found, wanted, 1e-5), f"generator_loss {wanted:.4f}", given, f"{found:.4f}", told)
    sure = torch.tensor([90.0, -90.0])
    for name in ("discriminator_loss", "generator_loss"):
        found = student.call(name, args=(sure, -sure))
        given = "logits of 90 and -90"
        expect(
            found.isfinite(), "finite losses", given, "nan or inf", "log(sigmoid(…)) instead of softplus, or logsigmoid"
        )


# --- G2: the steps --------------------------------------------------------------------------------------------------

# Two small networks that remember what they were given, and a few updates of either.
GAME = """
import torch as _torch


class _Drawer(_torch.nn.Module):
    def __init__(self, weight, bias, size):
        super().__init__()
        self.latent_size, self.size, self.drawn = len(weight), size, []
        self.weight, self.bias = _torch.nn.Parameter(weight.clone()), _torch.nn.Parameter(bias.clone())

    def forward(self, z):
        self.drawn.append((z.detach().clone(), self.training))
        return _torch.tanh(z.flatten(1) @ self.weight + self.bias).view(-1, 3, self.size, self.size)


class _Judge(_torch.nn.Module):
    def __init__(self, first, last):
        super().__init__()
        self.first, self.last = _torch.nn.Parameter(first.clone()), _torch.nn.Parameter(last.clone())
        self.seen = []

    def forward(self, x):
        self.seen.append((x.detach().clone(), x.requires_grad))
        return _torch.tanh(x.flatten(1) @ self.first) @ self.last


def _play(moves, drawer, judge, size, real, rates, options, seed):
    drawer, judge, played = _Drawer(*drawer, size), _Judge(*judge), []
    optimizers = [_torch.optim.SGD(network.parameters(), rate) for network, rate in zip((judge, drawer), rates)]
    with _torch.enable_grad():
        for move in moves:
            drawer.drawn, judge.seen = [], []
            update = update_generator if move == "generator" else update_discriminator
            mine = {key: value for key, value in options.items() if move == "discriminator" or key not in ("r1", "r2")}
            generator = _torch.Generator().manual_seed(seed)
            report = update(drawer, judge, optimizers[move == "generator"], real, generator=generator, **mine)
            state = [value.detach().clone() for network in (drawer, judge) for value in network.parameters()]
            left = any(value.grad is not None for value in drawer.parameters())
            played.append((report, state[:2], state[2:], drawer.drawn, judge.seen, left))
    return played
"""


class Game:
    """Two small networks and real pictures; `play` has the student's functions update them."""

    SIZE, LATENT, HIDDEN = 8, 3, 5
    RATES = (0.5, 3.0)

    def __init__(self, student):
        student.prepare(GAME)
        self.student, pixels = student, 3 * self.SIZE**2
        self.drawer = [student.randn(self.LATENT, pixels), 0.3 * student.randn(pixels)]
        self.judge = [0.2 * student.randn(pixels, self.HIDDEN), 2 * student.randn(self.HIDDEN)]
        self.real = (student.randn(6, 3, self.SIZE, self.SIZE) + 0.5).tanh()
        self.seed = student.pick(0, 10**6)

    def play(self, *moves, **options):
        arguments = moves, self.drawer, self.judge, self.SIZE, self.real, self.RATES, options, self.seed
        return self.student.call("_play", args=arguments)

    def drawn(self, z, drawer=None):
        weight, bias = drawer or self.drawer
        return torch.tanh(z.flatten(1) @ weight + bias).view(-1, 3, self.SIZE, self.SIZE)

    def judged(self, x, judge=None):
        first, last = judge or self.judge
        return torch.tanh(x.flatten(1) @ first) @ last

    def stepped(self, parameters, function, rate):
        """Parameters after one step down the gradient of a function of them."""
        own = [one.clone().requires_grad_() for one in parameters]
        gradients = torch.autograd.grad(function(own), own)
        return [one.detach() - rate * gradient for one, gradient in zip(own, gradients, strict=True)]


def same(one, other, tolerance=2e-4):
    return all(close(a, b, tolerance) for a, b in zip(one, other, strict=True))


def holds(rows, wanted):
    """Whether all of these pictures are among the rows."""
    return bool((torch.cdist(wanted.flatten(1), rows.flatten(1)).amin(1) < 1e-3).all())


def noise_of(drawn, game, given):
    """The noise that the generator was given."""
    expect(drawn, "pictures of the generator", given, "the generator was not asked")
    z = torch.cat([z for z, _ in drawn])
    B = len(game.real)
    expect(
        z.dim() == 4 and len(z) == B,
        f"as much noise as real pictures, ({B}, {game.LATENT}, 1, 1)",
        given,
        shape(z),
        "the number of pictures is not that of the batch",
    )
    expect(z.std() > 0.4 and z.abs().max() < 6, "noise from N(0, 1)", given, "other numbers", "torch.rand for randn?")
    return z


def number(report, key, given):
    """An entry of what an update returns."""
    expect(isinstance(report, dict) and key in report, f"a dict with {key!r}", given, shape(report))
    return torch.as_tensor(report[key], dtype=torch.float32)


def check_discriminator_step(game, loss):
    given = f"update_discriminator, real {tuple(game.real.shape)}, loss='{loss}'"
    ((report, drawer, judge, drawn, seen, left),) = game.play("discriminator", loss=loss)
    pictures, rows = game.drawn(noise_of(drawn, game, given)), torch.cat([x for x, _ in seen])
    expect(holds(rows, game.real), "the real pictures judged", given, "others", "the discriminator never saw them")
    expect(holds(rows, pictures), "the generator's pictures judged", given, "others")
    expect(
        not any(tracked for _, tracked in seen) and not left,
        "pictures without a gradient: the generator stands still here",
        given,
        "gradients go on into the generator",
        "detach is forgotten: draw the pictures with torch.no_grad(), or detach them",
    )
    expect(same(drawer, game.drawer), "the generator as it was", given, "it has changed", "the wrong optimiser")

    def value(judge, turn=False, share=1.0, loss=loss):
        logits = [game.judged(x, judge) for x in (game.real, pictures)]
        return share * for_discriminator(*(logits[::-1] if turn else logits), loss)

    def step(**changes):
        return game.stepped(game.judge, lambda judge: value(judge, **changes), game.RATES[0])

    others = {
        "nothing changes: no backward, or no step of the optimiser": game.judge,
        "real and generated exchanged": step(turn=True),
        "half of the loss": step(share=0.5),
        "the step goes up the gradient": step(share=-1.0),
        "the loss 'non-saturating' whatever is asked for": step(loss=LOSSES[0]),
    }
    told = next((text for text, other in others.items() if same(judge, other)), "")
    expect(same(judge, step()), "one step of gradient descent on its loss", given, "other weights", told)
    found = [number(report, key, given) for key in ("loss", "real", "generated")]
    logits = game.judged(game.real), game.judged(pictures)
    expect(
        close(torch.stack(found), torch.stack([value(game.judge), *(one.mean() for one in logits)]), 1e-3),
        "the loss, and the mean logits of real and generated pictures before the step",
        given,
        "other numbers",
    )


@part("G2", 0, "update_discriminator")
def discriminator_step(student):
    game = Game(student)
    for loss in LOSSES:
        check_discriminator_step(game, loss)


def check_generator_step(game, loss):
    given = f"update_generator, real {tuple(game.real.shape)}, loss='{loss}'"
    ((report, drawer, judge, drawn, _, _),) = game.play("generator", loss=loss)
    z = noise_of(drawn, game, given)
    expect(
        same(judge, game.judge),
        "the discriminator as it was",
        given,
        "it has changed",
        "its weights are updated as well: only the generator's optimiser makes a step",
    )

    def value(drawer, function=for_generator, share=1.0, loss=loss):
        return share * function(game.judged(game.real), game.judged(game.drawn(z, drawer)), loss)

    def step(**changes):
        return game.stepped(game.drawer, lambda drawer: value(drawer, **changes), game.RATES[1])

    others = {
        "no gradient arrives at the generator (detach, or no_grad?), or the optimiser makes no step": game.drawer,
        SATURATING: step(function=lambda real, generated, loss: -F.softplus(generated).mean()),
        "the generator learns to be found out": step(function=for_discriminator),
        "the step goes up the gradient": step(share=-1.0),
        "the loss 'non-saturating' whatever is asked for": step(loss=LOSSES[0]),
    }
    told = next((text for text, other in others.items() if same(drawer, other)), "")
    expect(same(drawer, step()), "one step of gradient descent on its loss", given, "other weights", told)
    found = torch.stack([number(report, key, given) for key in ("loss", "generated")])
    logit = game.judged(game.drawn(z)).mean()
    fine = close(found, torch.stack([value(game.drawer), logit]), 1e-3)
    expect(fine, "the loss, and the mean logit of its pictures before the step", given, "other numbers")


@part("G2", 0, "update_generator")
def generator_step(student):
    game = Game(student)
    for loss in LOSSES:
        check_generator_step(game, loss)


def after(game, move, drawer, judge, z):
    """Both networks after one more step of one of them."""
    if move == "generator":
        moved = game.stepped(drawer, lambda d: F.softplus(-game.judged(game.drawn(z, d), judge)).mean(), game.RATES[1])
        return moved, judge
    pictures = game.real, game.drawn(z, drawer)
    moved = game.stepped(
        judge, lambda j: for_discriminator(*(game.judged(x, j) for x in pictures), LOSSES[0]), game.RATES[0]
    )
    return drawer, moved


@part("G2", 0, "several steps, one after the other")
def alternating(student):
    game = Game(student)
    moves = ["discriminator", "generator", "generator", "discriminator"]
    given = f"four steps: {', '.join(moves)}"
    state = game.drawer, game.judge
    for move, (_, drawer, judge, drawn, _, _) in zip(moves, game.play(*moves), strict=True):
        wanted = after(game, move, *state, noise_of(drawn, game, given))
        expect(
            same(drawer, wanted[0]) and same(judge, wanted[1]),
            "steps that know nothing of the ones before",
            given,
            f"another step of the {move}",
            "gradients of an earlier step are not cleared: zero_grad() before backward",
        )
        state = drawer, judge


def check_penalty(game, r1, r2):
    given = f"update_discriminator, r1={r1:g}, r2={r2:g}"
    ((report, _, judge, drawn, _, _),) = game.play("discriminator", r1=r1, r2=r2)
    pictures = game.drawn(noise_of(drawn, game, given))

    def slope(judge, x):
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(game.judged(x, judge).sum(), x, create_graph=True)
        return 0.5 * gradient.square().flatten(1).sum(1).mean()

    def step(r1, r2):
        def value(judge):
            logits = game.judged(game.real, judge), game.judged(pictures, judge)
            steep = r1 * slope(judge, game.real) + r2 * slope(judge, pictures)
            return for_discriminator(*logits, LOSSES[0]) + steep

        return game.stepped(game.judge, value, game.RATES[0])

    others = {"r1 and r2 are not looked at": step(0.0, 0.0), "r1 and r2 exchanged": step(r2, r1)}
    told = next((text for text, other in others.items() if same(judge, other)), "")
    expect(same(judge, step(r1, r2), 1e-3), "a step on the loss with its penalty", given, "other weights", told)
    steep = r1 * slope(game.judge, game.real) + r2 * slope(game.judge, pictures)
    expect(close(number(report, "penalty", given), steep.detach(), 1e-3), "the penalty", given, "another number")


@part("G2", 0, "penalties and augmentation")
def penalties(student):
    game = Game(student)
    for r1, r2 in ((2.0, 0.0), (0.0, 3.0)):
        check_penalty(game, r1, r2)
    for move in ("discriminator", "generator"):
        given = f"update_{move}, policy='colour'"
        ((_, _, _, drawn, seen, _),) = game.play(move, policy="colour")
        rows, pictures = torch.cat([x for x, _ in seen]), game.drawn(noise_of(drawn, game, given))
        whose = {"generated": pictures} | ({"real": game.real} if move == "discriminator" else {})
        for name, shown in whose.items():
            unchanged = torch.cdist(shown.flatten(1), rows.flatten(1)).amin(1) < 1e-3
            expect(
                not unchanged.any(),
                f"{name} pictures changed by `augment` before they are judged",
                given,
                "unchanged",
                "real and generated pictures go through the same changes, in both steps",
            )


# --- G3 -------------------------------------------------------------------------------------------------------------

PICTURES = (
    GAME
    + """
def _levels(images):
    found = batch_images_to_numpy(images)
    return type(found).__name__, str(found.dtype), _torch.as_tensor(found.astype("int64"))


def _drawn_at(drawer, size, num, options, seed, training):
    drawer = _Drawer(*drawer, size).train(training)
    with _torch.enable_grad():
        found = sample(drawer, num, generator=_torch.Generator().manual_seed(seed), **options)
    return found, drawer.drawn, bool(found.requires_grad), drawer.training
"""
)


@part("G3", 0, "batch_images_to_numpy")
def levels(student):
    student.prepare(PICTURES)
    B, H, W = student.pick(2, 3), student.pick(4, 5), student.pick(6, 7)
    images = 0.7 * student.randn(B, 3, H, W)
    images[0, 0, 0, :4] = torch.tensor([-1.0, 1.0, 1.7, -2.5])
    images[0, 1, 0, :2] = torch.tensor([0.996, 0.0])
    given = f"images {tuple(images.shape)}, some values outside -1 … 1"
    answer = student.call("_levels", args=(images,))
    expect(isinstance(answer, tuple) and len(answer) == 3, "an array", given, shape(answer))
    kind, dtype, found = answer
    expect(kind == "ndarray" and dtype == "uint8", "an array of NumPy of uint8", given, f"{kind} of {dtype}")
    exact = (127.5 * (images.double() + 1)).clamp(0, 255)
    wanted = exact.round().permute(0, 2, 3, 1).long()
    told = "channels last: permute, since a reshape would mix places and colours"
    expect(found.shape == wanted.shape, f"shape {tuple(wanted.shape)}", given, f"shape {tuple(found.shape)}", told)
    if close(found, exact.round().reshape(wanted.shape).long(), 0):
        told = "a reshape instead of a permutation: places and colours are mixed"
    elif ((found - exact.floor().permute(0, 2, 3, 1)).abs() < 0.5).all():
        told = "fractions are cut off instead of rounded, which makes pictures darker"
    elif ((found - 255 * images.double().clamp(0, 1).permute(0, 2, 3, 1)).abs() <= 1).all():
        told = "the pictures lie in -1 … 1, not in 0 … 1"
    elif (found - wanted).abs().max() > 200:
        told = "what lies outside -1 … 1 wraps around: clamp before the change to bytes"
    middle = (exact - exact.floor() - 0.5).abs().permute(0, 2, 3, 1) < 1e-3  # may be rounded either way
    fine = ((found - wanted).abs() <= middle.long()).all()
    expect(fine, "-1 … 1 as 0 … 255, rounded, values outside cut to the ends", given, "other numbers", told)


@part("G3", 0, "sample")
def temperatures(student):
    student.prepare(PICTURES)
    game, num = Game(student), 400
    for temperature in (1.0, 0.25, 4.0, 0.0):
        given = f"num = {num}, temperature = {temperature:g}"
        arguments = game.drawer, game.SIZE, num, {"temperature": temperature}, game.seed, True
        found, drawn, tracked, training = student.call("_drawn_at", args=arguments)
        expect_shape(found, (num, 3, game.SIZE, game.SIZE), given)
        z = torch.cat([z for z, _ in drawn])
        expect(z.dim() == 4 and len(z) == num, f"noise ({num}, {game.LATENT}, 1, 1)", given, shape(z))
        variance = float(z.square().mean())
        told = "temperature is the variance: multiply by its root" if abs(variance - temperature**2) < 0.2 else ""
        if abs(variance - 1) < 0.15:
            told = "temperature is not looked at"
        allowed = 6 * temperature * math.sqrt(2 / z.numel())
        expect(
            abs(variance - temperature) <= allowed, f"noise of variance {temperature:g}", given, f"{variance:.2f}", told
        )
        expect(close(found, game.drawn(z), 1e-4), "the generator's pictures", given, "others")
        expect(
            not any(mode for _, mode in drawn),
            "the generator in evaluation mode",
            given,
            "in training mode",
            "batch norm would take the statistics of what is drawn together",
        )
        expect(not tracked, "pictures without a gradient", given, "they have one", "torch.no_grad() is missing")
        expect(training, "the generator's mode as it was", given, "another", "train() again afterwards")
    again = [student.call("_drawn_at", args=(game.drawer, game.SIZE, 3, {}, seed, False))[0] for seed in (1, 1, 2)]
    fine = close(again[0], again[1], 1e-5) and not close(again[0], again[2], 1e-3)
    expect(fine, "noise from `generator`", "the same seed twice, and another", "not so", "generator is not looked at")
