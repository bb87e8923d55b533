"""The course: nbgrader's source and release, and the edition that students are given."""

import ast
import json
import subprocess
import sys
import tomllib
import zipfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.storage.paths import ROOT
from lib.workbook import exercises, notebooks
from lib.workbook.notebooks import UsageError
from lib.workbook.student import building, cutting


def small(*cells):
    return new_notebook(cells=[new_code_cell("import torch"), *cells])


def ids(nb):
    return [cell.metadata.nbgrader.grade_id for cell in nb.cells if "nbgrader" in cell.metadata]


def test_an_item_becomes_a_task_a_solution_and_a_check_in_its_place():
    nb = small(new_markdown_cell("before"), new_code_cell('exercise("P6")'), new_markdown_cell("after"))
    cells = building.source_notebook(nb, "01").cells
    place = next(number for number, cell in enumerate(cells) if cell.source == "before")
    task, solution, check, after = cells[place + 1 : place + 5]
    assert "about 60 minutes, ●●○" in task.source and task.source.count("<details>") == 3
    assert solution.metadata.nbgrader == {
        "grade": False,
        "grade_id": "P6-solution",
        "locked": False,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    assert check.metadata.nbgrader.points == 3 and check.metadata.nbgrader.locked and check.metadata.nbgrader.grade
    assert check.source.startswith('check("P6")\nVanillaLSTM = model_class("P6")') and after.source == "after"


def test_sources_that_are_shown_become_items_too_and_each_only_once():
    nb = small(new_code_cell("show_source(Conv1d)"), new_code_cell("reporting.show_source(TCN, brief=True)"))
    found = ids(building.source_notebook(nb, "02"))
    assert found.count("T4-solution") == 1 and found.index("T4-check") < found.index("T2-solution")


def test_answers_become_questions_and_what_gives_them_away_goes():
    answer = {"tags": ["answer"], "item": "P7"}
    nb = small(
        new_markdown_cell("## P7 The gates\nFour of them.", metadata=answer),
        new_markdown_cell("and how many", metadata=answer),
        new_markdown_cell("a third time", metadata=answer),
        new_markdown_cell("It was 4(nd + n² + n).", metadata={"tags": ["solution"]}),
        new_markdown_cell("## In five lines\n1. Everything."),
    )
    result = building.source_notebook(nb, "01")
    text = "\n".join(cell.source for cell in result.cells)
    assert "## P7 The gates\n" in text and "What is each of the gates" in text and "(1 point)" in text
    assert not any(phrase in text for phrase in ("Four of them", "and how many", "a third", "It was", "Everything"))
    assert ids(result).count("P7-answer-1") == ids(result).count("P7-answer-2") == 1
    assert "BEGIN MARK SCHEME" in text, "for those who mark it"


def test_readings_and_claims_go_where_an_item_is_answered_in_words():
    def code(source, *tags):
        return new_code_cell(source, metadata={"tags": [*tags]})

    nb = small(
        new_markdown_cell("## The data\n\n**Reading the figure.** Six digits."),
        code('claim(True, "six")'),
        new_markdown_cell("## P4 Lengths\n\n**Predict.** Where does it fail?"),
        code('rows = sweep()\nfor row in rows:\n    claim(row, "one")\nshow(rows)'),
        code('for row in rows:\n    x = row\n    if x:\n        claim(row, "one")\n    show(x)'),
        code('# The answer\nlow = min(rows)\nclaim(low, "at twelve")', "predict"),
        code('# The answer\nhigh = max(rows)\nclaim(high, "at thirty")', "predict"),
        new_markdown_cell("**Reading the table.** At twelve.\n\n- and here\n\n**Predict.** Next?\n\n## More\n\nText."),
        code('print(high)\nclaim(True, "kept")'),
    )
    cells = [cell.source for cell in building.without_answers(nb.cells)]
    assert cells[1:3] == ["## The data\n\n**Reading the figure.** Six digits.", 'claim(True, "six")']
    assert cells[4:6] == ["rows = sweep()\nshow(rows)", "for row in rows:\n    x = row\n    show(x)"]
    assert cells[6] == "# The answer\nhigh = max(rows)", "what others need stays"
    assert cells[7:] == ["**Predict.** Next?\n\n## More\n\nText.", 'print(high)\nclaim(True, "kept")']


def test_of_a_withheld_function_that_others_call_the_signature_stays():
    withheld = {"tags": ["solution", "figure-code"], "item": "F4"}
    turn = 'def turn(x, by=1):\n    """One line.\n\n    More.\n    """\n    y = x\n    return y + by'
    nb = small(new_code_cell(turn, metadata=withheld), new_code_cell("turn(2)"))
    called = [cell.source for cell in building.without_answers(nb.cells)][1]
    stop = 'raise NotImplementedError("turn is yours to write, in its cell above: F4")'
    assert called == f'def turn(x, by=1):\n    """One line.\n\n    More.\n    """\n    {stop}'
    del nb.cells[1].metadata["item"]
    assert len(building.without_answers(nb.cells)) == 2, "without the item's code it goes"


def test_an_answer_to_what_the_table_does_not_ask_is_a_reading():
    text = "**Reading the film.** It decays."
    cells = [new_markdown_cell("## V4 Well"), new_markdown_cell(text, metadata={"tags": ["answer"], "item": "V3"})]
    assert [cell.source for cell in building.without_answers(cells)] == ["## V4 Well"]


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_no_cell_reads_a_name_that_was_withheld_with_another(path):
    nb = notebooks.read(path)
    before, after = names(nb), names(building.source_notebook(nb, path.name[:2]))
    assert not (after["read"] - after["made"]) & before["made"]
    top = {
        getattr(node, "name", "")
        for cell in nb.cells
        if cell.cell_type == "code"
        for node in ast.parse(cell.source).body
    }
    assert not {"check", "model_class", "progress", "solution"} & top, "names of the edition"


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_every_item_is_asked_for_where_it_belongs(path):
    """Otherwise it is appended to the notebook."""
    number, cells = path.name[:2], notebooks.read(path).cells
    asked = [cell.metadata.get("item") for cell in cells if "answer" in notebooks.cell_tags(cell)]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for code in [one for one in building.ours() if exercises.item(one)["notebook"] == number]:
        row = exercises.item(code)
        assert "definitions" not in row or f'exercise("{code}"' in text, code
        assert asked.count(code) >= len(row.get("answers", [])), code


def names(nb):
    """Names that a notebook's code reads, and those that it makes."""
    found = {"read": set(), "made": set()}
    for node in (node for cell in nb.cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))):
        if isinstance(node, ast.Name):
            found["read" if isinstance(node.ctx, ast.Load) else "made"].add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.alias)):
            found["made"].add((getattr(node, "asname", None) or node.name).partition(".")[0])
        elif isinstance(node, ast.arg):
            found["made"].add(node.arg)
    return found


def test_extra_points_are_no_points_of_the_sheet():
    (cell,) = [
        cell
        for cell in building.source_notebook(small(), "03").cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "V7-answer-1"
    ]
    assert cell.metadata.nbgrader.points == 0


def test_requests_that_cannot_be_met(stores, monkeypatch):
    with pytest.raises(UsageError, match="no sheet 'X'"):
        building.make("X")
    with pytest.raises(UsageError, match="no solution of T9; there are P2"):
        building.make("B", solved="T2,T9")
    monkeypatch.setattr(building, "ours", list)
    with pytest.raises(UsageError, match="sheet E has no items"):
        building.make("E")


def test_the_course_has_every_item_of_all_sheets(built):
    with building.api(built).gradebook as book:
        points = {sheet: book.find_assignment(sheet).max_score for sheet in "ABCDE"}
    assert points == {"A": 16, "B": 100, "C": 100, "D": 16, "E": 100}
    for path in (built / "release").glob("*/*.ipynb"):
        nb = nbformat.read(path, 4)
        for cell in nb.cells:
            about = cell.metadata.get("nbgrader", {})
            name = about.get("grade_id", "")
            if name.endswith("-solution"):
                assert cell.source == cutting.stub(name.removesuffix("-solution"))
            elif "-answer-" in name:
                assert cell.source == "*Your answer.*" and about.grade and about.solution
            assert "MARK SCHEME" not in cell.source and "BEGIN SOLUTION" not in cell.source
            assert not cell.get("outputs")


def test_the_edition_has_what_is_needed_and_no_solution_beside_the_archive(built):
    edition = built / "edition"
    for name in (
        "Makefile",
        "README.md",
        "feedback.md",
        "data/README.md",
        "student/checks/02.py",
        "student/edition.json",
    ):
        assert (edition / name).is_file(), name
    table = tomllib.loads((edition / "student" / "exercises.toml").read_text("utf-8"))
    assert table.keys() == exercises.items().keys()
    assert not any(
        {"rubric", "withheld"} & {*row, *(key for one in row.get("answers", []) for key in one)}
        for row in table.values()
    )
    withheld = [one for row in exercises.items().values() for one in row.get("withheld", [])]
    texts = "".join(" ".join(path.read_text("utf-8").split()) for path in (edition / "lib").rglob("*.py"))
    assert not [one for one in withheld if " ".join(one.split()) in texts]
    assert not (edition / "seed.txt").exists() and not (edition / "tests").exists()
    assert len([*(edition / "checkpoints").rglob("*.json")]) > 20 and not (edition / "checkpoints" / "local").exists()
    texts = [path.read_text("utf-8") for path in edition.rglob("*.py")]
    texts += [path.read_text("utf-8") for path in (edition / "notebooks").glob("0[1-7]*.ipynb")]
    library = "".join(path.read_text("utf-8") for path in (ROOT / "lib").rglob("*.py"))
    for code in cutting.coded():
        region = cutting.solution(code, marked=True).split(cutting.BEGIN)[-1].split(cutting.END)[0]
        lines = [line.strip() for line in region.splitlines() if '"' not in line]
        line = max((line for line in lines if library.count(line) == 1), key=len)  # what siblings share stays there
        assert not [text for text in texts if line in text], line
    with zipfile.ZipFile(edition / "student" / "solutions.zip") as archive:
        assert archive.namelist() == [f"{code}.py" for code in cutting.coded()]
        assert archive.read("T3.py").decode() == cutting.solution("T3") + "\n"


def test_the_edition_works_where_it_lies(built, stores):
    """Its own library, its own root: what is not written stops with one line, what was written is used."""
    code = """
import lib.storage.paths, lib.models as models
from lib.workbook.student import working
print(lib.storage.paths.ROOT)
print([row[5] for row in working.table()].count("open"))
try:
    models.LSTM(2, 3, 4)
except working.NotYetWritten as error:
    print(error)
working.solution("T3")
"""
    edition = built / "edition"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=edition,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(edition), "PATH": ""},
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == [str(edition), str(len(cutting.coded()))], done.stderr
    assert lines[2].startswith("T3 (LSTMCell and LSTM) is yours to write") and "try it yourself first" in lines[3]


def test_a_cell_that_waits_for_an_item_names_it_and_the_rest_runs(built, tmp_path):
    """The student's 02, its cells up to the first that needs something: the parity of T2."""
    edition = built / "edition"
    nb = notebooks.read(edition / "notebooks" / "02_memory.ipynb")
    number = next(n for n, cell in enumerate(nb.cells) if cell.source.startswith('check("T2")'))
    code = "\n".join(cell.source for cell in nb.cells[: number + 1] if cell.cell_type == "code")
    code += "\nRNN(5, 3, 5)"
    done = subprocess.run(
        [sys.executable, "-c", "import matplotlib; matplotlib.use('agg')\n" + code],
        cwd=edition / "notebooks",
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(edition), "PATH": "", "MPLCONFIGDIR": str(tmp_path), "WORKBOOK_WORK": str(tmp_path)},
    )
    assert "NotYetWritten: T2 (RNNCell and RNN) is yours to write, in notebook 02" in done.stderr, done.stderr[-2000:]


def test_solutions_are_left_out_or_released_one_by_one(stores, monkeypatch):
    (stores / "checkpoints").mkdir()
    monkeypatch.setattr(building, "api", lambda folder: type("Nbgrader", (), {"generate_assignment": no_nbgrader})())
    building.make("B", solved="t2, T3")
    edition = stores / "exports" / "course" / "edition"
    with zipfile.ZipFile(edition / "student" / "solutions.zip") as archive:
        assert archive.namelist() == ["T2.py", "T3.py"]
    assert sorted(path.name for path in (stores / "exports" / "course" / "source").iterdir()) == ["B"]
    building.make("B", solutions=False)
    assert not (edition / "student" / "solutions.zip").exists()
    assert json.loads((edition / "student" / "edition.json").read_text()) == {"solutions": []}


def no_nbgrader(self, sheet):
    return {"success": True}


def test_titles_and_tables_know_all_items():
    for code in filter(cutting.ready, exercises.items()):
        (path,) = notebooks.paths(exercises.item(code)["notebook"])
        assert path.exists()
