"""A task of the cluster's array, where there is no cluster; with one, see `test_cluster.py`."""

import pytest

from lib.storage.paths import ROOT
from lib.workbook.cluster.task import STOPPED, task
from lib.workbook.notebooks import UsageError


def test_a_task_needs_its_script(monkeypatch):
    assert f"\n{STOPPED} | 143)" in (ROOT / "cluster" / "report.sbatch").read_text("utf-8"), "queued again"
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    with pytest.raises(UsageError, match="this is what cluster/report.sbatch calls"):
        task(1)
