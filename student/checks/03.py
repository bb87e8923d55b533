"""Checks of V1 and V2: attention, patches and positions."""

import math

import torch

from lib.workbook.student.bench import weighted
from lib.workbook.student.checking import close, expect, expect_shape, load, part

recurrent = load("recurrent")  # for its linear fits
READY_MADE = {"MultiheadAttention", "TransformerEncoderLayer", "multi_head_attention_forward"}


# --- V1 -------------------------------------------------------------------------------------------------------------


def layer_and_tokens(student, heads=2, width=3):
    E, B, N = heads * width, 10, student.pick(6, 8)
    layer = student.build("SelfAttentionLayer", E, heads).randomise(0.5)
    return layer, student.randn(B, N, E), f"x (B, N, E) = ({B}, {N}, {E}), {heads} heads"


def weights_of(layer, x, heads, given):
    """The attention weights, checked: every row adds up to 1."""
    B, N, _ = x.shape
    weights = layer.method("attention", x)
    expect_shape(
        weights, (B, heads, N, N), f"attention(x), {given}", "queries before keys, and one matrix for each head"
    )
    rows, columns = weights.sum(-1), weights.sum(-2)
    likely = (
        "softmax over the wrong axis: dim=-1, over the keys"
        if close(columns, torch.ones_like(columns))
        else "the softmax is missing"
    )
    expect(
        close(rows, torch.ones_like(rows)) and weights.min() >= 0,
        "weights of each query that add up to 1",
        f"attention(x), {given}",
        f"sums between {rows.min():.2f} and {rows.max():.2f}",
        likely,
    )
    return weights


def bilinear(layer, E):
    """Matrix and vector of each head's scores, x_n (matrix x_m) + vector · x_m, from tokens 0 and the unit vectors."""
    tokens = torch.cat([torch.zeros(1, E), torch.eye(E)])[None]
    scores = layer.method("attention", tokens)[0].double().log()  # up to a constant in each row
    scores = scores - scores[:, :, :1]
    vector = scores[:, :1, 1:]
    return scores[:, 1:, 1:] - vector, vector


@part("V1", 2, "shapes, and weights that add up to 1")
def attention_shapes(student):
    found = sorted(READY_MADE & set(student.names("SelfAttentionLayer")))
    expect(
        not found,
        "scores, softmax and weighted sum written out",
        "SelfAttentionLayer",
        ", ".join(found),
        "a ready-made layer of torch",
    )
    layer, x, given = layer_and_tokens(student)
    for part_of in (x, x[:1], x[:, :1]):
        expect_shape(layer(part_of), tuple(part_of.shape), f"x {tuple(part_of.shape)}")
    weights_of(layer, x, 2, given)
    count, E = layer.count(), x.shape[2]
    expect(
        4 * E * E <= count <= 4 * E * E + 4 * E,
        f"four linear layers of E = {E}: {4 * E * E + 4 * E} parameters",
        given,
        str(count),
        "queries, keys, values, and one layer for the heads' outputs together",
    )


@part("V1", 3, "the scores")
def scores(student):
    heads = 2
    layer, x, given = layer_and_tokens(student, heads)
    weights = weights_of(layer, x, heads, given)
    matrix, vector = bilinear(layer, x.shape[2])
    wanted = torch.softmax(
        ((x.double()[:, None] @ matrix + vector) @ x.double()[:, None].transpose(2, 3)), dim=-1
    ).float()
    transposed = close(weights, wanted.transpose(2, 3))
    expect(
        close(weights, wanted),
        "softmax of the products of every query with every key",
        given,
        "other weights",
        "queries and keys exchanged in the product"
        if transposed
        else "the heads are cut from the wrong axis, or something is applied to the scores before or after the softmax",
    )
    expect(
        not close(matrix[0], matrix[1], 0.05),
        "another matrix for each head",
        given,
        "the same for all",
        "every head gets the same channels",
    )


@part("V1", 1, "the scale of the scores")
def scale(student):
    heads, width, deviation = 4, 8, 0.3
    layer = student.build("SelfAttentionLayer", heads * width, heads)
    squares = [bilinear(layer.randomise(deviation), heads * width)[0].square().mean() for _ in range(6)]
    # A sum of `width` products of two independent weights, over √width, has their variance squared, whatever the width.
    ratio = math.sqrt(sum(squares) / len(squares)) / deviation**2
    likely = {
        1 / 0.35: "the √D is missing",
        1 / 2.83: "divided by D instead of √D",
        0.5: "divided by √E instead of the head's √D",
    }
    nearest = min(likely, key=lambda value: abs(math.log(max(ratio, 1e-9) / value)))
    expect(
        0.8 < ratio < 1.25,
        "scores divided by √D, D the channels of one head: their size does not grow with D",
        f"E = {heads * width}, {heads} heads",
        f"scores {ratio:.2f} times that size",
        likely[nearest],
    )


@part("V1", 3, "the weighted sum")
def weighted_sum(student):
    heads = 2
    layer, x, given = layer_and_tokens(student, heads)
    weights = weights_of(layer, x, heads, given)
    means = weights @ x[:, None]  # (B, heads, N, E)
    features = means.transpose(1, 2).flatten(2)  # (B, N, heads E)
    left = recurrent.affine(features.flatten(0, 1), layer(x).flatten(0, 1))[1]
    other = (weights.transpose(2, 3) @ x[:, None]).transpose(1, 2).flatten(2)
    likely = "the heads' outputs are joined in the wrong order of axes, or the values are those of another token"
    if recurrent.affine(other.flatten(0, 1), layer(x).flatten(0, 1))[1] < recurrent.RESIDUAL:
        likely = "the transposed weights are applied to the values"
    expect(
        left < recurrent.RESIDUAL,
        "each token's output as a linear map of the weighted means of the values",
        given,
        "another function",
        likely,
    )


@part("V1", 1, "order, asking tokens, gradients")
def order(student):
    layer, x, given = layer_and_tokens(student)
    shuffled = torch.randperm(x.shape[1], generator=student.generator)
    expect(
        close(layer(x)[:, shuffled], layer(x[:, shuffled])),
        "outputs that are exchanged when tokens are",
        given,
        "others",
        "a position has crept in, or a mask that looks back only",
    )
    expect(
        close(layer(x)[:1], layer(x[:1])),
        "each batch entry by itself",
        given,
        "another output alone",
        "tokens of other entries are attended to",
    )
    expect(
        close(layer(x, last=2), layer(x)[:, -2:]), "the outputs of the last two tokens", f"last=2, {given}", "others"
    )
    _, (gradient,), parameters = layer.gradients(x)
    expect(gradient is not None, "a gradient of x", given, "none", "detach, or torch.no_grad()")
    dead = [name for name, value in parameters.items() if value is None]
    expect(not dead, "a gradient for every parameter", given, f"none for {', '.join(dead)}")


# --- V2 -------------------------------------------------------------------------------------------------------------


def embedding(student, **options):
    """An embedding with random weights: (it, frames, p, rows, columns, E, given)."""
    p, rows, E, T, B = student.pick(2, 3), student.pick(2, 3), student.pick(4, 5), 3, 6
    columns = rows + student.pick(1, 2)
    own = student.build("PatchEmbedding", rows * p, columns * p, p, E, num_frames=T, **options).randomise()
    given = f"frames (B, T, H, W) = ({B}, {T}, {rows * p}, {columns * p}), patch_size = {p}, E = {E}"
    return own, student.randn(B, T, rows * p, columns * p), p, rows, columns, E, given


def cut(frames, p):
    """The patches, one by one: (B, T, P, p²)."""
    squares = [
        frames[:, :, y : y + p, x : x + p].flatten(2)
        for y in range(0, frames.shape[2], p)
        for x in range(0, frames.shape[3], p)
    ]
    return torch.stack(squares, dim=2)


@part("V2", 3, "to_patches")
def patches(student):
    own, frames, p, rows, columns, _, given = embedding(student)
    found, wanted = own.method("to_patches", frames), cut(frames, p)
    expect_shape(found, tuple(wanted.shape), given, "(B, T, P, p²)")
    likely = "rows and columns of the pixels are not separated before the axes are joined (a plain reshape)"
    if close(found, cut(frames.transpose(2, 3), p)):
        likely = "patches and pixels in column order"
    elif close(found.unflatten(2, (columns, rows)).transpose(2, 3).flatten(2, 3), wanted):
        likely = "patches in column order"
    elif close(found.unflatten(3, (p, p)).transpose(3, 4).flatten(3), wanted):
        likely = "the pixels of each patch in column order"
    expect(
        close(found, wanted, 1e-6), "patches row by row, and their pixels row by row", given, "another order", likely
    )


@part("V2", 2, "to_frames")
def frames_again(student):
    own, frames, p, *_, given = embedding(student)
    back = own.method("to_frames", cut(frames, p))
    expect_shape(back, tuple(frames.shape), f"patches of {given}")
    expect(
        close(back, frames, 1e-6),
        "the frames that the patches were cut from",
        given,
        "others",
        "the steps of to_patches are not undone in reverse order",
    )


@part("V2", 2, "the projection")
def projection(student):
    own, frames, p, rows, columns, E, given = embedding(student, positions="none")
    B, T, P = len(frames), frames.shape[1], rows * columns
    tokens = own(frames)
    expect_shape(tokens, (B, T * P, E), given, "frame by frame, row by row")
    rows_of = cut(frames, p).flatten(0, 2)
    expect(
        recurrent.affine(rows_of, tokens.flatten(0, 1))[1] < recurrent.RESIDUAL,
        "one linear layer, the same for all patches",
        f"positions='none', {given}",
        "no such layer",
        "tokens in another order than their patches, or positions added where there should be none",
    )
    expect(
        close(own(frames[:, :2]), tokens[:, : 2 * P]),
        "tokens of the first two frames",
        "two frames instead of three",
        "others",
    )


@part("V2", 3, "positions")
def positions(student):
    own, frames, p, rows, columns, E, given = embedding(student, positions="learned")
    T, P = frames.shape[1], rows * columns
    same = own(torch.zeros_like(frames))[0]
    expect(
        (torch.cdist(same, same) + torch.eye(T * P) > 1e-3).all(),
        "another token for every frame and place, of equal patches",
        given,
        "equal tokens in two places",
        "one vector for all frames, or for all places",
    )
    change = own(frames) - own(torch.zeros_like(frames))
    rows_of = cut(frames, p).flatten(0, 2)
    expect(
        recurrent.affine(rows_of, change.flatten(0, 1))[1] < recurrent.RESIDUAL,
        "positions that are added to the projected patches",
        given,
        "something else",
        "multiplied instead of added, or added in another order",
    )
    spread = [
        student.build("PatchEmbedding", 8, 12, 2, 8, positions="learned", start=start).method("positions").std()
        for start in (0.02, 1.0)
    ]
    expect(
        20 < spread[1] / spread[0] < 125,
        "positions that start 50 times as large",
        "start = 0.02 and start = 1",
        f"{spread[1] / spread[0]:.1f} times as large",
        "start is not looked at",
    )
    shown = own.method("positions")
    expect_shape(shown, (T * P, E), "positions()")
    expect(
        close(shown - shown[:1], same - same[:1]), "positions() as what is added to the tokens", given, "other vectors"
    )
    expect(
        close(own(frames[:, :1]), own(frames)[:, :P]),
        "the first positions for the first frames",
        "one frame instead of three",
        "others",
    )
    _, (gradient,), parameters = own.gradients(frames)
    expect(
        gradient is not None and all(value is not None for value in parameters.values()),
        "gradients of frames and parameters",
        given,
        "none for some",
        "positions that are no nn.Parameter cannot be learnt",
    )
    expect(all(weighted(value).isfinite() for value in parameters.values()), "finite gradients", given, "nan or inf")
