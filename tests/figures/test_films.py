"""Films: a video and a strip of its frames, small and the same every time."""

import base64
import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lib import figures

pytestmark = pytest.mark.usefixtures("style")


def moving_square(count=12, side=32):
    frames = np.zeros((count, side, side, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[4:12, number : number + 8] = 255
    return frames


def video(data):
    return base64.b64decode(data["text/html"].split("base64,")[1].split('"')[0])


def strip_of(data):
    return Image.open(io.BytesIO(base64.b64decode(data["image/png"])))


def test_a_film_is_a_video_and_a_strip(displayed):
    figures.film(moving_square(), "A square moves.", columns=4, width=65)
    (data, metadata), (text, _) = displayed
    assert metadata["workbook"] == {"figure": 1, "caption": "A square moves."} and "Figure 1" in text["text/markdown"]
    assert video(data)[4:8] == b"ftyp", "an MP4 file"
    assert "controls" in data["text/html"] and 'width="64"' in data["text/html"], "the coder wants even sizes"
    strip = strip_of(data)
    assert strip.size == (4 * 64 + 3 * 6, 64)
    bright = np.asarray(strip.convert("L")) > 128
    starts = [bright[16, i * 70 : i * 70 + 64].argmax() for i in range(4)]
    assert starts == sorted(starts) and starts[0] == 0 and starts[-1] >= 20, "the first and the last frame are shown"


def test_a_film_of_figures_closes_them(displayed, drawing):
    drawings = [drawing(seed) for seed in range(7)]
    figures.film(drawings, "Walks.", width=200)
    assert not plt.get_fignums() and strip_of(displayed[0][0]).size[1] > 90, "wide frames stand in two rows"


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
