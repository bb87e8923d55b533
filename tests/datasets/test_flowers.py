"""Flowers: what is refused, how they are rendered, and that every factor changes what it names and nothing else."""

import math
import time

import pytest
import torch
from plain_flower import CENTRE_HEIGHT, NAMES, changed, distances, ends, flower, picture, ring

from lib.datasets.flowers import FACTORS, render, sample_factors
from lib.datasets.flowers_shapes import LENGTHS, PETALS, RADIUS, Layer, project

# --- factors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_out_of_its_range_is_named_with_the_range(name):
    low, high = ends(name)
    wrong = [low - 1, high + 1, math.nan] + ([0.5] if isinstance(FACTORS[name], int) else [])
    for value in wrong:
        with pytest.raises(ValueError, match=f"{name} must be .*from {low:g} to {high:g}.* in row 1"):
            render(torch.cat([flower(), flower(**{name: value})]))


@pytest.mark.parametrize(
    "factors",
    [torch.zeros(3, len(FACTORS) - 1), torch.zeros(len(FACTORS)), torch.zeros(2, len(FACTORS), dtype=torch.int64)],
)
def test_factors_of_another_shape_are_refused(factors):
    with pytest.raises(ValueError, match=r"floating point \(N, 12\), with the columns petals, layers, .*; got"):
        render(factors)


def test_a_tiny_size_is_refused():
    with pytest.raises(ValueError, match="at least 8 pixels, got 7"):
        render(flower(), 7)


# --- rendering ------------------------------------------------------------------------------------------------------


def test_pictures_are_8_bit_and_use_the_whole_scale():
    pictures = render(sample_factors(20))
    assert pictures.shape == (20, 3, 64, 64) and pictures.dtype == torch.uint8
    assert pictures.min() < 15 and pictures.max() > 240
    saturated = (pictures == 255).float().mean().item()
    assert saturated < 0.05, f"{saturated:.1%} of the values are 255: light without shading"


@pytest.mark.parametrize("size", [15, 32, 96])
def test_any_size_shows_the_same_flower(size):
    factors = sample_factors(3, seed=5)
    small, large = (render(factors, s).float() for s in sorted((size, 64)))
    shrunk = torch.nn.functional.interpolate(large, small.shape[-2:], mode="area")
    assert (shrunk - small).abs().mean() < 8, "a smaller picture must look like the larger one, averaged"


def test_thousands_of_flowers_take_seconds_not_minutes():
    """About 0.01 s each on a slow core; the bound leaves room for a busy machine."""
    factors = sample_factors(12)
    render(factors[:2])
    start = time.process_time()
    render(factors)
    assert (time.process_time() - start) / len(factors) < 0.05


@pytest.mark.parametrize("tilt", [0.0, 40.0])
@pytest.mark.parametrize("number", range(len(PETALS)))
def test_petals_can_be_counted(number, tilt):
    """Along a circle through the outer half of narrow petals there is one white stretch for each of them."""
    shown = picture(petals=number, shape=0.1, tilt=tilt, leaves=0)
    columns, rows = ring(0.75 * RADIUS, tilt)
    red = shown[0, rows, columns].float()  # in which petals are bright and the garden is dark
    white = torch.stack([red.roll(shift) for shift in range(-6, 7)]).mean(0) > 150
    stretches = int((white & ~white.roll(1)).sum())
    assert stretches == PETALS[number], f"{stretches} petals are seen, {PETALS[number]} were drawn"


@pytest.mark.parametrize("background", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_no_background_swallows_a_flower(background):
    for colour in torch.linspace(0, 1, 8).tolist():
        shown = picture(petal_colour=colour, background=background, shape=1.0).float()
        petals = distances((0.0, 0.0, 0.0))
        inside, outside = (petals > 13) & (petals < 20), petals > 34
        contrast = (shown[:, inside].mean(1) - shown[:, outside].mean(1)).norm()
        assert contrast > 55, f"colour {colour:.2f} before background {background}: {contrast:.0f} levels apart"


# --- what each factor changes ---------------------------------------------------------------------------------------

CHANGES = {  # share of the pixels that go by at least 8 levels from one end of a factor to the other
    "petals": (0.2, 0.6),
    "layers": (0.2, 0.5),
    "shape": (0.2, 0.6),
    "petal_colour": (0.25, 0.6),
    "gradient": (0.08, 0.4),
    "centre_size": (0.04, 0.15),
    "centre_colour": (0.015, 0.06),
    "tilt": (0.2, 0.7),
    "turn": (0.1, 0.4),
    "leaves": (0.05, 0.25),
    "background": (0.4, 0.8),
    "light": (0.3, 1.0),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_factor_changes_the_picture_as_much_as_it_should(name):
    low, high = (picture(**{name: value}) for value in ends(name))
    share = changed(low, high).float().mean().item()
    least, most = CHANGES[name]
    assert least < share < most, f"{name} changes {share:.1%} of the pixels"
    a, b = ends(name)
    values = range(b + 1) if isinstance(FACTORS[name], int) else [a + (b - a) * k / 8 for k in range(9)]
    steps = [picture(**{name: value}) for value in values]
    jumps = [(after - before).abs().float().mean() for before, after in zip(steps, steps[1:], strict=False)]
    assert all(jump > 0 for jump in jumps), f"{name} must change the picture everywhere in its range"


@pytest.mark.parametrize("name", [name for name in NAMES if not isinstance(FACTORS[name], int)])
def test_a_small_step_of_a_factor_changes_the_picture_a_little(name):
    low, high = ends(name)
    for place in (0.25, 0.61):
        value = low + place * (high - low)
        near = [
            picture(layers=2, gradient=0.5, **{name: v}) if name != "gradient" else picture(gradient=v)
            for v in (value, value + 0.003 * (high - low))
        ]
        assert (near[1] - near[0]).abs().float().mean() < 1.5, f"{name} jumps at {value:g}"


@pytest.mark.parametrize("tilt", [0.0, 35.0])
def test_the_centre_keeps_to_itself(tilt):
    far = distances((0.0, 0.0, CENTRE_HEIGHT), tilt) > 1.3 * 32 * RADIUS * 0.215 + 1
    mask = changed(picture(tilt=tilt, centre_colour=0.0), picture(tilt=tilt, centre_colour=1.0), least=1)
    assert mask.sum() > 60 and not (mask & far).any(), "the centre's colour changes the centre only"
    far = distances((0.0, 0.0, CENTRE_HEIGHT), tilt) > 1.5 * 32 * RADIUS * 0.3 + 2
    mask = changed(picture(tilt=tilt, centre_size=0.0), picture(tilt=tilt, centre_size=1.0))
    assert not (mask & far).any(), "its size too, shadows aside"


def test_petal_colour_and_background_keep_to_themselves():
    petals = changed(picture(petal_colour=0.0), picture(petal_colour=1.0), least=1)
    garden = changed(picture(background=0.0), picture(background=1.0), least=1)
    assert (petals | garden).float().mean() > 0.9
    assert (petals & garden).float().mean() < 0.12, "they share nothing but the edges of the petals"
    middle = distances((0.0, 0.0, 0.0)) < 4
    assert not (middle & (petals | garden)).any(), "the centre covers both"
    assert distances((0.0, 0.0, 0.0))[petals].max() < 32 * RADIUS * 1.05 * 1.03 + 1.5, "petals end at their length"


def test_a_gradient_goes_from_the_base_outwards():
    difference = (picture(gradient=1.0, petal_colour=0.0) - picture(petal_colour=0.0)).abs().amax(0).float()
    r = distances((0.0, 0.0, 0.0))
    rings = [difference[(r >= inner) & (r < inner + 4)].mean().item() for inner in (8, 13, 18, 23)]
    assert rings == sorted(rings, reverse=True) and rings[0] > 40 > 5 > rings[-1], f"change by rings: {rings}"


def test_leaves_are_green_and_come_one_by_one():
    pictures = [picture(leaves=count, tilt=20.0) for count in range(4)]
    for before, after in zip(pictures, pictures[1:], strict=False):
        mask = changed(before, after, 24)
        red, green, blue = after[:, mask].float().mean(1).tolist()
        assert mask.sum() > 40 and green > 1.3 * max(red, blue), f"a leaf of colour {red, green, blue}"


def test_more_layers_lie_within_the_first():
    one, two, three = (picture(layers=count) for count in range(3))
    r = distances((0.0, 0.0, 0.0))
    second, third = changed(one, two, least=1), changed(two, three, least=1)
    assert r[second].max() < 32 * RADIUS * LENGTHS[1] * 1.4 and r[third].max() < 32 * RADIUS * LENGTHS[2] * 1.5
    assert 0.8 * r[second].max() > r[third].max()


def test_turning_moves_the_petals_by_up_to_one_distance():
    columns, rows = ring(0.75 * RADIUS, 0.0)

    def profile(turn):
        white = picture(petals=2, shape=0.2, turn=turn)[0, rows, columns] > 140
        return white.view(6, 120).float().mean(0)  # of 720 places; the six petals on top of each other

    start = profile(0.0)
    for turn in (0.25, 0.5, 0.75, 1.0):
        turned = profile(turn)
        fits = torch.stack([(start.roll(shift) - turned).square().sum() for shift in range(120)])
        off = (int(fits.argmin()) - 120 * turn + 60) % 120 - 60
        assert abs(off) <= 8, f"turn {turn} moves the petals by {int(fits.argmin())} of 120 places"


def test_a_tilted_flower_is_flatter_and_shows_its_stem():
    heights, stems = [], []
    for tilt in (0.0, 25.0, 50.0):
        shown = picture(tilt=tilt, shape=1.0)
        rows = (shown[0] > 150).sum(1) > 10
        heights.append(int(rows.sum()))
        red, green, blue = shown[:, :, 29:35]
        stems.append(int(((green > red + 20) & (green > blue + 20)).any(1).sum()))
    assert heights == sorted(heights, reverse=True) and heights[2] < 0.8 * heights[0], f"rows with petals: {heights}"
    assert stems == sorted(stems) and stems[2] > stems[0] + 5, f"rows with a stem: {stems}"


def test_light_brightens_the_side_it_comes_from():
    def right_minus_left(light):
        garden = picture(light=light, background=0.0).float().mean(0)[:20]
        return (garden[:, -8:].mean() - garden[:, :8].mean()).item()

    differences = [right_minus_left(light) for light in (-60.0, -30.0, 0.0, 30.0, 60.0)]
    assert differences == sorted(differences), f"right minus left over the light's direction: {differences}"

    def sides(light):  # of the petal that points up: brightness on its right less on its left
        layer = Layer(0, 4, 0.5, 0.0)
        number = int(layer.sines.argmax())
        centre = RADIUS * 0.6 * torch.stack([layer.cosines[number], layer.sines[number]])
        right, left = (project([(centre[0] + x, centre[1], 0.02)], 0.0)[0].long() for x in (0.12, -0.12))
        shown = picture(petals=0, turn=0.0, light=light, petal_colour=1.0).float().mean(0)
        return (shown[right[1], right[0]] - shown[left[1], left[0]]).item()

    assert sides(60.0) > 8 > -8 > sides(-60.0), "petals are arched: the side towards the light is brighter"
