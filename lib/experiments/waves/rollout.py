"""A forecast that is made as far as somebody looks, for figures that answer to a slider."""

import torch


class Rollout:
    """Predictions for one run, each made when it is asked for: `rollout[t]` is that of frame t, (H, W).

    As in `forecast`, the model reads the true frames up to number `warm_up` and then its own predictions.

    Args:
        model: a forecaster. run: the true frames (T, H, W). warm_up: number of the last frame that is read.

    Raises:
        IndexError: there is no prediction of the frame; those of context_size … T - 1 are.
    """

    def __init__(self, model, run, warm_up):
        self._model, self._last, self._known = model, len(run) - 1, run[None, : warm_up + 1]
        self._made, self._state = {}, None  # predictions so far, (1, 1, H, W) by number of the frame

    @torch.no_grad()
    def __getitem__(self, t):
        model, made = self._model, self._made
        if not model.context_size <= t <= self._last:
            raise IndexError(f"frames {model.context_size} to {self._last} are predicted, not {t}")
        read = self._known.shape[1]  # the first frame that is not known
        if model.stateful and not made:
            predictions, self._state = model.run(self._known)
            made.update(enumerate(predictions.split(1, dim=1), 1))
        if not model.stateful and t < read:
            return model(self._known[:, t - model.context_size : t])[0, -1]
        for k in range(read, t + 1):
            if k in made:
                continue
            if model.stateful:
                made[k], self._state = model.run(made[k - 1], state=self._state)
            else:
                own = [made[j] for j in range(max(read, k - model.context_size), k)]
                made[k] = model(torch.cat([self._known, *own], dim=1)[:, -model.context_size :])[:, -1:]
        return made[t][0, 0]
