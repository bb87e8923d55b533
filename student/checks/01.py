"""Checks of P2 and P6: the two networks from matrices."""

import torch

from lib.workbook.student.bench import weighted
from lib.workbook.student.checking import close, expect, expect_shape, load, part

recurrent = load("recurrent")
READY_MADE = {"RNN", "RNNCell", "LSTM", "LSTMCell", "GRU", "GRUCell", "Linear", "Bilinear", "LazyLinear"}


def sizes(student):
    """Batch, time, input, hidden and output sizes, all different, and one line that names them."""
    I, B, T = student.pick(2, 3), student.pick(6, 8), student.pick(4, 5)
    H, O = I + student.pick(1, 2), student.pick(9, 10)
    return B, T, I, H, O, f"x (B, T, I) = ({B}, {T}, {I}), H = {H}, {O} classes"


def check_by_hand(student, name):
    """Parameters and matrix products only."""
    found = sorted(READY_MADE & set(student.names(name)))
    expect(
        not found,
        "parameters and matrix products only",
        name,
        f"nn.{', nn.'.join(found)}",
        "a ready-made layer of torch",
    )


def check_shapes(student, name):
    B, T, I, H, O, given = sizes(student)
    network = student.build(name, I, H, O)
    expect(
        network.shapes,
        "parameters that an optimiser can find",
        name,
        "none",
        "tensors that are not wrapped in nn.Parameter",
    )
    for value in network.parameters().values():
        expect(
            value.isfinite().all() and value.abs().max() < 100,
            "moderate initial weights",
            name,
            "nan, inf or huge values",
            "torch.empty without giving the weights values",
        )
    matrices = [value for value in network.parameters().values() if value.dim() > 1]
    expect(
        matrices and all(len(value.unique()) > 1 for value in matrices),
        "different initial weights for different units",
        name,
        "all the same",
        "matrices of zeros: every unit would learn the same",
    )
    for batch, time in ((B, T), (1, T), (B, 1)):
        expect_shape(
            network(student.randn(batch, time, I)),
            (batch, O),
            f"x ({batch}, {time}, {I})",
            "logits of the last step only: (B, num_classes)",
        )
    longer = network(student.randn(B, T + 3, I))
    expect_shape(longer, (B, O), f"x ({B}, {T + 3}, {I})", "any number of steps")


def check_state(student, name):
    B, T, I, H, O, given = sizes(student)
    network = student.build(name, I, H, O).randomise()
    x = student.randn(B, T, I)
    recurrent.check_reset(network, x, given)
    recurrent.check_batch(network, x, given)
    changed = x.clone()
    changed[:, 0] += 1
    expect(
        not close(network(x), network(changed), 1e-6),
        "an output that depends on the first step too",
        given,
        "the same output for another first step",
        "the state is set to zero within the loop, or only the last step is read",
    )


@part("P2", 0.5, "shapes and parameters")
def rnn_shapes(student):
    check_by_hand(student, "VanillaRNN")
    check_shapes(student, "VanillaRNN")


@part("P2", 0.5, "the state")
def rnn_state(student):
    check_state(student, "VanillaRNN")


def rnn_weights(student):
    """A network with random weights: (the network, x, its recovered recurrence and output layer, sizes, given)."""
    *_, I, H, O, given = sizes(student)
    B, T = 24, 4
    network = student.build("VanillaRNN", I, H, O).randomise(0.5)
    x = student.randn(B, T, I)
    output, states = recurrent.check_output(network, x, (B, T, H, O), given)
    recurrent.check_states(states, (B, T, H, O), given)
    weights = recurrent.check_plain(*recurrent.steps(x, states), given)
    recurrent.check_readout(states[-1], output, given)
    return network, x, weights, recurrent.affine(states[-1], output)[0], given


@part("P2", 0.5, "the equations")
def rnn_equations(student):
    rnn_weights(student)


@part("P2", 0.5, "gradients through time")
def rnn_gradients(student):
    network, _, weights, readout, given = rnn_weights(student)
    x = student.randn(3, 5, len(weights) - 1 - weights.shape[1])

    def reference(x):
        x = x.double().requires_grad_()
        h = x.new_zeros(len(x), weights.shape[1])
        for x_t in x.unbind(1):
            h = torch.tanh(recurrent.with_one(torch.cat([x_t, h], dim=1)) @ weights)
        return torch.autograd.grad(weighted(recurrent.with_one(h) @ readout), x)[0].float()

    recurrent.check_gradients(network, x, reference, given)


@part("P6", 0.5, "shapes and parameters")
def lstm_shapes(student):
    check_by_hand(student, "VanillaLSTM")
    check_shapes(student, "VanillaLSTM")
    for I, H, O in ((3, 5, 4), (student.pick(2, 6), student.pick(2, 6), student.pick(2, 6))):
        wanted, found = 4 * (I * H + H * H + H) + O * H + O, student.build("VanillaLSTM", I, H, O).count()
        twice = 4 * (I * H + H * H + 2 * H) + O * H + O  # a bias with each matrix
        likely = "the biases are missing" if found < wanted else "a matrix too many?"
        expect(
            found in (wanted, twice),
            f"4(nd + n² + n) = {wanted - O * H - O} parameters and {O * H + O} of the output layer",
            f"d = {I}, n = {H}, {O} classes",
            f"{found} altogether",
            likely,
        )


@part("P6", 0.5, "the state")
def lstm_state(student):
    check_state(student, "VanillaLSTM")


def lstm_weights(student):
    """As `rnn_weights`; the weights are those of the gates f, i, g, o."""
    *_, O, given = sizes(student)
    B, T, I, H = 60, 4, 2, 3
    given = f"x ({B}, {T}, {I}), H = {H}, {O} classes"
    network = student.build("VanillaLSTM", I, H, O).randomise(0.7)
    x = 1.5 * student.randn(B, T, I)
    output, states = recurrent.check_output(network, x, (B, T, H, O), given)
    expect(
        isinstance(states, (tuple, list)) and len(states) == 2, "the states as (h, c)", given, recurrent.shape(states)
    )
    for one in states:
        recurrent.check_states(one, (B, T, H, O), given)
    z, h = recurrent.steps(x, states[0])
    c = torch.cat([torch.zeros_like(states[1][0]), *states[1][:-1]])
    expect(
        h.abs().max() <= 1,
        "h = tanh(c) ⊙ o, between -1 and 1",
        given,
        f"values up to {h.abs().max():.2f}",
        "h and c exchanged" if torch.cat(list(states[1])).abs().max() <= 1 else "c instead of tanh(c)",
    )
    weights = recurrent.check_gated(z, c, h, torch.cat(list(states[1])), given)
    recurrent.check_readout(states[0][-1], output, given)
    return network, x, weights, recurrent.affine(states[0][-1], output)[0], given


@part("P6", 1.5, "the equations")
def lstm_equations(student):
    lstm_weights(student)


@part("P6", 0.5, "gradients through time")
def lstm_gradients(student):
    network, x, weights, readout, given = lstm_weights(student)
    cell = recurrent.torch_lstm(weights, x.shape[2])

    def reference(x):
        x = x.double().requires_grad_()
        state = None
        for x_t in x.unbind(1):
            state = cell(x_t, state)
        return torch.autograd.grad(weighted(recurrent.with_one(state[0]) @ readout), x)[0].float()

    recurrent.check_gradients(network, student.randn(3, 5, x.shape[2]), reference, given)
