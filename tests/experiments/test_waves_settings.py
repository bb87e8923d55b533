"""Settings of the wave experiments: what they may be, what is refused, and what a model becomes of them."""

import os
import shutil

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from tiny_waves import same, tiny, weights

from lib.experiments import waves
from lib.experiments.waves import overrides as reading

PRESETS = sorted(path.stem for path in (waves.CONFIG / "experiment").glob("*.yaml"))


def test_every_preset_is_complete_can_be_built_and_is_what_its_name_says():
    configs, sizes = {}, {}
    for name in PRESETS:
        configs[name] = config = waves.compose(name)
        assert not OmegaConf.missing_keys(config), f"{name} leaves values open"
        waves.check(config)
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


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", ["convlstm", "unet", "fourier"])
def test_any_model_can_take_the_place_of_a_presets_own(preset, model):
    config = waves.compose(preset, [f"model={model}"])
    assert config.model == waves.compose(overrides=[f"model={model}"]).model, "sizes of the preset's model stay"
    assert config.training == waves.compose(preset).training


def test_overrides_win_over_the_preset_and_the_preset_over_the_defaults():
    assert waves.compose().data.skip_rate == 1 and waves.compose(overrides=["data=fast"]).data.skip_rate == 3
    preset = waves.compose("convlstm_large")
    config = waves.compose("convlstm_large", ["model.num_layers=1", "data=fast", "data.start=published"])
    assert preset.model.num_layers != 1 and config.model.num_layers == 1
    assert config.model.c_hidden == preset.model.c_hidden, "the preset's other values must stay"
    assert config.data.skip_rate == 3 and config.data.start == "published"
    assert waves.compose(overrides=["model.c_list=[4,8,16]"]).model.c_list == [4, 8, 16]


CHANGED = [
    [],
    ["data=fast", "training.rollout_steps=[4,8]", "training.phases=[1,0]", "training.learning_rate=1", "seed=3"],
    ["training.clip=2", "data=fast", "model=convlstm", "training=closed_loop", "model.padding=zeros"],
    ["training.steps=${training.predictions_per_step}", "evaluation.seeds=[5]", "data.start='published'"],
    ["seed=1", "seed=2"],
]


def described(node):
    """A setting with its type and its flags, and those of all settings below it."""
    about = node._metadata
    facts = [type(node), about.ref_type, about.object_type, about.optional, about.key, about.flags]
    if not OmegaConf.is_config(node):
        return [*facts, type(node._value()), node._value()]
    keys = list(node) if OmegaConf.is_dict(node) else range(len(node))
    return facts + [(key, described(node._get_node(key))) for key in keys]


@pytest.mark.parametrize("overrides", CHANGED)
@pytest.mark.parametrize("preset", [None, "convlstm_published"])
def test_settings_that_are_composed_from_kept_groups_are_those_that_hydra_composes(preset, overrides):
    kept = [waves.compose(preset, overrides) for _ in range(2)]
    with hydra.initialize_config_dir(str(waves.CONFIG), version_base="1.3"):
        fresh = hydra.compose("config", [f"experiment={preset}"] * bool(preset) + overrides)
    assert all(described(config) == described(fresh) for config in kept)
    kept[0].seed, kept[0].model.name = 17, "another"
    assert described(kept[1]) == described(fresh), "nobody may share settings with others"


def test_a_file_that_was_edited_is_read_again(tmp_path, monkeypatch):
    shutil.copytree(waves.CONFIG, tmp_path / "config")
    monkeypatch.setattr(reading, "CONFIG", tmp_path / "config")
    file = tmp_path / "config" / "data" / "slow.yaml"
    assert waves.compose().data.size == 32
    file.write_text(file.read_text("utf-8").replace("size: 32", "size: 20"), "utf-8")
    os.utime(file, (0, 0))
    assert waves.compose().data.size == 20


REFUSED = {
    "data=medium": "there are fast, slow",
    "experiment=nothing": "there are convlstm, .*unet_large",
    "model=transformer": "there are convlstm, .*fourier, unet",
    "model.c_lst=[1]": "Key 'c_lst' not in .*; there are .*c_list.*padding",
    "model.c_hidden=3": "Key 'c_hidden' not in .*; there are .*c_list",
    "sed=1": "Key 'sed' not in .*; there are data, evaluation, experiment, model, seed, training",
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
    "seed=1,2": "seed=1,2: several values make a multirun, which needs -m; a list is written in brackets",
    "data=slow,fast": "data=slow,fast: several values",
    "seed=range(0,3)": "multirun",
    "model@data=unet": "not added or removed",
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
        (["model.name=vit"], "unet, convlstm, fourier; got 'vit'"),
    ],
)
def test_models_that_cannot_be_built_are_refused(overrides, message):
    with pytest.raises(waves.SettingsError, match=message):
        waves.build(tiny(*overrides))


def test_the_seed_draws_the_first_weights():
    first, again, other = (weights(waves.build(tiny(f"seed={seed}"))) for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other)
