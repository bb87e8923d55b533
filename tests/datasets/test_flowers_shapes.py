"""The shapes of flowers: rays meet petals and leaves where these are seen, and tilting is perspective."""

import math

import pytest
import torch

from lib.datasets.flowers_shapes import (
    BENDS,
    LEAVES,
    LENGTHS,
    PETALS,
    RADIUS,
    RISES,
    Layer,
    leaf,
    on_bowl,
    outline,
    pixels,
    project,
    rays,
    rotation,
)


@pytest.mark.parametrize("tilt", [0.0, 25.0, 50.0])
def test_what_a_ray_meets_is_seen_where_the_ray_starts(tilt):
    """`project` and `on_bowl` are inverse to each other, for every layer, a plane and the dome in the middle."""
    xy = pixels(64)
    points, directions = rays(xy, tilt)
    for rise, bend, reach in [*zip(RISES, BENDS, LENGTHS, strict=True), (0.1, 0.0, 1.0), (0.15, -1.5, 0.25)]:
        u, v = on_bowl(points, directions, rise, bend)
        near = u.square() + v.square() < (RADIUS * reach) ** 2
        assert near.sum() > 60, "some rays must meet it"
        u, v = u[near], v[near]
        seen = project(torch.stack([u, v, rise + bend * (u.square() + v.square())], 1), tilt)
        torch.testing.assert_close(seen, 32 * (1 + torch.tensor([[1.0], [-1.0]]) * xy[:, near]).T, rtol=0, atol=2e-2)


def test_a_tilted_flower_is_foreshortened_and_larger_in_front():
    torch.testing.assert_close(rotation(30.0) @ rotation(30.0).T, torch.eye(3))
    assert project([(0.0, 0.0, 1.0)], 30.0)[0, 1] < project([(0.0, 0.0, 0.0)], 30.0)[0, 1], "it looks up"
    for tilt in (0.0, 20.0, 50.0):
        left, right, front, back = project([(-0.1, 0, 0), (0.1, 0, 0), (0, -0.1, 0), (0, 0.1, 0)], tilt)
        ratio = (front[1] - back[1]) / (right[0] - left[0])
        assert ratio == pytest.approx(math.cos(math.radians(tilt)), abs=0.01), "a circle becomes an ellipse"
    left, right, far_left, far_right = project([(-0.2, -0.7, 0), (0.2, -0.7, 0), (-0.2, 0.7, 0), (0.2, 0.7, 0)], 45.0)
    assert (right - left)[0] > 1.2 * (far_right - far_left)[0], "petals in front are nearer and look larger"


def test_petals_go_from_narrow_and_pointed_to_broad_and_round():
    for count in PETALS:
        shapes = [outline(shape, count) for shape in (0.0, 0.5, 1.0)]
        widths = [shape.max().item() for shape in shapes]
        assert widths == sorted(widths) and widths[2] > 1.4 * widths[0], f"half widths: {widths}"
        tips = [(shape[-14] / shape.max()).item() for shape in shapes]  # at 95 % of the length
        assert tips == sorted(tips) and tips[0] < 0.25 and tips[2] > 0.4, f"widths near the tip: {tips}"
        assert all(shape[0] == 0 == shape[-1] and shape.min() >= 0 for shape in shapes)


@pytest.mark.parametrize("shape", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("count", PETALS)
def test_a_petal_does_not_reach_the_axis_of_the_next_one(count, shape):
    """Or a part of it would be missing, since only the two petals beside a point are painted there."""
    layer = Layer(0, count, shape, 0.0)
    r = torch.linspace(0.12, 1.1, 100) * RADIUS
    for petal in range(count):
        following = torch.full((100,), (petal + 1) % count)
        u, v = r * layer.cosines[following], r * layer.sines[following]
        assert layer.petal(torch.full((100,), petal), u, v)[2].min() > 0


@pytest.mark.parametrize("number", range(3))
def test_points_find_the_petals_beside_them(number):
    layer = Layer(number, 8, 0.5, 0.3)
    angle = torch.rand(500, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    (below, from_below), (above, from_above) = layer.neighbours(angle.cos(), angle.sin())
    assert torch.equal(below, (above + 1) % 8) and (from_below + from_above - 1).abs().max() < 1e-5
    for which, aside in ((below, from_below), (above, from_above)):
        cosine = layer.cosines[which] * angle.cos() + layer.sines[which] * angle.sin()
        between = torch.acos(cosine.clamp(-1, 1)) / (2 * math.pi / 8)
        assert (between - aside).abs().max() < 0.08, "up to the irregularity of its direction"


def test_distances_to_a_petals_edge_have_the_right_sign():
    layer, which = Layer(0, 5, 0.3, 0.0), torch.zeros(9, dtype=torch.int64)
    cosine, sine, length = layer.cosines[0], layer.sines[0], layer.lengths[0]
    s = torch.linspace(0.1, 0.9, 9)
    width = layer.widths[(s * 255).long()]
    for share, sign in ((0.0, -1), (0.9, -1), (-0.9, -1), (1.1, 1), (-1.1, 1)):
        u, v = length * (s * cosine - share * width * sine), length * (s * sine + share * width * cosine)
        along, across, distance = layer.petal(which, u, v)
        assert (sign * distance > 0).all(), f"at {share} of the half width"
        torch.testing.assert_close(along, s, rtol=0, atol=1e-5)
        assert (across - max(-1, min(1, share))).abs().max() < 0.02
    assert layer.petal(which, 1.1 * length * cosine.expand(9), 1.1 * length * sine.expand(9))[2].min() > 0.05


@pytest.mark.parametrize("number", range(len(LEAVES)))
def test_a_leaf_grows_from_its_base_to_its_side(number):
    side, x, y, _ = LEAVES[number]
    xy = pixels(128)
    s, across, distance = leaf(number, xy)
    inside = distance < 0
    assert 200 < inside.sum() < 3000 and ((xy[0, inside] - x) * side).min() > -0.06
    assert xy[1, inside].max() > y + 0.3 and torch.corrcoef(torch.stack([s[inside], xy[1, inside]]))[0, 1] > 0.8
    assert inside[(xy[0] - x).square() + (xy[1] - y - 0.02).square() < 0.05**2].any(), "it begins at its base"
