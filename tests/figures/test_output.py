"""Figures and tables in a notebook: small, at their size, the same every time."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lib import figures

pytestmark = pytest.mark.usefixtures("style")


def test_pictures_are_small_and_alike_every_time(drawing):
    first, again = (figures.png(drawing()) for _ in range(2))
    image = Image.open(io.BytesIO(first))
    assert image.mode == "P" and len(image.getcolors()) <= 256 and len(first) < 60_000
    assert (
        image.size == (round(7.0 * figures.DPI), int(3.2 * figures.DPI)) and round(image.info["dpi"][0]) == figures.DPI
    )
    assert first == again


def test_a_figure_is_shown_at_its_size_with_a_caption_and_closed(displayed, drawing, tmp_path):
    fig = drawing()
    figures.show(fig, "The *loss* of $L$.", file=tmp_path / "deep" / "loss.png")
    (data, metadata), (text, note) = displayed
    assert set(data) == {"image/png", "text/plain"}
    assert metadata["image/png"]["width"] == 7 * 96, "browsers count 96 pixels to the inch"
    assert metadata["workbook"] == {"figure": 1, "caption": "The *loss* of $L$."}
    assert text["text/markdown"] == "**Figure 1.** The *loss* of $L$."
    assert text["text/plain"] == "Figure 1. The *loss* of $L$."
    assert note["workbook"] == {"caption_of": 1, "kind": "figure"}
    assert (tmp_path / "deep" / "loss.png").read_bytes() == base64.b64decode(data["image/png"])
    assert not plt.fignum_exists(fig.number), "an open figure would be shown a second time"


def test_sheets_of_coloured_pictures_keep_their_colours(displayed, tmp_path):
    right, down = np.meshgrid(np.linspace(0, 1, 100), np.linspace(0, 1, 100))
    fig, ax = plt.subplots(figsize=(1, 1))
    ax.imshow(np.stack([right, down, 1 - right], axis=2))  # more colours than a palette holds
    figures.show(fig, "Faces.", photo=True, file=tmp_path / "faces.png")
    data, metadata = displayed[0]
    assert set(data) == {"image/jpeg", "text/plain"} and metadata["image/jpeg"]["width"] == 96
    with Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"]))) as picture:
        assert picture.format == "JPEG" and len(set(picture.get_flattened_data())) > 1000
    with Image.open(tmp_path / "faces.png") as picture:
        assert picture.format == "PNG"
    assert not plt.fignum_exists(fig.number)


def test_drawings_are_shown_as_vector_graphics_that_are_the_same_every_time(displayed):
    def drawing():
        fig, ax = plt.subplots(figsize=(5, 2))
        ax.plot([0, 1])
        return fig

    figures.show(drawing(), "A drawing.", vector=True)
    data, metadata = displayed[0]
    assert data["image/svg+xml"].lstrip().startswith("<?xml") and "image/png" not in data
    assert metadata["image/svg+xml"]["width"] == 480 and metadata["workbook"]["figure"] == 1
    assert not plt.get_fignums()
    fig = drawing()
    assert figures.svg(fig) == data["image/svg+xml"]
    plt.close(fig)


def test_tables(displayed):
    long = "a sentence that is clearly longer than the fifty characters after which pandas would cut it off"
    table = pd.DataFrame({"model": ["RNN", long], "accuracy": [0.98765, np.nan], "steps": [10, 2000]})
    figures.show_table(table, "Results.")
    data, metadata = displayed[0]
    assert "0.988" in data["text/html"] and "–" in data["text/html"] and "2000" in data["text/html"]
    assert long in data["text/html"] and "Unnamed" not in data["text/html"]
    assert metadata["workbook"] == {"table": 1, "caption": "Results."}
    figures.show_table(table, "Results.", formats={"accuracy": "{:.1%}"}, index=True)
    assert "98.8%" in displayed[2][0]["text/html"] and "<th>0</th>" in displayed[2][0]["text/html"]
