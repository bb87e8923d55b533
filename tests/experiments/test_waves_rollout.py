"""Single predictions that are made when they are asked for are those of the whole forecast."""

import pytest
import torch
from torch import nn

from lib.experiments import waves
from lib.models import ConvLSTM, NextFrame

WARM_UP, LAST = 4, 9
RUN = torch.randn(LAST + 1, 8, 8, generator=torch.Generator().manual_seed(1))


def forecaster(kind):
    torch.manual_seed(0)
    return ConvLSTM(2, head="extrapolate") if kind == "stateful" else NextFrame(nn.Conv2d(3, 1, 3, padding=1), 3)


@pytest.mark.parametrize("kind", ["stateful", "of three frames"])
@pytest.mark.parametrize("order", [range(3, LAST + 1), [7, 3, 9, 4, 5, 9]])
def test_in_any_order(kind, order):
    model = forecaster(kind)
    whole = waves.forecast(model, RUN[None], WARM_UP)[0]
    rollout = waves.Rollout(model, RUN, WARM_UP)
    for t in order:
        prediction = rollout[t]
        torch.testing.assert_close(prediction, whole[t - len(RUN)])
        assert not prediction.requires_grad


def test_no_more_is_computed_than_is_looked_at():
    model, calls = forecaster("of three frames"), []
    model.register_forward_hook(lambda *_: calls.append(1))
    rollout = waves.Rollout(model, RUN, WARM_UP)
    counts = []
    for t in (4, 6, 6, 8):
        rollout[t]
        counts.append(len(calls))
    assert counts == [1, 3, 3, 5], "frames 5 and 6 for the second, nothing for the third, frames 7 and 8 for the last"


@pytest.mark.parametrize("t", [2, LAST + 1, -1])
def test_other_frames_are_refused(t):
    with pytest.raises(IndexError, match=f"frames 3 to 9 are predicted, not {t}"):
        waves.Rollout(forecaster("of three frames"), RUN, WARM_UP)[t]
