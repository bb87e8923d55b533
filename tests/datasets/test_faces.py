"""Faces: what is refused, how they are rendered, and that every factor changes what it names and nothing else."""

import math
import time

import pytest
import torch
from plain_face import NAMES, away_from, changed, ends, face, picture, seen

from lib.datasets.faces import FACTORS, ODD, mirror, render, sample_factors
from lib.datasets.faces_geometry import HAIR, LANDMARKS, NECK, SHIRT, SKIN, project

# --- factors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_out_of_its_range_is_named_with_the_range(name):
    low, high = ends(name)
    wrong = [low - 1, high + 1, math.nan] + ([0.5] if isinstance(FACTORS[name], int) else [])
    for value in wrong:
        factors = torch.cat([face(), face(**{name: value})])
        for function in (render, mirror):
            with pytest.raises(ValueError, match=f"{name} must be .*from {low:g} to {high:g}.* in row 1"):
                function(factors)


@pytest.mark.parametrize(
    "factors",
    [torch.zeros(3, len(FACTORS) - 1), torch.zeros(len(FACTORS)), torch.zeros(2, len(FACTORS), dtype=torch.int64)],
)
def test_factors_of_another_shape_are_refused(factors):
    with pytest.raises(ValueError, match=r"floating point \(N, 11\), with the columns yaw, pitch, .*; got"):
        render(factors)


@pytest.mark.parametrize("size", [63, 6, 0])
def test_an_odd_or_tiny_size_is_refused(size):
    with pytest.raises(ValueError, match=f"even and at least 8 pixels, got {size}"):
        render(face(), size)


# --- rendering ------------------------------------------------------------------------------------------------------


def test_pictures_are_8_bit_and_use_the_whole_scale():
    pictures = render(sample_factors(20))
    assert pictures.shape == (20, 3, 64, 64) and pictures.dtype == torch.uint8
    assert pictures.min() < 15 and pictures.max() > 240
    saturated = (pictures == 255).float().mean().item()
    assert saturated < 0.01, f"{saturated:.1%} of the values are 255: light without shading"


@pytest.mark.parametrize("size", [16, 32, 96])
def test_any_size_shows_the_same_face(size):
    factors = sample_factors(3, seed=5)
    small, large = (render(factors, s).float() for s in sorted((size, 64)))
    shrunk = torch.nn.functional.interpolate(large, small.shape[-2:], mode="area")
    assert (shrunk - small).abs().mean() < 6, "a smaller picture must look like the larger one, averaged"


def test_ten_thousand_faces_take_minutes_not_hours():
    """About 0.01 s each on a slow core; the bound leaves room for a busy machine."""
    factors = sample_factors(12)
    render(factors[:2])
    start = time.process_time()
    render(factors)
    assert (time.process_time() - start) / len(factors) < 0.05


def test_mirrored_factors_give_the_mirrored_picture():
    factors = sample_factors(24, seed=6)
    other = mirror(factors)
    assert torch.equal(mirror(other), factors), "mirrored twice it is the old face"
    different = [name for name, same in zip(NAMES, (other == factors).all(0), strict=True) if not same]
    assert different == list(ODD), "only yaw and light are odd under mirroring"
    difference = (render(other).int() - render(factors).flip(-1).int()).abs()
    assert difference.max() <= 2, f"pixels differ by up to {difference.max()} of 255"


# --- what each factor changes ---------------------------------------------------------------------------------------

EYES = [LANDMARKS["left eye"], LANDMARKS["right eye"]]
CHANGES = {  # share of the pixels that go by at least 8 levels from one end of a factor to the other
    "yaw": (0.15, 0.7),
    "pitch": (0.15, 0.7),
    "skin": (0.15, 0.5),
    "hair_colour": (0.05, 0.3),
    "hair_length": (0.1, 0.5),
    "eye_colour": (0.003, 0.03),
    "smile": (0.01, 0.1),
    "glasses": (0.02, 0.15),
    "beard": (0.03, 0.2),
    "light": (0.15, 0.6),
    "background": (0.4, 0.8),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_factor_changes_the_picture_as_much_as_it_should(name):
    low, high = (picture(**{name: value}) for value in ends(name))
    share = changed(low, high).float().mean().item()
    least, most = CHANGES[name]
    assert least < share < most, f"{name} changes {share:.1%} of the pixels"
    if not isinstance(FACTORS[name], int):
        a, b = ends(name)
        steps = [picture(**{name: a + (b - a) * k / 8}) for k in range(9)]
        jumps = [(after - before).abs().float().mean() for before, after in zip(steps, steps[1:], strict=False)]
        assert all(jump > 0 for jump in jumps), f"{name} must change the picture everywhere in its range"


@pytest.mark.parametrize("yaw", [0.0, 25.0])
def test_eye_colour_changes_nothing_but_the_irises(yaw):
    mask = changed(picture(yaw=yaw, eye_colour=0.0), picture(yaw=yaw, eye_colour=1.0), least=1)
    assert mask.sum() >= 12 and not (mask & away_from(EYES, 3.7, yaw)).any()


def test_glasses_stand_about_the_eyes_and_reach_to_the_ears():
    mask = changed(picture(), picture(glasses=1), least=1)
    rows = mask.any(1).nonzero()
    eye_row = project(EYES, 0, 0)[0, 1]
    assert rows.min() > eye_row - 8 and rows.max() < eye_row + 8
    frame = mask & (picture(glasses=1).amax(0) < picture().amax(0) - 60)
    assert frame.sum() > 40, "the frame must be seen"
    temple = changed(picture(yaw=40.0), picture(yaw=40.0, glasses=1))
    columns = temple.any(0).nonzero()
    ear = project([LANDMARKS["left ear"]], 40, 0)[0, 0]
    assert columns.min() < ear + 8, "from the side a temple is seen to reach to the ear"


def test_a_beard_has_the_colour_of_the_hair_and_leaves_eyes_and_teeth_free():
    for colour in (0.0, 0.6):
        without, bearded = (picture(beard=beard, hair_colour=colour, smile=1.0) for beard in (0, 1))
        mask = changed(without, bearded)
        assert mask.nonzero()[:, 0].min() >= int(project([LANDMARKS["nose tip"]], 0, 0)[0, 1]), "nothing above the nose"
        chin = project([(0.0, -0.85, 0.65)], 0, 0)[0].long()
        hair = picture(hair_colour=colour)[:, :10, 32].float()
        hair = hair[:, hair.sum(0) < picture(background=0.5)[:, :10, 0].float().sum(0) - 40].mean(1)
        shown = bearded[:, chin[1], chin[0]].float()
        cosine = torch.nn.functional.cosine_similarity(shown, hair, 0)
        assert cosine > 0.97, f"the beard is {shown.tolist()}, the hair {hair.tolist()}"
    assert bearded[:, 40:50, 30:34].amin(0).max() > 190, "teeth are white"


def test_a_smile_lifts_the_corners_of_the_mouth_and_shows_teeth():
    calm, glad = picture(smile=0.0), picture(smile=1.0)
    mouth = (slice(None), slice(40, 52), slice(22, 42))
    assert glad[mouth].amin(0).max() > 200 > calm[mouth].amin(0).max(), "teeth are the brightest of the mouth"
    mask = changed(calm, glad)
    brows = project([(0.29, 0.36, 0.76)], 0, 0)[0, 1]
    assert mask.nonzero()[:, 0].min() > brows - 3, "brows rise a little; above them nothing changes"
    assert not mask[:, :15].any() and not mask[:, -15:].any(), "the background stays"


def test_hair_colour_changes_hair_and_brows_only():
    mask = changed(picture(hair_colour=0.0), picture(hair_colour=1.0))
    assert mask[:12].sum() > 50 and mask[20:32].any(), "the hair above, the brows below"
    face_below = project([(0.0, -0.1, 0.9)], 0, 0)[0, 1].long()
    assert not mask[face_below:, 20:44].any(), "nose, mouth and chin stay"
    assert not mask[:, :8].any(), "so does the background"


def test_hair_grows_downwards_and_hides_the_ears():
    bottoms = []
    for length in (0.0, 0.25, 0.5, 0.75, 1.0):
        _, met = seen(hair_length=length)
        bottoms.append(met[HAIR][1][1].min().item())
    assert bottoms == sorted(bottoms, reverse=True) and bottoms[0] > -0.3 > -1.1 > bottoms[-1], bottoms
    x = seen(hair_length=1.0, yaw=40.0)[1][SKIN][1][0]
    assert x.abs().max() < 0.8, "long hair covers the ears"


def test_background_and_skin_keep_to_themselves():
    t, met = seen()
    nothing = t.isinf().view(64, 2, 64, 2).any(3).any(1)
    mask = changed(picture(background=0.0), picture(background=1.0), least=1)
    assert torch.equal(mask, nothing), "the background is where rays meet nothing, all of it and no more"
    skin = torch.zeros(128 * 128, dtype=torch.bool)
    skin[torch.cat([met[SKIN][0], met[NECK][0]])] = True
    mask = changed(picture(skin=0.0), picture(skin=1.0), least=1)
    assert not (mask & ~skin.view(64, 2, 64, 2).any(3).any(1)).any(), "the tone of the skin changes skin only"
    assert set(met) == {SKIN, HAIR, NECK, SHIRT}


def test_light_brightens_the_side_it_comes_from():
    def right_minus_left(light):
        shown = picture(light=light).float().mean(0)[20:52]
        return (shown[:, 34:46].mean() - shown[:, 18:30].mean()).item()

    differences = [right_minus_left(light) for light in (-60.0, -30.0, 0.0, 30.0, 60.0)]
    assert differences == sorted(differences), f"right minus left over the light's direction: {differences}"
    assert abs(differences[2]) < 0.5 and differences[4] > 20 > -20 > differences[0]


def test_darker_skin_and_lighter_hair_go_in_one_direction():
    tones = [picture(skin=value)[:, 35:37, 24:27].float().mean() for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert tones == sorted(tones, reverse=True), "skin goes from light to dark"
    hairs = [picture(hair_colour=value)[:, 8:12, 30:34].float().mean() for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert hairs == sorted(hairs), "hair goes from black to blond"
