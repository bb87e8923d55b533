"""The speed of our layers, as ratios to torch's own: `python -m lib.bench [--json FILE]`.

Times depend on the machine, ratios much less. All contenders are therefore timed in turn, round after round in one
process, and a ratio is the median over the rounds of (our time / torch's time in the same round).
"""

import argparse
import json
import os
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lib.models import PaddedConv2d, SelfAttentionLayer, UNet, VanillaLSTM, VanillaRNN

BATCH, HIDDEN, DIGITS = 128, 128, 10
ROUNDS = {20: 30, 100: 10}  # length of the sequence -> rounds
UNET = ([16, 32, 64], [2, 2], [1, 1, 1])  # the lists of the U-Net that is timed; the target is half of the plain step
FAMILIES = {"RNN": (VanillaRNN, nn.RNN, 1, 1.1), "LSTM": (VanillaLSTM, nn.LSTM, 4, 1.3)}  # ..., gates, largest ratio


class Torch(nn.Module):
    """`nn.RNN` or `nn.LSTM` and `nn.Linear` on the last step."""

    def __init__(self, layer):
        super().__init__()
        self.recurrent = layer(DIGITS, HIDDEN, batch_first=True)
        self.linear = nn.Linear(HIDDEN, DIGITS)

    def forward(self, x):
        return self.linear(self.recurrent(x)[0][:, -1])


def training_step(model, x, y):
    """Forward and backward of the cross-entropy at the last step; the optimiser is the same for all and left out."""

    def step():
        model.zero_grad(set_to_none=True)
        cross_entropy(model(x), y).backward()

    return step


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


def time_in_turn(contenders, rounds):
    """{name: call} -> {name: [seconds, ...]}, one per round. An untimed call comes before each, for the caches."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            call()
            start = perf_counter()
            call()
            times[name].append(perf_counter() - start)
    return times


def sampler(length):
    """A call that draws one batch of palindromes, or None where the data set is missing."""
    try:
        from lib.datasets.palindromes import PalindromeDataset
    except ImportError as error:
        print(f"The cost of sampling is left out: {error}")
        return None
    dataset, generator = PalindromeDataset(length), torch.Generator().manual_seed(0)
    return lambda: dataset.sample(BATCH, generator)


def measure(threads):
    """One dictionary of numbers for each length and family, with `threads` threads."""
    torch.set_num_threads(threads)
    rows = []
    for length, rounds in ROUNDS.items():
        generator = torch.Generator().manual_seed(0)
        x = torch.eye(DIGITS)[torch.randint(DIGITS, (BATCH, length), generator=generator)]  # (B, T, I), one-hot
        y = torch.randint(DIGITS, (BATCH,), generator=generator)
        for family, (ours, theirs, gates, target) in FAMILIES.items():
            contenders = {
                "ours": training_step(ours(DIGITS, HIDDEN, DIGITS), x, y),
                "torch": training_step(Torch(theirs), x, y),
                "floor": matrix_products(gates, length),
            }
            if sample := sampler(length):
                contenders["sampling"] = sample
            times = time_in_turn(contenders, rounds)
            row = {"threads": threads, "T": length, "model": family}
            row |= {f"{name}_ms": 1e3 * median(values) for name, values in times.items()}
            row["ratio"] = median(a / b for a, b in zip(times["ours"], times["torch"], strict=True))
            rows.append(row | {"target": target})
    return rows


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


class TorchAttention(nn.MultiheadAttention):
    """Self-attention of torch with the interface of ours."""

    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


def measure_pair(threads, ours, theirs, x, rounds=12):
    """Time a training step of two modules on the same input: milliseconds of both, and their ratio."""
    torch.set_num_threads(threads)

    def step(model):
        def step():
            model.zero_grad(set_to_none=True)
            model(x).square().mean().backward()

        return step

    times = time_in_turn({"ours": step(ours), "torch": step(theirs)}, rounds)
    row = {"threads": threads, "batch": len(x)} | {f"{name}_ms": 1e3 * median(values) for name, values in times.items()}
    return row | {"ratio": median(a / b for a, b in zip(times["ours"], times["torch"], strict=True))}


def measure_unet(threads, batch):
    """The U-Net on 32 × 32 pictures, ours and plain."""
    torch.manual_seed(0)
    models = UNet(2, 1, *UNET), plain_unet()
    for model in models:
        nn.init.normal_(model.head.weight)  # it starts at zero, which would leave most gradients zero
    return measure_pair(threads, *models, torch.randn(batch, 2, 32, 32)) | {"model": "U-Net", "target": 0.5}


def measure_attention(threads, fused, batch=4):
    """Self-attention among the 270 tokens of three frames, ours and torch's."""
    torch.manual_seed(0)
    name = "fused" if fused else "written out"
    pair = SelfAttentionLayer(256, 4, fused), TorchAttention(256, 4, batch_first=True)
    return measure_pair(threads, *pair, torch.randn(batch, 270, 256)) | {"model": name, "target": 1.1 if fused else 1.5}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    arguments = parser.parse_args()

    print(f"One training step, batch {BATCH}, hidden size {HIDDEN}, one-hot digits, torch {torch.__version__}")
    print("threads    T  model     ours    torch    ratio   target   products alone   sampling a batch")
    default = torch.get_num_threads()
    rows = []
    for threads in sorted({1, default}):
        for row in measure(threads):
            rows.append(row)
            sampling = (
                f"{100 * row['sampling_ms'] / row['ours_ms']:10.1f} %" if "sampling_ms" in row else "           -"
            )
            print(
                f"{threads:7d} {row['T']:4d}  {row['model']:<5}{row['ours_ms']:6.1f} ms {row['torch_ms']:5.1f} ms"
                f"   {row['ratio']:5.2f}   ≤ {row['target']}  {row['floor_ms']:11.1f} ms     {sampling} of a step"
            )
    unet = (
        "the U-Net, 32 × 32 pictures: channels-last with our depthwise gradients against plain",
        measure_unet,
        (4, 32),
    )
    attention = "self-attention, 270 tokens, 4 heads of 64: ours against torch's", measure_attention, (True, False)
    for title, timed, variants in (unet, attention):
        print(f"One training step of {title}\nthreads  batch  model            ours    torch    ratio   target")
        for threads in sorted({1, default}):
            for variant in variants:
                row = timed(threads, variant)
                rows.append(row)
                print(
                    f"{threads:7d} {row['batch']:6d}  {row['model']:<12}{row['ours_ms']:7.1f} ms"
                    f" {row['torch_ms']:6.1f} ms   {row['ratio']:5.2f}   ≤ {row['target']}"
                )
    torch.set_num_threads(default)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"Load during the last minute: {load}. Other programs spoil the rows with more than one thread.")
    if arguments.json:
        numbers = {"torch": torch.__version__, "batch": BATCH, "hidden": HIDDEN, "rows": rows}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
