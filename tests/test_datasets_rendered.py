"""Rendered data sets: rendered once, named after their content, whole or rendered again."""

import pytest
import torch

from lib.checkpoints import CheckpointError, load
from lib.datasets import faces, flowers, rendered
from lib.paths import exports_folder

pytestmark = pytest.mark.parametrize(
    "module, make", [(faces, faces.make_faces), (flowers, flowers.make_flowers)], ids=["faces", "flowers"]
)


def counted(monkeypatch, module):
    """A list that grows with every call of the module's `render`."""
    calls, whole = [], module.render

    def counting(factors, *arguments):
        calls.append(len(factors))
        return whole(factors, *arguments)

    monkeypatch.setattr(module, "render", counting)
    monkeypatch.setattr(rendered, "source_hash", lambda *objects: "c0de")
    return calls


def test_a_data_set_is_rendered_once_and_then_loaded(monkeypatch, module, make):
    render, calls = module.render, counted(monkeypatch, module)
    pictures, factors = make(5, seed=2, size=32, progress=False)
    assert torch.equal(factors, module.sample_factors(5, seed=2)) and torch.equal(pictures, render(factors, 32))
    again = make(5, seed=2, size=32, progress=False)
    assert calls == [5] and torch.equal(again[0], pictures) and torch.equal(again[1], factors)
    make(5, seed=3, size=32, progress=False)
    make(4, seed=2, size=32, progress=False)
    make(5, seed=2, size=16, progress=False)
    assert calls == [5, 5, 4, 5], "another seed, number or size is another data set"
    assert len(list((exports_folder() / "data").glob("*_c0de.safetensors"))) == 4


def test_the_file_is_named_after_the_code_that_renders(monkeypatch, module, make):
    make(1, size=8, progress=False)
    monkeypatch.setattr(module, "AMBIENT", 0.1)
    make(1, size=8, progress=False)
    assert len(list((exports_folder() / "data").iterdir())) == 2, (
        "pictures in another light are others"
    )


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_a_damaged_file_is_rendered_again_with_a_notice(monkeypatch, capsys, module, make, damage):
    calls = counted(monkeypatch, module)
    pictures, factors = make(3, size=16, progress=False)
    (path,) = (exports_folder() / "data").iterdir()
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-7] ^= 1
    path.write_bytes({"truncated": data[:-100], "flipped": data, "foreign": b"hello", "empty": b""}[damage])
    capsys.readouterr()
    again = make(3, size=16, progress=False)
    assert f"{path.name} is damaged" in capsys.readouterr().out
    assert calls == [3, 3] and torch.equal(again[0], pictures) and torch.equal(again[1], factors)
    assert torch.equal(load(path)["pictures"], pictures), "and it is whole now"


def test_where_nothing_can_be_stored_there_are_pictures_all_the_same(monkeypatch, capsys, module, make):
    def full(path, tree):
        raise CheckpointError(f"cannot write {path}: no space left on device")

    monkeypatch.setattr(rendered, "save", full)
    pictures, _ = make(2, size=16, progress=False)
    assert pictures.shape == (2, 3, 16, 16) and "no space left" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [{"num": 0}, {"num": 2, "size": 7}])
def test_a_data_set_that_makes_no_sense_is_refused(module, make, arguments):
    with pytest.raises(ValueError, match="at least"):
        make(**arguments, progress=False)
