"""From networks to forecasts of a field: next frames from context frames, and their own predictions as new context.

All forecasters, the ConvLSTM included, are called alike: `model(frames, horizon)` with frames (B, T, H, W) returns the
predictions of frames context_size … T + horizon, numbered from 0. Up to frame T every prediction sees true frames only
(teacher forcing); from then on predictions are fed back (closed loop).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib.models.padding import pad

HEADS = {  # what the network's output is added to
    "absolute": "0",
    "change": "u_t",
    "extrapolate": "2 u_t - u_{t-1}",
}


def check_frames(frames: Tensor, context_size: int) -> None:
    """Raise unless `frames` is floating point (B, T, H, W) with T ≥ context_size."""
    if frames.dim() != 4 or not frames.is_floating_point():
        raise ValueError(f"frames must be floating point (B, T, H, W), got {frames.dtype} {tuple(frames.shape)}")
    if frames.shape[1] < context_size:
        raise ValueError(f"the model needs {context_size} frames of context, got {frames.shape[1]}")


class NextFrame(nn.Module):
    """Makes a forecaster of a network that maps context frames (B, context_size, H, W) to frames (B, K, H, W).

    The network sees the field divided by `field_scale`; its output, times `step_scale`, is added to

    - 0 (head "absolute"),
    - the last frame u_t ("change"), or
    - the straight line through the last two frames, u_t + k (u_t - u_{t-1}) for the k-th frame ("extrapolate").

    K = 1 unless frames are bundled: then one call yields the next K frames (Brandstetter, Worrall and Welling, 2022).

    Args:
        network: the module. context_size: frames it sees. head: see above.
        field_scale: standard deviation of the field. step_scale: size of what is to be added, a number for each of the
            K frames; one number if K = 1.

    Raises:
        ValueError: an unknown head, or "extrapolate" with one frame of context.
    """

    stateful = False  # the last context_size frames are all it knows

    def __init__(self, network, context_size=1, head="absolute", field_scale=1.0, step_scale=1.0):
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {', '.join(HEADS)}; got {head!r}")
        if context_size < 1 + (head == "extrapolate"):
            raise ValueError(f"the head {head!r} needs 2 frames of context, but context_size is {context_size}")
        self.network, self.context_size, self.head = network, context_size, head
        self.register_buffer("field_scale", torch.tensor(float(field_scale)))
        self.register_buffer("step_scale", torch.as_tensor(step_scale, dtype=torch.float32).reshape(-1, 1, 1))

    @property
    def bundle(self) -> int:
        """Frames per call of the network, K."""
        return len(self.step_scale)

    def base(self, context: Tensor) -> Tensor | float:
        """What the network's output is added to: (B, context_size, H, W) -> (B, K, H, W)."""
        if self.head == "absolute":
            return 0.0
        last = context[:, -1:]
        if self.head == "change":
            return last
        steps = torch.arange(1, self.bundle + 1, device=context.device).view(-1, 1, 1)
        return last + steps * (last - context[:, -2:-1])

    def step(self, context: Tensor) -> Tensor:
        """(B, context_size, H, W) -> the next frames (B, K, H, W)."""
        out = self.network(context / self.field_scale)
        if out.shape[1] != self.bundle:
            raise ValueError(f"the network yields {out.shape[1]} frames, but step_scale has {self.bundle} numbers")
        return self.base(context) + self.step_scale * out

    def roll_out(self, context: Tensor, num_frames: int) -> Tensor:
        """Closed loop from context frames (B, context_size, H, W): (B, num_frames, H, W). Gradients pass through."""
        parts, count = [], 0
        while count < num_frames:
            parts.append(self.step(context))
            count += parts[-1].shape[1]
            context = torch.cat([context, parts[-1]], dim=1)[:, -self.context_size :]
        return torch.cat(parts, dim=1)[:, :num_frames]

    def forward(self, frames: Tensor, horizon: int = 0) -> Tensor:
        """Teacher-forced over all frames, then `horizon` more in closed loop: (B, T, H, W) -> (B, T - context_size +
        1 + horizon, H, W), the predictions of frames context_size … T + horizon.

        A bundling network takes part in the teacher-forced stretch with the first frame of each bundle only.

        Raises:
            ValueError: frames have another rank, or fewer than context_size frames.
        """
        check_frames(frames, self.context_size)
        closed = self.roll_out(frames[:, -self.context_size :], 1 + horizon)
        if frames.shape[1] == self.context_size:
            return closed
        windows = frames.unfold(1, self.context_size, 1)[:, :-1].movedim(-1, 2)  # (B, T - c, c, H, W)
        forced = torch.cat([self.step(part)[:, 0] for part in windows.flatten(0, 1).split(256)])
        return torch.cat([forced.unflatten(0, windows.shape[:2]), closed], dim=1)


class NoNetwork(nn.Module):
    """Adds nothing: with the three heads of `NextFrame` it is the zero prediction, copying the last frame, and
    straight-line extrapolation."""

    def forward(self, context: Tensor) -> Tensor:
        return torch.zeros_like(context[:, -1:])


class Stencil(nn.Module):
    """A linear rule on two frames: u_{t+1} = K * u_t - u_{t-1} with a fixed kernel K.

    Args:
        kernel: (k, k), k odd. padding: how the field goes on beyond the walls, see `lib.models.pad`.
    """

    def __init__(self, kernel: Tensor, padding: str = "odd"):
        super().__init__()
        self.register_buffer("kernel", kernel[None, None])
        self.padding = padding

    def forward(self, context: Tensor) -> Tensor:
        wide = pad(context[:, -1:], self.kernel.shape[-1] // 2, self.padding)
        return F.conv2d(wide, self.kernel) - context[:, -2:-1]
