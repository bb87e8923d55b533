"""Pictures in files: which there are and in which order, decoded with limits, reduced to one size; many at once.

`lib.datasets.images`, `lib.datasets.video` and `lib.datasets.densities` read through these functions, and so does
whoever has a collection.
"""

import io
import re
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm.auto import tqdm

KINDS = {".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif"}
KINDS |= {".pgm", ".ppm", ".pbm", ".pnm"}  # of an animation or a file of several pictures, the first one
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM")  # Pillow knows more; some start other programs
# Pictures that are not read here: they are counted, not passed over like other files.
UNREAD = {".heic", ".heif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw"}
UNREAD |= {".psd", ".tga"}
MAX_PIXELS, MAX_BYTES = 120_000_000, 200_000_000  # of one picture; beyond that lie mistakes and decompression bombs


class ImagesError(ValueError):
    """A folder or zip file of pictures cannot be read, or holds too few."""


# --- one picture ----------------------------------------------------------------------------------------------------


def read_file(path):
    """The bytes of a picture's file. Raises ValueError for more than MAX_BYTES, OSError if it cannot be read."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES / 1e6:g} MB")
    return path.read_bytes()


def read_member(archive, member):
    """The bytes of one file in a zip file. No more are unpacked than it announces, and not more than MAX_BYTES.

    Raises:
        ValueError: it announces more, or is packed in a way that Python would unpack without a limit.
    """
    if member.file_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES / 1e6:g} MB")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("packed in an unusual way")
    with archive.open(member) as file:
        return file.read(member.file_size)


def opened(file):
    """The picture in a file, not yet decoded, to be used in a `with` statement: Pillow's image.

    Args:
        file: a path, or a file of bytes, in one of FORMATS.

    Raises:
        ValueError: more than MAX_PIXELS. Pillow's own errors for what is damaged or of another format.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow has limits of its own, at which it warns
        image = Image.open(file, formats=FORMATS)
    try:
        check_pixels(*image.size)
    except ValueError:
        image.close()
        raise
    return image


def check_pixels(width, height):
    """Raise ValueError for more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} × {height} pixels are more than {MAX_PIXELS / 1e6:g} million")


def decode(content, size, centre):
    """One picture from the bytes of its file, turned, reduced and cut as `lib.datasets.images.load_images` describes.

    Args:
        content: the bytes, in one of FORMATS. size: (H, W) of the result. centre: share of the middle that is kept.

    Returns:
        uint8 (3, H, W), red, green, blue

    Raises:
        ValueError: more than MAX_PIXELS. Pillow's own errors, of nearly any kind, for what is damaged.
    """
    height, width = size
    with opened(io.BytesIO(content)) as image:
        # A JPEG can be decoded at a half, a quarter or an eighth of its size, which is much faster. Twice the size that
        # is needed leaves the rest to the better filter.
        image.draft("RGB", (int(2 * max(size) / centre),) * 2)
        colours = _on_black(eight_bits(ImageOps.exif_transpose(image))).convert("RGB")
    colours = ImageOps.fit(colours, (width, height), Image.Resampling.BICUBIC, bleed=(1 - centre) / 2)
    return np.asarray(colours).transpose(2, 0, 1)


def _on_black(image):
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)


def grey(image):
    """A picture in 256 grey levels; what is transparent becomes black."""
    return _on_black(eight_bits(image)).convert("L")


def eight_bits(image):
    """A picture with finer grey levels in 256 of them, any other as it is.

    White is 65535 for whole numbers (2³¹ − 1 if there are larger ones). For floating-point numbers it is 1, 255 or
    65535, the smallest that none exceeds by more than a half (filters overshoot), or else the largest number. What is
    no number becomes black.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        most = values.max()
        levels = (values * (255 / next((white for white in (1, 255, 65535) if most <= 1.5 * white), most))).round()
    else:
        levels = values // (256 if values.max() < 65536 else 2**23)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def natural_order(name):
    """Sort key under which frame2.png comes before frame10.png: of the name of a file or folder, without its path."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower())]


# --- many -----------------------------------------------------------------------------------------------------------


def check_request(size, max_images, min_images, centre):
    """Raise ValueError for arguments of `read_pictures` that make no sense."""
    height, width = size
    if min(height, width, min_images) < 1 or (max_images is not None and max_images < 1) or not 0 < centre <= 1:
        raise ValueError(
            "need a height and width of at least 1, min_images ≥ 1, max_images ≥ 1 and 0 < centre ≤ 1; got "
            f"size {tuple(size)}, min_images {min_images}, max_images {max_images} and centre {centre}"
        )


def read_pictures(source, files, size, max_images, min_images, centre, progress) -> Tensor:
    """The pictures among `files`: uint8 (N, 3, H, W), in the natural order of their names.

    Args:
        source: what to call all of them in messages. files: dict name: function that returns the file's bytes; names
            may have folders, with "/".
        size, max_images, min_images, centre, progress: see `lib.datasets.images.load_images`.

    Raises:
        ImagesError: too few can be read. A warning, at the caller's caller, counts and names those that cannot.
    """
    names = sorted((name for name in files if _is_of(name, KINDS)), key=_order)
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
                images[len(places)] = decode(files[names[place]](), size, centre)
            except Exception as error:  # damaged files raise nearly anything; thousands may still be good
                unreadable.append(f"{names[place]} ({_reason(error)})")
            else:
                places.append(place)
                bar.update()
    notes = []
    if unreadable:
        few = ", ".join(unreadable[:3]) + (" …" if len(unreadable) > 3 else "")
        notes.append(f"pictures that cannot be read are left out, {len(unreadable)}: {few}")
    if passed := Counter(Path(name).suffix.lower() for name in files if _is_of(name, UNREAD)):
        kinds = ", ".join(f"{count} {kind}" for kind, count in passed.most_common())
        notes.append(f"pictures of kinds that are not read here are left out, {kinds}: save them as JPEG or PNG")
    needed = min(min_images, max_images or min_images)
    if len(places) < needed:
        others = Counter(Path(name).suffix.lower() or "without an ending" for name in files if name not in {*names})
        others = ", ".join(f"{count} {kind}" for kind, count in others.most_common(9)) or "none"
        notes = notes or [f"read are {', '.join(sorted(KINDS))}; other files there: {others}"]
        raise ImagesError(
            f"{source} holds {len(places)} readable pictures, but at least {needed} are needed: give more "
            f"({'; '.join(notes)})"
        )
    if notes:
        warnings.warn(f"{source}: {'; '.join(notes)}", stacklevel=3)
    if sorted(places) != places:
        return torch.from_numpy(images[np.argsort(places)])
    return torch.from_numpy(images[: len(places)])


def _reason(error):
    """What an error says, without the paths and objects that Python's and Pillow's texts contain."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r" ?<[^>]*>", "", text)


def _is_of(name, kinds):
    """Whether a file has one of these endings and is not hidden, nor what macOS adds to zip files."""
    path = Path(name)
    return path.suffix.lower() in kinds and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _order(name):
    """Sort key: naturally, folder by folder; the name itself decides between A.jpg and a.jpg."""
    return [natural_order(part) for part in Path(name).parts], name
