"""Vision Transformer: attention against torch's, patches and back, and what each option can and cannot know."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models.vit import (
    MIXERS,
    AttentionBlock,
    PatchEmbedding,
    PredictiveViT,
    SelfAttentionLayer,
    rotary_angles,
    rotate,
)


def assert_same(ours, theirs, what, atol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=atol, msg=lambda text: f"{what} differs: {text}")


def tensor(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def film(B=2, T=2, H=8, W=12, seed=0):
    """Random frames, grey levels 0 … 1: float64 (B, T, H, W)."""
    return torch.rand(B, T, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(seed=0, **options):
    """A small model in float64 whose positions and head are large enough to matter."""
    torch.manual_seed(seed)
    sizes = {"height": 8, "width": 12, "patch_size": 4, "embed_size": 24, "num_heads": 2, "num_layers": 3}
    model = PredictiveViT(**sizes | options).double()
    with torch.no_grad():
        for parameter in (model.mask_token, model.embedding.frame, model.embedding.place):
            if parameter is not None:
                parameter.mul_(3)
    return model


# --- attention ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("B", "N", "E", "heads"), [(2, 5, 8, 2), (1, 1, 6, 3), (3, 17, 4, 1), (2, 9, 12, 12)])
@pytest.mark.parametrize("fused", [False, True])
def test_attention_is_torchs(B, N, E, heads, fused):
    torch.manual_seed(0)
    ours, theirs = SelfAttentionLayer(E, heads, fused).double(), nn.MultiheadAttention(E, heads, batch_first=True)
    theirs.double()
    for linear in (ours.query, ours.key, ours.value, ours.output):
        nn.init.normal_(linear.weight)
        nn.init.normal_(linear.bias)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, y = tensor(B, N, E).requires_grad_(), tensor(B, N, E).requires_grad_()
    out = ours(x)
    expected, weights = theirs(y, y, y, average_attn_weights=False)
    assert_same(out, expected, "the output")
    assert_same(ours.attention(x), weights, "the attention")

    direction = tensor(B, N, E, seed=1)
    (out * direction).sum().backward()
    (expected * direction).sum().backward()
    assert_same(x.grad, y.grad, "the gradient of x")
    parts = [ours.query, ours.key, ours.value]
    assert_same(torch.cat([p.weight.grad for p in parts]), theirs.in_proj_weight.grad, "the gradient of the weights")
    assert_same(torch.cat([p.bias.grad for p in parts]), theirs.in_proj_bias.grad, "the gradient of the biases")
    assert_same(ours.output.weight.grad, theirs.out_proj.weight.grad, "the gradient of the output's weights")
    assert_same(ours.output.bias.grad, theirs.out_proj.bias.grad, "the gradient of the output's biases")


@pytest.mark.parametrize("last", [1, 3, 7])
@pytest.mark.parametrize("rotary", [False, True])
def test_written_out_and_fused_are_the_same_layer(last, rotary):
    torch.manual_seed(0)
    layer, x = SelfAttentionLayer(16, 2).double(), tensor(2, 7, 16).requires_grad_()
    angles = tensor(7, 4, seed=1) if rotary else None
    results = {}
    for fused in (False, True):
        layer.fused = fused
        out = layer(x, last, angles)
        results[fused] = [out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])]
    for number, (a, b) in enumerate(zip(*results.values(), strict=True)):
        assert_same(a, b, "the output" if number == 0 else f"gradient {number}")
    assert_same(results[False][0], layer(x, None, angles)[:, -last:], f"asking with the last {last} tokens only")


def test_attention_weights_are_shares():
    weights = SelfAttentionLayer(8, 2).double().attention(tensor(3, 6, 8))
    assert weights.shape == (3, 2, 6, 6) and (weights > 0).all()
    assert_same(weights.sum(-1), torch.ones(3, 2, 6).double(), "the sum over the tokens that are asked")


def test_equal_tokens_are_asked_equally():
    layer, x = SelfAttentionLayer(8, 2).double(), tensor(1, 6, 8)
    x[:, 4] = x[:, 1]
    weights = layer.attention(x)
    assert_same(weights[..., 4], weights[..., 1], "the attention that two equal tokens receive")
    assert_same(layer(x)[:, 4], layer(x)[:, 1], "the output of two equal tokens")


def test_attention_treats_tokens_as_a_set():
    layer, x, order = SelfAttentionLayer(8, 2).double(), tensor(2, 9, 8), torch.randperm(9)
    assert_same(layer(x[:, order]), layer(x)[:, order], "shuffling the tokens first or afterwards")


# --- positions ------------------------------------------------------------------------------------------------------


def test_turned_queries_and_keys_depend_on_the_distance_alone():
    rows, columns, size = 5, 6, 12
    angles = rotary_angles(3, rows, columns, size).double()
    assert angles.shape == (3 * rows * columns, size // 2)
    query, key = tensor(size, seed=1), tensor(size, seed=2)
    grid = (rotate(query, angles) @ rotate(key, angles).T).view(3, rows, columns, 3, rows, columns)
    far, again = grid[1, 2, 3, 0, 1, 1], grid[2, 4, 4, 1, 3, 2]  # both a frame, a row and two columns apart
    assert_same(far, again, "the product of two tokens equally far apart", 1e-6)  # angles are float32
    assert (grid[0, 0, 0, 0, 0, 0] - grid[0, 0, 0, 0, 0, 1]).abs() > 1e-3, "neighbours must differ"
    assert_same(rotate(query, angles).norm(dim=-1), query.norm().expand(len(angles)), "the length of a turned query")


def test_every_axis_turns_its_own_pairs():
    angles = rotary_angles(2, 3, 4, 12).view(2, 3, 4, 6)
    for axis in range(3):
        step = angles.diff(dim=axis).flatten(0, 2).abs().amax(0) > 0
        assert step.tolist() == [pair % 3 == axis for pair in range(6)], f"axis {axis} turns pairs {step.tolist()}"


SIZES = [(8, 12, 4), (144, 160, 16), (5, 5, 5), (3, 7, 1), (6, 4, 2)]


@pytest.mark.parametrize(("height", "width", "patch_size"), SIZES)
def test_patches_and_back(height, width, patch_size):
    embedding = PatchEmbedding(height, width, patch_size, 8)
    frames = torch.rand(2, 3, height, width)
    patches = embedding.to_patches(frames)
    rows, columns = height // patch_size, width // patch_size
    assert patches.shape == (2, 3, rows * columns, patch_size**2) and embedding.num_patches == rows * columns
    assert torch.equal(embedding.to_frames(patches), frames), "there and back must be exact"
    unfolded = F.unfold(frames.flatten(0, 1)[:, None], patch_size, stride=patch_size).transpose(1, 2)
    assert torch.equal(patches.flatten(0, 1), unfolded), "patches come row by row, and so do the pixels in a patch"


@pytest.mark.parametrize("start", [0.02, 1.0])
def test_start_is_the_standard_deviation_of_learnt_positions_and_mask_token(start):
    torch.manual_seed(0)
    model = PredictiveViT(32, 32, 4, embed_size=64, start=start)
    assert abs(model.embedding.place.std() / start - 1) < 0.05
    assert abs(model.embedding.frame.std() / start - 1) < 0.25, "of 3 × 64 numbers"
    assert abs(model.mask_token.std() / start - 1) < 0.4, "of 64 numbers"


@pytest.mark.parametrize("positions", ["learned", "none", "rotary"])
def test_tokens_are_projected_patches_plus_positions(positions):
    torch.manual_seed(0)
    embedding, frames = PatchEmbedding(8, 12, 4, 10, num_frames=3, positions=positions).double(), film(T=2)
    tokens, added = embedding(frames), embedding.positions()
    assert tokens.shape == (2, 2 * 6, 10) and added.shape == (3 * 6, 10)
    plain = embedding.projection(2 * embedding.to_patches(frames) - 1).flatten(1, 2)
    assert_same(tokens - plain, added[:12].expand(2, -1, -1), "what is added")
    if positions == "learned":
        assert len(torch.unique(added, dim=0)) == 18, "every place of every frame has a vector of its own"
        assert_same(added[7] - added[1], added[8] - added[2], "frame and place are added, so a frame's step by place")
    else:
        assert not added.any(), f"positions {positions!r} add nothing to the tokens"


# --- one layer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_layer_for_the_last_tokens_only(mixer):
    torch.manual_seed(0)
    block, x = AttentionBlock(12, 2, mixer).double(), tensor(2, 7, 12)
    whole = block(x)
    assert whole.shape == x.shape
    assert_same(block(x, last=3), whole[:, -3:], f"{mixer}: what comes out at the last three tokens")


@pytest.mark.parametrize("mixer", MIXERS)
def test_what_a_token_hears_of_the_others(mixer):
    torch.manual_seed(0)
    block, x = AttentionBlock(12, 2, mixer).double(), tensor(1, 7, 12)
    changed = x.clone()
    changed[:, 2] += tensor(12, seed=1)
    difference = (block(changed) - block(x)).abs().amax(-1)[0]
    others = difference[torch.arange(7) != 2]
    assert difference[2] > 1e-3
    assert (others == 0).all() if mixer == "mlp" else (others > 1e-6).all(), f"{mixer}: others change by {others}"
    order = torch.randperm(7)
    assert_same(block(x[:, order]), block(x)[:, order], f"{mixer}: shuffling first or afterwards")


def test_the_mean_tells_every_token_the_same():
    torch.manual_seed(0)
    block, x = AttentionBlock(12, 2, "mean").double(), tensor(2, 7, 12)
    nn.init.zeros_(block.mlp[2].weight)
    nn.init.zeros_(block.mlp[2].bias)
    added = block(x) - x
    assert_same(added, added[:, :1].expand_as(added), "what the mean adds to the tokens")


def test_mixers_have_as_many_parameters():
    counts = {mixer: sum(p.numel() for p in AttentionBlock(128, 2, mixer).parameters()) for mixer in MIXERS}
    E = 128
    assert counts["attention"] == 4 * E * E + 4 * E + 8 * E * E + 5 * E + 4 * E, "attention, MLP, two normalisations"
    assert counts["mlp"] == counts["mean"] == counts["attention"] - E


# --- network --------------------------------------------------------------------------------------------------------


def test_the_reference_model():
    model = PredictiveViT()
    count = sum(p.numel() for p in model.parameters())
    E, P, n, pixels = 128, 90, 3, 256
    layer = 12 * E * E + 13 * E
    assert count == pixels * E + E + (n + P) * E + E + 5 * layer + 2 * E + E * pixels + pixels == 1_069_568
    assert model(torch.rand(2, 2, 144, 160)).shape == (2, 144, 160)


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("num_frames", [2, 4])
def test_shapes(mixer, residual, num_frames):
    model = network(mixer=mixer, residual=residual, num_frames=num_frames)
    frames = film(B=3, T=num_frames - 1)
    assert model(frames).shape == (3, 8, 12)
    rolled = model.roll_out(frames, 5)
    assert rolled.shape == (3, 5, 8, 12) and rolled.min() >= 0 and rolled.max() <= 1


@pytest.mark.parametrize("positions", ["learned", "none", "rotary"])
@pytest.mark.parametrize("fused", [False, True])
def test_the_prediction_is_read_off_the_masked_tokens(positions, fused):
    model, frames = network(positions=positions, fused=fused), film()
    x = model.tokens(frames)
    assert x.shape == (2, 18, 24)
    for block in model.blocks:  # all tokens through all layers, by the written-out attention
        block.mixer.fused = False
        x = block(x, angles=model.angles)
    patches = model.head(model.norm(x[:, -6:]))
    expected = model.embedding.to_frames(patches[:, None])[:, 0]
    for block in model.blocks:
        block.mixer.fused = fused
    assert_same(model(frames), expected, "asking with the masked tokens only in the last layer")


@pytest.mark.parametrize("options", [{}, {"positions": "rotary"}, {"positions": "none"}, {"mixer": "mean"}])
def test_gradients_reach_every_parameter(options):
    model, frames = network(**options), film().requires_grad_()
    model(frames).square().sum().backward()
    # A bias of the keys adds the same number to all scores of a query, which softmax does not see.
    names = [name for name, _ in model.named_parameters() if not name.endswith("mixer.key.bias")]
    still = [name for name in names if not dict(model.named_parameters())[name].grad.abs().sum() > 1e-12]
    assert not still, f"{options}: {still} can learn nothing"
    assert (frames.grad.abs() > 0).all(), "every pixel of every frame must count"


def test_without_exchange_between_tokens_the_prediction_knows_nothing_of_the_film():
    model = network(mixer="mlp")
    one, other = model(film(seed=1)), model(film(seed=2))
    assert torch.equal(one, other), "a feed-forward layer on each token must not let two films give two predictions"
    frames = film().requires_grad_()
    assert not torch.autograd.grad(model(frames).sum(), frames)[0].any(), "no pixel may have an influence"
    patches = model.embedding.to_patches(one[:1, None])
    assert len(torch.unique(patches.flatten(0, 2), dim=0)) == 6, "but every place may have a patch of its own"
    for mixer in ("attention", "mean"):
        model = network(mixer=mixer)
        assert not torch.equal(model(film(seed=1)), model(film(seed=2))), f"{mixer} must carry something over"


def test_without_positions_all_predicted_patches_are_one_patch():
    model, frames = network(positions="none"), film()
    patches = model.embedding.to_patches(model(frames)[:, None])[:, 0]  # (B, P, p²)
    assert_same(patches, patches[:, :1].expand_as(patches), "every predicted patch")
    place = network(positions="learned")
    patches = place.embedding.to_patches(place(frames)[:, None])[:, 0]
    assert (patches - patches[:, :1]).abs().amax() > 1e-3, "with positions they differ"


@pytest.mark.parametrize("mixer", ["attention", "mean"])
def test_without_positions_the_order_of_patches_and_frames_is_lost(mixer):
    model, frames = network(positions="none", mixer=mixer), film()
    patches = model.embedding.to_patches(frames)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    assert_same(
        model(model.embedding.to_frames(patches[:, :, order])), model(frames), "shuffled patches: the prediction"
    )
    assert_same(model(frames.flip(1)), model(frames), "frames played backwards: the prediction")
    known = network(mixer=mixer)
    assert (known(frames.flip(1)) - known(frames)).abs().max() > 1e-4, "with positions, direction in time matters"


def test_rotary_positions_tell_places_and_frames_apart():
    model, frames = network(positions="rotary"), film()
    assert (model(frames.flip(1)) - model(frames)).abs().max() > 1e-4
    patches = model.embedding.to_patches(model(frames)[:, None])[:, 0]
    assert (patches - patches[:, :1]).abs().amax((0, 2))[1:].min() > 1e-6, "every place asks from its own angle"
    assert "angles" not in model.state_dict(), "angles are computed, not learnt: they need no place in a checkpoint"


def test_without_attention_a_residual_model_knows_the_last_patch_at_its_place_and_nothing_else():
    model, frames = network(residual=True, mixer="mlp"), film()
    torch.nn.init.normal_(model.head.weight)
    changed = frames.clone()
    changed[:, 0] += 0.5  # the frame before the last
    changed[:, -1, :4, :4] *= 0.5  # the first patch of the last frame
    difference = (model(changed) - model(frames)).abs()
    assert difference[:, :4, :4].min() > 0, "the patch at the same place matters"
    difference[:, :4, :4] = 0
    assert difference.max() == 0, "no other patch and no earlier frame does"


def test_a_residual_model_starts_as_a_copy_of_the_last_frame():
    model, frames = network(residual=True), film()
    assert torch.equal(model(frames), frames[:, -1])
    with torch.no_grad():
        model.head.bias += 0.25
    assert_same(model(frames), frames[:, -1] + 0.25, "afterwards it adds to the last frame; the prediction")


def test_frames_of_a_batch_do_not_mix():
    model, frames = network(), film(B=3)
    assert_same(model(frames)[1:2], model(frames[1:2]), "the second film alone")


def test_a_roll_out_is_feeding_predictions_back_by_hand():
    model, frames = network(), film(T=2)
    with torch.no_grad():
        model.head.weight.mul_(3)  # so that grey levels beyond 0 … 1 occur
    first = model(frames)
    assert first.min() < 0 or first.max() > 1
    second = model(torch.stack([frames[:, 1], first.clamp(0, 1)], dim=1))
    third = model(torch.stack([first.clamp(0, 1), second.clamp(0, 1)], dim=1))
    assert_same(model.roll_out(frames, 3), torch.stack([first, second, third], dim=1).clamp(0, 1), "three frames")


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_attention_maps_are_those_of_the_forward_pass(positions):
    model, frames = network(positions=positions), film()
    maps = model.attention_maps(frames)
    assert len(maps) == 3 and all(weights.shape == (2, 2, 18, 18) for weights in maps)
    block = model.blocks[0]
    h = block.norm_mixer(model.tokens(frames))
    values = block.mixer.heads(block.mixer.value(h))
    mixed = block.mixer.output((maps[0] @ values).transpose(1, 2).flatten(2))
    assert_same(mixed, block.mixer(h, angles=model.angles), "the values weighted by the map")
    with pytest.raises(ValueError, match="mixer 'mean' has no attention"):
        network(mixer="mean").attention_maps(frames)


def test_it_learns_to_predict_a_moving_square():
    """8 × 8 frames, in which a square of 4 × 4 moves by 4 pixels: copying the last frame is always wrong."""
    places = [(0, 0), (0, 4), (4, 4), (4, 0)]
    frames = torch.zeros(8, 3, 8, 8)
    for start in range(4):
        for t in range(3):
            for direction in (1, -1):
                y, x = places[(start + direction * t) % 4]
                frames[2 * start + (direction < 0), t, y : y + 4, x : x + 4] = 1
    errors = {}
    for mixer in ("attention", "mlp"):
        torch.manual_seed(0)
        model = PredictiveViT(8, 8, 4, embed_size=32, num_heads=2, num_layers=2, mixer=mixer)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(200):
            optimizer.zero_grad()
            F.mse_loss(model(frames[:, :2]), frames[:, 2]).backward()
            optimizer.step()
        errors[mixer] = F.mse_loss(model(frames[:, :2]), frames[:, 2]).item()
    assert errors["attention"] < 0.03, f"mean squared errors {errors}"
    assert errors["mlp"] > 0.187, f"blind to the film, it cannot do better than the mean frame, 3/16: {errors}"


# --- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_size": 25}, "multiple of num_heads, got 25 for 2 heads"),
        ({"patch_size": 5}, "8 × 12 pixels cannot be cut into patches of 5"),
        ({"height": 10}, "10 × 12 pixels cannot be cut into patches of 4"),
        ({"num_frames": 1}, "num_frames must be a whole number of at least 2, got 1"),
        ({"mixer": "conv"}, "attention, mlp, mean; got 'conv'"),
        ({"positions": "sine"}, "learned, none, rotary; got 'sine'"),
        ({"positions": "rotary", "mixer": "mean"}, "need the mixer 'attention'.*'mean' and 24 / 2"),
        ({"positions": "rotary", "num_heads": 8}, "even embed_size / num_heads, got 'attention' and 24 / 8"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_wrong_frames_are_named():
    model = network().float()
    for wrong in (
        torch.zeros(2, 8, 12),
        torch.zeros(1, 2, 12, 8),
        torch.zeros(1, 2, 1, 8, 12),
        torch.zeros(1, 2, 8, 12, dtype=torch.uint8),
    ):
        with pytest.raises(ValueError, match=r"floating point \(B, T, 8, 12\), got"):
            model(wrong)
    for T in (1, 3):
        with pytest.raises(ValueError, match=f"predicts from 2 frames, got {T}"):
            model(torch.zeros(1, T, 8, 12))
    for T in (0, 4):
        with pytest.raises(ValueError, match=f"positions for 1 to 3 frames, got {T}"):
            model.embedding(torch.zeros(1, T, 8, 12))
    with pytest.raises(ValueError, match=r"patches must be \(B, T, 6, 16\), got"):
        model.embedding.to_frames(torch.zeros(1, 2, 5, 16))
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        model.roll_out(torch.zeros(1, 2, 8, 12), 0)


def test_wrong_tokens_are_named():
    layer = SelfAttentionLayer(8, 2)
    for wrong in (torch.zeros(5, 8), torch.zeros(1, 5, 6), torch.zeros(1, 5, 8, dtype=torch.long)):
        with pytest.raises(ValueError, match=r"floating point \(B, N, 8\)"):
            layer(wrong)
