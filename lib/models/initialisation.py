"""How the weights of the vanilla networks start, which decides how long they can remember before any training."""

import torch
from torch import Generator, Tensor, nn

WEIGHTS = ("default", "small", "orthogonal")


def chrono_bias(hidden_size: int, max_length: int, generator: Generator | None = None) -> Tensor:
    """Forget biases b_f = log u with u ~ U(1, max_length - 1), one for each unit: (hidden_size,).

    A gate that stays at σ(b) keeps a value for about 1 + exp(b) steps, so the units get memories of all lengths from
    2 up to `max_length` steps. Source: Tallec and Ollivier (2018), "Can recurrent neural networks warp time?"

    Raises:
        ValueError: `max_length` is missing or below 3, where the range of u is empty.
    """
    if max_length is None or max_length < 3:
        raise ValueError(f"chrono biases need max_length >= 3, the longest lag in time steps, but got {max_length}")
    device = generator.device if generator is not None else "cpu"
    return torch.empty(hidden_size, device=device).uniform_(1, max_length - 1, generator=generator).log()


@torch.no_grad()
def initialise(
    model: nn.Module,
    weights: str = "default",
    forget_bias: float | str | None = 0.0,
    max_length: int | None = None,
    generator: Generator | None = None,
) -> nn.Module:
    """Set all parameters of a `VanillaRNN` or `VanillaLSTM` in place, and return the model.

    Args:
        model: its weights are named W_*, its biases b_*; all biases become zero but those that `forget_bias` sets.
        weights: "default": uniform on ±1/sqrt(hidden size); "small": normal with standard deviation 1e-4;
            "orthogonal": the recurrent matrix (each gate's own) is orthogonal, the others as in "default".
        forget_bias: b_f of the LSTM, one number for all units, or "chrono": b_f as in `chrono_bias` and b_i = -b_f.
            A plain RNN has no forget gate: there the value is ignored.
        max_length: the longest lag in time steps, needed by "chrono" only.
        generator: source of the random numbers. They are drawn on its device (the CPU without one) and then copied, so
            that one seed gives one set of weights, wherever the model lies.

    Raises:
        ValueError: an unknown choice, or "chrono" without a usable `max_length`.
        TypeError: a model of another kind.
    """
    parameters = dict(model.named_parameters())
    if "W_ph" not in parameters:
        raise TypeError(f"initialise knows VanillaRNN and VanillaLSTM, but got {type(model).__name__}")
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}, but is {weights!r}")
    if isinstance(forget_bias, str) and forget_bias != "chrono":
        raise ValueError(f"forget_bias must be a number or 'chrono', but is {forget_bias!r}")
    hidden_size = parameters["W_ph"].shape[1]
    bound = hidden_size**-0.5
    device = generator.device if generator is not None else "cpu"

    for name, parameter in parameters.items():
        if name.startswith("b_"):
            parameter.zero_()
            continue
        drawn = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
        recurrent = name.endswith("h") and name != "W_ph"  # W_hh, or W_gh, W_ih, W_fh, W_oh
        if weights == "small":
            drawn.normal_(0, 1e-4, generator=generator)
        elif weights == "orthogonal" and recurrent:
            nn.init.orthogonal_(drawn, generator=generator)
        else:
            drawn.uniform_(-bound, bound, generator=generator)
        parameter.copy_(drawn)

    if "b_f" in parameters and forget_bias == "chrono":
        parameters["b_f"].copy_(chrono_bias(hidden_size, max_length, generator))
        # What is kept for n steps is written in portions of 1/n, so that the cell does not grow without bound.
        parameters["b_i"].copy_(-parameters["b_f"])
    elif "b_f" in parameters and forget_bias is not None:
        parameters["b_f"].fill_(forget_bias)
    return model
