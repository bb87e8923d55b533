"""The two networks of a GAN: shapes, layers, initial weights, sampling, and pictures as numbers."""

import copy
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from lib.models.gan import (
    GAN,
    Discriminator,
    Generator,
    batch_images_to_numpy,
    draw_latents,
    images_from_bytes,
    sample,
)

SIZES = [{}, {"width": 4}, {"width": 3, "channels": 1, "size": 32}, {"width": 2, "size": 16}]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def count(module):
    return sum(p.numel() for p in module.parameters())


def small(**options):
    torch.manual_seed(0)
    return GAN(Generator(8, 4, 3, 16), Discriminator(4, 3, 16, batch_norm=False), **options)


# --- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("options", SIZES)
def test_shapes(options, B):
    channels, size = options.get("channels", 3), options.get("size", 64)
    generator, discriminator = Generator(**options).eval(), Discriminator(**options).eval()
    pictures = generator(torch.randn(B, 64, 1, 1))
    assert pictures.shape == (B, channels, size, size) and pictures.abs().max() <= 1
    assert discriminator(pictures).shape == (B,), "one logit per picture"
    assert generator.example_shape == discriminator.example_shape == (channels, size, size)


def test_the_networks_have_the_documented_numbers_of_parameters():
    for L, W, C in ((64, 32, 3), (100, 8, 1)):
        expected = 128 * L * W + 672 * W**2 + 16 * C * W + 30 * W + C
        assert count(Generator(L, W, C)) == expected
        shared = 16 * C * W + W + 672 * W**2 + 128 * W + 1
        assert count(Discriminator(W, C)) == shared + 28 * W
        assert count(Discriminator(W, C, batch_norm=False)) == shared + 14 * W
        assert count(Discriminator(W, C, batch_norm=False, spectral_norm=True)) == shared + 14 * W
        assert count(Generator(L, W, C, upsampling="nearest")) == expected - 7 * (42 * W**2 + C * W)
    assert count(Generator()) == 952_771 and count(Generator(upsampling="nearest")) == 651_043
    assert count(Discriminator()) == 694_689 and count(Discriminator(batch_norm=False)) == 694_241


def test_the_networks_are_the_published_ones():
    def outputs(layers, x, kind):
        shapes = []
        for layer in layers:
            x = layer(x)
            if isinstance(layer, kind):
                shapes.append(tuple(x.shape[1:]))
        return shapes

    generator, discriminator = Generator(width=4).eval(), Discriminator(width=4).eval()
    places = outputs(generator.layers, torch.randn(1, 64, 1, 1), nn.ConvTranspose2d)
    assert places == [(32, 4, 4), (16, 8, 8), (8, 16, 16), (4, 32, 32), (3, 64, 64)]
    assert isinstance(generator.layers[-1], nn.Tanh)
    places = outputs(discriminator.layers, torch.randn(1, 3, 64, 64), nn.Conv2d)
    assert places == [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4), (1, 1, 1)]
    kinds = [type(layer).__name__ for layer in discriminator.layers]
    assert kinds[:3] == ["Conv2d", "LeakyReLU", "Conv2d"], "no batch norm on the first layer"
    assert kinds.count("BatchNorm2d") == 3 and kinds[-1] == "Conv2d", "and none on the last, nor a sigmoid"
    assert not any(isinstance(part, nn.BatchNorm2d) for part in Discriminator(batch_norm=False).modules())


def test_nearest_upsampling_makes_every_pixel_with_the_same_weights():
    torch.manual_seed(0)
    for upsampling in ("nearest", "transposed"):
        layers = Generator(8, 4, 3, 16, upsampling).eval().layers
        assert layers(torch.randn(2, 8, 1, 1)).shape == (2, 3, 16, 16)
        inner = layers[1:](torch.ones(1, 8, 4, 4))[
            ..., 4:-4, 4:-4
        ]  # from places that are all alike, away from the edge
        spread = (inner - inner.mean((2, 3), keepdim=True)).abs().max().item()
        assert (spread < 1e-6) == (upsampling == "nearest"), f"{upsampling}: checkerboard of {spread}"


def test_initial_weights_are_the_published_ones():
    torch.manual_seed(0)
    for network in (Generator(), Generator(upsampling="nearest"), Discriminator()):
        for name, p in network.named_parameters():
            if p.dim() == 4 and p.numel() > 5000:
                message = f"{name}: N(0, 0.02²) wanted"
                assert p.mean().abs() < 0.001 and p.std().item() == pytest.approx(0.02, rel=0.05), message
            if name.endswith("bias"):
                assert (p == 0).all(), name
        scales = torch.cat([part.weight for part in network.modules() if isinstance(part, nn.BatchNorm2d)])
        assert scales.mean().item() == pytest.approx(1, abs=0.01) and scales.std().item() == pytest.approx(
            0.02, rel=0.2
        )


def test_spectral_norm_makes_the_largest_singular_value_one():
    torch.manual_seed(0)
    network = Discriminator(4, spectral_norm=True, batch_norm=False)
    for _ in range(30):  # each call in training mode is one step of the power iteration
        network(torch.randn(2, 3, 64, 64))
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
            assert largest == pytest.approx(1, abs=0.05), f"largest singular value {largest}"


def test_without_batch_norm_pictures_do_not_see_each_other():
    x = torch.randn(3, 3, 16, 16)
    alone = Discriminator(4, 3, 16, batch_norm=False)
    torch.testing.assert_close(alone(x)[1:2], alone(x[1:2]), rtol=1e-4, atol=1e-6)
    together = Discriminator(4, 3, 16)
    assert not torch.allclose(together(x)[1:2], together(x[1:2] + 0), rtol=1e-3), "batch norm mixes pictures"


@pytest.mark.parametrize(
    "network", [Generator(8, 4, 3, 16), Discriminator(4, 3, 16), Discriminator(4, 3, 16, True, False)]
)
def test_gradients_reach_every_weight(network):
    generator = isinstance(network, Generator)
    x = (torch.randn(4, 8, 1, 1) if generator else torch.randn(4, 3, 16, 16)).requires_grad_()
    network(x).square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without and x.grad.abs().sum() > 0, without


# --- average and samples --------------------------------------------------------------------------------------------


def test_the_average_is_exponential_in_weights_and_in_running_statistics():
    gan = small(decay=0.75)
    expected = None
    for _ in range(4):
        gan.generator(torch.randn(4, 8, 1, 1))  # moves the running statistics
        with torch.no_grad():
            for p in gan.generator.parameters():
                p.add_(torch.randn_like(p))
        gan.average.update_parameters(gan.generator)
        state = {name: value.double() for name, value in gan.generator.state_dict().items()}
        old = expected or state  # the first update copies
        expected = {name: 0.75 * old[name] + 0.25 * state[name] for name in state}
    for name, value in gan.average.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)
    assert not any(p.requires_grad for p in gan.average.parameters()), "the average is not trained"
    z = torch.randn(2, 8, 1, 1)
    assert torch.equal(gan.eval()(z), gan.average(z)) and not torch.equal(gan(z), gan.generator(z))
    restored = small(decay=0.75).eval()
    restored.load_state_dict(copy.deepcopy(gan.state_dict()))
    assert torch.equal(restored(z), gan(z)), "one state dict holds all"


def test_recalibration_gives_the_average_the_statistics_of_its_own_activations():
    gan = small(decay=0.9)
    for _ in range(30):
        gan.generator(torch.randn(16, 8, 1, 1))
        with torch.no_grad():
            for p in gan.generator.parameters():
                p.copy_(torch.randn_like(p))  # independent directions: the mean of the weights is short
        gan.average.update_parameters(gan.generator)
    seen, norm = [], gan.average.module.layers[1]
    norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    weights, mode, momentum = copy.deepcopy(dict(gan.average.named_parameters())), gan.average.training, norm.momentum
    averaged = norm.running_var.clone()
    gan.recalibrate()
    variance = torch.cat(seen).var((0, 2, 3))
    torch.testing.assert_close(norm.running_var, variance, rtol=0.05, atol=1e-3)
    assert (averaged > 2 * variance).all(), "averaged weights vary less than the weights that were averaged"
    assert all(torch.equal(weights[name], p) for name, p in gan.average.named_parameters())
    assert gan.average.training == mode and norm.momentum == momentum
    before = copy.deepcopy(gan.average.state_dict())
    gan.recalibrate()
    assert all(torch.equal(before[name], value) for name, value in gan.average.state_dict().items()), "reproducible"
    with pytest.raises(ValueError, match="at least 64"):
        gan.recalibrate(10)


def test_temperature_is_the_variance_of_the_latents():
    gan, seen = small(), []
    gan.average.module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for temperature in (0.0, 0.25, 1.0, 2.0):
        sample(gan, 300, temperature, seeded())
        z = torch.cat(seen)
        torch.testing.assert_close(z, temperature**0.5 * draw_latents(300, 8, seeded()), msg="z = √T ε")
        assert z.shape == (300, 8, 1, 1) and z.var().item() == pytest.approx(temperature, rel=0.1)
        seen.clear()
    pictures = sample(gan, 3, 0.0)
    assert torch.equal(pictures[0], pictures[1]), "T = 0 repeats one picture"


def test_samples_are_reproducible_without_gradients_and_leave_the_mode_alone():
    gan = small()
    for network in (gan, gan.generator):
        for mode in (True, False):
            network.train(mode)
            before = copy.deepcopy(network.state_dict())
            first, again = sample(network, 5, 1.0, seeded()), sample(network, 5, 1.0, seeded())
            assert torch.equal(first, again) and not first.requires_grad and network.training == mode
            assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not torch.equal(first, sample(gan.generator, 5, 1.0, seeded(1)))


# --- pictures as numbers --------------------------------------------------------------------------------------------


def test_bytes_go_there_and_come_back():
    levels = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    images = images_from_bytes(levels)
    assert images.min() == -1 and images.max() == 1 and images.dtype == torch.float32
    numbers = batch_images_to_numpy(images)
    assert numbers.dtype == np.uint8 and numbers.shape == (1, 16, 16, 3)
    assert np.array_equal(numbers, levels.permute(0, 2, 3, 1).numpy()), "every level must survive"
    wide = batch_images_to_numpy(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1).requires_grad_())
    assert wide.ravel().tolist() == [0, 128, 255], "what lies outside -1 … 1 is cut off"


def test_imsave_stores_exactly_these_numbers():
    picture = batch_images_to_numpy(torch.rand(1, 3, 8, 6, generator=seeded()) * 2 - 1)[0]
    file = io.BytesIO()
    plt.imsave(file, picture, format="png")
    file.seek(0)
    assert np.array_equal((255 * plt.imread(file)[..., :3]).round(), picture)


# --- wrong input ----------------------------------------------------------------------------------------------------


def test_wrong_inputs_are_named():
    generator, discriminator = Generator(8, 4, 3, 16), Discriminator(4, 3, 16)
    for wrong in (torch.zeros(2, 8), torch.zeros(8, 1, 1), torch.zeros(2, 7, 1, 1), torch.zeros(2, 8, 1, 1).long()):
        with pytest.raises(ValueError, match=r"\(B, 8, 1, 1\).*z\[:, :, None, None\]"):
            generator(wrong)
    for wrong in (torch.zeros(3, 16, 16), torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 16, 16).byte()):
        with pytest.raises(ValueError, match=r"\(B, 3, 16, 16\).*images_from_bytes"):
            discriminator(wrong)
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8).byte()):
        with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
            batch_images_to_numpy(wrong)
    with pytest.raises(ValueError, match="uint8"):
        images_from_bytes(torch.zeros(1, 3, 8, 8))
    for options in ((0, 1.0), (2, -0.1), (2, float("nan")), (2, float("inf"))):
        with pytest.raises(ValueError, match="temperature of at least 0"):
            sample(generator, *options)


def test_impossible_sizes_are_named():
    for size in (48, 8):
        for kind in (Generator, Discriminator):
            with pytest.raises(ValueError, match=f"power of two from 16, got {size}"):
                kind(size=size)
    with pytest.raises(ValueError, match="transposed or nearest, got 'bilinear'"):
        Generator(upsampling="bilinear")
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="decay"):
            small(decay=decay)
