"""Values that settings can have, and one line for those that cannot be trained with."""

import re
from types import NoneType

import pytest
import torch
from omegaconf import OmegaConf
from tiny_waves import CONVLSTM, FOURIER, SHORT, UNET, composed, tiny

from lib.experiments import waves
from lib.experiments.waves.settings import SettingsError

OF_CONVLSTM, OF_FOURIER = ("model.c_hidden", "model.num_layers"), ("model.channels", "model.modes")


def kind(name):
    """The overrides of a tiny training that has this setting, and the setting's own value in it."""
    overrides = tuple(CONVLSTM if name in OF_CONVLSTM else FOURIER if name in OF_FOURIER else UNET)
    group, _, key = name.rpartition(".")
    config = composed(*overrides)
    return overrides, (config[group] if group else config)[key]


def refusal(overrides):
    with pytest.raises(SettingsError) as caught:
        waves.compose(overrides=overrides)
    assert "\n" not in str(caught.value), "one line must do"
    return str(caught.value)


def numbers():
    """Names of all settings that are numbers or lists of them."""
    for overrides in (UNET, CONVLSTM, FOURIER):
        config = composed(*overrides)
        for group in ("data", "model", "training", "evaluation"):
            for name, value in config[group].items():
                one = value[0] if OmegaConf.is_list(value) else value
                if not isinstance(one, (str, bool, NoneType)):
                    yield f"{group}.{name}"


NUMBERS = ["seed", *dict.fromkeys(numbers())]


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_out_of_their_range_are_refused_by_name(name):
    overrides, value = kind(name)
    for number in [-4] if name == "training.clip" else [-4, 10**30]:
        text = str(number) if isinstance(value, (int, float)) else f"[{number}]"
        assert refusal([*overrides, f"{name}={text}"]).startswith((f"{name} must be from", f"{name}={text}")), number


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["some", "null", "{a: 1}", "[[1]]", "''", "nan", "1e400x", "${nothing}"])
def test_what_is_no_number_is_refused_by_name(name, text):
    assert name in refusal([*kind(name)[0], f"{name}={text}"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.speed=20"], "0.707"),
        (["data.start=still"], "data.start must be one of rest, published"),
        (["data.obstacle=cube"], "none, slit, disc"),
        (["data.size=100000"], "data.size must be from 3 to 256; got 100000"),
        (["data.size=17"], "height and width must be multiples of 2"),
        (["data.size=16", "model.kernel_size=99"], "16 × 16 cells cannot be continued by 49"),
        (["data.cut_start=60", "data.cut_end=40"], "runs of 101 frames, less 60 at the start"),
        (["data.cut_start=98", "data.cut_end=1"], "hold no stretch"),
        (["training.sequence_length=1"], "the model needs 2 frames of context, got 1"),
        (["training.sequence_length=100", "training.rollout_steps=[2]"], "hold no stretch of 100 \\+ 2 frames"),
        (["training.burn_in=1"], "training.burn_in=1 leaves none of 1 predictions to be trained"),
        (["training.loss=cubed"], "training.loss must be one of squared, absolute; got cubed"),
        (["training.optimizer=sgd"], "training.optimizer must be one of adam, adamw; got sgd"),
        (["training.phases=[0.5]"], "training.phases must be as many shares"),
        (["training.phases=[1.5,-0.5]", "training.rollout_steps=[1,2]"], "training.phases must be from 0 to 1"),
        (["training.rollout_steps=[]", "training.phases=[]"], "training.rollout_steps has lengths, and add up to 1"),
        (["training.learning_rate=inf"], "training.learning_rate must be from 1e-12 to 1,000; got inf"),
        (["evaluation.seeds=[]"], "evaluation.seeds must not be empty"),
        (["model.name=convlstm"], "c_hidden"),
        (["model.name=vit"], "model.name must be one of unet, convlstm, fourier; got 'vit'"),
        (["model.c_list=[4096]", "model.spatial_factor_list=[]", "model.num_block_list=[50]"], "6,[0-9,]* parameters"),
        (["model.c_list=[]", "model.spatial_factor_list=[]", "model.num_block_list=[]"], "one more entry in c_list"),
        (["model.padding=mirror"], "zeros, odd, circular"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused_by_name(overrides, message):
    assert re.search(message, refusal([*UNET, *overrides]))


def test_a_model_is_tried_without_random_numbers():
    before = torch.get_rng_state()
    waves.compose(overrides=["data.size=256", "model.expansion=16", "training.clip=inf"])
    assert torch.equal(before, torch.get_rng_state())


def test_settings_changed_after_they_were_composed_are_looked_at_again(stores):
    for wrong in ("training.steps=0", "data.share=2", "model.bundle=0"):
        config = tiny(*SHORT, wrong)
        for attempt in (
            lambda config: waves.train(config, "waves/never"),
            lambda config: waves.study("waves/x", [config]),
        ):
            with pytest.raises(SettingsError, match=wrong.partition("=")[0]):
                attempt(config)
    assert not (stores / "exports").exists(), "nothing may be left behind"
