"""The U-Net on 32 × 32 pictures: channels-last with our depthwise gradients, against plain torch."""

import torch
from torch import nn

from lib.models import PaddedConv2d, UNet
from lib.workbook.bench import training_step

TITLE = "One training step of the U-Net, 32 × 32 pictures: channels-last with our depthwise gradients against plain"
SIZE = "batch"
UNET = ([16, 32, 64], [2, 2], [1, 1, 1])  # its lists
TARGET = 0.5  # of the plain step


class PlainConv2d(nn.Conv2d):
    """What stands for `PaddedConv2d` in the plain U-Net: torch's convolution with its own padding and gradients."""

    def __init__(self, own):
        padding = own.width
        super().__init__(own.in_channels, own.out_channels, own.kernel_size, padding=padding, groups=own.groups)


def plain_unet():
    """The same U-Net in torch's default memory layout, with torch's own depthwise convolutions."""
    model = UNet(2, 1, *UNET).to(memory_format=torch.contiguous_format)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, PaddedConv2d):
                setattr(module, name, PlainConv2d(child))
    model.stem.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return model


def cases():
    """One for each size of the batch."""
    for batch in (4, 32):
        torch.manual_seed(0)
        ours, plain = UNet(2, 1, *UNET), plain_unet()
        for model in (ours, plain):
            nn.init.normal_(model.head.weight)  # it starts at zero, which would leave most gradients zero
        x = torch.randn(batch, 2, 32, 32)

        def loss(model, x=x):
            return model(x).square().mean()

        contenders = {"ours": training_step(ours, loss), "torch": training_step(plain, loss)}
        yield {"model": "U-Net", "batch": batch, "rounds": 12, "target": TARGET, "contenders": contenders}
