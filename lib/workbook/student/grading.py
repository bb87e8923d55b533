"""Grades hand-ins: every item alone in a fresh box, its answers compared outside, the points in nbgrader's gradebook.

No point comes from a student's process: what it says is plain arrays, and the checks run here, with seeds and shapes
that students do not have. What is answered in words waits in nbgrader's formgrader for a person.
"""

import ast
import csv
import hashlib
import json
import re
import subprocess
import sys

import nbformat
from tqdm.auto import tqdm

from lib.storage.files import write_atomically
from lib.workbook import exercises
from lib.workbook.notebooks import UsageError, read, short
from lib.workbook.student import building, checking, cutting, feedback, hand_ins
from lib.workbook.student.box import NOT_ISOLATED, Box, probe

EMPTY = "*Your answer.*"  # of an answer's cell
FORM = "feedback.md"
MOST_CHARACTERS = 100_000  # of a solution cell, which is parsed here


def grade(submissions, sandbox="bubblewrap", limits=None):
    """Grade all hand-ins in a folder. What is graded already, and has not changed since, is not graded again.

    Returns:
        {name: {"items": {item: a `checking.Result` as a dict}, "problem": …}}.

    Raises:
        UsageError: no course, no hand-ins, or no box.
    """
    folder = building.course_folder()
    releases = {
        path.parent.name + "/" + path.name: read(path) for path in sorted((folder / "release").glob("*/*.ipynb"))
    }
    if not releases:
        raise UsageError("there is no course to grade for: make student")
    found, told = hand_ins.found(submissions)
    probe(folder / "edition", sandbox)
    if sandbox == "none":
        print(NOT_ISOLATED, file=sys.stderr)
    print("\n".join(told), end="\n" * bool(told), file=sys.stderr)
    grades, nbgrader = {}, building.api(folder)
    for name, path in (bar := tqdm(found.items(), desc="grading", unit="hand-in", disable=not sys.stderr.isatty())):
        bar.set_postfix_str(name)
        try:
            grades[name] = _one(folder, nbgrader, releases, name, path, sandbox, limits)
        except UsageError as error:
            print(f"{name}: {error}", file=sys.stderr)
            grades[name] = {"problem": str(error), "items": {}, "style": None, "feedback": False}
    _summarise(folder, grades)
    return grades


def _one(folder, nbgrader, releases, name, path, sandbox, limits):
    """Grade one hand-in, or take its results from an earlier run."""
    raw, told = hand_ins.files_in(path, {key.partition("/")[2] for key in releases}, FORM)
    handed = {key: raw[key.partition("/")[2]] for key in releases if key.partition("/")[2] in raw}
    seed = (folder / "seed.txt").read_text("utf-8")
    stamp = hashlib.sha256(seed.encode() + _code().encode())
    for key in sorted(handed):
        stamp.update(key.encode() + handed[key])
    form = raw.get(FORM, b"").decode("utf-8", "replace")
    stamp.update(form.encode())
    stored = folder / "results" / f"{name}.json"
    if stored.exists() and (old := json.loads(stored.read_text("utf-8")))["stamp"] == stamp.hexdigest():
        return old
    result = {"stamp": stamp.hexdigest(), "items": {}, "words": {}, "problem": "; ".join(told), "style": None}
    result["feedback"] = filled_in(form, (folder / "edition" / FORM).read_text("utf-8"))
    for key, data in handed.items():
        target = folder / "submitted" / name / key
        write_atomically(target, data)
        try:
            nb = hand_ins.tidied(target, releases[key])
        except UsageError as error:
            result["problem"] += "; " * bool(result["problem"]) + str(error)
            nb = releases[key]
        write_atomically(target, (nbformat.writes(nb) + "\n").encode())
        for code in _items_in(releases[key]):
            text = hand_ins.python(hand_ins.source_of(nb, f"{code}-solution"))
            before = cutting.needed_imports(releases[key], _parsable(text))
            result["items"][code] = vars(graded(folder / "edition", code, text, before, int(seed), sandbox, limits))
            if text.strip() != cutting.stub(code).strip():
                result["style"] = [*(result["style"] or []), *style(code, text)]
        answers = [one for one in _grade_ids(nb) if "-answer-" in one]
        result["words"] |= {one: hand_ins.source_of(nb, one).strip() not in ("", EMPTY) for one in answers}
    for sheet in {key.partition("/")[0] for key in handed}:
        done = nbgrader.autograde(sheet, name)
        if not done["success"]:
            raise UsageError(f"nbgrader: {done.get('error') or done['log']}".strip()[-500:])
    _record(folder, nbgrader, handed, name, result)
    write_atomically(stored, json.dumps(result, indent=1).encode())
    return json.loads(stored.read_text("utf-8"))


def graded(library, code, text, before="", seed=0, sandbox="bubblewrap", limits=None):
    """The `checking.Result` of one item's text, run in a box of its own. `before` are imports that come first."""
    if text.strip() == cutting.stub(code).strip():
        return checking.nothing(code, "came out: the cell is as it was given out")
    if len(text) > MOST_CHARACTERS:
        return checking.nothing(code, f"came out: a cell of more than {MOST_CHARACTERS:,} characters")
    own = int.from_bytes(hashlib.sha256(f"{seed} {code}".encode()).digest()[:6], "big")
    with Box(library, sandbox, limits) as box:
        student = checking.Student(box.ask, text, own)
        if before:
            box.ask(json.dumps({"op": "define", "text": before}))
        return checking.run_defined(code, student)


def style(code, text):
    """What pycodestyle's rules, as ruff has them, find in a cell, with lines of up to 120 characters."""
    rules = [
        "--isolated",
        "--preview",
        "--select",
        "E,W",
        "--ignore",
        "E741",
        "--line-length",
        "120",
        "--output-format",
        "concise",
    ]
    command = [sys.executable, "-m", "ruff", "check", *rules, "--stdin-filename", code, "-"]
    done = subprocess.run(
        command, input=text[:MOST_CHARACTERS].rstrip() + "\n", capture_output=True, text=True, encoding="utf-8"
    )
    return [line for line in done.stdout.splitlines() if line.startswith(f"{code}:")]


def filled_in(form, blank):
    """Whether a feedback form says more than the blank one."""
    ours = set(map(str.strip, blank.splitlines()))
    return any(re.search(r"\w", line) and line.strip() not in ours for line in form.splitlines())


def _parsable(text):
    try:
        ast.parse(text[:MOST_CHARACTERS])
        return text[:MOST_CHARACTERS]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


def _code():
    """What the results depend on beside the hand-in: the checks and the table."""
    files = [*sorted(checking.FOLDER.glob("*.py")), exercises.FILE]
    return "".join(path.read_text("utf-8") for path in files)


def _grade_ids(nb):
    return [cell.metadata.nbgrader.grade_id for cell in nb.cells if "nbgrader" in cell.metadata]


def _items_in(release):
    return [name.removesuffix("-check") for name in _grade_ids(release) if name.endswith("-check")]


# --- the gradebook --------------------------------------------------------------------------------------------------


def _record(folder, nbgrader, handed, name, result):
    """Write points and comments of one hand-in into nbgrader's gradebook."""
    with nbgrader.gradebook as book:
        for key in handed:
            sheet, _, file = key.partition("/")
            place = file.removesuffix(".ipynb"), sheet, name
            for grade_row in book.find_submission_notebook(*place).grades:
                code, kind = grade_row.cell.name.split("-")[:2]
                if kind == "check":
                    item = result["items"][code]
                    grade_row.auto_score, grade_row.needs_manual_grade = (
                        item["points"],
                        grade_row.manual_score is not None,
                    )
                    told = feedback.lines(code, item)
                    book.find_comment(f"{code}-solution", *place).auto_comment = "\n".join(told)
                else:
                    begun = result["words"].get(grade_row.cell.name)
                    grade_row.auto_score, grade_row.needs_manual_grade = None if begun else 0, bool(begun)
                    if not begun:
                        book.find_comment(grade_row.cell.name, *place).auto_comment = "No response."
        book.db.commit()


def _summarise(folder, grades):
    """The table `grades.csv` and a page for every student, with what persons have marked so far."""
    rows, waiting = [], 0
    with building.api(folder).gradebook as book:
        for name in grades:
            marks, sheets = {}, []
            if any(student.id == name for student in book.students):
                sheets = sorted(one.assignment.name for one in book.find_student(name).submissions)
            for sheet in sheets:
                for notebook in book.find_submission(sheet, name).notebooks:
                    for one in notebook.grades:
                        marks[one.cell.name] = (
                            None if one.needs_manual_grade and one.manual_score is None else one.score
                        )
            waiting += sum(mark is None for mark in marks.values())
            row = {"name": name, "problem": grades[name]["problem"]}
            row |= {"style": int(grades[name]["style"] == []), "feedback": int(grades[name]["feedback"])}
            for sheet in sheets:
                own = {
                    cell.name: marks[cell.name]
                    for nb in book.find_assignment(sheet).notebooks
                    for cell in nb.grade_cells
                }
                row |= {
                    f"{sheet} {cell.removesuffix('-check')}": "" if mark is None else mark for cell, mark in own.items()
                }
                row[f"{sheet} total"] = sum(mark or 0 for mark in own.values())
            rows.append(row)
            page = feedback.page(name, grades[name], marks)
            write_atomically(folder / "feedback" / f"{name}.html", page.encode())
    columns = dict.fromkeys(column for row in rows for column in row)
    with open(folder / "grades.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    print(
        f"{len(rows)} hand-ins: {short(folder / 'grades.csv')}, {short(folder / 'feedback')}/; {waiting} answers in "
        "words wait for a person: nbgrader's formgrader (see docs/teaching.md)"
    )
