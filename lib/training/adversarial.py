"""Adversarial training: the losses, one optimiser step for either network, and the loop over both.

A discriminator D gives one logit per picture, high for real ones; a generator G draws pictures that it is to take for
real ones. Each step of one changes what the other minimises, so neither loss tells how good the pictures are. B counts
the pictures, which lie in -1 … 1; networks are those of `lib.models.gan`.
"""

import math
import time
from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from lib.storage import tensors
from lib.training import distributed, events, probes, states
from lib.training.loop import (
    TrainingError,
    check_trainable,
    check_weights,
    checked_numbers,
    learning_rate,
    read_after,
    to_device,
)

LOSSES = ("non-saturating", "hinge", "relativistic")


# --- losses: of logits (B,) for real and for generated pictures -----------------------------------------------------


def _check_loss(loss):
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}; got {loss!r}")


def discriminator_loss(real: Tensor, generated: Tensor, loss: str = "non-saturating") -> Tensor:
    """What the discriminator minimises, a scalar; r and g are its logits, [a]₊ = max(a, 0).

    - "non-saturating": mean of -log sigmoid(r) plus mean of -log(1 - sigmoid(g)), the cross-entropy of both kinds;
      2 log 2 = 1.39 for one that answers 0 to everything. Source: Goodfellow and others (2014).
    - "hinge": mean of [1 - r]₊ plus mean of [1 + g]₊; 2 for one that answers 0. Source: Lim and Ye (2017).
    - "relativistic": mean of -log sigmoid(r - g) over pairs of a real and a generated picture; log 2 = 0.69 for one
      that answers alike to all. Sources: Jolicoeur-Martineau (2019), RpGAN; Huang and others (2024), R3GAN.

    Raises:
        ValueError: unknown loss.
    """
    _check_loss(loss)
    if loss == "non-saturating":
        return F.softplus(-real).mean() + F.softplus(generated).mean()
    if loss == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + generated).mean()
    return F.softplus(generated - real).mean()


def generator_loss(real: Tensor, generated: Tensor, loss: str = "non-saturating") -> Tensor:
    """What the generator minimises, a scalar: `real` counts for "relativistic" only. ValueError: unknown loss.

    - "non-saturating": mean of -log sigmoid(g). The other half of the game, log(1 - sigmoid(g)), has the same fixed
      point, but hardly any gradient as long as the pictures are bad, sigmoid(g) near 0.
    - "hinge": mean of -g.
    - "relativistic": mean of -log sigmoid(g - r).
    """
    _check_loss(loss)
    if loss == "non-saturating":
        return F.softplus(-generated).mean()
    return -generated.mean() if loss == "hinge" else F.softplus(real - generated).mean()


def gradient_penalty(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Half the mean squared norm of the gradient of D(x) with respect to the pixels, a scalar: ½ E |∇D(x)|².

    Called R1 on real pictures, R2 on generated ones. It asks D to be flat where the pictures are, so that G is no
    longer pushed once it has arrived there. Source: Mescheder, Geiger and Nowozin (2018), "Which training methods for
    GANs do actually converge?".

    Raises:
        ValueError: the discriminator has batch norm, where a logit depends on the other pictures too.
    """
    if any(isinstance(part, nn.BatchNorm2d) for part in discriminator.modules()):
        raise ValueError("a gradient penalty needs logits of one picture each: use Discriminator(batch_norm=False)")
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)  # each logit by its own
    return 0.5 * gradient.square().flatten(1).sum(1).mean()


# --- differentiable augmentation ------------------------------------------------------------------------------------


def augment(
    images: Tensor, policy: str = "", generator: torch.Generator | None = None, probability: float = 1.0
) -> Tensor:
    """Change pictures at random, each one differently, before the discriminator sees them: the shape stays.

    With few pictures D learns them by heart, and G gets no more use of it. Real and generated pictures go through the
    same changes, in both steps: only then G need not learn to draw the changes. Gradients flow through.
    Source: Zhao, Liu, Lin, Zhu and Han (2020), "Differentiable augmentation for data-efficient GAN training".

    Args:
        images: (B, C, H, W). policy: names joined by commas, in this order or another; "" changes nothing.
            "colour": add a brightness from -0.5 … 0.5, multiply the distance to the grey value of each pixel (its
            saturation) by 0 … 2, and that to the mean of the picture (its contrast) by 0.5 … 1.5.
            "translation": move by up to an eighth of the side, whole pixels; 0, medium grey, moves in.
            "cutout": set a square of half the side to 0; its centre may lie anywhere, so that parts fall outside.
        generator: draws the changes; None takes torch's global random numbers.
        probability: of each picture to be changed; below 1 the discriminator sees some as they are, and learns sooner.
            Source: Karras and others (2020), "Training generative adversarial networks with limited data".

    Raises:
        ValueError: unknown name, or a probability outside 0 … 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"the probability of a change must lie between 0 and 1, got {probability}")
    untouched = images
    change = {"colour": _colour, "translation": _translation, "cutout": _cutout}
    for name in policy.split(",") if policy else []:
        if name not in change:
            raise ValueError(f"policy must be some of {', '.join(change)}, joined by commas; got {name!r}")
        images = change[name](images, generator)
    if not policy or probability == 1:
        return images
    return torch.where(_uniform(images, 0.0, 1.0, generator) < probability, images, untouched)


def _uniform(images, low, high, generator):
    """One number per picture: (B, 1, 1, 1)."""
    device = images.device if generator is None else generator.device
    numbers = torch.rand(len(images), 1, 1, 1, generator=generator, device=device, dtype=images.dtype)
    return low + (high - low) * numbers.to(images.device)


def _colour(images, generator):
    images = images + _uniform(images, -0.5, 0.5, generator)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * _uniform(images, 0.0, 2.0, generator)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, 0.5, 1.5, generator)


def _translation(images, generator):
    B, _, H, W = images.shape
    reach_y, reach_x = H // 8, W // 8
    down = _uniform(images, -reach_y, reach_y + 1, generator).floor().long().view(B, 1)
    right = _uniform(images, -reach_x, reach_x + 1, generator).floor().long().view(B, 1)
    padded = F.pad(images, (reach_x, reach_x, reach_y, reach_y))
    rows = (torch.arange(H, device=images.device) + reach_y - down)[:, :, None]  # (B, H, 1)
    columns = (torch.arange(W, device=images.device) + reach_x - right)[:, None, :]  # (B, 1, W)
    example = torch.arange(B, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[example, rows, columns].permute(0, 3, 1, 2)


def _cutout(images, generator):
    B, _, H, W = images.shape
    top = _uniform(images, 0, H + 1, generator).floor().view(B, 1) - H // 4
    left = _uniform(images, 0, W + 1, generator).floor().view(B, 1) - W // 4
    rows, columns = (torch.arange(side, device=images.device) for side in (H, W))
    rows, columns = (rows >= top) & (rows < top + H // 2), (columns >= left) & (columns < left + W // 2)
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


# --- one step -------------------------------------------------------------------------------------------------------


def _draw(network, images, generator):
    where = images.device if generator is None else generator.device
    z = torch.randn(len(images), network.latent_size, 1, 1, generator=generator, device=where)
    return network(z.to(images.device))


def _check_finite(name, loss):
    if not math.isfinite(loss):
        raise TrainingError(f"the loss of the {name} is {loss}: lower the learning rates, then start again")


def _step(name, network, optimizer, value, real):
    """Minimise a scalar by one step; gradients for other networks are neither computed nor added up."""
    if value.device.type == "cpu":  # an accelerator would have to be waited for; `fit_gan` reads its losses later
        _check_finite(name, value.item())
    optimizer.zero_grad(set_to_none=True)
    value.backward(inputs=list(network.parameters()))
    distributed.average(network, value, real)  # of all processes that share the training
    optimizer.step()


def update_discriminator(
    generator_model: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    *,
    loss: str = "non-saturating",
    r1: float = 0.0,
    r2: float = 0.0,
    policy: str = "",
    probability: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict:
    """One optimiser step of the discriminator, against as many generated pictures as real ones.

    Args:
        generator_model, discriminator: the networks. optimizer: over the discriminator's parameters.
        real: pictures (B, C, S, S) in -1 … 1. loss: see `discriminator_loss`.
        r1, r2: weights γ of `gradient_penalty` on the real and on the generated pictures. Computed every k-th step only
            ("lazily"), they need k times the weight. policy, probability: see `augment`.
        generator: draws noise and changes; None takes torch's global random numbers.

    Returns:
        dict of scalar tensors without gradients: `loss` (without the penalties), `real` and `generated` (mean logits,
        D(x) and D(G(z))), `penalty` (the two penalties with their weights).

    Raises:
        TrainingError: the loss is not finite (on a CPU). ValueError: unknown loss or policy; a penalty with batch norm.
    """
    with torch.no_grad():  # the generator learns nothing here
        generated = _draw(generator_model, real, generator)
    real, generated = (augment(images, policy, generator, probability) for images in (real, generated))
    # Two batches, each with its own batch norm: in a common one the means would tell which picture is which.
    logits, logits_generated = discriminator(real), discriminator(generated)
    value = discriminator_loss(logits, logits_generated, loss)
    penalty = torch.zeros_like(value)
    for weight, images in ((r1, real), (r2, generated)):
        if weight:
            penalty = penalty + weight * gradient_penalty(discriminator, images)
    _step("discriminator", discriminator, optimizer, value + penalty, real)
    told = {"loss": value, "real": logits.mean(), "generated": logits_generated.mean(), "penalty": penalty}
    return {name: number.detach() for name, number in told.items()}


def update_generator(
    generator_model: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    *,
    loss: str = "non-saturating",
    policy: str = "",
    probability: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict:
    """One optimiser step of the generator, against the discriminator as it is.

    Arguments and errors are those of `update_discriminator`; `optimizer` is over the generator's parameters. Of `real`
    only the number of pictures counts, but for the loss "relativistic". Returns a dict of scalar tensors: `loss`, and
    `generated`, the mean logit D(G(z)).
    """
    generated = discriminator(augment(_draw(generator_model, real, generator), policy, generator, probability))
    logits = torch.zeros_like(generated)
    if loss == "relativistic":
        with torch.no_grad():
            logits = discriminator(augment(real, policy, generator, probability))
    value = generator_loss(logits, generated, loss)
    _step("generator", generator_model, optimizer, value, real)  # through the discriminator
    return {"loss": value.detach(), "generated": generated.detach().mean()}


# --- the loop -------------------------------------------------------------------------------------------------------


def _groups(*optimizers):
    """Parameter groups of all optimisers: a state that is loaded puts others in their place."""
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def _read(unread, entries):
    """Move what the last steps have left on the device, dicts of scalar tensors, to the entries, as finite numbers."""
    if not unread:
        return
    rows = torch.stack([torch.stack([*told.values()]).float() for told in unread]).tolist()  # waited for once
    for row in rows:
        entry = dict(zip(unread[0], row, strict=True))
        for name in ("discriminator", "generator"):
            _check_finite(name, entry[f"{name}_loss"])
        probes.step(entry["discriminator_loss"], entry["generator_loss"])
        entries.append(entry)
    unread.clear()


def fit_gan(
    gan: nn.Module,
    batches,
    discriminator_optimizer: torch.optim.Optimizer,
    generator_optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    loss: str = "non-saturating",
    r1: float = 0.0,
    r2: float = 0.0,
    penalty_every: int = 1,
    policy: str = "",
    probability: float | tuple[float, float] = 1.0,
    anneal: bool = False,
    validate=None,
    seed: int = 0,
    resume=None,
    log_dir=None,
    progress: bool = True,
) -> dict:
    """Train both networks in turn, one step each per batch, and return the history; what `lib.training.fit` is for one.

    A training that is killed goes on from its last epoch and ends bit for bit like one that is not. Several processes
    share it like `lib.training.fit` (see `lib.training.distributed`), each with noise of its own and, under batch
    norm, the statistics of its own part of a batch.

    Args:
        gan: `lib.models.gan.GAN` on its device; its average is updated every step and recalibrated every epoch.
        batches: function of a `torch.Generator` that yields one epoch's batches: pictures, or tuples that begin so.
        epochs: how many times `batches` is asked. loss, r1, r2, policy, probability: see
            `update_discriminator`; of a pair, the probability grows evenly from the first to the last epoch.
        penalty_every: k; the penalties are computed at every k-th step only, with k times their weight.
        anneal: let both learning rates fall along half a cosine, from epoch to epoch, nearly to zero.
        validate: function (gan) -> dict of numbers, called after every epoch in evaluation mode without gradients.
        seed: fixes the order of the data, the noise and the changes. resume, log_dir, progress: see `lib.training.fit`.

    Returns:
        dict of lists with one entry per epoch: `step`, the means over the epoch of `discriminator_loss`,
        `generator_loss`, `real`, `generated` and `penalty` (see `update_discriminator`), `rate` (of the generator), the
        validated quantities, and `seconds` (CPU time so far, all threads together).

    Raises:
        TrainingError: a loss or a weight is no longer finite, or `batches` yielded nothing. CheckpointError: the state
        at `resume` is damaged. ValueError: see `update_discriminator`; epochs or penalty_every below 1. The others as
        in `lib.training.fit`.
    """
    if not all(isinstance(number, Integral) and number >= 1 for number in (epochs, penalty_every)):
        raise ValueError(f"epochs and penalty_every must be whole numbers from 1, got {epochs!r}, {penalty_every!r}")
    _check_loss(loss)
    first, last = probability if isinstance(probability, (tuple, list)) else (probability, probability)
    check_trainable(gan.discriminator, discriminator_optimizer)
    device = check_trainable(gan.generator, generator_optimizer)
    networks = (gan.generator, gan.discriminator)
    rates = [group["lr"] for group in _groups(discriminator_optimizer, generator_optimizer)]
    torch.manual_seed(seed)
    generator, history = torch.Generator().manual_seed(seed), {}
    distributed.wait()  # until the main process has stored what it trained before
    if state := states.stored_state(resume):
        history = states.restore(state, gan, generator_optimizer, None, generator)
        if "discriminator_optimizer" in state:  # there is none in a probe's
            discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
    first_epoch = len(history.get("step", ()))
    distributed.same_weights(gan)
    main = distributed.is_main()  # alone writes and shows
    step = history["step"][-1] if history else 0
    before, start = (history["seconds"][-1] if history else 0.0), time.process_time()

    def validated():
        gan.eval().recalibrate()  # in every process
        with torch.no_grad():
            return validate(gan) if validate is not None and main else {}

    probes.begin(gan, validated)
    hidden = not (progress and main) or probes.active()
    bar = tqdm(range(first_epoch, epochs), initial=first_epoch, total=epochs, unit="epoch", disable=hidden)
    stoppable = states.interruptible(lambda: states.how_to_go_on(resume))
    with stoppable, bar, events.Log(log_dir if main else None, history) as log:
        for epoch in bar:
            noise = distributed.own_generator(generator, seed, epoch)
            distributed.reseed(seed, epoch)
            gan.train()
            entries, unread = [], []
            chance = first + (last - first) * epoch / max(1, epochs - 1)
            if anneal:
                for group, rate in zip(_groups(discriminator_optimizer, generator_optimizer), rates, strict=True):
                    group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
            for batch in batches(generator):
                real = to_device(distributed.share(batch[0] if isinstance(batch, (tuple, list)) else batch), device)
                weight = penalty_every if step % penalty_every == 0 else 0
                options = {"loss": loss, "policy": policy, "probability": chance, "generator": noise}
                penalties = {"r1": weight * r1, "r2": weight * r2}
                judged = update_discriminator(*networks, discriminator_optimizer, real, **options, **penalties)
                drawn = update_generator(*networks, generator_optimizer, real, **options)
                gan.average.update_parameters(gan.generator)
                unread.append({"discriminator_loss": judged.pop("loss"), "generator_loss": drawn["loss"], **judged})
                if len(unread) >= read_after(device):
                    _read(unread, entries)
                step += 1
            _read(unread, entries)
            if not entries:
                raise TrainingError("`batches` yielded no batch; give it data, or a smaller batch size")
            check_weights(gan, step)

            means = {name: sum(entry[name] for entry in entries) / len(entries) for name in entries[0]}
            entry = {"step": step, **distributed.means(means), "rate": learning_rate(generator_optimizer)}
            distributed.same_weights(gan)  # the running statistics of batch norm are others in every process
            entry |= checked_numbers(validated(), entry)
            entry["seconds"] = round(before + time.process_time() - start, 3)
            entry = distributed.agree(entry)
            for name, number in entry.items():
                history.setdefault(name, []).append(number)
            probes.epoch(entry)
            bar.set_postfix_str(f"step {step}, D {entry['discriminator_loss']:.3f}, G {entry['generator_loss']:.3f}")
            if resume is not None and main:
                state = states.state_of(resume, gan, generator_optimizer, None, generator, history)
                tensors.save(resume, state | {"discriminator_optimizer": discriminator_optimizer.state_dict()})
            log.add(history, -1)
    gan.eval()
    return history
