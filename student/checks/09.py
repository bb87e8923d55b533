"""Checks of W2: a convolutional LSTM, its cell and the forecaster made of it."""

import torch
import torch.nn.functional as F

from lib.models.padding import pad
from lib.workbook.student.bench import weighted
from lib.workbook.student.checking import close, expect, expect_shape, load, part, shape

recurrent = load("recurrent")
READY_MADE = {"LSTM", "LSTMCell", "GRU", "GRUCell", "RNN", "RNNCell"}


# --- the cell -------------------------------------------------------------------------------------------------------


def step_of(cell, x, state, given):
    """(h', c'), of the right shapes."""
    answer = cell(x, state) if state is not None else cell(x)
    recurrent.expect_pair(answer, given)
    return answer


@part("W2", 1, "ConvLSTMCell: shapes and parameters")
def cell_shapes(student):
    for kernel in (3, 5, 1):
        I, C, B = student.pick(1, 3), student.pick(4, 5), student.pick(2, 3)
        H, W = student.pick(6, 7), student.pick(8, 9)
        given = f"x ({B}, {I}, {H}, {W}), ConvLSTMCell({I}, {C}, kernel_size={kernel})"
        cell = student.build("ConvLSTMCell", I, C, kernel_size=kernel)
        zeros = torch.zeros(B, C, H, W)
        x = student.randn(B, I, H, W)
        first = step_of(cell, x, None, given)
        likely = "the padding: half a kernel on every side, or the states would shrink"
        expect_shape(first, [(B, C, H, W)] * 2, given, likely)
        again = step_of(cell, x, (zeros, zeros), given)
        expect(
            all(close(one, two, 1e-5) for one, two in zip(first, again, strict=True)),
            "no state means a state of zeros",
            given,
            "another result than with zeros",
            "the state of an earlier call is kept, or the first one is drawn at random",
        )
        wanted = 4 * C * (I + C) * kernel**2 + 4 * C
        found = cell.count()
        expect(
            found in (wanted, wanted + 4 * C),
            f"{wanted} parameters: four gates, each with a kernel for all {I + C} channels, and a bias",
            given,
            str(found),
            "the bias is missing" if found == wanted - 4 * C else "a kernel too few or too many, or of another size",
        )


def small_pictures(student):
    """A cell with random weights and pictures of one place, where it is an LSTM cell: cell, x, h, c, h', c', given."""
    B, I, C = 180, 2, 3
    given = f"x ({B}, {I}, 1, 1), h and c ({B}, {C}, 1, 1)"
    cell = student.build("ConvLSTMCell", I, C).randomise(0.7)
    x, h, c = 1.2 * student.randn(B, I, 1, 1), 0.8 * student.randn(B, C, 1, 1).tanh(), 1.5 * student.randn(B, C, 1, 1)
    c[: B // 3] = 0
    answer = step_of(cell, x, (h, c), given)
    expect_shape(answer, [(B, C, 1, 1)] * 2, given)
    return cell, x, h, c, *answer, given


@part("W2", 2, "ConvLSTMCell: h and c")
def cell_pair(student):
    recurrent.check_pair(*small_pictures(student))
    I, C = 1, 3
    cell = student.build("ConvLSTMCell", I, C).randomise()
    x, h, c = student.randn(2, I, 6, 7), student.randn(2, C, 6, 7).tanh(), student.randn(2, C, 6, 7)
    other = c.clone()
    other[:, 0, 2, 3] += 1
    given = f"x {tuple(x.shape)}, c changed in one channel of one cell"
    difference = (cell(x, (h, other))[1] - cell(x, (h, c))[1]).abs().amax((0,)) > 1e-5
    expect(
        difference[0, 2, 3] and difference.sum() == 1,
        "c' changed there and nowhere else: c is multiplied cell by cell",
        given,
        f"changed at {int(difference.sum())} places",
        "c goes through the convolution",
    )


@part("W2", 2.5, "ConvLSTMCell: the equations")
def cell_equations(student):
    cell, x, h, c, new_h, new_c, given = small_pictures(student)
    rows = [one.flatten(1) for one in (torch.cat([x, h], dim=1), c, new_h, new_c)]
    weights = recurrent.check_gated(*rows, given)
    reference, I = recurrent.torch_lstm(weights, x.shape[1]), x.shape[1]
    x, h, c = student.randn(5, I), student.randn(5, 3).tanh(), student.randn(5, 3)
    wanted = reference(x.double(), (h.double(), c.double()))
    small = [one[..., None, None] for one in (x, h, c)]
    found = cell(small[0], (small[1], small[2]))
    expect(
        all(close(one.flatten(1).double(), two, 5e-3) for one, two in zip(found, wanted, strict=True)),
        "h' and c' of torch's LSTM cell, on pictures of a single place",
        "the same weights",
        "others",
    )
    _, gradients, parameters = cell.gradients(student.randn(2, I, 4, 5), (small[1][:2].expand(2, 3, 4, 5).clone(),) * 2)
    expect(
        all(one is not None for one in [*gradients, *parameters.values()]),
        "gradients of x, h, c and all parameters",
        given,
        "none for some",
        "detach, or torch.no_grad()",
    )


@part("W2", 2, "ConvLSTMCell: neighbours and padding")
def cell_neighbours(student):
    for kernel, mode in ((3, "zeros"), (5, "zeros"), (3, "odd"), (5, "circular")):
        I, C, H, W, r = student.pick(1, 2), 2, 6, 7, kernel // 2
        given = f"x (2, {I}, {H}, {W}), kernel_size={kernel}, padding='{mode}'"
        cell = student.build("ConvLSTMCell", I, C, kernel_size=kernel, padding=mode).randomise()
        x, h, c = student.randn(2, I, H, W), student.randn(2, C, H, W).tanh(), student.randn(2, C, H, W)
        found = step_of(cell, x, (h, c), given)
        expect_shape(found, [(2, C, H, W)] * 2, given)

        def continued(how, r=r, cell=cell, x=x, h=h, c=c):
            """The step on pictures that go on beyond their edges in a known way, and of it the part inside."""
            wide = [pad(one, r, how) for one in (x, h, c)]
            return [one[..., r:-r, r:-r] for one in cell(wide[0], (wide[1], wide[2]))]

        def agrees(how, found=found):
            return all(close(one, two, 1e-4) for one, two in zip(found, continued(how), strict=True))

        others = [how for how in ("zeros", "odd", "circular") if how != mode and agrees(how)]
        expect(
            agrees(mode),
            f"pictures that go on beyond their edges as `pad(…, {r}, '{mode}')` continues them",
            given,
            f"as with '{others[0]}'" if others else "otherwise",
            "padding is not looked at"
            if others
            else "the padding stands on one side only, or the kernel is off centre",
        )
        other = x.clone()
        other[:, :, 3, 3] += 3
        touched = (cell(other, (h, c))[1] - found[1]).abs().amax((0, 1)) > 1e-6
        window = torch.zeros(H, W, dtype=torch.bool)
        window[3 - r : 4 + r, 3 - r : 4 + r] = True
        expect(
            bool((touched <= window).all()) and touched.any(),
            f"gates that see {r} cells far to every side",
            f"{given}, x changed at one cell",
            "farther",
            "another kernel size, or the padding stands on one side only",
        )


# --- the forecaster -------------------------------------------------------------------------------------------------

# A forecaster whose cells note what they are given and what they return.
WATCHED = """
import torch as _torch


class _Watched(_torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.network = ConvLSTM(**options)

    def forward(self, frames, horizon=0):
        return self.network(frames, horizon)

    def noted(self, frames, horizon=0):
        cells, calls, forward = [], [], ConvLSTMCell.forward

        def noted(cell, x, *args, **kwargs):
            new = forward(cell, x, *args, **kwargs)
            if id(cell) not in cells:
                cells.append(id(cell))
                calls.append([])
            state = [*args, *kwargs.values(), None][0]
            calls[cells.index(id(cell))].append((x, state, new))
            return new

        ConvLSTMCell.forward = noted
        try:
            return self.network(frames, horizon), calls
        finally:
            ConvLSTMCell.forward = forward

    def last(self, frames, horizon):
        return self.network(frames, horizon)[:, -1]

    def in_two(self, frames, cut):
        first, state = self.network.run(frames[:, :cut])
        second, _ = self.network.run(frames[:, cut:], state=state)
        return _torch.cat([first, second], dim=1)

    def scaled(self, frames, field, step):
        self.network.field_scale.fill_(field)
        self.network.step_scale.fill_(step)
        return self.network(frames, 2)

    def kept(self):
        return sorted(self.network.state_dict())
"""


def forecaster(student, seed=None, **options):
    """A forecaster with random weights, the same for the same seed, and how it was asked for."""
    student.prepare(WATCHED)
    network = student.build("_Watched", **options).randomise(0.35, seed=seed)
    return network, f"ConvLSTM({', '.join(f'{key}={value!r}' for key, value in options.items())})"


def field(student, B=2, T=4, H=6, W=7):
    return student.randn(B, T, H, W), f"frames ({B}, {T}, {H}, {W})"


@part("W2", 2.5, "ConvLSTM: the states")
def states(student):
    for layers in (1, 2):
        network, given = forecaster(student, c_hidden=3, num_layers=layers, field_scale=2.0, step_scale=0.5)
        frames, shapes = field(student)
        given = f"{shapes}, {given}"
        predictions = network(frames)
        expect_shape(predictions, tuple(frames.shape), given, "one prediction for each frame: that of the next one")
        expect(
            close(predictions, network(frames), 1e-5) and close(predictions[:1], network(frames[:1]), 1e-4),
            "the same predictions when the same frames come again, alone or in a batch",
            given,
            "others",
            "the hidden state is not reset: it is kept from one call to the next",
        )
        _, calls = network.method("noted", frames)
        fine = isinstance(calls, list) and len(calls) == layers and all(len(one) == 4 for one in calls)
        expect(fine, f"{layers} of your cells, each called once per frame", given, f"{len(calls)} cells were called")
        for number, steps in enumerate(calls):
            for t, (x, state, new) in enumerate(steps):
                place = f"{given}, layer {number + 1}, frame {t + 1}"
                below = frames[:, t : t + 1] / 2.0 if number == 0 else calls[number - 1][t][2][0]
                told = "the frame, divided by field_scale" if number == 0 else "the h of the layer below"
                likely = "is it divided by field_scale?" if number == 0 else "c instead of h, or the frame again"
                if x.shape == below.shape and close(x, frames[:, t : t + 1], 1e-5):
                    likely = "field_scale is not looked at" if number == 0 else likely
                expect(close(x, below, 1e-4), f"as a cell's input {told}", place, "something else", likely)
                before = steps[t - 1][2] if t else [torch.zeros_like(one) for one in new]
                if state is None and t == 0:
                    continue
                expect(isinstance(state, (tuple, list)) and len(state) == 2, "a state (h, c)", place, shape(state))
                swapped = all(close(one, two, 1e-5) for one, two in zip(state[::-1], before, strict=True))
                expect(
                    all(close(one, two, 1e-5) for one, two in zip(state, before, strict=True)),
                    "the state that this layer returned at the frame before; zeros at the first frame",
                    place,
                    "another state",
                    "h and c are swapped" if swapped and t else "the state of another layer, or of an earlier call",
                )
        h = pad(calls[-1][-1][2][0], 1)
        rows = F.unfold(h, 3).transpose(1, 2).flatten(0, 1)
        left = recurrent.affine(rows, predictions[:, -1].reshape(-1, 1))[1]
        expect(
            left < recurrent.RESIDUAL,
            "the prediction as a convolution of the last layer's h",
            given,
            "another function of it",
            "an activation after the last convolution, or a readout of c",
        )
    for layers, C, kernel in ((1, 3, 3), (2, 4, 5)):
        network, given = forecaster(student, c_hidden=C, num_layers=layers, kernel_size=kernel)
        cells = sum(4 * C * (below + C) * kernel**2 + 4 * C for below in [1, C][:layers])
        wanted, count = cells + 9 * C + 1, network.count()
        fine = wanted <= count <= wanted + 4 * C * layers
        expect(fine, f"{wanted} parameters, the readout's {9 * C + 1} among them", given, str(count))


@part("W2", 2.5, "ConvLSTM: teacher forcing, then closed loop")
def closed_loop(student):
    for head in ("absolute", "extrapolate"):
        network, given = forecaster(student, c_hidden=3, head=head)
        frames, shapes = field(student, T=4)
        given, T, horizon = f"{shapes}, {given}", 4, 3
        forced = network(frames)
        longer = network(frames, horizon)
        expect_shape(longer, (2, T + horizon, 6, 7), f"{given}, horizon={horizon}", "T + horizon predictions")
        expect(
            close(longer[:, :T], forced, 1e-4),
            "the first T predictions as without a horizon",
            given,
            "others",
            "the closed loop begins too early",
        )
        changed = frames.clone()
        changed[:, 2] += 1
        after = network(changed)
        expect(close(after[:, :2], forced[:, :2], 1e-4), "predictions that see no later frame", given, "they change")
        expect(
            not close(after[:, 2], forced[:, 2], 1e-3),
            "a prediction that is made from the true frame before it",
            given,
            "it does not change with that frame",
            "predictions are fed back already while there are true frames",
        )
        known, repeated = frames, frames
        for k in range(horizon):
            wanted = network(torch.cat([known, longer[:, T + k - 1 : T + k]], dim=1))[:, -1]
            truth = network(torch.cat([repeated, frames[:, -1:]], dim=1))[:, -1]
            fed_truth = close(longer[:, T + k], truth, 1e-4)
            expect(
                close(longer[:, T + k], wanted, 1e-4),
                f"prediction {T + k + 1} made from the network's own prediction {T + k}",
                f"{given}, horizon={horizon}",
                "another",
                "the roll-out is fed the last true frame again" if fed_truth else "the state does not go on with it",
            )
            known = torch.cat([known, longer[:, T + k - 1 : T + k]], dim=1)
            repeated = torch.cat([repeated, frames[:, -1:]], dim=1)
        expect(
            close(network.method("in_two", frames, 2), forced, 1e-4),
            "the same when a run is cut in two and the state handed on",
            f"{given}, run(frames[:, :2]), then run(frames[:, 2:], state=state)",
            "other predictions",
            "the state that is returned is not the last one, or state is not looked at",
        )
    _, (gradient,), parameters = student.call(network.number, "last", gradient=True, args=(frames, 2))
    dead = [name for name, value in parameters.items() if value is None]
    expect(
        not dead, "a gradient for every parameter", given, f"none for {', '.join(dead)}", "a layer that is not used?"
    )
    direction = student.randn(*frames.shape)
    direction[:, 1:] = 0  # only the first frame
    ends = [weighted(network.method("last", frames + step * direction, 2)) for step in (0.01, -0.01)]
    slope = float(ends[0] - ends[1]) / 0.02
    found = 0.0 if gradient is None else float((gradient * direction).sum())
    expect(
        abs(found - slope) <= 0.05 * abs(slope) + 2e-3,
        f"the gradient of the last prediction by the first frame, {slope:.4f} along some direction",
        f"{given}, horizon=2",
        f"{found:.4f}",
        "the state, or the prediction that is fed back, is detached",
    )


@part("W2", 1.5, "ConvLSTM: what is predicted")
def what_is_predicted(student):
    (frames, shapes), seed = field(student), student.pick(0, 10**6)
    plain, _ = forecaster(student, seed, c_hidden=3)
    out, before = plain(frames), torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    for head, base in (("change", frames), ("extrapolate", 2 * frames - before)):
        network, given = forecaster(student, seed, c_hidden=3, head=head)
        found = network(frames)
        likely = (
            "head is not looked at" if close(found, out, 1e-4) else "the very first frame has no predecessor: 2u - u"
        )
        expect(
            close(found, base + out, 1e-4),
            {"change": "u_t + the network's output", "extrapolate": "2 u_t - u_{t-1} + the network's output"}[head],
            f"{shapes}, {given}",
            "something else",
            likely,
        )
    network, given = forecaster(student, seed, c_hidden=3, output="relu")
    expect(
        close(network(frames), out.relu(), 1e-4),
        "the readout through a ReLU",
        f"{shapes}, {given}",
        "something else",
        "output is not looked at" if close(network(frames), out, 1e-4) else "",
    )
    network, given = forecaster(student, seed, c_hidden=3, field_scale=3.0, step_scale=0.5)
    expect(
        close(network(3 * frames), 0.5 * out, 1e-4),
        "input divided by field_scale, output times step_scale",
        f"{shapes}, {given}",
        "something else",
    )
    network, given = forecaster(student, seed, c_hidden=3)
    found = network.method("scaled", 2 * frames, 2.0, 2.0)
    expect(
        close(found, 2 * plain(frames, 2), 1e-4),
        "field_scale and step_scale as tensors that a training sets",
        f"{given}, both set to 2 afterwards",
        "another result",
    )
    kept = network.method("kept")
    expect(
        {"field_scale", "step_scale"} <= set(kept),
        "both scales stored with the weights",
        given,
        "they are not among them",
        "register_buffer keeps a tensor that is no parameter",
    )
