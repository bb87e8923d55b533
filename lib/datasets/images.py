"""Photographs from a folder or a zip file, from Labeled Faces in the Wild or CelebA, as colour images of one size."""

import io
import os
import re
import socket
import warnings
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

from lib.datasets.download import TIMEOUT, DownloadError, downloads_folder
from lib.datasets.video import PICTURES, _grey, _natural

KINDS = PICTURES | {".webp", ".bmp", ".tif", ".tiff", ".gif"}  # of an animation, the first frame
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow knows more, some of which start other programs
MAX_PIXELS, MAX_BYTES = 120_000_000, 200_000_000  # of one picture; beyond that lie mistakes and decompression bombs
LFW_PEOPLE = 5749  # each has a folder


class ImagesError(ValueError):
    """A folder or zip file of pictures cannot be read, or holds too few."""


def load_images(path, size=(64, 64), max_images=None, min_images=100, *, centre=1.0, progress=True) -> Tensor:
    """Read all pictures of a folder, its subfolders included, or of a zip file, which is not unpacked to the disk.

    A picture is turned as its camera noted (EXIF), reduced or enlarged with an antialiasing filter, and what does not
    fit the proportions of `size` is cut off equally on both sides. What is transparent becomes black.

    Args:
        path: a folder or a zip file with pictures, see KINDS. Other files, and names that begin with a dot, are passed
            over.
        size: (H, W) of the result. max_images: of more pictures, so many are taken at equal distances in the natural
            order of their names (2.jpg before 10.jpg), so that each of several subfolders is represented.
        min_images: fewer readable ones (or fewer than max_images, if that is less) are an error.
        centre: share of the largest possible window in the middle that is kept, 1 all of it, 0.5 half its width.
        progress: show a progress bar.

    Returns:
        uint8 (N, 3, H, W), red, green, blue, in the natural order of the names. Pictures that cannot be read, or are
        absurdly large, are left out with one warning that counts and names them.

    Raises:
        ImagesError: there is no such folder or zip file, or it holds too few readable pictures.
        ValueError: a size or number below 1, or `centre` outside 0 … 1.
    """
    _check(size, max_images, min_images, centre)
    path, options = Path(path), (size, max_images, min_images, centre, progress)
    if path.is_dir():
        files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
        return _load(path, {name: partial(_read_file, file) for name, file in files.items()}, *options)
    if not path.is_file():
        raise ImagesError(f"there is no folder or zip file {path}: check the path, relative to {Path.cwd()}")
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ImagesError(
            f"{path} is no zip file, or a damaged one ({error}): give a zip file or a folder of pictures; unpack other "
            "archives first"
        ) from error
    with archive:
        members = {member.filename: member for member in archive.infolist() if not member.is_dir()}
        return _load(path, {name: partial(_read_member, archive, info) for name, info in members.items()}, *options)


def _check(size, max_images, min_images, centre):
    height, width = size
    if min(height, width, min_images) < 1 or (max_images is not None and max_images < 1) or not 0 < centre <= 1:
        raise ValueError(
            "need a height and width of at least 1, min_images ≥ 1, max_images ≥ 1 and 0 < centre ≤ 1; got "
            f"size {tuple(size)}, min_images {min_images}, max_images {max_images} and centre {centre}"
        )


def _load(source, files, size, max_images, min_images, centre, progress):
    """The pictures among `files`, each a name and a function that returns the file's bytes: uint8 (N, 3, H, W)."""
    names = sorted(filter(_is_picture, files), key=_order)
    limit = min(len(names), max_images or len(names))
    chosen = [i * len(names) // limit for i in range(limit)]
    others = sorted(set(range(len(names))) - set(chosen))  # stand in for chosen ones that cannot be read
    images, places, unreadable = np.empty((limit, 3, *size), np.uint8), [], []
    with warnings.catch_warnings(), tqdm(total=limit, desc="pictures", disable=not progress) as bar:
        warnings.simplefilter("ignore")  # Pillow's remarks about single files would drown the one that counts
        for place in chosen + others:
            if len(places) == limit:
                break
            try:
                images[len(places)] = _decode(files[names[place]](), size, centre)
            except Exception as error:  # damaged files raise nearly anything; thousands may still be good
                unreadable.append(f"{names[place]} ({_reason(error)})")
            else:
                places.append(place)
                bar.update()
    note = ", ".join(unreadable[:3]) + (" …" if len(unreadable) > 3 else "")
    note = f"pictures that cannot be read are left out, {len(unreadable)}: {note}"
    needed = min(min_images, max_images or min_images)
    if len(places) < needed:
        kinds = sorted({Path(name).suffix.lower() for name in files if not _is_picture(name)} - {""})
        if not unreadable:
            note = f"read are {', '.join(sorted(KINDS))}; other files there: {', '.join(kinds[:9]) or 'none'}"
        raise ImagesError(
            f"{source} holds {len(places)} readable pictures, but at least {needed} are needed: give more, or lower "
            f"min_images ({note})"
        )
    if unreadable:
        warnings.warn(f"{source}: {note}", stacklevel=3)
    if sorted(places) != places:
        return torch.from_numpy(images[np.argsort(places)])
    return torch.from_numpy(images[: len(places)])


def _reason(error):
    """What an error says, without the paths and objects that Python's and Pillow's texts contain."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r" ?<[^>]*>", "", text)


def _is_picture(name):
    """Whether a file has the ending of a picture and is not hidden, nor what macOS adds to zip files."""
    parts = name.split("/")
    return Path(name).suffix.lower() in KINDS and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _order(name):
    """Sort key: naturally, folder by folder; the name itself decides between A.jpg and a.jpg."""
    return [_natural(Path(part)) for part in name.split("/")], name


def _read_file(path):
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES / 1e6:g} MB")
    return path.read_bytes()


def _read_member(archive, member):
    """The bytes of one file in a zip file. No more are unpacked than it announces, and not more than MAX_BYTES."""
    if member.file_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES / 1e6:g} MB")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("packed in an unusual way")  # which Python would unpack without a limit
    with archive.open(member) as file:
        return file.read(member.file_size)


def _decode(content, size, centre):
    """One picture from the bytes of its file: uint8 (3, H, W)."""
    height, width = size
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} × {image.height} pixels are more than {MAX_PIXELS / 1e6:g} million")
        # A JPEG can be decoded at a half, a quarter or an eighth of its size, which is much faster. Twice the size that
        # is needed leaves the rest to the better filter.
        image.draft("RGB", (int(2 * max(size) / centre),) * 2)
        colours = _colours(ImageOps.exif_transpose(image))
    colours = ImageOps.fit(colours, (width, height), Image.Resampling.BICUBIC, bleed=(1 - centre) / 2)
    return np.asarray(colours).transpose(2, 0, 1)


def _colours(image):
    """A picture in red, green and blue; what is transparent becomes black."""
    if image.mode.startswith("I"):
        image = _grey(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return image.convert("RGB")


# --- known collections ----------------------------------------------------------------------------------------------


def load_lfw(size=(64, 64), max_images=None, *, progress=True) -> Tensor:
    """Labeled Faces in the Wild, 13,233 photographs of 5,749 people, through scikit-learn (200 MB, once).

    They are taken from where scikit-learn keeps its data, or downloaded to the folder of downloads. The middle half of
    each is kept, 125 × 125 of 250 × 250 pixels, which the face fills.

    Returns:
        uint8 (N, 3, H, W), by the people's names.

    Raises:
        DownloadError: the photographs are not there and cannot be downloaded. ImagesError: they are incomplete.
    """
    _check(size, max_images, 1, 1.0)
    own = Path(os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data").expanduser()
    places = [home / "lfw_home" / "lfw_funneled" for home in (own, downloads_folder())]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        from sklearn.datasets import fetch_lfw_people

        folder = places[1]
        remedy = f"download lfw-funneled.tgz by hand and unpack it as {folder}"
        with _one_download_error("Labeled Faces in the Wild", remedy):
            # scikit-learn would hand out all pictures at once, 1 GB; those of the one person with 500 are read here,
            # and then everything from the folder.
            fetch_lfw_people(data_home=downloads_folder(), min_faces_per_person=500, resize=0.1, n_retries=2)
    people = sum(person.is_dir() for person in folder.iterdir())
    if people < LFW_PEOPLE:
        raise ImagesError(
            f"{folder} has {people} of {LFW_PEOPLE} people, it was unpacked in part: delete it, run again"
        )
    return load_images(folder, size, max_images, centre=0.5, progress=progress)


def load_celeba(size=(64, 64), max_images=20_000, *, split="train", progress=True) -> Tensor:
    """CelebA, 202,599 photographs of 10,177 celebrities, aligned at the eyes, through torchvision (1.4 GB, once).

    It lies in the folder `celeba` within the folder of downloads. The middle of each is kept, 148 × 148 of 178 × 218
    pixels. Google Drive, which holds it, often refuses; the package `gdown` is needed for the attempt.

    Args:
        split: "train" (162,770 photographs), "valid", "test" or "all".

    Returns:
        uint8 (N, 3, H, W), in the order of their numbers.

    Raises:
        DownloadError: the photographs are not there and cannot be downloaded. ImagesError: they are incomplete.
    """
    _check(size, max_images, 1, 1.0)
    if split not in ("train", "valid", "test", "all"):
        raise ValueError(f"split must be train, valid, test or all; got {split!r}")
    from lib.torchvision_compat import import_torchvision

    folder = downloads_folder() / "celeba"
    remedy = f"save the photographs and text files of CelebA's Google Drive in {folder} by hand and unpack them"
    with _one_download_error("CelebA", remedy):
        names = import_torchvision().datasets.CelebA(downloads_folder(), split=split, download=True).filename
    files = {name: partial(_read_file, folder / "img_align_celeba" / name) for name in names}
    return _load(folder, files, size, max_images, 100, 148 / 178, progress)


@contextmanager
def _one_download_error(what, remedy):
    """Turn whatever goes wrong inside into one DownloadError; connections that stay silent are given up."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's remark that it tries again
            yield
    except Exception as error:  # each library has errors of its own, and none is documented
        raise DownloadError(
            f"cannot download {what}: {str(getattr(error, 'reason', error)).rstrip('.')}. Use other pictures through "
            f"load_images; or {remedy}; the environment variable WORKBOOK_DATA names another folder of downloads"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
