"""Films from files, an mp4, a gif or a folder of pictures, as grey frames of one size; parts of them kept for tests."""

import os
import warnings
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image, ImageOps, ImageSequence

from lib.datasets.pictures import KINDS, UNREAD, check_pixels, grey, natural_order, opened
from lib.storage.paths import readers_path

FILMS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".mts"}
ANIMATIONS = {".gif", ".webp", ".apng", ".avif", ".tif", ".tiff"}  # read by Pillow, like pictures; FILMS by ffmpeg


class VideoError(ValueError):
    """A film cannot be read, or is too short."""


def load_video(source, size=(144, 160), max_frames=None, min_frames=3):
    """Read a film as grey frames of one size.

    A frame is reduced or enlarged with an antialiasing filter; what does not fit the proportions of `size` is cut off
    equally on both sides. Frames are decoded one after the other, so that only the small grey ones are ever kept.

    Args:
        source: a film (mp4, gif and others, see FILMS and ANIMATIONS), or a folder of pictures (see
            `lib.datasets.pictures.KINDS`), which are taken in natural order (frame 2 before frame 10); `~` is the home
            folder.
        size: (H, W) of the result. max_frames: stop after so many. min_frames: fewer are an error.

    Returns:
        uint8 (T, H, W)

    Raises:
        VideoError: the source is missing, damaged, of a kind that cannot be read, or has fewer than min_frames frames.
            Damaged pictures in a folder, and those of a kind that is not read here, are left out with a warning as long
            as enough remain; a film of which ffmpeg can decode only a part gives that part, with a warning.
        ValueError: a size or number of frames below 1, or max_frames below min_frames.
    """
    height, width = size
    if min(height, width, min_frames) < 1 or (max_frames is not None and max_frames < min_frames):
        raise ValueError(
            "need a height and width of at least 1 and 1 ≤ min_frames ≤ max_frames; "
            f"got size {tuple(size)}, min_frames {min_frames} and max_frames {max_frames}"
        )
    source = readers_path(source)
    if not (os.path.isdir(source) or os.path.isfile(source)):  # False also for names that no file can have
        raise VideoError(f"there is no file or folder {source}: check the path; relative ones start in {Path.cwd()}")
    known = {kind: _film for kind in FILMS} | {kind: _animation for kind in ANIMATIONS}
    damaged = []  # names of pictures in a folder
    if source.is_dir():
        images = _folder(source, damaged)
    elif source.suffix.lower() in known:
        images = known[source.suffix.lower()](source)
    else:
        raise VideoError(
            f"{source} is of a kind that is not read here: give a film ({', '.join(sorted(known))}) or a folder of "
            f"pictures ({', '.join(sorted(KINDS))})"
        )
    frames = []
    for image in images:
        frames.append(np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)))
        if len(frames) == max_frames:
            break
    images.close()  # ends the ffmpeg process
    few = ", ".join(damaged[:5]) + (" …" if len(damaged) > 5 else "")
    note = f"pictures that cannot be read are left out, {len(damaged)}: {few}"
    if len(frames) < min_frames:
        raise VideoError(
            f"{source} has {len(frames)} readable frames, but at least {min_frames} are needed"
            + (f" ({note})" if damaged else ": give a longer film")
        )
    if damaged:
        warnings.warn(f"{source}: {note}", stacklevel=2)
    return np.stack(frames)


def _film(path):
    """Grey frames of a film, decoded by ffmpeg one by one."""
    # ffmpeg goes by the content: a playlist or a description of a broadcast, named like a film, must not reach out.
    local = ["-protocol_whitelist", "file"]
    reader = imageio_ffmpeg.read_frames(path, pix_fmt="gray", bits_per_pixel=8, input_params=local)
    try:
        about, count = next(reader), 0
        check_pixels(*about["size"])
        for frame in reader:
            count += 1
            yield Image.frombytes("L", about["size"], frame)
        expected = round(about["fps"] * about["duration"])  # 0 where ffmpeg does not know
        if count < 0.9 * expected:
            warnings.warn(f"{path} may be damaged: {count} of about {expected} frames can be decoded", stacklevel=3)
    except (OSError, RuntimeError, KeyError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1:]
        raise VideoError(f"{path} cannot be decoded, it is damaged or no film: {' '.join(reason)}") from error
    finally:
        reader.close()


def _animation(path):
    """Grey frames of an animated picture."""
    count = 0
    try:
        with opened(path) as film:
            for image in ImageSequence.Iterator(film):
                check_pixels(*image.size)
                frame = grey(image)
                count += 1
                yield frame
    except Exception as error:  # damaged files raise nearly anything
        raise VideoError(f"{path} cannot be decoded, it is damaged after {count} frames: {error}") from error


def _folder(folder, damaged):
    """Grey pictures of a folder in natural order; the names of those that cannot be read are put into `damaged`."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    paths = [path for path in files if path.suffix.lower() in KINDS | UNREAD]
    if not paths:
        raise VideoError(f"the folder {folder} holds no pictures: put frames into it ({', '.join(sorted(KINDS))})")
    for path in sorted(paths, key=lambda path: natural_order(path.name)):
        try:
            with opened(path) as image:
                frame = grey(ImageOps.exif_transpose(image))
        except Exception:  # damaged files raise nearly anything; thousands may still be good
            damaged.append(path.name)
            continue
        yield frame


def check_motion(film, parts):
    """Raise VideoError unless something moves in every part of a film: where nothing does, nothing can be learnt or
    compared.

    Args:
        film: uint8 (T, H, W). parts: dict of a part's name: numbers of its frames, int64, from 1 on.
    """
    for name, numbers in parts.items():
        if (film[numbers] == film[numbers - 1]).all():
            raise VideoError(
                f"{name}: in these {len(numbers)} of {len(film)} frames no pixel differs from the frame before; give a "
                "film in which something moves all along"
            )


def split_segments(num_frames, num_segments, held_out_share, context):
    """Divide a film into training and test examples, an example being a frame and the `context` frames before it.

    The film is cut into `num_segments` equal parts, and a segment of consecutive frames within each is held out. Frames
    next to each other are nearly the same, so random single frames would test the memory. The segments' places within
    the parts differ (by the golden ratio), so that a film that repeats does not have the same scene held out each time.

    Args:
        num_frames: T. num_segments: how many segments to hold out. held_out_share: of all frames, between 0 and 1.
        context: frames before the predicted one, at least 0.

    Returns:
        Two int64 tensors, sorted: the predicted frames of the training and of the test examples. Example t takes the
        frames t - context … t. All frames of a training example lie outside the held-out segments, all frames of a
        test example inside one.

    Raises:
        ValueError: an argument makes no sense, or the film is too short for one example in each segment.
    """
    if num_segments < 1 or not 0 < held_out_share < 1 or context < 0:
        raise ValueError(
            "need num_segments ≥ 1, 0 < held_out_share < 1 and context ≥ 0; "
            f"got {num_segments}, {held_out_share} and {context}"
        )
    part = num_frames / num_segments
    length = round(part * held_out_share)
    if length < context + 1 or part - length < 2 * (context + 1):
        raise ValueError(
            f"{num_frames} frames in {num_segments} parts, of which a share of {held_out_share} is held out, leave "
            f"segments too short for {context} + 1 frames: use a longer film, fewer segments or another share"
        )
    held_out = torch.zeros(num_frames, dtype=torch.bool)
    for segment in range(num_segments):
        place = (segment * 0.618034 + 0.5) % 1  # multiples of the golden ratio fill 0 … 1 evenly
        start = int(segment * part + place * (part - length))
        held_out[start : start + length] = True
    windows = held_out.unfold(0, context + 1, 1)  # (T - context, context + 1)
    return tuple(torch.nonzero(chosen)[:, 0] + context for chosen in (~windows.any(1), windows.all(1)))
