"""Training forecasters of waves: every step of it, what it leaves behind, and loading that again."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from tiny_waves import CONVLSTM, FOURIER, GROWING, SETTINGS, SMALL, UNET, WEIGHTS, field, same, tiny, weights

from lib import training
from lib.datasets.waves import WaveWindows
from lib.experiments import waves
from lib.experiments.waves import training as wave_training
from lib.losses import forecast_loss
from lib.storage.files import CheckpointError
from lib.storage.fingerprint import code_parts
from lib.training import checkpoints

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


def test_the_learning_rate_rises_and_falls_anew_in_every_phase_where_asked():
    phases = {"steps": 100, "phases": [0.6, 0.4], "rollout_steps": [1, 8]}
    once, anew = (OmegaConf.create(phases | {"restart": restart}) for restart in (0.0, 0.1))
    assert [waves.learning_rate(step, once) for step in range(100)] == [waves.rate_factor(n, 100) for n in range(100)]
    expected = [waves.rate_factor(n, 60) for n in range(60)] + [0.1 * waves.rate_factor(n, 40) for n in range(40)]
    assert [waves.learning_rate(step, anew) for step in range(100)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "windows"),
    [
        (["training.rollout_steps=[1]", "training.windows_per_step=3"], 3),
        (["training.rollout_steps=[5]", "training.windows_per_step=3"], 3),
        (["training.rollout_steps=[5]"], 1),  # longer than the budget
    ],
)
def test_windows_in_a_step_are_those_asked_for_or_else_at_least_one(changes, windows, monkeypatch):
    config, sizes = tiny(*changes), []

    def loss(model, batch, **options):
        sizes.append(len(batch[0]))
        return forecast_loss(model, batch)

    monkeypatch.setattr(wave_training, "forecast_loss", loss)
    waves.fit(waves.build(config), config, progress=False)
    assert sizes == [windows] * 4


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

    def loss(model, batch, **options):
        seen.append(batch[1].shape[1])
        evaluations.append(0)
        return forecast_loss(model, batch)

    def count(module, inputs, output):
        if module.training:
            evaluations[-1] += len(output)

    getattr(model, module).register_forward_hook(count)
    monkeypatch.setattr(wave_training, "forecast_loss", loss)
    waves.fit(model, config, progress=False)
    assert seen == lengths, "frames predicted in closed loop, step by step"
    assert evaluations == [16] * 10, "windows × roll-out must be predictions_per_step"


@pytest.mark.parametrize("pushforward", [True, False])
def test_the_setting_pushforward_chooses_the_loss(pushforward, monkeypatch):
    config, called = tiny(f"training.pushforward={pushforward}", "training.steps=1"), []
    for name in ("forecast_loss", "pushforward_loss"):

        def loss(*args, name=name, **options):
            called.append(name)
            return forecast_loss(*args)

        monkeypatch.setattr(wave_training, name, loss)
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


@pytest.mark.parametrize("overrides", [UNET, CONVLSTM, FOURIER], ids=["unet", "convlstm", "fourier"])
def test_a_training_leaves_a_folder_from_which_it_can_be_loaded(overrides, stores, monkeypatch):
    config = waves.compose(overrides=overrides)
    run = waves.train(config, "waves/tiny")
    folder = stores / "exports" / "runs" / "waves" / "tiny"
    assert run.origin == "trained" and run.history["step"] == [2, 4]
    assert {"loss", "rate", "validation_loss", "one_step_share", "closed_loop"} <= run.history.keys()
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


@pytest.mark.parametrize(
    ("overrides", "watched", "first"),
    [([], (2, 101), 0), (["data.share=0.05"], (4, 101), 0), (["data.cut_start=5", "data.cut_end=2"], (2, 94), 5)],
)
def test_validations_watch_few_runs_cut_like_those_of_the_training(overrides, watched, first, monkeypatch):
    config, seen = tiny("training.steps=1", *overrides), []
    monkeypatch.setattr(wave_training, "score", lambda *args: seen.append(args) or waves.score(*args))
    waves.fit(waves.build(config), config, progress=False)
    ((_, runs, warm_up),) = seen
    assert runs.shape[:2] == watched and warm_up == watched[1] // 2
    whole = waves.wave_data(config.data, "validation", 0.027)
    assert torch.equal(runs, whole[: watched[0], first : first + watched[1]])


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
        lambda text: text.replace("size: 16", "size: 100000"),
        lambda text: text.replace("expansion: 4", "expansion: 4000000000"),
        lambda text: text.replace("  horizon: 120\n", ""),
        lambda text: text.replace("seed: 0", "seed: ${oc.env:NO_SUCH_VARIABLE}"),
    ],
    ids=["no YAML", "empty", "a list", "cut off", "another model", "no number", "another kernel", "another context"]
    + ["no memory", "no memory for a model", "not whole", "an interpolation"],
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
    with pytest.raises(CheckpointError, match=WEIGHTS):
        waves.load(finished)


# --- what a stored result depends on --------------------------------------------------------------------------------


@pytest.fixture
def code(monkeypatch):
    """Trains nothing: of each training or study, the code that its result would depend on."""
    followed = []

    def train_or_load(name, build, train, settings, **options):
        followed.append(code_parts(build, train, type(build())))
        return SimpleNamespace(model=build())

    monkeypatch.setattr(checkpoints, "train_or_load", train_or_load)
    monkeypatch.setattr(
        checkpoints, "sweep", lambda name, run, *args, **options: followed.append(code_parts(run)) or []
    )
    return followed


ALWAYS = {
    "experiments.waves.training.fit",
    "experiments.waves.training.set_scales",
    "experiments.waves.training.EPOCHS",
    "experiments.waves.evaluation.score",
    "losses.forecast_loss",
    "losses.pushforward_loss",
    "datasets.waves.simulate",
    "datasets.waves.WaveWindows",
}
OF_UNET = {"experiments.waves.forecasters.unet", "models.unet.UNet", "models.forecasting.NextFrame"}
OF_CONVLSTM = {"experiments.waves.forecasters.convlstm", "models.convlstm.ConvLSTM", "models.convlstm.ConvLSTMCell"}


@pytest.mark.parametrize(
    ("overrides", "own", "other"), [(UNET, OF_UNET, OF_CONVLSTM), (CONVLSTM, OF_CONVLSTM, OF_UNET)]
)
def test_a_result_depends_on_its_own_model_and_all_that_trains_it_and_on_no_other_model(overrides, own, other, code):
    config = waves.compose(overrides=overrides)
    waves.train(config, "waves/tiny")
    waves.study("waves/study", [config])
    for names in code:
        names = {name.removeprefix("lib.") for name in names}
        assert names >= ALWAYS | own and not other & names
    evaluation = "lib.experiments.waves.evaluation.evaluate"
    assert evaluation in code[1] and evaluation not in code[0], "only a study keeps results of the test"


def test_a_study_depends_on_the_models_of_all_its_settings(code):
    configs = [waves.compose(overrides=overrides) for overrides in (UNET, CONVLSTM)]
    waves.study("waves/study", configs)
    assert {name.removeprefix("lib.") for name in code[0]} >= OF_UNET | OF_CONVLSTM


def test_other_cells_and_test_runs_are_no_other_code(code):
    first, second = tiny(), tiny("seed=1")
    for configs, runs in (([first], None), ([first], 3), ([first, second], None)):
        waves.study("waves/study", configs, runs=runs)
    assert code[0] == code[1] == code[2]
