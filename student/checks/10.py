"""Checks of U1 and U3: the ConvNeXt block, the U-Net from its lists, and forecasts from network and frames."""

import math
from itertools import combinations, permutations

import torch
import torch.nn.functional as F

from lib.models.padding import pad
from lib.workbook.student.checking import StudentError, close, expect, expect_shape, part

# --- U1: the block --------------------------------------------------------------------------------------------------

ROLES = ("the depthwise convolution's bias", "the LayerNorm's weight", "its bias", "the last layer's bias", "γ")


def block_of(x, matrices, vectors, kernel, mode, norm=True, **changes):
    """x + γ · MLP(LayerNorm(depthwise(x))) with these weights; `changes` are the likely mistakes."""
    depthwise, expand, between, project = matrices
    bias, weight, shift, last, scale = vectors
    h = F.conv2d(pad(x, kernel // 2, mode), depthwise, bias, groups=len(bias)).permute(0, 2, 3, 1)
    if norm and changes.get("over_space"):
        h = F.layer_norm(h, h.shape[1:]) * weight + shift
    elif norm and not changes.get("no_norm"):
        h = F.layer_norm(h, h.shape[3:], weight, shift)
    h = F.linear(h, expand, between)
    h = changes.get("activation", F.gelu)(h)
    h = scale * F.linear(h, project, last)
    return h.permute(0, 3, 1, 2) + (0 if changes.get("no_residual") else x)


def weights_of(block, C, kernel, expansion, given):
    """Its parameters, told apart by their sizes: (the three matrices and the bias between them, vectors (C,))."""
    found, vectors = {}, []
    for name, value in block.parameters().items():
        if value.dim() == 4 and value.shape[2:] == (kernel, kernel) != (1, 1):
            told = "groups = channels: each channel has a kernel of its own"
            wanted = f"a depthwise kernel ({C}, 1, {kernel}, {kernel})"
            expect(value.shape == (C, 1, kernel, kernel), wanted, given, f"{tuple(value.shape)}", told)
        small = value.squeeze() if value.numel() > 1 else value.flatten()
        if value.shape == (C, 1, kernel, kernel):
            found["depthwise"] = value
        elif small.shape == (expansion * C, C):
            found["expand"] = small
        elif small.shape == (C, expansion * C):
            found["project"] = small
        elif small.shape == (expansion * C,):
            found["between"] = small
        elif small.shape == (C,):
            vectors.append(small)
        else:
            expect(
                False, "the parameters of the block alone", given, f"{name} {tuple(value.shape)}", "a layer too many"
            )
    for name, wanted in (
        ("depthwise", f"a depthwise kernel ({C}, 1, {kernel}, {kernel})"),
        ("expand", f"a linear layer from {C} to {expansion * C} channels"),
        ("project", f"a linear layer from {expansion * C} to {C} channels"),
    ):
        told = "groups = channels: each channel has a kernel of its own" if name == "depthwise" else "expansion"
        expect(name in found, wanted, given, "none of this size", told)
    found.setdefault("between", torch.zeros(expansion * C))
    return [found[name] for name in ("depthwise", "expand", "between", "project")], vectors


def arrangements(vectors, norm):
    """All ways in which vectors can be the five (without norm: three) of the block; a bias may be missing."""
    C = len(vectors[0])
    roles = [0, 1, 2, 3, 4] if norm else [0, 3, 4]
    missing = len(roles) - len(vectors)
    for left_out in combinations([role for role in roles if role != 4], max(missing, 0)):
        kept = [role for role in roles if role not in left_out]
        for order in permutations(vectors, len(kept)):
            chosen = [torch.zeros(C), torch.ones(C), torch.zeros(C), torch.zeros(C), torch.ones(C)]
            for role, vector in zip(kept, order, strict=True):
                chosen[role] = vector
            yield chosen


@part("U1", 3, "ConvNeXtBlock")
def block(student):
    for kernel, mode, expansion, norm in (
        (7, "zeros", 4, True),
        (3, "odd", 2, True),
        (5, "circular", 3, True),
        (3, "zeros", 2, False),
    ):
        C, H, W = student.pick(3, 4), student.pick(7, 8), student.pick(9, 10)
        options = {"kernel_size": kernel, "padding": mode, "expansion": expansion, "norm": norm}
        given = f"x (2, {C}, {H}, {W}), ConvNeXtBlock({C}, {', '.join(f'{k}={v!r}' for k, v in options.items())})"
        own = student.build("ConvNeXtBlock", C, **options).randomise(0.6)
        x = student.randn(2, C, H, W)
        found = own(x)
        expect_shape(found, (2, C, H, W), given, "padding of half a kernel on every side")
        matrices, vectors = weights_of(own, C, kernel, expansion, given)
        names = ROLES if norm else (ROLES[0], *ROLES[3:])
        expect(
            1 <= len(vectors) <= len(names),
            f"{len(names)} vectors of {C} numbers: {', '.join(names)}",
            given,
            f"{len(vectors)} of them",
            "norm is not looked at" if not norm else "",
        )

        def agrees(
            mode=mode, kernel=kernel, norm=norm, x=x, found=found, matrices=matrices, vectors=vectors, **changes
        ):
            return any(
                close(found, block_of(x, matrices, chosen, kernel, mode, norm, **changes), 3e-3)
                for chosen in arrangements(vectors, norm)
            )

        if agrees():
            continue
        mistakes = {
            "the input is not added: x + …": {"no_residual": True},
            "a ReLU where the GELU belongs": {"activation": F.relu},
            "no activation between the two linear layers": {"activation": lambda h: h},
            "the LayerNorm is taken over the picture too; it is meant for the channels of each cell": {
                "over_space": True
            },
            "the LayerNorm is missing or comes elsewhere": {"no_norm": True},
            "padding is not looked at": {"mode": "zeros"},
        }
        told = next((text for text, changes in mistakes.items() if agrees(**changes)), "")
        told = told or "the order of the layers, or channels and places are mixed (permute before a linear layer)"
        expect(False, "x + γ · MLP(LayerNorm(depthwise(x)))", given, "no order of your weights gives that", told)
    _, (gradient,), parameters = own.gradients(x)
    dead = [name for name, value in parameters.items() if value is None]
    expect(gradient is not None and not dead, "gradients of x and all parameters", given, f"none of {dead or 'x'}")


# --- U1: the U-Net --------------------------------------------------------------------------------------------------

# The network with eyes on its blocks: what each is given and gives, and what would follow if it gave something else.
WATCHED = """
import torch as _torch


class _Watched(_torch.nn.Module):
    def __init__(self, *args, **options):
        super().__init__()
        self.network = UNet(*args, **options)

    def forward(self, x):
        return self.network(x)

    def noted(self, x, replaced):
        calls, forward = [], ConvNeXtBlock.forward

        def noted(block, *args):
            out = replaced.get(str(len(calls)), None)
            out = forward(block, *args) if out is None else out
            calls.append((args[0].clone(), out.clone()))
            return out

        ConvNeXtBlock.forward = noted
        try:
            return self.network(x), calls
        finally:
            ConvNeXtBlock.forward = forward
"""

LISTS = (  # c_list, spatial_factor_list, num_block_list: the last of the blocks are those of the bottom
    ([3, 4, 5], [2, 3], [1, 2, 1]),
    ([4, 6], [4], [2, 1]),
    ([2, 3, 4, 6], [2, 1, 2], [1, 1, 2, 2]),
)


def network_of(student, lists, c_in=2, c_out=1, seed=None, deviation=0.4, **options):
    """A U-Net with random weights, a picture that it takes, and one line that names both."""
    c_list, factors, blocks = lists
    student.prepare(WATCHED)
    network = student.build("_Watched", c_in, c_out, c_list, factors, blocks, **({"kernel_size": 3} | options))
    total = math.prod(factors)
    H, W = 2 * total, 3 * total
    given = f"x (2, {c_in}, {H}, {W}), c_list={c_list}, spatial_factor_list={factors}, num_block_list={blocks}"
    return network.randomise(deviation, seed), student.randn(2, c_in, H, W), given


def visits(lists, H, W):
    """The levels that the blocks of a U-Net work on, in order, and the shape that each has there."""
    c_list, factors, blocks = lists
    down = [level for level in range(len(factors)) for _ in range(blocks[level])]
    order = down + [len(factors)] * blocks[-1] + down[::-1]
    sizes = [(H, W)]
    for factor in factors:
        sizes.append((sizes[-1][0] // factor, sizes[-1][1] // factor))
    return order, [(c_list[level], *sizes[level]) for level in order]


@part("U1", 2, "UNet: shapes")
def unet_shapes(student):
    for lists in (*LISTS, ([5], [], [2])):
        for c_in, c_out in ((1, 1), (student.pick(2, 4), student.pick(2, 3))):
            network, x, given = network_of(student, lists, c_in, c_out)
            expect_shape(
                network(x), (2, c_out, *x.shape[2:]), given, "padding keeps the size; every way down goes up again"
            )
    square = student.randn(1, 2, 8, 8)
    network, _, given = network_of(student, LISTS[1])
    expect_shape(network(square), (1, 1, 8, 8), f"x (1, 2, 8, 8), {given.partition('), ')[2]}", "pictures of any size")
    c_list, factors, blocks = LISTS[0]
    try:  # the bottom's entry may be left out
        shorter, x, given = network_of(student, (c_list, factors, blocks[:-1]))
    except StudentError:
        return
    expect_shape(shorter(x), (2, 1, *x.shape[2:]), given)


@part("U1", 2, "UNet: the blocks of each level")
def unet_blocks(student):
    for lists in LISTS:
        network, x, given = network_of(student, lists)
        _, calls = network.method("noted", x, {})
        order, wanted = visits(lists, *x.shape[2:])
        expect(calls, "blocks that are your ConvNeXtBlock", given, "none was called", "another block is built in")
        found = [tuple(before.shape[1:]) for before, _ in calls]
        told = "the lists are read in the same order on the way up, or num_block_list counts something else"
        if len(found) == sum(lists[2]):
            told = "the way up has no blocks: as many as the way down has, in reverse order"
        elif sorted(found) == sorted(wanted):
            told = "the decoder goes through the levels in the wrong order"
        elif len(found) == len(wanted):
            told = "blocks work before the two pictures are merged, or the picture shrinks by another factor"
        shown = " → ".join("×".join(map(str, one)) for one in wanted)
        came = " → ".join("×".join(map(str, one)) for one in found)
        expect(found == wanted, f"blocks on C×H×W = {shown}", given, came, told)


def changed_by(network, x, base, number, change, fixed):
    """How much each call's input differs, (H, W), if call `number` gives `change`; the `fixed` give what they did."""
    replaced = {str(one): base[one][1] for one in fixed} | {str(number): change}
    calls = network.method("noted", x, replaced)[1]
    pairs = zip(base, calls, strict=True)
    return {one: (new - old).abs().amax((0, 1)) for one, ((old, _), (new, _)) in enumerate(pairs)}


@part("U1", 3, "UNet: skip connections")
def unet_skips(student):
    for lists in LISTS:
        network, x, given = network_of(student, lists)
        order, _ = visits(lists, *x.shape[2:])
        _, base = network.method("noted", x, {})
        expect(len(base) == len(order), f"{len(order)} blocks", given, f"{len(base)}")
        depth, half = len(lists[1]), sum(lists[2])
        ends = {level: max(n for n in range(half) if order[n] == level) for level in range(depth + 1)}
        begins = {level: min(n for n in range(half, len(order)) if order[n] == level) for level in range(depth)}
        for level in range(depth):
            place = f"{given}; what the blocks of level {level} give on the way down is changed"
            out = base[ends[level]][1]
            y, z = student.pick(0, out.shape[2] - 1), student.pick(0, out.shape[3] - 1)
            others = [*(ends[one] for one in ends if one != level), begins[level] - 1]  # also what comes up to here
            effect = changed_by(network, x, base, ends[level], out + student.randn(*out.shape), others)
            moved = [one for one in range(depth) if effect[begins[one]].max() > 1e-4]
            expect(
                level in moved,
                f"a change where the way up reaches level {level}",
                place,
                "none",
                "the skip connection is missing, comes from the wrong level, or from before the blocks",
            )
            expect(
                max(moved) == level,
                f"a change on level {level} and above it on the way up",
                place,
                f"a change on level {max(moved)}, which lies deeper",
                "skip connections from the wrong level: each joins its own level, the last one first",
            )
            change = out.clone()
            change[:, :, y, z] += 2 * student.randn(2, out.shape[1])
            effect = changed_by(network, x, base, ends[level], change, others)
            far = effect[begins[level]].clone()
            far[max(0, y - 2) : y + 3, max(0, z - 2) : z + 3] = 0
            expect(
                far.max() < 1e-4,
                "a change at that cell and its neighbours",
                f"{place}, at one cell",
                "elsewhere",
                "the picture on the way up is resized or turned before it is joined",
            )
            free = changed_by(network, x, base, ends[level], change, [])
            expect(free[ends[level] + 1].max() > 1e-6, "a way down to the next level", place, "nothing arrives there")
            last = base[begins[level] - 1][1]
            up = changed_by(network, x, base, begins[level] - 1, last + student.randn(*last.shape), [])
            expect(
                up[begins[level]].max() > 1e-6,
                f"a way up from level {level + 1} to level {level}",
                f"{given}; what the blocks of level {level + 1} give is changed",
                "no change",
                "only the skip connection goes on",
            )


@part("U1", 2, "UNet: its start and its gradients")
def unet_start(student):
    lists = LISTS[0]
    c_list, factors, blocks = lists
    fresh = student.build("UNet", 2, 1, c_list, factors, blocks, kernel_size=3)
    network, x, given = network_of(student, lists)
    expect(
        fresh(x).abs().max() < 1e-6,
        "an untrained network that adds nothing: output 0",
        given,
        f"up to {fresh(x).abs().max():.3f}",
        "the last convolution starts at zero, weight and bias",
    )
    _, (gradient,), parameters = network.gradients(x)
    dead = [name for name, value in parameters.items() if value is None or not value.abs().max() > 0]
    likely = "a layer that is built and never used"
    expect(
        gradient is not None and not dead, "gradients of x and all parameters", given, f"none of {dead or 'x'}", likely
    )
    twins = [student.build("UNet", 2, 1, c_list, factors, blocks, kernel_size=3, seed=seed) for seed in (1, 2)]
    first, second = (twin.randomise(0.4, seed=3)(x) for twin in twins)
    expect(
        close(first, second, 1e-5),
        "the same output of two networks whose parameters are the same",
        given,
        "different ones",
        "weights that are no parameters, which no optimiser finds: modules in a plain list instead of nn.ModuleList",
    )
    separate = close(network(x)[:1], network(x[:1]), 1e-3)
    expect(separate, "pictures of a batch that do not influence each other", given, "they do", "batch norm?")


@part("U1", 2, "UNet: its options reach the blocks")
def unet_options(student):
    lists = LISTS[0]
    c_list, factors, blocks = lists
    order, _ = visits(lists, 12, 18)
    channels = [c_list[level] for level in order]

    def count(**options):
        return student.build("UNet", 2, 1, c_list, factors, blocks, **({"kernel_size": 3} | options)).count()

    plain, given = count(), f"c_list={c_list}, spatial_factor_list={factors}, num_block_list={blocks}"
    for options, more in (
        ({"kernel_size": 5}, sum(16 * C for C in channels)),
        ({"expansion": 5}, sum(2 * C * C + C for C in channels)),
        ({"norm": False}, -sum(2 * C for C in channels)),
    ):
        ((name, setting),) = options.items()
        found = count(**options) - plain
        expect(
            found == more, f"{more:+} parameters", f"{given}, {name}={setting}", f"{found:+}", f"{name} does not arrive"
        )
    large = ([3, 4], [2], [1, 1])
    seed, outputs = student.pick(0, 10**6), {}
    for mode in ("zeros", "odd", "circular"):
        network, _, _ = network_of(student, large, seed=seed, padding=mode, kernel_size=5)
        outputs[mode] = network(torch.ones(1, 2, 28, 28))
    for mode in ("odd", "circular"):
        wall = (outputs[mode] - outputs["zeros"]).abs().amax((0, 1))
        expect(
            wall[0].max() > 1e-4 and wall[-1].max() > 1e-4,
            "another output at the walls",
            f"x (1, 2, 28, 28), padding='{mode}' and 'zeros'",
            "the same",
            "padding does not arrive at the blocks",
        )


# --- U3: roll-outs --------------------------------------------------------------------------------------------------

# A network that is no function of single frames, and a forecaster made of it.
FORECASTER = """
import torch as _torch


class _Field(_torch.nn.Module):
    def __init__(self, weight, size):
        super().__init__()
        self.weight, self.size = _torch.nn.Parameter(weight.clone()), tuple(size)

    def forward(self, context):
        wanted = (self.weight.shape[1], *self.size)
        if context.dim() != 4 or tuple(context.shape[1:]) != wanted:
            raise ValueError(
                f"the network was given {tuple(context.shape)} instead of (B, {', '.join(map(str, wanted))}): are "
                "frames joined along another axis than that of time (dim=1)?"
            )
        mixed = _torch.einsum("kc,bchw->bkhw", self.weight, context)
        return _torch.tanh(mixed) + 0.4 * mixed.roll(1, 2) - 0.2 * mixed.roll(2, 3)


def _forecaster(weight, size, head, field_scale, step_scale):
    weight = _torch.tensor(weight)
    return NextFrame(_Field(weight, size), weight.shape[1], head, field_scale, step_scale)
"""


class Forecast:
    """A forecaster of the student's, and what is right, outside of the box."""

    def __init__(self, student, context_size, head="absolute", bundle=1):
        student.prepare(FORECASTER)
        self.c, self.head, self.bundle = context_size, head, bundle
        self.size = student.pick(5, 6), student.pick(7, 8)
        self.weight = 0.6 * student.randn(bundle, context_size)
        self.scales = 2.0, [0.5 + 0.25 * k for k in range(bundle)]
        self.own = student.build("_forecaster", *self.sent(), self.scales[0], self.scales[1])
        self.given = f"context_size={context_size}, head='{head}'" + f", bundles of {bundle}" * (bundle > 1)

    def sent(self):
        return self.weight.tolist(), list(self.size), self.head

    def step(self, context, weight=None):
        mixed = torch.einsum("kc,bchw->bkhw", self.weight if weight is None else weight, context / self.scales[0])
        out = torch.tanh(mixed) + 0.4 * mixed.roll(1, 2) - 0.2 * mixed.roll(2, 3)
        out = out * torch.tensor(self.scales[1]).view(-1, 1, 1)
        if self.head == "absolute":
            return out
        last, steps = context[:, -1:], torch.arange(1, self.bundle + 1).view(-1, 1, 1)
        return last + out if self.head == "change" else last + steps * (last - context[:, -2:-1]) + out

    def roll_out(self, context, count, weight=None, join=None):
        join = join or (lambda context, new: torch.cat([context, new], dim=1)[:, -self.c :])
        parts = []
        while sum(part_of.shape[1] for part_of in parts) < count:
            parts.append(self.step(context, weight))
            context = join(context, parts[-1])
        return torch.cat(parts, dim=1)[:, :count]

    def forward(self, frames, horizon=0):
        T = frames.shape[1]
        forced = [self.step(frames[:, t - self.c : t])[:, :1] for t in range(self.c, T)]
        return torch.cat([*forced, self.roll_out(frames[:, T - self.c :], 1 + horizon)], dim=1)


@part("U3", 5, "the closed loop")
def closed_loop(student):
    for context_size, head, bundle in ((1, "absolute", 1), (3, "absolute", 1), (2, "extrapolate", 1), (2, "change", 2)):
        forecast = Forecast(student, context_size, head, bundle)
        context = student.randn(2, context_size, *forecast.size)
        for count in (1, 5):
            given = f"roll_out(context {tuple(context.shape)}, {count}), {forecast.given}"
            found = forecast.own.method("roll_out", context, count)
            wanted = forecast.roll_out(context, count)
            likely = "frames joined along another axis than that of time, or all frames of the last bundle kept"
            expect_shape(found, tuple(wanted.shape), given, likely)
            joins = {
                "the context stays what it was: the predictions are not fed back": lambda old, new: old,
                "new frames are put in front: the last frame of the context is the newest": lambda old, new: torch.cat(
                    [new, old], dim=1
                )[:, : len(old[0])],
                "the wrong end of the context is dropped: the oldest frames have to go": lambda old, new: torch.cat(
                    [old, new], dim=1
                )[:, : len(old[0])],
                "the whole context is filled with the last prediction": lambda old, new: new[:, -1:].expand(
                    -1, len(old[0]), -1, -1
                ),
            }
            told = next(
                (t for t, join in joins.items() if close(found, forecast.roll_out(context, count, join=join))), ""
            )
            expect(
                close(found, wanted),
                "predictions made from the frames before, their own ones too",
                given,
                "others",
                told,
            )
    forecast = Forecast(student, 2)
    context = student.randn(2, 2, *forecast.size).requires_grad_()
    weight = forecast.weight.clone().requires_grad_()
    own = student.call(forecast.own.number, "roll_out", gradient=True, args=(context.detach(), 4))
    _, (gradient,), parameters = own
    out = forecast.roll_out(context, 4, weight)
    total = (out.flatten() * torch.arange(1.0, out.numel() + 1).cos()).sum()
    right = torch.autograd.grad(total, (context, weight))
    found = [gradient, *parameters.values()][:2]
    fine = all(one is not None and close(one, two, 5e-3) for one, two in zip(found, right, strict=True))
    expect(
        fine,
        "gradients through all steps of the roll-out",
        f"roll_out(context (2, 2, …), 4), {forecast.given}",
        "others",
        "predictions are detached before they are fed back, or torch.no_grad()",
    )


@part("U3", 3, "teacher forcing, then closed loop")
def forced_then_closed(student):
    for context_size, head, bundle in ((1, "change", 1), (3, "absolute", 1), (2, "extrapolate", 1), (2, "absolute", 2)):
        forecast = Forecast(student, context_size, head, bundle)
        for T, horizon in ((context_size, 0), (context_size, 3), (context_size + 4, 0), (context_size + 3, 4)):
            frames = student.randn(2, T, *forecast.size)
            given = f"frames {tuple(frames.shape)}, horizon={horizon}, {forecast.given}"
            found, wanted = forecast.own(frames, horizon), forecast.forward(frames, horizon)
            likely = "the predictions of frames context_size … T + horizon: T - context_size + 1 + horizon of them"
            expect_shape(found, tuple(wanted.shape), given, likely)
            forced = T - context_size
            told = ""
            if forced and close(found, forecast.roll_out(frames[:, :context_size], forced + 1 + horizon)):
                told = "predictions are fed back from the start: up to frame T each one is made from true frames"
            elif not close(found[:, : forced + 1], wanted[:, : forced + 1]):
                told = "a window of the wrong frames: prediction t is made from the context_size frames before t"
            elif horizon:
                repeated = forecast.step(frames[:, -context_size:])[:, :1]
                same = close(found[:, -1:], repeated)
                told = "the roll-out is fed the truth again" if same else "the closed loop begins from other frames"
            expect(
                close(found, wanted), "true frames up to T, then its own predictions", given, "other predictions", told
            )
