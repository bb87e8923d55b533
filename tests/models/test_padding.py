"""Padding is what its definition says, and PaddedConv2d is torch's Conv2d, outputs and every gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models import PaddedConv2d, pad

LAYERS = {"full": (3, 5, 1), "grouped": (4, 6, 2), "depthwise": (4, 4, 4), "one channel": (1, 1, 1)}  # in, out, groups
PICTURES = [(5, 5), (32, 16), (7, 33), (17, 18)]  # tiles of 16 fit, do not fit, or are larger than the picture


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_same(ours, theirs, what):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11, msg=lambda text: f"{what} differs: {text}")


# --- pad ------------------------------------------------------------------------------------------------------------


def odd(row, place):
    """The value at `place` of a row u_0 … u_{n-1} that is continued as …, -u_1, -u_0, 0 | u_0, u_1, …, both ways."""
    n = len(row)
    if place in (-1, n):
        return 0.0
    if place < -1:
        return -row[-2 - place]
    return -row[2 * n - place] if place > n else row[place]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize(("H", "W"), [(4, 4), (5, 9)])
def test_odd_padding_mirrors_with_changed_sign_about_a_cell_of_value_zero(width, H, W):
    x = random(2, 3, H, W)
    rows = x[1, 2].tolist()
    tall = [[odd(column, place) for column in zip(*rows, strict=True)] for place in range(-width, H + width)]
    expected = [[odd(row, place) for place in range(-width, W + width)] for row in tall]
    assert pad(x, width, "odd").shape == (2, 3, H + 2 * width, W + 2 * width)
    assert torch.equal(pad(x, width, "odd")[1, 2], torch.tensor(expected, dtype=torch.float64))


def test_odd_padding_of_a_row_reads_as_documented():
    row = torch.arange(1.0, 6.0).expand(1, 1, 5, 5)
    assert pad(row, 3, "odd")[0, 0, 3].tolist() == [-2, -1, 0, 1, 2, 3, 4, 5, 0, -5, -4]


def test_odd_padding_continues_a_sine_beyond_its_wall():
    places = torch.arange(-3, 11, dtype=torch.float64)
    wave = torch.sin(2 * torch.pi * (places + 1) / 9)  # zero at -1 and at 8, as on a membrane of 8 cells
    field = (wave[:, None] * wave)[None, None]
    assert_same(pad(field[..., 3:-3, 3:-3], 3, "odd"), field, "the continued sine")


@pytest.mark.parametrize("width", [1, 3, 5])
def test_zeros_and_circular_padding_are_torchs(width):
    x = random(2, 3, 5, 8)
    assert torch.equal(pad(x, width), F.pad(x, (width,) * 4)), "zeros are the default"
    circular = pad(x, width, "circular")
    assert torch.equal(circular, F.pad(x, (width,) * 4, mode="circular"))
    rows, columns = (torch.arange(-width, n + width) % n for n in (5, 8))
    assert torch.equal(circular, x[:, :, rows][..., columns]), "beyond the right edge follows the left one"


@pytest.mark.parametrize("mode", ["zeros", "odd", "circular"])
def test_padding_keeps_the_inside_and_costs_nothing_at_width_zero(mode):
    x = random(1, 2, 6, 7)
    assert torch.equal(pad(x, 2, mode)[..., 2:-2, 2:-2], x)
    assert pad(x, 0, mode) is x
    assert torch.autograd.gradcheck(lambda u: pad(u, 3, mode), [x.requires_grad_()])


def test_impossible_padding_is_named():
    x = torch.zeros(1, 1, 4, 9)
    with pytest.raises(ValueError, match="zeros, odd, circular; got 'reflect'"):
        pad(x, 1, "reflect")
    for mode in ("odd", "circular"):
        assert pad(x, 4, mode).shape == (1, 1, 12, 17), "as far as the field is wide"
        with pytest.raises(ValueError, match="4 × 9 cells cannot be continued by 5"):
            pad(x, 5, mode)


# --- PaddedConv2d ---------------------------------------------------------------------------------------------------


def compare(layer, reference, x):
    """Outputs and gradients of two functions of x, with the parameters of `layer`, for one random cotangent."""
    ours, theirs = layer(x), reference(x)
    assert_same(ours, theirs, "the output")
    cotangent = random(*ours.shape, seed=7)
    inputs = [x, layer.weight, layer.bias]
    left, right = (torch.autograd.grad(output, inputs, cotangent) for output in (ours, theirs))
    for name, a, b in zip(("x", "the weight", "the bias"), left, right, strict=True):
        assert_same(a, b, f"the gradient of {name}")


def formats(x):
    yield x.clone().requires_grad_()
    yield x.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    yield x.clone().transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()  # neither of the two


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", LAYERS)
def test_with_zeros_it_is_torchs_convolution(kind, kernel_size):
    c_in, c_out, groups = LAYERS[kind]
    ours = PaddedConv2d(c_in, c_out, kernel_size, groups=groups).double()
    theirs = nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, groups=groups).double()
    theirs.weight, theirs.bias = ours.weight, ours.bias
    for B, (H, W) in zip((1, 3, 3, 1, 3), [(16, 16), *PICTURES], strict=True):
        for x in formats(random(B, c_in, H, W)):
            compare(ours, theirs, x)


@pytest.mark.parametrize("mode", ["odd", "circular"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("kind", LAYERS)
def test_otherwise_it_pads_and_convolves(kind, kernel_size, mode):
    c_in, c_out, groups = LAYERS[kind]
    layer = PaddedConv2d(c_in, c_out, kernel_size, mode, groups=groups).double()

    def reference(x):
        return F.conv2d(pad(x, kernel_size // 2, mode), layer.weight, layer.bias, groups=groups)

    for H, W in PICTURES:
        for x in formats(random(2, c_in, H, W)):
            compare(layer, reference, x)


@pytest.mark.parametrize("mode", ["zeros", "odd", "circular"])
@pytest.mark.parametrize("kind", ["full", "depthwise"])
def test_gradients_are_those_of_finite_differences(kind, mode):
    c_in, c_out, groups = LAYERS[kind]
    layer = PaddedConv2d(c_in, c_out, 3, mode, groups=groups).double()

    def call(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, x)

    inputs = [t.detach().clone().requires_grad_() for t in (random(1, c_in, 4, 3), layer.weight, layer.bias)]
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs), "also the gradient of the gradient"


def test_depthwise_gradients_do_without_those_that_nobody_asked_for():
    layer = PaddedConv2d(4, 4, 7, groups=4).double()
    x = random(2, 4, 9, 20)
    wanted = torch.autograd.grad(layer(x.clone().requires_grad_()).square().sum(), layer.weight)[0]
    assert_same(torch.autograd.grad(layer(x).square().sum(), layer.weight)[0], wanted, "the weight's, x being data")
    layer.requires_grad_(False)
    x.requires_grad_()
    expected = F.conv2d(x, layer.weight, layer.bias, padding=3, groups=4).square().sum()
    ours = torch.autograd.grad(layer(x).square().sum(), x)[0]
    assert_same(ours, torch.autograd.grad(expected, x)[0], "the gradient of x, the weights being frozen")


def test_weights_can_be_exchanged_with_torchs_convolution():
    for c_in, c_out, groups in LAYERS.values():
        ours = PaddedConv2d(c_in, c_out, 5, "odd", groups=groups)
        theirs = nn.Conv2d(c_in, c_out, 5, groups=groups)
        left, right = ({name: p.shape for name, p in layer.state_dict().items()} for layer in (ours, theirs))
        assert left == right
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(2, c_in, 9, 9)
        torch.testing.assert_close(ours(x)[..., 2:-2, 2:-2], theirs(x))
        theirs.load_state_dict(PaddedConv2d(c_in, c_out, 5, groups=groups).state_dict())


def test_first_weights_are_drawn_as_torch_draws_them():
    torch.manual_seed(3)
    ours = PaddedConv2d(4, 6, 3, "circular", groups=2)
    torch.manual_seed(3)
    theirs = nn.Conv2d(4, 6, 3, groups=2)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_a_kernel_without_a_middle_is_refused(kernel_size):
    with pytest.raises(ValueError, match=f"odd.*got {kernel_size}"):
        PaddedConv2d(3, 3, kernel_size)


def test_unknown_padding_is_refused_when_the_layer_is_built():
    with pytest.raises(ValueError, match="zeros, odd, circular; got 'same'"):
        PaddedConv2d(3, 3, 3, "same")
