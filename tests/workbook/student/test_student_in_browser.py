"""A real browser: a student writes what notebook 02 asks for, and a teacher finds the hand-in in formgrader."""

import os
import shutil

import nbformat
import pytest
import yaml

from lib.storage.paths import ROOT
from lib.workbook import browser
from lib.workbook.browser import CELLS, CHROMIUM, ERRORS, UNFINISHED
from lib.workbook.student import checking, cutting, grading

pytestmark = [pytest.mark.system, pytest.mark.skipif(not CHROMIUM, reason=browser.MISSING)]
NAME = "02_memory.ipynb"
PLACE = CELLS + ".findIndex(cell => cell.model.sharedModel.getSource().startsWith({!r}))"


@pytest.fixture
def edition(built, tmp_path):
    """The folder of a student's, with the numbers of notebook 02 that take seconds."""
    folder = tmp_path / "edition"
    shutil.copytree(built / "edition", folder)
    nb = nbformat.read(folder / "notebooks" / NAME, 4)
    (cell,) = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    numbers = yaml.safe_load((ROOT / "notebooks" / "profiles" / "smoke.yaml").read_text("utf-8"))[NAME[:-6]]
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in numbers.items())
    nbformat.write(nb, folder / "notebooks" / NAME)
    return folder


def run_to_the_first_error(page):
    """What it says, as lines; none if all cells have run."""
    browser.menu(page, "Edit", "Clear Outputs of All Cells")
    browser.menu(page, "Run", "Run All Cells")
    page.wait_for_function(f"() => {UNFINISHED} === 0 || {ERRORS}.length", timeout=900_000)
    return "\n".join(page.evaluate(ERRORS)).splitlines()


def write_and_check(page, item):
    """Type a solution over the stub, run it and the check below it: what the check prints."""
    place = page.evaluate(PLACE.format(f'check("{item}")'))
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    editor = cells.nth(place - 1).locator(".cm-content")
    editor.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(cutting.solution(item))
    page.keyboard.press("Shift+Enter")
    cells.nth(place).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    told = cells.nth(place).locator(".jp-OutputArea-output")
    told.filter(has_text="points").wait_for(timeout=browser.TIME)
    return told.inner_text()


def test_a_student_runs_to_the_gaps_of_notebook_02_writes_and_goes_on_to_the_end(edition, monkeypatch):
    monkeypatch.setenv("WORKBOOK_PROFILE", "smoke")
    with browser.jupyterlab(edition, library=edition) as lab, browser.new_page() as page:
        browser.open_notebook(page, lab, edition / "notebooks" / NAME)
        for item, points in (("T2", 10), ("T3", 15), ("T4", 12)):
            (line,) = run_to_the_first_error(page)
            assert line.startswith(f"{item} ({cutting.listed(item)}) is yours to write, in notebook 02")
            assert page.get_by_text(line).is_visible()
            told = write_and_check(page, item)
            assert f"{points} of {points} points" in told and f"work/{item}.py" in told, told
        assert run_to_the_first_error(page) == []
        if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/student.png")
    assert sorted(path.name for path in (edition / "work").glob("*.py")) == ["T2.py", "T3.py", "T4.py"]


def test_a_teacher_finds_what_is_to_be_marked_in_formgrader(built, stores, tmp_path, monkeypatch):
    course = stores / "exports" / "course"
    shutil.copytree(built, course, ignore=shutil.ignore_patterns("edition"))
    (course / "edition").symlink_to(built / "edition")
    nb = nbformat.read(course / "release" / "B" / NAME, 4)
    (cell,) = [one for one in nb.cells if one.metadata.get("nbgrader", {}).get("grade_id") == "T4-answer-1"]
    cell.source = "Four layers, since 81 is the first power of three that reaches 30."
    (tmp_path / "hand-ins" / "Ada-1").mkdir(parents=True)
    nbformat.write(nb, tmp_path / "hand-ins" / "Ada-1" / NAME)
    monkeypatch.setattr(grading, "probe", lambda *_: None)
    monkeypatch.setattr(grading, "graded", lambda folder, code, *_: checking.nothing(code, "not tested here"))
    grading.grade(tmp_path / "hand-ins")
    with browser.jupyterlab(course, shown=".") as lab, browser.new_page() as page:
        page.goto(lab.split("/lab/")[0] + "/lab?token=test", wait_until="domcontentloaded")
        page.get_by_role("menuitem", name="Nbgrader", exact=True).click(timeout=browser.TIME)
        page.get_by_role("menuitem", name="Formgrader", exact=True).click()
        page.goto(lab.split("/lab/")[0] + "/formgrader/gradebook/B/02_memory?token=test")
        page.get_by_text("Submission #1").click(timeout=browser.TIME)
        page.get_by_text("Four layers, since 81 is").wait_for(timeout=browser.TIME)
        if folder := os.environ.get("WORKBOOK_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/formgrader.png")
