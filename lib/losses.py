"""What is minimised."""

import torch
import torch.nn.functional as F


def forecast_loss(model, batch):
    """Mean squared error of all predictions that a forecaster makes of a batch, in units of its `step_scale`².

    Args:
        model: forecaster, called as `model(frames, horizon)`, see `lib.models.forecasting`.
        batch: true frames (B, S, H, W) and the R frames after them (B, R, H, W). The first R - 1 predictions beyond the
            true frames are fed back, with gradients through the whole roll-out.
    """
    frames, targets = batch
    predictions = model(frames, targets.shape[1] - 1)
    truth = torch.cat([frames, targets], dim=1)[:, -predictions.shape[1] :]
    return ((predictions - truth) / model.step_scale.flatten()[0]).square().mean()


def pushforward_loss(model, batch):
    """The same for the last of the R frames only; the frames fed back are taken as given, without gradients.

    Source: Brandstetter, Worrall and Welling (2022), "Message passing neural PDE solvers".
    """
    frames, targets = batch
    if targets.shape[1] > 1:
        with torch.no_grad():
            frames = torch.cat([frames, model(frames, targets.shape[1] - 2)[:, 1 - targets.shape[1] :]], dim=1)
    if not model.stateful:
        frames = frames[:, -model.context_size :]  # what came before has no influence
    error = model(frames)[:, -1:] - targets[:, -1:]
    return (error / model.step_scale.flatten()[0]).square().mean()


def next_character_loss(model, batch):
    """Cross-entropy of every next character, in nats, from windows that are read without a state.

    Args:
        model: as in `lib.models.text`. batch: inputs and targets, int64 (B, T) each.
    """
    inputs, targets = batch
    logits, _ = model(inputs)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class CarriedStateLoss:
    """The same for chunks that go on where the last ones ended: the state is handed on, gradients are not.

    Each epoch begins without a state. Truncated backpropagation through time: Williams and Peng (1990).

    Args:
        streams: function of a generator that yields the chunks of one epoch, inputs and targets (B, T).
    """

    def __init__(self, streams):
        self._streams, self._state = streams, None

    def batches(self, generator):
        """What `training.fit` wants; starting an epoch drops the state."""
        self._state = None
        yield from self._streams(generator)

    def __call__(self, model, batch):
        inputs, targets = batch
        logits, state = model(inputs, self._state)
        self._state = tuple(part.detach() for part in state)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
