"""The notebooks at a glance: the README's table is read, and every picture and number that is chosen exists."""

import pytest

from lib.storage.paths import ROOT
from lib.workbook import notebooks, overview

EXERCISES = [path for path in notebooks.paths() if path.stem != "00_start_here"]


def test_the_readmes_table_names_every_notebook_with_its_minutes():
    times = overview.times()
    assert list(times) == [path.stem for path in EXERCISES] == [*overview.titles()]
    for name, one in times.items():
        assert 0 < one.run <= one.train <= one.everything, name
        assert min(one.memory, one.core) > 0, name


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_every_notebook_has_the_picture_and_the_number_that_are_chosen(path):
    cover = overview.cover(path)
    assert cover.missing == [], "choose others in notebooks/covers.yaml"
    assert cover.sentence and min(cover.frames[0].size) > 50
    assert all(before + "_" in " ".join(overview.choices()) for before in overview.choices()[path.stem]["after"])


def test_what_is_missing_is_told_and_something_else_taken(monkeypatch):
    path = EXERCISES[0]
    chosen = {"figure": "No such caption", "number": "no such (sentence)", "says": "{0}"}
    monkeypatch.setattr(overview, "choices", lambda: {path.stem: chosen})
    cover = overview.cover(path)
    assert cover.missing == ["no caption begins with 'No such caption'", "no sentence says 'no such (sentence)'"]
    assert len(cover.frames) == 1 and any(sign.isdigit() for sign in cover.sentence)


def test_a_sheet_with_columns_becomes_a_film_there_and_back():
    faces = next(path for path in EXERCISES if path.stem.startswith("05"))
    columns = overview.choices()[faces.stem]["columns"]
    assert len(overview.cover(faces).frames) == 2 * columns - 2


def test_the_readmes_pictures_are_small():
    pictures = sorted((ROOT / "docs" / "pictures").iterdir())
    assert {path.name[:2] for path in EXERCISES} | {"st"} == {path.name[:2] for path in pictures}
    assert sum(path.stat().st_size for path in pictures) <= 1_500_000
