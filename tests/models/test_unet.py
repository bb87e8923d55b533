"""The U-Net: shapes, gradients everywhere, zero at the start, and ConvNeXt blocks that are what they are said to be."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models import ConvNeXtBlock, UNet

NETWORKS = [  # c_list, spatial_factor_list, num_block_list
    ([4], [], [0]),
    ([4], [], [2]),
    ([4, 8], [2], [1, 1]),
    ([4, 8], [3], [0, 0]),
    ([4, 4], [1], [1, 0]),
    ([8, 4, 6], [2, 2], [1, 1, 1]),
    ([2, 4, 8], [1, 4], [0, 1, 2]),
    ([2, 4, 4, 8], [2, 1, 3], [1, 0, 0, 1]),
    ([2, 2, 2, 2], [2, 2, 2], [1, 1, 1, 1]),
]


def assert_same(ours, theirs, what, rtol=1e-9):
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-11, msg=lambda text: f"{what} differs: {text}")


def awake(model):
    """The same network with a last convolution that is not zero."""
    nn.init.normal_(model.head.weight, std=0.3)
    nn.init.normal_(model.head.bias)
    return model


# --- blocks ---------------------------------------------------------------------------------------------------------


class Reference(nn.Module):
    """A ConvNeXt block of torch's layers only, with 1 × 1 convolutions for the linear layers."""

    def __init__(self, C, kernel_size, expansion, norm):
        super().__init__()
        self.depthwise = nn.Conv2d(C, C, kernel_size, padding="same", groups=C)
        self.norm = nn.GroupNorm(1, C) if norm else None  # of one cell at a time, see forward
        self.expand, self.project = nn.Conv2d(C, expansion * C, 1), nn.Conv2d(expansion * C, C, 1)
        self.scale = nn.Parameter(torch.zeros(C))

    def forward(self, x):
        h = self.depthwise(x)
        if self.norm is not None:
            B, C, H, W = h.shape
            cells = h.permute(0, 2, 3, 1).reshape(-1, C)  # every cell is an example: the statistics of its channels
            h = self.norm(cells).view(B, H, W, C).permute(0, 3, 1, 2)
        return x + self.scale[:, None, None] * self.project(nn.functional.gelu(self.expand(h)))


@pytest.mark.parametrize("sizes", [(6, 7, 4, True), (1, 3, 2, True), (5, 5, 1, False)])
def test_a_block_equals_one_of_torchs_layers(sizes):
    C, kernel_size, expansion, norm = sizes
    torch.manual_seed(0)
    ours = ConvNeXtBlock(C, kernel_size, expansion=expansion, norm=norm).double()
    theirs = Reference(C, kernel_size, expansion, norm).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter))  # γ and the norm are not special
        for name, parameter in theirs.named_parameters():
            parameter.copy_(ours.get_parameter(name).view_as(parameter))
    x = torch.randn(2, C, 9, 18, dtype=torch.float64, requires_grad=True)
    assert_same(ours(x), theirs(x), "the output")
    names = [name for name, _ in ours.named_parameters()]
    cotangent = torch.randn(2, C, 9, 18, dtype=torch.float64)
    left, right = (
        torch.autograd.grad(block(x), [x, *(block.get_parameter(name) for name in names)], cotangent)
        for block in (ours, theirs)
    )
    for name, a, b in zip(["x", *names], left, right, strict=True):
        assert_same(a, b.view_as(a), f"the gradient of {name}")


@pytest.mark.parametrize("C", [1, 8])
@pytest.mark.parametrize("kernel_size", [3, 7])
@pytest.mark.parametrize("expansion", [1, 4])
@pytest.mark.parametrize("norm", [True, False])
def test_a_block_has_as_many_weights_as_the_formula_says(C, kernel_size, expansion, norm):
    count = sum(p.numel() for p in ConvNeXtBlock(C, kernel_size, expansion=expansion, norm=norm).parameters())
    depthwise = kernel_size**2 * C + C
    mlp = (C + 1) * expansion * C + (expansion * C + 1) * C
    assert count == depthwise + 2 * C * norm + mlp + C, "depthwise + norm + two linear layers + γ"


def test_gamma_starts_at_a_tenth():
    assert (ConvNeXtBlock(5).scale == 0.1).all()


def test_only_the_depthwise_convolution_looks_around():
    block = ConvNeXtBlock(4, 5).double()
    x = torch.randn(1, 4, 15, 15, dtype=torch.float64, requires_grad=True)
    seen = torch.autograd.grad(block(x)[0, :, 7, 7].sum(), x)[0].abs().sum((0, 1)) > 0
    expected = torch.zeros(15, 15, dtype=torch.bool)
    expected[5:10, 5:10] = True
    assert torch.equal(seen, expected), "a block with a 5 × 5 kernel sees 5 × 5 cells"


# --- network --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["zeros", "odd", "circular"])
@pytest.mark.parametrize("lists", NETWORKS)
def test_the_output_is_as_large_as_the_input_and_zero_at_first(lists, padding):
    total = math.prod(lists[1])
    model = UNet(2, 3, *lists, padding=padding, kernel_size=3)
    for H, W in ((4 * total, 4 * total), (3 * total, 5 * total)):
        output = model(torch.randn(2, 2, H, W))
        assert output.shape == (2, 3, H, W)
        assert (output == 0).all(), "an untrained network must add nothing"
        assert awake(UNet(2, 3, *lists, padding=padding, kernel_size=3))(torch.randn(2, 2, H, W)).std() > 0


@pytest.mark.parametrize("lists", NETWORKS)
def test_gradients_reach_every_weight_and_every_cell(lists):
    torch.manual_seed(0)
    total = math.prod(lists[1])
    model = awake(UNet(2, 3, *lists)).double()
    x = torch.randn(2, 2, 3 * total, 4 * total, dtype=torch.float64, requires_grad=True)
    model(x).square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without, f"{without} can learn nothing"
    assert (x.grad != 0).all(), "every cell of the input must matter"


def test_while_the_last_convolution_is_zero_only_it_learns():
    model = UNet(1, 1, [4, 8], [2], [1, 1])
    F.mse_loss(model(torch.randn(2, 1, 8, 8)), torch.randn(2, 1, 8, 8)).backward()
    moving = {name.split(".")[0] for name, p in model.named_parameters() if p.grad.abs().sum() > 0}
    assert moving == {"head"}


def test_every_level_works_at_its_own_size():
    model = UNet(1, 1, [2, 4, 8], [2, 3], [1, 2, 3])
    sizes = []
    for block in model.modules():
        if isinstance(block, ConvNeXtBlock):
            block.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
    model(torch.randn(1, 1, 24, 12))
    down = [(2, 24, 12)] + [(4, 12, 6)] * 2
    assert sizes == down + [(8, 4, 2)] * 3 + down[::-1], "down, at the bottom, and up again"


def test_what_one_level_knows_crosses_over_to_its_way_up():
    model = awake(UNet(1, 1, [4, 8], [2], [0, 0])).double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    whole = model(x)
    nn.init.zeros_(model.up[0].weight)
    nn.init.zeros_(model.up[0].bias)
    across = model(x)
    assert not torch.allclose(whole, across), "the coarse picture must matter"
    assert (across - across.mean()).abs().max() > 1e-3, "without the coarse picture the fine one must still arrive"


@pytest.mark.parametrize(
    "lists", [([3, 4, 5], [2, 2], [1, 1, 1]), ([3, 4], [3], [1, 2]), ([3, 4, 5], [1, 4], [0, 1, 1])]
)
def test_on_a_torus_a_shifted_input_gives_a_shifted_output(lists):
    torch.manual_seed(0)
    total = math.prod(lists[1])
    model = awake(UNet(2, 2, *lists, padding="circular")).double()
    x = torch.randn(2, 2, 4 * total, 5 * total, dtype=torch.float64)
    for shift in ((total, 0), (0, -total), (2 * total, 3 * total)):
        assert_same(model(x.roll(shift, (2, 3))), model(x).roll(shift, (2, 3)), f"a shift by {shift}")
    bounded = awake(UNet(2, 2, *lists, padding="zeros")).double()
    difference = bounded(x.roll(total, 2)) - bounded(x).roll(total, 2)
    assert difference.abs().max() > 1e-6, "with walls the place must matter"


WRONG = [([4, 8], [], [1, 1]), ([4], [2], [1]), ([4, 8], [2], [1, 1, 1]), ([4, 8], [2], []), ([4], [], [])]
WRONG += [([4], [], [1, 1]), ([], [], [])]


@pytest.mark.parametrize("lists", WRONG)
def test_lists_that_do_not_fit_together_are_refused(lists):
    with pytest.raises(ValueError, match="one more entry in c_list than in spatial_factor_list"):
        UNet(1, 1, *lists)


def test_the_bottom_has_as_many_blocks_as_the_module_above_it_unless_told_otherwise():
    for given, blocks in (([1, 2], [1, 2, 2]), ([1, 2, 0], [1, 2, 0])):
        model = UNet(1, 1, [2, 4, 8], [2, 2], given)
        assert model.num_block_list == blocks and len(model.bottom) == blocks[-1]
        assert [len(module) for module in model.encoder] == [len(module) for module in model.decoder] == blocks[:2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1, [0], [], [1]), "c_list must be a whole number of at least 1, got 0"),
        ((1, 1, [4, 8], [0], [1, 1]), "spatial_factor_list must be a whole number of at least 1, got 0"),
        ((1, 1, [4], [], [-1]), "num_block_list must be a whole number of at least 0, got -1"),
    ],
)
def test_impossible_numbers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNet(*arguments)


def test_unknown_padding_and_even_kernels_are_refused():
    with pytest.raises(ValueError, match="zeros, odd, circular"):
        UNet(1, 1, [4], [], [1], padding="mirror")
    with pytest.raises(ValueError, match="odd"):
        UNet(1, 1, [4], [], [1], kernel_size=4)


def test_a_wrong_input_is_named():
    model = UNet(2, 1, [4, 4, 4], [2, 3], [0, 0, 0])
    for H, W in ((12, 14), (13, 12), (0, 6)):
        with pytest.raises(ValueError, match=rf"multiples of 6, the product .* \[2, 3\]; got {H} × {W}"):
            model(torch.zeros(1, 2, H, W))
    with pytest.raises(ValueError, match=r"must be \(B, 2, H, W\)"):
        model(torch.zeros(1, 3, 12, 12))
    with pytest.raises(ValueError, match=r"must be \(B, 2, H, W\)"):
        model(torch.zeros(2, 12, 12))
