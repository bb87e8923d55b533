"""How a training computes, where a profile chooses (`arithmetic: [bfloat16, channels_last]` among a notebook's values).

`bfloat16`: products of the forward pass in bfloat16, by torch's autocast; weights, gradients, the optimiser and the
validation stay in float32. `channels_last`: pictures, and the weights of convolutions on them, in the order of memory
that a GPU's convolutions are fastest in. Nothing is chosen unless a profile says so. Results depend on what is chosen,
so the settings under which they are stored say it.
"""

import os

import torch

CHOICES = ("bfloat16", "channels_last")
VARIABLE = "WORKBOOK_ARITHMETIC"  # is set by `lib.workbook.notebooks.set_environment`


def chosen():
    """What of `CHOICES` is chosen, in their order."""
    words = os.environ.get(VARIABLE, "").split()
    return [choice for choice in CHOICES if choice in words]


def as_setting():
    """What is chosen as a setting of a training; empty if nothing is."""
    return {"computed_in": ", ".join(chosen())} if chosen() else {}


def forward(device):
    """A context for the forward pass of a training step."""
    return torch.autocast(device.type, torch.bfloat16, enabled="bfloat16" in chosen())


def arranged(batch):
    """A batch, or a model, in the order of memory that is chosen; tensors of other than four dimensions as they are."""
    if "channels_last" not in chosen():
        return batch
    if isinstance(batch, (tuple, list)):
        return type(batch)(map(arranged, batch))
    if isinstance(batch, torch.nn.Module):
        return batch.to(memory_format=torch.channels_last)
    pictures = isinstance(batch, torch.Tensor) and batch.dim() == 4
    return batch.contiguous(memory_format=torch.channels_last) if pictures else batch
