"""A notebook of a student's, as far as `check` sees it, and a course that is built once."""

import os
from types import SimpleNamespace

import pytest
import setuptools  # noqa: F401 - nbgrader needs it; it refuses to be imported after the standard library's distutils

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError
from lib.workbook.student import box, building


@pytest.fixture
def typed(stores, monkeypatch):
    """The list of cells that ran in the notebook; what passes is kept in a folder of the test's."""
    monkeypatch.setenv("WORKBOOK_WORK", str(stores / "work"))
    cells = []
    monkeypatch.setattr(
        "IPython.get_ipython", lambda: SimpleNamespace(history_manager=SimpleNamespace(input_hist_raw=cells))
    )
    return cells


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A course of all sheets, as `make student` writes it."""
    folder = tmp_path_factory.mktemp("course")
    before = os.environ.get("WORKBOOK_EXPORTS")
    os.environ["WORKBOOK_EXPORTS"] = str(folder)
    try:
        building.make()
    finally:
        os.environ.pop("WORKBOOK_EXPORTS") if before is None else os.environ.update(WORKBOOK_EXPORTS=before)
    return folder / "course"


@pytest.fixture(scope="session")
def boxes():
    """Where boxes of bubblewrap do not start, tests that need them are skipped, with the reason and the remedy."""
    try:
        box.probe(ROOT, "bubblewrap")
    except UsageError as error:
        pytest.skip(str(error))
