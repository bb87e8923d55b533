"""torchvision works beside a torch for the CPU, and is left alone where it works by itself."""

import importlib
import subprocess
import sys
import types

import pytest

from lib.storage.paths import ROOT

PROGRAM = """
from lib.datasets import torchvision_compat
import torch
import torchvision
from PIL import Image
from torchvision import datasets, transforms
from torchvision.transforms import v2
from torchvision.utils import make_grid

assert datasets.MNIST and datasets.CelebA and datasets.Flowers102
picture = Image.new("RGB", (16, 12), "red")
steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Resize((8, 8)), v2.Normalize([0.5], [0.5])]
x = v2.Compose(steps)(picture)
assert x.shape == (3, 8, 8) and x[0].min() == 1 and x[1].max() == -1
assert transforms.ToTensor()(picture).shape == (3, 12, 16)
assert make_grid(torch.rand(4, 3, 8, 8), nrow=2).shape == (3, 22, 22)

library = torchvision_compat._library
assert torchvision_compat.import_torchvision() is torchvision and torchvision_compat._library is library
"""


def test_data_sets_transforms_and_grids_work():
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def unimported(monkeypatch):
    """As if neither torchvision nor our module had been imported yet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lib.datasets.torchvision_compat", None)
    del sys.modules["lib.datasets.torchvision_compat"]


def test_a_torchvision_that_works_is_left_alone(unimported, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    compat = importlib.import_module("lib.datasets.torchvision_compat")
    assert compat._library is None and compat.import_torchvision() is sys.modules["torchvision"]


def test_another_failure_is_not_hidden(unimported, tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('something else')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="something else"):
        importlib.import_module("lib.datasets.torchvision_compat")
