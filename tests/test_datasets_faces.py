"""Faces: every factor changes what it names and nothing else, and turning the head is turning a thing in space."""

import math
import time

import pytest
import torch

from lib.datasets.faces import FACTORS, ODD, mirror, render, sample_factors
from lib.datasets.faces_geometry import (
    BODY,
    BOUND,
    DISTANCE,
    HAIR,
    HALF_WIDTH,
    LANDMARKS,
    NECK,
    SHIRT,
    SKIN,
    Head,
    camera_rays,
    intersect,
    project,
    ray_ellipsoid,
    rotation,
    unit,
)

NAMES = list(FACTORS)
PLAIN = {
    "yaw": 0.0,
    "pitch": 0.0,
    "skin": 0.3,
    "hair_colour": 0.2,
    "hair_length": 0.0,
    "eye_colour": 0.5,
    "smile": 0.5,
    "glasses": 0,
    "beard": 0,
    "light": 0.0,
    "background": 0.5,
}


def ends(name):
    """The lowest and the highest value of a factor."""
    values = FACTORS[name]
    return (0, values - 1) if isinstance(values, int) else values


def face(**changes):
    """The factors of a plain face, some changed: (1, F)."""
    return torch.tensor([[float({**PLAIN, **changes}[name]) for name in NAMES]])


def picture(**changes):
    """Its picture: int32 (3, 64, 64)."""
    return render(face(**changes))[0].int()


def changed(a, b, least=8):
    """Which pixels of two pictures differ by `least` of 255 levels in some colour: bool (64, 64)."""
    return (a - b).abs().amax(0) >= least


def column_and_row(mask):
    """The middle of the true pixels."""
    row, column = (mask.nonzero().double() + 0.5).mean(0).tolist()
    return column, row


def away_from(points, radius, yaw=0.0, pitch=0.0):
    """Pixels whose middle is farther than `radius` pixels from the projections of all points: bool (64, 64)."""
    places = project(points, yaw, pitch)
    middle = torch.arange(64) + 0.5
    rows, columns = torch.meshgrid(middle, middle, indexing="ij")
    return ((torch.stack([columns, rows], -1)[:, :, None] - places).norm(dim=-1) > radius).all(-1)


def seen(resolution=128, **changes):
    """What the rays meet, see `intersect`, for a plain face with some factors changed."""
    factors = {**PLAIN, **changes}
    head = Head(factors["smile"], factors["hair_length"], factors["beard"])
    return intersect(head, rotation(factors["yaw"], factors["pitch"]), camera_rays(resolution))


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


# --- geometry -------------------------------------------------------------------------------------------------------


def heads():
    return [Head(0.0, 0.0, False), Head(1.0, 0.4, True), Head(0.5, 1.0, False)]


@pytest.mark.parametrize("number", range(3))
def test_rays_end_on_the_surface_and_meet_nothing_before(number):
    head, turn = heads()[number], rotation(-30, 10)
    t, met = intersect(head, turn, camera_rays(64))
    points = torch.cat([met[SKIN][1], met[HAIR][1]], 1)
    assert points.shape[1] > 800 and head.distance(points).abs().max() < 0.04, "hits lie on the skin or the hair"
    assert head.distance(points).abs().mean() < 0.005
    index = torch.cat([met[SKIN][0], met[HAIR][0]])
    origin, rays = turn.T @ torch.tensor([0.0, 0.0, DISTANCE]), turn.T @ camera_rays(64)
    through = torch.zeros(len(index), dtype=torch.bool)
    for share in torch.linspace(0.75, 0.99, 60):
        through |= head.distance(origin[:, None] + share * t[index] * rays[:, index]) < -0.03
    assert through.float().mean() < 0.005, f"{through.sum()} of {len(index)} rays pass through something"
    missed = t.isinf().nonzero()[:, 0]
    nearest = torch.full((len(missed),), math.inf)
    for distance in torch.linspace(DISTANCE - BOUND, DISTANCE + BOUND, 120):
        nearest = torch.minimum(nearest, head.distance(origin[:, None] + distance * rays[:, missed]))
    assert (nearest < -0.03).float().mean() < 0.003, "rays that pass through the head are said to miss it"


@pytest.mark.parametrize("number", range(3))
def test_normals_are_the_gradients_of_the_distances(number):
    head = heads()[number]
    for name in ("skin_squares", "hair_squares", "hair_sizes"):
        setattr(head, name, getattr(head, name).double())
    _, met = intersect(heads()[number], rotation(20, -10), camera_rays(64))
    for what, distance, normals, least in (
        (SKIN, head.skin, head.skin_normals, 0.98),  # distances are exact to first order only: where parts blend
        (HAIR, head.hair, head.hair_normals, 1 - 1e-9),
    ):
        points = met[what][1].double().requires_grad_()
        (gradient,) = torch.autograd.grad(distance(head.features(points)).sum(), points)
        cosine = (unit(gradient) * normals(points.detach())).sum(0)
        assert cosine.quantile(0.01) > least, f"normals are off: cosines from {cosine.min():.4f}"


@pytest.mark.parametrize("number", range(3))
def test_head_and_hair_lie_within_their_bound_and_are_symmetric(number):
    head, generator = heads()[number], torch.Generator().manual_seed(0)
    directions = unit(torch.randn(3, 20_000, generator=generator))
    assert head.distance(BOUND * directions).min() > 0.05
    points = 1.2 * directions * torch.rand(20_000, generator=generator)
    mirrored = points * torch.tensor([[-1.0], [1.0], [1.0]])
    assert torch.equal(head.distance(points), head.distance(mirrored))


@pytest.mark.parametrize("what", BODY)
def test_rays_meet_neck_and_shoulders_on_their_ellipsoids(what):
    rays, camera = camera_rays(64), torch.tensor([0.0, 0.0, DISTANCE])
    centre, radii = (torch.tensor(triple) for triple in BODY[what])
    reach = ray_ellipsoid(camera, rays, *BODY[what])
    hit = reach.isfinite()
    assert 20 < hit.sum() < 2000
    points = (camera[:, None] + reach[hit] * rays[:, hit] - centre[:, None]) / radii[:, None]
    torch.testing.assert_close((points * points).sum(0), torch.ones(int(hit.sum())), rtol=0, atol=1e-3)
    assert torch.equal(rotation(0, 0), torch.eye(3)) and seen(yaw=30.0)[1][what][1].shape[1] > 0


def test_landmarks_lie_on_the_skin():
    head = Head(0.5, 0.0, False)
    for name, point in LANDMARKS.items():
        distance = head.skin(head.features(torch.tensor(point)[:, None])).item()
        assert abs(distance) < 0.02, f"the {name} is {distance:.3f} away from the skin"


# --- turning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yaw", [-45.0, -20.0, 0.0, 30.0, 45.0])
@pytest.mark.parametrize("name", LANDMARKS)
def test_points_move_as_a_pinhole_camera_shows_them(name, yaw):
    """x' = f X / (D - Z), with X and Z turned about the vertical axis."""
    x, y, z = LANDMARKS[name]
    angle, focal = math.radians(yaw), DISTANCE / HALF_WIDTH * 32
    depth = DISTANCE - (z * math.cos(angle) - x * math.sin(angle))
    expected = 32 + focal * (x * math.cos(angle) + z * math.sin(angle)) / depth, 32 - focal * y / depth
    assert project([LANDMARKS[name]], yaw, 0.0)[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_signs_of_yaw_and_pitch():
    def nose(yaw, pitch):
        return project([LANDMARKS["nose tip"]], yaw, pitch)[0]

    assert nose(30, 0)[0] > nose(0, 0)[0] + 10, "positive yaw turns the face to the right of the picture"
    assert nose(0, 15)[1] < nose(0, 0)[1] - 5, "with positive pitch it looks up"


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (-45.0, 0.0), (20.0, 15.0), (40.0, -15.0)])
def test_the_nose_is_rendered_where_perspective_says(yaw, pitch):
    index, points, _ = seen(yaw=yaw, pitch=pitch)[1][SKIN]
    ray = int(index[points[2].argmax()])  # the foremost point of the head
    found = torch.tensor([ray % 128 + 0.5, ray // 128 + 0.5]) / 2
    expected = project([LANDMARKS["nose tip"]], yaw, pitch)[0]
    assert (found - expected).norm() < 1.5, f"the nose tip is seen at {found.tolist()}, not at {expected.tolist()}"


@pytest.mark.parametrize("yaw", [-30.0, -15.0, 0.0, 15.0, 30.0])
def test_eyes_are_painted_where_perspective_says(yaw):
    iris = changed(picture(yaw=yaw, eye_colour=0.0), picture(yaw=yaw, eye_colour=1.0))
    places = project([LANDMARKS["left eye"], LANDMARKS["right eye"]], yaw, 0.0)
    border = places[:, 0].mean()
    columns = torch.arange(64) + 0.5
    for place, side in zip(places.tolist(), (columns < border, columns > border), strict=True):
        found = column_and_row(iris & side)
        assert math.dist(found, place) < 1.2, f"at yaw {yaw} an iris is at {found}, not at {place}"


def test_parallax_the_nose_moves_against_eyes_and_ears():
    """What is nearer to the camera moves farther, and ears behind the axis move the other way."""
    names = ["nose tip", "right eye", "left eye", "left ear", "right ear"]
    straight, turned = (project([LANDMARKS[name] for name in names], yaw, 0.0)[:, 0] for yaw in (0.0, 15.0))
    nose, right_eye, left_eye, *ears = (turned - straight).tolist()
    assert nose > left_eye > 0 and nose > right_eye > 0 and max(ears) < 0.5 * nose

    def measured(yaw):  # of the right eye and the nose in the picture
        iris = changed(picture(yaw=yaw, eye_colour=0.0), picture(yaw=yaw, eye_colour=1.0))
        iris[:, : int(project([LANDMARKS["nose tip"]], yaw, 0.0)[0, 0])] = False
        index, points, _ = seen(yaw=yaw)[1][SKIN]
        return int(index[points[2].argmax()]) % 128 / 2 - column_and_row(iris)[0]

    gap = measured(15.0) - measured(0.0)
    assert gap == pytest.approx(nose - right_eye, abs=1.2) and gap > 1.5, "the nose must come nearer to the far eye"


def eye_area(side, yaw):
    """Rays that meet the eye on this side, -1 left or 1 right, and the ear on this side."""
    x, y, z = seen(yaw=yaw)[1][SKIN][1]
    eye = (z > 0.4) & ((side * x - 0.29).abs() < 0.19) & ((y - 0.07).abs() < 0.1)
    ear = (side * x > 0.8) & ((y + 0.02).abs() < 0.25)
    return int(eye.sum()), int(ear.sum())


def test_turning_hides_the_far_eye_and_ear_and_shows_the_near_ear():
    far = [eye_area(1, yaw) for yaw in (0.0, 15.0, 30.0, 45.0)]
    near = [eye_area(-1, yaw) for yaw in (0.0, 15.0, 30.0, 45.0)]
    eyes = [eye for eye, _ in far]
    assert eyes == sorted(eyes, reverse=True) and eyes[-1] < 0.4 * eyes[0], f"rays that meet the far eye: {eyes}"
    assert near[-1][0] > 0.6 * near[0][0], "while the near eye stays in sight"
    assert far[-1][1] == 0 < far[0][1] and near[-1][1] > 2 * near[0][1], f"ears: far {far}, near {near}"
    assert eye_area(-1, -45.0) == pytest.approx(far[-1], abs=2), "to the left it is the left eye that vanishes"


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
