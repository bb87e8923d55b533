"""Rendered data sets: independent factors; rendered once, named after their content, whole or rendered again."""

import pytest
import torch

from lib.datasets import faces, flowers, rendered
from lib.storage.files import CheckpointError
from lib.storage.paths import exports_folder
from lib.storage.tensors import load

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
    monkeypatch.setattr(rendered, "code_fingerprint", lambda *objects: "c0de")
    return calls


def test_factors_are_uniform_in_their_ranges_and_independent(module, make):
    factors = module.sample_factors(20_000, seed=3)
    assert factors.shape == (20_000, len(module.FACTORS)) and factors.dtype == torch.float32
    rendered.check_factors(module.FACTORS, factors)
    for name, column in zip(module.FACTORS, factors.T, strict=True):
        if isinstance(module.FACTORS[name], int):
            shares = torch.bincount(column.long(), minlength=module.FACTORS[name]) / len(column)
            assert (shares - 1 / module.FACTORS[name]).abs().max() < 0.02, f"{name} has the shares {shares.tolist()}"
        else:
            low, high = module.FACTORS[name]
            tenths = torch.histc((column - low) / (high - low), 10, 0, 1) / len(column)
            assert (tenths - 0.1).abs().max() < 0.01, f"{name} is not uniform: tenths {tenths.tolist()}"
    correlation = torch.corrcoef(factors.T) - torch.eye(len(module.FACTORS))
    assert correlation.abs().max() < 0.03, "factors must be drawn independently"


def test_sampling_is_reproducible_and_goes_on_where_fewer_end(module, make):
    assert torch.equal(module.sample_factors(7, seed=1), module.sample_factors(7, seed=1))
    assert torch.equal(module.sample_factors(7, seed=1), module.sample_factors(30, seed=1)[:7])
    assert not torch.equal(module.sample_factors(7, seed=1), module.sample_factors(7, seed=2))
    with pytest.raises(ValueError, match="got num = 0"):
        module.sample_factors(0)


def test_a_picture_depends_on_its_own_factors_only(module, make):
    factors = module.sample_factors(6, seed=4)
    together = module.render(factors)
    assert torch.equal(module.render(factors), together), "rendering twice must give the same bytes"
    alone = torch.cat([module.render(row[None]) for row in factors])
    assert torch.equal(alone, together), "a picture must not depend on what else is rendered"
    assert torch.equal(module.render(factors.flip(0)).flip(0), together), "nor on the order"
    with torch.inference_mode():
        assert torch.equal(module.render(factors.double()), together), "nor on the type of the factors"


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
    assert len(list((exports_folder() / "data").iterdir())) == 2, "pictures in another light are others"


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
