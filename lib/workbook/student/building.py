"""Writes the course: the notebooks that nbgrader cuts, and the edition that students are given.

`exports/course/` is an nbgrader course (`source/`, `release/`, `gradebook.db`), with `edition/` beside it: notebooks, a
library without the solutions, data and checkpoints. One sheet is one assignment.
"""

import ast
import json
import os
import re
import secrets
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from lib.storage.paths import ROOT, checkpoints_folder, exports_folder
from lib.workbook import exercises, notebooks
from lib.workbook.notebooks import UsageError, cell_tags, short
from lib.workbook.student import cutting
from lib.workbook.student.withholding import without_answers
from lib.workbook.student.working import SOLUTIONS
from lib.workbook.submission import archive
from lib.workbook.submission.sheets import SHEETS, notebooks_of

CONCLUSION = re.compile(r"## (In five lines|Conclusion)\b")
README = Path(__file__).with_name("edition.md")
LEFT_OUT = ("tests/", "docs/")  # of the workbook's files
OUR_WORDS = re.compile(r"^(?:rubric|withheld) = (?:\[\n.*?\n\]|\[[^\n]*\])\n", re.S | re.M)  # of the table of exercises
PREPARED = """from lib.workbook.student import reference as checkpoints
from lib.workbook.student import working as _working
from lib.workbook.student.working import check, model_class, progress, solution

_working.start(%r)"""
CONFIG = """c = get_config()
c.CourseDirectory.course_id = "workbook"
c.ClearSolutions.code_stub = {"python": %r}
c.ClearSolutions.text_stub = "*Your answer.*"
# What `make grade` leaves to nbgrader: our cells put back. Outputs stay, for those who mark; nothing is run.
c.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors.OverwriteCells"]
c.Autograde.autograde_preprocessors = []
"""


def course_folder():
    """Where the course lies."""
    return exports_folder() / "course"


def api(folder=None):
    """nbgrader, for the course in this folder."""
    bins = str(Path(sys.executable).parent)  # nbgrader calls alembic
    if bins not in (before := os.environ.get("PATH", "")).split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([bins, before])
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    from nbgrader.coursedir import CourseDirectory  # isort: skip

    folder = folder or course_folder()
    # nbgrader 0.9.6 adds rows in an order of which SQLAlchemy 2 complains each time; they are all stored.
    warnings.filterwarnings("ignore", "Object of type .* not in session")
    config = PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def make(sheet=None, solutions=True, solved=None):
    """Write the course and the edition.

    Args:
        sheet: letter of the only sheet that is built (default: all that have items). solutions: whether the edition
            holds the archive of solutions; solved: codes of the items ("T2,T3") that it holds, if not all.

    Raises:
        UsageError: there is no such sheet or item, or nbgrader refuses a notebook.
    """
    if exercises.EDITION.exists():
        raise UsageError("this is a student edition: it is made from the workbook with solutions")
    letters = [sheet.strip().upper()] if sheet and sheet.strip().lower() != "all" else [*SHEETS]
    paths = {path.name[:2]: path for path in notebooks.paths()}
    assignments = {letter: notebooks_of(letter, paths) for letter in letters}
    numbers = {letter: {path.name[:2] for path in found} for letter, found in assignments.items()}
    items = {
        letter: [one for one in ours() if exercises.item(one)["notebook"] in numbers[letter]] for letter in letters
    }
    if not any(items.values()):
        raise UsageError(f"sheet {sheet} has no items with points yet")
    released = _released(solutions, solved)
    folder = course_folder()
    for part in ("source", "release", "edition"):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nbgrader_config.py").write_text(CONFIG % cutting.STUB, "utf-8")
    if not (folder / "seed.txt").exists():
        (folder / "seed.txt").write_text(str(secrets.randbelow(10**9)), "utf-8")
        (folder / "seed.txt").chmod(0o600)
    for letter in filter(items.get, letters):
        for path in assignments[letter]:
            target = folder / "source" / letter / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(source_notebook(notebooks.read(path), path.name[:2]), target)
    nbgrader = api(folder)
    for letter in filter(items.get, letters):
        done = nbgrader.generate_assignment(letter)
        if not done["success"]:
            raise UsageError(f"nbgrader does not take sheet {letter}: {done.get('error') or done['log']}")
    _write_edition(folder, paths, released)
    points = {letter: sum(map(_points, items[letter])) for letter in letters if items[letter]}
    told = ", ".join(f"{letter}: {total:g} points" for letter, total in points.items())
    print(
        f"{short(folder)}: {told}; give {short(folder / 'edition')} to the students"
        f" ({len(released) or 'no'} solutions in it)"
    )


def ours():
    return [code for code in exercises.items() if cutting.ready(code)]


def _points(code):
    row = exercises.item(code)
    answers = sum(answer["points"] for answer in row.get("answers", []) if not answer.get("bonus"))
    return row.get("points", 0) + answers


def _released(solutions, solved):
    """Codes of the items whose solutions the edition holds."""
    if not solved:
        return cutting.coded() if solutions else []
    codes = [code.strip().upper() for code in solved.split(",")]
    if unknown := sorted(set(codes) - set(cutting.coded())):
        raise UsageError(f"no solution of {', '.join(unknown)}; there are {', '.join(cutting.coded())}")
    return codes


# --- notebooks ------------------------------------------------------------------------------------------------------


def source_notebook(nb, number):
    """A notebook as nbgrader's source: a solution and a check for every item, a place for every answer."""
    own = [code for code in ours() if exercises.item(code)["notebook"] == number]
    cells, placed, answered = [], set(), {}
    for cell in without_answers(nb.cells):
        shown = _shown(cell, own)
        if shown:
            for code in [code for code in shown if code not in placed]:
                cells += _code_cells(code)
                placed.add(code)
        elif "answer" in cell_tags(cell) and cell.metadata.get("item") in own:
            code = cell.metadata["item"]
            cells += _headings(cell)
            cells += _answer_cells(code, answered.setdefault(code, 0))
            answered[code] += 1
        elif cell.cell_type == "markdown" and CONCLUSION.match(cell.source):
            cells.append(
                new_markdown_cell(f"{cell.source.splitlines()[0]}\nWhat have you learnt? Write five lines of your own.")
            )
        else:
            cells.append(cell)
    for code in own:
        if code not in placed and code in cutting.coded():
            cells += _code_cells(code)
        for which in range(answered.get(code, 0), len(exercises.item(code).get("answers", []))):
            cells += _answer_cells(code, which)
    first = next(place for place, cell in enumerate(cells) if cell.cell_type == "code" and "import" in cell.source)
    prepared = new_code_cell(PREPARED % number, metadata=_metadata(f"prepared-{number}", locked=True))
    result = nbformat.from_dict(nb | {"cells": [*cells[: first + 1], prepared, *cells[first + 1 :]]})
    for place, cell in enumerate(result.cells):
        cell["id"] = f"cell-{place:03d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return result


def _shown(cell, own):
    """Codes of the items that a cell shows, by `exercise("T3")` or by `show_source(LSTMCell)`."""
    if cell.cell_type != "code" or not ("exercise(" in cell.source or "show_source(" in cell.source):
        return []
    found = []
    for node in ast.walk(ast.parse(cell.source)):
        called = getattr(node, "func", None)
        name = getattr(called, "attr", getattr(called, "id", ""))
        if name == "exercise":
            found += [argument.value for argument in node.args if argument.value in own]
        elif name == "show_source":
            shown = {argument.id for argument in node.args if isinstance(argument, ast.Name)}
            found += [code for code in own if shown & set(cutting.names(code))]
    return found


def _metadata(name, points=None, solution=False, locked=False):
    """nbgrader's metadata of a cell, schema 3."""
    about = {"grade": points is not None, "grade_id": name, "locked": locked, "schema_version": 3}
    about |= {"solution": solution, "task": False} | ({"points": points} if points is not None else {})
    return {"nbgrader": about}


def _code_cells(code):
    row, found = exercises.item(code), cutting.names(code)
    difficulty = "●" * row["difficulty"] + "○" * (3 - row["difficulty"])
    hints = [f"<details><summary>Hint {n}</summary>\n\n{hint}\n\n</details>" for n, hint in enumerate(row["hints"], 1)]
    text = f"**{code} {row['title']}.** {_worth(row)}, about {row['minutes']} minutes, {difficulty}\n\n"
    text += f"Write {cutting.listed(code, '`{}`')}. Signatures and docstrings say what is asked; inside, "
    text += "everything is yours. Run the cell, then its check."
    if named := [f"{', '.join(several)} in `{owner}`" for owner, several in row.get("attributes", {}).items()]:
        text += f" Later cells look for {', '.join(named)}: where these are called otherwise, they have to be skipped."
    text += "\n\n" + "\n".join(hints)
    assigned = f'{", ".join(found)} = model_class("{code}")  # yours, once all checks pass'
    return [
        new_markdown_cell(text),
        new_code_cell(cutting.solution(code, marked=True), metadata=_metadata(f"{code}-solution", solution=True)),
        new_code_cell(f'check("{code}")\n{assigned}', metadata=_metadata(f"{code}-check", row["points"], locked=True)),
    ]


def _worth(row):
    """What an item's code or an answer is worth; the sheets give no points for some, which are passed or not."""
    if not row["points"]:
        return "passed or not passed"
    return f"{row['points']:g} point{'s' * (row['points'] != 1)}"


def _headings(cell):
    """The headings of an answer's cell, which do not give it away."""
    lines = re.findall(r"(?m)^#+ .*", cell.source)[:1]
    return [new_markdown_cell(lines[0])] if lines and cell.source.lstrip().startswith("#") else []


def _answer_cells(code, which):
    answers = exercises.item(code)["answers"]
    if which >= len(answers):
        return []
    answer, name = answers[which], f"{code}-answer-{which + 1}"
    worth = _worth(answer)
    worth = f"up to {worth.replace(' ', ' extra ')}" if answer.get("bonus") else worth
    rubric = "\n".join(f"- {line}" for line in answer["rubric"])
    hidden = f"=== BEGIN MARK SCHEME ===\n{rubric}\n=== END MARK SCHEME ==="
    points = 0 if answer.get("bonus") else answer["points"]
    return [
        new_markdown_cell(f"**{code}** ({worth}). {answer['question']}"),
        new_markdown_cell(hidden, metadata=_metadata(name, points, solution=True)),
    ]


# --- the edition ----------------------------------------------------------------------------------------------------


def _write_edition(folder, paths, released):
    """Everything that a student needs, in `edition/`."""
    edition = folder / "edition"
    names = [*archive.FILES, *archive.own_files(), *archive.own_data()]
    names += [".gitignore", *(f"notebooks/{name}" for name in archive.BESIDE)]
    names = [name for name in names if not name.startswith(LEFT_OUT)]
    for name in names:
        _copy(ROOT / name, edition / name)
    shutil.copytree(checkpoints_folder(), edition / "checkpoints", ignore=shutil.ignore_patterns("local"))
    files = {name: (ROOT / name).read_text("utf-8") for name in names if name.endswith(".py")}
    cut = cutting.cut_library(files, cutting.coded())
    table = OUR_WORDS.sub("", exercises.FILE.read_text("utf-8"))
    about = json.dumps({"solutions": released}, indent=1)
    for name, text in {
        **cut,
        "student/exercises.toml": table,
        exercises.EDITION.relative_to(ROOT).as_posix(): about,
    }.items():
        (edition / name).write_text(text, "utf-8")
    shutil.copytree(
        ROOT / "student" / "checks", edition / "student" / "checks", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(README, edition / "README.md")
    for path in paths.values():
        if cut_notebooks := [*(folder / "release").glob(f"*/{path.name}")]:
            shutil.copy(cut_notebooks[0], edition / "notebooks" / path.name)
    if released:
        with zipfile.ZipFile(edition / SOLUTIONS.relative_to(ROOT), "w", zipfile.ZIP_DEFLATED) as packed:
            for code in released:
                packed.writestr(f"{code}.py", cutting.solution(code) + "\n")


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
