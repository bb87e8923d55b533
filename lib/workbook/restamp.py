"""Code has changed, results have not: prove it by short replays, and give the shipped results today's fingerprint.

    python -m lib.workbook restamp --only 05          what differs is listed, and has to be trained again
    python -m lib.workbook restamp --slow             also runs of sweeps that take longer than a minute

Nothing is trained. How a result is tied to its code: `lib.storage.fingerprint`; what is replayed: `lib.training.probes`
and `lib.training.restamping`. Settings that are new or have another name stand in `checkpoints/migrations.json`.
"""

import contextlib
import io
import os
import sys

from lib.training import restamping
from lib.workbook import cells

WORDS = {
    "equal": "equal, bit for bit",
    "close": "equal within rounding",
    "accepted": "accepted without a replay",
    "differs": "DIFFERS",
}


def restamp(paths, values, slow=False, accept=""):
    """Restamp the results of notebooks, one line for each result whose code has changed.

    Args:
        paths: of the notebooks. values: for each, the parameters that are set (other data, for example).
        slow: replay also runs of sweeps that take longer than `restamping.ROW_SECONDS`.
        accept: names of results, with wildcards and joined by commas, that are stamped without a replay, because none
            is possible: what was computed within a time limit, or from data that are not here.

    Returns:
        Number of results that differ, and of notebooks that could not be run.
    """
    os.environ |= {"WORKBOOK_RESTAMP": "slow" if slow else "1", "WORKBOOK_ACCEPT": accept}
    bad = 0
    for path, given in zip(paths, values, strict=True):
        restamping.OUTCOMES.clear()
        print(f"{path.stem} …", flush=True)
        with contextlib.redirect_stdout(_Lines(sys.stdout)) as lines:
            problem = cells.train(path, values=given)
        lines.write("")  # what came after the notebook's last line
        found = restamping.OUTCOMES
        failed = sum(outcome["outcome"] == "differs" for outcome in found)
        seconds = sum(outcome["seconds"] for outcome in found)
        counted = f"{len(found)} results with other code, {failed} of them differ"
        print(f"  {counted}; {seconds:.0f} s of replays", flush=True)
        if problem:
            print(f"  the notebook stopped, what stands behind is not restamped: {problem}", flush=True)
        bad += failed + bool(problem)
    return bad


class _Lines(io.StringIO):
    """Swallows what the notebook prints, and lets one line through for every outcome."""

    def __init__(self, out):
        super().__init__()
        self.out, self.told = out, 0

    def write(self, text):
        for outcome in restamping.OUTCOMES[self.told :]:
            detail = f" ({outcome['detail']})" if outcome["detail"] else ""
            line = f"{outcome['name']}: {WORDS[outcome['outcome']]}{detail}, {outcome['seconds']:.0f} s"
            print(f"  {line}", file=self.out, flush=True)
            self.told += 1
        return len(text)
