"""Runs of a field that come from elsewhere: one array (runs, frames, height, width) in a `.npy` or an HDF5 file.

HDF5 files may be laid out as in The Well (Ohana et al., 2024), with scalar fields in the group `t0_fields`, or hold the
array as a data set of their own.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

SHARES = {"train": (0.0, 0.7), "validation": (0.7, 0.85), "test": (0.85, 1.0)}  # of the runs of a single file, in order
NAMES = {"train": "train*", "validation": "val*", "test": "test*"}  # in a folder
ENDINGS = (".npy", ".h5", ".hdf5")
MAX_BYTES = 8 * 10**9  # of a set in memory


class FieldsError(ValueError):
    """A file of runs cannot be read or is of no use; the message says why and what would do."""


def files_of(path, use) -> list[Path]:
    """The files behind a set: those of a folder's part of this name (`train.npy`, or all in `train/`), or the one file.

    Raises:
        FieldsError: there are none.
    """
    path = Path(path).expanduser()
    if path.is_file():
        found = [path]
    else:
        places = sorted(path.glob(NAMES[use]))
        found = [file for place in places for file in (sorted(place.iterdir()) if place.is_dir() else [place])]
        found = [file for file in found if file.suffix.lower() in ENDINGS]
    if not found or any(file.suffix.lower() not in ENDINGS for file in found):
        kinds = ", ".join(ENDINGS)
        raise FieldsError(
            f"{path}: need a file ({kinds}) with an array (runs, frames, height, width), or a folder with such files "
            f"named train, validation and test"
        )
    return found


def shape_of(path, use, field=None) -> tuple[int, int, int, int]:
    """Runs, frames, height and width of a set, without reading the numbers. See `read_set`."""
    shapes = [_opened(file, field, lambda array: array.shape) for file in files_of(path, use)]
    if len({shape[1:] for shape in shapes}) > 1:
        raise FieldsError(f"{path}: its files differ in frames, height or width: {shapes}")
    if min(shapes[0]) < 1:
        raise FieldsError(f"{path}: an array of shape {shapes[0]} holds nothing")
    first, last = _range(path, use, sum(shape[0] for shape in shapes))
    if first == last:
        raise FieldsError(f"{path}: {shapes[0][0]} runs cannot be divided into training, validation and test runs")
    return last - first, *shapes[0][1:]


def read_set(path, use, skip_rate=1, share=1.0, field=None) -> Tensor:
    """The "train", "validation" or "test" runs: float32 (N, T, H, W).

    Args:
        path: a file, of whose runs the first 70 % are for training, the next 15 % for validation, the rest for tests;
            or a folder with a file or a folder of files for each.
        skip_rate: every so many frames are kept. share: of the runs that is read, at least one.
        field: name of the data set in HDF5 files; may be left out where there is one only.

    Raises:
        FieldsError: the file is missing, damaged, too large, or no array of finite numbers with four axes.
    """
    count, frames, height, width = shape_of(path, use, field)
    count, kept = max(1, round(share * count)), -(-frames // skip_rate)
    if (size := 4 * count * kept * height * width) > MAX_BYTES:
        raise FieldsError(
            f"{path}: the {use} runs take {size / 1e9:.1f} GB, at most {MAX_BYTES / 1e9:g} are read: lower data.share "
            "or raise data.skip_rate"
        )
    files = files_of(path, use)
    first, _ = _range(path, use, sum(_opened(file, field, len) for file in files))
    parts = []
    for file in files:
        wanted = count - sum(map(len, parts))
        parts.append(_opened(file, field, lambda array, n=wanted: np.asarray(array[first : first + n, ::skip_rate])))
    runs = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    if not runs.isfinite().all():
        raise FieldsError(f"{path}: the {use} runs hold numbers that are not finite")
    if runs.std() == 0:
        raise FieldsError(f"{path}: the {use} runs are the same number everywhere")
    return runs


def content(path) -> str:
    """A checksum of everything that `read_set` reads at `path`. Raises FieldsError where it reads nothing."""
    files = [file for use in SHARES for file in files_of(path, use)]
    return hashlib.sha256("".join(_checksum(file, file.stat().st_mtime_ns) for file in files).encode()).hexdigest()[:16]


@lru_cache
def _checksum(file, changed):
    """Of a file as it was when it was last `changed`."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _range(path, use, total):
    """First run of a set and the one after its last, of `total` in its files."""
    if not Path(path).expanduser().is_file():
        return 0, total
    return tuple(round(border * total) for border in SHARES[use])


def _opened(file, field, what):
    """`what` of the array in a file, which is read only where `what` asks for it."""
    try:
        if file.suffix.lower() == ".npy":
            return what(_checked(np.load(file, mmap_mode="r", allow_pickle=False), file))
        with h5py.File(file, "r") as archive:
            return what(_checked(archive[_name(archive, file, field)], file))
    except FieldsError:
        raise
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise FieldsError(f"{file} cannot be read: {str(error).partition(chr(10))[0]}") from error


def _name(archive, file, field):
    """Name of the data set that is meant: the one of this name, or the only one with four axes."""
    names = []
    archive.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) == 4 else None)
    chosen = [name for name in names if field in (None, name, name.rpartition("/")[2])]
    if len(chosen) != 1:
        raise FieldsError(
            f"{file}: choose one of its fields with data.field=…; there are {', '.join(names) or 'none of four axes'}"
        )
    return chosen[0]


def _checked(array, file):
    if array.ndim != 4 or array.dtype.kind not in "fiu":
        raise FieldsError(
            f"{file}: need real numbers of four axes (runs, frames, height, width), got {array.dtype} {array.shape}"
        )
    return array
