"""Digits: MNIST without a network, files found in every usual place, damaged ones named, scikit-learn's enlarged."""

import gzip
import struct
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lib.datasets import digits as module
from lib.datasets.digits import MNIST_FILES as NAMES
from lib.datasets.digits import Digits, binarise, enlarge, load_digits, to_unit

COUNTS = {"train": 30, "t10k": 12}


def idx(array):
    """The bytes of an idx file with these numbers."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def contents(seed=0):
    """A small MNIST: file name -> bytes of the unpacked file."""
    rng, files = np.random.default_rng(seed), {}
    for name in NAMES:
        count = COUNTS[name.partition("-")[0]]
        shape, top = ((count, 28, 28), 256) if "images" in name else ((count,), 10)
        files[name] = idx(rng.integers(0, top, shape))
    return files


def write(folder, files, packed=False, rename=lambda name: name):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / (rename(name) + (".gz" if packed else ""))
        path.write_bytes(gzip.compress(content, 1) if packed else content)
    return folder


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """WORKBOOK_DATA and the workbook's own data folder are empty."""
    monkeypatch.setenv("WORKBOOK_DATA", str(tmp_path / "named"))
    monkeypatch.setattr(module, "ROOT", tmp_path / "root")


# --- MNIST ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "gzipped"])
@pytest.mark.parametrize("place", ["named", "named/MNIST/raw", "named/mnist", "root/data", "root/data/MNIST/raw"])
def test_the_files_are_found_in_every_usual_place(tmp_path, place, packed):
    files = contents()
    write(tmp_path / place, files, packed)
    digits = load_digits()
    assert isinstance(digits, Digits) and [len(part) for part in digits] == [30, 30, 12, 12]
    for part, name in zip(digits, NAMES, strict=True):
        assert part.dtype == (torch.uint8 if "images" in name else torch.int64)
        assert part.numpy().astype(np.uint8).tobytes() == files[name][16 if "images" in name else 8 :], name
    assert digits.train_images.shape[1:] == digits.test_images.shape[1:] == (28, 28)


def test_other_spellings_and_a_gzipped_file_without_the_ending_are_read(tmp_path):
    write(tmp_path / "named", contents(), rename=lambda name: name.replace("-idx", ".idx"))
    assert len(load_digits().train_images) == 30
    path = tmp_path / "named" / "train-images.idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(load_digits().train_images) == 30


def test_files_of_different_folders_are_not_mixed(tmp_path):
    other = contents(seed=1)
    write(tmp_path / "root" / "data", {name: contents()[name] for name in NAMES[:3]})
    write(tmp_path / "root" / "data" / "MNIST" / "raw", other)
    assert load_digits().test_images.numpy().tobytes() == other[NAMES[2]][16:], "labels would belong to other images"


@pytest.mark.parametrize("lacking", NAMES)
def test_a_part_of_a_set_of_ones_own_is_an_error_and_not_another_set(tmp_path, lacking):
    write(tmp_path / "root" / "data" / "MNIST" / "raw", contents())
    write(tmp_path / "named", {name: contents(seed=1)[name] for name in NAMES if name != lacking}, packed=True)
    with pytest.raises(ValueError, match=f"named holds a part of MNIST: put {lacking} there too"):
        load_digits()


def test_what_lies_in_the_named_folder_wins(tmp_path):
    own = contents(seed=1)
    write(tmp_path / "root" / "data" / "MNIST" / "raw", contents(), packed=True)
    write(tmp_path / "named", own)
    assert load_digits().test_images.numpy().tobytes() == own[NAMES[2]][16:]


def test_missing_files_are_named_with_the_places_and_the_remedy(tmp_path):
    places = "root.data.MNIST.raw nor in .*named"
    with pytest.raises(ValueError, match=rf"{places}: .*git checkout data/MNIST.*WORKBOOK_DATA"):
        load_digits("mnist")


IMAGES, LABELS = NAMES[2:]
DAMAGE = {
    "empty": (IMAGES, lambda content: b"", "has only 0 bytes"),
    "header cut": (IMAGES, lambda content: content[:11], "has only 11 bytes"),
    "text": (LABELS, lambda content: b"<html>404 not found</html>", "begins with the number 0x3c68746d instead of"),
    "labels as images": (IMAGES, lambda content: idx(np.zeros(12)), "begins with the number 0x00000801 instead of"),
    "cut short": (IMAGES, lambda content: content[:-1], "announces 9408 bytes of data, but has 9407"),
    "too long": (LABELS, lambda content: content + b"\0", "announces 12 bytes of data, but has 13"),
    "other size": (IMAGES, lambda content: idx(np.zeros((12, 32, 32))), "announces 12 × 32 × 32 values"),
    "none": (IMAGES, lambda content: idx(np.zeros((0, 28, 28))), "announces 0 × 28 × 28 values"),
    "letters": (LABELS, lambda content: idx(np.full(12, 26)), "has the label 26"),
    "too few labels": (LABELS, lambda content: idx(np.zeros(11)), "has 11 labels for the 12 images"),
    "gzip cut short": (IMAGES, lambda content: gzip.compress(content)[:-20], "cannot be read or unpacked"),
    "gzip with a wrong bit": (
        IMAGES,
        lambda content: (packed := gzip.compress(content))[:500] + bytes([packed[500] ^ 1]) + packed[501:],
        "cannot be read or unpacked",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_named_with_what_is_wrong_and_the_remedy(tmp_path, kind):
    name, change, message = DAMAGE[kind]
    files = contents()
    write(tmp_path / "named", files | {name: change(files[name])})
    with pytest.raises(ValueError, match=rf"named.{name} .*damaged: it {message}.*Delete it.*git checkout data/MNIST"):
        load_digits()


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "gzipped"])
def test_files_larger_than_mnist_are_refused_without_being_read_whole(tmp_path, monkeypatch, name, packed):
    monkeypatch.setattr(module, "COUNTS", (30, 30, 12, 12))
    folder = write(tmp_path / "named", contents())
    load_digits()
    content = contents()[name] + bytes(200_000_000 if packed else 1)  # packed they are 200 kB
    (folder / name).write_bytes(gzip.compress(content, 1) if packed else content)
    del content
    tracemalloc.start()
    kind, limit = ("images", "9,424") if name == IMAGES else ("labels", "20")
    with pytest.raises(ValueError, match=f"named.{name} .*has more than the {limit} bytes of 12 {kind}.*Delete it"):
        load_digits()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000, f"{peak / 1e6:.0f} MB were used to find that out"


def test_the_limits_are_the_sizes_of_mnist():
    assert module.COUNTS == (60_000, 60_000, 10_000, 10_000)
    assert [name.partition("-")[0] for name in NAMES] == ["train", "train", "t10k", "t10k"]


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="mnist, sklearn; got 'emnist'"):
        load_digits("emnist")


# --- scikit-learn's digits ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    return load_digits("sklearn")


def test_scikit_learns_digits_have_the_form_of_mnist(small):
    assert [tuple(part.shape) for part in small] == [(1437, 28, 28), (1437,), (360, 28, 28), (360,)]
    for images, labels in (small[:2], small[2:]):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        counts = torch.bincount(labels)
        assert len(counts) == 10 and counts.min() > 0.08 * len(labels), f"every digit must occur: {counts.tolist()}"
        assert images[:, :3].max() < 30 and images[:, :, -3:].max() < 30, "a margin, as in MNIST"
        assert 0.1 < to_unit(images).mean() < 0.2, "MNIST has 0.13"


def test_training_and_test_digits_are_different_and_keep_their_order(small):
    from sklearn import datasets

    assert torch.equal(torch.cat([small.train_labels, small.test_labels]), torch.tensor(datasets.load_digits().target))
    everything = torch.cat([small.train_images, small.test_images]).flatten(1)
    assert len(everything.unique(dim=0)) == 1797


def test_enlarging_loses_nothing(small):
    """Averaged back over the 20 × 20 pixels that they fill, the digits are about what they were."""
    from sklearn import datasets

    cells = torch.tensor(datasets.load_digits().images[:1437], dtype=torch.float32)
    back = F.adaptive_avg_pool2d(to_unit(small.train_images)[:, 4:24, 4:24], 8) * 16
    correlation = torch.corrcoef(torch.stack([back.flatten(), cells.flatten()]))[0, 1]
    assert correlation > 0.97, f"correlation {correlation:.3f}: shifted or turned?"
    assert (back.sum((1, 2)) / cells.sum((1, 2)) - 1).abs().max() < 0.1, "as much ink as before"


def test_one_cell_becomes_a_smooth_spot_at_its_place():
    cells = torch.zeros(3, 8, 8)
    cells[0, 0, 0] = cells[1, 7, 7] = cells[2, 2, 5] = 16
    pixels = enlarge(cells).float()
    place = torch.arange(28.0)
    for spot, (row, column) in zip(pixels, [(0, 0), (7, 7), (2, 5)], strict=True):
        centre = [(spot.sum(axis) * place).sum() / spot.sum() for axis in (1, 0)]
        assert centre == pytest.approx([4 + 2.5 * (row + 0.5) - 0.5, 4 + 2.5 * (column + 0.5) - 0.5], abs=0.1)
        assert spot.max() > 200
    assert torch.equal(pixels[0], pixels[0].T) and torch.equal(pixels[0].flip(0, 1), pixels[1])


# --- grey levels ----------------------------------------------------------------------------------------------------

GREY = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)


def test_units():
    unit = to_unit(GREY)
    assert unit.dtype == torch.float32 and unit.shape == GREY.shape
    assert unit.min() == 0 and unit.max() == 1 and torch.equal((unit * 255).round().to(torch.uint8), GREY)
    for function in (to_unit, lambda images: binarise(images, 0)):
        with pytest.raises(ValueError, match="must be uint8 .*got torch.float32"):
            function(unit)


def test_the_chance_of_white_is_the_grey_level():
    many = GREY.expand(2000, 16, 16)
    drawn = binarise(many, seed=0)
    assert drawn.dtype == torch.float32 and drawn.shape == many.shape
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    shares = drawn.mean(0)
    assert shares[0, 0] == 0 and shares[-1, -1] == 1, "black stays black and white stays white"
    assert (shares - to_unit(GREY)[0]).abs().max() < 5 * 0.5 / 2000**0.5


def test_binary_images_depend_on_the_seed_alone():
    images = GREY.expand(3, 16, 16)
    torch.manual_seed(1)
    first, state = binarise(images, seed=4), torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(binarise(images, seed=4), first) and not torch.equal(binarise(images, seed=5), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state), "the global state must not move"
