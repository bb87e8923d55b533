"""One training on several GPUs or machines: every process computes its part of each batch, then the gradients are
averaged, so that all take the same step. Nothing in a training has to be changed: started by torch's own `torchrun`

    torchrun --nproc-per-node=4 -m lib.experiments.waves train experiment=unet_large

it is shared, started by `python` it is not, and every function here then does nothing. Notebooks are started in this
way by `lib.workbook.cells`.

What is equal to a single process with the same batches, within rounding: gradients, clipping, steps, and the losses in
the history, if the loss is a mean over examples. What is not: layers that look at a whole batch (batch norm) see each
process's part of it, and random numbers drawn inside the model (dropout) or for it (the noise of a GAN) are others,
different in every process.
`DistributedDataParallel` does the same averaging, but wraps the model: losses here ask it for more than its outputs.
"""

import os

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
    """The main process's value, of anything that can be pickled, in every process."""
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
    """This process's part of a batch, a tensor or a tuple or list of them: every n-th example. A batch with fewer
    examples than there are processes, such as the last one of an epoch, goes to each of them whole: the mean of their
    gradients is then that of the batch, too.
    """
    if count() == 1:
        return batch
    if isinstance(batch, (tuple, list)):
        return type(batch)(share(item) for item in batch)
    if not isinstance(batch, torch.Tensor) or len(batch) < count():
        return batch
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


def means(numbers):
    """A dict of numbers, each one's mean over all processes; every process's part of a batch counts alike."""
    if count() == 1:
        return numbers
    parts = [None] * count()
    distributed.all_gather_object(parts, numbers)
    return {name: sum(part[name] for part in parts) / len(parts) for name in numbers}


def own_generator(generator, seed, epoch):
    """For noise that is another in every process, the same after an interruption; alone, the generator itself."""
    if count() == 1:
        return generator
    return torch.Generator().manual_seed(hash((seed, epoch, distributed.get_rank())))
