"""The look of the workbook: small pictures, steady numbers, films, colours that can be told apart."""

import base64
import io
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lib import figures


@pytest.fixture(autouse=True)
def style():
    with matplotlib.rc_context():
        figures.use_style()
        yield
        plt.close("all")


def drawing(seed=0):
    fig, ax = plt.subplots()
    ax.plot(np.random.default_rng(seed).standard_normal((50, 3)).cumsum(0))
    return fig


def picture(data):
    return Image.open(io.BytesIO(base64.b64decode(data["image/png"])))


# --- pictures and captions ------------------------------------------------------------------------------------------


def test_pictures_are_small_and_alike_every_time():
    first, again = (figures.png(drawing()) for _ in range(2))
    image = Image.open(io.BytesIO(first))
    assert image.mode == "P" and len(image.getcolors()) <= 256 and len(first) < 60_000
    assert (
        image.size == (round(7.0 * figures.DPI), int(3.2 * figures.DPI)) and round(image.info["dpi"][0]) == figures.DPI
    )
    assert first == again


def test_a_figure_is_shown_at_its_size_with_a_caption_and_closed(displayed, tmp_path):
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


def test_numbers_follow_the_order_of_first_appearance(displayed):
    def numbers():
        found = [
            metadata["workbook"].get("figure") or metadata["workbook"].get("table") for _, metadata in displayed[::2]
        ]
        displayed.clear()
        return found

    table = pd.DataFrame({"a": [1]})
    figures.show(drawing(), "first")
    figures.show(drawing(), "second")
    figures.show_table(table, "first")
    assert numbers() == [1, 2, 1], "tables are counted by themselves"
    figures.show(drawing(), "first")
    figures.show_table(table, "second")
    figures.show(drawing(), "third")
    assert numbers() == [1, 2, 3], "running a cell again keeps its number"
    figures.use_style()
    figures.show(drawing(), "third")
    assert numbers() == [1], "a notebook starts to count at one"


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


# --- films ----------------------------------------------------------------------------------------------------------


def moving_square(count=12, side=32):
    frames = np.zeros((count, side, side, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[4:12, number : number + 8] = 255
    return frames


def video(data):
    return base64.b64decode(data["text/html"].split("base64,")[1].split('"')[0])


def test_a_film_is_a_video_and_a_strip(displayed):
    figures.film(moving_square(), "A square moves.", columns=4, width=65)
    (data, metadata), (text, _) = displayed
    assert metadata["workbook"] == {"figure": 1, "caption": "A square moves."} and "Figure 1" in text["text/markdown"]
    assert video(data)[4:8] == b"ftyp", "an MP4 file"
    assert "controls" in data["text/html"] and 'width="64"' in data["text/html"], "the coder wants even sizes"
    strip = picture(data)
    assert strip.size == (4 * 64 + 3 * 6, 64)
    bright = np.asarray(strip.convert("L")) > 128
    starts = [bright[16, i * 70 : i * 70 + 64].argmax() for i in range(4)]
    assert starts == sorted(starts) and starts[0] == 0 and starts[-1] >= 20, "the first and the last frame are shown"


def test_a_film_of_figures_closes_them(displayed):
    drawings = [drawing(seed) for seed in range(7)]
    figures.film(drawings, "Walks.", width=200)
    assert not plt.get_fignums() and picture(displayed[0][0]).size[1] > 90, "wide frames stand in two rows"


def test_films_are_the_same_every_time(displayed):
    for _ in range(2):
        figures.film(moving_square(), "A square moves.", width=64)
    assert displayed[0][0] == displayed[2][0]


@pytest.mark.parametrize("frames", [[], np.zeros((0, 8, 8, 3), np.uint8)])
def test_a_film_without_frames(frames):
    with pytest.raises(ValueError, match="at least one frame"):
        figures.film(frames, "Nothing.")


@pytest.mark.parametrize(
    "frames", [np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 4), np.uint8)]
)
def test_frames_of_another_kind(frames):
    with pytest.raises(ValueError, match=r"frames must be uint8 \(N, H, W, 3\), got"):
        figures.film(frames, "Nothing.")


def test_a_film_that_is_too_large_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (12, 240, 320, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"the film has \d+ KB, more than 300: use fewer than 12 frames"):
        figures.film(noise, "Noise.", width=320)


# --- colours --------------------------------------------------------------------------------------------------------

# What people without the receptor for green or for red see: Machado, Oliveira and Fernandes (2009), severity 1.
SIGHT = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}


def lab(color, sight):
    """CIE L*a*b* of an sRGB colour as seen with one kind of sight; a distance of about 2 is just noticed."""
    c = np.array(matplotlib.colors.to_rgb(color))
    linear = np.clip(SIGHT[sight] @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(("sight", "least"), [("normal", 25), ("deuteranopia", 15), ("protanopia", 15)])
@pytest.mark.parametrize("colors", [set(figures.COLORS.values()), set(figures.CYCLE)], ids=["families", "cycle"])
def test_colours_can_be_told_apart(colors, sight, least):
    for a, b in combinations(sorted(colors), 2):
        distance = np.linalg.norm(lab(a, sight) - lab(b, sight))
        assert distance >= least, f"{a} and {b} look alike with {sight} sight: distance {distance:.0f}"


@pytest.mark.parametrize(
    "together",
    [
        ["RNN", "LSTM", "TCN", "MinGRU", "Transformer", "baseline", "truth"],
        ["ConvLSTM", "U-Net", "VAE", "GAN", "diffusion", "baseline", "truth"],
    ],
)
def test_families_that_meet_in_a_figure_have_colours_of_their_own(together):
    colors = [figures.COLORS[family] for family in together]
    assert len(set(colors)) == len(colors)


# --- small helpers --------------------------------------------------------------------------------------------------


def test_band_draws_the_median_and_every_run():
    _, ax = plt.subplots()
    line = figures.band(ax, [1, 2], [[0.0, 1.0], [0.2, np.nan], [1.0, 3.0]], "LSTM")
    assert list(line.get_ydata()) == [0.2, 2.0] and line.get_color() == figures.COLORS["LSTM"]
    assert len(ax.lines) == 4 and [text.get_label() for text in ax.lines].count("LSTM") == 1
