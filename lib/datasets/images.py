"""Photographs from a folder or a zip file, from Labeled Faces in the Wild or CelebA, as colour images of one size."""

import os
import zipfile
from functools import partial
from pathlib import Path

from torch import Tensor

from lib.datasets.download import downloads_folder, library_download
from lib.datasets.pictures import ImagesError, check_request, read_file, read_member, read_pictures
from lib.storage.paths import readers_path

LFW_PEOPLE = 5749  # each has a folder
INSTEAD = "Use other pictures through load_images; or "


def load_images(path, size=(64, 64), max_images=None, min_images=100, *, centre=1.0, progress=True) -> Tensor:
    """Read all pictures of a folder, its subfolders included, or of a zip file, which is not unpacked to the disk.

    A picture is turned as its camera noted (EXIF), reduced or enlarged with an antialiasing filter, and what does not
    fit the proportions of `size` is cut off equally on both sides. What is transparent becomes black.

    Args:
        path: a folder or a zip file with pictures, see `lib.datasets.pictures.KINDS`; `~` is the home folder. Other
            files, and names that begin with a dot, are passed over.
        size: (H, W) of the result. max_images: of more pictures, so many are taken at equal distances in the natural
            order of their names (2.jpg before 10.jpg), so that each of several subfolders is represented.
        min_images: fewer readable ones (or fewer than max_images, if that is less) are an error.
        centre: share of the largest possible window in the middle that is kept, 1 all of it, 0.5 half its width.
        progress: show a progress bar.

    Returns:
        uint8 (N, 3, H, W), red, green, blue, in the natural order of the names. Pictures that cannot be read, are
        absurdly large, or of a kind that is not read here (HEIC), are left out with one warning that counts them.

    Raises:
        ImagesError: there is no such folder or zip file, or it holds too few readable pictures.
        ValueError: a size or number below 1, or `centre` outside 0 … 1.
    """
    check_request(size, max_images, min_images, centre)
    path, options = readers_path(path), (size, max_images, min_images, centre, progress)
    if os.path.isdir(path):
        files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
        files = {name: partial(read_file, file) for name, file in files.items()}
        return read_pictures(path, files, *options)
    if not os.path.isfile(path):
        raise ImagesError(f"there is no folder or zip file {path}: check the path; relative ones start in {Path.cwd()}")
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ImagesError(
            f"{path} is no zip file, or a damaged one ({error}): give a zip file or a folder of pictures; unpack other "
            "archives first"
        ) from error
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        files = {member.filename: partial(read_member, archive, member) for member in members}
        return read_pictures(path, files, *options)


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
    check_request(size, max_images, 1, 1.0)
    own = Path(os.environ.get("SCIKIT_LEARN_DATA") or "~/scikit_learn_data").expanduser()
    places = [home / "lfw_home" / "lfw_funneled" for home in (own, downloads_folder())]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        from sklearn.datasets import fetch_lfw_people

        folder = places[1]
        remedy = f"{INSTEAD}download lfw-funneled.tgz by hand and unpack it as {folder}"
        with library_download("Labeled Faces in the Wild", remedy):
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
    check_request(size, max_images, 1, 1.0)
    if split not in ("train", "valid", "test", "all"):
        raise ValueError(f"split must be train, valid, test or all; got {split!r}")
    from lib.datasets.torchvision_compat import import_torchvision

    folder = downloads_folder() / "celeba"
    remedy = f"{INSTEAD}save CelebA's photographs and texts from Google Drive in {folder} by hand and unpack them"
    with library_download("CelebA", remedy):
        names = import_torchvision().datasets.CelebA(downloads_folder(), split=split, download=True).filename
    files = {name: partial(read_file, folder / "img_align_celeba" / name) for name in names}
    return read_pictures(folder, files, size, max_images, 100, 148 / 178, progress)
