"""Figures of wave forecasts: what stands where."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from lib.experiments import wave_figures, waves

TRUTH = torch.linspace(-1, 1, 20 * 8 * 8).view(20, 8, 8)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def test_zero_is_white_up_is_red_and_down_is_blue():
    colors = wave_figures.paint(torch.tensor([[-1.0, 0.0, 1.0]]), deviation=0.1).astype(int)
    down, rest, up = colors[0]
    assert colors.dtype == int and rest.min() > 240
    assert up[0] > up[2] + 50 and down[2] > down[0] + 50, "beyond the limit the colours saturate"


def test_a_film_shows_truth_forecasts_and_error_and_marks_the_closed_loop():
    perfect, zero = TRUTH[2:], torch.zeros(18, 8, 8)
    film = wave_figures.forecast_film(TRUTH, [perfect, zero], 10, range(6, 16, 2), deviation=0.5)
    assert film.shape == (5, 8 + 2, 4 * 8 + 3 * 2, 3) and film.dtype == np.uint8
    assert np.array_equal(film[:, :8, :8], wave_figures.paint(TRUTH[6:16:2], 0.5)), "the truth stands on the left"
    assert np.array_equal(film[:, :8, 10:18], film[:, :8, :8]), "then the first forecast, frame by frame"
    assert film[:, :8, 30:].min() > 240, "a perfect forecast has a white error"
    enlarged = wave_figures.forecast_film(TRUTH, [perfect, zero], 10, range(6, 16, 2), deviation=0.5, magnify=1)
    assert np.array_equal(enlarged[:, :8, :28], film[:, :8, :28]), "only the error is magnified"
    bar = film[:, -1, 0].tolist()
    assert [row == [213, 94, 0] for row in bar] == [False, False, False, True, True], "frames 12 and 14 lie behind 10"


def test_heights_and_errors_at_a_place():
    fig = wave_figures.height_over_time(TRUTH, {"U-Net": TRUTH[3:] + 0.5}, 10, "slow waves", row=2, column=3, first=0)
    height, error = fig.axes
    truth, predicted = (line.get_ydata() for line in height.lines[:2])
    assert np.allclose(truth, TRUTH[:, 2, 3]) and np.allclose(predicted, TRUTH[3:, 2, 3] + 0.5)
    assert np.allclose(error.lines[0].get_ydata(), 0.5) and list(error.lines[0].get_xdata()) == list(range(3, 20))


def test_errors_over_the_horizon_have_one_line_for_each_result():
    results = {"zero": [{"vrmse": [1.0, 1.0]}], "U-Net": [{"vrmse": [0.1, 0.2]}, {"vrmse": [0.2, 0.3]}]}
    fig = wave_figures.error_over_horizon({"slow": results, "fast": results})
    assert [len(ax.lines) for ax in fig.axes] == [3, 3]
    assert [text.get_text() for text in fig.axes[0].get_legend().texts] == ["zero", "U-Net"]


def test_a_summary_is_the_median_with_the_lowest_and_the_highest():
    results = [
        {"one_step": error, "vrmse": [0.0] * 9 + [error] + [0.0] * 39 + [10 * error]} for error in (0.1, 0.15, 3000.0)
    ]
    line = waves.summary(results, model="U-Net")
    assert line["model"] == "U-Net" and line["one step, %"] == "15 (10–diverged)"
    assert line["50 steps"] == "150 (100–diverged)" and line["100 steps"] == line["50 steps"], "it ended earlier"
    assert waves.summary(results[:1])["10 steps"] == "10"
    assert waves.error_at(results[0], 10) == pytest.approx(10)


def test_the_table_of_runs_has_a_line_for_each_setting_and_says_what_differs():
    settings = {"training.steps": 10, "model.head": "change"}
    rows = [
        {"settings": settings | changed | {"seed": seed}, "result": {"one_step_share": share}, "seconds": 2.0}
        for changed, shares in (({}, (0.1, 0.2, 0.6)), ({"model.head": "absolute"}, (0.4, 0.5, 0.5)))
        for seed, share in enumerate(shares)
    ]
    records = [{"name": "09_wave_convlstm/heads", "why": "which head", "rows": rows}]
    first, second = wave_figures.runs_table(records)
    assert first["training"] == "heads: which head" and second["training"] == ""
    assert first["other than the first"] == "" and second["other than the first"] == "head absolute"
    assert (first["seeds"], first["one step, % of persistence"], first["CPU-seconds"]) == (3, "20", "6")
    assert second["one step, % of persistence"] == "50"
    rows[0]["result"] = rows[1]["result"] = rows[2]["result"] = {"energy": 1.0}
    assert wave_figures.runs_table(records)[0]["one step, % of persistence"] == "–", "another kind of result"
