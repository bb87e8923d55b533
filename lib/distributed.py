"""One training on several GPUs or machines: every process computes its part of each batch, then the gradients are
averaged, so that all take the same step. Nothing in a training has to be changed: started by torch's own `torchrun`

    torchrun --nproc-per-node=4 -m lib.experiments.waves train experiment=unet_large

it is shared, started by `python` it is not, and every function here then does nothing.

What is equal to a single process with the same batches, within rounding: gradients, clipping, steps, and the losses in
the history, if the loss is a mean over examples. What is not: layers that look at a whole batch (batch norm) see each
process's part of it, and random numbers drawn inside the model (dropout) are others, different in every process.
`DistributedDataParallel` does the same averaging, but wraps the model: losses here ask it for more than its outputs.
"""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from torch import distributed


def start():
    """Join the processes that torchrun has started, once; each gets the GPU of its number, if there are GPUs."""
    if not distributed.is_available() or not distributed.is_torchelastic_launched() or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def count():
    """How many processes share this training; 1 without torchrun."""
    start()
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def is_main():
    """Whether this process is the one that writes files, logs and progress."""
    return count() == 1 or distributed.get_rank() == 0


def wait():
    """Return when all processes are here."""
    if count() > 1:
        distributed.barrier()


def agree(value):
    """The main process's plain value (numbers, texts, lists, dicts), in every process."""
    if count() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


@torch.no_grad()
def same_weights(model):
    """Give every process the main process's parameters and buffers."""
    if count() > 1:
        for tensor in [*model.parameters(), *model.buffers()]:
            sent = tensor.contiguous()
            distributed.broadcast(sent, src=0)
            tensor.copy_(sent)


def reseed(seed, epoch):
    """Give every process random numbers of its own from here on, the same ones after an interruption."""
    if count() > 1:
        torch.manual_seed(hash((seed, epoch, distributed.get_rank())))


def share(batch):
    """This process's part of a batch, a tensor or a tuple or list of them: every n-th example.

    Raises:
        ValueError: the batch has fewer examples than there are processes.
    """
    if count() == 1:
        return batch
    if isinstance(batch, (tuple, list)):
        return type(batch)(share(item) for item in batch)
    if not isinstance(batch, torch.Tensor):
        return batch
    if len(batch) < count():
        raise ValueError(f"a batch of {len(batch)} cannot be shared by {count()} processes: make the batches larger")
    return batch[distributed.get_rank() :: count()]


def _size(batch):
    """Number of examples of a batch: that of its first tensor."""
    return len(batch) if isinstance(batch, torch.Tensor) else next(_size(x) for x in batch if not isinstance(x, str))


@torch.no_grad()
def _average(tensors, size):
    """Replace tensors by their mean over all processes, each counting as much as it has examples."""
    parts = [tensor.reshape(-1).float() * size for tensor in tensors]
    total = torch.cat([*parts, torch.tensor([float(size)], device=tensors[0].device)])
    distributed.all_reduce(total)
    total = total[:-1] / total[-1]
    for tensor, part in zip(tensors, total.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view(tensor.shape))


def average(model, loss, batch):
    """After `backward`: the gradients of all processes' losses become those of their mean, which is returned.

    Args:
        model: its gradients are changed in place. loss: scalar, a mean over examples. batch: this process's part.
    """
    if count() == 1:
        return loss
    loss = loss.detach().clone()
    _average([loss, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)], _size(batch))
    return loss


# --- loops that are not `lib.training.fit`, and have several optimisers ---------------------------------------------


def shared(batches, *optimizers):
    """For a loop that knows nothing of all this, such as `lib.adversarial.fit_gan`: its `batches`, of which it then
    sees its process's part, with gradients averaged whenever one of the optimisers makes a step.

    While a batch is worked on, the generator that `batches` is called with draws other numbers in every process (the
    noise from which pictures are made); between batches it draws the same. All models must begin alike: seed first.
    """
    if count() == 1:
        return batches
    size = [0]

    def before_step(optimizer, *_):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        _average([parameter.grad for parameter in parameters if parameter.grad is not None], size[0])

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(before_step)

    def parts(generator):
        for batch in batches(generator):
            number = int(torch.randint(2**62, (), generator=generator))
            common = generator.get_state()
            generator.manual_seed(hash((number, distributed.get_rank())))
            part = share(batch)
            size[0] = _size(part)
            yield part
            generator.set_state(common)

    return parts


def private(path):
    """The path itself for the main process; a copy in a temporary folder, to read and to spoil, for the others."""
    wait()  # until the main process has stored what it trained before
    if is_main() or path is None:
        return path
    copy = Path(tempfile.mkdtemp()) / Path(path).name
    if Path(path).exists():
        shutil.copy(path, copy)
    return copy
