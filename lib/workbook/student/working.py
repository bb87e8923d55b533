"""What a student meets in a notebook: `check("T3")`, `model_class("T3")`, `progress()`, `solution("T3")`.

A solution cell that passes all checks is kept as `work/T3.py`. Notebooks, and the library of the student edition, look
it up there; nothing is replaced in a class that somebody else holds.
"""

import ast
import importlib.util
import json
import os
import re
import symtable
import sys
import zipfile
from pathlib import Path

from lib.storage.files import write_atomically
from lib.storage.paths import ROOT
from lib.workbook import exercises, notebooks
from lib.workbook.student import checking, cutting
from lib.workbook.student.hand_ins import defined, python
from lib.workbook.submission.sheets import SHEETS

SOLUTIONS = ROOT / "student" / "solutions.zip"
OPEN = "open", "begun"  # states of an item that is not passed


class NotYetWritten(Exception):
    """What a cell needs is not written yet. Notebooks show this one line and no traceback."""

    def _render_traceback_(self):
        return [str(self)]


def _made(name):
    """Whether a cell of the notebook that runs gives this name a value."""
    made = rf"(?m)^(?=\w)[^#\n=]*\b{name}\b[^=\n]*=(?!=)|^(def|class) {name}\b"
    cells = [cell.source for path in notebooks.paths(NOTEBOOK) for cell in notebooks.read(path).cells]
    return any(re.search(made, source) for source in cells)


NOTEBOOK = ""  # the number of the one that runs


def start(number):
    """Begin the notebook of this number, of the student edition: errors that follow from what is not written yet, or
    from other names in a student's class than in ours, are told in one line as well.
    """
    global NOTEBOOK
    NOTEBOOK = number
    from IPython import get_ipython

    if shell := get_ipython():
        shell.set_custom_exc((NameError, AttributeError, NotImplementedError), _shortly)
        shell.events.register("pre_run_cell", _before)
        shell.events.register("post_run_cell", _after)


HELD = {}  # what the names that the running cell gives a value stood for before


def _before(info):
    from IPython import get_ipython

    HELD.clear()
    known = get_ipython().user_ns
    HELD.update({name: known[name] for name in _new_names(python(info.raw_cell)) if name in known})


def _after(result):
    """Where a cell stops for want of something that is not written yet, forget what it was to replace: later cells
    would else go on with what an earlier cell had called by the same name.
    """
    error = result.error_in_exec
    if isinstance(error, NotYetWritten) or (error and error is FOLLOWED):
        from IPython import get_ipython

        known = get_ipython().user_ns
        for name in [name for name, value in HELD.items() if known.get(name) is value]:
            del known[name]
    HELD.clear()


def _new_names(source):
    """The names to which the cell of this source gives a value without having read them before."""
    read, made = set(), set()
    for node in cutting.statements(source):
        symbols = symtable.symtable(ast.unparse(node), "cell", "exec").get_symbols()
        read |= {one.get_name() for one in symbols if one.is_referenced()}
        made |= {one.get_name() for one in symbols if one.is_assigned()} - read
    return made


FOLLOWED = None  # the last error that followed from what is not written yet


def _shortly(shell, kind, error, trace, tb_offset=None):
    """The lines of an error: one if its cause is known, else Python's own."""
    global FOLLOWED
    owner = type(getattr(error, "obj", None))
    opened = [row[1] for row in table() if exercises.item(row[1])["notebook"] == NOTEBOOK and row[5] in OPEN]
    if kind is NameError and _made(error.name):
        remedy = f"; open tasks: {', '.join(opened)}" if opened else ": run it again"
        lines, FOLLOWED = [f"{error}: it comes from another cell, which has not run to its end{remedy}"], error
    elif kind is NotImplementedError and "is yours to write" in str(error):
        lines, FOLLOWED = [str(error)], error
    elif kind is AttributeError and (owner.__module__ or "").startswith("__main__."):
        lines = [f"this cell looks into our {owner.__name__}, and yours has no {error.name!r}: go on with the next one"]
    else:
        lines = shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset)
    shell._showtraceback(kind, error, lines)
    return lines


def work_folder():
    """Where passed cells and points are kept: `work/`, or what WORKBOOK_WORK names."""
    return Path(os.environ.get("WORKBOOK_WORK") or ROOT / "work")


# --- checking -------------------------------------------------------------------------------------------------------


def check(item):
    """Test what was written for an item, print what is right and what is not, and keep it if all is right.

    Returns:
        the points reached: 0 if there is nothing to test.
    """
    try:
        row, number = exercises.item(item), exercises.item(item)["notebook"]
        (path,) = notebooks.paths(number)
        text = _cell(item, _cells())
        if text is None:
            print(f"{item}: run the cell with {cutting.listed(item)} first, then this one")
            return 0
        before = cutting.needed_imports(notebooks.read(path), text)
        result = checking.here(item, text, before)
        _remember(item, result, f"{before}\n\n\n{text}\n")
    except (notebooks.UsageError, OSError, SyntaxError) as error:
        print(f"{item} cannot be tested: {error}")
        return 0
    print("\n".join([*report(row, result), *_remarks(row, text)]))
    return result.points


def _remarks(row, text):
    """What costs no points: names that later cells read and that a class does not have."""
    classes = {node.name: ast.unparse(node) for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    for owner, wanted in row.get("attributes", {}).items():
        source = classes.get(owner, "register_")
        missing = [name for name in wanted if not re.search(rf"\bself\.{name}\b|register_|setattr", source)]
        if missing:
            yield f"  Remark: later cells look for {', '.join(missing)} in {owner}. It costs no points to skip them."


def report(row, result):
    """What is told about the checks of an item, as lines of text."""
    yield f"{result.item} {row['title']}: {result.score()}"
    failed = {title: lines for title, _, lines in result.failed}
    for one in checking.parts(result.item):
        wrong = one.title in failed
        reached = f"{0 if wrong else one.points:g}/{one.points:g}  " if one.points else ""
        yield f"  {'✗' if wrong else '✓'} {reached}{one.title}"
        yield from (f"        {line}" for line in failed.get(one.title, []))
    if result.passed:
        yield f"All right. It is kept as work/{result.item}.py and used from here on."


def _cells():
    """The sources of the cells that ran in this notebook, in order."""
    from IPython import get_ipython

    shell = get_ipython()
    return [python(text) for text in shell.history_manager.input_hist_raw] if shell else []


def _cell(item, sources):
    """The source of the last cell that defines an item's classes; None if no cell does."""
    wanted, best = set(cutting.names(item)), (0, None)
    for source in reversed(sources):
        best = max(best, (len(wanted & defined(source)), source), key=lambda one: one[0])  # the first of several wins
    return best[1]


# --- what is kept ---------------------------------------------------------------------------------------------------


def state():
    """{item: {"points": best so far, "most": …, "tries": how often it was checked}}."""
    try:
        return json.loads((work_folder() / "points.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(item, result, text):
    known = state()
    old = known.get(item, {"points": 0, "tries": 0})
    best = max(old["points"], result.points)
    known[item] = {"points": best, "most": result.most, "tries": old["tries"] + 1}
    if result.passed:
        write_atomically(work_folder() / f"{item}.py", text.encode())
    write_atomically(work_folder() / "points.json", json.dumps(known, indent=1).encode())


def written(item, name):
    """The student's own class or function of this name; in notebooks before that of the item ours, if there is none yet
    and the edition has it.

    Raises:
        NotYetWritten: the item is not passed.
    """
    path, number = work_folder() / f"{item}.py", exercises.item(item)["notebook"]
    if not path.is_file() and number > NOTEBOOK and NOTEBOOK and (ours := _released(item)):
        path = work_folder() / "ours" / f"{item}.py"
        if not path.is_file():
            write_atomically(path, ours.encode())
            print(f"{item} ({cutting.listed(item)}) is a task of notebook {number}: ours is used until yours is there")
    if not path.is_file():
        raise NotYetWritten(
            f"{item} ({cutting.listed(item)}) is yours to write, in notebook {number}, in the cell above its check"
        )
    return getattr(_module(item, path, path.stat().st_mtime_ns), name)


def model_class(item):
    """The classes and functions of an item: the student's own once they are passed; before that, and in the workbook
    with solutions, those of the library. A tuple, or the class alone if there is one.
    """
    found = [_own(item, name) for name in cutting.names(item)]
    return found[0] if len(found) == 1 else tuple(found)


def _own(item, name):
    try:
        return written(item, name)
    except NotYetWritten:  # in the student edition, the library's class says so when it is used
        definitions, _ = exercises.answer(item)
        return definitions[cutting.names(item).index(name)]


MODULES = {}


def _module(item, path, stamp):
    """A kept cell as a module, loaded anew when the file has changed."""
    if MODULES.get(path, (None, None))[0] != stamp:
        # Under a notebook's name, since results depend on its code as on that of a notebook.
        spec = importlib.util.spec_from_file_location(f"__main__.{item}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        MODULES[path] = stamp, module
    return MODULES[path][1]


def own_code_in_use():
    """Whether a class or function that the student has written was looked up in this process."""
    return any(path.parent == work_folder() for path in MODULES)


# --- progress and solutions -----------------------------------------------------------------------------------------


def table():
    """All items as rows (sheet, item, title, points so far, points to be had, state); in words, who marks it."""
    known, rows = state(), []
    for sheet, numbers in SHEETS.items():
        for item, row in exercises.items().items():
            if row["notebook"] not in numbers.split(",") or not cutting.ready(item):
                continue
            if "definitions" in row:
                found = known.get(item, {"points": 0, "tries": 0})
                passed = (work_folder() / f"{item}.py").is_file()
                status = "passed" if passed else OPEN[bool(found["tries"])]
                rows.append((sheet, item, row["title"], found["points"], row["points"], status))
            if "answers" in row:
                most = sum(answer["points"] for answer in row["answers"] if not answer.get("bonus"))
                bonus = any(answer.get("bonus") for answer in row["answers"])
                status = "in words, for extra points" if bonus else "in words, marked by a person"
                rows.append((sheet, item, row["title"], None, most, status))
    return rows


def progress():
    """Print a bar for every sheet and the table of all items."""
    rows = table()
    for sheet in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == sheet and row[3] is not None]
        points, most = sum(row[3] for row in own), sum(row[4] for row in own)
        filled = round(30 * points / most) if most else 0
        print(f"Sheet {sheet}  {'█' * filled}{'░' * (30 - filled)}  {points:g} of {most:g} points of the code")
    print()
    width = max(len(row[2]) for row in rows)
    for sheet, item, title, points, most, status in rows:
        print(
            f"{sheet}  {item:3} {title:{width}}  {'–' if points is None else f'{points:g}':>4} of {most:<4g} {status}"
        )
    if coming := [row for row in rows if row[5] in OPEN]:
        sheet, item, title, *_ = coming[0]
        row = exercises.item(item)
        print(f"\nNext: {item} ({title}), notebook {row['notebook']}, about {row.get('minutes', '?')} minutes")


def solution(item):
    """Show our solution of an item, where the edition has it, after a first attempt of the student's."""
    if exercises.EDITION.exists() and not state().get(item, {}).get("tries"):
        print(f"{item}: try it yourself first: run your cell and its check")
        return
    if exercises.EDITION.exists() and not _released(item):
        print(f"{item}: the solution has not been released")
        return
    text = _released(item) or cutting.solution(item)
    from IPython.display import display

    display({"text/markdown": f"```python\n{text}\n```", "text/plain": text}, raw=True)


def _released(item):
    """Our solution as the edition's archive has it, or None."""
    try:
        with zipfile.ZipFile(SOLUTIONS) as archive:
            return archive.read(f"{item}.py").decode()
    except (OSError, KeyError):
        return None
