"""Colours that can be told apart, by everybody and in print."""

from itertools import combinations

import matplotlib
import numpy as np
import pytest

from lib.figures import style

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
@pytest.mark.parametrize("colors", [set(style.COLORS.values()), set(style.CYCLE)], ids=["families", "cycle"])
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
    colors = [style.COLORS[family] for family in together]
    assert len(set(colors)) == len(colors)
