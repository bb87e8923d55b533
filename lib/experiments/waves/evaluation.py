"""Forecasts, their errors, and tables of them."""

import torch

from lib import training
from lib.experiments.waves.forecasters import set_shape, wave_data


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

    Returns:
        dict of `one_step_mse` (of the predictions made from true frames), `one_step_share` (the same over the error of
        copying the last frame), and by horizon, 1 … T - 1 - warm_up: `rmse` (in units of the standard deviation of the
        runs) and `correlation` (with the true frame, mean over the runs).
    """
    first, steps = model.context_size, runs.shape[1] - 1 - warm_up
    predictions = forecast(model, runs, warm_up)
    squares, forced = (predictions - runs[:, first:]).square(), warm_up + 2 - first
    copying = (runs[:, first : first + forced] - runs[:, first - 1 : first - 1 + forced]).square().mean()
    cosine = torch.cosine_similarity(predictions[:, -steps:].flatten(2), runs[:, -steps:].flatten(2), dim=2)
    return {
        "one_step_mse": squares[:, :forced].mean().item(),
        "one_step_share": (squares[:, :forced].mean() / copying).item(),
        "rmse": (squares[:, -steps:].mean((0, 2, 3)).sqrt() / runs.std()).tolist(),
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
    """RMSE at a horizon in % of the field's standard deviation (the last one, if the roll-out was shorter)."""
    return 100 * result["rmse"][min(horizon, len(result["rmse"])) - 1]


def summary(results, **names):
    """One line of a table: mean over results of `evaluate`, with the lowest and the highest; `names` come first."""
    mse = sum(result["one_step_mse"] for result in results) / len(results)
    line = dict(names) | {"one-step MSE": f"{mse:.1e}"}
    for title, values in (
        ("% of copying", [100 * result["one_step_share"] for result in results]),
        ("RMSE @10, %", [error_at(result, 10) for result in results]),
        ("@50", [error_at(result, 50) for result in results]),
        ("@100", [error_at(result, 100) for result in results]),
    ):
        mean, low, high = (
            f"{number:.0e}" if number > 1e5 else f"{number:,.0f}" if number >= 99.5 else f"{number:.2g}"
            for number in (sum(values) / len(values), min(values), max(values))
        )
        line[title] = f"{mean} ({low}–{high})" if len(values) > 1 else mean
    return line
