"""Densities in the plane: standardised, reproducible, and exact where they say so."""

import math
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from lib.datasets import densities, pictures
from lib.datasets.densities import (
    KNOWN,
    MIXTURES,
    NAMES,
    entropy,
    from_image,
    from_text,
    is_path,
    log_density,
    sample,
    score,
)

ALL = (*NAMES, "letters")
EXACT = (*KNOWN, "letters")


def density(name):
    return from_text("VAE") if name == "letters" else name


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def grid(cells=400, half_width=4.0):
    """Centres of the cells of a square, float64 (cells², 2), and the area of a cell."""
    width = 2 * half_width / cells
    axis = torch.arange(cells, dtype=torch.float64).add(0.5).mul(width).sub(half_width)
    return torch.cartesian_prod(axis, axis), width**2


# --- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_samples_are_standardised_by_constants(name):
    points = sample(density(name), 200_000, generator())
    assert points.shape == (200_000, 2) and points.dtype == torch.float32
    mean, error = points.mean(0), points.std(0) / math.sqrt(len(points))
    assert (mean.abs() < 4 * error).all(), f"mean {mean.tolist()} of {name} is further from 0 than chance explains"
    squares = points.double().square()
    error = squares.std(0) / math.sqrt(len(points))
    assert ((squares.mean(0) - 1).abs() < 4 * error).all(), f"variance {squares.mean(0).tolist()} of {name}"
    few = sample(density(name), 50, generator())
    assert few.mean(0).abs().min() > 1e-6, "a small sample has a mean of its own, not exactly 0"


@pytest.mark.parametrize("name", ALL)
def test_samples_depend_on_the_generator_alone(name):
    first, again, other = (sample(density(name), 20, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(first.unique(dim=0)) == 20, "points are independent"


# --- exact densities ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT)
def test_densities_integrate_to_one_and_give_the_entropy(name):
    points, area = grid()
    logs = log_density(density(name), points)
    edges = 0.02 if name in ("checkerboard", "letters") else 1e-6  # cells of the grid that an edge divides
    assert logs.exp().sum().item() * area == pytest.approx(1, abs=edges)
    integral = -torch.where(logs > -700, logs.exp() * logs, 0).sum().item() * area
    assert entropy(density(name)) == pytest.approx(integral, abs=2 * edges)


@pytest.mark.parametrize("name", EXACT)
def test_samples_have_the_density_they_should(name):
    points = sample(density(name), 50_000, generator()).double()
    logs = log_density(density(name), points)
    error = logs.std().item() / math.sqrt(len(logs))
    assert -logs.mean().item() == pytest.approx(entropy(density(name)), abs=4 * error + 1e-3)
    # A histogram against the density at the centres of its cells of 0.1, those of 12 hits or more.
    cells = (points / 0.1).floor()
    found, counts = cells.unique(dim=0, return_counts=True)
    fine = (found[:, None] + grid(4, 0.5)[0] + 0.5) * 0.1  # 16 places per cell
    expected = len(points) * 0.01 * log_density(density(name), fine.flatten(0, 1)).exp().view(-1, 16).mean(1)
    often = (counts >= 12) & (expected > 12)
    error = (counts[often] - expected[often]) / expected[often].sqrt()
    assert often.sum() > 100 and error.square().mean() < 2.5, "counts differ from the density by more than chance"


def test_entropies_are_sure_to_six_digits():
    for name in sorted(set(KNOWN) - {"checkerboard"}):
        half = densities.entropy_on_grid(name, densities.CELLS // 2)
        assert entropy(name) == pytest.approx(half, abs=1e-6), f"{name}: half as fine a grid gives another value"
    assert entropy("checkerboard") == pytest.approx(math.log(6)), "8 squares of side 1 and a variance of 4/3"


def test_the_eight_gaussians_are_almost_eight_separate_ones():
    std = math.sqrt(2 + 0.04)  # of a ring of radius 2 with a width of 0.2
    separate = math.log(8) + math.log(2 * math.pi * math.e * (0.2 / std) ** 2)
    assert separate - 1e-4 < entropy("eight_gaussians") + 1e-3 < separate + 1e-3


# --- scores of noised mixtures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXTURES)
def test_the_score_is_the_gradient_of_the_density(name):
    x = sample(name, 40, generator()).double().requires_grad_()
    expected = torch.autograd.grad(log_density(name, x).sum(), x)[0]
    torch.testing.assert_close(score(name, x.detach()), expected)
    torch.testing.assert_close(score(name, x.detach(), 0.0), -x.detach(), msg="without data, that of N(0, 1): -x")


@pytest.mark.parametrize("name", MIXTURES)
def test_the_score_of_noised_points_by_tweedie(name):
    """E[ε | x_t] = -√(1 - ᾱ) score: no function of x_t predicts ε better, and its error is not correlated with any."""
    x0, alpha_bar = sample(name, 200_000, generator()).double(), 0.6
    noise = torch.randn(x0.shape, generator=generator(1), dtype=torch.float64)
    xt = math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * noise
    error = noise + math.sqrt(1 - alpha_bar) * score(name, xt, alpha_bar)
    for what in (torch.ones_like(xt), xt, torch.sin(3 * xt), xt.flip(1) ** 2):
        product = error * what
        limit = 4 * product.std(0) / math.sqrt(len(xt))
        assert (product.mean(0).abs() < limit).all(), "the error of E[ε | x_t] must be orthogonal to functions of x_t"


def test_every_point_may_have_a_noise_level_of_its_own():
    x, levels = torch.randn(3, 2, generator=generator()), torch.tensor([1.0, 0.5, 0.0])
    expected = torch.cat([score("gaussian_mixture", x[i : i + 1], levels[i]) for i in range(3)])
    torch.testing.assert_close(score("gaussian_mixture", x, levels), expected)


# --- pictures and letters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "bytes", "grey", "colour"])
def test_dark_pixels_become_points(kind, tmp_path):
    """An L of two by three pixels, the lower right of a white picture."""
    picture = np.full((6, 5), 255, np.uint8)
    picture[3:6, 2], picture[5, 3] = 0, 40
    if kind == "file":
        Image.fromarray(picture).save(tmp_path / "l.png")
        ink = from_image(tmp_path / "l.png")
    else:
        ink = from_image({"bytes": picture, "grey": picture / 255, "colour": np.stack([picture] * 3, 2)}[kind])
    points = sample(ink, 4000, generator()).double() * ink.std + ink.mean  # back to pixels, y upwards
    found, counts = points.floor().unique(dim=0, return_counts=True)
    assert found.tolist() == [[2, 0], [2, 1], [2, 2], [3, 0]], "columns from the left, rows from the bottom"
    assert counts.min() > 900, "all dark pixels are equally likely"
    assert entropy(ink) == pytest.approx(math.log(4 / ink.std.prod().item()))
    inside, outside = (((torch.tensor([place]) - ink.mean) / ink.std) for place in ([2.5, 1.5], [3.5, 1.5]))
    assert log_density(ink, inside).item() == pytest.approx(-entropy(ink))
    far = torch.tensor([[50.0, 0.0], [0.0, -50.0]])
    assert log_density(ink, torch.cat([outside, far])).eq(-math.inf).all()


def test_what_is_transparent_is_white_and_large_pictures_are_reduced(tmp_path):
    picture = np.zeros((800, 1200, 4), np.uint8)
    picture[:, :600, 3] = 255  # black on the left, transparent black on the right
    Image.fromarray(picture).save(tmp_path / "half.png")
    ink = from_image(str(tmp_path / "half.png"))
    assert ink.dark.shape == (171, 256) and ink.dark[:, :126].all() and not ink.dark[:, 130:].any()


def test_text_reads_from_left_to_right_and_may_have_lines():
    one, two = from_text("I"), from_text("I\nI")
    assert two.dark.shape[0] > 1.8 * one.dark.shape[0] and one.dark.float().mean() > 0.4
    dark = from_text("L").dark.float()
    assert dark[:, : dark.shape[1] // 3].mean() > 2 * dark[:, -dark.shape[1] // 3 :].mean(), "an L stands on its left"
    assert dark[-dark.shape[0] // 6 :].mean() > 2 * dark[: dark.shape[0] // 6].mean(), "with its foot at the bottom"


@pytest.mark.parametrize("name", ["i.tiff", "i.jfif", "~/i.tiff", "drawing"])
def test_what_a_reader_names_is_a_picture_if_there_is_one(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    picture = np.full((16, 16), 255, np.uint8)
    picture[:, 8:] = 0
    kind = "JPEG" if name.endswith("jfif") else "TIFF"
    Image.fromarray(picture).save(tmp_path / name.removeprefix("~/"), kind, quality=95)
    assert is_path(name)
    assert from_image(name).dark.equal(torch.from_numpy(picture < 128))


@pytest.mark.parametrize("text", ["2D", "3.14", "Mr. X", "Oh…", "é!", "v1.0", "Ada\nLovelace"])
def test_what_looks_like_no_path_is_a_text(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_path(text)


@pytest.mark.parametrize("path", ["x.tiff", "~/no.png", "../drawing", "C:\\drawing", "x.heic"])
def test_what_looks_like_a_path_is_one_even_if_there_is_no_file(path):
    assert is_path(path)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_fine_grey_levels_are_not_all_black_or_white(dtype, tmp_path):
    picture = np.full((8, 8), 1.0 if dtype == np.float32 else 65535, dtype)
    picture[2:4, 2:6] = picture[0, 0] * 0.3
    Image.fromarray(picture).save(tmp_path / "fine.tif")
    assert int(from_image(tmp_path / "fine.tif").dark.sum()) == 8


@pytest.mark.parametrize("name", ["e.png", "e.eps"])
def test_a_picture_of_another_format_starts_no_program(name, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n")
    with pytest.raises(ValueError, match="no picture can be read"):
        from_image(tmp_path / name)


def test_an_absurdly_large_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("1", (300, 200)).save(tmp_path / "large.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 59_999)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="300 × 200 pixels are more than"):
        from_image(tmp_path / "large.png")


# --- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "an unknown name": (lambda: sample("moon", 3), r"moons, rings.*from_text.*'moon'"),
    "no points": (lambda: sample("moons", 0), "at least 1, got 0"),
    "a density that is not known": (lambda: log_density("moons", torch.zeros(1, 2)), "known exactly for rings"),
    "an entropy that is not known": (lambda: entropy("spiral"), "known exactly for rings"),
    "a score that is not known": (lambda: score("rings", torch.zeros(1, 2)), "eight_gaussians, gaussian_mixture"),
    "points of three coordinates": (lambda: log_density("rings", torch.zeros(1, 3)), r"\(N, 2\), got .*\(1, 3\)"),
    "whole numbers": (lambda: log_density("rings", torch.zeros(1, 2).long()), "int64"),
    "negative ᾱ": (lambda: score("gaussian_mixture", torch.zeros(1, 2), -0.1), "from 0 to 1"),
    "too many ᾱ": (lambda: score("gaussian_mixture", torch.zeros(1, 2), torch.ones(3)), r"one number or \(N,\)"),
    "a white picture": (lambda: from_image(np.full((4, 4), 255, np.uint8)), "no pixel darker than 0.5"),
    "a picture of no pixels": (lambda: from_image(np.zeros((0, 4), np.uint8)), r"at least one pixel, got \(0, 4\)"),
    "a picture of four channels": (lambda: from_image(np.zeros((4, 4, 4))), r"\(4, 4, 4\)"),
    "grey levels above 1": (lambda: from_image(np.full((4, 4), 7.0)), "0 to 1, got float64: rescale"),
    "a missing picture": (
        lambda: from_image("no_such_picture.png"),
        "there is no picture .*no_such_picture.png.*check the path",
    ),
    "an empty text": (lambda: from_text(" \n"), "visible character"),
    "a long text": (lambda: from_text("word " * 50), "at most 60 of them.*'word word word word ' of 250"),
    "a script that the font lacks": (
        lambda: from_text("Ada 王小明"),
        "font .* has no '小', '明', '王': .*a picture of it",
    ),
    "a path of nothing": (
        lambda: from_image("nowhere/drawing.tiff"),
        "no picture /.*nowhere.drawing.tiff: check the path",
    ),
    "a name of nothing": (lambda: from_image("drawing.heic"), "no picture .*drawing.heic: check the path"),
    "a path at home": (lambda: from_image("~/no_such_drawing"), r"no picture /[^~]*/no_such_drawing: check the path"),
    "a tiny text": (lambda: from_text("A", size=3), "size 3"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_named(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_damaged_pictures_are_named(content, tmp_path):
    path = tmp_path / "drawing.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no picture can be read from .*drawing.png.*give one of .*.jpeg"):
        from_image(path)


def test_a_picture_that_ends_too_early_is_named(tmp_path):
    path = tmp_path / "drawing.png"
    noise = np.random.default_rng(0).integers(0, 255, (90, 90)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="drawing.png"):
        from_image(path)
