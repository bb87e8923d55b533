"""Evaluating forecasters of waves: forecasts and their errors, baselines, and studies that keep the numbers."""

import json
import math

import pytest
import torch
from tiny_waves import SHORT, tiny

from lib.datasets.waves import exact_stencil, gaussians, simulate, standing_wave
from lib.experiments import waves
from lib.experiments.waves import training as wave_training
from lib.experiments.waves.evaluation import BURN_IN
from lib.models import NextFrame, NoNetwork, Stencil

# --- evaluation -----------------------------------------------------------------------------------------------------


def true_runs(skip_rate=1):
    return simulate(gaussians(3, 10, generator=torch.Generator().manual_seed(0)).double(), 40, skip_rate=skip_rate)


@pytest.mark.parametrize("warm_up", [1, 2, 30, 38])
def test_the_exact_rule_makes_no_error(warm_up):
    model = NextFrame(Stencil(exact_stencil(3)), 2).double()
    result = waves.score(model, true_runs(3), warm_up)
    assert result["one_step"] < 1e-9 and len(result["vrmse"]) == len(result["correlation"]) == 39 - warm_up
    assert max(result["vrmse"]) < 1e-9 and min(result["correlation"]) > 1 - 1e-9


def test_scores_are_what_they_are_said_to_be():
    runs, warm_up = true_runs(), 20
    copying, nothing = (NextFrame(NoNetwork(), 1, head).double() for head in ("change", "absolute"))
    result = waves.score(copying, runs, warm_up)
    mse = (runs[:, BURN_IN : warm_up + 2] - runs[:, BURN_IN - 1 : warm_up + 1]).square().mean()
    assert result["one_step"] == pytest.approx((mse.sqrt() / runs.std()).item())
    assert result["one_step_share"] == pytest.approx(1)
    for horizon in (1, 7, 19):
        error = runs[:, warm_up + horizon] - runs[:, warm_up]
        rmse = math.sqrt(error.square().mean()) / runs.std().item()
        assert result["vrmse"][horizon - 1] == pytest.approx(rmse), f"the error of copying at horizon {horizon}"
    result = waves.score(nothing, runs, warm_up)
    mean = sum(result["vrmse"]) / len(result["vrmse"])
    assert mean == pytest.approx(1, abs=0.3), "predicting zero errs by the standard deviation"
    rms = runs[:, BURN_IN : warm_up + 2].square().mean().sqrt()
    assert result["one_step"] == pytest.approx((rms / runs.std()).item())
    assert max(result["correlation"]) < 1e-6, "a constant correlates with nothing"
    opposite = standing_wave([0.0, 1.0], 10, mode=(1, 1)).expand(2, 2, 10, 10)
    flipped = NextFrame(Stencil(torch.zeros(1, 1, dtype=torch.float64)), 2).double()
    runs = torch.cat([opposite[:, :1], opposite[:, 1:], opposite[:, :1]], dim=1)
    assert waves.score(flipped, runs, 1)["correlation"] == pytest.approx([-1.0]), "-u is the opposite of u"


def test_the_first_predictions_do_not_count_where_there_are_others():
    """A forecaster that is right but for the frames before BURN_IN, which it reads as they come."""

    class Late(NextFrame):
        def forward(self, frames, horizon=0):
            out = super().forward(frames, horizon)
            out[:, : BURN_IN - self.context_size] += 100
            return out

    model = Late(Stencil(exact_stencil(1)), 2).double()
    assert waves.score(model, true_runs(), 20)["one_step"] < 1e-9
    assert waves.score(model, true_runs(), BURN_IN - 2)["one_step"] > 10, "the last two predictions always count"


@pytest.mark.parametrize("warm_up", [-1, 39, 50])
def test_a_warm_up_that_leaves_nothing_is_refused(warm_up):
    with pytest.raises(ValueError, match=f"warm_up.*got {warm_up}"):
        waves.score(NextFrame(NoNetwork(), 2, "change").double(), true_runs(), warm_up)


def test_an_evaluation_is_plain_numbers_of_the_runs_that_were_asked_for():
    config = tiny("evaluation.warm_up=180", "evaluation.horizon=20")
    result = waves.evaluate(waves.build(config), config, 3)
    assert len(result["vrmse"]) == 20 and json.loads(json.dumps(result)) == result
    runs = waves.wave_data(config.data, "test", 1.0)[:3]
    expected = waves.score(waves.build(config), runs, 180)
    assert result["vrmse"] == pytest.approx(expected["vrmse"], rel=1e-4)


def test_baselines_are_what_their_names_say():
    config, runs = tiny(), simulate(gaussians(2, 16, generator=torch.Generator().manual_seed(0)), 12)
    zero, copying, line, exact = (model(runs[:, :3])[:, -1] for model in waves.baselines(config).values())
    assert (zero == 0).all() and torch.equal(copying, runs[:, 2])
    assert torch.allclose(line, 2 * runs[:, 2] - runs[:, 1]) and torch.allclose(exact, runs[:, 3], atol=1e-5)


# --- studies --------------------------------------------------------------------------------------------------------


def test_flat_settings_decide_a_training_and_nothing_else_does():
    settings = waves.flat(tiny())
    assert settings["model.c_list"] == [4, 8] and settings["seed"] == 0 and settings["data.size"] == 16
    assert all(isinstance(value, (bool, int, float, str, list)) for value in settings.values())
    assert settings == waves.flat(tiny("evaluation.runs=7"))


def test_a_study_trains_what_is_not_trained_yet_and_keeps_the_numbers(stores, monkeypatch):
    configs = [tiny("seed=0", *SHORT), tiny("seed=1", *SHORT)]
    run, fits = waves.train(configs[0], "waves/tiny"), []
    fit = wave_training.fit
    monkeypatch.setattr(
        wave_training, "fit", lambda *args, **options: fits.append(args[1].seed) or fit(*args, **options)
    )
    rows = waves.study("waves/seeds", configs, runs=2, trained=[run])
    assert fits == [1], "the model that is there already is evaluated, not trained again"
    assert [row["seed"] for row in rows] == [0, 1] and rows[0]["vrmse"] != rows[1]["vrmse"]
    expected = waves.evaluate(run.model, configs[0], 2)
    assert {key: rows[0][key] for key in expected} == expected
    assert len(rows[0]["vrmse"]) == 5 and rows[1]["step"] == run.history["step"]
    assert rows[0]["validation_loss"] == pytest.approx(run.history["validation_loss"], rel=1e-4)
    folders = {folder.name for folder in (stores / "exports" / "runs" / "waves" / "seeds").iterdir()}
    assert folders == {"seed=0", "seed=1"}, "TensorBoard shows every variant"
    assert waves.study("waves/seeds", configs, runs=2) == rows and fits == [1], "nothing is computed twice"
