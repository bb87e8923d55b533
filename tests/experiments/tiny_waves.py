"""Settings of tiny wave experiments, and what their tests compare."""

import copy
import functools

import torch

from lib.experiments import waves

SMALL = ["data.share=0.01", "data.size=16", "training.steps=4", "training.predictions_per_step=2"]
UNET = [*SMALL, "model.c_list=[4,8]", "model.spatial_factor_list=[2]", "model.num_block_list=[1,1]"]
CONVLSTM = [*SMALL, "model=convlstm", "training=sequences", "model.c_hidden=2", "training.sequence_length=4"]
FOURIER = [*SMALL, "model=fourier", "model.channels=4", "model.modes=4"]
GROWING = ["training.rollout_steps=[1,2,4,8]", "training.phases=[0.4,0.2,0.2,0.2]"]
SHORT = ["evaluation.warm_up=4", "evaluation.horizon=5"]
WEIGHTS, SETTINGS = waves.WEIGHTS, ".hydra/config.yaml"


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
