"""The training loop of every notebook: read it once, from top to bottom.

It knows no model, data set or loss by name. Data arrive as a function that yields the batches of one epoch, the loss
as a function of model and batch. The state is stored after every epoch, so that a training that is killed at any
moment continues and ends bit for bit where the uninterrupted one ends. Started by torchrun, several processes share
every batch (`lib.training.distributed`).
"""

import math
import time
from numbers import Integral

import torch
from tqdm.auto import tqdm

from lib.storage import tensors
from lib.training import arithmetic, distributed, events, probes, states

TOGETHER = 20  # steps whose losses are read together where reading them waits for the device


class TrainingError(Exception):
    """The training cannot go on; the message names the step and what to change."""


def best_device():
    """CUDA, else Apple's MPS, else the CPU."""
    distributed.start()  # where several processes share a training, each has a GPU of its own
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # TF32: products of float32 with ten bits, as fast as the GPU can
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def to_device(batch, device):
    """Move a tensor, or the tensors in a tuple or list, to the device; anything else is returned as it is."""
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(item, device) for item in batch)
    return batch.to(device, non_blocking=True) if isinstance(batch, torch.Tensor) else batch


def shuffled(*tensors, batch_size):
    """Batches of tensors that lie in memory, in a new random order every epoch; the last batch may be smaller.

    Args:
        tensors: one or more tensors with the same first dimension, the number of examples.

    Returns:
        function: generator -> iterator of tuples of tensors, as `fit` wants its `batches`.
    """
    count = len(tensors[0])
    if any(len(tensor) != count for tensor in tensors):
        raise ValueError(f"all tensors need the same number of examples, got {[len(tensor) for tensor in tensors]}")
    if not 1 <= batch_size <= count:
        raise ValueError(f"batch_size must lie between 1 and the number of examples, {count}; got {batch_size}")

    def batches(generator):
        for index in torch.randperm(count, generator=generator).split(batch_size):
            yield tuple(tensor[index] for tensor in tensors)

    return batches


def fit(
    model,
    batches,
    loss,
    optimizer,
    *,
    epochs,
    validate=None,
    schedule=None,
    clip=None,
    seed=0,
    stop=None,
    resume=None,
    log_dir=None,
    progress=True,
):
    """Train a model in place and return the history.

    Args:
        model: torch module, already on its device.
        batches: function of a `torch.Generator` that yields the batches of one epoch, drawn with that generator.
        loss: function (model, batch) -> scalar tensor to be minimised.
        optimizer: `torch.optim.Optimizer` over the model's parameters.
        epochs: how many times `batches` is asked. For endless data an epoch is simply what `batches` yields at a time.
        validate: function (model) -> dict of numbers, called after every epoch in evaluation mode without gradients.
        schedule: learning-rate scheduler, stepped after every optimiser step.
        clip: greatest norm of the gradient of all parameters together; larger gradients are scaled down to it.
        seed: fixes the order of the data and torch's own random numbers (dropout, noise) from here on.
        stop: function (history) -> bool; True after an epoch ends the training early.
        resume: path of the state that is stored after every epoch and taken up if it exists.
        log_dir: folder for TensorBoard events.
        progress: show a bar with loss and learning rate.

    Returns:
        dict of lists with one entry per epoch: `step` (optimiser steps so far), `loss` (mean over the epoch), `rate`
        (learning rate), `gradient_norm` (mean before clipping, if `clip` is set), the validated quantities, and
        `seconds` (CPU time of this training so far, all threads together).

    Raises:
        TrainingError: the loss, the gradient or a weight is no longer finite, or `batches` yielded nothing.
        CheckpointError: the state at `resume` is damaged, or that of another model.
        ValueError: `epochs` or `clip` is not positive; the model has no parameters, or the optimiser none of them; the
            loss is no scalar that depends on them; `validate` uses a name of the history's own.
        Stopped: a KeyboardInterrupt whose text says how to go on, see `lib.training.states`.
    """
    if not isinstance(epochs, Integral) or epochs < 1 or (clip is not None and not clip > 0):
        raise ValueError(
            f"epochs must be a whole number from 1, clip above 0 (or None); got epochs={epochs!r}, clip={clip}"
        )
    device = check_trainable(model, optimizer)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    history, first_epoch = {}, 0
    distributed.wait()  # until the main process has stored what it trained before
    if state := states.stored_state(resume):
        history = states.restore(state, model, optimizer, schedule, generator)
        first_epoch = len(history.get("step", ()))
        if stop is not None and history and stop(history):  # the kill came after the last epoch
            epochs = first_epoch
    distributed.same_weights(model)
    arithmetic.arranged(model)
    step = history["step"][-1] if history else 0
    before, start = (history["seconds"][-1] if history else 0.0), time.process_time()
    main = distributed.is_main()  # alone writes and shows

    def validated():
        model.eval()
        with torch.no_grad():
            return validate(model) if validate is not None and main else {}

    probes.begin(model, validated)
    bar = tqdm(
        range(first_epoch, epochs),
        initial=first_epoch,
        total=epochs,
        unit="epoch",
        leave=False,
        mininterval=0.5,
        disable=not (progress and main) or probes.active(),
    )
    stoppable = states.interruptible(lambda: states.how_to_go_on(resume))
    with stoppable, bar, events.Log(log_dir if main else None, history) as log:
        for epoch in bar:
            distributed.reseed(seed, epoch)
            model.train()
            losses, norms, unread = [], [], []
            for batch in batches(generator):
                batch = arithmetic.arranged(to_device(distributed.share(batch), device))
                optimizer.zero_grad(set_to_none=True)
                with arithmetic.forward(device):
                    value = loss(model, batch)
                check_loss(value)
                value.backward()
                check_gradients(model)
                value = distributed.average(model, value, batch)
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip) if clip is not None else None
                unread.append((value.detach().reshape(()), norm))
                if len(unread) >= read_after(device):
                    read(unread, losses, norms, step + 1, optimizer)
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                step += 1
                if progress and losses and step % 20 == 0:
                    shown = f"step {step}, loss {losses[-1]:.4f}, rate {learning_rate(optimizer):.2g}"
                    bar.set_postfix_str(shown, refresh=False)
            read(unread, losses, norms, step, optimizer)
            if not losses:
                raise TrainingError("`batches` yielded no batch; give it data, or a smaller batch size")
            check_weights(model, step)

            entry = {"step": step, "loss": sum(losses) / len(losses), "rate": learning_rate(optimizer)}
            if norms:
                entry["gradient_norm"] = sum(norms) / len(norms)
            entry |= checked_numbers(validated(), entry)
            entry["seconds"] = round(before + time.process_time() - start, 3)
            entry = distributed.agree(entry)
            for name, number in entry.items():
                history.setdefault(name, []).append(number)
            probes.epoch(entry)
            if resume is not None and main:
                tensors.save(resume, states.state_of(resume, model, optimizer, schedule, generator, history))
            log.add(history, -1)
            if stop is not None and stop(history):
                break
    model.eval()
    return history


def read_after(device):
    """After how many steps losses are read: reading waits until an accelerator has computed them, which a CPU has."""
    return 1 if device.type == "cpu" or probes.active() else TOGETHER


def read(unread, losses, norms, step, optimizer):
    """Add what the last steps have left on the device to the losses and gradient norms; `unread` is empty then.

    Args:
        unread: list of (loss, gradient norm or None), scalar tensors, of the steps up to `step`.

    Raises:
        TrainingError: one of them is not finite; the message names the first step of which that is so.
    """
    if not unread:
        return
    values, measured = zip(*unread, strict=True)
    new = torch.stack(values).tolist()
    sizes = torch.stack(measured).tolist() if measured[0] is not None else [None] * len(new)
    first, rate = step - len(new) + 1, learning_rate(optimizer)
    unread.clear()
    for number, (loss, norm) in enumerate(zip(new, sizes, strict=True), first):
        losses.append(loss)
        norms += [] if norm is None else [norm]
        probes.step(loss)
        if not math.isfinite(loss + (norm or 0.0)):
            shown = "not measured" if norm is None else norm
            raise TrainingError(
                f"step {number}: loss {loss}, gradient norm {shown}, learning rate {rate:g}; lower the rate or clip the"
                " gradient, then run again"
            )


def learning_rate(optimizer):
    """The learning rate of an optimiser's first group of parameters."""
    return optimizer.param_groups[0]["lr"]


# --- what is refused ------------------------------------------------------------------------------------------------


def check_trainable(model, *optimizers):
    """The device of a model; raise ValueError unless its optimisers have something to train."""
    parameters = [*model.parameters()]
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters: there is nothing to train")
    for optimizer in optimizers:
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if held.isdisjoint(map(id, parameters)):
            raise ValueError("the optimiser holds no parameter of this model: make it after the model")
    return parameters[0].device


def check_loss(value):
    """Raise ValueError unless a loss is a scalar that depends on the model."""
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        got = f"a tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        raise ValueError(f"the loss must be one number, a scalar tensor, got {got}: use .mean()")
    if not value.requires_grad:
        raise ValueError("the loss depends on no parameter that can be trained: is the model frozen, or detached?")


def check_gradients(model):
    """Raise ValueError if a loss has given a model no gradient at all: it looked at another one."""
    if all(parameter.grad is None for parameter in model.parameters()):
        raise ValueError("the loss depends on no parameter of this model: does it call another one?")


def checked_numbers(validated, entry):
    """What a validation returned; raise ValueError if a name in it is one of the loop's own."""
    if taken := sorted(validated.keys() & {*entry, "gradient_norm", "seconds"}):
        raise ValueError(f"`validate` returned {taken[0]!r}, which is the training's own: call it something else")
    return validated


def check_weights(model, step):
    """Raise TrainingError if a step has made a weight infinite or not a number: nothing of it is stored then."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        wrong = value.isnan() | (value.isinf() if value.requires_grad else value.isposinf())  # masks hold -inf
        if wrong.any():
            raise TrainingError(
                f"step {step}: {name} is no longer finite, although the loss was; lower the learning rate or clip the "
                "gradient, then run again"
            )
