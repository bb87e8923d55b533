"""What several tests of the command line need: a workbook of two small notebooks."""

import json

import pytest
import yaml
from small_notebooks import SAVE, write

from lib.workbook import notebooks


@pytest.fixture
def folder(stores, monkeypatch):
    """A folder of two small notebooks in place of the workbook's own; the first one fails."""
    folder = stores / "notebooks"
    write(folder / "01_fails.ipynb", "before = 1", "# a comment\nprint('so far')\n1 / 0  # here", "after = 1")
    write(folder / "02_works.ipynb", SAVE)
    (folder / "profiles").mkdir()
    (folder / "profiles" / "smoke.yaml").write_text(yaml.safe_dump({"02_works": {"steps": 1}}))
    (folder / "profiles" / "gpu.yaml").write_text("")
    monkeypatch.setattr(notebooks, "FOLDER", folder)
    return folder


@pytest.fixture
def values(stores):
    """What the second notebook was run with."""
    return lambda: json.loads((stores / "exports" / "values.json").read_text())
