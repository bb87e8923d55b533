"""Films: a video in the browser, a strip of its frames in print."""

import base64
import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from lib.figures.captions import emit
from lib.figures.output import png


def film(frames, caption, fps=10, columns=6, width=480, smooth=False):
    """Display a film with a numbered caption: a video in the browser, a strip of its frames in print.

    Args:
        frames: list of matplotlib figures (they are closed), or uint8 array (N, H, W, 3).
        caption: Markdown. fps: frames a second. columns: frames in the strip.
        width: of the video in pixels; pictures are enlarged or reduced to it.
        smooth: enlarge by interpolation instead of by squares: for fields, whose films also get smaller by it.

    Raises:
        ValueError: no frames, frames of another kind, or the coded film exceeds 300 KB (then use fewer frames or a
            smaller width).
    """
    if len(frames) == 0:
        raise ValueError("a film needs at least one frame")
    if not isinstance(frames, np.ndarray):
        images = [Image.open(io.BytesIO(png(fig, dpi=100))).convert("RGB") for fig in frames]
        for fig in frames:
            plt.close(fig)
    elif frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3:
        images = [Image.fromarray(frame) for frame in frames]
    else:
        raise ValueError(f"frames must be uint8 (N, H, W, 3), got {frames.dtype} {frames.shape}")
    enlarge = images[0].width < width
    size = (width // 2 * 2, round(images[0].height * width / images[0].width) // 2 * 2)  # the coder wants even sizes
    enlarging = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    scaled = [image.resize(size, enlarging if enlarge else Image.Resampling.LANCZOS) for image in images]
    video = encode_video(np.stack([np.asarray(image) for image in scaled]), fps)
    if len(video) > 300_000:
        raise ValueError(
            f"the film has {len(video) / 1e3:.0f} KB, more than 300: use fewer than {len(images)} frames or less width"
        )

    chosen = [scaled[round(i)] for i in np.linspace(0, len(scaled) - 1, min(columns, len(scaled)))]
    gap, shape = 6, size[0] / size[1]
    per_row = 2 if shape > 2 else 3 if shape > 1.2 else len(chosen)  # the wider a frame, the fewer stand in a row
    per_row = min(per_row, len(chosen))
    rows = -(-len(chosen) // per_row)
    strip = Image.new("RGB", (per_row * (size[0] + gap) - gap, rows * (size[1] + gap) - gap), "white")
    for i, image in enumerate(chosen):
        strip.paste(image, ((i % per_row) * (size[0] + gap), (i // per_row) * (size[1] + gap)))
    strip.thumbnail((1400, 1400))
    still = io.BytesIO()
    # A smooth picture has colours between colours, and dots set to imitate them would triple its size.
    small = strip.quantize(64, dither=Image.Dither.NONE) if smooth else strip.quantize(256)
    small.save(still, "png", optimize=True)
    source = base64.b64encode(video).decode()
    html = (
        f'<video controls loop muted playsinline width="{size[0]}" style="max-width:100%">'
        f'<source type="video/mp4" src="data:video/mp4;base64,{source}"></video>'
    )
    emit(
        "figure",
        {"text/html": html, "image/png": base64.b64encode(still.getvalue()).decode(), "text/plain": "film"},
        caption,
    )


def encode_video(frames, fps):
    """uint8 frames (N, H, W, 3), H and W even, as the bytes of an H.264 film, coded by the ffmpeg of imageio-ffmpeg."""
    import imageio_ffmpeg

    count, height, width, _ = frames.shape
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "film.mp4")
        command = [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-loglevel",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{width}x{height}",
            "-r",
            str(fps),
            "-i",
            "-",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
            "-crf",
            "26",
            "-preset",
            "slow",
            "-movflags",
            "+faststart",
            "-fflags",
            "+bitexact",
            str(target),
        ]
        done = subprocess.run(command, input=np.ascontiguousarray(frames).tobytes(), capture_output=True)
        if done.returncode:
            raise RuntimeError(
                f"ffmpeg could not code {count} frames of {width}×{height}: {done.stderr.decode().strip()}"
            )
        return target.read_bytes()
