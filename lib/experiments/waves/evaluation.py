"""Forecasts, their errors, and tables of them."""

import statistics

import torch

from lib import training
from lib.experiments.waves.forecasters import set_shape, wave_data

BURN_IN = 10  # predictions of earlier frames do not count: a network that keeps a state begins with an empty one


@torch.no_grad()
def forecast(model, runs, warm_up):
    """Predictions of runs (N, T, H, W), teacher-forced up to frame `warm_up`, then in closed loop to the end.

    Returns:
        (N, T - context_size, H, W), the predictions of frames context_size … T - 1; the last T - 1 - warm_up of them
        are made in closed loop.

    Raises:
        ValueError: the warm-up is shorter than the model's context, or leaves nothing to predict.
    """
    first, last = model.context_size, runs.shape[1] - 1
    if not first - 1 <= warm_up < last:
        raise ValueError(
            f"warm_up is the number of the last true frame: between {first - 1}, which fills the model's context, and "
            f"{last - 1}, the last frame but one; got {warm_up}"
        )
    return torch.cat([model(part[:, : warm_up + 1], last - 1 - warm_up) for part in runs.split(50)])


def score(model, runs, warm_up):
    """Errors of a forecaster, see `forecast`; horizons count from frame `warm_up`.

    The unit of errors is the VRMSE of The Well (Ohana et al., 2024), the root of the mean squared error over the
    variance of the field, here that of all runs together: 1 is what the mean of the field would score.

    Returns:
        dict of `one_step` (VRMSE of the predictions made from true frames, those of frames BURN_IN … warm_up + 1, or as
        many of them as there are), `one_step_share` (their squared error over that of persistence), and by horizon,
        1 … T - 1 - warm_up: `vrmse`, and `correlation` with the true frame (mean over the runs).
    """
    first, steps = model.context_size, runs.shape[1] - 1 - warm_up
    predictions = forecast(model, runs, warm_up)
    squares = (predictions - runs[:, first:]).square()
    counted = slice(min(max(first, BURN_IN), warm_up + 1), warm_up + 2)  # numbers of the frames
    one_step = squares[:, counted.start - first : counted.stop - first].mean()
    persistence = runs.diff(dim=1)[:, counted.start - 1 : counted.stop - 1].square().mean()
    cosine = torch.cosine_similarity(predictions[:, -steps:].flatten(2), runs[:, -steps:].flatten(2), dim=2)
    return {
        "one_step": (one_step.sqrt() / runs.std()).item(),
        "one_step_share": (one_step / persistence).item(),
        "vrmse": (squares[:, -steps:].mean((0, 2, 3)).sqrt() / runs.std()).tolist(),
        "correlation": cosine.mean(0).tolist(),
    }


def evaluate(model, config, runs=None):
    """`score` on the test runs of these settings, in plain rounded numbers; `runs` says how many of them."""
    device = training.best_device()
    share = min(1, (runs or config.evaluation.runs) / set_shape(config.data, "test")[0])
    test = wave_data(config.data, "test", share)[:, : config.evaluation.warm_up + config.evaluation.horizon + 1]
    result = score(model.to(device), test.to(device), config.evaluation.warm_up)
    model.cpu()
    return rounded(result)


def rounded(numbers):
    """A dict of numbers and lists of numbers with five digits each, which is what is stored."""
    return {
        key: [float(f"{number:.5g}") for number in value] if isinstance(value, list) else float(f"{value:.5g}")
        for key, value in numbers.items()
    }


def error_at(result, horizon):
    """VRMSE at a horizon in % (the last one, if the roll-out was shorter)."""
    return 100 * result["vrmse"][min(horizon, len(result["vrmse"])) - 1]


def summary(results, **names):
    """One line of a table, in % VRMSE: the median over results of `evaluate`, with the lowest and the highest; `names`
    come first."""
    line = dict(names)
    for title, values in (
        ("one step, %", [100 * result["one_step"] for result in results]),
        ("10 steps", [error_at(result, 10) for result in results]),
        ("50 steps", [error_at(result, 50) for result in results]),
        ("100 steps", [error_at(result, 100) for result in results]),
    ):
        median, low, high = map(readable, (statistics.median(values), min(values), max(values)))
        line[title] = f"{median} ({low}–{high})" if len(values) > 1 else median
    return line


def readable(percent):
    """A percentage with two digits; what is lost altogether is said in a word."""
    if not percent < 1e4:
        return "diverged"
    return f"{percent:,.0f}" if percent >= 99.5 else f"{percent:.2g}"
