"""The checks of sheets A and B, held to right answers, however they are built, and to the classic mistakes."""

import re
import time

import answers
import pytest

from lib.workbook import exercises
from lib.workbook.student import checking, cutting

ITEMS = cutting.coded()


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


@pytest.mark.parametrize("item", ITEMS)
def test_other_seeds_give_full_points_too(item):
    for seed in range(1, 13):
        bench = checking.Bench({})
        result = checking.run_defined(item, checking.Student(bench.answer, cutting.solution(item), seed))
        assert result.passed, f"seed {seed}: {messages(result)}"


@pytest.mark.parametrize("item", ITEMS)
def test_a_stub_gets_nothing(item):
    result = checking.here(item, cutting.stub(item))
    assert result.points == 0 and "NotImplementedError" in messages(result)


@pytest.mark.parametrize(("item", "name"), [(item, name) for item in answers.RIGHT for name in answers.RIGHT[item]])
def test_right_answers_that_are_built_differently(item, name):
    result = checking.here(item, answers.HEAD + answers.RIGHT[item][name])
    assert result.passed, messages(result)


@pytest.mark.parametrize(
    ("item", "changes", "phrase"),
    [pytest.param(item, changes, phrase, id=f"{item} {name}") for item, name, changes, phrase in answers.MISTAKES],
)
def test_classic_mistakes_are_caught_and_named(item, changes, phrase):
    text = cutting.solution(item)
    for old, new in changes:
        assert old in text, f"the solution has changed: no {old}"
        text = text.replace(old, new)
    result = checking.here(item, text)
    assert result.failed and result.points < result.most
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
    assert points == sheet_a | sheet_b and sum(sheet_a.values()) == 16 and sum(sheet_b.values()) == 100
