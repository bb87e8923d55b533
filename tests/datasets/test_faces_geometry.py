"""Faces in space: rays meet what is there, and turning the head is turning a thing before a camera."""

import math

import pytest
import torch
from plain_face import changed, column_and_row, picture, seen

from lib.datasets.faces_geometry import (
    BODY,
    BOUND,
    DISTANCE,
    HAIR,
    HALF_WIDTH,
    LANDMARKS,
    SKIN,
    Head,
    camera_rays,
    intersect,
    project,
    ray_ellipsoid,
    rotation,
    unit,
)

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
