"""Self-attention among the 270 tokens of three frames: ours, fused and written out, against torch's."""

import torch
from torch import nn

from lib.models import SelfAttentionLayer
from lib.workbook.bench import training_step

TITLE = "One training step of self-attention, 270 tokens, 4 heads of 64: ours against torch's"
SIZE = "batch"
BATCH, TOKENS, FEATURES, HEADS = 4, 270, 256, 4


class TorchAttention(nn.MultiheadAttention):
    """Self-attention of torch with the interface of ours."""

    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


def cases():
    """One for each way of computing it."""
    for name, fused, target in (("fused", True, 1.1), ("written out", False, 1.5)):
        torch.manual_seed(0)
        ours, theirs = SelfAttentionLayer(FEATURES, HEADS, fused), TorchAttention(FEATURES, HEADS, batch_first=True)
        x = torch.randn(BATCH, TOKENS, FEATURES)

        def loss(model, x=x):
            return model(x).square().mean()

        contenders = {"ours": training_step(ours, loss), "torch": training_step(theirs, loss)}
        yield {"model": name, "batch": BATCH, "rounds": 12, "target": target, "contenders": contenders}
