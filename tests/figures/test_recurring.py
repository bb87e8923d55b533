"""Figures that recur: nothing is blurred, left out or drawn twice."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from lib import figures

pytestmark = pytest.mark.usefixtures("style")


def test_a_sheet_has_a_dot_for_every_pixel_and_white_where_pictures_are_missing():
    pictures = np.zeros((5, 16, 16, 3), dtype=np.uint8)
    pictures[4] = (250, 40, 30)
    fig = figures.sheet(pictures, columns=3, rows=["one", "two"], tops=["a", "b", "c"])
    page = np.asarray(fig.axes[0].images[0].get_array())
    assert page.shape == (2 * 18, 3 * 18, 3), "a margin of one pixel belongs around each picture"
    assert (page[18 + 1 : 18 + 17, 18 + 1 : 18 + 17] == (250, 40, 30)).all(), "the fifth is the middle one of row 2"
    assert (page[18:, 36:] == 255).all(), "there is no sixth picture"
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["one", "two"]
    box = fig.axes[0].get_position()
    width, height = fig.get_size_inches() * fig.dpi * (box.width, box.height)
    assert (round(width), round(height)) == (3 * 18, 2 * 18)
    plt.close(fig)


def test_band_draws_the_median_and_every_run():
    _, ax = plt.subplots()
    line = figures.band(ax, [1, 2], [[0.0, 1.0], [0.2, np.nan], [1.0, 3.0]], "LSTM")
    assert list(line.get_ydata()) == [0.2, 2.0] and line.get_color() == figures.COLORS["LSTM"]
    assert len(ax.lines) == 4 and [text.get_label() for text in ax.lines].count("LSTM") == 1
