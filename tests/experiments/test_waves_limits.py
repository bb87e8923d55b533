"""Values that settings can have, and one line for those that cannot be trained with."""

import math
import re

import pytest
import torch
from tiny_waves import CONVLSTM, SHORT, UNET, composed, tiny

from lib.experiments import waves
from lib.experiments.waves import limits
from lib.experiments.waves.settings import SettingsError

OF_CONVLSTM = ("model.c_hidden", "model.num_layers")


def kind(name):
    """The overrides of a tiny training that has this setting, and the setting's own value in it."""
    overrides = tuple(CONVLSTM if name in OF_CONVLSTM else UNET)
    group, _, key = name.rpartition(".")
    config = composed(*overrides)
    return overrides, (config[group] if group else config)[key]


def refusal(overrides):
    with pytest.raises(SettingsError) as caught:
        waves.compose(overrides=overrides)
    assert "\n" not in str(caught.value), "one line must do"
    return str(caught.value)


def test_every_number_has_a_range_and_every_range_is_of_a_setting():
    numbers = set()
    for overrides in (UNET, CONVLSTM):
        config = composed(*overrides)
        for group in ("data", "model", "training", "evaluation"):
            for name, value in config[group].items():
                one = value[0] if not isinstance(value, (str, int, float)) else value
                if not isinstance(one, (str, bool)):
                    numbers.add(f"{group}.{name}")
    assert numbers | {"seed"} == set(limits.RANGES)


@pytest.mark.parametrize("name", limits.RANGES)
def test_numbers_out_of_their_range_are_refused_by_name(name):
    (low, high), (overrides, value) = limits.RANGES[name], kind(name)
    wrong = [-4, low - 1] + ([10 * high + 1, 10**30] if high < math.inf else [])
    for number in wrong + ([math.nan] if isinstance(low, float) else []):
        text = f"[{number}]" if not isinstance(value, (int, float)) else str(number)
        assert refusal([*overrides, f"{name}={text}"]).startswith((f"{name} must be ", f"{name}={text}")), number


@pytest.mark.parametrize("name", limits.RANGES)
@pytest.mark.parametrize("text", ["some", "null", "{a: 1}", "[[1]]", "''", "1e400x", "0x1z", "${nothing}"])
def test_what_is_no_number_is_refused_by_name(name, text):
    assert name in refusal([*kind(name)[0], f"{name}={text}"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.speed=20"], "0.707"),
        (["data.start=still"], "data.start must be one of rest, published"),
        (["data.obstacle=cube"], "none, slit, disc"),
        (["data.size=100000"], "data.size must be at least 3 and at most 1,024; got 100000"),
        (["data.size=1000", "data.share=1"], "the runs would take 202 GB, at most 32 GB: choose a smaller data.size"),
        (["data.size=17"], "height and width must be multiples of 2"),
        (["data.size=16", "model.kernel_size=99"], "16 × 16 cells cannot be continued by 49"),
        (["data.cut_start=60", "data.cut_end=40"], "runs of 101 frames, less data.cut_start=60"),
        (["data.cut_start=98", "data.cut_end=1"], "too short"),
        (["training.sequence_length=1"], "training.sequence_length must be 0 or at least model.context_size=2; got 1"),
        (["training.sequence_length=100", "training.rollout_steps=[2]"], "too short for 100 frames to read and 2"),
        (["training.optimizer=sgd"], "training.optimizer must be adam or adamw"),
        (["training.phases=[0.5]"], "training.phases must be as many shares"),
        (["training.phases=[1.5,-0.5]", "training.rollout_steps=[1,2]"], "training.phases must be at least 0"),
        (["training.rollout_steps=[]", "training.phases=[]"], "training.rollout_steps must not be empty"),
        (["training.learning_rate=inf"], "training.learning_rate must be above 0 and at most 1,000; got inf"),
        (["evaluation.seeds=[]"], "evaluation.seeds must not be empty"),
        (["evaluation.warm_up=0", "model.context_size=5"], "evaluation.warm_up must be at least 4"),
        (["evaluation.warm_up=180", "evaluation.horizon=30"], "together with evaluation.horizon at most 200"),
        (["model.name=convlstm"], "model.name=convlstm: the kind of model is chosen by model=unet or model=convlstm"),
        (["model.name=vit"], "model=unet or model=convlstm"),
        (["model.c_list=[4096]", "model.spatial_factor_list=[]", "model.num_block_list=[50]"], "6,[0-9,]* parameters"),
        (["model.c_list=[]", "model.spatial_factor_list=[]", "model.num_block_list=[]"], "has 0 levels"),
        (["model.padding=mirror"], "zeros, odd, circular"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused_by_name(overrides, message):

    assert re.search(message, refusal([*UNET, *overrides]))


@pytest.mark.parametrize(("levels", "words"), [([4], "=[] model.num_block_list=[1]"), ([4, 8, 8], "=[2,2]")])
def test_lists_that_do_not_fit_come_with_those_that_do(levels, words):
    typed = str(levels).replace(" ", "")
    message = refusal([*UNET[:4], f"model.c_list={typed}", "model.num_block_list=[1,1]"])
    overrides = message.partition("For example ")[2].split()
    assert words in message and waves.compose(overrides=[*UNET[:4], f"model.c_list={typed}", *overrides])


def test_the_example_of_the_help_is_one_that_runs():
    from lib.experiments.waves import command_line

    example = next(line for line in command_line.__doc__.splitlines() if "c_list" in line).split(" train ")[1]
    assert waves.compose(overrides=example.split()).model.c_list == [8, 16, 32]


def test_the_highest_values_that_are_allowed_together_are_built_of_shapes_alone():
    before = torch.get_rng_state()
    config = waves.compose(overrides=["data.size=1024", "data.share=0.1", "evaluation.runs=30", "training.clip=inf"])
    assert config.data.size == 1024 and torch.equal(before, torch.get_rng_state()), "no random number may be used up"


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
