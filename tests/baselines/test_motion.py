"""Predictions without a network: motion that is known exactly, and the known solution of a ridge regression."""

import math

import pytest
import torch

from lib.baselines.motion import block_matching, estimate_motion, linear_extrapolation, patch_ridge


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def moving(velocity, frames=3, height=40, width=48, seed=0):
    """A window over a wide random picture, whose contents move by `velocity` (down, right) a frame: (T, H, W)."""
    dy, dx = velocity
    wide = noise(height + 2 * frames * 8, width + 2 * frames * 8, seed=seed)
    y, x = frames * 8, frames * 8
    return torch.stack([wide[y - t * dy : y - t * dy + height, x - t * dx : x - t * dx + width] for t in range(frames)])


# --- straight line --------------------------------------------------------------------------------------------------


def test_a_straight_line_per_pixel():
    previous, last = torch.tensor([[[0.2, 0.5, 0.9, 0.1]]]), torch.tensor([[[0.4, 0.5, 1.0, 0.0]]])
    torch.testing.assert_close(linear_extrapolation(previous, last), torch.tensor([[[0.6, 0.5, 1.0, 0.0]]]))


# --- motion compensation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("velocity", [(0, 0), (0, -2), (3, 0), (-1, 4), (5, -7), (-7, -7), (1, 1)])
@pytest.mark.parametrize("block", [4, 8])
def test_constant_whole_pixel_motion_is_predicted_exactly(velocity, block):
    frames = moving(velocity)
    motion = estimate_motion(frames[:1], frames[1:2], block)
    prediction = block_matching(frames[:1], frames[1:2], block)
    assert motion.shape == (1, 40 // block, 48 // block, 2) and prediction.shape == (1, 40, 48)
    rim = math.ceil(2 * max(map(abs, velocity)) / block)  # blocks with pixels that come from beyond the border
    inner = slice(rim, -rim or None)
    found = motion[0, inner, inner].flatten(0, 1).tolist()
    assert all(tuple(d) == velocity for d in found), f"moving by {velocity}, but found {found}"
    edge = slice(rim * block, -rim * block or None)
    assert torch.equal(prediction[0, edge, edge], frames[2, edge, edge]), f"moving by {velocity}"


def test_blocks_at_the_border_follow_the_motion_as_far_as_they_can_see_it():
    frames = moving((0, -2))
    motion, prediction = (f(frames[:1], frames[1:2]) for f in (estimate_motion, block_matching))
    assert (motion == torch.tensor([0, -2])).all(), "half of a border block comes from inside the frame"
    assert torch.equal(prediction[..., :-2], frames[2:, :, :-2]), "only the two columns that enter are unknown"
    assert torch.equal(prediction[0, :, -2:], frames[1, :, -1:].expand(-1, 2)), "there the border is repeated"


def test_an_object_moves_over_a_picture_at_rest():
    ground, sprite = noise(64, 64, seed=1), noise(16, 16, seed=2)
    frames = ground.repeat(3, 1, 1)
    for t in range(3):
        frames[t, 24:40, 16 + 4 * t : 32 + 4 * t] = sprite
    motion = estimate_motion(frames[:1], frames[1:2])[0]
    prediction = block_matching(frames[:1], frames[1:2])[0]
    assert (motion[3:5, 3:5] == torch.tensor([0, 4])).all(), "the blocks that the object will fill move with it"
    assert torch.equal(prediction[24:40, 24:40], frames[2, 24:40, 24:40]), "so it is drawn where it will be"
    outside = torch.ones(64, 64, dtype=torch.bool)
    outside[16:48, 8:48] = False
    assert torch.equal(prediction[outside], frames[2][outside]), "and the picture at rest stays"


@pytest.mark.parametrize("picture", ["noise", "flat", "stripes"])
def test_a_still_picture_is_predicted_exactly_and_at_rest(picture):
    frame = {"noise": noise(1, 32, 40), "flat": torch.full((1, 32, 40), 0.3)}.get(picture)
    if picture == "stripes":  # period 4: shifts by 4 fit as well as none
        frame = (torch.arange(40) // 2 % 2).float().expand(1, 32, 40)
    assert torch.equal(block_matching(frame, frame), frame)
    assert not estimate_motion(frame, frame).any(), f"{picture}: of equally good displacements the shortest"


def test_of_equally_good_displacements_the_shortest_wins():
    stripes = torch.stack([((torch.arange(40) - 3 * t) // 4 % 2).float().expand(32, 40) for t in range(2)])
    motion = estimate_motion(stripes[:1], stripes[1:])
    inner = motion[:, :, 1:-1].reshape(-1, 2)
    assert (inner == torch.tensor([0, 3])).all(), "3 to the right and 5 to the left look the same; 3 is shorter"


def test_brute_force_gives_the_same_motion():
    previous, last = (noise(2, 12, 18, seed=s).mul(4).round() / 4 for s in (3, 4))
    block, search = 6, 2
    motion = estimate_motion(previous, last, block, search)
    for b in range(2):
        for i in range(2):
            for j in range(3):
                costs = {}
                for dy in range(-search, search + 1):
                    for dx in range(-search, search + 1):
                        errors = [
                            (last[b, y - dy, x - dx] - previous[b, y - 2 * dy, x - 2 * dx]).abs().item()
                            for y in range(i * block, (i + 1) * block)
                            for x in range(j * block, (j + 1) * block)
                            if 0 <= y - 2 * dy < 12 and 0 <= x - 2 * dx < 18
                        ]
                        if len(errors) >= block * block / 4:
                            costs[dy, dx] = (round(sum(errors) / len(errors), 6), dy * dy + dx * dx)
                found = tuple(motion[b, i, j].tolist())
                assert costs[found] == min(costs.values()), f"block {i, j} of frame {b}: {found}, costs {costs}"


def test_frames_of_a_batch_do_not_mix():
    frames = torch.cat([moving((0, d - 5), frames=2, seed=d) for d in range(11)])  # more than are taken at a time
    previous, last = frames[::2], frames[1::2]
    together = block_matching(previous, last)
    for number in range(11):
        alone = block_matching(previous[number : number + 1], last[number : number + 1])
        assert torch.equal(together[number : number + 1], alone), f"frame {number}"


# --- ridge regression -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0, 2])
@pytest.mark.parametrize("examples", [10, 200])
def test_ridge_solves_the_least_squares_problem_with_added_rows(margin, examples):
    windows = noise(examples, 3, 8, 12, dtype=torch.float64)
    penalty, p = 0.05, 4
    model = patch_ridge(windows, p, margin, penalty)
    wide = torch.nn.functional.pad(windows[:, :2], (margin,) * 4, mode="replicate")
    for number, (row, column) in enumerate([(0, 0), (0, 4), (0, 8), (4, 0), (4, 4), (4, 8)]):
        x = wide[:, :, row : row + p + 2 * margin, column : column + p + 2 * margin].flatten(1)
        y = windows[:, 2, row : row + p, column : column + p].flatten(1)
        added = math.sqrt(penalty * examples) * torch.eye(x.shape[1], dtype=torch.float64)
        rows = torch.cat([x - x.mean(0), added])
        weight = torch.linalg.lstsq(rows, torch.cat([y - y.mean(0), torch.zeros(len(added), p * p).double()])).solution
        torch.testing.assert_close(model.weight[number], weight, rtol=0, atol=1e-9)
        prediction = (y.mean(0) + (x - x.mean(0)) @ weight).view(-1, p, p).clamp(0, 1)
        ours = model.predict(windows[:, 0], windows[:, 1])[:, row : row + p, column : column + p]
        torch.testing.assert_close(ours, prediction, rtol=0, atol=1e-9)


def test_ridge_recovers_a_linear_rule():
    pairs = noise(500, 2, 8, 8, dtype=torch.float64)
    truth = 0.1 + 0.5 * pairs[:, 1] + 0.3 * pairs[:, 0].roll((1, 1), (1, 2))  # a neighbour of the frame before last
    model = patch_ridge(torch.cat([pairs, truth[:, None]], dim=1), 4, margin=1, penalty=1e-9)
    error = (model.predict(pairs[:, 0], pairs[:, 1]) - truth)[:, 1:, 1:].abs().max().item()
    assert error < 1e-5, f"with the neighbour inside the margin the rule is learnt, but the error is {error:.2g}"
    blind = patch_ridge(torch.cat([pairs, truth[:, None]], dim=1), 4, margin=0, penalty=1e-9)
    assert (blind.predict(pairs[:, 0], pairs[:, 1]) - truth)[:, 4].abs().max() > 0.05, "without a margin it cannot be"


def test_a_heavy_penalty_leaves_the_mean_frame():
    windows = noise(50, 3, 8, 8)
    prediction = patch_ridge(windows, 8, penalty=1e6).predict(windows[:, 0], windows[:, 1])
    torch.testing.assert_close(prediction, windows[:, 2].mean(0).expand_as(prediction), rtol=0, atol=1e-4)


def test_footage_in_one_piece_is_cut_into_examples():
    frames = noise(30, 8, 8)
    windows = torch.stack([frames[t : t + 3] for t in range(28)])
    assert torch.equal(patch_ridge(frames, 4).weight, patch_ridge(windows, 4).weight)


def test_a_still_picture_and_a_moving_one_can_be_learnt():
    still = noise(8, 8).repeat(20, 1, 1)
    prediction = patch_ridge(still, 4).predict(still[:5], still[:5])
    torch.testing.assert_close(prediction, still[:5], rtol=0, atol=1e-5)
    frames = moving((0, -2), frames=400, height=8, width=16)
    model = patch_ridge(frames[:300], 8, margin=2, penalty=1e-4)
    error = (model.predict(frames[300:-2], frames[301:-1]) - frames[302:])[..., :14].abs().mean().item()
    assert error < 0.02, f"2 pixels a frame lie inside the margin, but the error is {error:.3f}"


# --- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [linear_extrapolation, block_matching, estimate_motion])
def test_wrong_frames_are_named(function):
    x = torch.zeros(2, 16, 16)
    for previous, last in ((x, x[:1]), (x[0], x[0]), (x[:, None], x[:, None]), (x[:0], x[:0])):
        with pytest.raises(ValueError, match=r"same shape \(B, H, W\)"):
            function(previous, last)
    with pytest.raises(ValueError, match=r"uint8.*divide"):
        function(x.to(torch.uint8), x.to(torch.uint8))


def test_wrong_options_are_named():
    x = torch.zeros(4, 16, 20)
    with pytest.raises(ValueError, match="16 × 20 pixels cannot be cut into blocks of 8"):
        block_matching(x, x)
    with pytest.raises(ValueError, match="search must be at least 0 pixels, got -1"):
        block_matching(x, x, 4, -1)
    with pytest.raises(ValueError, match="16 × 20 pixels cannot be cut into patches of 16"):
        patch_ridge(x)
    for options in ({"margin": -1}, {"penalty": 0}):
        with pytest.raises(ValueError, match="margin must be at least 0 and penalty above 0"):
            patch_ridge(x, 4, **options)
    for wrong in (x[:2], x[:, None], x.to(torch.uint8), torch.zeros(0, 3, 16, 20)):
        with pytest.raises(ValueError, match=r"\(T, H, W\) or examples of three \(N, 3, H, W\)"):
            patch_ridge(wrong, 4)
    with pytest.raises(ValueError, match=r"fitted to frames of \(16, 20\), but got \(20, 20\)"):
        patch_ridge(x, 4).predict(torch.zeros(1, 20, 20), torch.zeros(1, 20, 20))
