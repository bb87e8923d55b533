"""Generative adversarial networks for square pictures: one network draws them from noise, the other one judges them.

B counts the pictures, L the latents, C the channels, S the pixels along a side. Pictures lie in -1 … 1 here, the range
of the hyperbolic tangent; `images_from_bytes` and `batch_images_to_numpy` lead there and back.

Source: Radford, Metz and Chintala (2016), "Unsupervised representation learning with deep convolutional generative
adversarial networks" (DCGAN).
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrum
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from lib.models.checks import check_sizes
from lib.models.upsampling import NearestUpsampleConv2d


def _stages(size, **sizes):
    """How often 4 × 4 places are doubled to get to the size, at least twice; raise unless all sizes make sense."""
    check_sizes(size=size, **sizes)
    if size < 16 or size & (size - 1):
        raise ValueError(f"size must be a power of two from 16, got {size}: resize the pictures")
    return int(math.log2(size)) - 2


def initialise_weights(module: nn.Module) -> None:
    """Draw the weights as published for DCGAN: convolutions N(0, 0.02²), batch norm N(1, 0.02²), all biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0 if isinstance(part, nn.BatchNorm2d) else 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _doubling(before, after, upsampling, bias):
    """A layer that doubles the side: (B, before, S, S) -> (B, after, 2 S, 2 S)."""
    if upsampling == "nearest":
        return NearestUpsampleConv2d(before, after, bias)
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)


class Generator(nn.Module):
    """Pictures from noise: (B, L, 1, 1) -> (B, C, S, S) in -1 … 1.

    A transposed 4 × 4 convolution makes 4 × 4 places with 8 W channels (for S = 64), each further one doubles the side
    and halves the channels: 8 W, 4 W, 2 W, W, C. Batch norm and ReLU in between, tanh at the end. Convolutions before a
    batch norm have no bias, as it would be subtracted again.

    952,771 parameters for L = 64, W = 32, C = 3, S = 64: 128 L W + 672 W² + 16 C W + 30 W + C, in the order first
    convolution, the next three, last one, four batch norms, bias. With upsampling "nearest" 651,043: all convolutions
    but the first have 9 weights for each pair of channels instead of 16.

    Args:
        latent_size: L. width: W. channels: C. size: S, a power of two from 16.
        upsampling: "transposed", as published; or "nearest", `lib.models.upsampling.NearestUpsampleConv2d`: as many
            multiplications, but no checkerboard to be unlearned, since all pixels are made by the same weights.

    Raises:
        ValueError: a size that makes no sense, or an unknown upsampling.
    """

    def __init__(
        self,
        latent_size: int = 64,
        width: int = 32,
        channels: int = 3,
        size: int = 64,
        upsampling: str = "transposed",
    ):
        super().__init__()
        stages = _stages(size, latent_size=latent_size, width=width, channels=channels)
        if upsampling not in ("transposed", "nearest"):
            raise ValueError(f"upsampling must be transposed or nearest, got {upsampling!r}")
        self.latent_size, self.example_shape = latent_size, (channels, size, size)
        widths = [width * 2**stage for stage in reversed(range(stages))]  # 8 W, 4 W, 2 W, W
        layers = [nn.ConvTranspose2d(latent_size, widths[0], 4, bias=False)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), _doubling(before, after, upsampling, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), _doubling(width, channels, upsampling, bias=True)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        initialise_weights(self)

    def forward(self, z: Tensor) -> Tensor:
        """Raises ValueError if z is not floating point (B, L, 1, 1)."""
        if z.dim() != 4 or z.shape[1:] != (self.latent_size, 1, 1) or not z.is_floating_point():
            raise ValueError(
                f"z must be floating point (B, {self.latent_size}, 1, 1), got {z.dtype} {tuple(z.shape)}: use "
                "z[:, :, None, None] for vectors (B, L), z.unsqueeze(0) for a single (L, 1, 1)"
            )
        return self.layers(z)


class Discriminator(nn.Module):
    """One number per picture, the logit of "this one is real": (B, C, S, S) -> (B,).

    The generator mirrored: 4 × 4 convolutions of stride 2 to W, 2 W, 4 W, 8 W channels (for S = 64), leaky ReLU of
    slope 0.2, and a 4 × 4 convolution over the last 4 × 4 places. Batch norm everywhere but on the first layer and the
    last. No sigmoid: losses are computed from logits.

    694,689 parameters for W = 32, C = 3, S = 64 with batch norm: 16 C W + W + 672 W² + 28 W + 128 W + 1, in the
    order first convolution, its bias, the next three, their batch norms, last convolution, its bias. Without batch norm
    694,241: three layers have 14 W biases instead.

    Args:
        width: W. channels: C. size: S, a power of two from 16.
        spectral_norm: divide every weight by its largest singular value, so that no layer stretches any direction.
            Source: Miyato, Kataoka, Koyama and Yoshida (2018), "Spectral normalization for GANs".
        batch_norm: False for the gradient penalties of `lib.training.adversarial`: with it, the logit of one picture
            depends on all others of its batch.

    Raises:
        ValueError: a size that makes no sense.
    """

    def __init__(
        self,
        width: int = 32,
        channels: int = 3,
        size: int = 64,
        spectral_norm: bool = False,
        batch_norm: bool = True,
    ):
        super().__init__()
        stages = _stages(size, width=width, channels=channels)
        self.example_shape = (channels, size, size)
        widths = [width * 2**stage for stage in range(stages)]  # W, 2 W, 4 W, 8 W
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not batch_norm)]
            layers += [nn.BatchNorm2d(after)] if batch_norm else []
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4))
        initialise_weights(self)
        if spectral_norm:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    normalise_spectrum(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError if x is not floating point (B, C, S, S)."""
        if x.dim() != 4 or x.shape[1:] != self.example_shape or not x.is_floating_point():
            shape = ", ".join(["B", *map(str, self.example_shape)])
            raise ValueError(
                f"x must be floating point ({shape}) in -1 … 1, got {x.dtype} {tuple(x.shape)}: use "
                "images_from_bytes(x) for bytes, x.unsqueeze(0) for a single picture"
            )
        return self.layers(x).flatten()


class GAN(nn.Module):
    """Everything that a training changes, in one module: `generator`, `discriminator`, and `average`.

    `average` is the generator with an exponential moving average of its weights, updated by
    `average.update_parameters(generator)` after every step: average ← decay · average + (1 - decay) · weights. Two
    networks that chase each other circle around rather than converge; the middle of the circle draws better pictures.
    The running means and variances of batch norm are averaged along (use_buffers): they would otherwise be those of the
    last weights. Even so they do not fit: the mean of weights that point in changing directions is shorter than they
    are, its activations vary less, and the pictures come out pale. `recalibrate` measures the statistics anew.
    Source: Yazıcı and others (2019), "The unusual effectiveness of averaging in GAN training".

    Args:
        generator, discriminator: the two networks. decay: of the average, from 0 up to below 1; about the last
            1 / (1 - decay) steps count.

    Raises:
        ValueError: decay lies elsewhere.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, decay: float = 0.999):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        self.generator, self.discriminator = generator, discriminator
        self.average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.average.requires_grad_(False)

    @property
    def latent_size(self) -> int:
        return self.generator.latent_size

    def recalibrate(self, num: int = 512, seed: int = 0) -> None:
        """Give the batch norms of `average` the statistics of its own activations, from `num` pictures, 64 at a time.

        To be called before the average is used, as `lib.training.adversarial.fit_gan` does after every epoch.

        Raises:
            ValueError: num is below 64, too few for statistics.
        """
        if num < 64:
            raise ValueError(f"recalibration needs at least 64 pictures, got num = {num}")
        device = next(self.average.parameters()).device
        z = draw_latents(num - num % 64, self.latent_size, torch.Generator().manual_seed(seed), device)
        update_bn(z.split(64), self.average)

    def forward(self, z: Tensor) -> Tensor:
        """Pictures of the averaged generator: (B, L, 1, 1) -> (B, C, S, S)."""
        return self.average(z)


def draw_latents(num: int, latent_size: int, generator: torch.Generator | None = None, device=None) -> Tensor:
    """z ~ N(0, 1) for `num` pictures: (num, L, 1, 1). They are drawn where `generator` lives, then moved."""
    where = device if generator is None else generator.device
    return torch.randn(num, latent_size, 1, 1, generator=generator, device=where).to(device)


@torch.no_grad()
def sample(
    generator_model: nn.Module, num: int, temperature: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Draw pictures with z = √T ε, ε ~ N(0, 1), in evaluation mode without gradients: (num, C, S, S) in -1 … 1.

    Training knows only T = 1, a variance of 1 in every latent. Below it pictures are more alike and closer to the
    middle of what was learned, above it they are further out; T = 0 repeats one picture.

    Args:
        generator_model: `Generator`, or `GAN` for its average. num: how many. temperature: T, at least 0, the variance.
        generator: draws ε; None takes torch's global random numbers.

    Raises:
        ValueError: num is below 1, or T negative or not finite.
    """
    if num < 1 or not 0 <= temperature < math.inf:
        raise ValueError(f"need num of at least 1 and a finite temperature of at least 0, got {num} and {temperature}")
    device = next(generator_model.parameters()).device
    z = math.sqrt(temperature) * draw_latents(num, generator_model.latent_size, generator, device)
    mode = generator_model.training
    generator_model.eval()  # running statistics: a picture must not depend on the others that are drawn with it
    pictures = torch.cat([generator_model(part) for part in z.split(256)])
    generator_model.train(mode)
    return pictures


# --- pictures as numbers from 0 to 255, and as numbers from -1 to 1 -------------------------------------------------


def images_from_bytes(pictures: Tensor) -> Tensor:
    """What the networks see: uint8 0 … 255 -> float32 -1 … 1, of the same shape.

    Raises:
        ValueError: the pictures are not uint8.
    """
    if pictures.dtype != torch.uint8:
        raise ValueError(f"pictures must be uint8, got {pictures.dtype}: use 2 * x - 1 for values in 0 … 1")
    return pictures.float() / 127.5 - 1


def batch_images_to_numpy(images: Tensor) -> np.ndarray:
    """Pictures for `plt.imshow` and `plt.imsave`: (B, 3, H, W) in -1 … 1 -> uint8 (B, H, W, 3), 0 … 255.

    Whole numbers, rounded here: of floats, `plt.imsave` cuts the fractions off, which makes pictures darker. What lies
    outside -1 … 1 becomes black or full. Bytes that went through `images_from_bytes` come back unchanged.

    Raises:
        ValueError: another shape, or no floating point.
    """
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"images must be floating point (B, 3, H, W), got {images.dtype} {tuple(images.shape)}: use "
            "images.unsqueeze(0) for a single one, images.expand(-1, 3, -1, -1) for grey ones"
        )
    levels = (127.5 * (images.detach().float() + 1)).round().clamp(0, 255).byte()
    return levels.permute(0, 2, 3, 1).cpu().numpy()
