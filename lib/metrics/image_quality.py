"""How alike two pictures are: peak signal-to-noise ratio, structural similarity, and the loss made of them.

Pictures are floating point, black 0 and white 1, with any axes before height and width: (..., H, W). A data range of 1
is taken for granted throughout.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

K1, K2 = 0.01, 0.03  # keep the two ratios in SSIM finite where the pictures are black or flat


def _check(prediction: Tensor, truth: Tensor, mask: Tensor | None = None) -> None:
    """Raise unless both pictures are floating point of one shape (..., H, W), and the mask fits and is not empty."""
    if not (prediction.is_floating_point() and truth.is_floating_point()):
        raise ValueError(
            f"pictures must be floating point from 0 to 1, got {prediction.dtype} and {truth.dtype}: "
            "divide whole numbers from 0 to 255 by 255"
        )
    if prediction.shape != truth.shape or prediction.dim() < 2 or not prediction.numel():
        raise ValueError(
            "prediction and truth must have one and the same shape (..., H, W) and at least one pixel, got "
            f"{tuple(prediction.shape)} and {tuple(truth.shape)}"
        )
    if mask is None:
        return
    if mask.dtype != torch.bool or mask.shape != truth.shape:
        raise ValueError(
            f"mask must be bool of the pictures' shape {tuple(truth.shape)}, got {mask.dtype} {tuple(mask.shape)}: "
            "use mask.bool().expand_as(truth)"
        )
    if not mask.any():
        raise ValueError("mask selects no pixel: there is nothing to compare, leave this mask out")


def pooled_psnr(prediction: Tensor, truth: Tensor, mask: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / MSE), with the mean over all pixels of all frames together.

    Pooling comes first: the mean of the frames' own ratios would be infinite as soon as one frame (or one region of it)
    is predicted exactly. A typical error of 0.1 gives 20 dB, one of 0.01 gives 40 dB, and rounding to 256 grey levels
    58.9 dB.

    Args:
        prediction, truth: (..., H, W), 0 … 1. mask: bool of the same shape; only these pixels count.

    Returns:
        infinity, if all the pixels compared are identical; 0 for black instead of white; less beyond the range 0 … 1.

    Raises:
        ValueError: shapes or types do not fit, or the mask is empty.
    """
    _check(prediction, truth, mask)
    if mask is not None:
        prediction, truth = prediction[mask], truth[mask]
    # Summed in float64, which not every accelerator has: 10⁷ pixels are too many for the digits of float32.
    mse = (prediction - truth).square().cpu().mean(dtype=torch.float64).item()
    return math.inf if mse == 0 else -10 * math.log10(mse)


@lru_cache(maxsize=32)
def _blur_matrix(size: int, window: int, sigma: float) -> Tensor:
    """The matrix that blurs a line of pixels by a Gaussian window, borders reflected: float64 (size, size).

    A separable filter is one such matrix for the rows and one for the columns. The matrices are mostly zero, and still
    the products are far faster on a CPU than a convolution with a single channel, which matrix units cannot help.
    """
    places = torch.arange(window, dtype=torch.float64) - window // 2
    weights = torch.exp(-places.square() / (2 * sigma**2))
    weights /= weights.sum()
    matrix = torch.zeros(size, size, dtype=torch.float64)
    for place, weight in zip(places.long().tolist(), weights.tolist(), strict=True):
        source = (torch.arange(size) + place).abs()  # -1 is 1, -2 is 2
        source = size - 1 - (size - 1 - source).abs()  # and likewise at the far end
        matrix[torch.arange(size), source] += weight
    return matrix


def _similarity(prediction: Tensor, truth: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """The map of `ssim_map` from the matrices that blur columns (H, H) and rows (W, W)."""
    squares = prediction.square() + truth.square()  # only the sum of the two variances is needed
    maps = along_y @ torch.stack([prediction, truth, squares, prediction * truth]) @ along_x.T
    mean_p, mean_t, mean_squares, mean_product = maps.unbind(0)
    product, squared = mean_p * mean_t, mean_p.square() + mean_t.square()
    variances = (mean_squares - squared).clamp(min=0)  # rounding may leave a little less than 0
    brightness = (2 * product + K1**2) / (squared + K1**2)
    texture = (2 * (mean_product - product) + K2**2) / (variances + K2**2)
    return brightness * texture


def ssim_map(prediction: Tensor, truth: Tensor, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Structural similarity around every pixel: (..., H, W) twice -> (..., H, W), at most 1, reached where both agree.

    Means μ, variances σ² and the covariance are taken in a Gaussian window around the pixel:

        SSIM = (2 μ_p μ_t + c_1) (2 σ_pt + c_2) / ((μ_p² + μ_t² + c_1) (σ_p² + σ_t² + c_2)).

    The first ratio compares brightness, the second texture. Pictures are continued by reflection beyond their borders.
    Source: Wang, Bovik, Sheikh and Simoncelli (2004), "Image quality assessment", equation 13, with the constants
    c_1 = 0.01² and c_2 = 0.03², a window of 11 pixels and σ = 1.5 pixels.

    Args:
        window: width in pixels, odd. sigma: standard deviation of the window in pixels.

    Raises:
        ValueError: shapes or types do not fit, or the picture is too small for the window.
    """
    _check(prediction, truth)
    if window < 1 or window % 2 == 0 or not sigma > 0:
        raise ValueError(f"window must be odd and sigma above 0, got window={window}, sigma={sigma}")
    height, width = truth.shape[-2:]
    if min(height, width) <= window // 2:
        raise ValueError(
            f"a window of {window} pixels needs pictures of at least {window // 2 + 1} × {window // 2 + 1} pixels, got "
            f"{height} × {width}: choose a smaller window"
        )
    along_y, along_x = (_blur_matrix(size, window, sigma).to(truth.dtype).to(truth.device) for size in (height, width))
    # 32 pictures at a time: hundreds at once would need ten times the memory of the result.
    pairs = zip(*(x.reshape(-1, height, width).split(32) for x in (prediction, truth)), strict=True)
    return torch.cat([_similarity(p, t, along_y, along_x) for p, t in pairs]).view(truth.shape)


def ssim(
    prediction: Tensor, truth: Tensor, window: int = 11, sigma: float = 1.5, reduction: str = "mean"
) -> Tensor | float:
    """Mean structural similarity, 1 for identical pictures; see `ssim_map`.

    Args:
        reduction: "mean" over everything, a scalar; or "none", a value per picture: (..., H, W) -> (...).

    Raises:
        ValueError: an unknown reduction, or see `ssim_map`.
    """
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be mean or none; got {reduction!r}")
    per_picture = ssim_map(prediction, truth, window, sigma).mean((-2, -1))
    return per_picture.mean() if reduction == "mean" else per_picture


def masked_l1_ssim_loss(prediction: Tensor, truth: Tensor, mask: Tensor | None = None, weight: float = 1.0) -> Tensor:
    """mean |prediction - truth| + weight · (1 - mean SSIM) over the masked pixels, a scalar.

    The first part is about grey levels, pixel by pixel; under uncertainty its best answer is the median. The second is
    about edges and texture in a neighbourhood, which a blurred compromise loses.

    Args:
        prediction, truth: (..., H, W), 0 … 1. mask: bool of the same shape, the patches that were hidden; None: all.
        weight: of the SSIM part; 0 leaves the mean absolute error.

    Raises:
        ValueError: see `ssim_map`; the mask is empty; the weight is negative.
    """
    _check(prediction, truth, mask)
    if not weight >= 0:
        raise ValueError(f"weight must be at least 0, got {weight}")
    distance = (prediction - truth).abs()
    if weight > 0:
        distance = distance + weight * (1 - ssim_map(prediction, truth))
    return distance.mean() if mask is None else distance[mask].mean()
