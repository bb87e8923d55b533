"""A small convolutional network that reads the factors off a picture; its features serve to compare sets of pictures.

B counts the pictures. Trained on other pictures beforehand and then frozen, the network judges a generative model: are
the features of its pictures distributed like those of true ones (`lib.metrics.sample_quality`), and which factors do
they show?
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.checks import check_sizes

FEATURES = 64


class FactorClassifier(nn.Module):
    """Factors of pictures: (B, C, S, S) in -1 … 1 -> (B, M), a logit for every choice and an estimate for the others.

    Four 3 × 3 convolutions of stride 2 with W, 2 W, 2 W, 4 W channels, batch norm and ReLU; a fully connected layer to
    64 features, standardised; leaky ReLU of slope 0.2 and a linear layer to the M outputs. 99,032 parameters for
    W = 16, C = 3, S = 64 and M = 8.

    Features are what stands before the activation, each with mean 0 and variance 1 over the training pictures: none of
    them can be dead, and all have the same weight in a distance.

    Args:
        factors: name: number of choices of a discrete factor, or (lowest, highest) of a continuous one, as in the
            FACTORS of the data sets, in the order of the columns.
        width: W. channels: C. size: S, a multiple of 16.

    Raises:
        ValueError: no factors, or a size that makes no sense.
    """

    def __init__(self, factors: dict, width: int = 16, channels: int = 3, size: int = 64):
        super().__init__()
        check_sizes(width=width, channels=channels, size=size)
        if not factors or size % 16:
            raise ValueError(
                f"need at least one factor and a size that is a multiple of 16, got {len(factors)} factors and {size}"
            )
        self.factors, self.example_shape = dict(factors), (channels, size, size)
        self.sizes = [kind if isinstance(kind, int) else 1 for kind in factors.values()]  # outputs for each factor
        layers, widths = [], [channels, width, 2 * width, 2 * width, 4 * width]
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        flat = 4 * width * (size // 16) ** 2
        standardised = nn.BatchNorm1d(FEATURES, affine=False)
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, FEATURES, bias=False), standardised)
        self.head = nn.Linear(FEATURES, sum(self.sizes))

    def features(self, x: Tensor) -> Tensor:
        """What the last layer reads the factors from: (B, C, S, S) -> (B, 64).

        Raises:
            ValueError: x has another shape or is not floating point.
        """
        if x.dim() != 4 or x.shape[1:] != self.example_shape or not x.is_floating_point():
            shape = ", ".join(["B", *map(str, self.example_shape)])
            raise ValueError(
                f"x must be floating point ({shape}) in -1 … 1, got {x.dtype} {tuple(x.shape)}: use x / 127.5 - 1 for "
                "bytes, x.unsqueeze(0) for a single picture"
            )
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.leaky_relu(self.features(x), 0.2))

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """The likeliest choice, or the estimate in the factor's own units, of every factor: (B, number of factors)."""
        columns = []
        for kind, output in zip(self.factors.values(), self(x).split(self.sizes, 1), strict=True):
            if isinstance(kind, int):
                columns.append(output.argmax(1).to(output))
            else:
                columns.append(kind[0] + (kind[1] - kind[0]) * output[:, 0].clamp(0, 1))
        return torch.stack(columns, 1)
