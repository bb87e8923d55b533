"""The sheets: each notebook belongs to one, and one that is not complete is refused."""

import pytest

from lib.workbook import notebooks
from lib.workbook.notebooks import UsageError
from lib.workbook.submission.sheets import SHEETS, notebooks_of


def test_sheets():
    every = [path.name[:2] for path in notebooks.paths() if path.stem != "00_start_here"]
    assert sorted(",".join(SHEETS.values()).split(",")) == every, "each notebook belongs to one sheet"
    found = {number: f"path {number}" for number in every}
    assert notebooks_of("A", found) == ["path 01"]
    assert notebooks_of(" d ", found) == ["path 06", "path 07", "path 08"]
    assert notebooks_of("ALL", found) == list(found.values())
    for sheet, message in (("", "SHEET is missing: add SHEET=A … E"), (None, "is missing"), ("F", "are A, B, C, D, E")):
        with pytest.raises(UsageError, match=message):
            notebooks_of(sheet, found)
    del found["07"], found["08"]
    for sheet in ("D", "all"):
        with pytest.raises(UsageError, match="notebook 07, 08 is missing.*git checkout.*complete here: A, B, C, E"):
            notebooks_of(sheet, found)


def test_every_sheet_of_this_workbook_is_complete_or_refused_with_what_is_missing():
    found = {path.name[:2]: path for path in notebooks.paths()}
    for sheet, numbers in SHEETS.items():
        if missing := sorted(set(numbers.split(",")) - set(found)):
            with pytest.raises(UsageError, match=f"notebook {', '.join(missing)} is missing"):
                notebooks_of(sheet, found)
        else:
            assert [path.name[:2] for path in notebooks_of(sheet, found)] == numbers.split(",")
