"""PSNR and SSIM: against torchmetrics, against values known by hand, and what a loss needs of its gradient."""

import math

import pytest
import torch

import lib.datasets.torchvision_compat  # noqa: F401  torchmetrics imports torchvision
from lib.metrics.image_quality import masked_l1_ssim_loss, pooled_psnr, ssim, ssim_map


def pictures(*shape, seed=0, noise=0.1, dtype=torch.float32):
    """Smooth random pictures and noisy copies of them, both in 0 … 1."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(*shape, generator=generator, dtype=dtype).cumsum(-1).cumsum(-2).sin() / 2 + 0.5
    return (truth + noise * torch.randn(*shape, generator=generator, dtype=dtype)).clamp(0, 1), truth


# --- PSNR -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 7), (3, 20, 16), (2, 3, 8, 8)])
def test_psnr_equals_torchmetrics(shape):
    from torchmetrics.image import PeakSignalNoiseRatio

    prediction, truth = pictures(*shape)
    expected = PeakSignalNoiseRatio(data_range=1.0)(prediction, truth).item()
    assert pooled_psnr(prediction, truth) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("error", "decibel"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0), (0.5, 6.0206)])
def test_psnr_of_a_constant_error(error, decibel):
    truth = torch.zeros(2, 4, 4, dtype=torch.float64)
    assert pooled_psnr(truth + error, truth) == pytest.approx(decibel, abs=1e-4)


def test_psnr_pools_before_the_logarithm():
    truth = torch.zeros(4, 8, 8)
    prediction = truth.clone()
    prediction[0] = 0.2  # one frame is wrong, three are exact
    assert pooled_psnr(prediction, truth) == pytest.approx(-10 * math.log10(0.04 / 4), abs=1e-4)
    assert pooled_psnr(prediction[1:], truth[1:]) == math.inf, "identical pictures: no error, no bound"


def test_psnr_of_masks_adds_up_to_that_of_the_whole():
    prediction, truth = pictures(3, 12, 10)
    mask = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(1)) < 0.3
    inside, outside = (10 ** (-pooled_psnr(prediction, truth, part) / 10) for part in (mask, ~mask))
    share = mask.float().mean().item()
    whole = 10 ** (-pooled_psnr(prediction, truth) / 10)
    assert share * inside + (1 - share) * outside == pytest.approx(whole, rel=1e-5), "squared errors must add up"
    prediction[~mask] = 0
    assert 10 ** (-pooled_psnr(prediction, truth, mask) / 10) == pytest.approx(inside), "only the mask may count"


# --- SSIM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 16, 16), (4, 33, 20), (2, 144, 160)])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_ssim_equals_torchmetrics(shape, noise):
    from torchmetrics.functional.image import structural_similarity_index_measure
    from torchmetrics.image import StructuralSimilarityIndexMeasure

    prediction, truth = pictures(*shape, noise=noise)
    mine = prediction.clone().requires_grad_()
    theirs = prediction[:, None].clone().requires_grad_()
    _, picture = structural_similarity_index_measure(theirs, truth[:, None], data_range=1.0, return_full_image=True)
    ours = ssim_map(mine, truth)
    torch.testing.assert_close(ours, picture[:, 0], rtol=0, atol=1e-5, msg=lambda text: f"the map differs: {text}")

    measure = StructuralSimilarityIndexMeasure(data_range=1.0)
    assert ssim(prediction, truth).item() == pytest.approx(
        measure(prediction[:, None], truth[:, None]).item(), abs=1e-5
    )
    left, right = torch.autograd.grad(ours.sum(), mine)[0], torch.autograd.grad(picture.sum(), theirs)[0][:, 0]
    limit = 1e-3 * right.abs().max().item() + 1e-3
    torch.testing.assert_close(left, right, rtol=0, atol=limit, msg=lambda text: f"the gradient differs: {text}")


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_other_windows_equal_torchmetrics(sigma):
    from torchmetrics.functional.image import structural_similarity_index_measure

    prediction, truth = pictures(2, 40, 30, dtype=torch.float64)
    window = 2 * int(3.5 * sigma + 0.5) + 1  # the width torchmetrics derives from sigma
    _, picture = structural_similarity_index_measure(
        prediction[:, None], truth[:, None], data_range=1.0, sigma=sigma, return_full_image=True
    )
    torch.testing.assert_close(ssim_map(prediction, truth, window, sigma), picture[:, 0], rtol=0, atol=1e-10)


def test_ssim_is_symmetric_and_one_for_equal_pictures_only():
    prediction, truth = pictures(3, 24, 24, dtype=torch.float64)
    torch.testing.assert_close(ssim_map(prediction, truth), ssim_map(truth, prediction))
    torch.testing.assert_close(ssim_map(truth, truth), torch.ones_like(truth))
    assert ssim_map(prediction, truth).max() < 1


def test_ssim_of_flat_pictures_compares_brightness_alone():
    a, b = 0.25, 0.75
    flat = torch.ones(16, 16, dtype=torch.float64)
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert ssim(a * flat, b * flat).item() == pytest.approx(expected, abs=1e-9)


def test_ssim_sees_blur_that_leaves_the_mean_alone():
    board = ((torch.arange(32)[:, None] // 2 + torch.arange(32) // 2) % 2).float()
    assert ssim(torch.full_like(board, 0.5), board) < 0.05, "a grey surface has none of the texture of a checkerboard"


def test_the_pictures_are_filtered_one_by_one():
    prediction, truth = pictures(2, 3, 20, 20)
    each = ssim(prediction, truth, reduction="none")
    assert each.shape == (2, 3)
    assert each[1, 2].item() == pytest.approx(ssim(prediction[1, 2], truth[1, 2]).item(), abs=1e-6)
    assert each.mean().item() == pytest.approx(ssim(prediction, truth).item(), abs=1e-6)


def test_a_pixel_reaches_half_a_window_far():
    prediction, truth = pictures(25, 25, dtype=torch.float64)
    changed = prediction.clone()
    changed[12, 12] = 1 - changed[12, 12]
    rows, columns = (ssim_map(changed, truth) - ssim_map(prediction, truth)).abs().gt(0).nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (7, 17, 7, 17), "11 pixels: 5 on either side"


# --- loss -----------------------------------------------------------------------------------------------------------


def test_the_loss_is_l1_plus_one_minus_ssim():
    prediction, truth = pictures(2, 20, 18)
    mask = torch.zeros(2, 20, 18, dtype=torch.bool)
    mask[:, 4:12, :8] = True
    distance, similarity = (prediction - truth).abs(), ssim_map(prediction, truth)
    for weight in (0.0, 0.5, 1.0):
        whole = masked_l1_ssim_loss(prediction, truth, weight=weight)
        assert whole.item() == pytest.approx((distance.mean() + weight * (1 - similarity.mean())).item(), abs=1e-6)
        part = masked_l1_ssim_loss(prediction, truth, mask, weight=weight)
        by_hand = distance[mask].mean() + weight * (1 - similarity[mask].mean())
        assert part.item() == pytest.approx(by_hand.item(), abs=1e-6)
    everything = torch.ones_like(mask)
    same = masked_l1_ssim_loss(prediction, truth, everything)
    assert same.item() == pytest.approx(masked_l1_ssim_loss(prediction, truth).item(), abs=1e-6), "no mask: all pixels"


def test_the_loss_has_the_gradient_of_finite_differences():
    prediction, truth = pictures(1, 12, 13, dtype=torch.float64)
    mask = torch.zeros(1, 12, 13, dtype=torch.bool)
    mask[:, 2:9, 3:] = True
    prediction = prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: masked_l1_ssim_loss(p, truth, mask), prediction, atol=1e-6)


def test_the_loss_stays_finite_where_pictures_agree_or_are_black():
    for value in (0.0, 0.5, 1.0):
        truth = torch.full((1, 16, 16), value)
        prediction = truth.clone().requires_grad_()
        loss = masked_l1_ssim_loss(prediction, truth)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-4) and prediction.grad.isfinite().all(), f"grey level {value}"


def test_going_down_the_loss_restores_the_picture():
    start, truth = pictures(1, 24, 24, noise=0.3)
    prediction = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([prediction], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        masked_l1_ssim_loss(prediction, truth).backward()
        optimizer.step()
    gained = pooled_psnr(prediction.detach(), truth) - pooled_psnr(start, truth)
    assert gained > 10, f"150 steps gained {gained:.1f} dB"


# --- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [pooled_psnr, ssim, ssim_map, masked_l1_ssim_loss])
def test_wrong_pictures_are_named(function):
    x = torch.zeros(2, 12, 12)
    with pytest.raises(ValueError, match=r"uint8.*divide"):
        function(x.to(torch.uint8), x)
    for wrong in (torch.zeros(2, 12, 11), torch.zeros(12, 12)):
        with pytest.raises(ValueError, match=r"same shape \(\.\.\., H, W\)"):
            function(wrong, x)
    with pytest.raises(ValueError, match="at least one pixel"):
        function(x[:0], x[:0])


@pytest.mark.parametrize("function", [pooled_psnr, masked_l1_ssim_loss])
def test_wrong_masks_are_named(function):
    x = torch.zeros(2, 12, 12)
    for wrong in (torch.ones(12, 12, dtype=torch.bool), torch.ones(2, 12, 12)):
        with pytest.raises(ValueError, match="mask must be bool of the pictures' shape"):
            function(x, x, wrong)
    with pytest.raises(ValueError, match="selects no pixel"):
        function(x, x, torch.zeros(2, 12, 12, dtype=torch.bool))


def test_wrong_options_are_named():
    x = torch.zeros(2, 12, 12)
    for options in ({"window": 10}, {"window": 0}, {"sigma": 0}):
        with pytest.raises(ValueError, match="window must be odd and sigma above 0"):
            ssim_map(x, x, **options)
    with pytest.raises(ValueError, match="at least 13 × 13 pixels, got 12 × 12"):
        ssim_map(x, x, window=25)
    with pytest.raises(ValueError, match="mean or none; got 'sum'"):
        ssim(x, x, reduction="sum")
    with pytest.raises(ValueError, match="weight must be at least 0, got -1"):
        masked_l1_ssim_loss(x, x, weight=-1)
