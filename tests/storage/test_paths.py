"""Where things lie: in the workbook's folder, or where the environment says."""

import pytest

from lib.storage.paths import ROOT, checkpoints_folder, exports_folder


def test_the_root_is_the_folder_of_the_workbook():
    assert (ROOT / "pyproject.toml").is_file() and (ROOT / "lib" / "storage" / "paths.py").is_file()


def test_folders_lie_where_the_environment_points(stores):
    assert checkpoints_folder() == stores / "checkpoints" and exports_folder() == stores / "exports"


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_word_of_the_environment_they_lie_in_the_workbook(value, monkeypatch):
    for variable in ("WORKBOOK_CHECKPOINTS", "WORKBOOK_EXPORTS"):
        monkeypatch.setenv(variable, "")
        if value is None:
            monkeypatch.delenv(variable)
    assert (checkpoints_folder(), exports_folder()) == (ROOT / "checkpoints", ROOT / "exports")
