"""The shape of a human head and the rays that find it: signed distances made of ellipsoids, and sphere tracing.

Coordinates: x to the right of the picture, y up, z towards the camera; a unit is about 10 cm, the width of a head 1.6.
The head turns about the origin, between the ears; all but neck and shoulders is given in coordinates that turn with it.
`lib.datasets.faces` gives it colours and light.
"""

import math

import torch
from torch import Tensor

DISTANCE, HALF_WIDTH = 7.0, 1.42  # of the camera from the origin; half the picture, measured in the plane z = 0
MISS, SKIN, HAIR, NECK, SHIRT = range(5)  # what a ray meets

# name: centre, radii of an ellipsoid; where x > 0 there are two, left and right. Together they are the skin.
HEAD = {
    "skull": ((0, 0.20, -0.06), (0.76, 0.80, 0.84)),
    "jaw": ((0, -0.40, 0.16), (0.56, 0.56, 0.56)),
    "cheek": ((0.32, -0.24, 0.38), (0.31, 0.30, 0.28)),
    "chin": ((0, -0.80, 0.46), (0.24, 0.15, 0.20)),
    "lips": ((0, -0.50, 0.64), (0.22, 0.12, 0.10)),
    "bridge": ((0, 0.03, 0.76), (0.08, 0.24, 0.12)),
    "nose": ((0, -0.17, 0.88), (0.11, 0.10, 0.16)),
    "nostril": ((0.09, -0.20, 0.80), (0.08, 0.07, 0.09)),
    "brow": ((0.27, 0.30, 0.62), (0.26, 0.09, 0.14)),
    "eye": ((0.29, 0.07, 0.56), (0.20, 0.20, 0.20)),
    "ear": ((0.79, -0.02, -0.04), (0.10, 0.22, 0.15)),
    "beard": ((0, -0.60, 0.24), (0.53, 0.46, 0.55)),  # only with a beard
}
FACE = ((-0.16, -0.30, 0.92), (0.85, 1.02, 1.00))  # two more, crossing at a parting, that hair leaves free
BODY = {NECK: ((0, -1.05, -0.14), (0.36, 0.80, 0.36)), SHIRT: ((0, -2.02, -0.20), (1.35, 0.78, 0.62))}
SMOOTHNESS, HAIR_SMOOTHNESS = 0.035, 0.045  # k, units: over about this length parts blend into each other
LANDMARKS = {  # points of the skin, in head coordinates; left and right as in the picture
    "nose tip": (0.0, -0.17, 1.04),
    "left eye": (-0.29, 0.07, 0.77),
    "right eye": (0.29, 0.07, 0.77),
    "left ear": (-0.89, -0.02, -0.04),
    "right ear": (0.89, -0.02, -0.04),
}

BOUND = 1.75  # radius about the origin within which head and hair lie
BLOCK = 4  # rays along a side of the blocks that are brought near the head together
COARSE_STEPS, STEPS = 7, 10  # of sphere tracing, for blocks and for single rays
REACHED, LOST = 0.01, 0.25  # units: a ray this near to a surface has arrived; one that is still this far will miss
SHORTEST = 0.08  # units: of a step, so that rays which graze something get past it


def unit(vectors: Tensor) -> Tensor:
    """Vectors (3, R) made 1 long. (`Tensor.norm` over the first axis takes fifty times as long.)"""
    return vectors / (vectors * vectors).sum(0).sqrt().clamp_min(1e-9)


def rotation(yaw, pitch) -> Tensor:
    """The matrix (3, 3) from head to world coordinates: first the head nods, then it turns.

    Args:
        yaw: degrees; positive: the face turns to the right of the picture. pitch: degrees; positive: it looks up.
    """
    yaw, pitch = math.radians(yaw), math.radians(pitch)
    turn = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    nod = [[1, 0, 0], [0, math.cos(pitch), math.sin(pitch)], [0, -math.sin(pitch), math.cos(pitch)]]
    return (torch.tensor(turn, dtype=torch.float64) @ torch.tensor(nod, dtype=torch.float64)).float()


def project(points, yaw, pitch, size=64) -> Tensor:
    """Where points of the head lie in the picture, whether seen or hidden.

    Args:
        points: head coordinates, (N, 3), a tensor or a list of triples. yaw, pitch: see `rotation`.

    Returns:
        (N, 2), columns and rows in pixels: pixel k reaches from k to k + 1, the picture from 0 to `size`.
    """
    x, y, z = (torch.as_tensor(points, dtype=torch.float32) @ rotation(yaw, pitch).T).unbind(-1)
    scale = DISTANCE / (DISTANCE - z) / HALF_WIDTH * size / 2
    return torch.stack([size / 2 + x * scale, size / 2 - y * scale], -1)


def camera_rays(resolution) -> Tensor:
    """Unit vectors from the camera at (0, 0, DISTANCE) through the pixels' middles, row by row: (3, resolution²)."""
    across = ((torch.arange(resolution) + 0.5) / resolution * 2 - 1) * HALF_WIDTH
    y, x = torch.meshgrid(-across, across, indexing="ij")
    return unit(torch.stack([x, y, torch.full_like(x, -DISTANCE)]).flatten(1))


# --- distances ------------------------------------------------------------------------------------------------------


class Head:
    """Signed distances of a head and its hair, which are their own mirror images.

    The distance d to an ellipsoid is |p/r| (|p/r| - 1) / |p/r²|, exact to first order near its surface. Those to all
    ellipsoids of the skin are joined to the smooth minimum -k log Σ exp(-d/k). Hair is the smooth maximum of three: of
    an ellipsoid about the skull that is drawn out downwards, of its lower end, and of what leaves the face free.

    Args:
        smile, hair_length: 0 … 1. beard: whether there is one.
    """

    def __init__(self, smile, hair_length, beard):
        shapes = [shape for name, shape in HEAD.items() if beard or name != "beard"]
        centres, radii = torch.tensor(shapes).unbind(1)  # (P, 3)
        centres[list(HEAD).index("cheek")] += smile * torch.tensor([0.03, 0.05, 0.04])
        self.skin_squares = torch.cat([_squares(centres, radii**-2), _squares(centres, radii**-4)])  # (2 P, 8)

        (skull, cap), (face, opening) = torch.tensor(HEAD["skull"]), torch.tensor(FACE)
        cap = cap + 0.04 + 0.12 * min(1.0, 4 * hair_length)
        self.hair_squares = _squares(torch.stack([skull, face]), torch.stack([cap, opening]) ** -2)  # (2, 8)
        # Only above the middle of the skull the height counts: (y - c)² is replaced by the last feature.
        self.hair_squares[0, 6] -= (skull[1] / cap[1]) ** 2
        self.hair_squares[0, [1, 4, 7]] = torch.tensor([0.0, 0.0, cap[1] ** -2])
        self.hair_sizes = torch.stack([cap[:1], -opening[:1]])
        self.hair_bottom = -0.10 - 1.15 * hair_length

    @staticmethod
    def features(p):
        """What all distances are made of: points (3, R) -> (8, R), x², y², z², |x|, y, z, 1 and the square of the
        height above the middle of the skull.
        """
        above = (p[1:2] - HEAD["skull"][0][1]).clamp_min(0)
        return torch.cat([p * p, p[:1].abs(), p[1:], torch.ones_like(above), above * above])

    def skin(self, features):
        """Signed distance from points to the skin: features (8, R) -> (R,)."""
        return -SMOOTHNESS * self._shares(features)[0].sum(0).log()

    def _shares(self, features):
        """exp(-d/k) and |p/r²| of the skin's ellipsoids: two (P, R)."""
        inner, outer = (self.skin_squares @ features).clamp_min_(1e-9).sqrt_().chunk(2)
        # exp(-60) is nothing; without the bound come numbers so small that the processor takes four times as long.
        return (1 - inner).mul_(inner).div_(outer).div_(SMOOTHNESS).clamp_min_(-60).exp_(), outer

    def hair(self, features):
        """Signed distance from points to the hair: features (8, R) -> (R,)."""
        return HAIR_SMOOTHNESS * (self._hair_parts(features)[1] / HAIR_SMOOTHNESS).exp_().sum(0).log()

    def _hair_parts(self, features):
        """|p/r| of cap and face, (2, R), and the three signed distances that hair is the maximum of, (3, R)."""
        roots = (self.hair_squares @ features).clamp_min_(1e-9).sqrt_()
        return roots, torch.cat([(roots - 1) * self.hair_sizes, self.hair_bottom - features[4:5]])

    def distance(self, p):
        """Signed distance from points (3, R) to skin or hair, whatever is nearer: (R,)."""
        features = self.features(p)
        return torch.minimum(self.skin(features), self.hair(features))

    def skin_normals(self, p):
        """Outward unit vectors (3, R) at points (3, R) of the skin: the mean of the ellipsoids' gradients
        (p/r²) / |p/r²|, weighted with exp(-d/k).
        """
        shares, outer = self._shares(self.features(p))
        return unit(_half_gradient(self.skin_squares[: len(shares)], shares / outer, p))

    def hair_normals(self, p):
        """Outward unit vectors (3, R) at points (3, R) of the hair, the gradient of `hair`."""
        roots, parts = self._hair_parts(self.features(p))
        cap_and_face, end = (parts / HAIR_SMOOTHNESS).softmax(0).split([2, 1])
        gradient = _half_gradient(self.hair_squares, cap_and_face * self.hair_sizes / roots, p)
        gradient[1] -= end[0]
        return unit(gradient)


def _squares(centres, weights):
    """The coefficients with which features give Σ weight (p - c)², for N centres and weights (N, 3): (N, 8)."""
    constants = (weights * centres**2).sum(1, keepdim=True)
    return torch.cat([weights, -2 * weights * centres, constants, torch.zeros_like(constants)], 1)


def _half_gradient(squares, weights, p):
    """Half the gradient of Σ weight square(p) with fixed weights: (N, 8), (N, R), points (3, R) -> (3, R)."""
    s = squares.T @ weights  # the coefficients of one polynomial for each point
    gradient = s[:3] * torch.cat([p[:1].abs(), p[1:]]) + s[3:6] / 2
    gradient[0] *= p[0].sign()
    gradient[1] += s[7] * (p[1] - HEAD["skull"][0][1]).clamp_min(0)
    return gradient


# --- rays -----------------------------------------------------------------------------------------------------------


def ray_ellipsoid(origin, rays, centre, radii):
    """Distance along each ray to an ellipsoid: (R,), inf where it misses.

    Args:
        origin: (3,), outside. rays: unit vectors (3, R). centre, radii: triples.
    """
    radii = torch.tensor(radii)[:, None]
    o, d = (origin[:, None] - torch.tensor(centre)[:, None]) / radii, rays / radii
    a, b, c = (d * d).sum(0), (o * d).sum(0), (o * o).sum(0) - 1
    return ((-b - (b * b - a * c).sqrt()) / a).nan_to_num(math.inf)  # where it misses, the root is nan


def approach(head: Head, origin, rays, spread):
    """A distance up to which a cone about each ray is free: (R,), inf where the cone misses the head.

    Args:
        rays: (3, R). spread: radius of a cone per unit of distance.
    """
    t = torch.full_like(rays[0], DISTANCE - BOUND)
    for _ in range(COARSE_STEPS):
        distance = head.distance(origin[:, None] + t * rays)
        t = t + (distance - spread * t).clamp_min_(0)
    return torch.where(distance < LOST, t, math.inf)


def trace_head(head: Head, origin, rays, start):
    """Distance along each ray to the skin or the hair: (R,), inf where it meets neither.

    Sphere tracing (Hart, 1996): the signed distance says how far one can go without passing through the surface. Where
    a ray comes in at a small angle, which the last step shows, it goes up to twice as far.

    Args:
        origin: (3,). rays: (3, R). start: where to begin, (R,), inf for rays that are known to miss.
    """
    found = torch.full_like(start, math.inf)
    index = start.isfinite().nonzero()[:, 0]
    t, directions = start.index_select(0, index), rays.index_select(1, index)
    distance = step = None
    for number in range(1, STEPS + 1):
        before, distance = distance, head.distance(origin[:, None] + t * directions)
        stretch = 1.0 if before is None else (step / (before - distance)).nan_to_num(1.0).clamp_(1, 2)
        step = torch.where(distance > REACHED, (stretch * distance).clamp_min(SHORTEST), distance)
        t = t + step
        if number % 2 == 0:  # put aside the rays that have arrived and those that are lost
            arrived = distance < (REACHED if number < STEPS else 2 * REACHED)
            there, on = arrived.nonzero()[:, 0], (~arrived & (distance < LOST)).nonzero()[:, 0]
            found.index_copy_(0, index.index_select(0, there), t.index_select(0, there))
            directions = directions.index_select(1, on)
            index, t, distance, step = (values.index_select(0, on) for values in (index, t, distance, step))
    return found


def intersect(head: Head, turn, rays):
    """What each ray from the camera meets first.

    Args:
        turn: the rotation from head to world coordinates, (3, 3).
        rays: of a square picture with a multiple of BLOCK rays along a side, (3, R), see `camera_rays`.

    Returns:
        distances from the camera, (R,), inf where there is nothing, and a dict: SKIN, HAIR, NECK or SHIRT -> numbers of
        the rays (K,), points (3, K) and outward unit vectors (3, K), of skin and hair in head coordinates, of neck and
        shirt in world coordinates.
    """
    camera, side = torch.tensor([0.0, 0.0, DISTANCE]), math.isqrt(rays.shape[1])
    origin, turned = turn.T @ camera, turn.T @ rays
    spread = (BLOCK - 1) / math.sqrt(2) * 2 * HALF_WIDTH / side / DISTANCE  # from a block's middle to its corner rays
    start = approach(head, origin, turn.T @ camera_rays(side // BLOCK), spread).view(side // BLOCK, -1)
    t = trace_head(head, origin, turned, start.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1).flatten())
    kind = torch.where(t.isfinite(), SKIN, MISS)
    lower = slice(
        rays.shape[1] // 2, None
    )  # the camera is at y = 0, neck and shoulders are lower: other rays miss them
    for what, shape in BODY.items():
        reach = torch.full_like(t, math.inf)
        reach[lower] = ray_ellipsoid(camera, rays[:, lower], *shape)
        kind, t = torch.where(reach < t, what, kind), torch.minimum(reach, t)

    index = (kind == SKIN).nonzero()[:, 0]
    p = origin[:, None] + t.index_select(0, index) * turned.index_select(1, index)
    features = head.features(p)
    is_hair = head.hair(features) < head.skin(features)
    met = {}
    for what, chosen, normals in ((SKIN, ~is_hair, head.skin_normals), (HAIR, is_hair, head.hair_normals)):
        chosen = chosen.nonzero()[:, 0]
        points = p.index_select(1, chosen)
        met[what] = (index.index_select(0, chosen), points, normals(points))
    for what, (centre, radii) in BODY.items():
        index = (kind == what).nonzero()[:, 0]
        points = camera[:, None] + t.index_select(0, index) * rays.index_select(1, index)
        met[what] = (index, points, unit((points - torch.tensor(centre)[:, None]) / torch.tensor(radii)[:, None] ** 2))
    return t, met
