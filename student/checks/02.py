"""Checks of T2, T3 and T4: cells, networks and convolutions from linear layers."""

import ast

import torch
import torch.nn.functional as F

from lib.workbook.student.bench import torch_class, weighted
from lib.workbook.student.checking import close, expect, expect_shape, load, part, shape

recurrent = load("recurrent")
READY_MADE = {"RNN", "RNNCell", "LSTM", "LSTMCell", "GRU", "GRUCell", "Conv1d", "conv1d"}


def check_linear(student, *names):
    """`nn.Linear` is the only layer of torch's that these classes use."""
    for name in names:
        mentioned = [node.attr for node in ast.walk(student.tree(name)) if isinstance(node, ast.Attribute)]  # nn.…, F.…
        found = sorted(READY_MADE & set(mentioned))
        expect(
            not found,
            "nn.Linear as the only building block",
            name,
            f"nn.{', nn.'.join(found)}",
            "a ready-made layer of torch",
        )


# --- T2 -------------------------------------------------------------------------------------------------------------


def cell_rows(student):
    I, H = student.pick(2, 3), student.pick(4, 5)
    return I, H, student.randn(60, I), 0.8 * student.randn(60, H).tanh(), f"x (60, {I}), h (60, {H})"


@part("T2", 4, "RNNCell")
def plain_cell(student):
    check_linear(student, "RNNCell", "RNN")
    I, H, x, h, given = cell_rows(student)
    cell = student.build("RNNCell", I, H).randomise()
    expect_shape(cell(x, h), (60, H), given)
    recurrent.check_plain(torch.cat([x, h], dim=1), cell(x, h), given)
    wanted, found = I * H + H * H + H, cell.count()
    expect(
        found in (wanted, wanted + H),
        f"{wanted} parameters",
        f"I = {I}, H = {H}",
        str(found),
        "a bias or a matrix too few or too many",
    )
    _, gradients, _ = cell.gradients(x, h)
    expect(
        all(one is not None for one in gradients), "gradients of x and h", given, "none", "detach, or torch.no_grad()"
    )


def network_of(student, name, cell=None, **sizes):
    """A network with random weights: (network, x, output, states, sizes, given); `cell`: the name of one of torch's."""
    I, H, O, B, T = student.pick(2, 3), 4, student.pick(5, 6), 60, 4
    options = {"cell": torch_class(cell)} if cell else {}
    given = f"x ({B}, {T}, {I}), H = {H}, O = {O}" + f", cell=nn.{cell}" * bool(cell)
    network = student.build(name, I, H, O, **options).randomise(0.45)
    x = 1.5 * student.randn(B, T, I)
    output, states = recurrent.check_output(network, x, (B, T, H, O), given)
    return network, x, output, states, (B, T, H, O), given


def check_any_length(network, x, O):
    for batch, time in ((1, 1), (3, x.shape[1] + 4)):
        expect_shape(
            network(x[:1, :1].expand(batch, time, -1).clone()), (batch, O), f"x ({batch}, {time}, {x.shape[2]})"
        )


def check_plain_network(student, cell):
    network, x, output, states, sizes, given = network_of(student, "RNN", cell)
    recurrent.check_states(states, sizes, given)
    weights = recurrent.check_plain(*recurrent.steps(x, states), given)
    recurrent.check_readout(states[-1], output, given)
    check_any_length(network, x, sizes[3])
    recurrent.check_batch(network, x, given)
    readout = recurrent.affine(states[-1], output)[0]

    def reference(x):
        x = x.double().requires_grad_()
        h = x.new_zeros(len(x), sizes[2])
        for x_t in x.unbind(1):
            h = torch.tanh(recurrent.with_one(torch.cat([x_t, h], dim=1)) @ weights)
        return torch.autograd.grad(weighted(recurrent.with_one(h) @ readout), x)[0].float()

    recurrent.check_gradients(network, x[:3].clone(), reference, given)


@part("T2", 3, "RNN with torch's cell")
def network_with_torchs_cell(student):
    check_plain_network(student, "RNNCell")
    network = student.build("RNN", 2, 4, 3, cell=torch_class("GRUCell"))
    expect(
        network.count() == 3 * (2 * 4 + 4 * 4 + 2 * 4) + 4 * 3 + 3,
        "the cell that is given as an argument",
        "cell=nn.GRUCell",
        "another cell's parameters",
        "the class of the cell is written into the network",
    )


@part("T2", 3, "RNN with your cell")
def network_with_own_cell(student):
    check_plain_network(student, None)


# --- T3 -------------------------------------------------------------------------------------------------------------


def lstm_cell_rows(student):
    """A cell with random weights and what it makes of inputs: (cell, I, H, x, h, c, new h, new c, given)."""
    B, I, H = 180, 2, 3
    given = f"x ({B}, {I}), h and c ({B}, {H})"
    cell = student.build("LSTMCell", I, H).randomise(0.7)
    x, h, c = 1.2 * student.randn(B, I), 0.8 * student.randn(B, H).tanh(), 1.5 * student.randn(B, H)
    c[: B // 3] = 0
    answer = cell(x, (h, c))
    recurrent.expect_pair(answer, given)
    expect_shape(answer, [(B, H)] * 2, given)
    return cell, I, H, x, h, c, *answer, given


@part("T3", 2, "LSTMCell: a single linear layer")
def single_layer(student):
    check_linear(student, "LSTMCell", "LSTM")
    made = student.names("LSTMCell").count("Linear")
    expect(
        made == 1,
        "one single nn.Linear for all gates",
        "LSTMCell",
        f"{made} of them",
        "one layer for each gate; join them",
    )
    for I, H in ((3, 5), (student.pick(2, 9), student.pick(2, 9))):
        wanted, found = 4 * (I * H + H * H + H), student.build("LSTMCell", I, H).count()
        expect(
            found == wanted,
            f"4(nd + n² + n) = {wanted} parameters",
            f"d = {I}, n = {H}",
            str(found),
            "the bias is missing" if found == wanted - 4 * H else "a layer of another width",
        )


@part("T3", 3, "LSTMCell: h and c")
def pair(student):
    cell, I, H, x, h, c, new_h, new_c, given = lstm_cell_rows(student)
    recurrent.check_pair(cell, x, h, c, new_h, new_c, given)
    other = c.clone()
    other[:, 0] += 1
    expect(
        close(cell(x, (h, other))[1][:, 1:], new_c[:, 1:], 1e-5),
        "each unit's c' independent of other units' c",
        given,
        "it changes with them",
        "c goes through the linear layer",
    )


@part("T3", 4, "LSTMCell: the equations")
def cell_equations(student):
    cell, I, H, x, h, c, new_h, new_c, given = lstm_cell_rows(student)
    weights = recurrent.check_gated(torch.cat([x, h], dim=1), c, new_h, new_c, given)
    reference = recurrent.torch_lstm(weights, I)
    x, h, c = student.randn(5, I), student.randn(5, H).tanh(), student.randn(5, H)
    double = [one.double().requires_grad_() for one in (x, h, c)]
    wanted = reference(double[0], (double[1], double[2]))
    expect(
        all(close(one.double(), two, 5e-3) for one, two in zip(cell(x, (h, c)), wanted, strict=True)),
        "torch's h' and c'",
        "the same weights",
        "others",
    )
    _, gradients, parameters = cell.gradients(x, (h, c))
    right = torch.autograd.grad(sum(map(weighted, wanted)), double)
    fine = all(one is not None and close(one.double(), two, 1e-2) for one, two in zip(gradients, right, strict=True))
    expect(fine, "torch's gradients of x, h and c", "the same weights", "others", "detach, or torch.no_grad()")
    expect(
        all(value is not None for value in parameters.values()),
        "a gradient for every parameter",
        given,
        "none for some",
    )


def check_lstm_network(student, cell):
    network, x, output, states, sizes, given = network_of(student, "LSTM", cell)
    expect(isinstance(states, (tuple, list)) and len(states) == 2, "the states as (h, c)", given, shape(states))
    for one in states:
        recurrent.check_states(one, sizes, given)
    h, c = states
    expect(torch.cat(list(h)).abs().max() <= 1, "h between -1 and 1", given, "larger values", "h and c exchanged")
    z, new_h = recurrent.steps(x, h)
    old_c = torch.cat([torch.zeros_like(c[0]), *c[:-1]])
    weights = recurrent.check_gated(z, old_c, new_h, torch.cat(list(c)), given)
    recurrent.check_readout(h[-1], output, given)
    check_any_length(network, x, sizes[3])
    recurrent.check_batch(network, x, given)
    readout, torchs = recurrent.affine(h[-1], output)[0], recurrent.torch_lstm(weights, x.shape[2])

    def reference(x):
        x, state = x.double().requires_grad_(), None
        for x_t in x.unbind(1):
            state = torchs(x_t, state)
        return torch.autograd.grad(weighted(recurrent.with_one(state[0]) @ readout), x)[0].float()

    recurrent.check_gradients(network, student.randn(3, 4, x.shape[2]), reference, given)


@part("T3", 3, "LSTM with torch's cell")
def lstm_with_torchs_cell(student):
    check_lstm_network(student, "LSTMCell")


@part("T3", 3, "LSTM with your cell")
def lstm_with_own_cell(student):
    check_lstm_network(student, None)


# --- T4 -------------------------------------------------------------------------------------------------------------


def convolution(student, **options):
    """A convolution with random weights and its kernel and bias, recovered from single ones put in."""
    C, O, K = student.pick(2, 3), student.pick(4, 5), options.get("kernel_size", 3)
    own = student.build("Conv1d", C, O, **options).randomise()
    span = (K - 1) * options.get("dilation", 1) + 1
    given = f"x (B, {C}, {span}), {options or 'the default kernel and stride'}"
    bias = own(torch.zeros(1, C, span))
    expect_shape(bias, (1, O, 1), given, "one window fits: L = (T - span) // stride + 1, without padding")
    ones = torch.zeros(C * K, C, span)
    for channel in range(C):
        for tap in range(K):
            ones[channel * K + tap, channel, tap * options.get("dilation", 1)] = 1
    kernel = (own(ones)[:, :, 0] - bias[:, :, 0]).t().reshape(O, C, K)
    return own, kernel, bias[0, :, 0], C


def lengths(options):
    K, stride, dilation = (
        options.get(name, default) for name, default in (("kernel_size", 3), ("stride", 3), ("dilation", 1))
    )
    span = (K - 1) * dilation + 1
    return [span, span + 1, span + 3 * stride, span + 3 * stride + 1], stride, dilation


def check_convolution(student, options):
    own, kernel, bias, C = convolution(student, **options)
    times, stride, dilation = lengths(options)
    for T in times:
        x = student.randn(3, C, T)
        wanted, found = F.conv1d(x, kernel, bias, stride, dilation=dilation), own(x)
        given = f"x (3, {C}, {T}), {options or 'kernel = stride = 3'}"
        likely = (
            "the stride is ignored"
            if stride > 1 and shape(found) == shape(F.conv1d(x, kernel, bias, 1, dilation=dilation))
            else ("padding where none is meant, or one window too many or too few")
        )
        expect_shape(found, tuple(wanted.shape), given, likely)
        one_channel = close(found, F.conv1d(x.flip(2), kernel, bias, stride, dilation=dilation))
        likely = (
            "time runs backwards"
            if one_channel
            else ("channels and kernel are mixed when the windows become rows, or the windows start at other places")
        )
        expect(
            close(found, wanted),
            "what nn.Conv1d gives with the same kernel",
            given,
            f"differences up to {(found - wanted).abs().max():.2g}",
            likely,
        )


@part("T4", 2, "Conv1d: kernel = stride = 3")
def strided(student):
    check_linear(student, "Conv1d", "TCN")
    check_convolution(student, {})


@part("T4", 3, "Conv1d: other kernels, strides and dilations")
def general(student):
    for options in (
        {"kernel_size": 2, "stride": 1},
        {"kernel_size": 4, "stride": 2},
        {"kernel_size": 1, "stride": 3},
        {"kernel_size": 2, "stride": 1, "dilation": student.pick(2, 4)},
    ):
        check_convolution(student, options)
    sizes = student.pick(2, 5), student.pick(2, 5)
    wanted, found = sizes[0] * sizes[1] * 3 + sizes[1], student.build("Conv1d", *sizes).count()
    expect(
        found == wanted,
        f"{wanted} parameters",
        f"{sizes[0]} to {sizes[1]} channels, kernel 3",
        str(found),
        "a bias or weights too few or too many",
    )


@part("T4", 1, "Conv1d: no loop, and gradients")
def no_loop(student):
    loops = [
        node for node in ast.walk(student.tree("Conv1d")) if isinstance(node, (ast.For, ast.While, ast.comprehension))
    ]
    expect(not loops, "no loop", "Conv1d", "a for, a while or a comprehension", "unfold gives all windows at once")
    own, kernel, bias, C = convolution(student)
    x = student.randn(2, C, 9)
    _, (gradient,), _ = own.gradients(x)
    right = x.clone().requires_grad_()
    weighted(F.conv1d(right, kernel, bias, 3)).backward()
    expect(
        gradient is not None and close(gradient, right.grad),
        "torch's gradient of x",
        f"x (2, {C}, 9)",
        "another one, or none",
    )


@part("T4", 2, "TCN: shapes")
def tcn_shapes(student):
    I, H, O = student.pick(2, 3), student.pick(4, 5), student.pick(6, 7)
    for T in (1, 2, 3, 4, 8, 9, 10, 27, 28, 30, 81):
        network = student.build("TCN", I, H, O, T)
        expect_shape(
            network(student.randn(2, T, I)),
            (2, O),
            f"x (2, {T}, {I}), sequence_length = {T}",
            "layers until a single step is left, which is then taken away",
        )


@part("T4", 2, "TCN: zeros at the end")
def padding(student):
    I, O = 2, 3
    network = student.build("TCN", I, 6, O, 9).randomise()
    x = student.randn(4, 8, I)
    for T in (7, 8):  # one or two zeros are missing up to 9
        padded = F.pad(x[:, :T], (0, 0, 0, 9 - T))
        front = F.pad(x[:, :T], (0, 0, 9 - T, 0))
        given = f"x (4, {T}, {I}) beside the same x with {9 - T} zeros appended"
        at_front = close(network(x[:, :T]), network(front))
        expect(
            close(network(x[:, :T]), network(padded)),
            "the same output: zeros are appended at the end",
            given,
            "another output",
            "the padding is at the front"
            if at_front
            else "padding on both sides, or steps that are dropped instead of padded",
        )


@part("T4", 2, "TCN: every step counts")
def reaches_everything(student):
    I, H, O = 2, 8, 3
    for T in (9, 10, 28):
        network = student.build("TCN", I, H, O, T).randomise(0.5)
        x = student.randn(16, T, I)
        _, (gradient,), parameters = network.gradients(x)
        given = f"x (16, {T}, {I})"
        expect(gradient is not None, "a gradient of x", given, "none")
        unseen = [step + 1 for step in range(T) if not gradient[:, step].abs().max() > 0]
        expect(
            not unseen,
            "an output that depends on every step",
            given,
            f"no influence of step {', '.join(map(str, unseen[:5]))}",
            "steps that do not fill a window are dropped, or a layer is missing",
        )
        dead = [name for name, value in parameters.items() if value is None or not value.abs().max() > 0]
        expect(not dead, "a gradient for every parameter", given, f"none for {', '.join(dead)}")
        middle = network(x) + network(-x) - 2 * network(0 * x)
        expect(
            middle.abs().max() > 1e-3,
            "a nonlinearity between the layers",
            given,
            "an output linear in x",
            "the ReLU is missing",
        )
