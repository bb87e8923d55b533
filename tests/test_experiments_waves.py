"""The wave experiments: what settings may be, what a training leaves behind, and the command line."""

import copy
import functools
import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

from lib import checkpoints, training
from lib.datasets.waves import WaveWindows, exact_stencil, gaussians, simulate, standing_wave
from lib.experiments import waves
from lib.losses import forecast_loss
from lib.models import NextFrame, NoNetwork, Stencil
from lib.paths import ROOT

PRESETS = sorted(path.stem for path in (waves.CONFIG / "experiment").glob("*.yaml"))
SMALL = ["data.share=0.01", "data.size=16", "training.steps=4", "training.predictions_per_step=2"]
UNET = [*SMALL, "model.c_list=[4,8]", "model.spatial_factor_list=[2]", "model.num_block_list=[1,1]"]
CONVLSTM = [*SMALL, "model=convlstm", "training=sequences", "model.c_hidden=2", "training.sequence_length=4"]
GROWING = ["training.rollout_steps=[1,2,4,8]", "training.phases=[0.4,0.2,0.2,0.2]"]
SHORT = ["evaluation.warm_up=4", "evaluation.horizon=5"]
WEIGHTS, SETTINGS = waves.WEIGHTS, ".hydra/config.yaml"


@pytest.fixture(autouse=True)
def few_validations(monkeypatch):
    monkeypatch.setattr(waves, "EPOCHS", 2)


@functools.cache
def composed(*overrides):
    return waves.compose(overrides=overrides)


def tiny(*values):
    """Settings of a tiny training; changing values is faster than composing anew."""
    config = copy.deepcopy(composed(*UNET))
    config.merge_with_dotlist(list(values))
    return config


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def field(B=2, T=5):
    return torch.randn(B, T, 16, 16, generator=torch.Generator().manual_seed(1))


# --- settings -------------------------------------------------------------------------------------------------------


def test_every_preset_is_complete_can_be_built_and_is_what_its_name_says():
    configs, sizes = {}, {}
    for name in PRESETS:
        configs[name] = config = waves.compose(name)
        assert not OmegaConf.missing_keys(config), f"{name} leaves values open"
        waves.check_training(config.training)
        model = waves.build(config)
        sizes[name] = sum(p.numel() for p in model.parameters())
        assert config.model.name in name
        frames = torch.randn(1, 3, 16, 16)
        assert model(frames, 1).shape[1] == 3 - model.context_size + 2, f"{name} makes no forecast"
    for name in ("unet", "convlstm"):
        assert sizes[f"{name}_large"] > 2 * sizes[name]
        assert configs[f"{name}_large"].training.steps > configs[name].training.steps
    published = configs["convlstm_published"]
    assert published.data.start == "published" and not published.model.scaled
    assert (published.model.head, published.model.output, published.model.padding) == ("absolute", "relu", "zeros")


def test_overrides_win_over_the_preset_and_the_preset_over_the_defaults():
    assert waves.compose().data.skip_rate == 1 and waves.compose(overrides=["data=fast"]).data.skip_rate == 3
    preset = waves.compose("convlstm_large")
    config = waves.compose("convlstm_large", ["model.num_layers=1", "data=fast", "data.start=published"])
    assert preset.model.num_layers != 1 and config.model.num_layers == 1
    assert config.model.c_hidden == preset.model.c_hidden, "the preset's other values must stay"
    assert config.data.skip_rate == 3 and config.data.start == "published"
    assert waves.compose(overrides=["model.c_list=[4,8]"]).model.c_list == [4, 8]


REFUSED = {
    "data=medium": "there are fast, slow",
    "experiment=nothing": "there are convlstm, .*unet_large",
    "model=transformer": "there are convlstm, unet",
    "model.c_lst=[1]": "model has no 'c_lst'; it has .*c_list.*padding",
    "model.c_hidden=3": "model has no 'c_hidden'; it has .*c_list",
    "sed=1": "no 'sed'; it has data, evaluation, experiment, model, seed, training",
    "modl.norm=false": "'modl'.*model",
    "training.steps=many": "training.steps=many.*Integer",
    "training.steps=1.5": "training.steps=1.5.*Integer",
    "model.norm=maybe": "model.norm=maybe.*bool",
    "model.c_list=16": "model.c_list=16.*list",
    "model.c_list=[1,x]": "model.c_list=.*'x'",
    "seed=null": "seed=null.*not Optional",
    "+model.foo=1": "not added or removed",
    "++seed=1": "not added or removed",
    "~model.norm": "not added or removed",
    "training.steps=10,many": "training.steps=many.*Integer",
    "data=slow,medium": "data=medium: there are fast, slow",
    "seed=1,2": "seed=1,2",
    "seed=range(0,3)": "multirun",
    "model": "cannot read .*'model'",
    "data=null": "there are fast, slow",
    "seed=glob(*)": r"seed=glob\(\*\)",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_does_not_exist_or_fit_is_refused_and_what_exists_is_named(override):
    with pytest.raises(waves.SettingsError, match=REFUSED[override]) as caught:
        waves.compose(overrides=["training.clip=0.5", override])
    assert "\n" not in str(caught.value), "one line must do"


def test_after_a_refusal_the_next_settings_are_read_as_ever():
    with pytest.raises(waves.SettingsError):
        waves.compose("unet", ["sed=1"])
    assert waves.compose("unet").seed == 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.head=none"], "absolute, change, extrapolate"),
        (["model.context_size=1", "model.head=extrapolate"], "needs 2 frames"),
        (["model.c_list=[4]"], "one more entry in c_list"),
        (["model.padding=mirror"], "zeros, odd, circular"),
        (["model.kernel_size=4"], "odd"),
        (["model.name=vit"], "unet, convlstm; got 'vit'"),
    ],
)
def test_models_that_cannot_be_built_are_refused(overrides, message):
    with pytest.raises(waves.SettingsError, match=message):
        waves.build(tiny(*overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.phases=[0.5]"],
        ["training.phases=[0.5,0.5]"],
        ["training.rollout_steps=[0]"],
        ["training.rollout_steps=[]", "training.phases=[]"],
        ["training.optimizer=sgd"],
        ["training.steps=0"],
    ],
)
def test_trainings_that_make_no_sense_are_refused_before_they_begin(overrides, stores):
    with pytest.raises(waves.SettingsError, match="training"):
        waves.train(tiny(*overrides), "waves/never")
    assert not (stores / "exports").exists(), "nothing may be left behind"


def test_the_seed_draws_the_first_weights():
    first, again, other = (weights(waves.build(tiny(f"seed={seed}"))) for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other)


# --- steps ----------------------------------------------------------------------------------------------------------


def test_roll_outs_grow_phase_by_phase():
    settings = OmegaConf.create({"steps": 100, "rollout_steps": [1, 2, 4, 8], "phases": [0.4, 0.2, 0.2, 0.2]})
    lengths = [waves.rollout_length(step, settings) for step in range(100)]
    assert lengths == [1] * 40 + [2] * 20 + [4] * 20 + [8] * 20
    assert waves.rollout_length(100, settings) == 8, "after the last step it stays as it is"
    thirds = OmegaConf.create({"steps": 7, "rollout_steps": [1, 2, 3], "phases": [1 / 3] * 3})
    assert [waves.rollout_length(step, thirds) for step in range(7)] == [1, 1, 2, 2, 2, 3, 3]


def test_the_learning_rate_rises_and_falls():
    factors = [waves.rate_factor(step, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(factors) == 1 and factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[55] == pytest.approx(0.5) and factors[100] == pytest.approx(0, abs=1e-12)
    assert [waves.rate_factor(step, 1) for step in range(2)] == [1, 1], "a single step is taken at the full rate"


@pytest.mark.parametrize(
    ("overrides", "module", "lengths"),
    [
        (GROWING, "network", [1] * 4 + [2] * 2 + [4] * 2 + [8] * 2),
        ([*GROWING, "model.bundle=2"], "network", [1] * 4 + [2] * 2 + [4] * 2 + [8] * 2),
        (
            [*CONVLSTM[4:], "training.rollout_steps=[1,5]", "training.phases=[0.5,0.5]"],
            "readout",
            [1] * 5 + [5] * 5,
        ),
    ],
    ids=["unet", "bundles", "convlstm"],
)
def test_longer_roll_outs_are_fewer_so_that_a_step_costs_the_same(overrides, module, lengths, monkeypatch):
    lists = UNET[4:] if module == "network" else []
    budget = ["training.steps=10", "training.predictions_per_step=16"]
    config = waves.compose(overrides=[*SMALL, *lists, *overrides, *budget])
    model, seen, evaluations = waves.build(config), [], []

    def loss(model, batch):
        seen.append(batch[1].shape[1])
        evaluations.append(0)
        return forecast_loss(model, batch)

    def count(module, inputs, output):
        if module.training:
            evaluations[-1] += len(output)

    getattr(model, module).register_forward_hook(count)
    monkeypatch.setattr(waves, "forecast_loss", loss)
    waves.fit(model, config, progress=False)
    assert seen == lengths, "frames predicted in closed loop, step by step"
    assert evaluations == [16] * 10, "windows × roll-out must be predictions_per_step"


def test_a_roll_out_longer_than_the_budget_still_gets_one_window(monkeypatch):
    config, sizes = tiny("training.rollout_steps=[5]"), []

    def loss(model, batch):
        sizes.append(len(batch[0]))
        return forecast_loss(model, batch)

    monkeypatch.setattr(waves, "forecast_loss", loss)
    waves.fit(waves.build(config), config, progress=False)
    assert sizes == [1] * 4


@pytest.mark.parametrize("pushforward", [True, False])
def test_the_setting_pushforward_chooses_the_loss(pushforward, monkeypatch):
    config, called = tiny(f"training.pushforward={pushforward}", "training.steps=1"), []
    for name in ("forecast_loss", "pushforward_loss"):
        monkeypatch.setattr(waves, name, lambda *args, name=name: called.append(name) or forecast_loss(*args))
    waves.fit(waves.build(config), config, progress=False)
    assert called == ["pushforward_loss" if pushforward else "forecast_loss"]


@pytest.mark.parametrize("head", ["absolute", "change", "extrapolate"])
@pytest.mark.parametrize("bundle", [1, 3])
def test_scales_are_the_sizes_of_the_field_and_of_what_is_to_be_added(head, bundle):
    config = tiny(f"model.head={head}", f"model.bundle={bundle}")
    runs, model = waves.wave_data(config.data, "train", 0.01), waves.build(config)
    waves.set_scales(model, runs)
    assert model.field_scale == runs.std()
    last, slope = runs[:, 1:-bundle], runs[:, 1:-bundle] - runs[:, : -1 - bundle]
    for k in range(1, bundle + 1):
        base = {"absolute": 0, "change": last, "extrapolate": last + k * slope}[head]
        later = runs[:, 1 + k : runs.shape[1] - bundle + k]
        expected = (later - base).square().mean().sqrt().item()
        assert model.step_scale.flatten()[k - 1].item() == pytest.approx(expected, rel=0.02), f"frame {k} of a bundle"
    if bundle == 1:
        windows = WaveWindows(runs, 2)
        everything = windows[torch.arange(len(windows))]
        loss = forecast_loss(model, everything).item()
        assert loss == pytest.approx(1, rel=1e-4), "a network that adds nothing has the loss 1"


# --- trainings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [UNET, CONVLSTM], ids=["unet", "convlstm"])
def test_a_training_leaves_a_folder_from_which_it_can_be_loaded(overrides, stores, monkeypatch):
    config = waves.compose(overrides=overrides)
    run = waves.train(config, "waves/tiny")
    folder = stores / "exports" / "runs" / "waves" / "tiny"
    assert run.origin == "trained" and run.history["step"] == [2, 4]
    assert {"loss", "rate", "one_step_share", "closed_loop"} <= run.history.keys()
    assert (folder / SETTINGS).is_file() and (folder / WEIGHTS).is_file() and list(folder.glob("events*"))
    assert OmegaConf.to_container(OmegaConf.load(folder / SETTINGS)) == OmegaConf.to_container(config)
    assert not same(weights(run.model), weights(waves.build(config))), "training must change the weights"

    model, found = waves.load(folder)
    assert type(model) is type(run.model) and same(weights(model), weights(run.model))
    assert torch.equal(model(field(), 3), run.model(field(), 3)), "the loaded model must predict the same"
    assert OmegaConf.to_container(found) == OmegaConf.to_container(config)

    monkeypatch.setattr(training, "fit", lambda *args, **options: pytest.fail("trained again"))
    shutil.rmtree(folder)
    again = waves.train(config, "waves/tiny")
    assert again.origin == "local" and same(weights(again.model), weights(run.model))
    assert same(weights(waves.load(folder)[0]), weights(run.model)), "the folder is complete also without a training"


def test_other_settings_are_another_training():
    first = waves.train(tiny(), "waves/tiny")
    other = waves.train(tiny("training.learning_rate=1e-4"), "waves/tiny")
    assert other.origin == "trained" and not same(weights(first.model), weights(other.model))
    assert waves.train(tiny("evaluation.runs=7"), "waves/tiny").origin == "local", "the evaluation decides no weights"


def test_frames_enter_as_they_are_where_scaling_is_switched_off():
    for scaled in (True, False):
        config = waves.compose(overrides=[*CONVLSTM, f"model.scaled={scaled}", "training.steps=1"])
        model = waves.build(config)
        waves.fit(model, config, progress=False)
        assert (model.field_scale != 1) == scaled and (model.step_scale != 1) == scaled


def test_an_interrupted_training_ends_with_the_same_weights(monkeypatch, capsys):
    config = tiny("training.rollout_steps=[1,2]", "training.phases=[0.5,0.5]", "training.noise=0.01")
    whole = waves.train(config, "waves/whole")
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 4:  # the second step of the second epoch
            raise KeyboardInterrupt
        return clip(*args)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", interrupted)
    with pytest.raises(KeyboardInterrupt):
        waves.train(config, "waves/cut")
    assert "going on" not in capsys.readouterr().out
    resumed = waves.train(config, "waves/cut")
    assert "going on where an interrupted training stopped" in capsys.readouterr().out
    assert len(calls) == 4 + 2, "only the second epoch is trained again"
    assert same(weights(resumed.model), weights(whole.model))
    for key in ("step", "loss", "one_step_share", "closed_loop"):
        assert resumed.history[key] == whole.history[key], f"the history of {key} must have no gap"


@pytest.fixture
def finished(stores):
    """The folder of a finished run, without a training."""
    config = tiny()
    folder = stores / "exports" / "runs" / "waves" / "finished"
    checkpoints.save(folder / WEIGHTS, waves.build(config).state_dict())
    checkpoints.write_atomically(folder / SETTINGS, OmegaConf.to_yaml(config, resolve=True).encode())
    assert isinstance(waves.load(folder)[0], NextFrame)
    return folder


@pytest.mark.parametrize("name", [SETTINGS, WEIGHTS])
def test_a_folder_without_settings_or_weights_is_no_run(finished, name):
    (finished / name).unlink()
    with pytest.raises(waves.SettingsError, match=f"finished is no finished run: it has no {name.split('/')[-1]}"):
        waves.load(finished)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "{{{ nothing",
        lambda text: "",
        lambda text: "- a list",
        lambda text: text[: len(text) // 3],
        lambda text: text.replace("name: unet", "name: vit"),
        lambda text: text.replace("kernel_size: 7", "kernel_size: seven"),
        lambda text: text.replace("kernel_size: 7", "kernel_size: 5"),
        lambda text: text.replace("context_size: 2", "context_size: 3"),
    ],
    ids=["no YAML", "empty", "a list", "cut off", "another model", "no number", "another kernel", "another context"],
)
def test_damaged_settings_are_named(finished, change):
    file = finished / SETTINGS
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))
    with pytest.raises(waves.SettingsError, match="config.yaml are damaged or of another version"):
        waves.load(finished)


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", lambda data: data[:-1] + b"\x7f"])
def test_damaged_weights_are_named(finished, damage):
    file = finished / WEIGHTS
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(checkpoints.CheckpointError, match=WEIGHTS):
        waves.load(finished)


# --- evaluation -----------------------------------------------------------------------------------------------------


def true_runs(skip_rate=1):
    return simulate(gaussians(3, 10, generator=torch.Generator().manual_seed(0)).double(), 40, skip_rate=skip_rate)


@pytest.mark.parametrize("warm_up", [1, 2, 30, 38])
def test_the_exact_rule_makes_no_error(warm_up):
    model = NextFrame(Stencil(exact_stencil(3)), 2).double()
    result = waves.score(model, true_runs(3), warm_up)
    assert result["one_step_mse"] < 1e-20 and len(result["rmse"]) == len(result["correlation"]) == 39 - warm_up
    assert max(result["rmse"]) < 1e-9 and min(result["correlation"]) > 1 - 1e-9


def test_scores_are_what_they_are_said_to_be():
    runs, warm_up = true_runs(), 20
    copying, nothing = (NextFrame(NoNetwork(), 1, head).double() for head in ("change", "absolute"))
    result = waves.score(copying, runs, warm_up)
    mse = (runs[:, 1 : warm_up + 2] - runs[:, : warm_up + 1]).square().mean().item()
    assert result["one_step_mse"] == pytest.approx(mse) and result["one_step_share"] == pytest.approx(1)
    for horizon in (1, 7, 19):
        error = runs[:, warm_up + horizon] - runs[:, warm_up]
        rmse = math.sqrt(error.square().mean()) / runs.std().item()
        assert result["rmse"][horizon - 1] == pytest.approx(rmse), f"the error of copying at horizon {horizon}"
    result = waves.score(nothing, runs, warm_up)
    mean = sum(result["rmse"]) / len(result["rmse"])
    assert mean == pytest.approx(1, abs=0.3), "predicting zero errs by the standard deviation"
    assert result["one_step_mse"] == pytest.approx(runs[:, 1 : warm_up + 2].square().mean().item())
    assert max(result["correlation"]) < 1e-6, "a constant correlates with nothing"
    opposite = standing_wave([0.0, 1.0], 10, mode=(1, 1)).expand(2, 2, 10, 10)
    flipped = NextFrame(Stencil(torch.zeros(1, 1, dtype=torch.float64)), 2).double()
    runs = torch.cat([opposite[:, :1], opposite[:, 1:], opposite[:, :1]], dim=1)
    assert waves.score(flipped, runs, 1)["correlation"] == pytest.approx([-1.0]), "-u is the opposite of u"


@pytest.mark.parametrize("warm_up", [-1, 39, 50])
def test_a_warm_up_that_leaves_nothing_is_refused(warm_up):
    with pytest.raises(ValueError, match=f"warm_up.*got {warm_up}"):
        waves.score(NextFrame(NoNetwork(), 2, "change").double(), true_runs(), warm_up)


def test_an_evaluation_is_plain_numbers_of_the_runs_that_were_asked_for():
    config = tiny("evaluation.warm_up=180")
    result = waves.evaluate(waves.build(config), config, 3)
    assert len(result["rmse"]) == 20 and json.loads(json.dumps(result)) == result
    runs = waves.wave_data(config.data, "test", 1.0)[:3]
    expected = waves.score(waves.build(config), runs, 180)
    assert result["rmse"] == pytest.approx(expected["rmse"], rel=1e-4)


# --- studies --------------------------------------------------------------------------------------------------------


def test_flat_settings_decide_a_training_and_nothing_else_does():
    settings = waves.flat(tiny())
    assert settings["model.c_list"] == [4, 8] and settings["seed"] == 0 and settings["data.size"] == 16
    assert all(isinstance(value, (bool, int, float, str, list)) for value in settings.values())
    assert settings == waves.flat(tiny("evaluation.runs=7"))


def test_a_study_trains_what_is_not_trained_yet_and_keeps_the_numbers(monkeypatch):
    configs = [tiny("seed=0", *SHORT), tiny("seed=1", *SHORT)]
    run, fits = waves.train(configs[0], "waves/tiny"), []
    fit = waves.fit
    monkeypatch.setattr(waves, "fit", lambda *args, **options: fits.append(args[1].seed) or fit(*args, **options))
    rows = waves.study("waves/seeds", configs, runs=2, trained=[run])
    assert fits == [1], "the model that is there already is evaluated, not trained again"
    assert [row["seed"] for row in rows] == [0, 1] and rows[0]["rmse"] != rows[1]["rmse"]
    expected = waves.evaluate(run.model, configs[0], 2)
    assert {key: rows[0][key] for key in expected} == expected
    assert len(rows[0]["rmse"]) == 5 and len(rows[1]["share"]) == len(run.history["step"])
    assert waves.study("waves/seeds", configs, runs=2) == rows and fits == [1], "nothing is computed twice"


def test_baselines_are_what_their_names_say():
    config, runs = tiny(), simulate(gaussians(2, 16, generator=torch.Generator().manual_seed(0)), 12)
    zero, copying, line, exact = (model(runs[:, :3])[:, -1] for model in waves.baselines(config).values())
    assert (zero == 0).all() and torch.equal(copying, runs[:, 2])
    assert torch.allclose(line, 2 * runs[:, 2] - runs[:, 1]) and torch.allclose(exact, runs[:, 3], atol=1e-5)


# --- command line ---------------------------------------------------------------------------------------------------


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lib.experiments.waves", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def test_train_multirun_and_evaluate_on_the_command_line(stores, capsys):
    runs = stores / "exports" / "runs" / "waves"
    quick = [*UNET, "training.steps=1"]
    done = command("train", *quick)
    assert done.returncode == 0, done.stderr
    (single,) = runs.iterdir()
    assert (single / SETTINGS).is_file() and (single / WEIGHTS).is_file() and list(single.glob("events*"))
    assert "data.size=16" in (single / ".hydra" / "overrides.yaml").read_text()
    assert f"evaluate {single}" in done.stdout, "the next command must be named"

    done = command("train", "-m", *quick, "seed=0,1")
    assert done.returncode == 0, done.stderr
    (multirun,) = set(runs.iterdir()) - {single}
    assert [waves.load(multirun / str(number))[1].seed for number in (0, 1)] == [0, 1]
    assert "loaded (local)" in done.stdout, "the run with seed 0 has just been trained"
    same_weights = weights(waves.load(multirun / "0")[0])
    assert same(same_weights, weights(waves.load(single)[0]))
    assert not same(same_weights, weights(waves.load(multirun / "1")[0]))

    assert waves.main(["evaluate", str(runs / "*"), "--test-runs", "2"]) == 0
    rows = capsys.readouterr().out.strip().splitlines()[1:]
    assert [row.split()[-1] for row in rows] == [str(single), str(multirun / "0"), str(multirun / "1")]
    result = json.loads((single / "scores.json").read_text())
    model, config = waves.load(single)
    assert result["rmse"] == pytest.approx(waves.evaluate(model, config, 2)["rmse"], rel=1e-3)


def test_an_error_during_a_run_is_one_line_on_the_command_line():
    done = command("train", *UNET, "data.speed=20")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "0.707" in line and str(waves.exports_folder()) in line, "the run and what is wrong with it"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "data=medium"],
        ["train", "model.c_lst=[1]"],
        ["train", "training.steps=many"],
        ["train", "+model.foo=1"],
        ["train", "-m", "training.steps=10,many"],
        ["train", "--multirun", "data=slow,medium"],
        ["train", "seed=0,1"],
    ],
)
def test_settings_that_do_not_exist_end_with_code_two_before_anything_starts(arguments, capsys, stores):
    assert waves.main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message and "\n" not in message, "one line must do"
    assert not (stores / "exports").exists(), "no run may have begun"


def test_evaluating_what_is_no_run_ends_with_code_two(finished, capsys):
    assert waves.main(["evaluate", str(finished.parent / "no*")]) == 2
    assert "no finished run matches" in capsys.readouterr().err
    (finished / SETTINGS).write_text("")
    assert waves.main(["evaluate", str(finished)]) == 2
    assert "config.yaml are damaged" in capsys.readouterr().err
    (finished / WEIGHTS).write_bytes(b"nothing")
    assert waves.main(["evaluate", str(finished)]) == 2


def test_anything_else_prints_how_it_is_used(capsys):
    assert waves.main([]) == waves.main(["--help"]) == 0
    assert waves.main(["fly"]) == 2
    assert capsys.readouterr().out.count("python -m lib.experiments.waves train") >= 3
