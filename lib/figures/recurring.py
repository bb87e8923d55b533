"""Figures that recur from notebook to notebook: sheets of small pictures, bands of repeated runs."""

import numpy as np
from matplotlib import pyplot as plt

from lib.figures.style import COLORS


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
