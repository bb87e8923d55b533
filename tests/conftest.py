"""Every test works in stores of its own: the real checkpoints and exports are never touched."""

import multiprocessing
import os
import sys
from pathlib import Path

import matplotlib
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `choice`, also where pytest was told to collect notebooks alone
import choice

from lib.training import checkpoints, restamping

matplotlib.use("agg")
torch.set_num_threads(1)

WORKBOOK_VARIABLES = (
    "WORKBOOK_PROFILE",
    "WORKBOOK_SHIP",
    "WORKBOOK_USED",
    "WORKBOOK_RESTAMP",
    "WORKBOOK_ACCEPT",
    "WORKBOOK_ARITHMETIC",
    "PYTHONPATH",
    "PYDEVD_DISABLE_FILE_VALIDATION",
)


def pytest_addoption(parser):
    parser.addoption("--only", metavar="01,02", help="tests of these notebooks and of the modules that they import")


def pytest_xdist_make_scheduler(config, log):
    """Where several processes share the tests (xdist), those of a file stay together, but for the smoke runs."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return choice.group(nodeid)

    return ByFile(config, log)


def pytest_collection_modifyitems(config, items):
    """Leave out what was not chosen."""
    if only := config.getoption("--only"):
        kept = choice.chosen(items, only)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.fixture(autouse=True)
def stores(tmp_path, monkeypatch):
    """Empty folders for checkpoints and exports, no records, and an environment that is put back afterwards."""
    monkeypatch.setenv("WORKBOOK_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("WORKBOOK_EXPORTS", str(tmp_path / "exports"))
    for variable in WORKBOOK_VARIABLES:  # `lib.workbook.run` sets them for the kernels it starts
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # of kernels, two at a time
    monkeypatch.setattr(checkpoints, "RECORDS", [])
    monkeypatch.setattr(restamping, "OUTCOMES", [])
    return tmp_path


@pytest.fixture
def displayed(monkeypatch):
    """What `display` was called with in figures, widgets and reports: a list of (data, metadata)."""
    from lib.figures import captions, widgets
    from lib.workbook import reporting

    calls = []

    def display(data, raw=False, metadata=None):
        calls.append((data, metadata or {}))

    for module in (captions, reporting, widgets):
        monkeypatch.setattr(module, "display", display)
    captions.number_anew()
    return calls


@pytest.fixture(scope="session")
def processes():
    """Starts real processes, which can be killed; except on Windows they do not each import torch anew."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["pytest", "lib.training", "torch.utils.tensorboard", "torch._dynamo"])
    return context
