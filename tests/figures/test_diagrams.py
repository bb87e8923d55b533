"""The drawings: they draw, everything stays inside the canvas, and a canvas has equal units."""

from functools import partial

import pytest
from matplotlib import pyplot as plt

from lib.figures import diagrams
from lib.models import UNet

UNETS = {
    "one level": ([16], [], [2]),
    "two levels": ([16, 32], [2], [1, 1]),
    "three levels": ([16, 32, 64], [2, 2], [1, 1, 1]),
    "four levels": ([8, 16, 32, 64], [2, 2, 4], [1, 0, 2, 3]),
}


def unet(lists):
    return diagrams.unet(UNet(2, 1, *UNETS[lists]), 32, 64)


@pytest.mark.parametrize(
    "draw",
    [
        diagrams.recurrent_chain,
        diagrams.lstm_cell,
        diagrams.conv_lstm_cell,
        diagrams.teacher_forcing,
        diagrams.roll_out,
        *(partial(unet, name) for name in UNETS),
    ],
)
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


@pytest.mark.parametrize("lists", UNETS)
def test_the_drawing_of_a_unet_says_what_the_module_has(lists):
    model = UNet(2, 1, *UNETS[lists])
    fig = diagrams.unet(model, 32, 64)
    labels = [text.get_text() for text in fig.axes[0].texts]
    total = sum(parameter.numel() for parameter in model.parameters())
    assert f"{total:,} parameters in all" in labels
    channels, factors, blocks = UNETS[lists]
    size = 1
    for level, width in enumerate(channels):
        shape = f"{width} × {32 // size} × {64 // size}"
        drawn = labels.count(shape)
        lowest = level == len(channels) - 1
        assert drawn == (1 if lowest else 2) + (level == 0), f"{shape} is drawn {drawn} times"
        size *= 1 if lowest else factors[level]
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.stem, model.bottom, model.head)]
    assert all(f"{count:,} parameters" in labels for count in counts)
    plt.close(fig)


@pytest.mark.parametrize("lists", UNETS)
def test_no_two_labels_of_a_unet_lie_on_each_other(lists):
    fig = unet(lists)
    fig.canvas.draw()
    extents = [(text.get_text(), text.get_window_extent()) for text in fig.axes[0].texts if text.get_text()]
    for number, (first, one) in enumerate(extents):
        for second, other in extents[:number]:
            wide = min(one.x1, other.x1) - max(one.x0, other.x0)
            high = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert wide < 2 or high < 2, f"{first!r} lies on {second!r}"
    plt.close(fig)
