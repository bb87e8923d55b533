"""Character models: causal, the same in one piece or in many, equal to torch's own layers; and sampling from them."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models.sampling import characters, generate, next_probabilities
from lib.models.text import (
    CausalEmbedding,
    CausalLayer,
    CharLSTM,
    CharTCN,
    CharTransformer,
    SelfAttention,
    rotary_angles,
    rotate,
)

A, CONTEXT = 7, 12
MODELS = {
    "LSTM": lambda: CharLSTM(A, 10, num_layers=2),
    "TCN": lambda: CharTCN(A, 8, dilations=(1, 2, 4), kernel_size=2),
    "TCN, kernel 3": lambda: CharTCN(A, 8, dilations=(1, 3), kernel_size=3),
    **{
        f"Transformer, {positions}": lambda positions=positions: CharTransformer(
            A, 16, num_layers=2, num_heads=2, ff_size=20, context=CONTEXT, positions=positions
        )
        for positions in ("none", "learned", "rotary")
    },
    "Transformer, 3 taps": lambda: CharTransformer(
        A, 16, num_layers=2, num_heads=2, ff_size=20, context=CONTEXT, taps=3
    ),
}


def build(name, seed=0):
    """A model whose parameters are all away from zero, in float64."""
    torch.manual_seed(seed)
    model = MODELS[name]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def text(T, B=2, seed=0):
    return torch.randint(A, (B, T), generator=torch.Generator().manual_seed(seed))


def lengths(name):
    """Texts up to the context, and for all but learned positions far beyond it."""
    return [1, CONTEXT] if "learned" in name else [1, CONTEXT, 5 * CONTEXT]


EVERY = [(name, T) for name in MODELS for T in lengths(name)]


def assert_same(ours, theirs, what, atol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, msg=lambda message: f"{what}: {message}")


# --- the interface --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "T"), EVERY)
@pytest.mark.parametrize("B", [1, 3])
def test_every_character_gets_logits(name, T, B):
    logits, state = build(name)(text(T, B))
    assert logits.shape == (B, T, A) and logits.isfinite().all() and state is not None


@pytest.mark.parametrize(("name", "T"), EVERY)
def test_a_character_changes_no_logit_before_it(name, T):
    model, tokens = build(name), text(T)
    before, _ = model(tokens)
    for t in {0, T // 2, T - 1}:
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % A
        after, _ = model(changed)
        assert_same(after[:, :t], before[:, :t], f"changing character {t} must not change what came before")
        assert not torch.allclose(after[:, t], before[:, t]), f"character {t} must matter for its own successor"


@pytest.mark.parametrize(("name", "T"), EVERY)
@pytest.mark.parametrize("chunk", [1, 7, None], ids=["single characters", "chunks of 7", "in halves"])
def test_reading_in_pieces_equals_reading_at_once(name, T, chunk):
    model, tokens = build(name).float(), text(T)
    whole, end = model(tokens)
    pieces, state = [], None
    for piece in tokens.split(chunk or max(1, T // 2), dim=1):
        logits, state = model(piece, state)
        pieces.append(logits)
    assert_same(torch.cat(pieces, dim=1), whole, "the state must carry all that matters", 1e-5)
    if T < CONTEXT or "learned" not in name:
        assert_same(
            model(text(1, seed=1), state)[0], model(text(1, seed=1), end)[0], "and both texts go on alike", 1e-5
        )


@pytest.mark.parametrize("name", MODELS)
def test_a_state_can_be_used_twice(name):
    model, tokens = build(name), text(CONTEXT)
    _, state = model(tokens[:, :5])
    assert_same(model(tokens[:, 5:], state)[0], model(tokens[:, 5:], state)[0], "the second use")


@pytest.mark.parametrize("name", [name for name in MODELS if "learned" not in name])
def test_the_state_does_not_grow(name):
    def size(state):
        return sum(map(size, state)) if isinstance(state, (tuple, list)) else torch.as_tensor(state).numel()

    model, state, sizes = build(name), None, []
    for t in range(5 * CONTEXT):
        _, state = model(text(1, seed=t), state)
        sizes.append(size(state))
    assert max(sizes) == sizes[CONTEXT] == sizes[-1], f"each character must cost the same, but the state has {sizes}"


@pytest.mark.parametrize("name", MODELS)
def test_texts_of_a_batch_do_not_touch_each_other(name):
    model, tokens = build(name), text(CONTEXT, B=3)
    assert_same(model(tokens)[0][1:2], model(tokens[1:2])[0], "alone or beside others")


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name):
    model = build(name)
    F.cross_entropy(model(text(CONTEXT))[0].flatten(0, 1), text(CONTEXT, seed=1).flatten()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without, f"{without} can learn nothing"


@pytest.mark.parametrize("name", MODELS)
def test_wrong_tokens_are_named(name):
    model = build(name)
    for wrong in (text(3).float(), text(3)[0], text(3)[:, :0]):
        with pytest.raises(ValueError, match=r"int64 \(B, T\)"):
            model(wrong)
    for wrong in (text(3) + A, text(3) - A):
        with pytest.raises(ValueError, match="must lie in 0 … 6"):
            model(wrong)


# --- recurrent ------------------------------------------------------------------------------------------------------


def test_the_lstm_is_the_textbook_cell_on_embedded_characters():
    """Checked step by step against the equations of Hochreiter and Schmidhuber's cell with a forget gate."""
    torch.manual_seed(0)
    model, tokens = CharLSTM(A, 10, embedding_size=6).double(), text(9)
    x = F.one_hot(tokens, A).double() @ model.input.weight  # an embedding is a product with one-hot vectors
    h = c = torch.zeros(2, 10, dtype=torch.float64)
    logits = model(tokens)[0]
    for t in range(9):
        gates = F.linear(x[:, t], model.lstm.weight_ih_l0, model.lstm.bias_ih_l0)
        i, f, g, o = (gates + F.linear(h, model.lstm.weight_hh_l0, model.lstm.bias_hh_l0)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        normed = (h - h.mean(1, keepdim=True)) / (h.var(1, keepdim=True, correction=0) + 1e-5).sqrt()  # over units only
        assert_same(logits[:, t], F.linear(normed, model.output.weight, model.output.bias), f"the logits of step {t}")


@pytest.mark.parametrize("kind", [CharLSTM, CharTCN, CharTransformer])
def test_dropout_acts_while_training_only(kind):
    model, tokens = kind(A, 16, dropout=0.5), text(CONTEXT)
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    model.eval()
    assert torch.equal(model(tokens)[0], model(tokens)[0])


def test_recurrent_dropout_thins_the_recurrent_weights_while_training_only():
    torch.manual_seed(0)
    model, tokens = CharLSTM(A, 10, num_layers=2, recurrent_dropout=0.5), text(1)
    first, second = model(tokens)[0], model(tokens)[0]
    assert_same(first, second, "the first step has no state that the recurrent weights could act on; the logits")
    tokens = text(CONTEXT)
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    model(tokens)[0].square().sum().backward()
    dropped = (model.lstm.weight_hh_l0.grad == 0).float().mean().item()
    assert 0.3 < dropped < 0.7, f"about half of the recurrent weights take no part in a chunk, but {dropped:.0%}"
    assert (model.lstm.weight_ih_l1.grad != 0).any()
    plain = CharLSTM(A, 10, num_layers=2)
    plain.load_state_dict(model.state_dict())
    assert_same(model.eval()(tokens)[0], plain(tokens)[0], "in evaluation mode nothing is dropped; the logits")


# --- convolutional --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "D"), [(2, 1), (2, 4), (3, 2)])
def test_a_causal_layer_equals_torchs_dilated_convolution(K, D):
    torch.manual_seed(0)
    layer = CausalLayer(5, K, D).double()
    x = torch.randn(2, 11, 5, dtype=torch.float64, requires_grad=True)
    past = torch.randn(2, (K - 1) * D, 5, dtype=torch.float64)
    weight = layer.linear.weight.detach().view(5, K, 5).transpose(1, 2).requires_grad_()  # (O, C, K)
    inputs = torch.cat([past, layer.norm(x)], dim=1).transpose(1, 2)  # (B, C, reach + T)
    theirs = x + F.conv1d(inputs, weight, layer.linear.bias, dilation=D).relu().square().transpose(1, 2)
    ours, after = layer(x, past)
    assert_same(ours, theirs, "the output")
    assert_same(after, inputs.transpose(1, 2)[:, 11:], "the state")
    left = torch.autograd.grad(ours.square().sum(), [x, layer.linear.weight])
    right = torch.autograd.grad(theirs.square().sum(), [x, weight])
    assert_same(left[0], right[0], "the gradient of x")
    assert_same(left[1].view(5, K, 5).transpose(1, 2), right[1], "the gradient of the weights")


@pytest.mark.parametrize("name", ["TCN", "Transformer, none"])
def test_an_embedding_is_a_linear_layer_on_one_hot_characters(name):
    model, tokens, seen = build(name), text(9), []
    model.layers[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(tokens)
    table = model.input if name == "TCN" else model.input.tables[0]
    assert_same(seen[0], F.one_hot(tokens, A).double() @ table.weight, "what the first layer gets")


@pytest.mark.parametrize(
    ("dilations", "kernel_size", "field"),
    [((1,), 2, 2), ((1, 2, 4), 2, 8), ((1, 3, 9), 3, 27), ((2, 1), 4, 10)],
)
def test_the_receptive_field_is_exact(dilations, kernel_size, field):
    torch.manual_seed(0)
    model = CharTCN(A, 16, dilations, kernel_size).double()
    R = model.receptive_field
    assert field == R, f"the field should be {field} characters, receptive_field says {R}"
    tokens = text(R + 6, B=8)
    for lag, inside in ((0, True), (R - 1, True), (R, False), (R + 5, False)):
        changed = tokens.clone()
        changed[:, -1 - lag] = (changed[:, -1 - lag] + 1) % A
        same = torch.equal(model(changed)[0][:, -1], model(tokens)[0][:, -1])
        matters = "must matter" if inside else "must not matter"
        assert same != inside, f"the field is {R} characters: the one {lag} back {matters}"


@pytest.mark.parametrize("options", [{"dilations": ()}, {"dilations": (0,)}, {"kernel_size": 1}])
def test_an_impossible_tcn_is_refused(options):
    with pytest.raises(ValueError, match="kernel_size ≥ 2 and dilations ≥ 1"):
        CharTCN(A, 8, **options)


# --- attention ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("E", "heads"), [(4, 1), (12, 3)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("context", [3, 20])
def test_attention_equals_torchs_multihead_attention(E, heads, causal, context):
    torch.manual_seed(0)
    T = 9
    ours = SelfAttention(E, heads, context, causal=causal).double()
    theirs = nn.MultiheadAttention(E, heads, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    age = torch.arange(T)[:, None] - torch.arange(T)
    hidden = (age < 0) | (age >= context) if causal else torch.zeros(T, T, dtype=torch.bool)
    x = torch.randn(2, T, E, dtype=torch.float64, requires_grad=True)
    a, b = ours(x)[0], theirs(x, x, x, attn_mask=hidden, need_weights=False)[0]
    assert_same(a, b, "the output")
    left = torch.autograd.grad(a.square().sum(), [x, *ours.parameters()])
    parameters = [theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj.weight, theirs.out_proj.bias]
    right = torch.autograd.grad(b.square().sum(), [x, *parameters])
    for name, mine, reference in zip(("x", "W_qkv", "b_qkv", "W_out", "b_out"), left, right, strict=True):
        assert_same(mine, reference, f"the gradient of {name}")


def test_without_positions_only_the_causal_mask_knows_the_order():
    torch.manual_seed(0)
    x, order = torch.randn(1, 8, 6, dtype=torch.float64), torch.randperm(8)
    free, causal = (SelfAttention(6, 2, context=8, causal=causal).double() for causal in (False, True))
    assert_same(free(x[:, order])[0], free(x)[0][:, order], "attention to everything: permuting first or afterwards")
    assert not torch.allclose(causal(x[:, order])[0], causal(x)[0][:, order]), "the mask must break the symmetry"
    before_last = torch.cat([torch.randperm(7), torch.tensor([7])])
    last = causal(x[:, before_last])[0][:, -1]
    assert_same(last, causal(x)[0][:, -1], "one causal layer cannot tell the order of what the last query sees")


def test_two_causal_layers_without_positions_do_tell_the_order():
    model, tokens = build("Transformer, none"), text(8, B=1)
    tokens[0] = torch.tensor([0, 1, 2, 3, 4, 5, 6, 0])
    swapped = tokens[:, [1, 0, 2, 3, 4, 5, 6, 7]]
    assert not torch.allclose(model(tokens)[0][:, -1], model(swapped)[0][:, -1]), "the second layer must know"


@pytest.mark.parametrize("D", [2, 8])
def test_rotated_dot_products_depend_on_the_distance_only(D):
    q, k = torch.randn(2, D, dtype=torch.float64)
    products = {}
    for i, j in itertools.product(range(0, 40, 3), repeat=2):
        a, b = rotate(q, rotary_angles(i, i + 1, D)), rotate(k, rotary_angles(j, j + 1, D))
        products.setdefault(i - j, []).append((a * b).sum())
    for distance, values in products.items():
        assert_same(torch.stack(values), values[0].expand(len(values)), f"at distance {distance}")
    assert len({round(values[0].item(), 6) for values in products.values()}) > 20, "distances must differ"
    assert_same(rotate(q, rotary_angles(17, 18, D)).norm(), q.norm(), "turning keeps the length")


def test_far_into_a_text_rotary_positions_are_as_exact_as_at_its_start():
    layer = SelfAttention(8, 2, context=6, rotary=True)
    x = torch.randn(1, 6, 8)
    assert_same(layer(x, start=10**7)[0], layer(x)[0], "the same window ten million characters later", 1e-5)


@pytest.mark.parametrize(("name", "reach"), [("none", 23), ("rotary", 23), ("3 taps", 25)])
def test_a_transformer_sees_as_far_as_its_windows_add_up(name, reach):
    model, tokens = build(f"Transformer, {name}"), text(40)
    logits = model(tokens)[0][:, -1]
    for lag, inside in ((reach - 1, True), (reach, False), (39, False)):
        changed = tokens.clone()
        changed[:, -1 - lag] = (changed[:, -1 - lag] + 1) % A
        assert torch.equal(model(changed)[0][:, -1], logits) != inside, f"the character {lag} back"


@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("T", [1, 3, 9])
def test_a_causal_embedding_is_a_convolution_of_one_hot_characters(taps, T):
    torch.manual_seed(0)
    layer, tokens = CausalEmbedding(A, 5, taps).double(), text(T)
    weight = (
        torch.stack([table.weight for table in reversed(layer.tables)], dim=2).detach().transpose(0, 1)
    )  # (E, A, K)
    onehot = F.pad(F.one_hot(tokens, A).double().transpose(1, 2), (taps - 1, 0))  # (B, A, K - 1 + T)
    weight.requires_grad_()
    ours, theirs = layer(tokens, tokens[:, :0])[0], F.conv1d(onehot, weight).transpose(1, 2)
    assert_same(ours, theirs, "the output")
    left = torch.autograd.grad(ours.square().sum(), [table.weight for table in reversed(layer.tables)])
    right = torch.autograd.grad(theirs.square().sum(), weight)[0]
    assert_same(torch.stack(left, dim=2).transpose(0, 1), right, "the gradient of the tables")


def test_learned_positions_end_at_the_context():
    model = build("Transformer, learned")
    with pytest.raises(ValueError, match="end at the context of 12 characters, but the text has 13"):
        model(text(13))
    _, state = model(text(12))
    with pytest.raises(ValueError, match="larger context or with rotary"):
        model(text(1), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "sinus"}, "none, learned, rotary"),
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"width": 12, "num_heads": 4}, "rotary: of 2 num_heads"),
    ],
)
def test_an_impossible_transformer_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CharTransformer(A, **({"width": 16, "num_heads": 2} | options))


# --- sampling -------------------------------------------------------------------------------------------------------

LOGITS = torch.tensor([0.05, 0.5, 0.2, 0.25]).log()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [0, 1, 2, 3]),
        ({"top_k": 1}, [1]),
        ({"top_k": 3}, [1, 2, 3]),
        ({"top_k": 99}, [0, 1, 2, 3]),
        ({"top_p": 1e-9}, [1]),
        ({"top_p": 0.4}, [1]),
        ({"top_p": 0.6}, [1, 3]),
        ({"top_p": 0.8}, [1, 2, 3]),
        ({"top_p": 1.0}, [0, 1, 2, 3]),
        ({"top_k": 2, "top_p": 0.7}, [1, 3]),  # of the two left, the first has 2/3
        ({"top_k": 2, "top_p": 0.6}, [1]),
        ({"temperature": 0}, [1]),
        ({"temperature": 0.1, "top_p": 0.99}, [1]),
        ({"temperature": 1e-30}, [1]),
    ],
)
def test_exactly_the_right_characters_are_kept(options, kept):
    p = next_probabilities(LOGITS, **options)
    assert p.nonzero().flatten().tolist() == kept and p.sum().item() == pytest.approx(1)
    if "temperature" not in options:
        shares = LOGITS.exp()[kept] / LOGITS.exp()[kept].sum()
        assert_same(p[kept], shares, "what is kept keeps its proportions", 1e-6)
    assert_same(next_probabilities(torch.stack([LOGITS, LOGITS]), **options), torch.stack([p, p]), "in a batch")


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_temperature(temperature):
    class Fixed(nn.Module):
        def forward(self, tokens, state=None):
            return LOGITS.expand(*tokens.shape, 4), ()

    drawn = generate(
        Fixed(), torch.zeros(500, 1).long(), 40, temperature=temperature, generator=torch.Generator().manual_seed(0)
    )
    assert drawn.shape == (500, 40)
    shares = drawn.flatten().bincount(minlength=4) / drawn.numel()
    expected = LOGITS.exp() ** (1 / temperature)
    assert_same(shares, expected / expected.sum(), "frequencies must be as p^(1/temperature)", 0.015)


def test_equal_logits_keep_no_more_than_asked_for():
    p = next_probabilities(torch.zeros(5), top_k=2)
    assert p.tolist() == [0.5, 0.5, 0, 0, 0]
    assert next_probabilities(torch.zeros(5), temperature=0).tolist() == [1, 0, 0, 0, 0]
    assert next_probabilities(torch.zeros(4), top_p=0.5).tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("name", MODELS)
def test_writing_is_reading_everything_again_for_each_character(name):
    model, prompt = build(name), text(4)
    ours = generate(model, prompt, CONTEXT - 4, temperature=0)
    tokens = prompt
    for _ in range(CONTEXT - 4):
        tokens = torch.cat([tokens, model(tokens)[0][:, -1].argmax(1, keepdim=True)], dim=1)
    assert torch.equal(ours, tokens[:, 4:])
    assert torch.equal(generate(model, prompt[0], CONTEXT - 4, temperature=0), ours[0]), "a single text"


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_fixes_the_text_and_characters_come_one_by_one(name):
    model, prompt = build(name), text(3)
    whole, again = (
        generate(model, prompt, 8, temperature=1.5, top_k=5, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(whole, again) and whole.dtype == torch.int64
    stream = characters(model, prompt, temperature=1.5, top_k=5, generator=torch.Generator().manual_seed(3))
    single = torch.stack(list(itertools.islice(stream, 8)), dim=1)
    assert torch.equal(single, whole) and model(prompt)[0].grad_fn is not None, "gradients are on again outside"
    assert generate(model, prompt, 0).shape == (2, 0)


def test_a_model_with_learned_positions_stops_at_its_context():
    model = build("Transformer, learned")
    assert generate(model, text(4), CONTEXT - 3).shape == (2, CONTEXT - 3), "the last character need not be read"
    with pytest.raises(ValueError, match="learned positions end"):
        generate(model, text(4), CONTEXT - 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature .*-1.0"),
        ({"temperature": float("nan")}, "temperature .*nan"),
        ({"temperature": float("inf")}, "temperature .*inf"),
        ({"top_k": 0}, "top_k .*got 0"),
        ({"top_p": 0.0}, "top_p .*got 0.0"),
        ({"top_p": 1.1}, "top_p .*got 1.1"),
        ({"num": -1}, "num must not be negative, got -1"),
    ],
)
def test_impossible_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        generate(build("LSTM"), text(3), **({"num": 2} | options))
