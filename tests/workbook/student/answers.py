"""Answers as students might write them: right ones that are built differently, and the classic mistakes."""

HEAD = """import math
import torch
import torch.nn.functional as F
from torch import nn
"""

RNN_BY_COLUMNS = """
class VanillaRNN(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.A = nn.Parameter(torch.randn(input_size + hidden_size, hidden_size) / hidden_size**0.5)
        self.one, self.two = nn.Parameter(torch.randn(hidden_size)), nn.Parameter(torch.randn(hidden_size))
        self.out = nn.Parameter(torch.randn(hidden_size + 1, num_classes))

    def forward(self, x, return_states=False):
        h, states = torch.zeros(x.shape[0], self.A.shape[1]), []
        for t in range(x.shape[1]):
            h = torch.tanh(torch.cat([x[:, t], h], 1) @ self.A + self.one + self.two)
            states += [h]
        p = h @ self.out[:-1] + self.out[-1]
        return (p, tuple(states)) if return_states else p
"""

LSTM_BY_LISTS = """
class VanillaLSTM(nn.Module):
    def __init__(self, n_in, n, n_out, forget_bias=1.0):
        super().__init__()
        self.U = nn.ParameterList([nn.Parameter(torch.randn(n_in, n) / n) for _ in range(4)])
        self.V = nn.ParameterList([nn.Parameter(torch.randn(n, n) / n) for _ in range(4)])
        self.b = nn.ParameterList([nn.Parameter(torch.randn(n)) for _ in range(4)])
        self.last, self.bias = nn.Parameter(torch.randn(n_out, n)), nn.Parameter(torch.zeros(n_out))

    def forward(self, x, return_states=False):
        h = torch.zeros(len(x), self.V[0].shape[0])
        c, hs, cs = torch.zeros_like(h), [], []
        for t in range(x.shape[1]):
            o, f, g, i = [x[:, t] @ U + h @ V + b for U, V, b in zip(self.U, self.V, self.b)]
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hs.append(h), cs.append(c)
        p = h @ self.last.T + self.bias
        return (p, (hs, cs)) if return_states else p
"""

RNN_TWO_LAYERS = """
class RNNCell(nn.Module):
    def __init__(self, n_in, n):
        super().__init__()
        self.from_input, self.from_state = nn.Linear(n_in, n), nn.Linear(n, n, bias=False)

    def forward(self, x, h):
        return (self.from_state(h) + self.from_input(x)).tanh()
"""
RNN_BY_PRODUCTS = """
class RNNCell(nn.Module):
    def __init__(self, n_in, n):
        super().__init__()
        self.both = nn.Linear(n + n_in, n)

    def forward(self, x, h):
        W = self.both.weight
        a = h @ W[:, : h.shape[1]].T + x @ W[:, h.shape[1] :].T + self.both.bias
        return 1 - 2 / (torch.exp(2 * a) + 1)
"""
RNN = """
class RNN(nn.Module):
    def __init__(self, n_in, n, n_out, cell=RNNCell):
        super().__init__()
        self.n, self.step, self.read = n, cell(n_in, n), nn.Linear(n, n_out)

    def forward(self, x, return_states=False):
        states = [torch.zeros(len(x), self.n)]
        for t in range(x.shape[1]):
            states.append(self.step(x[:, t], states[-1]))
        out = self.read(states[-1])
        return (out, states[1:]) if return_states else out
"""

LSTM = """
class LSTM(nn.Module):
    def __init__(self, input_size, hidden_size, output_size, cell=LSTMCell, forget_bias=None):
        super().__init__()
        self.n, self.step, self.read = hidden_size, cell(input_size, hidden_size), nn.Linear(hidden_size, output_size)

    def forward(self, x, return_states=False):
        state, hs, cs = (torch.zeros(len(x), self.n), torch.zeros(len(x), self.n)), [], []
        for t in range(x.size(1)):
            state = self.step(x[:, t], state)
            hs.append(state[0]), cs.append(state[1])
        out = self.read(state[0])
        return (out, (tuple(hs), tuple(cs))) if return_states else out
"""

CELL_OTHER_ORDER = """
class LSTMCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.everything = nn.Linear(hidden_size + input_size, 4 * hidden_size)

    def forward(self, x, state):
        h, c = state
        o, g, f, i = torch.split(self.everything(torch.cat((h, x), 1)), h.shape[1], dim=1)
        c = c * torch.sigmoid(f) + torch.tanh(g) * torch.sigmoid(i)
        return torch.tanh(c) * torch.sigmoid(o), c
"""

CELL_INTERLEAVED = """
class LSTMCell(nn.Module):
    def __init__(self, d, n):
        super().__init__()
        self.n, self.W = n, nn.Linear(d + n, 4 * n)
        nn.init.orthogonal_(self.W.weight)

    def forward(self, inputs, hc):
        a = self.W(torch.cat([inputs, hc[0]], dim=-1)).view(-1, self.n, 4)
        i, f, o = a[..., :3].sigmoid().unbind(-1)
        c = f * hc[1] + i * a[..., 3].tanh()
        return (o * c.tanh(), c)
"""

CELL_BY_SLICES = """
class LSTMCell(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden, self.layer = hidden_size, nn.Linear(input_size + hidden_size, 4 * hidden_size)

    def gate(self, z, k):
        return self.layer(z)[:, k * self.hidden : (k + 1) * self.hidden]

    def forward(self, x, state):
        z = torch.cat([x, state[0]], 1)
        share = lambda k: 1 / (1 + torch.exp(-self.gate(z, k)))
        c = share(3) * state[1] + share(1) * (2 / (1 + torch.exp(-2 * self.gate(z, 0))) - 1)
        return [share(2) * torch.tanh(c), c]
"""

CONV_BY_INDEX = """
class Conv1d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, stride=3, dilation=1):
        super().__init__()
        self.k, self.s, self.d = kernel_size, stride, dilation
        self.mix = nn.Linear(kernel_size * in_channels, out_channels)

    def forward(self, x):
        length = (x.shape[2] - (self.k - 1) * self.d - 1) // self.s + 1
        index = torch.arange(length)[:, None] * self.s + torch.arange(self.k) * self.d
        rows = x[:, :, index].permute(0, 2, 3, 1).reshape(len(x), length, -1)
        return self.mix(rows).permute(0, 2, 1)
"""

CONV_BY_UNFOLD = """
class Conv1d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, stride=3, dilation=1):
        super().__init__()
        self.how = {"kernel_size": (1, kernel_size), "stride": (1, stride), "dilation": (1, dilation)}
        self.layer = nn.Linear(in_channels * kernel_size, out_channels)

    def forward(self, x):
        return self.layer(F.unfold(x[:, :, None], **self.how).transpose(1, 2)).transpose(1, 2)
"""

CONV_BY_STRIDES = """
class Conv1d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, stride=3, dilation=1):
        super().__init__()
        self.sizes = kernel_size, stride, dilation
        self.layer = nn.Linear(in_channels * kernel_size, out_channels)

    def forward(self, x):
        (B, C, T), (K, S, D), x = x.shape, self.sizes, x.contiguous()
        L, (b, c, t) = (T - (K - 1) * D - 1) // S + 1, x.stride()
        rows = torch.as_strided(x, (B, L, C, K), (b, t * S, c, t * D)).reshape(B, L, C * K)
        return torch.einsum("blk,ok->bol", rows, self.layer.weight) + self.layer.bias[:, None]
"""

TCN = """
class TCN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size, sequence_length):
        super().__init__()
        depth = max(1, math.ceil(round(math.log(sequence_length, 3), 9)))
        sizes = [input_size, *[hidden_size] * (depth - 1), output_size]
        self.body = nn.ModuleList([Conv1d(sizes[k], sizes[k + 1], 3, 3) for k in range(depth)])

    def forward(self, x):
        x = x.permute(0, 2, 1)
        for k, layer in enumerate(self.body):
            x = nn.ConstantPad1d((0, (3 - x.shape[2] % 3) % 3), 0.0)(x)
            x = layer(x if k == 0 else x.relu())
        return x[:, :, 0]
"""

TCN_PADDED_ONCE = """
class TCN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size, sequence_length):
        super().__init__()
        self.length, sizes = 3, [input_size]
        while self.length < sequence_length:
            self.length, sizes = 3 * self.length, sizes + [hidden_size]
        sizes.append(output_size)
        layers = [part for a, b in zip(sizes, sizes[1:]) for part in (Conv1d(a, b), nn.LeakyReLU())]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, x):
        x = torch.cat([x, torch.zeros(len(x), self.length - x.shape[1], x.shape[2])], dim=1)
        return self.net(x.transpose(1, 2)).flatten(1)
"""

ATTENTION_JOINED = """
class SelfAttentionLayer(nn.Module):
    def __init__(self, embed_size, num_heads, fused=False):
        super().__init__()
        self.h, self.qkv = num_heads, nn.Linear(embed_size, 3 * embed_size)
        self.proj = nn.Linear(embed_size, embed_size)

    def both(self, x):
        B, N, E = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.h, E // self.h).permute(2, 0, 3, 1, 4)
        return torch.softmax(q @ k.mT * (E // self.h) ** -0.5, -1), v

    def attention(self, x, angles=None):
        return self.both(x)[0]

    def forward(self, x, last=None, angles=None):
        a, v = self.both(x)
        out = self.proj((a @ v).transpose(1, 2).reshape(x.shape))
        return out if last is None else out[:, -last:]
"""

ATTENTION_BY_HEADS = """
class SelfAttentionLayer(nn.Module):
    def __init__(self, embed_size, num_heads, fused=False):
        super().__init__()
        D = embed_size // num_heads
        three = lambda: nn.ModuleList([nn.Linear(embed_size, D) for _ in range(3)])
        self.parts = nn.ModuleList([three() for _ in range(num_heads)])
        self.last = nn.Linear(embed_size, embed_size)

    def one(self, x, part):
        q, k = part[0](x), part[1](x)
        scores = torch.einsum("bnd,bmd->bnm", q / math.sqrt(q.shape[2]), k)
        e = torch.exp(scores - scores.amax(2, keepdim=True))
        return e / e.sum(2, keepdim=True)

    def attention(self, x, angles=None):
        return torch.stack([self.one(x, part) for part in self.parts], 1)

    def forward(self, x, last=None, angles=None):
        out = self.last(torch.cat([self.one(x, part) @ part[2](x) for part in self.parts], 2))
        return out[:, -(last or x.shape[1]) :]
"""

ATTENTION_EINSUM = """
class SelfAttentionLayer(nn.Module):
    def __init__(self, E, H, fused=False):
        super().__init__()
        self.w = nn.ParameterList([nn.Parameter(torch.randn(E, H, E // H) / E**0.5) for _ in range(3)])
        self.b = nn.ParameterList([nn.Parameter(torch.zeros(H, 1, E // H)) for _ in range(3)])
        self.o, self.c = nn.Parameter(torch.randn(H, E // H, E) / E**0.5), nn.Parameter(torch.zeros(E))

    def qkv(self, x):
        return [torch.einsum("bne,ehd->bhnd", x, w) + b for w, b in zip(self.w, self.b)]

    def attention(self, x, angles=None):
        q, k, _ = self.qkv(x)
        return (torch.einsum("bhnd,bhmd->bhnm", q, k) / q.shape[-1] ** 0.5).softmax(-1)

    def forward(self, x, last=None, angles=None):
        out = torch.einsum("bhnm,bhmd,hde->bne", self.attention(x), self.qkv(x)[2], self.o) + self.c
        return out if last is None else out[:, -last:]
"""

PATCHES_BY_UNFOLD = """
class PatchEmbedding(nn.Module):
    def __init__(self, height, width, patch_size, embed_size, num_frames=3, positions="learned", start=0.3):
        super().__init__()
        self.p, self.h, self.w, self.T = patch_size, height, width, num_frames
        self.P, self.E = height * width // patch_size**2, embed_size
        self.proj = nn.Linear(patch_size**2, embed_size)
        if positions == "learned":
            self.pos = nn.Parameter(start * torch.randn(num_frames * self.P, embed_size))

    def to_patches(self, frames):
        B, T, H, W = frames.shape
        return F.unfold(frames.reshape(B * T, 1, H, W), self.p, stride=self.p).transpose(1, 2).reshape(B, T, self.P, -1)

    def to_frames(self, patches):
        B, T = patches.shape[:2]
        return F.fold(patches.flatten(0, 1).mT, (self.h, self.w), self.p, stride=self.p).view(B, T, self.h, self.w)

    def positions(self):
        return self.pos if hasattr(self, "pos") else torch.zeros(self.T * self.P, self.E)

    def forward(self, frames):
        tokens = self.proj(self.to_patches(frames)).flatten(1, 2)
        return tokens + self.positions()[: tokens.shape[1]]
"""

RIGHT = {  # item: {name: text}
    "P2": {"by columns, two biases": RNN_BY_COLUMNS},
    "P6": {"lists of matrices": LSTM_BY_LISTS},
    "T2": {"two layers": RNN_TWO_LAYERS + RNN, "by products": RNN_BY_PRODUCTS + RNN},
    "T3": {
        "gates in another order": CELL_OTHER_ORDER + LSTM,
        "interleaved gates": CELL_INTERLEAVED + LSTM,
        "by slices": CELL_BY_SLICES + LSTM,
    },
    "T4": {
        "by index": CONV_BY_INDEX + TCN,
        "by unfold": CONV_BY_UNFOLD + TCN,
        "by strides, padded once": CONV_BY_STRIDES + TCN_PADDED_ONCE,
    },
    "V1": {"joined": ATTENTION_JOINED, "head by head": ATTENTION_BY_HEADS, "einsum": ATTENTION_EINSUM},
    "V2": {"by unfold": PATCHES_BY_UNFOLD},
}

RESET = "h = x.new_zeros({})"
KEPT = "h = self.kept if len(getattr(self, 'kept', [])) == len(x) else x.new_zeros({})"

# (item, what the mistake is, [(code of the solution, what is written instead)], a phrase of the message)
MISTAKES = [
    ("P2", "no tanh", [("torch.tanh(torch.addmm(a_t, h, W_hh))", "torch.addmm(a_t, h, W_hh)")], "the tanh is missing"),
    ("P2", "a sigmoid", [("torch.tanh(torch.addmm", "torch.sigmoid(torch.addmm")], "a sigmoid where the tanh belongs"),
    (
        "P2",
        "the state is not reset",
        [
            (RESET.format("B, self.hidden_size"), KEPT.format("B, self.hidden_size")),
            ("states.append(h)", "states.append(h)\n            self.kept = h.detach()"),
        ],
        "the hidden state is kept from one call to the next",
    ),
    (
        "P2",
        "no gradient through time",
        [("torch.addmm(a_t, h, W_hh)", "torch.addmm(a_t, h.detach(), W_hh)")],
        "detached",
    ),
    ("P2", "a ready-made layer", [("initialise(self)", "self.W_p = nn.Linear(2, 2)")], "a ready-made layer of torch"),
    ("P2", "weights that no optimiser finds", [("nn.Parameter(", "("), ("initialise(self)", "")], "nn.Parameter"),
    (
        "P6",
        "no biases",
        [
            ("nn.Parameter(torch.empty(hidden_size)))", "None)"),
            ("self.b_g, self.b_i, self.b_f, self.b_o", "*[torch.zeros(self.hidden_size)] * 4"),
            ("initialise(self, forget_bias=forget_bias)", "[nn.init.normal_(p) for p in self.parameters()]"),
        ],
        "the biases are missing",
    ),
    (
        "P6",
        "σ for the candidate",
        [("g.tanh() * i.sigmoid()", "g.sigmoid() * i.sigmoid()")],
        "the candidate g needs tanh",
    ),
    ("P6", "tanh for the forget gate", [("c * f.sigmoid()", "c * f.tanh()")], "wrong gate"),
    ("P6", "c itself is shown", [("h = c.tanh() * o.sigmoid()", "h = c * o.sigmoid()")], "c instead of tanh(c)"),
    ("P6", "h and c exchanged", [("(tuple(hs), tuple(cs))", "(tuple(cs), tuple(hs))")], "h and c exchanged"),
    (
        "T2",
        "the state is not reset",
        [
            (RESET.format("len(x), self.hidden_size"), KEPT.format("len(x), self.hidden_size")),
            ("states.append(h)", "states.append(h)\n            self.kept = h.detach()"),
        ],
        "the hidden state is kept from one call to the next",
    ),
    (
        "T2",
        "a cell of its own",
        [("self.cell = cell(", "self.cell = nn.RNNCell(")],
        "the class of the cell is written into",
    ),
    (
        "T2",
        "no tanh",
        [("torch.tanh(self.linear(torch.cat([x, h], dim=1)))", "self.linear(torch.cat([x, h], dim=1))")],
        "the tanh is missing",
    ),
    (
        "T3",
        "states swapped when returned",
        [("return o * torch.tanh(c), c", "return c, o * torch.tanh(c)")],
        "h and c are returned in the wrong order",
    ),
    (
        "T3",
        "states swapped when taken",
        [("h, c = state", "c, h = state")],
        "the state's two parts are taken in the wrong order",
    ),
    (
        "T3",
        "gates permuted",
        [
            ("i, f, g, o = self.linear", "f, i, o, g = self.linear"),
            (
                "torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)",
                "torch.sigmoid(i), torch.tanh(f), torch.sigmoid(g), torch.sigmoid(o)",
            ),
        ],
        "tanh instead of σ on the forget gate",
    ),
    ("T3", "σ for the candidate", [("torch.tanh(g)", "torch.sigmoid(g)")], "the candidate g needs tanh"),
    ("T3", "no bias", [("4 * hidden_size)", "4 * hidden_size, bias=False)")], "the bias is missing"),
    (
        "T3",
        "a layer for each gate",
        [
            (
                "self.linear = nn.Linear(input_size + hidden_size, 4 * hidden_size)",
                "self.a, self.b = (nn.Linear(input_size + hidden_size, 2 * hidden_size), "
                "nn.Linear(input_size + hidden_size, "
                "2 * hidden_size))",
            ),
            (
                "self.linear(torch.cat([x, h], dim=1))",
                "torch.cat([self.a(torch.cat([x, h], dim=1)), self.b(torch.cat([x, h], dim=1))], dim=1)",
            ),
        ],
        "join them",
    ),
    (
        "T4",
        "the stride is ignored",
        [("x.unfold(2, self.span, self.stride)", "x.unfold(2, self.span, 1)")],
        "the stride is ignored",
    ),
    (
        "T4",
        "padding at the front",
        [("F.pad(x, (0, -x.shape[2] % 3))", "F.pad(x, (-x.shape[2] % 3, 0))")],
        "the padding is at the front",
    ),
    ("T4", "padding one too long", [("-x.shape[2] % 3)", "3 - x.shape[2] % 3)")], None),
    (
        "T4",
        "steps dropped instead of padded",
        [("x = F.pad(x, (0, -x.shape[2] % 3))", "x = F.pad(x, (0, max(0, 3 - x.shape[2])))")],
        "dropped",
    ),
    (
        "T4",
        "a plain reshape",
        [("windows.transpose(1, 2).flatten(2)", "windows.reshape(len(x), windows.shape[2], -1)")],
        "channels and kernel are mixed",
    ),
    ("T4", "no nonlinearity", [("x = torch.relu(x)", "pass")], "the ReLU is missing"),
    ("V1", "√d missing", [(" / math.sqrt(key.shape[-1])", "")], "the √D is missing"),
    (
        "V1",
        "√E instead of √D",
        [("math.sqrt(key.shape[-1])", "math.sqrt(self.embed_size)")],
        "√E instead of the head's √D",
    ),
    (
        "V1",
        "softmax over the queries",
        [("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)")],
        "softmax over the wrong axis",
    ),
    ("V1", "no softmax", [("torch.softmax(scores, dim=-1)", "scores")], "the softmax is missing"),
    (
        "V1",
        "heads joined in the wrong order",
        [("mixed.transpose(1, 2).flatten(2)", "mixed.reshape(len(x), mixed.shape[2], -1)")],
        "joined in the wrong order",
    ),
    (
        "V2",
        "patches in column order",
        [
            (
                "return grid.transpose(3, 4).flatten(4).flatten(2, 3)",
                "return grid.permute(0, 1, 4, 2, 3, 5).flatten(4).flatten(2, 3)",
            )
        ],
        "patches in column order",
    ),
    (
        "V2",
        "a plain reshape",
        [
            (
                "return grid.transpose(3, 4).flatten(4).flatten(2, 3)",
                "return frames.reshape(*frames.shape[:2], self.num_patches, -1)",
            )
        ],
        "a plain reshape",
    ),
    (
        "V2",
        "one position for all frames",
        [("(self.frame + self.place)", "(0 * self.frame + self.place)")],
        "one vector for all frames",
    ),
]
