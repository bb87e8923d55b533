"""What the tests of the wave experiments share: few validations, and a finished run."""

import pytest
from omegaconf import OmegaConf
from tiny_waves import SETTINGS, WEIGHTS, tiny

from lib.experiments import waves
from lib.experiments.waves import training
from lib.models import NextFrame
from lib.storage.files import write_atomically
from lib.storage.tensors import save


@pytest.fixture(autouse=True)
def few_validations(monkeypatch):
    monkeypatch.setattr(training, "EPOCHS", 2)


@pytest.fixture
def finished(stores):
    """The folder of a finished run, without a training."""
    config = tiny()
    folder = stores / "exports" / "runs" / "waves" / "finished"
    save(folder / WEIGHTS, waves.build(config).state_dict())
    write_atomically(folder / SETTINGS, OmegaConf.to_yaml(config, resolve=True).encode())
    assert isinstance(waves.load(folder)[0], NextFrame)
    return folder
