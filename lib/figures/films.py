"""Films: an animated picture that plays wherever a notebook is opened, and a strip of its frames for print."""

import base64
import html
import io
import re
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw, ImageFont

from lib.figures.captions import emit
from lib.figures.style import DPI

FINE = 2  # dots of a film of matplotlib figures for a pixel of the page, for fine screens
QUALITIES = (80, 70, 60, 50, 40, 30, 20, 10)  # of lossy coding, best first; below 30 blocks begin to be seen
LAST_FRAME = 1000  # milliseconds for which the last frame stands before the film begins again
STRIP_WIDTH = 996  # dots: at DPI about as wide as a page's text
GAP = 18  # dots between stills: more than between the parts of one
LETTERS = 8  # points, as on the axes of figures


def film(frames, caption, fps=10, columns=6, width=480, scale=1, smooth=False, labels=None, kilobytes=150):
    """Display a film with a numbered caption: an animated WebP in the browser, a strip of its frames in print.

    An `<img>` plays at first sight and in an untrusted notebook, from which JupyterLab strips videos. The film begins
    again and again, after a second at its last frame; it is coded as well as `kilobytes` allow. One that is larger even
    at the lowest quality, such as that of a network that has learnt nothing, stops no notebook: it is displayed, and
    `python -m lib.workbook check` refuses what is too large to be committed.

    Args:
        frames: list of matplotlib figures (they are closed), or uint8 array (N, H, W, 3).
        caption: Markdown; its first sentence becomes the film's alternative text.
        fps: frames a second. columns: frames in the strip. width: of the film on the page, in pixels.
        scale: frames of an array are coded enlarged by this factor, or reduced if it is below 1; the browser does the
            rest. Factors that are no integers blur frames that are not smooth.
        smooth: fields and photographs: enlarged by interpolation instead of by squares, always coded with loss.
        labels: texts for all frames, such as "t = 1.2 s", written above those in the strip; default: "frame 1" to
            "frame N".
        kilobytes: the most that the coded film is to have.

    Raises:
        ValueError: no frames, frames of another kind or another number of labels.
    """
    if len(frames) == 0:
        raise ValueError("a film needs at least one frame")
    if not isinstance(frames, np.ndarray):
        images = [_drawn(fig, FINE * width) for fig in frames]
    elif frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3:
        images = [_scaled(Image.fromarray(frame), round(scale * frames.shape[2]), smooth) for frame in frames]
    else:
        raise ValueError(f"frames must be uint8 (N, H, W, 3), got {frames.dtype} {frames.shape}")
    labels = [f"frame {n}" for n in range(1, len(images) + 1)] if labels is None else [str(text) for text in labels]
    if len(labels) != len(images):
        raise ValueError(f"labels name every frame of the film: {len(labels)} labels for {len(images)} frames")

    coded = base64.b64encode(_coded(images, fps, kilobytes, smooth)).decode()
    markup = f'<img width="{width}" style="max-width:100%" alt="{_first_sentence(caption)}" '
    markup += f'src="data:image/webp;base64,{coded}">'
    chosen = [round(i) for i in np.linspace(0, len(images) - 1, min(columns, len(images)))]
    strip = _strip([images[i] for i in chosen], [labels[i] for i in chosen], round(width * DPI / 96), smooth)
    kind, still = _small(strip)
    data = {"text/html": markup, kind: base64.b64encode(still).decode(), "text/plain": "film"}
    emit("figure", data, caption, {kind: {"width": round(strip.width * 96 / DPI)}})


def _drawn(fig, width):
    """A matplotlib figure as a picture of this many dots in width; the figure is closed."""
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=width / fig.get_size_inches()[0], pil_kwargs={"compress_level": 0})
    plt.close(fig)
    return Image.open(raw).convert("RGB")


def _scaled(image, width, smooth):
    if image.width == width:
        return image
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    if width < image.width:
        how = Image.Resampling.LANCZOS
    return image.resize((width, max(1, round(image.height * width / image.width))), how)


def _coded(images, fps, kilobytes, smooth):
    """The frames as an animated WebP of the best quality with at most so many kilobytes, else of the lowest one."""
    pace = [round(1000 / fps)] * (len(images) - 1) + [LAST_FRAME]
    # Flat colours, as of plots and drawn games, are smaller without loss; between smooth frames nothing repeats itself.
    ways = [] if smooth else [{"lossless": True, "minimize_size": True}]
    for way in ways + [{"quality": quality} for quality in QUALITIES]:
        coded = io.BytesIO()
        images[0].save(coded, "webp", save_all=True, append_images=images[1:], duration=pace, loop=0, method=4, **way)
        if len(coded.getvalue()) <= 1000 * kilobytes:
            break
    return coded.getvalue()


def _strip(stills, labels, widest, smooth):
    """The stills beside each other in rows, each below its label."""
    shape = stills[0].width / stills[0].height
    per_row = 2 if shape > 2 else 3 if shape > 1.2 else len(stills)  # the wider a frame, the fewer stand in a row
    per_row = min(per_row, len(stills))
    width = min(widest, (STRIP_WIDTH + GAP) // per_row - GAP)
    stills = [_scaled(still, width, smooth) for still in stills]
    font = ImageFont.truetype(font_manager.findfont(font_manager.FontProperties()), round(LETTERS * DPI / 72))
    head = round(1.4 * font.size)
    across, down = width + GAP, head + stills[0].height + GAP
    strip = Image.new("RGB", (per_row * across - GAP, -(-len(stills) // per_row) * down - GAP), "white")
    draw = ImageDraw.Draw(strip)
    for i, (still, label) in enumerate(zip(stills, labels, strict=True)):
        x, y = i % per_row * across, i // per_row * down
        draw.text((x, y + head / 2), label, fill="black", font=font, anchor="lm")
        strip.paste(still, (x, y + head))
    return strip


def _small(picture):
    """(MIME type, bytes) of a picture as PNG of 64 colours or as JPEG, whichever is smaller."""
    drawn, photo = io.BytesIO(), io.BytesIO()
    picture.quantize(64, dither=Image.Dither.NONE).save(drawn, "png", optimize=True, dpi=(DPI, DPI))
    picture.save(photo, "jpeg", quality=80, optimize=True, dpi=(DPI, DPI))
    return min(("image/png", drawn.getvalue()), ("image/jpeg", photo.getvalue()), key=lambda kept: len(kept[1]))


def _first_sentence(caption):
    """The first sentence of a caption in Markdown, as plain text for an attribute of HTML."""
    plain = re.sub(r"[*`$]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", caption))
    return html.escape(re.split(r"(?<=[.!?])\s", plain, maxsplit=1)[0])


def encode_video(frames, fps):
    """uint8 frames (N, H, W, 3), H and W even, as the bytes of an H.264 film (MP4), to be saved as a file."""
    import imageio_ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "film.mp4")
        options = ["-crf", "26", "-preset", "slow", "-movflags", "+faststart", "-fflags", "+bitexact"]
        writer = imageio_ffmpeg.write_frames(
            target, frames.shape[2:0:-1], fps=fps, quality=None, macro_block_size=2, output_params=options
        )
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return target.read_bytes()
