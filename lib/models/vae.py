"""Variational autoencoders: a picture becomes a normal distribution over a few latents, a latent vector a picture.

B counts the examples, L the latents. The encoder gives mean and log variance of q(z | x), normal with independent
latents; the decoder gives logits, one per pixel, which a likelihood turns into p(x | z) (see `lib.losses`).
"""

import torch
from torch import Tensor, nn

from lib.models.checks import check_sizes


def fully_connected(*sizes: int) -> nn.Sequential:
    """Linear layers from the first size to the last, with a ReLU between any two: (B, sizes[0]) -> (B, sizes[-1])."""
    layers = [nn.Linear(sizes[0], sizes[1])]
    for before, after in zip(sizes[1:], sizes[2:], strict=False):
        layers += [nn.ReLU(), nn.Linear(before, after)]
    return nn.Sequential(*layers)


class VAE(nn.Module):
    """Fully connected variational autoencoder: (B, input_size) -> logits of the same shape, by way of (B, L).

    Sources: Kingma and Welling (2014), "Auto-encoding variational Bayes"; Rezende, Mohamed and Wierstra (2014).

    The log variance is not clamped: its own KL term, ½ (exp(logvar) - 1 - logvar), pulls it back from either side with
    a gradient, which a clamp would cut off; and without a KL term (β = 0) the reconstruction only ever makes it fall,
    to where exp(logvar) is 0 and everything stays finite.

    Args:
        input_size: values per example, 784 for 28 × 28 pixels.
        hidden_sizes: of the encoder; the decoder has the same ones in reverse. None at all, (), make both linear.
        latent_size: L.
        learned_noise: for the likelihood "normal", p(x | z) = N(decode(z), exp(noise_logvar)), make `noise_logvar`,
            one number for all pixels, a parameter. Otherwise it stays 0, a variance of 1.

    Raises:
        ValueError: a size below 1.
    """

    def __init__(
        self,
        input_size: int = 784,
        hidden_sizes: tuple[int, ...] = (400,),
        latent_size: int = 20,
        learned_noise: bool = False,
    ):
        super().__init__()
        check_sizes(input_size=input_size, hidden_sizes=hidden_sizes, latent_size=latent_size)
        self._describe((input_size,), latent_size, learned_noise)
        self.encoder = fully_connected(input_size, *hidden_sizes, 2 * latent_size)  # mean and log variance
        self.decoder = fully_connected(latent_size, *reversed(hidden_sizes), input_size)

    def _describe(self, example_shape: tuple[int, ...], latent_size: int, learned_noise: bool) -> None:
        self.example_shape, self.latent_size = example_shape, latent_size
        if learned_noise:
            self.noise_logvar = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("noise_logvar", torch.zeros(()))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x): (B, *example_shape) -> (B, L) twice.

        Raises:
            ValueError: x has another shape or is not floating point.
        """
        if x.shape[1:] != self.example_shape or x.dim() < 2 or not x.is_floating_point():
            shape = ", ".join(["B", *map(str, self.example_shape)])
            raise ValueError(
                f"x must be floating point ({shape}), got {x.dtype} {tuple(x.shape)}: use x.view({shape}) for other "
                "axes, x / 255 for bytes, x.unsqueeze(0) for a single example"
            )
        mu, logvar = self.encoder(x).chunk(2, dim=1)  # (B, 2 L) -> (B, L), (B, L)
        return mu, logvar

    def reparameterise(self, mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw z ~ N(mu, exp(logvar)) as z = mu + σ ε with ε ~ N(0, 1) and σ = exp(logvar / 2): (B, L).

        The chance is in ε alone, which depends on no parameter, so that a drawn z can be differentiated:
        dz/dmu = 1 and dz/dlogvar = σ ε / 2.

        Args:
            mu, logvar: (B, L). generator: draws ε; None takes torch's global random numbers.

        Raises:
            ValueError: mu and logvar differ in shape.
        """
        if mu.shape != logvar.shape:
            raise ValueError(f"mu and logvar need the same shape (B, L), got {tuple(mu.shape)}, {tuple(logvar.shape)}")
        device = mu.device if generator is None else generator.device
        noise = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=device).to(mu.device)
        return mu + torch.exp(0.5 * logvar) * noise

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the pixels: (B, L) -> (B, *example_shape).

        Raises:
            ValueError: z has another shape.
        """
        if z.dim() != 2 or z.shape[1] != self.latent_size:
            raise ValueError(
                f"z must be (B, {self.latent_size}), got {tuple(z.shape)}: use z.unsqueeze(0) for a single latent "
                "vector, or a model of that latent_size"
            )
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw one z per example (in training and in evaluation alike), decode: logits, mu, logvar."""
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterise(mu, logvar)), mu, logvar

    @torch.no_grad()
    def get_mu_logvar(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`encode` without gradients, to look at the latents."""
        return self.encode(x)

    @torch.no_grad()
    def generate_from_latent(self, z: Tensor) -> Tensor:
        """Pictures of latent vectors, sigmoid(decode(z)), without gradients: (B, L) -> (B, *example_shape), 0 … 1.

        That is the mean of the likelihood "bernoulli"; for the others see `lib.losses.pixel_mean`.
        """
        return torch.sigmoid(self.decode(z))


class ConvVAE(VAE):
    """Convolutional variational autoencoder for square pictures: (B, C, S, S) -> logits of the same shape.

    Four 4 × 4 convolutions of stride 2 with W, W, 2 W, 2 W channels, a fully connected layer of 256, and mirrored in
    the decoder; activations in between. Source: Higgins et al. (2017), "beta-VAE", appendix, the network for 64 × 64
    faces (W = 32, L = 32, ReLU).

    Args:
        channels: C, 3 for colour. size: S, height and width in pixels, a multiple of 16. latent_size: L.
        width: W. learned_noise: see `VAE`. activation: class of what stands between the layers.

    Raises:
        ValueError: a size below 1, or not a multiple of 16.
    """

    def __init__(
        self,
        channels: int = 3,
        size: int = 64,
        latent_size: int = 32,
        width: int = 32,
        learned_noise: bool = False,
        activation: type[nn.Module] = nn.ReLU,
    ):
        nn.Module.__init__(self)  # a VAE with networks of its own; those of `VAE.__init__` are not wanted
        check_sizes(channels=channels, size=size, latent_size=latent_size, width=width)
        if size % 16:
            raise ValueError(
                f"size must be a multiple of 16, as four convolutions halve it, got {size}: pad or resize the pictures"
            )
        self._describe((channels, size, size), latent_size, learned_noise)
        widths, side = [channels, width, width, 2 * width, 2 * width], size // 16
        down, up = [], []
        for before, after in zip(widths, widths[1:], strict=False):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), activation()]  # half the side
            up = [activation(), nn.ConvTranspose2d(after, before, 4, stride=2, padding=1), *up]
        flat = 2 * width * side * side  # 1024 values of 4 × 4 places for 64 × 64 pixels
        bottleneck = [nn.Linear(flat, 256), activation(), nn.Linear(256, 2 * latent_size)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), *bottleneck)
        widen = [nn.Linear(latent_size, 256), activation(), nn.Linear(256, flat)]
        self.decoder = nn.Sequential(*widen, nn.Unflatten(1, (2 * width, side, side)), *up)


@torch.no_grad()
def sample_on_grid(model, count: int = 12, reach: float | None = None, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Pictures on a grid over two latents, all others 0: (count², *example_shape), row by row, each from left to right.

    The first latent of `axes` rises from left to right, the second one falls from top to bottom.

    Args:
        model: with `latent_size` and `generate_from_latent`, as `VAE`. count: pictures in a row, and in a column.
        reach: the grid goes evenly from -reach to reach; None makes it even in probability: at the quantiles
            (i + ½) / count of N(0, 1), so that every picture stands for the same share of the prior.
    """
    if reach is None:
        line = torch.special.ndtri((torch.arange(count) + 0.5) / count)  # (count,)
    else:
        line = torch.linspace(-reach, reach, count)
    second, first = torch.meshgrid(line.flip(0), line, indexing="ij")
    z = torch.zeros(count**2, model.latent_size)
    z[:, axes[0]], z[:, axes[1]] = first.flatten(), second.flatten()
    return model.generate_from_latent(z)
