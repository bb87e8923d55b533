"""Next frames without a neural network: a straight line per pixel, motion compensation by blocks, ridge regression.

They are what a network that predicts video has to beat. Frames are floating point, black 0 and white 1: (B, H, W).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-6  # mean grey-level difference below which two displacements fit equally well; float32 rounds near 1e-7


def _check_pair(previous: Tensor, last: Tensor) -> None:
    """Raise unless both are floating point of one shape (B, H, W)."""
    if previous.shape != last.shape or last.dim() != 3 or not last.numel():
        raise ValueError(
            "previous and last must have one and the same shape (B, H, W), not empty, got "
            f"{tuple(previous.shape)} and {tuple(last.shape)}: use frame.unsqueeze(0) for a single frame"
        )
    if not (previous.is_floating_point() and last.is_floating_point()):
        raise ValueError(
            f"frames must be floating point from 0 to 1, got {previous.dtype} and {last.dtype}: "
            "divide whole numbers from 0 to 255 by 255"
        )


def linear_extrapolation(previous: Tensor, last: Tensor) -> Tensor:
    """Every pixel goes on changing as it did, 2 · last - previous within 0 … 1: (B, H, W) twice -> (B, H, W).

    Right for a slow change of brightness; at a moving edge it is wrong, since the pixels there change abruptly.
    """
    _check_pair(previous, last)
    return (2 * last - previous).clamp(0, 1)


# --- motion compensation --------------------------------------------------------------------------------------------


def _inside(shift: int, size: int) -> tuple[int, int]:
    """Start and end of the places y in 0 … size - 1 for which y - shift and y - 2 · shift lie there as well."""
    return max(0, 2 * shift), max(0, min(size, size + 2 * shift))


def _block_sums(size: int, block: int, like: Tensor) -> Tensor:
    """(size / block, size): multiplied by a line of pixels it gives the sum of every block."""
    return torch.eye(size // block).repeat_interleave(block, dim=1).to(like.dtype).to(like.device)


def estimate_motion(previous: Tensor, last: Tensor, block: int = 8, search: int = 7) -> Tensor:
    """Displacement per frame of what will stand in each block of the next frame.

    At constant velocity d the next frame at x is last(x - d), and last(x - d) is previous(x - 2d). So each block takes
    the d, of up to `search` pixels in either direction, for which the mean absolute difference between those two is
    least (an exhaustive search; of equally good displacements the shortest). Pixels that would come from beyond the
    border are left out; a displacement needs at least a quarter of the block.

    Args:
        previous, last: (B, H, W), 0 … 1. block: side of a block in pixels; it divides H and W. search: in pixels.

    Returns:
        whole numbers (B, H / block, W / block, 2), downwards and to the right.

    Raises:
        ValueError: shapes or types do not fit, the frame cannot be cut into blocks, or the search is negative.
    """
    _check_pair(previous, last)
    B, H, W = last.shape
    if block < 1 or H % block or W % block:
        raise ValueError(f"frames of {H} × {W} pixels cannot be cut into blocks of {block}: choose a common divisor")
    if search < 0:
        raise ValueError(f"search must be at least 0 pixels, got {search}")
    rows, columns = _block_sums(H, block, last), _block_sums(W, block, last)
    reach = range(-search, search + 1)
    shifts = sorted(((dy, dx) for dy in reach for dx in reach), key=lambda d: d[0] ** 2 + d[1] ** 2)
    motion = torch.zeros(B, H // block, W // block, dtype=torch.long, device=last.device)  # numbers of shifts
    for start in range(0, B, 8):  # few frames at a time stay in the processor's cache
        before, now, chosen = (x[start : start + 8] for x in (previous, last, motion))
        best = torch.full(chosen.shape, torch.inf, dtype=last.dtype, device=last.device)
        for number, (dy, dx) in enumerate(shifts):
            (top, bottom), (left, right) = _inside(dy, H), _inside(dx, W)
            if top >= bottom or left >= right:
                continue
            difference = now[:, top - dy : bottom - dy, left - dx : right - dx].sub(
                before[:, top - 2 * dy : bottom - 2 * dy, left - 2 * dx : right - 2 * dx]
            )
            sums = rows[:, top:bottom] @ (difference.abs_() @ columns[:, left:right].T)  # (b, H / block, W / block)
            count = rows[:, top:bottom].sum(1)[:, None] * columns[:, left:right].sum(1)
            cost = torch.where(count >= block * block / 4, sums / count, torch.inf)
            better = cost < best - TOLERANCE
            best = torch.where(better, cost, best)
            chosen[better] = number
    return torch.tensor(shifts, device=last.device)[motion]


def block_matching(previous: Tensor, last: Tensor, block: int = 8, search: int = 7) -> Tensor:
    """The next frame by motion compensation: every block is fetched from the last frame along its motion.

    The idea of video codecs (Jain and Jain, 1981, "Displacement measurement and its application in interframe image
    coding"), carried one frame into the future. What enters at the border is unknown; the border's pixels are repeated.
    For arguments and errors see `estimate_motion`.

    Returns:
        (B, H, W)
    """
    motion = estimate_motion(previous, last, block, search)
    B, H, W = last.shape
    dy, dx = motion.repeat_interleave(block, dim=1).repeat_interleave(block, dim=2).unbind(-1)  # (B, H, W)
    y = (torch.arange(H, device=last.device)[:, None] - dy).clamp(0, H - 1)
    x = (torch.arange(W, device=last.device) - dx).clamp(0, W - 1)
    return last.flatten(1).gather(1, (y * W + x).flatten(1)).view(B, H, W)


# --- ridge regression -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PatchRidge:
    """Linear predictions of every patch from its own place in two frames; made by `patch_ridge`.

    Attributes:
        weight: (P, F, p²) for P patches of p × p pixels from F features. bias: (P, p²). size: (H, W).
        patch_size, margin: see `patch_ridge`.
    """

    weight: Tensor
    bias: Tensor
    size: tuple[int, int]
    patch_size: int
    margin: int

    def predict(self, previous: Tensor, last: Tensor) -> Tensor:
        """(B, H, W) twice -> the next frames (B, H, W), within 0 … 1.

        Raises:
            ValueError: shapes or types do not fit, or the frames have another size than those of the fit.
        """
        _check_pair(previous, last)
        if tuple(last.shape[1:]) != self.size:
            raise ValueError(f"fitted to frames of {self.size}, but got {tuple(last.shape[1:])}: fit to this size")
        pair, out, p = torch.stack([previous, last], dim=1), torch.empty_like(last), self.patch_size
        for number, (row, column) in enumerate(_corners(self.size, p)):
            patch = _features(pair, row, column, p, self.margin) @ self.weight[number] + self.bias[number]
            out[:, row : row + p, column : column + p] = patch.view(-1, p, p)
        return out.clamp_(0, 1)


def _corners(size: tuple[int, int], patch_size: int) -> list[tuple[int, int]]:
    """Row and column of the upper left pixel of every patch, row by row."""
    return [(row, column) for row in range(0, size[0], patch_size) for column in range(0, size[1], patch_size)]


def _features(pairs: Tensor, row: int, column: int, patch_size: int, margin: int) -> Tensor:
    """The patch with its margin in both frames, borders repeated: (B, 2, H, W) -> (B, 2 · (patch_size + 2 margin)²)."""
    span = torch.arange(-margin, patch_size + margin, device=pairs.device)
    rows, columns = (row + span).clamp(0, pairs.shape[2] - 1), (column + span).clamp(0, pairs.shape[3] - 1)
    return pairs[:, :, rows[:, None], columns].flatten(1)


def patch_ridge(train_frames: Tensor, patch_size: int = 16, margin: int = 4, penalty: float = 1e-3) -> PatchRidge:
    """Ridge regression of every patch of a frame on the same place, and a margin around it, in the two frames before.

    Per patch it minimises, in closed form, the mean over the examples of ‖y - W x - b‖² plus penalty · ‖W‖². That is
    what training on noisy inputs would do, with noise of variance `penalty` (Bishop, 1995, "Training with noise is
    equivalent to Tikhonov regularization"). Every place has weights of its own.

    Args:
        train_frames: successive frames (T, H, W), T ≥ 3, or examples of three (N, 3, H, W), 0 … 1.
        patch_size: side of a patch in pixels; it divides H and W. margin: pixels seen on each side of the patch.
        penalty: above 0, in squared grey levels.

    Raises:
        ValueError: shapes, types or options make no sense.
    """
    windows = train_frames
    if windows.dim() == 3 and len(windows) >= 3:
        windows = windows.unfold(0, 3, 1).movedim(-1, 1)  # (T, H, W) -> (T - 2, 3, H, W), a view
    if windows.dim() != 4 or windows.shape[1] != 3 or not windows.numel() or not windows.is_floating_point():
        raise ValueError(
            "train_frames must be floating point, at least three successive frames (T, H, W) or examples of three "
            f"(N, 3, H, W), got {train_frames.dtype} {tuple(train_frames.shape)}"
        )
    size, p = tuple(windows.shape[2:]), patch_size
    if p < 1 or size[0] % p or size[1] % p:
        raise ValueError(f"frames of {size[0]} × {size[1]} pixels cannot be cut into patches of {p}: choose a divisor")
    if margin < 0 or not penalty > 0:
        raise ValueError(f"margin must be at least 0 and penalty above 0, got margin={margin}, penalty={penalty}")
    weights, biases = [], []
    for row, column in _corners(size, p):
        x = _features(windows[:, :2], row, column, p, margin).cpu().double()  # (N, F)
        y = windows[:, 2, row : row + p, column : column + p].flatten(1).cpu().double()  # (N, p²)
        mean_x, mean_y = x.mean(0), y.mean(0)  # the bias goes without penalty
        x, y = x - mean_x, y - mean_y
        gram = x.T @ x / len(x)
        gram.diagonal().add_(penalty)
        weight = torch.cholesky_solve(x.T @ y / len(x), torch.linalg.cholesky(gram))  # (F, p²)
        weights.append(weight.to(train_frames.dtype))
        biases.append((mean_y - mean_x @ weight).to(train_frames.dtype))
    weight, bias = (torch.stack(parts).to(train_frames.device) for parts in (weights, biases))
    return PatchRidge(weight, bias, size, p, margin)
