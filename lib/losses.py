"""What is minimised."""

import torch


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
