"""Figures of wave forecasts, drawn by more than one notebook.

A forecast of a run (T, H, W) holds the predictions of its last frames, (F, H, W) with F < T, as `waves.forecast`
returns them; the prediction of frame t is therefore `forecast[t - T]`.
"""

import numpy as np
from matplotlib import pyplot as plt

from lib.experiments.waves.evaluation import readable
from lib.figures import COLORS

LIMIT = 4  # standard deviations of the field at which the colours saturate
COLORS = COLORS | {"U-Net, closed-loop training": "#7B3294"}
STYLES = {"zero": ":", "persistence": "--", "linear extrapolation": "-.", "U-Net, closed-loop training": "--"}


def paint(frames, deviation):
    """Frames (…, H, W) as uint8 colours (…, H, W, 3): blue below, white at, red above zero."""
    values = plt.get_cmap("RdBu_r")(np.clip(0.5 + 0.5 * np.asarray(frames) / (LIMIT * deviation), 0, 1))
    return (255 * values[..., :3]).astype(np.uint8)


def side_by_side(*films, gap=2):
    """Films (T, H, W, 3) beside each other, with a white gap of some pixels."""
    between = np.full((*films[0].shape[:2], gap, 3), 255, np.uint8)
    return np.concatenate([part for film in films for part in (film, between)][:-1], axis=2)


def forecast_film(truth, forecasts, warm_up, times, deviation, magnify=3):
    """Truth, forecasts, and the magnified error of the first forecast, beside each other.

    Args:
        truth: (T, H, W). forecasts: list of (F, H, W). warm_up: number of the last true frame. times: frames to show.
        deviation: standard deviation of the field, for the colours. magnify: factor of the error.

    Returns:
        uint8 (len(times), H + 2, …, 3); below the pictures an orange bar marks the closed loop.
    """
    times = list(times)
    shown = [truth[times]] + [forecast[[t - len(truth) for t in times]] for forecast in forecasts]
    shown.append(magnify * (shown[1] - shown[0]))
    frames = side_by_side(*(paint(part, deviation) for part in shown))
    bar = np.full((len(frames), 2, frames.shape[2], 3), 255, np.uint8)
    bar[[number for number, t in enumerate(times) if t > warm_up]] = (213, 94, 0)
    return np.concatenate([frames, bar], axis=1)


def height_over_time(truth, forecasts, warm_up, title, row=16, column=16, first=20):
    """Height at one cell over time, and the errors below.

    Args:
        truth: (T, H, W). forecasts: dict from name to (F, H, W). warm_up: number of the last true frame.
        title: of the figure. row, column: of the cell. first: frame at which the axis begins.
    """
    fig, axes = plt.subplots(2, 1, figsize=(7.4, 4.0), sharex=True, height_ratios=[2, 1])
    line = truth[:, row, column]
    axes[0].plot(line, color=COLORS["truth"], lw=2.4, alpha=0.35, label="truth")
    for name, forecast in forecasts.items():
        predicted = forecast[:, row, column]
        times, style = range(len(line) - len(predicted), len(line)), {"color": COLORS.get(name), "lw": 1.1}
        axes[0].plot(times, predicted, label=name, **style)
        axes[1].plot(times, predicted - line[-len(predicted) :], **style)
    for ax in axes:
        ax.axvline(warm_up + 0.5, color="#D55E00", lw=1)
    axes[0].set(ylabel="height $u$", xlim=(first, len(line) - 1), title=f"{title}, row {row}, column {column}")
    axes[1].set(xlabel="frame", ylabel="error")
    axes[0].legend(loc="upper left", ncols=4)
    return fig


def error_over_horizon(lines, lowest=1e-4):
    """VRMSE by horizon in closed loop, one panel for each speed, one line for each result.

    Args:
        lines: dict speed -> name -> list of what `waves.evaluate` returns. lowest: end of the axis.
    """
    fig, axes = plt.subplots(1, len(lines), figsize=(7.4, 3.3), sharey=True)
    for ax, (speed, models) in zip(axes, lines.items(), strict=True):
        for name, results in models.items():
            for number, result in enumerate(results):
                horizons = np.arange(1, len(result["vrmse"]) + 1)
                color, label = COLORS.get(name, COLORS["baseline"]), None if number else name
                ax.semilogy(horizons, result["vrmse"], STYLES.get(name, "-"), lw=1.2, color=color, label=label)
        ax.set(title=f"{speed} waves", xlabel="horizon (frames)", ylim=(lowest, 10))
    axes[0].set_ylabel("VRMSE")
    axes[0].legend(loc="lower right", fontsize=7.5)
    return fig


def runs_table(records):
    """Rows of a table of all trainings: one for each setting, with what tells it apart from the first of its study.

    Args:
        records: `lib.training.checkpoints.RECORDS`.

    Returns:
        list of dicts; the error is the median over the seeds, on test runs in a study, else on validation runs.
    """
    rows = []
    for record in records:
        groups = {}
        for row in record["rows"]:
            shared = {key: value for key, value in row["settings"].items() if key != "seed"}
            groups.setdefault(str(shared), (shared, []))[1].append(row)
        first = next(iter(groups.values()))[0]
        for number, (shared, same) in enumerate(groups.values()):
            told = {key.rpartition(".")[2]: value for key, value in shared.items() if first.get(key) != value}
            shares = [100 * row["result"]["one_step_share"] for row in same if "one_step_share" in row["result"]]
            rows.append(
                {
                    "training": f"{record['name'].split('/')[1]}: {record['why']}" if number == 0 else "",
                    "other than the first": ", ".join(f"{key} {value}" for key, value in told.items()),
                    "seeds": len(same),
                    "one step, % of persistence": readable(np.median(shares)) if shares else "–",
                    "CPU-seconds": f"{sum(row['seconds'] for row in same):.0f}",
                }
            )
    return rows
