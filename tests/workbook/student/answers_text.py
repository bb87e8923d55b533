"""Answers to the items of notebook 04: right ones that are built differently, and the classic mistakes."""

ONE_HOT_BY_COMPARISON = """
import os
import numpy as np

def char_to_one_hot(character, alphabet):
    same = np.array([other == character for other in alphabet])
    if not same.any():
        raise ValueError(f"{character!r} is not in the alphabet")
    return same.astype(np.float32)

def txt_to_numpy(path, out_dir, length=100, progress=True):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    alphabet = list(dict.fromkeys(text))
    os.makedirs(out_dir, exist_ok=True)
    for name in os.listdir(out_dir):
        os.remove(os.path.join(out_dir, name))
    k = 0
    while (k + 1) * length <= len(text):
        vectors = [char_to_one_hot(c, alphabet) for c in text[k * length : (k + 1) * length]]
        np.save(os.path.join(out_dir, "sample_%04d.npy" % k), np.stack(vectors))
        k += 1
    np.save(os.path.join(out_dir, "alphabet"), alphabet)
    return k
"""

ONE_HOT_BY_EYE = """
from pathlib import Path
import numpy as np
from lib.datasets.text import read_text

def char_to_one_hot(character, alphabet):
    return np.eye(len(alphabet), dtype="float32")[list(alphabet).index(character)]

def txt_to_numpy(path, out_dir, length=100, progress=True):
    text = read_text(path, minimum=length)
    alphabet, out = sorted(set(text), reverse=True), Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.npy"):
        old.unlink()
    numbers = np.array([alphabet.index(c) for c in text[: len(text) // length * length]])
    samples = np.eye(len(alphabet), dtype=np.float32)[numbers].reshape(-1, length, len(alphabet))
    for number, sample in enumerate(samples):
        np.save(out / f"sample_{str(number).zfill(4)}.npy", sample)
    np.save(out / "alphabet.npy", np.array(alphabet))
    return len(samples)
"""

# Everything from scratch; the state is simply the text so far, which is read again.
ALL_READ_AGAIN = """
class CharLSTM(nn.Module):
    def __init__(self, alphabet_size, hidden_size=256, num_layers=1, dropout=0.0):
        super().__init__()
        self.A, self.n, self.L = alphabet_size, hidden_size, num_layers
        sizes = [alphabet_size] + [hidden_size] * num_layers
        self.cells = nn.ModuleList(nn.LSTMCell(a, b) for a, b in zip(sizes, sizes[1:]))
        self.last = nn.Linear(hidden_size, alphabet_size)

    def forward(self, tokens, state=None):
        x = F.one_hot(tokens, self.A).float().transpose(0, 1)
        zero = torch.zeros(tokens.shape[0], self.n)
        state = [(zero, zero)] * self.L if state is None else list(state)
        logits = []
        for row in x:
            for k, cell in enumerate(self.cells):
                state[k] = cell(row, state[k])
                row = state[k][0]
            logits.append(self.last(row))
        return torch.stack(logits, 1), state

class CharTCN(nn.Module):
    def __init__(self, alphabet_size, hidden_size=160, dilations=(1, 2, 4, 8), kernel_size=2, dropout=0.0):
        super().__init__()
        self.embed, self.k, self.d = nn.Embedding(alphabet_size, hidden_size), kernel_size, list(dilations)
        self.convs = nn.ModuleList(nn.Conv1d(hidden_size, hidden_size, kernel_size, dilation=d) for d in dilations)
        self.last = nn.Conv1d(hidden_size, alphabet_size, 1)

    @property
    def receptive_field(self):
        return sum(self.d) * (self.k - 1) + 1

    def forward(self, tokens, state=None):
        read = tokens if state is None else torch.cat([state, tokens], 1)
        x = self.embed(read).transpose(1, 2)
        for conv, d in zip(self.convs, self.d):
            x = x + torch.tanh(conv(F.pad(x, ((self.k - 1) * d, 0))))
        return self.last(x).transpose(1, 2)[:, -tokens.shape[1] :], read

class Block(nn.Module):
    def __init__(self, E, heads, ff, rotary):
        super().__init__()
        self.h, self.rotary = heads, rotary
        self.one, self.two = nn.LayerNorm(E), nn.LayerNorm(E)
        self.q, self.k, self.v, self.o = (nn.Linear(E, E) for _ in range(4))
        self.ff = nn.Sequential(nn.Linear(E, ff), nn.GELU(), nn.Linear(ff, E))

    def turn(self, x):
        D = x.shape[-1]
        angle = torch.arange(x.shape[2])[:, None] / 100 ** (torch.arange(0, D, 2) / D)
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1).flatten(-2)

    def forward(self, x, mask):
        y = self.one(x)
        q, k, v = [f(y).view(*y.shape[:2], self.h, -1).transpose(1, 2) for f in (self.q, self.k, self.v)]
        if self.rotary:
            q, k = self.turn(q), self.turn(k)
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask, -math.inf)
        x = x + self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return x + self.ff(self.two(x))

class CharTransformer(nn.Module):
    def __init__(self, alphabet_size, width=128, num_layers=2, num_heads=4, ff_size=512, context=64,
                 positions="rotary", dropout=0.0):
        super().__init__()
        self.C, self.embed = context, nn.Embedding(alphabet_size, width)
        self.place = nn.Parameter(torch.randn(context, width)) if positions == "learned" else None
        self.blocks = nn.ModuleList(Block(width, num_heads, ff_size, positions == "rotary") for _ in range(num_layers))
        self.last = nn.Linear(width, alphabet_size)

    def forward(self, tokens, state=None):
        read = tokens if state is None else torch.cat([state, tokens], 1)
        x, T = self.embed(read), read.shape[1]
        if self.place is not None:
            x = x + self.place[:T]
        ones = torch.ones(T, T, dtype=torch.bool)
        mask = ones.tril(0) & ones.triu(1 - self.C)
        for block in self.blocks:
            x = block(x, mask)
        return self.last(x)[:, -tokens.shape[1] :], read
"""

# With torch's layers and the library's parts; every layer carries what it needs.
WITH_PARTS = """
from lib.models.text import CausalLayer, TransformerBlock

class CharLSTM(nn.Module):
    def __init__(self, A, hidden_size=256, num_layers=1, dropout=0.0):
        super().__init__()
        self.rows, self.net = nn.Embedding(A, 5), nn.LSTM(5, hidden_size, num_layers)
        self.w = nn.Parameter(torch.randn(A, hidden_size) / hidden_size**0.5)

    def forward(self, tokens, state=None):
        h, state = self.net(self.rows(tokens.T), state)
        return torch.einsum("tbh,ah->bta", h, self.w), {"h": state[0], "c": state[1]} and state

class CharTCN(nn.Module):
    def __init__(self, A, hidden_size=160, dilations=(1, 2), kernel_size=2, dropout=0.0):
        super().__init__()
        self.start, self.body = nn.Embedding(A, hidden_size), nn.ModuleList()
        for dilation in dilations:
            self.body.append(CausalLayer(hidden_size, kernel_size, dilation))
        self.end = nn.Linear(hidden_size, A)
        self.reach = [(kernel_size - 1) * dilation for dilation in dilations]

    @property
    def receptive_field(self):
        return 1 + sum(self.reach)

    def forward(self, tokens, state=None):
        x = self.start(tokens)
        kept = list(state) if state else [torch.zeros(len(x), r, x.shape[2]) for r in self.reach]
        for k, layer in enumerate(self.body):
            x, kept[k] = layer(x, kept[k])
        return self.end(x), kept

class CharTransformer(nn.Module):
    def __init__(self, A, width=128, num_layers=2, num_heads=4, ff_size=512, context=64, positions="rotary"):
        super().__init__()
        self.start, self.end = nn.Embedding(A, width), nn.Linear(width, A)
        self.where = nn.Embedding(context, width) if positions == "learned" else None
        options = width, num_heads, ff_size, context, positions == "rotary"
        self.body = nn.ModuleList([TransformerBlock(*options) for _ in range(num_layers)])

    def forward(self, tokens, state=None):
        done, kept = state if state else (0, [None] * len(self.body))
        x, kept = self.start(tokens), list(kept)
        if self.where is not None:
            x = x + self.where.weight[done : done + tokens.shape[1]]
        for k, block in enumerate(self.body):
            x, kept[k] = block(x, kept[k], done)
        return self.end(x), (done + tokens.shape[1], kept)
"""

RIGHT = {
    "X1": {"by comparison": ONE_HOT_BY_COMPARISON, "by the unit matrix": ONE_HOT_BY_EYE},
    "X2": {"all from scratch, read again": ALL_READ_AGAIN, "with the library's parts": WITH_PARTS},
}


def instead(text, old, new):
    """A right answer with one thing in it written otherwise."""
    assert old in text, f"no {old}"
    return text.replace(old, new)


MISTAKES = [
    ("X1", "one too wide", [("np.zeros(len(alphabet),", "np.zeros(len(alphabet) + 1,")], "not one more or less"),
    ("X1", "a fixed width", [("np.zeros(len(alphabet),", "np.zeros(128,")], "no fixed one"),
    (
        "X1",
        "the place in the sorted alphabet",
        instead(ONE_HOT_BY_EYE, "list(alphabet).index", "sorted(alphabet).index"),
        "the place in the sorted alphabet",
    ),
    ("X1", "float64", [(", dtype=np.float32", "")], "NumPy's own type is float64"),
    (
        "X1",
        "characters that are not there get zeros",
        instead(ONE_HOT_BY_COMPARISON, "if not same.any():", "if False:"),
        "has no vector",
    ),
    (
        "X1",
        "time comes last",
        [('_save(folder / f"sample', 'sample = sample.T\n        _save(folder / f"sample')],
        "time comes first",
    ),
    (
        "X1",
        "an alphabet for each sample",
        instead(
            ONE_HOT_BY_COMPARISON,
            "char_to_one_hot(c, alphabet) for",
            "char_to_one_hot(c, sorted(set(text[k * length : (k + 1) * length]))) for",
        ),
        "share the alphabet of the whole text",
    ),
    (
        "X1",
        "another order in the file",
        instead(ONE_HOT_BY_COMPARISON, '"alphabet"), alphabet)', '"alphabet"), sorted(alphabet))'),
        "stored in another order",
    ),
    (
        "X1",
        "samples overlap",
        instead(ONE_HOT_BY_COMPARISON, "text[k * length : (k + 1) * length]", "text[k : k + length]"),
        "overlap",
    ),
    (
        "X1",
        "the text is stripped",
        [("alphabet = alphabet_of(text)", "text = text.strip()\n    alphabet = alphabet_of(text)")],
        "the text is stripped",
    ),
    (
        "X1",
        "in lower case",
        [("alphabet = alphabet_of(text)", "text = text.lower()\n    alphabet = alphabet_of(text)")],
        "upper case stays",
    ),
    (
        "X1",
        "the rest is kept",
        instead(ONE_HOT_BY_COMPARISON, "while (k + 1) * length <= len(text)", "while k * length < len(text)"),
        "a rest that does not fill a sample",
    ),
    ("X1", "numbers without zeros", [("{number:04d}.npy", "{number}.npy")], "four digits"),
    ("X1", "old samples stay", [("old.unlink()", "pass")], "remove old samples"),
    ("X2", "the state of the LSTM is not carried", [("self.lstm(x, state)", "self.lstm(x)")], "is not carried on"),
    (
        "X2",
        "the state of the LSTM is not reset",
        [
            (
                "h, state = self.lstm(x, state)",
                "own = getattr(self, 'own', None)\n"
                "            if state is None and own is not None and own[0].shape[1] == len(x):\n"
                "                state = own\n"
                "            h, self.own = self.lstm(x, state)\n            state = self.own",
            )
        ],
        "the hidden state is kept from one call to the next",
    ),
    ("X2", "batch and time exchanged", [(", batch_first=True", "")], "axes of batch and time exchanged"),
    (
        "X2",
        "an LSTM in both directions",
        instead(
            instead(
                WITH_PARTS,
                "nn.LSTM(5, hidden_size, num_layers)",
                "nn.LSTM(5, hidden_size, num_layers, bidirectional=True)",
            ),
            "torch.randn(A, hidden_size)",
            "torch.randn(A, 2 * hidden_size)",
        ),
        "in both directions",
    ),
    (
        "X2",
        "a softmax at the end",
        instead(WITH_PARTS, 'self.w), {"h"', 'self.w).softmax(2), {"h"'),
        "belongs to the loss",
    ),
    (
        "X2",
        "padding at the back",
        instead(ALL_READ_AGAIN, "((self.k - 1) * d, 0)", "(0, (self.k - 1) * d)"),
        "the padding is at the back",
    ),
    (
        "X2",
        "the dilation is ignored",
        instead(ALL_READ_AGAIN, "kernel_size, dilation=d)", "kernel_size)").replace(
            "(self.k - 1) * d, 0", "self.k - 1, 0"
        ),
        "the dilation is ignored",
    ),
    (
        "X2",
        "the TCN begins anew",
        instead(WITH_PARTS, "list(state) if state else [torch.zeros(len(x)", "[torch.zeros(len(x)"),
        "is not carried on",
    ),
    (
        "X2",
        "one step too few kept",
        instead(
            ALL_READ_AGAIN,
            "[:, -tokens.shape[1] :], read\n\nclass Block",
            "[:, -tokens.shape[1] :], read[:, 1 - self.receptive_field + 1 :]\n\nclass Block",
        ),
        "the last inputs of its own",
    ),
    ("X2", "no causal mask", instead(ALL_READ_AGAIN, "ones.tril(0)", "ones"), "there is no causal mask"),
    (
        "X2",
        "the mask lets one character through",
        instead(ALL_READ_AGAIN, "ones.tril(0)", "ones.tril(1)"),
        "one character ahead",
    ),
    (
        "X2",
        "the mask hides the character itself",
        instead(ALL_READ_AGAIN, "ones.tril(0)", "ones.tril(-1)"),
        "the diagonal belongs to what is seen",
    ),
    (
        "X2",
        "the context is ignored",
        instead(ALL_READ_AGAIN, "ones.tril(0) & ones.triu(1 - self.C)", "ones.tril(0)"),
        "older than the context",
    ),
    (
        "X2",
        "the context is one too short",
        instead(ALL_READ_AGAIN, "ones.triu(1 - self.C)", "ones.triu(2 - self.C)"),
        "counts the asking character itself",
    ),
    (
        "X2",
        "positions begin anew",
        [("torch.arange(start, end, device=tokens.device)", "torch.arange(end - start, device=tokens.device)")],
        "the positions begin at 0 again",
    ),
    (
        "X2",
        "positions that are not used",
        [("x = x + self.place(", "x = x + 0 * self.place(")],
        "the positions are made and not used",
    ),
]
