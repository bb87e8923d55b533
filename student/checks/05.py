"""Checks of F2: faces from the prior."""

from lib.workbook.student.checking import expect, expect_shape, load, part

vae = load("vae")

MODEL = """
def _pictures(weight, bias, size, z):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = torch.nn.Sequential(torch.nn.Linear(*weight.shape[::-1]), torch.nn.Unflatten(1, size))
            self.decoder[0].weight.data, self.decoder[0].bias.data = weight.detach(), bias.detach()
            self.latent_size, self.example_shape = weight.shape[1], tuple(size)

        def decode(self, z):
            return self.decoder(z)

    return generate_from_latent(Model(), z)
"""


def made(student, batch=None):
    """(pictures, gradient of z, their logits, given) of a small model, whose decoder is a single linear layer."""
    B, L, size = batch or student.pick(5, 7), student.pick(3, 4), (3, 4, student.pick(5, 6))
    weight, bias = student.randn(12 * size[2], L), student.randn(12 * size[2])
    z = 2 * student.randn(B, L)
    student.prepare(MODEL)
    pictures, (*_, to_z), _ = student.call("_pictures", gradient=True, args=(weight, bias, list(size), z))
    return pictures, to_z, (z @ weight.t() + bias).unflatten(1, size), f"z ({B}, {L}), pictures {size}"


@part("F2", 1, "one picture for every latent vector")
def shapes(student):
    for batch in (None, 1):
        pictures, _, logits, given = made(student, batch)
        expect_shape(pictures, tuple(logits.shape), given, "the pictures' axes are those of the decoder's output")


@part("F2", 2, "from logits to pixels")
def pixels(student):
    pictures, _, logits, given = made(student)
    vae.check_pictures(pictures, logits, given)


@part("F2", 1, "no gradients")
def gradients(student):
    _, to_z, _, given = made(student)
    expect(
        to_z is None, "pictures to look at, without gradients", given, "a gradient of z", "torch.no_grad() is missing"
    )
