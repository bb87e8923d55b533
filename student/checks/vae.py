"""What the checks of 05 and 06 share."""

from lib.workbook.student.checking import close, expect, expect_shape


def likely(found, mistakes, otherwise="", same=close):
    """The mistake whose result is what was found: of {what is likely wrong: what would come out}."""
    return next((name for name, value in mistakes.items() if same(found, value)), otherwise)


def check_pictures(pictures, logits, given):
    """Pictures that were made of latent vectors are sigmoids of the decoder's logits."""
    expect_shape(pictures, tuple(logits.shape), given, "pictures of the decoder's shape")
    mistakes = {
        "the sigmoid is missing": logits,
        "a sigmoid twice": logits.sigmoid().sigmoid(),
        "the logits are cut off at 0 and 1 instead": logits.clamp(0, 1),
        "1 less the sigmoid: ink and paper exchanged": (-logits).sigmoid(),
        "tanh instead of the sigmoid": logits.tanh(),
        "softmax: every pixel has a probability of its own": logits.flatten(1).softmax(1).view_as(logits),
        "pixels of 0 and 1: the probabilities themselves are asked for": (logits > 0).float(),
    }
    wanted = logits.sigmoid()
    expect(
        close(pictures, wanted),
        "the sigmoid of what the decoder makes of z",
        given,
        f"values from {pictures.min():.2f} to {pictures.max():.2f} for {wanted.min():.2f} to {wanted.max():.2f}",
        likely(pictures, mistakes, "the z that is given is decoded as it is: nothing is drawn in here"),
    )
