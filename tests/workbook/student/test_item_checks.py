"""The checks of all items, held to right answers, however they are built, and to the classic mistakes."""

import importlib
import re
import time
from pathlib import Path

import answers
import pytest

from lib.workbook import exercises
from lib.workbook.student import checking, cutting

ITEMS = cutting.coded()
ANSWERS = [importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("answers*.py"))]
RIGHT = [(item, name, text) for one in ANSWERS for item, texts in one.RIGHT.items() for name, text in texts.items()]
MISTAKES = [mistake for one in ANSWERS for mistake in one.MISTAKES]


def messages(result):
    return "\n".join(line for title, _, lines in result.failed for line in [title, *lines])


@pytest.mark.parametrize("item", ITEMS)
def test_our_solutions_get_full_points(item, capfd):
    text = cutting.solution(item)
    checking.here(item, text)  # what torch loads at its first use takes its time
    start = time.process_time()
    result = checking.here(item, text)
    assert result.passed and result.points == result.most == exercises.item(item)["points"], messages(result)
    assert time.process_time() - start < checking.SECONDS
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "seeds", [[1, 2, 3], pytest.param(range(4, 40), marks=pytest.mark.system)], ids=["few", "many"]
)
@pytest.mark.parametrize("item", ITEMS)
def test_other_seeds_give_full_points_too(item, seeds):
    for seed in seeds:
        bench = checking.Bench({})
        result = checking.run_defined(item, checking.Student(bench.answer, cutting.solution(item), seed))
        assert result.passed, f"seed {seed}: {messages(result)}"


@pytest.mark.parametrize("item", ITEMS)
def test_a_solution_gets_no_points_of_another_item(item):
    for other in ITEMS:
        if other != item:
            assert checking.here(other, cutting.solution(item)).points == 0, other


@pytest.mark.parametrize("item", ITEMS)
def test_a_stub_gets_nothing(item):
    result = checking.here(item, cutting.stub(item))
    assert result.points == 0 and "NotImplementedError" in messages(result)


@pytest.mark.parametrize(
    ("item", "text"), [pytest.param(item, text, id=f"{item} {name}") for item, name, text in RIGHT]
)
def test_right_answers_that_are_built_differently(item, text):
    result = checking.here(item, answers.HEAD + text)
    assert result.passed, messages(result)


@pytest.mark.parametrize(
    ("item", "changes", "phrase"),
    [pytest.param(item, changes, phrase, id=f"{item} {name}") for item, name, changes, phrase in MISTAKES],
)
def test_classic_mistakes_are_caught_and_named(item, changes, phrase):
    text = cutting.solution(item)
    if isinstance(changes, str):  # a text of its own
        text, changes = answers.HEAD + changes, []
    for old, new in changes:
        assert old in text, f"the solution has changed: no {old}"
        text = text.replace(old, new)
    result = checking.here(item, text)
    assert result.failed and (result.points < result.most or not result.most)
    assert phrase is None or phrase in messages(result), messages(result)


def test_a_message_shows_what_was_expected_and_what_came_out_and_no_solution():
    item, _, ((old, new),), _ = next(one for one in answers.MISTAKES if one[1] == "the stride is ignored")
    result = checking.here(item, cutting.solution(item).replace(old, new))
    told = messages(result)
    assert re.search(r"expected: shape .*\nfor: x .*\ncame out: shape .*\nlikely: the stride is ignored", told)
    assert not re.search(r"\b(self|return|torch)\.", told)


@pytest.mark.parametrize(
    ("code", "phrase"),
    [
        ("class LSTMCell(nn.Module)", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("class LSTMCell:\n    pass", "LSTMCell\\(\\) takes no arguments"),
        ("while True: pass", "stopped after 3 seconds"),
        ("import sys\nprint('x' * 10**6); print('y', file=sys.stderr)\n1 / 0", "ZeroDivisionError: division by zero"),
        ("import warnings; warnings.warn('careful')", "the cell defines no LSTMCell"),
    ],
)
def test_whatever_a_cell_does_a_check_ends_quietly(code, phrase, capfd):
    result = checking.here("T3", answers.HEAD + code)
    assert result.points == 0 and re.search(phrase, messages(result)), messages(result)
    assert capfd.readouterr() == ("", "")


def test_every_item_has_what_a_student_is_told():
    for code in filter(cutting.ready, exercises.items()):
        row = exercises.item(code)
        assert row["minutes"] and row["difficulty"] in (1, 2, 3)
        if "definitions" in row:
            assert 2 <= len(row["hints"]) <= 3
            assert sum(part.points for part in checking.parts(code)) == row["points"]
        for answer in row.get("answers", []):
            assert answer["question"] and 2 <= len(answer["rubric"]) <= 5


def test_the_points_are_those_of_the_sheets():
    points = {}
    for code in filter(cutting.ready, exercises.items()):
        row = exercises.item(code)
        answers_ = sum(one["points"] for one in row.get("answers", []) if not one.get("bonus"))
        points[code] = row.get("points", 0) + answers_
    sheet_a = {"P2": 2, "P3": 2, "P4": 2, "P5": 2, "P6": 5, "P7": 3}
    sheet_b = {"T2": 10, "T3": 15, "T4": 15, "T5": 10, "V1": 10, "V2": 10, "V4": 10, "V5": 10, "V6": 10, "V7": 0}
    sheet_c = {"X1": 10, "X2": 6, "X3": 6, "X4": 9, "X5": 7, "X6": 2, "F1": 20, "F2": 10, "F3": 20, "F4": 10}
    sheet_d = {"M1": 4, "M2": 2, "M3": 2, "M4": 2, "D1": 3, "D2": 3, "D3": 0, "G1": 0, "G2": 0, "G3": 0, "G4": 0}
    sheet_e = {"W1": 0, "W2": 20, "U1": 20, "U2": 30, "U3": 20, "U4": 10}
    sheets = sheet_a, sheet_b, sheet_c, sheet_d, sheet_e
    assert points == {item: worth for sheet in sheets for item, worth in sheet.items()}
    assert [sum(sheet.values()) for sheet in sheets] == [16, 100, 100, 16, 100]
