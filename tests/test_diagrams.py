"""The drawings: they draw, everything stays inside the canvas, and a canvas has equal units."""

import pytest
from matplotlib import pyplot as plt

from lib import diagrams


@pytest.mark.parametrize("draw", [diagrams.recurrent_chain, diagrams.lstm_cell])
def test_drawings_stay_on_their_canvas(draw):
    fig = draw()
    (ax,) = fig.axes
    fig.canvas.draw()
    frame = ax.get_window_extent()
    assert ax.texts and ax.get_aspect() == 1
    for text in ax.texts:
        extent = text.get_window_extent()
        assert frame.x0 - 2 <= extent.x0 and extent.x1 <= frame.x1 + 2, f"{text.get_text()!r} runs out of the picture"
        assert frame.y0 - 2 <= extent.y0 and extent.y1 <= frame.y1 + 2, f"{text.get_text()!r} runs out of the picture"
    plt.close(fig)


def test_the_chain_has_one_box_and_one_input_for_each_step():
    fig = diagrams.recurrent_chain(steps=4)
    labels = [text.get_text() for text in fig.axes[0].texts]
    assert labels.count("tanh") == 4 and sum(label.startswith("$x_") for label in labels) == 4
    plt.close(fig)
