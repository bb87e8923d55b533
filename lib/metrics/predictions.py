"""Predictions and their scores: shares of right answers with their intervals, bits per character."""

import math

import torch
import torch.nn.functional as F


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


@torch.no_grad()
def surprise(model, tokens, context=None, chunk=512):
    """How unexpected every character was to a model that reads the text once: bits, (T,) -> (T - 1,).

    Args:
        model: as in `lib.models.text`. tokens: int64 (T,); the first character is only read, not predicted.
        context: for models that cannot carry a state beyond it: the text is then read in overlapping windows of that
            length, of which the second half counts (of the first window, all), so that every character is predicted
            from at least half of the context.
        chunk: characters that are read at once when the state is carried; without influence on the result.

    Raises:
        ValueError: the text has fewer than two characters, or the context fewer than two.
    """
    if tokens.dim() != 1 or len(tokens) < 2 or (context is not None and context < 2):
        raise ValueError(f"need at least two characters (T,) and of context, got {tuple(tokens.shape)} and {context}")
    mode, device = model.training, next(model.parameters()).device
    model.eval()
    inputs, targets = tokens[:-1].to(device)[None], tokens[1:].to(device)
    logits, state, done = [], None, 0
    while done < len(targets):
        if context is None:
            out, state = model(inputs[:, done : done + chunk], state)
        else:
            start = max(0, min(done - context // 2, len(targets) - context))
            out = model(inputs[:, start : start + context])[0][:, done - start :]
        logits.append(out[0])
        done += out.shape[1]
    model.train(mode)
    nats = F.cross_entropy(torch.cat(logits), targets, reduction="none")
    return (nats / math.log(2)).to(tokens.device)


def bits_per_character(model, tokens, before=None, context=None):
    """Mean surprise of a text in bits per character.

    Args:
        before: tokens of the text that stands before it (their end is read, not counted): int64, or None.
        context: see `surprise`.
    """
    read = 0 if before is None else min(len(before), context or 512)
    text = tokens if read == 0 else torch.cat([before[-read:], tokens])
    return surprise(model, text, context)[max(0, read - 1) :].mean().item()
