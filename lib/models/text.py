"""Three models that predict the next character of a text: recurrent, convolutional, attentive.

All have one interface, forward(tokens, state) -> (logits, state): a text can be read at once or in pieces of any
length, down to single characters, with the same result, and each further character costs the same, however long the
text before it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from lib.models.checks import check_sizes
from lib.models.rotary import rotate

POSITIONS = ("none", "learned", "rotary")


def check_tokens(tokens: Tensor, alphabet_size: int) -> None:
    """Raise ValueError unless tokens are int64 (B, T) with T >= 1 and values 0 … alphabet_size - 1."""
    if tokens.dim() != 2 or tokens.dtype != torch.int64 or tokens.shape[1] == 0:
        raise ValueError(
            f"tokens must be int64 (B, T) with T of at least 1, got {tokens.dtype} {tuple(tokens.shape)}: "
            "use tokens.unsqueeze(0) for a single text"
        )
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < alphabet_size:
        raise ValueError(
            f"tokens must lie in 0 … {alphabet_size - 1}, the alphabet that the model was built for, but reach "
            f"{tokens.min()} and {tokens.max()}"
        )


# --- recurrent ------------------------------------------------------------------------------------------------------


class CharLSTM(nn.Module):
    """`nn.LSTM` between an embedding and a linear layer. The state is torch's own, (h, c).

    The LSTM's outputs, all between -1 and 1 and mostly small, are normalised before the linear layer: it need not grow
    large weights first to be sure of anything. The normalisation is over the units of one step, not over time.
    Source: Ba, Kiros and Hinton (2016), "Layer normalization", here of the outputs alone.

    Args:
        alphabet_size: A, number of characters.
        hidden_size, num_layers: of the LSTM.
        embedding_size: numbers that stand for a character at its input. A one-hot vector would do, at the cost of A
            columns of input weights.
        dropout: share of the last layer's outputs that is set to zero while training.
        recurrent_dropout: share of the recurrent weights that is, the same ones throughout a chunk. Zeros among the
            states themselves would wipe out within some dozen steps what the network has to remember.
            Source: Merity, Keskar and Socher (2018), "Regularizing and optimizing LSTM language models".
    """

    def __init__(
        self,
        alphabet_size: int,
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_size: int = 32,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ):
        super().__init__()
        check_sizes(
            alphabet_size=alphabet_size, hidden_size=hidden_size, num_layers=num_layers, embedding_size=embedding_size
        )
        self.alphabet_size, self.recurrent_dropout = alphabet_size, recurrent_dropout
        self.input = nn.Embedding(alphabet_size, embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, num_layers, batch_first=True)
        self.norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, alphabet_size)

    def forward(self, tokens: Tensor, state: tuple | None = None) -> tuple[Tensor, tuple]:
        """Logits of every next character: (B, T) -> (B, T, A), and the state after the last one.

        Raises:
            ValueError: tokens of another kind.
        """
        check_tokens(tokens, self.alphabet_size)
        x = self.input(tokens)  # (B, T) -> (B, T, E)
        if self.training and self.recurrent_dropout:
            weights = {name: p for name, p in self.lstm.named_parameters() if name.startswith("weight_hh")}
            thinned = {name: F.dropout(p, self.recurrent_dropout) for name, p in weights.items()}
            h, state = functional_call(self.lstm, thinned, (x, state))  # (B, T, H)
        else:
            h, state = self.lstm(x, state)  # (B, T, H)
        return self.output(self.dropout(self.norm(h))), state


# --- convolutional --------------------------------------------------------------------------------------------------


class CausalLayer(nn.Module):
    """x + relu(convolution of norm(x))², looking back only: (B, T, H) -> (B, T, H).

    Output t sees kernel_size inputs, `dilation` steps apart, the last being t itself. As in `lib.models.Conv1d` the
    convolution is one linear layer on the values of a window side by side; here the channels come last, where both
    that layer and the normalisation want them, so that nothing has to be transposed. The squared ReLU is that of So et
    al. (2021), "Primer": it starts flat, and a channel that is twice as sure adds four times as much.
    """

    def __init__(self, hidden_size: int, kernel_size: int, dilation: int, dropout: float = 0.0):
        super().__init__()
        check_sizes(hidden_size=hidden_size, kernel_size=kernel_size, dilation=dilation)
        self.kernel_size, self.dilation = kernel_size, dilation
        self.reach = (kernel_size - 1) * dilation  # how many steps back the first tap is
        self.norm = nn.LayerNorm(hidden_size)
        self.linear = nn.Linear(kernel_size * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`past` are the `reach` normalised inputs before x, (B, reach, H); those that come next are returned."""
        T = x.shape[1]
        inputs = torch.cat([past, self.norm(x)], dim=1)  # (B, reach + T, H)
        taps = [inputs[:, k * self.dilation : k * self.dilation + T] for k in range(self.kernel_size)]
        x = x + self.dropout(torch.relu(self.linear(torch.cat(taps, dim=-1))).square())  # (B, T, K H) -> (B, T, H)
        return x, inputs[:, T:]


class CharTCN(nn.Module):
    """Causal convolutions with growing dilation, each normalised and residual, on an embedding of the characters.

    With kernel size K and dilations 1, K, K², … the windows tile the past without gap or overlap. Zeros stand for the
    time before the text. The state holds the last inputs of every layer, `receptive_field` - 1 steps in all.
    Sources: Bai, Kolter and Koltun (2018), "An empirical evaluation of generic convolutional and recurrent networks",
    with one convolution per block; layer normalisation inside the residual branch as in Transformers.

    Args:
        alphabet_size: A. hidden_size: channels.
        dilations: of the layers, one each.
        kernel_size: taps of every layer.
        dropout: share of the embedding, and of what every layer adds to it, that is set to zero while training.
    """

    def __init__(
        self,
        alphabet_size: int,
        hidden_size: int = 160,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64),
        kernel_size: int = 2,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_sizes(alphabet_size=alphabet_size, hidden_size=hidden_size, kernel_size=kernel_size)
        if kernel_size < 2 or min(dilations, default=0) < 1:
            raise ValueError(
                f"need kernel_size ≥ 2 and dilations ≥ 1, at least one of them; got {kernel_size} and {dilations}"
            )
        self.alphabet_size = alphabet_size
        self.input = nn.Embedding(alphabet_size, hidden_size)  # a linear layer on one-hot characters
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(CausalLayer(hidden_size, kernel_size, dilation, dropout) for dilation in dilations)
        self.norm = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, alphabet_size)

    @property
    def receptive_field(self) -> int:
        """How many of the last characters a prediction depends on."""
        return 1 + sum(layer.reach for layer in self.layers)

    def forward(self, tokens: Tensor, state: tuple | None = None) -> tuple[Tensor, tuple]:
        """Logits of every next character: (B, T) -> (B, T, A), and the state after the last one.

        Raises:
            ValueError: tokens of another kind.
        """
        check_tokens(tokens, self.alphabet_size)
        x = self.dropout(self.input(tokens))  # (B, T) -> (B, T, H)
        if state is None:
            state = [x.new_zeros(len(x), layer.reach, x.shape[2]) for layer in self.layers]
        pasts = []
        for layer, past in zip(self.layers, state, strict=True):
            x, past = layer(x, past)
            pasts.append(past)
        return self.output(self.norm(x)), tuple(pasts)


# --- attentive ------------------------------------------------------------------------------------------------------


def rotary_angles(start: int, end: int, head_size: int) -> Tensor:
    """The angles by which the pairs of a head's coordinates turn at the positions start … end - 1:
    float64 (end - start, head_size / 2), on the CPU.

    Pair i turns by 1000^(-2i / head_size) per step, from one radian to almost a thousandth. In single precision the
    angles would become inexact where a text has grown long.
    """
    pairs = torch.arange(0, head_size, 2, dtype=torch.float64)
    return torch.arange(start, end)[:, None] * 1000.0 ** (-pairs / head_size)


class CausalEmbedding(nn.Module):
    """Sum of the embeddings of the last `taps` characters, each tap with a table of its own: (B, T) -> (B, T, E).

    An ordinary embedding if taps = 1; otherwise a causal convolution of the one-hot characters, by looking up. Before
    the text there is nothing to add.
    Source: So et al. (2021), "Primer: searching for efficient Transformers", for short convolutions beside attention.
    """

    def __init__(self, alphabet_size: int, width: int, taps: int = 1):
        super().__init__()
        check_sizes(alphabet_size=alphabet_size, width=width, taps=taps)
        self.tables = nn.ModuleList(nn.Embedding(alphabet_size, width) for _ in range(taps))

    def forward(self, tokens: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """`past` are the up to taps - 1 characters before, int64 (B, P); those that come next are returned."""
        T = tokens.shape[1]
        seen = torch.cat([past, tokens], dim=1)  # (B, P + T)
        S = seen.shape[1]
        x = self.tables[0](tokens)
        for back, table in enumerate(self.tables[1:], 1):
            earlier = table(seen[:, max(0, S - T - back) : max(0, S - back)])
            x = x + F.pad(earlier, (0, 0, T - earlier.shape[1], 0))  # zeros before the text
        return x, seen[:, max(0, S - len(self.tables) + 1) :]


class SelfAttention(nn.Module):
    """Multi-head attention over the characters so far, with a memory of keys and values: (B, T, E) -> (B, T, E).

    Args:
        width: E. num_heads: E must be a multiple of it, and for rotary positions of twice it.
        context: how many characters a query sees, itself included; older ones are forgotten.
        rotary: turn queries and keys by their positions.
        causal: False lets every query see the whole input, without memory; for comparison only.
    """

    def __init__(self, width: int, num_heads: int, context: int, rotary: bool = False, causal: bool = True):
        super().__init__()
        check_sizes(width=width, num_heads=num_heads, context=context)
        if width % ((2 if rotary else 1) * num_heads):
            raise ValueError(
                f"the width must be a multiple of num_heads (rotary: of 2 num_heads); got {width} and {num_heads}"
            )
        self.num_heads, self.context, self.rotary, self.causal = num_heads, context, rotary, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: tuple | None = None, start: int = 0) -> tuple[Tensor, tuple]:
        """`start` is the position of x[:, 0] in the text; `memory` what the call for the characters before returned."""
        T = x.shape[1]
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))  # (B, T, 3, heads, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D)
        if self.rotary:
            angles = rotary_angles(start, start + T, q.shape[3])
            q, k = rotate(q, angles), rotate(k, angles)
        if memory is not None:
            k, v = torch.cat([memory[0], k], dim=2), torch.cat([memory[1], v], dim=2)
        S = k.shape[2]
        if not self.causal:
            y = F.scaled_dot_product_attention(q, k, v)
        elif S == T <= self.context:  # every query sees all before it, which needs no mask in memory
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            place = torch.arange(S, device=x.device)
            age = place[S - T :, None] - place  # (T, S), of a key, in steps before the query
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=(age >= 0) & (age < self.context))
        kept = slice(max(0, S - self.context + 1), None)
        return self.out(y.transpose(1, 2).flatten(2)), (k[:, :, kept], v[:, :, kept])


class TransformerBlock(nn.Module):
    """Attention, then two linear layers, each on the normalised input and added to it (pre-norm)."""

    def __init__(self, width: int, num_heads: int, ff_size: int, context: int, rotary: bool, dropout: float = 0.0):
        super().__init__()
        check_sizes(width=width, ff_size=ff_size)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, num_heads, context, rotary)
        self.up, self.down = nn.Linear(width, ff_size), nn.Linear(ff_size, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: tuple | None = None, start: int = 0) -> tuple[Tensor, tuple]:
        y, memory = self.attention(self.norm1(x), memory, start)
        x = x + self.dropout(y)
        return x + self.dropout(self.down(torch.relu(self.up(self.norm2(x))))), memory


class CharTransformer(nn.Module):
    """Causal pre-norm Transformer. Every layer attends to the last `context` characters (sliding-window attention).

    The state is the keys and values of the last `context` - 1 characters in every layer, the position, and the last
    `taps` - 1 characters. Through the layers a prediction may depend on num_layers * (context - 1) + taps characters.
    Sources: Vaswani et al. (2017), "Attention is all you need"; Radford et al. (2019) for pre-norm; Beltagy et al.
    (2020), "Longformer", for the window.

    Args:
        alphabet_size: A. width, num_layers, num_heads, ff_size: of the blocks.
        context: see above; training windows need not be longer.
        positions: "none" (order is known from the causal mask alone), "learned" (a vector for each of `context`
            positions is added to the input: the text cannot be longer), "rotary" (in the attention, see `rotate`).
        taps: how many of the last characters a character's embedding is made of, see `CausalEmbedding`.
        dropout: share of the embedding, and of what every layer adds to it, that is set to zero while training.
    """

    def __init__(
        self,
        alphabet_size: int,
        width: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        ff_size: int = 512,
        context: int = 64,
        positions: str = "rotary",
        taps: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        check_sizes(alphabet_size=alphabet_size, width=width, num_layers=num_layers, context=context)
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}; got {positions!r}")
        self.alphabet_size, self.context, self.positions = alphabet_size, context, positions
        self.input = CausalEmbedding(alphabet_size, width, taps)
        self.place = nn.Embedding(context, width) if positions == "learned" else None
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerBlock(width, num_heads, ff_size, context, positions == "rotary", dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, alphabet_size)

    def forward(self, tokens: Tensor, state: tuple | None = None) -> tuple[Tensor, tuple]:
        """Logits of every next character: (B, T) -> (B, T, A), and the state after the last one.

        Raises:
            ValueError: tokens of another kind, or with learned positions more than `context` characters in all.
        """
        check_tokens(tokens, self.alphabet_size)
        memories, start, past = state if state is not None else ([None] * len(self.layers), 0, tokens[:, :0])
        end = start + tokens.shape[1]
        x, past = self.input(tokens, past)  # (B, T) -> (B, T, E)
        if self.place is not None:
            if end > self.context:
                raise ValueError(
                    f"learned positions end at the context of {self.context} characters, but the text has {end}: start "
                    "again without state from its last characters, or build the model with a larger context or with "
                    "rotary positions"
                )
            x = x + self.place(torch.arange(start, end, device=tokens.device))
        x = self.dropout(x)
        kept = []
        for layer, memory in zip(self.layers, memories, strict=True):
            x, memory = layer(x, memory, start)
            kept.append(memory)
        return self.output(self.norm(x)), (tuple(kept), end, past)
