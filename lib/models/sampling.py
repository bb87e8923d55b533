"""Writing text with a model: one character after the other, each drawn from what the model expects next."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


def next_probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """The distribution that the next character is drawn from: (..., A) -> (..., A).

    Args:
        logits: of the model.
        temperature: the logits are divided by it. 1 leaves the model's own distribution, less makes likely characters
            likelier still, 0 leaves the likeliest alone (the first one among equals).
        top_k: keep the k likeliest characters (the first ones among equals); A or more keeps all.
        top_p: keep the likeliest characters until together they reach this probability, and no more: the smallest such
            set. Counted after the temperature and after `top_k`.
            Source: Holtzman et al. (2020), "The curious case of neural text degeneration".

    Raises:
        ValueError: a value outside temperature >= 0, top_k >= 1, 0 < top_p <= 1.
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
    # The greatest logit becomes 0 before the division, which could overflow otherwise.
    logits = (logits - logits.amax(-1, keepdim=True)) / temperature
    p, order = torch.softmax(logits, dim=-1).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        p[..., top_k:] = 0
        p /= p.sum(-1, keepdim=True)
    if top_p is not None and top_p < 1:  # rounding must not drop anything at 1
        before = F.pad(p.cumsum(-1)[..., :-1], (1, 0))  # what the likelier ones have together
        p = torch.where(before < top_p, p, 0.0)
        p /= p.sum(-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, order, p)


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ValueError unless a text can be drawn with these values."""
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be 0 (always the likeliest character) or a positive number: {temperature}")
    if top_k is not None and not top_k >= 1:
        raise ValueError(f"top_k must keep at least 1 character, or None for all; got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie above 0 and at most at 1, or be None for all; got {top_p}")


@torch.no_grad()
def characters(
    model: nn.Module,
    prompt: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Iterator[Tensor]:
    """Write on from a prompt without end: yields one new character per text, int64 (B,), at a time.

    The prompt is read once; after that every character costs one step of the model, whose state is carried along.

    Args:
        model: forward(tokens (B, T), state) -> (logits (B, T, A), state), as those of `lib.models.text`.
        prompt: int64 (B, T) with T >= 1.
        temperature, top_k, top_p: see `next_probabilities`.
        generator: a generator of the CPU, so that all devices draw alike; none uses torch's own.

    Raises:
        ValueError: impossible values, tokens that the model does not know, or a model that cannot read any further.
    """
    check_sampling(temperature, top_k, top_p)
    logits, state = model(prompt)
    while True:
        p = next_probabilities(logits[:, -1].cpu().double(), temperature, top_k, top_p)  # (B, A)
        token = torch.multinomial(p, 1, generator=generator).to(prompt.device)  # (B, 1)
        yield token[:, 0]
        logits, state = model(token, state)


def generate(model: nn.Module, prompt: Tensor, num: int, **options) -> Tensor:
    """The `num` characters that `characters` writes after the prompt: (T,) -> (num,), or (B, T) -> (B, num).

    Args:
        options: temperature, top_k, top_p, generator of `characters`.

    Raises:
        ValueError: as `characters`, or num is negative.
    """
    if num < 0:
        raise ValueError(f"num must not be negative, got {num}")
    single = prompt.dim() == 1
    stream = characters(model, prompt.unsqueeze(0) if single else prompt, **options)
    drawn = [token for _, token in zip(range(num), stream, strict=False)]
    text = torch.stack(drawn, dim=1) if drawn else prompt.new_zeros(1 if single else len(prompt), 0)
    return text[0] if single else text
