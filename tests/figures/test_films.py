"""Films: an animated picture and a strip of its frames, small and the same every time."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image, ImageSequence

from lib import figures
from lib.datasets.video import load_video

pytestmark = pytest.mark.usefixtures("style")


def moving_square(count=12, side=32):
    frames = np.zeros((count, side, side, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[4:12, number : number + 8] = 255
    return frames


def noise(count=12, height=240, width=320):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def coded(data):
    return base64.b64decode(re.search(r'src="data:image/webp;base64,([^"]+)"', data["text/html"])[1])


def frames_of(data):
    """The frames (N, H, W, 3) of a displayed film, and for how many milliseconds each stands."""
    film = Image.open(io.BytesIO(coded(data)))
    frames = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(film)]
    return np.stack([frame for frame, _ in frames]), [duration for _, duration in frames]


def strip_of(data):
    kept = data.get("image/png") or data["image/jpeg"]
    return Image.open(io.BytesIO(base64.b64decode(kept)))


def test_a_film_is_an_animated_picture_and_a_strip(displayed):
    figures.film(moving_square(), "A square moves.", columns=4, width=64, scale=2)
    (data, metadata), (text, _) = displayed
    assert metadata["workbook"] == {"figure": 1, "caption": "A square moves."} and "Figure 1" in text["text/markdown"]
    frames, durations = frames_of(data)
    assert np.array_equal(frames, moving_square().repeat(2, 1).repeat(2, 2)), "drawn pictures are coded without loss"
    assert durations == [100] * 11 + [1000], "the last frame stands for a second"
    assert Image.open(io.BytesIO(coded(data))).info["loop"] == 0, "for ever"
    assert re.match(r'<img width="64" style="max-width:100%" alt="A square moves\." src=', data["text/html"])
    strip = strip_of(data)
    assert strip.width == 4 * 96 + 3 * 18, "64 pixels of the page are 96 dots"
    assert metadata["image/png"] == {"width": round(strip.width * 96 / 144)}
    bright = np.asarray(strip.convert("L"))[strip.height - 96 :] > 128
    starts = [bright[24, i * 114 : i * 114 + 96].argmax() for i in range(4)]
    assert starts == sorted(starts) and starts[0] == 0 and starts[-1] >= 30, "the first and the last frame are shown"


def test_smooth_frames_are_interpolated_and_close_to_the_truth(displayed):
    waves = 127.5 + 127.5 * np.sin(np.arange(32)[:, None] / 5 + np.arange(32) / 7 + np.arange(10)[:, None, None])
    figures.film(waves.astype(np.uint8)[..., None].repeat(3, -1), "Waves.", scale=3, smooth=True, columns=2)
    frames, _ = frames_of(displayed[0][0])
    assert frames.shape == (10, 96, 96, 3)
    assert np.abs(frames[:, 1::3, 1::3, 0] - waves).mean() < 3
    figures.film(waves.astype(np.uint8)[..., None].repeat(3, -1), "Waves.", scale=0.5, smooth=True)
    assert frames_of(displayed[2][0])[0].shape == (10, 16, 16, 3), "reduced"


def test_the_strip_of_a_photograph_is_a_photograph(displayed):
    figures.film(noise(2, 60, 90), "Noise.", smooth=True)
    assert "image/jpeg" in displayed[0][0] and displayed[0][1]["image/jpeg"]["width"] > 100


def heads_of(data, per_row):
    """The dots above the stills of the first row."""
    strip = np.asarray(strip_of(data).convert("L"))[:20]
    return np.array_split(strip, per_row, axis=1)


def test_stills_carry_their_labels(displayed):
    labels = [f"t = {n / 10} s" for n in range(12)]
    figures.film(moving_square(), "Named.", columns=3, width=160, labels=labels)
    figures.film(moving_square(), "Numbered.", columns=3, width=160)
    numbers = [f"frame {n}" for n in range(1, 13)]
    figures.film(moving_square(), "Numbered by hand.", columns=3, width=160, labels=numbers)
    named, numbered, by_hand = (heads_of(displayed[i][0], 3) for i in (0, 2, 4))
    for head in named + numbered:
        assert (head < 100).sum() > 100, "something is written above each still"
    assert not np.array_equal(named[0], numbered[0]) and not np.array_equal(numbered[0], numbered[1])
    assert all(np.array_equal(*heads) for heads in zip(numbered, by_hand, strict=True))


def test_another_number_of_labels():
    with pytest.raises(ValueError, match="labels name every frame of the film: 3 labels for 12 frames"):
        figures.film(moving_square(), "Nothing.", labels="abc")


def test_a_film_of_figures_closes_them(displayed, drawing):
    drawings = [drawing(seed) for seed in range(7)]
    figures.film(drawings, "Walks.", width=200)
    assert not plt.get_fignums() and strip_of(displayed[0][0]).size[1] > 90, "wide frames stand in two rows"
    assert frames_of(displayed[0][0])[0].shape[2] == 400, "two dots a pixel, for fine screens"


@pytest.mark.parametrize(
    ("caption", "alternative"),
    [
        ("The *loss* of `lstm` in $x$. Then more.", "The loss of lstm in x."),
        ('See [the "model"](a.md#b) of 0.5 s', "See the &quot;model&quot; of 0.5 s"),
    ],
)
def test_the_alternative_text_is_the_first_sentence(displayed, caption, alternative):
    figures.film(moving_square(), caption)
    assert f'alt="{alternative}"' in displayed[0][0]["text/html"]


def test_films_are_the_same_every_time(displayed):
    for _ in range(2):
        figures.film(moving_square(), "A square moves.", width=64)
    assert displayed[0][0] == displayed[2][0]


def test_quality_follows_from_the_kilobytes(displayed):
    for kilobytes in (150, 90):
        figures.film(noise(3), "Noise.", smooth=True, kilobytes=kilobytes)
    large, small = (len(coded(displayed[i][0])) for i in (0, 2))
    assert 100_000 < large <= 150_000 and 50_000 < small <= 90_000


def test_a_film_that_is_too_large_is_displayed_at_the_lowest_quality(displayed):
    for kilobytes in (20, 10):
        figures.film(noise(4), "Noise.", kilobytes=kilobytes)
    larger, as_large = (len(coded(displayed[i][0])) for i in (0, 2))
    assert larger == as_large > 20_000


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


def test_a_video_is_coded_and_the_same_every_time(tmp_path):
    frames = moving_square(side=64)
    video = figures.encode_video(frames, 10)
    assert video[4:8] == b"ftyp" and video == figures.encode_video(frames, 10)
    (tmp_path / "film.mp4").write_bytes(video)
    loaded = load_video(tmp_path / "film.mp4", size=(64, 64))
    assert loaded.shape == (12, 64, 64) and np.abs(loaded - frames[..., 0].astype(float)).mean() < 4
