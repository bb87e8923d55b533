"""Figures and tables as a notebook shows them: small pictures, drawings, tables, each with a numbered caption."""

import base64
import io
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

from lib.figures.captions import emit
from lib.figures.style import DPI


def png(fig, dpi=DPI):
    """A matplotlib figure as PNG bytes, reduced to 256 colours: a plot does not miss the others, and half the size."""
    raw = io.BytesIO()
    fig.savefig(raw, format="png", dpi=dpi, pil_kwargs={"compress_level": 0})  # it is read again at once
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
        emit(
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
    emit("figure", data, caption, {kind: {"width": width}})


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
    emit("table", {"text/html": html, "text/plain": table.to_string(index=index, na_rep="–")}, caption)
