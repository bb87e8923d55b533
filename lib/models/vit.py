"""A Vision Transformer that predicts the next frame of a film as masked reconstruction.

Frames are cut into patches, and every patch becomes a token. The frame to be predicted is masked: a learnt token stands
for each of its patches. Layers of attention let the tokens exchange what they know, and what comes out at the masked
places is the prediction. P counts the patches of a frame, N tokens, E the channels of a token, D = E / heads.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sizes
from lib.models.rotary import rotate

MIXERS = ("attention", "mlp", "mean")
POSITIONS = ("learned", "none", "rotary")
# Standard deviation of learnt positions and mask token before training. 0.3 is about that of a projected patch; where a
# masked token starts from the last frame's patch (`residual`), the usual 0.02 is better.
START = 0.3


class SelfAttentionLayer(nn.Module):
    """Every token takes up a weighted mean of what all tokens offer: (B, N, E) -> (B, N, E).

    Per head: weights = softmax(Q Kᵀ / √D), output = weights V, where the queries Q, keys K and values V are linear in
    the tokens. The heads' outputs stand side by side and are mixed by one more linear layer.
    Source: Vaswani et al. (2017), "Attention is all you need", section 3.2.

    Args:
        embed_size: E. num_heads: how many means are taken side by side; it divides E.
        fused: use `F.scaled_dot_product_attention`, which does the same without storing the weights of all pairs. An
            attribute that may be changed at any time.

    Raises:
        ValueError: embed_size is not a multiple of num_heads.
    """

    def __init__(self, embed_size: int, num_heads: int, fused: bool = False):
        super().__init__()
        check_sizes(embed_size=embed_size, num_heads=num_heads)
        if embed_size % num_heads:
            raise ValueError(f"embed_size must be a multiple of num_heads, got {embed_size} for {num_heads} heads")
        self.embed_size, self.num_heads, self.fused = embed_size, num_heads, fused
        self.query, self.key, self.value, self.output = (nn.Linear(embed_size, embed_size) for _ in range(4))

    def heads(self, x: Tensor) -> Tensor:
        """Share the channels among the heads: (B, N, E) -> (B, heads, N, D)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def queries_and_keys(self, x: Tensor, last: int | None, angles: Tensor | None) -> tuple[Tensor, Tensor]:
        """Queries of the last tokens (B, heads, last, D) and keys of all (B, heads, N, D)."""
        if x.dim() != 3 or x.shape[2] != self.embed_size or not x.is_floating_point():
            raise ValueError(f"x must be floating point (B, N, {self.embed_size}), got {x.dtype} {tuple(x.shape)}")
        first = 0 if last is None else x.shape[1] - last
        query, key = self.heads(self.query(x[:, first:])), self.heads(self.key(x))
        return (query, key) if angles is None else (rotate(query, angles[first:]), rotate(key, angles))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each query takes from each token, which adds up to 1: (B, heads, queries, N)."""
        scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])
        return torch.softmax(scores, dim=-1)

    def attention(self, x: Tensor, angles: Tensor | None = None) -> Tensor:
        """The weights alone, to be looked at: (B, N, E) -> (B, heads, N, N), queries before keys."""
        return self.weights(*self.queries_and_keys(x, None, angles))

    def forward(self, x: Tensor, last: int | None = None, angles: Tensor | None = None) -> Tensor:
        """(B, N, E) -> (B, N, E); a ValueError, if x is anything else.

        Args:
            last: queries of only that many tokens, at the end (keys and values of all); the output is (B, last, E).
            angles: (N, D / 2), rotary positions, see `rotary_angles`.
        """
        query, key = self.queries_and_keys(x, last, angles)
        value = self.heads(self.value(x))  # (B, heads, N, D)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            weights = self.weights(query, key)  # (B, heads, queries, N)
            mixed = weights @ value  # (B, heads, queries, D)
        return self.output(mixed.transpose(1, 2).flatten(2))  # (B, queries, heads, D) -> (B, queries, E)


def rotary_angles(num_frames: int, rows: int, columns: int, size: int) -> Tensor:
    """Angles by which `rotate` turns the D = `size` channels of a head, for the tokens of all frames: (N, D / 2).

    The first pair turns with the frame, the second with the row, the third with the column, the fourth with the frame
    again, more slowly, and so on; from 1 radian per step down to nearly 1/100. Source: Su et al. (2021), "RoFormer",
    for one axis; Heo et al. (2024), "Rotary position embedding for Vision Transformer", for the two of a picture.
    """
    axes = torch.meshgrid(torch.arange(num_frames), torch.arange(rows), torch.arange(columns), indexing="ij")
    places = torch.stack(axes, dim=-1).flatten(0, 2).float()  # (N, 3): frame, row, column
    pair = torch.arange(size // 2)
    return places[:, pair % 3] * 100.0 ** (-(pair // 3) / math.ceil(size / 6))


class PatchEmbedding(nn.Module):
    """Frames to tokens: patches, a linear projection, and where and when they belong: (B, T, H, W) -> (B, T · P, E).

    Attention treats its tokens as a set: exchange two, and their outputs are exchanged, nothing else. So the place has
    to be part of the token, or of the way in which two tokens are compared:

    - "learned": a learnt vector for the frame and one for the place in it are added (Dosovitskiy et al., 2021, "An
      image is worth 16x16 words", with one vector for both).
    - "rotary": nothing is added here; attention turns its queries and keys by angles that depend on frame, row and
      column, and so sees how far two tokens are apart (see `rotate`).
    - "none": nothing at all.

    Args:
        height, width: of a frame in pixels. patch_size: p, side of a patch; it divides both. embed_size: E.
        num_frames: how many frames there are at most. positions: see above.
        start: standard deviation of the learnt position vectors before training.

    Raises:
        ValueError: the frame cannot be cut into patches, or positions are unknown.
    """

    def __init__(
        self,
        height: int,
        width: int,
        patch_size: int,
        embed_size: int,
        num_frames: int = 3,
        positions: str = "learned",
        start: float = START,
    ):
        super().__init__()
        check_sizes(height=height, width=width, patch_size=patch_size, embed_size=embed_size, num_frames=num_frames)
        if height % patch_size or width % patch_size:
            raise ValueError(
                f"frames of {height} × {width} pixels cannot be cut into patches of {patch_size}: choose a divisor"
            )
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}; got {positions!r}")
        self.height, self.width, self.patch_size, self.num_frames = height, width, patch_size, num_frames
        self.rows, self.columns = height // patch_size, width // patch_size
        self.num_patches = self.rows * self.columns  # P
        self.projection = nn.Linear(patch_size**2, embed_size)
        self.frame = self.place = None
        if positions == "learned":
            self.frame = nn.Parameter(start * torch.randn(num_frames, 1, embed_size))
            self.place = nn.Parameter(start * torch.randn(1, self.num_patches, embed_size))

    def to_patches(self, frames: Tensor) -> Tensor:
        """Cut frames into patches, row by row; only the order of pixels changes: (B, T, H, W) -> (B, T, P, p²)."""
        if frames.dim() != 4 or frames.shape[2:] != (self.height, self.width) or not frames.is_floating_point():
            raise ValueError(
                f"frames must be floating point (B, T, {self.height}, {self.width}), got {frames.dtype} "
                f"{tuple(frames.shape)}: divide whole numbers by 255, resize, or build the model for this size"
            )
        p = self.patch_size
        grid = frames.unflatten(3, (self.columns, p)).unflatten(2, (self.rows, p))  # (B, T, rows, p, columns, p)
        return grid.transpose(3, 4).flatten(4).flatten(2, 3)

    def to_frames(self, patches: Tensor) -> Tensor:
        """Put patches together again, the inverse of `to_patches`: (B, T, P, p²) -> (B, T, H, W)."""
        p = self.patch_size
        if patches.dim() != 4 or patches.shape[2:] != (self.num_patches, p * p):
            raise ValueError(f"patches must be (B, T, {self.num_patches}, {p * p}), got {tuple(patches.shape)}")
        grid = patches.unflatten(3, (p, p)).unflatten(2, (self.rows, self.columns))  # (B, T, rows, columns, p, p)
        return grid.transpose(3, 4).flatten(4).flatten(2, 3)

    def positions(self) -> Tensor:
        """What is added to the tokens of all frames: (num_frames · P, E); zeros unless positions are "learned"."""
        if self.frame is None:
            return self.projection.weight.new_zeros(self.num_frames * self.num_patches, len(self.projection.weight))
        return (self.frame + self.place).flatten(0, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """The first T frames, T ≤ num_frames: (B, T, H, W) -> (B, T · P, E)."""
        patches = self.to_patches(frames)  # (B, T, P, p²)
        if not 1 <= patches.shape[1] <= self.num_frames:
            raise ValueError(f"the model knows positions for 1 to {self.num_frames} frames, got {patches.shape[1]}")
        tokens = self.projection(2 * patches - 1).flatten(1, 2)  # grey levels -1 … 1, around 0
        return tokens + self.positions()[: tokens.shape[1]]


def feed_forward(embed_size: int, hidden_size: int) -> nn.Sequential:
    """Two linear layers applied to every token by itself: (..., E) -> (..., E)."""
    return nn.Sequential(nn.Linear(embed_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, embed_size))


class AttentionBlock(nn.Module):
    """Tokens exchange what they know, then each is processed by itself: (B, N, E) -> (B, N, E).

        x ← x + mixer(LayerNorm(x)),   x ← x + MLP(LayerNorm(x))

    Source: Dosovitskiy et al. (2021), equations 2 and 3, with normalisation first and a hidden width of 4 E.

    Args:
        embed_size: E. num_heads, fused: of the attention.
        mixer: "attention"; or, with about as many parameters (4 E² + 3 E for 4 E² + 4 E), what it is compared with:
            "mlp", a feed-forward layer on every token alone, through which tokens learn nothing of each other, or
            "mean", a feed-forward layer of the mean of all tokens, which tells every token the same.

    Raises:
        ValueError: an unknown mixer, or embed_size is not a multiple of num_heads.
    """

    def __init__(self, embed_size: int, num_heads: int, mixer: str = "attention", fused: bool = False):
        super().__init__()
        check_sizes(embed_size=embed_size)
        if mixer not in MIXERS:
            raise ValueError(f"mixer must be one of {', '.join(MIXERS)}; got {mixer!r}")
        self.kind = mixer
        self.norm_mixer, self.norm_mlp = nn.LayerNorm(embed_size), nn.LayerNorm(embed_size)
        if mixer == "attention":
            self.mixer = SelfAttentionLayer(embed_size, num_heads, fused)
        else:
            self.mixer = feed_forward(embed_size, 2 * embed_size)
        self.mlp = feed_forward(embed_size, 4 * embed_size)

    def forward(self, x: Tensor, last: int | None = None, angles: Tensor | None = None) -> Tensor:
        """(B, N, E) -> (B, N, E), or (B, last, E): the output at the last tokens only, which costs less."""
        h = self.norm_mixer(x)
        first = 0 if last is None else x.shape[1] - last
        if self.kind == "attention":
            h = self.mixer(h, last, angles)
        elif self.kind == "mlp":
            h = self.mixer(h[:, first:])
        else:
            h = self.mixer(h.mean(dim=1, keepdim=True))  # (B, 1, E): the same for every token
        x = x[:, first:] + h
        return x + self.mlp(self.norm_mlp(x))


class PredictiveViT(nn.Module):
    """Predicts the last of n frames from the n - 1 before it: (B, n - 1, H, W) -> (B, H, W), grey levels 0 … 1.

    The tokens of the known frames are their patches, those of the frame to come one learnt mask token; all with
    positions. Masked reconstruction (He et al., 2022, "Masked autoencoders are scalable vision learners") with a mask
    that always hides the last frame. What two of the options lose is plain before any training. With the mixer "mlp"
    nothing passes from token to token: a masked token knows its position, nothing of the film, and the output is one
    and the same frame whatever is put in. With positions "none" all masked tokens are equal and stay so in every layer:
    the output is one patch, repeated all over the frame, and the order of patches and frames put in does not matter.
    With `residual` both are less blind: "mlp" predicts every patch from its predecessor alone, "none" from its
    predecessor and an unordered heap of patches.

    Args:
        height, width, patch_size: of frames and patches in pixels. num_frames: n, the predicted one included.
        embed_size, num_heads, num_layers: of the Transformer. mixer: see `AttentionBlock`.
        positions: see `PatchEmbedding`; "rotary" needs the mixer "attention" and an even D.
        residual: predict the change: a masked token starts from the last known frame's token at its place, and the
            output is added to that frame. The head starts at zero: untrained, the model copies.
        fused: compute attention by torch's own function instead of the written-out one: same numbers, less memory.
        start: standard deviation of learnt positions and of the mask token before training.

    Raises:
        ValueError: the sizes do not fit together, or an option is unknown.
    """

    def __init__(
        self,
        height: int = 144,
        width: int = 160,
        patch_size: int = 16,
        num_frames: int = 3,
        embed_size: int = 128,
        num_heads: int = 2,
        num_layers: int = 5,
        mixer: str = "attention",
        positions: str = "learned",
        residual: bool = False,
        fused: bool = True,
        start: float = START,
    ):
        super().__init__()
        check_sizes(smallest=2, num_frames=num_frames)
        check_sizes(num_layers=num_layers)
        self.num_frames, self.residual = num_frames, residual
        self.embedding = PatchEmbedding(height, width, patch_size, embed_size, num_frames, positions, start)
        self.mask_token = nn.Parameter(start * torch.randn(embed_size))
        self.blocks = nn.ModuleList(AttentionBlock(embed_size, num_heads, mixer, fused) for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_size)
        self.head = nn.Linear(embed_size, patch_size**2)
        if residual:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
        angles = None
        if positions == "rotary":
            if mixer != "attention" or embed_size // num_heads % 2:
                raise ValueError(
                    "rotary positions need the mixer 'attention' and an even embed_size / num_heads, got "
                    f"{mixer!r} and {embed_size} / {num_heads}"
                )
            angles = rotary_angles(num_frames, self.embedding.rows, self.embedding.columns, embed_size // num_heads)
        self.register_buffer("angles", angles, persistent=False)

    def tokens(self, frames: Tensor) -> Tensor:
        """Tokens of the known frames, then those of the masked one: (B, n - 1, H, W) -> (B, n · P, E)."""
        P = self.embedding.num_patches
        known = self.embedding(frames)  # (B, (n - 1) · P, E)
        if frames.shape[1] != self.num_frames - 1:
            raise ValueError(f"the model predicts from {self.num_frames - 1} frames, got {frames.shape[1]}")
        positions = self.embedding.positions()
        masked = (self.mask_token + positions[-P:]).expand(len(frames), -1, -1)  # (B, P, E)
        if self.residual:
            masked = masked + known[:, -P:] - positions[-2 * P : -P]  # the content of the last frame's tokens
        return torch.cat([known, masked], dim=1)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, n - 1, H, W) -> the frame that follows (B, H, W), not clamped to 0 … 1.

        Raises:
            ValueError: frames are not floating point, or their number or size is not the model's.
        """
        x, P = self.tokens(frames), self.embedding.num_patches
        for block in self.blocks[:-1]:
            x = block(x, angles=self.angles)
        x = self.blocks[-1](x, last=P, angles=self.angles)  # only the masked tokens are read: (B, P, E)
        out = self.embedding.to_frames(self.head(self.norm(x)).unsqueeze(1)).squeeze(1)  # (B, P, p²) -> (B, H, W)
        return frames[:, -1] + out if self.residual else out

    def roll_out(self, frames: Tensor, steps: int) -> Tensor:
        """Predict on and on, predictions (clamped to 0 … 1) fed back: (B, n - 1, H, W) -> (B, steps, H, W)."""
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        predictions = []
        for _ in range(steps):
            predictions.append(self(frames).clamp(0, 1))
            frames = torch.cat([frames[:, 1:], predictions[-1][:, None]], dim=1)
        return torch.stack(predictions, dim=1)

    @torch.no_grad()
    def attention_maps(self, frames: Tensor) -> list[Tensor]:
        """Attention weights of every layer, (B, heads, N, N) each, for frames (B, n - 1, H, W).

        The N = n · P tokens come frame by frame, row by row: `maps[layer][b, head, -P:]` is what the predicted patches
        look at; `.unflatten(-1, (n, rows, columns))` lays it out over the frames. ValueError without attention.
        """
        if self.blocks[0].kind != "attention":
            raise ValueError(f"a model with the mixer {self.blocks[0].kind!r} has no attention to be shown")
        x, maps = self.tokens(frames), []
        for block in self.blocks:
            maps.append(block.mixer.attention(block.norm_mixer(x), self.angles))
            x = block(x, angles=self.angles)
        return maps
