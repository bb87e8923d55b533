"""From a folder of hand-ins to nbgrader's gradebook, a table and a page for every student."""

import csv
import shutil

import answers
import nbformat
import pytest

from lib.workbook import command_line, exercises
from lib.workbook.notebooks import UsageError
from lib.workbook.student import building, checking, cutting, feedback, grading
from lib.workbook.student.bench import Bench

SHEET_B = ("02_memory.ipynb", "03_predictive_vit.ipynb")


@pytest.fixture
def course(built, stores):
    """A course of this test's own, with the edition of the one that was built."""
    folder = stores / "exports" / "course"
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns("edition", "submitted", "autograded"))
    (folder / "edition").symlink_to(built / "edition")
    return folder


def hand_in(course, folder, texts, names=SHEET_B, words=None):
    """A folder of notebooks in which these items have these texts."""
    for path in (course / "release").glob("*/*.ipynb"):
        if path.name not in names:
            continue
        nb = nbformat.read(path, 4)
        for cell in nb.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if name.endswith("-solution") and name.removesuffix("-solution") in texts:
                cell.source = texts[name.removesuffix("-solution")]
            elif name in (words or {}):
                cell.source = words[name]
        (folder / "notebooks").mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, folder / "notebooks" / path.name)
    return folder


def points(grades, name):
    return {code: item["points"] for code, item in grades[name]["items"].items()}


def table(course):
    with open(course / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


class Desk:
    """A box's place taken by this process, for code that nobody has to fear."""

    def __init__(self, *_):
        self.ask = Bench({"__name__": "__main__"}).answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


NOTHING = {"T2": 0, "T3": 0, "T4": 0, "V1": 0, "V2": 0}


def check_a_folder_of_hand_ins(course, tmp_path, sandbox, exit):
    solved = {code: cutting.solution(code) for code in ("P2", "P6", *NOTHING)}
    folder = tmp_path / "hand-ins"
    two_sheets = ("01_palindromes.ipynb", *SHEET_B)
    hand_in(course, folder / "Ada-1", solved, two_sheets, {"T4-answer-1": "Four <b>layers</b>."})
    hand_in(course, folder / "Bob-2", {})
    shutil.make_archive(folder / "Müller-3", "zip", hand_in(course, tmp_path / "cid", {"T3": solved["T3"]}))
    cheat = {"T2": solved["T2"], "T3": exit, "V1": "check = lambda *a: 10.\nmodel_class = None"}
    hand_in(course, folder / "Dan-4", cheat | {"T4": answers.HEAD + answers.RIGHT["T4"]["by index"]})
    (folder / "Eve-5.zip").write_text("no archive")
    grades = grading.grade(folder, sandbox)
    assert points(grades, "Ada-1") == {code: exercises.item(code)["points"] for code in solved}
    assert points(grades, "Bob-2") == NOTHING
    assert points(grades, "Müller-3") == NOTHING | {"T3": 15}
    assert points(grades, "Dan-4") == NOTHING | {"T2": 10, "T4": 12}
    assert "Eve-5.zip cannot be read" in grades["Eve-5"]["problem"]
    rows = table(course)
    assert rows["Ada-1"]["B total"] == "57.0" and rows["Ada-1"]["A total"] == "5.0" and rows["Ada-1"]["B T3"] == "15.0"
    assert rows["Ada-1"]["B T4-answer-1"] == "" and rows["Ada-1"]["B T5-answer-1"] == "0.0", "to be marked; left empty"
    assert [rows[name]["style"] for name in ("Ada-1", "Bob-2", "Eve-5")] == ["1", "0", "0"], "of what is written"
    assert rows["Dan-4"]["B total"] == "22.0" and rows["Bob-2"]["A total"] == "" and rows["Eve-5"]["problem"]
    return folder, grades


def check_a_person_marks(course, folder, sandbox):
    """What formgrader lists and stores, and what comes of it."""
    with building.api(course).gradebook as book:
        grade = book.find_grade("T4-answer-1", "02_memory", "B", "Ada-1")
        assert grade.needs_manual_grade and grade.auto_score is None
        comment = book.find_comment("T3-solution", "02_memory", "B", "Dan-4").auto_comment
        assert comment.startswith("0 of 15 points") and "came out: " in comment
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        book.db.commit()
    assert (course / "autograded" / "Ada-1" / "B" / "02_memory.ipynb").is_file(), "what formgrader shows"
    grading.grade(folder, sandbox)
    assert table(course)["Ada-1"]["B T4-answer-1"] == "2.5" and table(course)["Ada-1"]["B total"] == "59.5"
    page = (course / "feedback" / "Ada-1.html").read_text("utf-8")
    assert "T4, in words: 2.5 of 3 points" in page and "all 15 points: every check passed" in page


def test_a_folder_is_graded(course, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grading, "Box", Desk)
    monkeypatch.setattr(grading, "probe", lambda *_: None)
    folder, first = check_a_folder_of_hand_ins(course, tmp_path, "none", "raise SystemExit")
    assert "SANDBOX=none: what is graded runs as you" in capsys.readouterr().err
    monkeypatch.setattr(grading, "graded", None)  # once more: nothing is run again, and nothing changes
    assert grading.grade(folder, "none") == first
    check_a_person_marks(course, folder, "none")


@pytest.mark.system
@pytest.mark.usefixtures("boxes")
def test_a_folder_is_graded_in_boxes(course, tmp_path):
    check_a_folder_of_hand_ins(course, tmp_path, "bubblewrap", "import os\nos._exit(0)")


def test_style_and_the_feedback_form():
    assert not any(grading.style(code, cutting.solution(code)) for code in cutting.coded())
    found = grading.style("T3", "class LSTMCell:\n    x=1 \n    y = '" + "z" * 120 + "'")
    assert [line.split()[1] for line in found] == [
        "missing-whitespace-around-operator:",
        "trailing-whitespace:",
        "line-too-long:",
    ]
    blank = (building.ROOT / "feedback.md").read_text("utf-8")
    assert not grading.filled_in("", blank) and not grading.filled_in(blank.replace("\n", "\r\n"), blank)
    assert grading.filled_in(blank.replace("| 02 Memory | |", "| 02 Memory | 6 |"), blank)


def test_what_is_missing_is_named(stores, capsys, tmp_path):
    assert command_line.main(["grade"]) == 2 and "SUBMISSIONS is missing" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no course to grade for: make student"):
        grading.grade(tmp_path)


def test_the_page_shows_what_students_wrote_as_text():
    result = vars(checking.Result("T3", 3, 15, [("<b>", 4, ["came out: <script>alert(1)</script>"])]))
    marks = {"T4-answer-1": None, "T3-check": 3}
    page = feedback.page("<i>Ada", {"problem": "", "items": {"T3": result}, "style": ["T3:1:1: W291 <x>"]}, marks)
    assert "&lt;script&gt;" in page and "<script>" not in page and "<i>" not in page
    assert "W291 &lt;x&gt;" in page and "3 of 15 points" in page and "T4, in words: not marked yet" in page
