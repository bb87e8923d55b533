"""Our recurrent layers against torch's: a training step on one-hot digits, the target at the last step."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lib.datasets.palindromes import PalindromeDataset
from lib.models import FusedLSTM, VanillaLSTM, VanillaRNN
from lib.workbook.bench import training_step

BATCH, HIDDEN, DIGITS = 128, 128, 10
ROUNDS = {20: 30, 100: 10}  # length of the sequence -> rounds
FAMILIES = {  # ours, torch's, gates, largest ratio with one thread and with several
    "RNN": (VanillaRNN, nn.RNN, 1, 1.1, 1.1),
    "LSTM": (VanillaLSTM, nn.LSTM, 4, 1.3, 1.8),
    "LSTM, fused": (FusedLSTM, nn.LSTM, 4, 1.15, 1.5),
}

TITLE = f"One training step, batch {BATCH}, hidden size {HIDDEN}, one-hot digits, torch {torch.__version__}"
SIZE = "T"
NOTES = {
    "products alone": lambda row: f"{row['floor_ms']:.1f} ms",
    "sampling a batch": lambda row: f"{100 * row['sampling_ms'] / row['ours_ms']:.1f} % of a step",
}


class Torch(nn.Module):
    """`nn.RNN` or `nn.LSTM` and `nn.Linear` on the last step."""

    def __init__(self, layer):
        super().__init__()
        self.recurrent = layer(DIGITS, HIDDEN, batch_first=True)
        self.linear = nn.Linear(HIDDEN, DIGITS)

    def forward(self, x):
        return self.linear(self.recurrent(x)[0][:, -1])


def matrix_products(gates, length):
    """What nobody can do without: per step the product of state and weight, and the two of its gradient."""
    h, weight = torch.randn(BATCH, HIDDEN), torch.randn(HIDDEN, gates * HIDDEN)
    gradient = torch.randn(BATCH, gates * HIDDEN)

    def products():
        for _ in range(length):
            torch.mm(h, weight)
            torch.mm(gradient, weight.t())
            torch.mm(h.t(), gradient)

    return products


def sampler(length):
    """A call that draws one batch of palindromes."""
    dataset, generator = PalindromeDataset(length), torch.Generator().manual_seed(0)
    return lambda: dataset.sample(BATCH, generator)


def cases():
    """One for each length and family."""
    for length, rounds in ROUNDS.items():
        generator = torch.Generator().manual_seed(0)
        x = torch.eye(DIGITS)[torch.randint(DIGITS, (BATCH, length), generator=generator)]  # (B, T, I), one-hot
        y = torch.randint(DIGITS, (BATCH,), generator=generator)

        def loss(model, x=x, y=y):
            return cross_entropy(model(x), y)

        for family, (ours, theirs, gates, *targets) in FAMILIES.items():
            contenders = {
                "ours": training_step(ours(DIGITS, HIDDEN, DIGITS), loss),
                "torch": training_step(Torch(theirs), loss),
                "floor": matrix_products(gates, length),
                "sampling": sampler(length),
            }
            target = targets[torch.get_num_threads() > 1]
            case = {"model": family, "T": length, "batch": BATCH, "hidden": HIDDEN}
            yield case | {"rounds": rounds, "target": target, "contenders": contenders}
