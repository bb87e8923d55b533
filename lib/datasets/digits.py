"""Handwritten digits, 28 × 28: MNIST from its four original files, or the digits that come with scikit-learn."""

import gzip
import math
import struct
import zlib
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.datasets.download import downloads_folder
from lib.storage.paths import ROOT

# Training images and labels, test images and labels (LeCun, Cortes and Burges; see data/README.md).
MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
COUNTS = (60_000, 60_000, 10_000, 10_000)  # of images or labels in these files
SIZE = 28  # pixels, height and width
TRAIN_SHARE = 0.8  # of scikit-learn's digits; MNIST comes divided


class Digits(NamedTuple):
    """Training and test set: images uint8 (N, 28, 28), bright strokes on black, and labels int64 (N,), 0 … 9."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_digits(source="mnist"):
    """Handwritten digits with their labels.

    Args:
        source: "mnist": 60,000 training and 10,000 test digits. The four files lie in `data/MNIST/raw`; those in the
            folder that WORKBOOK_DATA names, or in `data/downloads/`, are preferred: unpacked or gzipped, all four in
            that folder itself or in MNIST/raw (where torchvision puts them), MNIST, mnist or raw inside.
            "sklearn": 1,437 training and 360 test digits, see below.

    scikit-learn's copy has 1,797 digits of 13 people, 8 × 8 cells that count the inked points of 4 × 4 (0 … 16). Like
    MNIST's digits they come to fill 20 × 20 pixels inside a margin of 4: bicubic interpolation, 2.5 pixels a cell, on a
    field of empty cells, cut off at 0 and 255. Who wrote which digit is not marked, but digits of one person seem to
    stand close together: a nearest neighbour recognises 98.8 % where the test digits are drawn at random, 95.6 % where
    they are the last fifth. The last fifth is the test set here, since most of its writers are new.

    Returns:
        `Digits`

    Raises:
        ValueError: an unknown source; a file that is missing, damaged or does not fit the others; the folder
            that WORKBOOK_DATA names, or `data/downloads/`, holds only some of the four.
    """
    sources = {"mnist": _mnist, "sklearn": _sklearn}
    if source not in sources:
        raise ValueError(f"the sources of digits are {', '.join(sources)}; got {source!r}")
    return sources[source]()


def to_unit(images: Tensor) -> Tensor:
    """Grey levels 0 … 255 as numbers 0 … 1: uint8 of any shape -> float32 of the same shape.

    Raises:
        ValueError: the images are not uint8, and so may have been converted before.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8 with grey levels 0 … 255, got {images.dtype}")
    return images.float() / 255


def binarise(images: Tensor, seed) -> Tensor:
    """Draw every pixel black (0) or white (1), white with a probability equal to its grey level: uint8 of any shape ->
    float32 of the same shape. Every seed gives another binary data set.

    Source: Salakhutdinov and Murray (2008), "On the quantitative analysis of deep belief networks".
    For binary pixels a cross-entropy is a log-likelihood; for grey ones it is not.

    Raises:
        ValueError: the images are not uint8.
    """
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(images.shape, generator=generator)  # 0 ≤ chance < 1
    return (chance.to(images.device) < to_unit(images)).float()


# --- MNIST ----------------------------------------------------------------------------------------------------------


def _mnist():
    paths = _found()
    arrays = [_read_idx(*file) for file in zip(paths, (3, 1, 3, 1), COUNTS, strict=True)]
    for images, labels, path in ((*arrays[:2], paths[1]), (*arrays[2:], paths[3])):
        if len(images) != len(labels):
            raise _damaged(path, f"it has {len(labels)} labels for the {len(images)} images beside it")
    return Digits(*arrays)


def _found():
    """Paths of the four files in the first folder that holds them all."""
    for place in (downloads_folder(), ROOT / "data"):
        part = None
        for folder in (place, place / "MNIST" / "raw", place / "MNIST", place / "mnist", place / "raw"):
            # Some copies are named train-images.idx3-ubyte.
            names = [(name, f"{name}.gz", name.replace("-idx", ".idx")) for name in MNIST_FILES]
            paths = [next((folder / name for name in three if (folder / name).is_file()), None) for three in names]
            if all(paths):
                return paths
            if any(paths):
                part = folder, [name for name, path in zip(MNIST_FILES, paths, strict=True) if path is None]
        if part and place == downloads_folder():  # a set of the reader's own must not silently become another one
            raise ValueError(f"{part[0]} holds a part of MNIST: put {', '.join(part[1])} there too, or take it away")
    raise ValueError(
        f"MNIST's four files are neither in {ROOT / 'data' / 'MNIST' / 'raw'} nor in {downloads_folder()}: bring them "
        "back from the workbook (git checkout data/MNIST), or let the environment variable WORKBOOK_DATA name a folder "
        "that holds them"
    )


def _read_idx(path, axes, most):
    """One of MNIST's files, unpacked or gzipped: uint8 images (N, 28, 28) for 3 axes, int64 labels (N,) for 1.

    The format: the number 0x0800 + axes, the size of every axis, all as big-endian 32-bit integers, then the bytes.
    With more than `most` images or labels it is refused: no more is unpacked, however much a small file would become.
    """
    header = 4 * (1 + axes)
    limit = header + most * SIZE ** (axes - 1)
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"  # gzip; some programs unpack a file without changing its name
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as unpacked:
                content = unpacked.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"it cannot be read or unpacked ({error})") from error
    if len(content) > limit:
        raise _damaged(path, f"it has more than the {limit:,} bytes of {most:,} {'images' if axes == 3 else 'labels'}")
    if len(content) < header:
        raise _damaged(path, f"it has only {len(content)} bytes")
    magic, *sizes = struct.unpack(f">{1 + axes}I", content[:header])
    if magic != 0x0800 + axes:
        raise _damaged(path, f"it begins with the number {magic:#010x} instead of {0x0800 + axes:#010x}")
    if sizes[0] == 0 or sizes[1:] not in ([], [SIZE, SIZE]):
        raise _damaged(path, f"it announces {' × '.join(map(str, sizes))} values; images have {SIZE} × {SIZE} pixels")
    if len(content) - header != math.prod(sizes):
        raise _damaged(path, f"it announces {math.prod(sizes)} bytes of data, but has {len(content) - header}")
    array = torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(sizes).copy())
    if axes == 1 and array.max() > 9:
        raise _damaged(path, f"it has the label {array.max()}, but digits are 0 … 9")
    return array if axes == 3 else array.long()


def _damaged(path, what):
    return ValueError(
        f"{path} is no file of MNIST, or is damaged: {what}. Delete it, and put a good copy in its place; those of the "
        "workbook come back with git checkout data/MNIST"
    )


# --- scikit-learn's digits ------------------------------------------------------------------------------------------


def _sklearn():
    from sklearn import datasets  # slow to import, and not needed for MNIST

    cells, labels = datasets.load_digits(return_X_y=True)
    images, labels = enlarge(torch.from_numpy(cells).float().view(-1, 8, 8)), torch.from_numpy(labels).long()
    count = int(TRAIN_SHARE * len(images))
    return Digits(images[:count], labels[:count], images[count:], labels[count:])


def enlarge(cells: Tensor) -> Tensor:
    """8 × 8 cells, 0 … 16, as 28 × 28 pixels, 0 … 255, see `load_digits`: float (N, 8, 8) -> uint8 (N, 28, 28)."""
    field = F.pad(cells[:, None] / 16, (2, 2, 2, 2))  # (N, 1, 12, 12), so that strokes at the edge fade as others do
    pixels = F.interpolate(field, size=(30, 30), mode="bicubic", align_corners=False)[:, 0, 1:-1, 1:-1]
    return (255 * pixels.clamp(0, 1)).round().to(torch.uint8)
