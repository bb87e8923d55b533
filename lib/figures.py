"""The workbook's look: one style, one colour per model family, numbered captions, films, recurring figures."""

import base64
import io
import subprocess
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from PIL import Image

# Okabe and Ito (2008): told apart by the colour-blind and, with the line styles below, in black-and-white print.
COLORS = {
    "RNN": "#E69F00",
    "LSTM": "#0072B2",
    "TCN": "#009E73",
    "MinGRU": "#CC79A7",
    "Transformer": "#D55E00",
    "ConvLSTM": "#0072B2",
    "U-Net": "#D55E00",
    "VAE": "#009E73",
    "GAN": "#CC79A7",
    "diffusion": "#56B4E9",
    "baseline": "#5F5F5F",
    "truth": "#000000",
}
CYCLE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5F5F5F"]
DPI = 144  # of the stored pictures; browsers count 96 to the inch, so that laptops with fine screens have some to spare

_numbers = {"figure": {}, "table": {}}


def use_style():
    """Set matplotlib up for the workbook; called once by every notebook."""
    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.0, 3.2),
            "figure.dpi": 72,
            "figure.max_open_warning": 0,  # the frames of a film are open all at once
            "savefig.dpi": DPI,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E3E3E3",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.titlesize": 10.5,
            "axes.labelsize": 9.5,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.fontsize": 8.5,
            "legend.frameon": False,
            "lines.linewidth": 1.7,
            "lines.markersize": 5,
            "font.size": 9.5,
            "image.cmap": "viridis",
            "image.interpolation": "nearest",
        }
    )
    for numbers in _numbers.values():
        numbers.clear()


def _number(kind, caption):
    """Captions are numbered in the order of their first appearance, so that running a cell again keeps its number."""
    return _numbers[kind].setdefault(caption, len(_numbers[kind]) + 1)


def png(fig, dpi=DPI):
    """A matplotlib figure as PNG bytes, reduced to 256 colours: a plot does not miss the others, and half the size."""
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi)
    small = io.BytesIO()
    picture = Image.open(raw).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        small, "png", optimize=True, dpi=(dpi, dpi)
    )
    return small.getvalue()


def jpeg(fig):
    """A matplotlib figure as JPEG bytes, with the figure's own number of dots per inch."""
    raw = io.BytesIO()
    fig.savefig(raw, format="jpeg", dpi=fig.dpi, pil_kwargs={"quality": 76, "optimize": True})
    return raw.getvalue()


def svg(fig):
    """A matplotlib figure as SVG text, letters as outlines; the same figure gives the same text."""
    with matplotlib.rc_context({"svg.hashsalt": "workbook"}):
        text = io.StringIO()
        fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _emit(kind, data, caption, metadata=None):
    number = _number(kind, caption)
    display(data, raw=True, metadata={**(metadata or {}), "workbook": {kind: number, "caption": caption}})
    display(
        {
            "text/markdown": f"**{kind.capitalize()} {number}.** {caption}",
            "text/plain": f"{kind.capitalize()} {number}. {caption}",
        },
        raw=True,
        metadata={"workbook": {"caption_of": number, "kind": kind}},
    )


def show(fig, caption, file=None, vector=False, photo=False):
    """Display a figure with a numbered caption (Markdown, math allowed) and close it.

    Args:
        fig: matplotlib figure. caption: Markdown. file: also store it there as PNG.
        vector: display it as vector graphics (SVG): for drawings; plots with many points are smaller as pictures.
        photo: display it as JPEG, in the figure's own `dpi`: for sheets of pictures with more colours than 256.
    """
    if vector:
        drawing, inches = svg(fig), fig.get_size_inches()[0]
        plt.close(fig)
        _emit(
            "figure",
            {"image/svg+xml": drawing, "text/plain": "figure"},
            caption,
            {"image/svg+xml": {"width": round(inches * 96)}},
        )
        return
    kind, dpi, picture = ("image/jpeg", fig.dpi, jpeg(fig)) if photo else ("image/png", DPI, png(fig))
    if file is not None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(png(fig) if photo else picture)
    plt.close(fig)
    width = round(Image.open(io.BytesIO(picture)).width / dpi * 96)  # at its size in inches, in browsers and in print
    data = {kind: base64.b64encode(picture).decode(), "text/plain": "figure"}
    _emit("figure", data, caption, {kind: {"width": width}})


def sheet(pictures, columns, rows=(), tops=(), size=0.56, left=0.8):
    """A figure of many small pictures side by side, for `show(…, photo=True)`.

    Args:
        pictures: uint8 array (N, H, H, 3). columns: pictures in a row. rows, tops: labels on the left and above, as
            many as there are rows and columns, or fewer. size: side of a picture in inches. left: room for the labels
            of the rows in inches.
    """
    side, count = pictures.shape[1] + 2, -(-len(pictures) // columns)  # a white margin of one pixel around each
    page = np.full((count * columns, side, side, 3), 255, dtype=np.uint8)
    page[: len(pictures), 1:-1, 1:-1] = pictures
    page = page.reshape(count, columns, side, side, 3).swapaxes(1, 2).reshape(count * side, columns * side, 3)
    top = 0.25 * max((text.count("\n") + 1 for text in tops), default=0) or 0.02
    width, height = columns * size + left, count * size + top
    fig = plt.figure(figsize=(width, height), dpi=side / size)  # a dot for each pixel
    fig.set_layout_engine("none")
    ax = fig.add_axes((left / width, 0, 1 - left / width, 1 - top / height))
    ax.imshow(page, aspect="auto", interpolation="antialiased")
    ax.set_yticks([side * (row + 0.5) for row in range(len(rows))], rows)
    ax.set_xticks([side * (column + 0.5) for column in range(len(tops))], tops)
    ax.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return fig


def show_table(table, caption, formats="{:.3f}", index=False):
    """Display a pandas table with a numbered caption.

    Args:
        table: `pandas.DataFrame`. caption: Markdown.
        formats: format of all floating-point columns, or a dict from column to format.
        index: show the index as the first column.
    """
    if isinstance(formats, str):
        formats = {column: formats for column in table.columns if table[column].dtype.kind == "f"}
    formatters = {column: form.format for column, form in formats.items()}
    with pd.option_context("display.max_colwidth", None):  # pandas cuts longer texts off
        html = table.to_html(index=index, border=0, formatters=formatters, justify="left", na_rep="–")
    _emit("table", {"text/html": html, "text/plain": table.to_string(index=index, na_rep="–")}, caption)


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
    _emit(
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


def band(ax, x, values, label, color=None, marker="o", shift=0.0, **line):
    """Median over repetitions as a line, every repetition as a dot: `values` is (repetitions, len(x)).

    With three to five repetitions the dots say more than an error bar, above all where runs either succeed or fail.
    The dots of one x stand side by side, so that equal values do not hide each other; `shift` moves all of them, in
    units of x, away from those of another line.
    """
    x, values, color = np.asarray(x, dtype=float), np.asarray(values, dtype=float), color or COLORS.get(label)
    (drawn,) = ax.plot(x, np.nanmedian(values, axis=0), label=label, color=color, **line)
    apart = 0.007 * np.ptp(x) * (np.arange(len(values)) - (len(values) - 1) / 2)
    for row, offset in zip(values, apart, strict=True):
        ax.plot(x + shift + offset, row, marker, color=drawn.get_color(), alpha=0.65, markersize=4, markeredgewidth=0)
    return drawn
