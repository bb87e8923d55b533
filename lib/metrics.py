"""What is reported of a trained model."""

import math

import torch


@torch.no_grad()
def predict(model, x, batch_size=2500):
    """Logits of a model for all inputs, in batches, in evaluation mode, on the inputs' own device: (N, …) -> (N, C)."""
    device, mode = next(model.parameters()).device, model.training
    model.eval()
    logits = torch.cat([model(part.to(device)).to(x.device) for part in x.split(batch_size)])
    model.train(mode)
    return logits


def accuracy(model, x, y, batch_size=2500):
    """Share of examples whose largest logit is the label's; chance is one over the number of equally likely labels."""
    return (predict(model, x, batch_size).argmax(1) == y).float().mean().item()


def wilson_interval(share, count, z=1.96):
    """Confidence interval of a probability from an observed share (Wilson, 1927); unlike the normal one it works at
    0 and 1.

    Args:
        share: observed share of successes, 0 … 1. count: number of trials, at least 1. z: 1.96 gives 95 %.

    Returns:
        (low, high)

    Raises:
        ValueError: the share is no share or there are no trials.
    """
    if count < 1 or not 0 <= share <= 1:
        raise ValueError(f"need a share between 0 and 1 of at least one trial, got {share} of {count}")
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)
