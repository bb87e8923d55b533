"""Checks of D1 and D2: the forward process on paper, and a diffusion model of points in the plane."""

import ast
import math
import operator

import torch

from lib.workbook.student.checking import close, expect, expect_shape, part, shape

# --- D1 -------------------------------------------------------------------------------------------------------------

# SymPy's expressions leave the box as text.
SYMBOLS = """
def _expressions():
    import sympy

    found = three_steps(sympy.Symbol("x_0", real=True), *sympy.symbols("alpha_1:4", positive=True))
    return [str(one) for one in found] if isinstance(found, (tuple, list)) else [str(found)]
"""
OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: lambda one, other: math.pow(one, other),
}


def value(text, numbers):
    """The number that an expression stands for. Only arithmetic is read, and nothing is run.

    Raises:
        ValueError: it holds anything else, or cannot be computed for these numbers.
    """

    def of(node):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return float(node.value)
        if isinstance(node, ast.Name):
            return numbers[node.id]
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -of(node.operand)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "sqrt" and len(node.args) == 1:
            return math.sqrt(of(node.args[0]))
        raise ValueError(f"{type(node).__name__} is no arithmetic")

    try:
        return of(ast.parse(text[:5000], mode="eval").body)
    except (SyntaxError, KeyError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot be computed: {error}") from error


def check_expression(student, which, wanted, mistakes):
    """The mean or the variance, compared at random places; `mistakes` {what is likely: what would come out}.

    Args:
        which: 0 or 1. wanted and the values of mistakes: functions of x_0 and the list of the three α.
    """
    student.prepare(SYMBOLS)
    found = student.call("_expressions")
    given = "x_0, α_1, α_2 and α_3 as symbols"
    expect(isinstance(found, list) and len(found) == 2, "the pair (mean, variance)", given, f"{len(found)} value")
    text, places = str(found[which]), []
    for _ in range(8):
        alphas = (0.1 + 0.85 * torch.rand(3, generator=student.generator, dtype=torch.float64)).tolist()
        x_0 = 1 + 2 * float(torch.rand((), generator=student.generator))
        numbers = {"x_0": x_0} | {f"alpha_{t}": alpha for t, alpha in enumerate(alphas, 1)}
        try:
            places.append((value(text, numbers), x_0, alphas))
        except ValueError as error:
            expect(False, "an expression in x_0, alpha_1, alpha_2 and alpha_3", given, f"{text[:120]} ({error})")

    def equal(function):
        return all(math.isclose(one, function(x_0, alphas), rel_tol=1e-9) for one, x_0, alphas in places)

    likely = next((told for told, function in mistakes.items() if equal(function)), "")
    name = ("mean of x_3", "variance of x_3")[which]
    expect(
        equal(wanted), f"the {name}, given x_0", given, text[:120], likely or "one step of the chain is taken twice?"
    )


@part("D1", 0.5, "the mean")
def mean_of_three(student):
    check_expression(
        student,
        0,
        lambda x_0, a: math.sqrt(math.prod(a)) * x_0,
        {
            "the root is missing: every step multiplies by √α_t": lambda x_0, a: math.prod(a) * x_0,
            "β_t = 1 - α_t where α_t belongs": lambda x_0, a: math.sqrt(math.prod(1 - one for one in a)) * x_0,
            "x_0 is missing": lambda x_0, a: math.sqrt(math.prod(a)),
            "the shares are added; each step multiplies by its own": lambda x_0, a: math.sqrt(sum(a)) * x_0,
            "only the last step": lambda x_0, a: math.sqrt(a[2]) * x_0,
        },
    )


def variance_by_steps(a, shrink):
    """The variance, when every step changes that of the step before by a wrong function."""
    total = 0.0
    for alpha in a:
        total = shrink(alpha) * total + 1 - alpha
    return total


@part("D1", 0.5, "the variance")
def variance_of_three(student):
    check_expression(
        student,
        1,
        lambda x_0, a: 1 - math.prod(a),
        {
            "the standard deviation instead of the variance": lambda x_0, a: math.sqrt(1 - math.prod(a)),
            "the noise of earlier steps is shrunk by the later ones, its variance by α_t": lambda x_0, a: (
                variance_by_steps(a, lambda alpha: 1)
            ),
            "a factor √α_t of a variable is a factor α_t of its variance": lambda x_0, a: variance_by_steps(
                a, math.sqrt
            ),
            "1 less this share: it is the share of x_0 that is left": lambda x_0, a: math.prod(a),
            "1 - √ᾱ where 1 - ᾱ belongs": lambda x_0, a: 1 - math.sqrt(math.prod(a)),
            "β_t = 1 - α_t where α_t belongs": lambda x_0, a: 1 - math.prod(1 - one for one in a),
            "variances of independent terms add up, they do not multiply": lambda x_0, a: math.prod(
                1 - one for one in a
            ),
        },
    )


# --- D2: the forward process and one step back ----------------------------------------------------------------------

LAST_ANGLE = math.acos(0.01)
TABLE = torch.tensor([1.0, 0.9, 0.62, 0.35, 0.12, 0.03], dtype=torch.float64)  # a schedule of five steps


def cosine(T):
    return torch.cos(LAST_ANGLE * torch.linspace(0, 1, T + 1, dtype=torch.float64)).square()


def linear(first, last, T):
    """ᾱ of β that grow evenly, and the β."""
    betas = torch.linspace(first, last, T, dtype=torch.float64)
    return torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)]), betas


def to_zero(table):
    """A schedule whose √ᾱ is shifted and stretched to end at 0."""
    root = table.sqrt()
    stretched = ((root[1:] - root[-1]) * root[1] / (root[1] - root[-1])).square()
    return torch.cat([table[:1], stretched])


def check_table(found, wanted, given, mistakes):
    """A table of ᾱ; `mistakes`: {what is likely: other tables}."""
    T = len(wanted) - 1
    likely = f"T + 1 = {T + 1} entries: ᾱ_0 = 1 comes first" if shape(found) == f"({T},)" else ""
    expect_shape(found, (T + 1,), given, likely)
    expect(found.dtype == torch.float64, "float64: 1 - ᾱ is small near the data", given, str(found.dtype))
    likely = next((told for told, table in mistakes.items() if close(found, table, 1e-6)), "")
    rows = f"ᾱ_1 = {found[1]:.4f} and ᾱ_T = {found[-1]:.4f}"
    expect(close(found, wanted, 1e-6), f"ᾱ_1 = {wanted[1]:.4f} and ᾱ_T = {wanted[-1]:.4f}", given, rows, likely)


@part("D2", 0.5, "alpha_bars")
def schedules(student):
    T, one = student.pick(5, 12), torch.ones(1, dtype=torch.float64)
    angles = LAST_ANGLE * torch.linspace(0, 1, T + 1, dtype=torch.float64)
    check_table(
        student.call("alpha_bars", args=("cosine", T)),
        cosine(T),
        f"alpha_bars('cosine', {T})",
        {
            "the cosine itself: ᾱ is its square": angles.cos(),
            "the angle goes on to π/2, where ᾱ = 0": (angles / LAST_ANGLE * math.pi / 2).cos().square(),
            "the table begins with the noise": cosine(T).flip(0),
        },
    )
    first, last = 0.01 * student.pick(1, 5), 0.1 * student.pick(3, 6)
    table, betas = linear(first, last, T)
    given = f"alpha_bars('linear', {T}, betas=({first:g}, {last:g}))"
    mistakes = {
        "the α_t = 1 - β_t themselves: ᾱ_t is the product of all up to t": torch.cat([one, 1 - betas]),
        "β_t where ᾱ_t belongs": torch.cat([one, betas]),
        "the products of the β_t": torch.cat([one, betas.cumprod(0)]),
        "√ᾱ_t": table.sqrt(),
        "1 - ᾱ_t": 1 - table,
    }
    check_table(student.call("alpha_bars", args=("linear", T), betas=(first, last)), table, given, mistakes)
    many = 40 + T
    wanted = linear(0.1 / many, 20 / many, many)[0]
    likely = {"β for 1000 steps; with fewer steps each is larger, 1000 / T times": linear(1e-4, 0.02, many)[0]}
    check_table(student.call("alpha_bars", args=("linear", many)), wanted, f"alpha_bars('linear', {many})", likely)
    found = student.call("alpha_bars", args=("linear", T), betas=(first, last), zero_terminal=True)
    likely = {"zero_terminal is not looked at": table, "ᾱ is stretched instead of √ᾱ": (table - table[-1])}
    check_table(found, to_zero(table), f"{given[:-1]}, zero_terminal=True)", likely)


@part("D2", 0.25, "diffuse")
def forward_process(student):
    N = student.pick(5, 8)
    x0, noise = student.randn(N, 2), student.randn(N, 2)
    several = torch.linspace(0.1, 0.9, N)
    for alpha_bar, given in ((0.3, "ᾱ = 0.3"), (several, f"ᾱ ({N},)")):
        given = f"x0 and noise ({N}, 2), {given}"
        found = student.call("diffuse", args=(x0, alpha_bar, noise))
        expect_shape(found, (N, 2), given, "ᾱ (N,) has to become a column, (N, 1)")
        a = torch.as_tensor(alpha_bar).reshape(-1, 1)
        b = 1 - a
        mistakes = {
            "the roots are missing": a * x0 + b * noise,
            "x_0 and the noise exchanged": b.sqrt() * x0 + a.sqrt() * noise,
            "√(1 - ᾱ), the root of the difference, multiplies the noise": a.sqrt() * x0 + (1 - a.sqrt()) * noise,
            "the root before the noise is missing": a.sqrt() * x0 + b * noise,
            "β where ᾱ belongs": b.sqrt() * x0 + (1 - b).sqrt() * noise,
        }
        likely = next((told for told, other in mistakes.items() if close(found, other, 1e-5)), "")
        expect(close(found, a.sqrt() * x0 + b.sqrt() * noise, 1e-5), "√ᾱ x_0 + √(1 - ᾱ) ε", given, "others", likely)


def step_back(x0, xt, t, before=None, table=TABLE):
    """Mean and variance of q(x_s | x_t, x_0)."""
    before = t - 1 if before is None else before
    now, then = table[t].item(), table[before].item()
    beta = 1 - now / then
    mean = (math.sqrt(then) * beta * x0 + math.sqrt(1 - beta) * (1 - then) * xt) / (1 - now)
    return mean, beta * (1 - then) / (1 - now)


@part("D2", 0.25, "posterior")
def one_step_back(student):
    N = student.pick(4, 7)
    x0, xt = student.randn(N, 2), student.randn(N, 2)
    for t, before in ((1, None), (2, None), (4, None), (5, None), (5, 2)):
        options = {} if before is None else {"before": before}
        given = f"x0 and xt ({N}, 2), a table of T = 5 steps, t = {t}{f', before = {before}' * bool(options)}"
        answer = student.call("posterior", args=(x0, xt, TABLE, t), **options)
        expect(isinstance(answer, (tuple, list)) and len(answer) == 2, "(mean, variance)", given, shape(answer))
        mean, variance = answer
        expect_shape(mean, (N, 2), given)
        expect(torch.as_tensor(variance).numel() == 1, "the variance as one number", given, shape(variance))
        wanted, spread = step_back(x0, xt, t, before)
        variance, now, then = float(variance), TABLE[t].item(), TABLE[t - 1 if before is None else before].item()
        beta = 1 - now / then
        likely = {
            math.sqrt(spread): "the standard deviation instead of the variance",
            beta: "β_t, the variance of a step when x_0 is not known",
            (1 - now) * (1 - then) / (1 - now): "β for ᾱ: β_t is 1 - ᾱ_t / ᾱ_{t-1}, not 1 - ᾱ_t",
            beta * (1 - now) / (1 - then) if then < 1 else math.inf: "the fraction is upside down",
        }
        told = next((text for number, text in likely.items() if math.isclose(number, variance, abs_tol=1e-6)), "")
        if t == 1:
            told = "t = 1 leads to x_0 itself, which leaves no variance: ᾱ_0 = 1"
        expect(abs(variance - spread) < 1e-5, f"variance {spread:.5f}", given, f"{variance:.5f}", told)
        swapped = close(mean, step_back(xt, x0, t, before)[0], 1e-4)
        expect(
            close(mean, wanted, 1e-4),
            "the mean between x_0 and x_t",
            given,
            "another",
            "x_0 and x_t exchanged" if swapped else "is β_t = 1 - ᾱ_t / ᾱ_{t-1}? and does each factor have its own ᾱ?",
        )


# --- D2: the loss ---------------------------------------------------------------------------------------------------

# A model that answers with a known function, x · matrix + time · vector, and remembers what it was asked.
KNOWN = """
import torch as _torch


class _Known(_torch.nn.Module):
    def __init__(self, matrix, vector):
        super().__init__()
        self.matrix, self.vector, self.asked = _torch.nn.Parameter(matrix), vector, []

    def forward(self, x, time):
        if x.dim() != 2 or time.shape != x.shape[:1]:
            raise ValueError(f"a model is given x (N, 2) and time (N,), not {tuple(x.shape)} and {tuple(time.shape)}")
        self.asked.append((x.detach().clone(), time.detach().clone()))
        return x @ self.matrix + time[:, None] * self.vector


def _loss_of(matrix, vector, batch, seed, options):
    with _torch.enable_grad():
        model = _Known(matrix, vector)
        found = noise_loss(model, batch, generator=_torch.Generator().manual_seed(seed), **options)
        return found, bool(found.requires_grad), model.asked


def _sample_of(matrix, vector, table, seed, options):
    model = _Known(matrix, vector)
    found = ancestral_sample(model, table, generator=_torch.Generator().manual_seed(seed), **options)
    return found, model.asked
"""


class Model:
    """The known function, outside of the box."""

    def __init__(self, student):
        student.prepare(KNOWN)
        self.student, self.seed = student, student.pick(0, 10**6)
        self.matrix, self.vector = 0.5 * student.randn(2, 2), student.randn(2)

    def __call__(self, x, time):
        return x @ self.matrix + time[:, None] * self.vector

    def loss(self, batch, **options):
        """(loss, x, time): what the student's loss is, and what it asked the model."""
        given = f"noise_loss(model, batch {shape(batch)})"
        answer = self.student.call("_loss_of", args=(self.matrix, self.vector, batch, self.seed, options))
        found, differentiable, asked = answer
        expect(torch.is_tensor(found) and found.numel() == 1, "a scalar", given, shape(found), "the mean is missing")
        expect(asked, "a loss of what the model answers", given, "the model was not asked")
        expect(differentiable, "a loss with a gradient", given, "none", "torch.no_grad(), or detach")
        return float(found), torch.cat([x for x, _ in asked]), torch.cat([time for _, time in asked])


def check_times(t, T, given):
    """Whole times from 1 to T, each about as often."""
    expect(t.max() < T + 0.5, f"times t / T, from 1/{T} to 1", given, f"up to {t.max() / T:g}", "t itself, not t / T")
    expect(
        t.min() > 0.5,
        f"times t / T with t = 1 … {T}",
        given,
        "t = 0",
        "t = 0 is the data themselves, without noise: times and table are shifted by one",
    )
    whole = t.round()
    expect(close(t, whole, 1e-3), f"whole t in t / T, T = {T}", given, "others", "a time that the table does not have")
    counts = torch.bincount(whole.long(), minlength=T + 1)[1:].double()
    fair = len(t) / T
    expect(
        (counts - fair).abs().max() < 6 * math.sqrt(fair),
        f"each t of 1 … {T} about {fair:.0f} times",
        given,
        f"between {counts.min():.0f} and {counts.max():.0f} times",
        "one time for the whole batch, or a range that ends too soon",
    )
    return whole.long()


@part("D2", 0.25, "the loss: noisy points and their times")
def noisy_points(student):
    model, T, N = Model(student), len(TABLE) - 1, 3000
    place = torch.tensor([3.0, -4.0])
    given = f"x_0 = (3, -4), {N} times, a table of T = {T} steps"
    _, x, time = model.loss(place.expand(N, 2), table=TABLE)
    expect_shape(x, (N, 2), given, "every example is diffused once")
    t = check_times(time * T, T, given)
    for k in range(1, T + 1):
        rows, now = x[t == k], TABLE[k].item()
        share = float(rows.mean(0) @ place) / 25
        allowed = 6 * math.sqrt((1 - now) / len(rows)) / 5 + 1e-4
        mistakes = {
            now: "the root of ᾱ is missing",
            math.sqrt(now / TABLE[k - 1].item()): "β_t (or α_t = 1 - β_t) where ᾱ_t belongs, the product of all α to t",
            math.sqrt(TABLE[k - 1].item()): "the table is read one entry too early",
            math.sqrt(1 - now): "√ᾱ and √(1 - ᾱ) exchanged",
        }
        near = min(mistakes, key=lambda number: abs(number - share))
        expect(
            abs(share - math.sqrt(now)) < allowed,
            f"√ᾱ_t x_0 with √ᾱ_t = {math.sqrt(now):.3f}, on average",
            f"{given}, t = {k}",
            f"{share:.3f} x_0",
            mistakes[near] if abs(near - share) < allowed else "",
        )
        spread = (rows - math.sqrt(now) * place).square().mean().sqrt() / math.sqrt(1 - now)
        expect(
            abs(float(spread) - 1) < 6 / math.sqrt(4 * len(rows)),
            f"noise with the standard deviation √(1 - ᾱ_t) = {math.sqrt(1 - now):.3f}",
            f"{given}, t = {k}",
            f"{spread * math.sqrt(1 - now):.3f}",
            "noise that is not N(0, 1), or the root of 1 - ᾱ is missing",
        )


@part("D2", 0.25, "the loss: its value")
def value_of_loss(student):
    model, T, N = Model(student), len(TABLE) - 1, 400
    for batch_of, options in ((tuple, {"table": TABLE}), (torch.Tensor.contiguous, {})):
        place = student.randn(2)
        x0 = place.expand(N, 2)
        batch = batch_of([x0, torch.zeros(N)]) if batch_of is tuple else batch_of(x0)
        for prediction in ("noise", "v"):
            given = f"x_0 ({N}, 2), {'a table' if options else 'no table'}, prediction='{prediction}'"
            found, x, time = model.loss(batch, prediction=prediction, **options)
            expect_shape(x, (N, 2), given)
            if options:
                now = TABLE[(time * T).round().long().clamp(0, T)]
                a, b = now.sqrt()[:, None], (1 - now).sqrt()[:, None]
            else:
                expect(time.min() >= 0 and time.max() <= 1, "times from 0 to 1", given, f"up to {time.max():g}")
                expect(len(time.unique()) > N / 2, "a time of its own for each example", given, "few different ones")
                angle = LAST_ANGLE * time.double()[:, None]
                a, b = angle.cos(), angle.sin()
            noise, output = (x - a * x0) / b.clamp(min=1e-9), model(x, time)
            target = noise if prediction == "noise" else a * noise - b * x0
            mistakes = {
                "compared with x_0 instead of the noise": (output - x0).square().mean(),
                "compared with x_t instead of the noise": (output - x).square().mean(),
                "prediction is not looked at": (output - noise).square().mean(),
                "the sum instead of the mean": (output - target).square().sum(),
                "the sum over the two coordinates": (output - target).square().sum(1).mean(),
                "not squared": (output - target).abs().mean(),
                "a sign in v is wrong: v = √ᾱ ε - √(1 - ᾱ) x_0": (output - a * noise - b * x0).square().mean(),
                "the root of it": (output - target).square().mean().sqrt(),
            }
            wanted = float((output - target).square().mean())
            told = next((text for text, other in mistakes.items() if math.isclose(other, found, rel_tol=2e-3)), "")
            if math.isclose(wanted, found, rel_tol=2e-3):
                continue
            expect(
                False,
                f"the mean squared error of the predicted {prediction}, {wanted:.4f}",
                given,
                f"{found:.4f}",
                told or "the noise that is predicted is not the noise that was added, or not that of the same example",
            )


# --- D2: sampling ---------------------------------------------------------------------------------------------------


def walk(model, N, prediction="noise", **options):
    """The student's way from x_T to x_0, checked step by step but for the noise: [(x_s, mean, variance, t, s)]."""
    T, start = len(TABLE) - 1, model.student.randn(N, 2)
    steps = options.get("steps", T)
    given = f"start ({N}, 2), a table of T = {T} steps, return_path=True" + f", steps={steps}" * ("steps" in options)
    options |= {"start": start, "return_path": True, "prediction": prediction}
    path, asked = model.student.call("_sample_of", args=(model.matrix, model.vector, TABLE, model.seed, options))
    expect_shape(path, (steps + 1, N, 2), given, "all states, x_T first and x_0 last")
    expect(close(path[0], start), "the path begins at start", given, "elsewhere", "x_0 first?")
    merged = []
    for x, time in asked:  # parts of a batch may be asked one after the other
        if merged and close(merged[-1][1][:1], time[:1], 1e-6):
            merged[-1] = tuple(torch.cat(pair) for pair in zip(merged[-1], (x, time), strict=True))
        else:
            merged.append((x, time))
    times = [int((time[0] * T).round()) for _, time in merged]
    wanted = list(range(T, 0, -1))
    likely = "t / T, from T down to 1" if steps == T else "spread as evenly as can be, beginning at T"
    fine = len(times) == steps and times[0] == T and sorted(set(times), reverse=True) == times and times[-1] >= 1
    fine = fine and (times == wanted if steps == T else max(map(int.__sub__, times, times[1:])) <= -(-T // steps))
    expect(fine, f"the model is asked at {steps} times t, the first one {T}", given, f"t = {times}", likely)
    found = []
    for number, (t, before) in enumerate(zip(times, [*times[1:], 0], strict=True)):
        (x, time), now = merged[number], TABLE[t].item()
        expect(close(x, path[number]), "the model is asked about the state that the path shows", given, "about another")
        output, a, b = model(x, time), math.sqrt(now), math.sqrt(1 - now)
        clean = (x - b * output) / a if prediction == "noise" else a * x - b * output
        found.append((path[number + 1], *step_back(clean, x, t, before), t, before))
    return found, given


def check_steps(found, given):
    for x, mean, variance, t, before in found:
        given_t = f"{given}, from t = {t} to {before}"
        if variance == 0:
            left = (x - mean).square().mean().sqrt()
            expect(
                close(x, mean, 2e-3),
                "x_0 itself at the last step, without noise: its variance is 0",
                given_t,
                f"a standard deviation of {left:.3f} around it",
                "noise is added at the last step too" if left < 2 else "x_0 is not concluded from the prediction",
            )
            continue
        z = ((x - mean) / math.sqrt(variance)).double()
        expect(z.std() > 0.01, f"noise of variance {variance:.4f}", given_t, "none", "no noise between the steps")
        count, together = z.numel(), torch.stack([z.flatten(), mean.double().flatten()])
        related = abs(float(torch.corrcoef(together)[0, 1]))
        expect(
            z.mean(0).abs().max() < 0.3 and related < 0.2,
            "x_s around the mean of q(x_s | x_t, x_0), with the x_0 that the prediction stands for",
            given_t,
            "around other points",
            "x_0 = (x_t - √(1 - ᾱ_t) ε) / √ᾱ_t is not what stands in the mean, or ᾱ is that of another t",
        )
        deviation, beta = float(z.std()), 1 - (TABLE[t] / TABLE[before]).item()
        mistakes = {
            math.sqrt(beta / variance): "β_t instead of the posterior's variance",
            math.sqrt(variance): "multiplied by the variance instead of its root",
            1 / math.sqrt(variance): "noise of variance 1 in every step",
        }
        near = min(mistakes, key=lambda number: abs(number - deviation))
        expect(
            abs(deviation - 1) < 6 / math.sqrt(2 * count),
            f"noise of variance {variance:.4f}",
            given_t,
            f"{deviation**2 * variance:.4f}",
            mistakes[near] if abs(near - deviation) < 0.06 else "",
        )


@part("D2", 0.5, "sampling")
def sampling(student):
    model = Model(student)
    check_steps(*walk(model, 700))
    check_steps(*walk(model, 500, prediction="v"))
    check_steps(*walk(model, 500, steps=3))
    N = student.pick(3, 6)
    found, asked = student.call(
        "_sample_of", args=(model.matrix, model.vector, TABLE, model.seed, {"num": N, "return_path": False})
    )
    expect_shape(found, (N, 2), f"num = {N}", "without return_path only the points at t = 0")
    expect(asked[0][0].abs().max() < 7, "x_T ~ N(0, 1) to begin with", f"num = {N}", "others")
