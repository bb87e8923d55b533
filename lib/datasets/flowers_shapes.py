"""The shape of a flower in space, as a pinhole camera sees it: petals on bowls, a domed centre; and leaves behind it.

Picture coordinates: x to the right, y up, z towards the camera; the picture reaches from -1 to 1 in the plane z = 0.
The flower has coordinates of its own, u, v, w, with the origin in its middle: w along its axis, u to the right. Every
layer of petals lies on a bowl w = rise + bend (u² + v²), which a ray meets in a point that is known in closed form.
`lib.datasets.flowers` gives the flower its colours and its light.
"""

import math

import torch
from torch import Tensor

DISTANCE = 4.0  # of the camera from the middle of the flower
PETALS = (4, 5, 6, 8, 12, 16)  # in every layer
RADIUS = 0.84  # length of the outermost petals, about
# Of the layers, from the outermost: length of petals as a share of RADIUS, rise and bend of the bowl. The innermost is
# the steepest; up to a tilt of 50 degrees the camera sees the inside of all.
LENGTHS, RISES, BENDS = (1.0, 0.74, 0.5), (0.0, 0.02, 0.04), (0.06, 0.3, 0.7)
SAMPLES = 256  # of the outline, along a petal

# Side on which a leaf points, -1 left or 1 right; where it begins; its direction, degrees above the horizontal.
LEAVES = ((1, 0.0, -0.95, 30.0), (-1, 0.0, -0.98, 28.0), (1, 0.2, 0.1, 46.0))
LEAF_LENGTH, LEAF_WIDTH, LEAF_BEND = 1.15, 0.17, 0.25  # width, half of it, and bend as shares of the length


# --- the camera -----------------------------------------------------------------------------------------------------


def middle(tilt):
    """Height of the flower's middle in the picture, tilt in degrees: the flatter it looks, the higher it stands."""
    return 0.02 + 0.2 * math.sin(math.radians(tilt))


def rotation(tilt) -> Tensor:
    """The matrix (3, 3) from picture to flower coordinates. Tilt in degrees; positive: the flower looks up."""
    sine, cosine = math.sin(math.radians(tilt)), math.cos(math.radians(tilt))
    return torch.tensor([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


def pixels(resolution) -> Tensor:
    """x and y of the middles of the pixels, row by row from the upper left: (2, resolution²)."""
    places = (2 * torch.arange(resolution) + 1) / resolution - 1
    y, x = torch.meshgrid(-places, places, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()])


def rays(xy: Tensor, tilt):
    """The rays through the pixels (2, R), as the flower sees them: points with z = 0 and directions, two (3, R)."""
    x, y = xy[0], xy[1] - middle(tilt)
    zero, turn = torch.zeros_like(x), rotation(tilt)
    return turn @ torch.stack([x, y, zero]), turn @ torch.stack([x / DISTANCE, y / DISTANCE, zero - 1])


def on_bowl(points, directions, rise, bend):
    """u and v of where rays (3, R), (3, R) meet the bowl w = rise + bend (u² + v²) from the camera's side: two (R,).

    At points + t · directions the bowl's height less w is a t² + b t + c. The root near zero is written so that a = 0,
    which makes the bowl a plane, needs no case of its own.
    """
    u, v, w = points
    along_u, along_v, along_w = directions
    a = bend * (along_u.square() + along_v.square())
    b = 2 * bend * (u * along_u + v * along_v) - along_w
    c = bend * (u.square() + v.square()) + rise - w
    t = -2 * c / (b + (b.square() - 4 * a * c).clamp_min(0).sqrt())
    return u + t * along_u, v + t * along_v


def project(points, tilt, size=64) -> Tensor:
    """Where points of the flower lie in the picture, whether seen or hidden.

    Args:
        points: flower coordinates, (N, 3), a tensor or a list of triples. tilt: degrees.

    Returns:
        (N, 2), columns and rows in pixels: pixel k reaches from k to k + 1, the picture from 0 to `size`.
    """
    x, y, z = (torch.as_tensor(points, dtype=torch.float32) @ rotation(tilt)).unbind(-1)
    scale = DISTANCE / (DISTANCE - z)
    return size / 2 * torch.stack([1 + x * scale, 1 - y * scale - middle(tilt)], -1)


# --- petals ---------------------------------------------------------------------------------------------------------


def outline(shape, count) -> Tensor:
    """Half the width of a petal from base to tip, in units of its length: (SAMPLES,).

    It is a multiple of s^a (1 - s)^b, 0 ≤ s ≤ 1: with b = 0.85 the tip is pointed, with b below ½ broad.

    Args:
        shape: 0 narrow … 1 broad, so that neighbours overlap. count: petals of the layer.
    """
    s, gap = torch.linspace(0, 1, SAMPLES), math.pi / count  # gap: half the angle from petal to petal
    profile = s ** (0.75 + 0.15 * shape) * (1 - s) ** (0.85 - 0.43 * shape)
    width = min(0.6 * math.tan(gap) * (0.72 + 0.55 * shape), 0.25 + 0.3 * shape)
    # Not even at the base does a petal reach the middle of the next one.
    return (width / profile.max() * profile).minimum(0.9 * s * math.tan(min(1.8 * gap, 1.3)))


class Layer:
    """One layer of petals, whose small irregularities depend on their number, the layer and the shape.

    Args:
        number: 0, 1, 2 from the outermost. count: petals. shape: see `outline`. turn: in distances of petals.
    """

    def __init__(self, number, count, shape, turn):
        order = torch.arange(1, count + 1)
        uneven = torch.stack([(k * order.square() + 3 * shape + 2 * number).sin() for k in (1.7, 2.9, 4.3)])
        self.count, self.turn = count, turn + 0.5 * number  # petals stand in front of the gaps of the layer below
        angles = 2 * math.pi / count * (order - 1 + self.turn + 0.07 * uneven[0])
        self.cosines, self.sines = angles.cos(), angles.sin()
        self.lengths = RADIUS * LENGTHS[number] * (1 + 0.05 * uneven[1])
        self.tones = 1 + 0.06 * uneven[2]  # some are a little lighter than others
        self.rise, self.bend = RISES[number], BENDS[number]
        self.reach = 1.25 * RADIUS * LENGTHS[number]  # beyond it there are neither petals nor their shadows
        self.widths = outline(shape, count)
        slopes = torch.gradient(self.widths, spacing=1 / (SAMPLES - 1))[0]
        self.steepness = (1 + slopes.square().clamp_max(4)).sqrt()  # across over shortest distance to the edge
        self.notch = max(0.0, 0.35 * (shape - 0.8)), 0.3 * self.widths.max()  # in the tip: its depth and width

    def neighbours(self, u, v):
        """The two petals whose axes enclose each of the points (R,), first the one that lies below.

        Returns:
            Two pairs: numbers of petals, int64 (R,), and the angle from their axes (R,), 0 … 1 where the next axis is.
        """
        place = torch.atan2(v, u) * (self.count / (2 * math.pi)) - self.turn
        sector = place.floor()
        after, before = place - sector, sector.long()
        return ((before + 1) % self.count, 1 - after), (before % self.count, after)

    def petal(self, which, u, v):
        """Where points (R,) lie on their petals, whose numbers are `which` (R,): three (R,).

        Returns:
            along: 0 at the base, 1 at the tip. across: -1 and 1 at the edges. distance: to the edge, negative inside.
        """
        length, cosine, sine = self.lengths[which], self.cosines[which], self.sines[which]
        along, across = (u * cosine + v * sine) / length, (v * cosine - u * sine) / length
        sample = (along * (SAMPLES - 1)).clamp(0, SAMPLES - 1).long()
        width, steepness = self.widths[sample], self.steepness[sample]
        aside = across.abs()
        depth, notch_width = self.notch
        tip = along - 1 + depth * (1 - aside / notch_width).clamp_min(0)
        distance = torch.maximum((aside - width) / steepness, tip) * length
        return along.clamp(0, 1), (across / width.clamp_min(0.02)).clamp(-1, 1), distance


# --- leaves ---------------------------------------------------------------------------------------------------------


def leaf(number, xy: Tensor):
    """Where points of the picture (2, R) lie on a leaf: along 0 … 1, across -1 … 1 (the upper edge), and distance to
    the edge, negative inside: three (R,)."""
    side, base_x, base_y, direction = LEAVES[number]
    cosine, sine = math.cos(math.radians(direction)), math.sin(math.radians(direction))
    x, y = side * (xy[0] - base_x) / LEAF_LENGTH, (xy[1] - base_y) / LEAF_LENGTH
    along, across = x * cosine + y * sine, y * cosine - x * sine
    s = along.clamp(0, 1)
    across = across - LEAF_BEND * along * (1 - along)
    width = 2.6 * LEAF_WIDTH * s.sqrt() * (1 - s)  # 2.6: 1 over the largest value of √s (1 - s)
    distance = LEAF_LENGTH * torch.maximum(across.abs() - width, along - 1)
    return s, (across / width.clamp_min(0.02)).clamp(-1, 1), distance
