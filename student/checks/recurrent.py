"""What the checks of several recurrent items share: from the states that a network shows, its matrices are recovered,
whatever they are called and however they are stored, and torch's own cell with these matrices has to agree.
"""

import torch

from lib.workbook.student.checking import close, expect, expect_shape, shape

RESIDUAL = 2e-3  # of a fit that is good; states are float32, and a wrong equation leaves 0.05 and more


def with_one(z):
    """A column of ones beside the inputs, for the bias."""
    return torch.cat([z, torch.ones(len(z), 1, dtype=z.dtype)], dim=1)


def affine(z, y):
    """The best W and b for y = z W + b, stacked (inputs + 1, outputs), and the greatest error that is left."""
    z, y = with_one(z.double()), y.double()
    weights = torch.linalg.lstsq(z, y).solution
    return weights, float((z @ weights - y).abs().max() / (1 + y.abs().max()))


def affine_inside(z, y, inverse, middle):
    """As `affine`, of inverse(y), unit by unit, of the rows where y is not so near its bounds that digits get lost.

    Args:
        inverse: of an activation whose values lie at most 1, or 0.5, around their `middle`.
    """
    y = y.double()
    fine = (y - middle).abs() < 0.99 * (1 - middle)
    found = [affine(z[rows], inverse(y[rows, unit : unit + 1])) for unit, rows in enumerate(fine.unbind(1))]
    return torch.cat([weights for weights, _ in found], dim=1), max(error for _, error in found)


def logit(share):
    return torch.log(share / (1 - share))


def steps(x, states):
    """Rows for fits, one for each sequence and time step: (x_t beside h_{t-1}, h_t), with h_0 = 0.

    Args:
        x: (B, T, I). states: T tensors (B, H).
    """
    before = [torch.zeros_like(states[0]), *states[:-1]]
    inputs = [torch.cat([x_t, h], dim=1) for x_t, h in zip(x.unbind(1), before, strict=True)]
    return torch.cat(inputs), torch.cat(list(states))


def gated(z, c, new_c):
    """As `fitted`, from other first guesses where the first ones lead nowhere."""
    for seed in range(4):
        weights, error = fitted(z, c, new_c, seed)
        if error < RESIDUAL:
            break
    return weights, error


def fitted(z, c, new_c, seed):
    """The matrices of f, i and g in c' = σ(f) c + σ(i) tanh(g), each affine in z, by a Gauss–Newton fit.

    Args:
        z: (N, features). c, new_c: (N, H), the cells before and after.

    Returns:
        (weights (3, features + 1, H) in the order f, i, g, greatest error that is left).
    """
    z, c, new_c = with_one(z.double()), c.double(), new_c.double()
    width, H, tries = z.shape[1], c.shape[1], 16
    generator = torch.Generator().manual_seed(seed)
    guess = torch.randn(tries, H, 3, width, generator=generator, dtype=z.dtype) * 0.5
    old, target = c.t()[None, :, :], new_c.t()[None]  # (1, H, N)
    damping = torch.full((tries, H), 1e-2, dtype=z.dtype)

    def model(guess):
        a = guess @ z.t()  # (tries, H, 3, N)
        f, i, g = a[:, :, 0].sigmoid(), a[:, :, 1].sigmoid(), a[:, :, 2].tanh()
        slopes = torch.stack([f * (1 - f) * old, i * (1 - i) * g, i * (1 - g * g)], dim=2)
        return f * old + i * g - target, slopes

    error, slopes = model(guess)
    for _ in range(40):
        J = (slopes[:, :, :, None, :] * z.t()).flatten(2, 3)  # (tries, H, 3 width, N)
        A, b = J @ J.transpose(2, 3), (J @ error[..., None])[..., 0]
        A = A + damping[..., None, None] * torch.eye(3 * width, dtype=z.dtype)
        step = torch.linalg.solve(A, b).unflatten(2, (3, width))
        new_error, new_slopes = model(guess - step)
        better = new_error.square().sum(2) < error.square().sum(2)
        guess = torch.where(better[..., None, None], guess - step, guess)
        slopes = torch.where(better[..., None, None], new_slopes, slopes)
        error = torch.where(better[..., None], new_error, error)
        damping = torch.where(better, damping / 4, damping * 4).clamp(1e-12, 1e6)
        if error.abs().amax(2).amin(0).max() < 1e-5:
            break
    errors = error.abs().amax(2)  # (tries, H)
    best = errors.argmin(0)
    weights = guess[best, torch.arange(H)].permute(1, 2, 0)  # (3, width, H)
    return weights, float(errors.amin(0).max())


def check_plain(z, h, given):
    """h = tanh(W z + b) for some W and b; returns them, stacked.

    Args:
        z: (N, I + H), x beside the old h. h: (N, H), the new one.
    """
    expect(
        h.abs().max() <= 1,
        "values between -1 and 1, as tanh gives",
        given,
        f"values up to {h.abs().max():.2f}",
        "the tanh is missing",
    )
    weights, error = affine_inside(z, h, torch.atanh, 0.0)
    if error > RESIDUAL and affine_inside(z, h, logit, 0.5)[1] < RESIDUAL:
        expect(False, "h' = tanh(W [x, h] + b)", given, "h' = σ(W [x, h] + b)", "a sigmoid where the tanh belongs")
    if error > RESIDUAL and affine(z, h)[1] < RESIDUAL:
        expect(False, "h' = tanh(W [x, h] + b)", given, "h' = W [x, h] + b", "the tanh is missing")
    expect(
        error <= RESIDUAL,
        "h' = tanh(W [x, h] + b), with the same W and b at every step",
        given,
        "no W and b give these values",
        "an activation other than tanh, applied twice, or a product that is not a matrix product",
    )
    return weights


def check_gated(z, c, new_h, new_c, given):
    """The equations of the LSTM hold for some matrices; returns the weights of f, i, g, o: (4, features + 1, H)."""
    o = new_h.double() / torch.tanh(new_c.double())
    fine = new_c.abs() > 0.05  # where dividing by tanh(c') loses no digits
    weights, error = gated(z, c, new_c)
    if error > RESIDUAL:
        swapped = gated(z, new_h * 0 + c, new_h)[1] < RESIDUAL
        expect(
            not swapped,
            "the new pair as (h, c)",
            given,
            "the new pair as (c, h)",
            "h and c are returned in the wrong order",
        )
        diagnose_cell(z, c, new_c, given)
    inside = (o[fine] > -0.001) & (o[fine] < 1.001)
    expect(
        inside.all(),
        "h' = o ⊙ tanh(c') with o between 0 and 1",
        given,
        f"h' / tanh(c') between {o[fine].min():.2f} and {o[fine].max():.2f}",
        "tanh instead of σ on the output gate, c instead of tanh(c'), or the old c instead of the new one",
    )
    outputs, left = [], 0.0
    for unit in range(o.shape[1]):
        rows = fine[:, unit] & (o[:, unit] > 1e-3) & (o[:, unit] < 1 - 1e-3)
        found, one = affine(z[rows], logit(o[rows, unit : unit + 1]))
        outputs, left = [*outputs, found], max(left, one)
    expect(
        left < 10 * RESIDUAL,
        "the output gate as o = σ(W [x, h] + b) of x and the old h",
        given,
        "another function",
        "the output gate is computed from the new state, or tanh(c') is not what it multiplies",
    )
    return torch.cat([weights, torch.cat(outputs, dim=1)[None]])


def check_pair(cell, x, h, c, new_h, new_c, given):
    """The pair is taken and returned as (h, c), and c' = f ⊙ c + …, f between 0 and 1; for pictures as for vectors.

    Args:
        cell: called as cell(x, (h, c)). new_h, new_c: what it returned.
    """
    returned = "h and c are returned in the wrong order"
    expect(
        new_h.abs().max() <= 1,
        "h' between -1 and 1",
        given,
        f"values up to {new_h.abs().max():.2f}",
        returned if new_c.abs().max() <= 1 else "h' is no product of o and tanh(c')",
    )
    more_c = cell(x, (h, c + 1))[1]
    change = more_c - new_c
    taken = "the state's two parts are taken in the wrong order: (h, c) = state"
    expect(
        close(cell(x, (h, c + 2))[1] - more_c, change),
        "c' changes in proportion to c",
        given,
        "another dependence",
        taken,
    )
    expect(
        (change > 0).all() and (change < 1).all(),
        "a share f of c, between 0 and 1, in c'",
        given,
        f"between {change.min():.2f} and {change.max():.2f}",
        "tanh instead of σ on the forget gate, or c is not multiplied by it",
    )


def diagnose_cell(z, c, new_c, given):
    """Raise with the likely reason why c' = σ(f) c + σ(i) tanh(g) does not hold."""
    equation = "c' = f ⊙ c + i ⊙ g, with f and i between 0 and 1 and g between -1 and 1"
    negative = bool((new_c[c.abs().amax(1) < 1e-6] < 0).any())
    likely = "an activation on the wrong gate (σ for i, f, o; tanh for g), or the new h is used too early"
    if (c.abs().amax(1) < 1e-6).any() and not negative:
        likely = "with c = 0 no new cell is negative: the candidate g needs tanh, not σ (is the tanh on another gate?)"
    expect(False, equation, given, "no matrices give these cells", likely)


def torch_lstm(weights, I):
    """Torch's LSTM cell with recovered weights (f, i, g, o) of inputs x beside h."""
    H = weights.shape[2]
    cell = torch.nn.LSTMCell(I, H).double()
    rows = torch.cat([weights[1], weights[0], weights[2], weights[3]], dim=1).t()  # torch's order: i, f, g, o
    with torch.no_grad():
        cell.weight_ih.copy_(rows[:, :I])
        cell.weight_hh.copy_(rows[:, I:-1])
        cell.bias_ih.copy_(rows[:, -1])
        cell.bias_hh.zero_()
    return cell


def check_reset(network, x, given):
    """Two calls with one input give the same, also with a batch of another size between them."""
    first, second = network(x), network(x)
    network(x[:1] + 1)
    expect(
        close(first, second, 1e-5) and close(first, network(x), 1e-5),
        "the same output when the same input is given again",
        given,
        "another output",
        "the hidden state is kept from one call to the next: start every call from zeros",
    )


def check_batch(network, x, given):
    """Every sequence of a batch is computed for itself."""
    expect(
        close(network(x)[:1], network(x[:1]), 1e-4),
        "each sequence's output independent of the others in its batch",
        given,
        "another output when it is given alone",
        "axes of batch and time exchanged, or a state shared by the batch",
    )


def check_output(network, x, sizes, given):
    """(output, states) of a network with `return_states`, of the right shapes, and the same output without."""
    B, T, H, O = sizes
    check_reset(network, x, given)
    answer = network(x, return_states=True)
    expect(
        isinstance(answer, tuple) and len(answer) == 2,
        "(output, states)",
        f"{given}, return_states=True",
        shape(answer),
        "the option return_states is not looked at",
    )
    output, states = answer
    expect_shape(output, (B, O), given, "only the last step's state goes through the output layer")
    expect(
        close(output, network(x), 1e-5),
        "the same output with and without return_states",
        given,
        "two different outputs",
    )
    return output, states


def expect_pair(answer, given):
    """What a cell with two states returns is (h, c)."""
    expect(
        isinstance(answer, (tuple, list)) and len(answer) == 2,
        "the pair (h, c)",
        given,
        shape(answer),
        "only one of the two is returned",
    )


def check_states(states, sizes, given):
    """T states of the right shape."""
    B, T, H, _ = sizes
    expect(
        isinstance(states, (tuple, list)) and len(states) == T, f"{T} states, one after each step", given, shape(states)
    )
    expect_shape(list(states), [(B, H)] * T, given)


def check_readout(h, output, given):
    """The output is affine in the last state."""
    left = affine(h, output)[1]
    expect(
        left < RESIDUAL,
        "the output as one linear layer of the last h",
        given,
        "not a linear function of it",
        "an activation after the output layer (softmax belongs to the loss), or a state other than the last",
    )


def check_gradients(network, x, reference, given):
    """Gradients reach the inputs of all steps as they do in torch's own network, and every parameter."""
    _, (gradient,), parameters = network.gradients(x)
    expect(
        gradient is not None and close(gradient, reference(x), 5e-3),
        "torch's gradient for every time step",
        given,
        "none" if gradient is None else f"differences up to {(gradient - reference(x)).abs().max():.2g}",
        "the state is detached, or computed within torch.no_grad()",
    )
    dead = [name for name, value in parameters.items() if value is None or not value.abs().max() > 0]
    expect(
        not dead,
        "a gradient for every parameter",
        given,
        f"none for {', '.join(dead)}",
        "a parameter that is never used",
    )
