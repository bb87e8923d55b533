"""Solutions cut out of the library by its syntax trees: what a student is given, and what is theirs to write.

Signatures, docstrings and what is checked at a method's beginning stay; of the rest the shapes on the way are told.
"""

import ast
import builtins
import re
import sys
import textwrap

from lib.storage.fingerprint import source_text
from lib.workbook import exercises
from lib.workbook.sources import is_check, shown

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "# YOUR CODE HERE\nraise NotImplementedError"  # what nbgrader puts in place of a solution


def ready(code):
    """Whether an item of the table is part of the student edition: whether it has points."""
    row = exercises.item(code)
    return "points" in row or "answers" in row


def coded(items=None):
    """Codes of the items that are written as code and part of the student edition."""
    return [code for code in items or exercises.items() if ready(code) and "definitions" in exercises.item(code)]


def names(code):
    """What an item's classes and functions are called."""
    return [name.rpartition(".")[2] for name in exercises.item(code).get("definitions", [])]


def listed(code, form="{}"):
    """The names of an item's classes and functions as one would say them."""
    *first, last = map(form.format, names(code))
    return f"{', '.join(first)} and {last}" if first else last


def solution(code, marked=False):
    """The text of an item's solution cell: the imports it needs, then its classes and functions as in the library; with
    `marked` what is to be written stands between BEGIN and END SOLUTION.
    """
    definitions, given = exercises.answer(code)[0], exercises.item(code).get("given", [])
    texts = [shown(one)[1] for one in definitions]
    module = sys.modules[definitions[0].__module__]
    head = _imports(module, "\n".join(texts), names(code))
    if marked:
        texts = [_marked(text, exercises.given_in(one, given)) for one, text in zip(definitions, texts, strict=True)]
        texts = [discreet(text, code) for text in texts]
    return "\n\n\n".join([head, *texts]) if head else "\n\n\n".join(texts)


def stub(code):
    """What is left of a solution cell when the solution is cut out, as nbgrader leaves it."""

    def replaced(match):
        return "\n".join(match["indent"] + line for line in STUB.splitlines())

    region = rf"(?P<indent> *){BEGIN}\n.*?{END}"
    return re.sub(region, replaced, solution(code, marked=True), flags=re.S)


def _marked(text, given):
    """A class or function whose bodies are marked, except those of the methods that are given."""
    lines, tree = text.splitlines(), ast.parse(text).body[0]
    for node in reversed(_functions(tree)):
        if node.name in given:
            continue
        rest = _theirs(node)
        if not rest:
            continue
        before = rest[0].lineno - 1  # where the body begins, the comments above it included
        while lines[before - 1].strip().startswith("#"):
            before -= 1
        indent = " " * rest[0].col_offset
        body = lines[before : node.end_lineno]
        shapes = textwrap.wrap(_shapes(body), 118 - len(indent))
        shapes = [f"{indent}# {line}" for line in shapes]
        lines[before : node.end_lineno] = [*shapes, indent + BEGIN, *body, indent + END]
    return "\n".join(lines)


def discreet(text, code):
    """A text without the sentences that would answer one of the item's questions."""
    for sentence in exercises.item(code).get("withheld", []):
        words = r"\s+".join(map(re.escape, sentence.split()))
        text = re.sub(rf"\s*{words}", "", text)
    return text


def _functions(tree):
    """The methods of a class, or the function itself."""
    return [tree] if isinstance(tree, ast.FunctionDef) else [n for n in tree.body if isinstance(n, ast.FunctionDef)]


def _theirs(function):
    """The statements of a body without its docstring, `super().__init__()` and checks of arguments at its beginning."""
    body = [*function.body]
    while body and (_is_docstring(body[0]) or is_check(body[0]) or ast.unparse(body[0]) == "super().__init__()"):
        body.pop(0)
    return body


def _is_docstring(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


SHAPE = r"(?:\d+ x )?\([^()]*\)"


def _shapes(lines):
    """The shapes in the comments of a body, each with the name of what has it; empty if there are none."""
    found = {}
    for line in lines:
        if match := re.match(rf"\s*(\w+(?:, \w+)*) = .*# ({SHAPE}(?:(?:, | -> ){SHAPE})*)", line):
            found.setdefault(match[1], f"{match[1]} {match[2]}")
    return f"Shapes on the way: {'; '.join(found.values())}" if found else ""


def _imports(module, text, own):
    """Import statements for what a text of this module reads from around it."""
    tree = ast.parse(text)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | set(own) | set(dir(builtins))
    free = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - bound
    lines, known = [], set()
    for node in ast.parse(source_text(module)).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            wanted = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in free]
            known |= {alias.asname or alias.name.partition(".")[0] for alias in wanted}
            if wanted:
                node.names = wanted
                lines.append(ast.unparse(node))
    if rest := sorted(free & set(vars(module)) - known):
        line = f"from {module.__name__} import {', '.join(rest)}"
        several = "".join(f"    {name},\n" for name in rest)
        lines.append(line if len(line) <= 120 else f"from {module.__name__} import (\n{several})")
    return "\n".join(lines)


def needed_imports(nb, text):
    """The import statements of a notebook that a text needs, one line each."""
    free = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    lines = []
    for cell in nb.cells:
        if cell.cell_type != "code" or cell.metadata.get("nbgrader", {}).get("solution"):
            continue
        for node in statements(cell.source):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                node.names = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in free]
                lines += [ast.unparse(node)] if node.names else []
    return "\n".join(dict.fromkeys(lines))


def statements(source):
    """The statements of a cell; none if it is no Python."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError):
        return []


# --- the student's library ------------------------------------------------------------------------------------------

LOOK_UP = "from lib.workbook.student.working import written"


def cut_library(files, items):
    """The library's files without the solutions of these items: {name: text} of those that change.

    A class that was cut out looks up the student's own when it is called, and so does a function. Of classes that
    derive from it in the library those without an __init__ of their own, which only make it faster, do the same; the
    others keep its given methods, and look up the student's method for each of the others. Sentences that an item
    withholds go, too.

    Args:
        files: {name of a file, such as lib/models/vit.py: its text}.
    """
    cut = {}
    for code in items:
        given = exercises.item(code).get("given", [])
        for definition in exercises.answer(code)[0]:
            file = definition.__module__.replace(".", "/") + ".py"
            kept = exercises.given_in(definition, given)
            text = _without_bodies(cut.get(file, files[file]), definition.__qualname__, code, kept)
            cut[file] = discreet(text, code)
    for code in (one for one in exercises.items() if "definitions" not in exercises.item(one)):
        for file, text in files.items():  # docstrings may answer what is asked in words, too
            if (less := discreet(cut.get(file, text), code)) != cut.get(file, text):
                cut[file] = less
    return cut


def _without_bodies(text, qualname, code, given):
    """A module's text in which one class, function or method looks up the student's."""
    lines, node = text.splitlines(), ast.parse(text)
    for name in qualname.split("."):
        (node,) = (one for one in node.body if getattr(one, "name", None) == name)
    look_up = f'written("{code}", "{node.name}")'
    for function in reversed(_functions(node)):
        if node is not function and (function.name in given or LOOK_UP in ast.unparse(function)):
            continue  # given, or an item of its own
        kept = [one for one in function.body if _is_docstring(one)]
        indent, first = " " * function.body[0].col_offset, kept[-1].end_lineno if kept else function.body[0].lineno - 1
        named = [f"{argument.arg}={argument.arg}" for argument in function.args.kwonlyargs]
        arguments = ", ".join([*(argument.arg for argument in function.args.args), *named])
        method = "" if node is function else f".{function.name}"
        body = [LOOK_UP, "", f"return {look_up}{method}({arguments})"]
        body = ["raise NotImplementedError"] if method.startswith(".__") else body
        lines[first : function.end_lineno] = [indent + line if line else "" for line in body]
    if isinstance(node, ast.ClassDef):
        first = node.body[0].end_lineno if _is_docstring(node.body[0]) else node.body[0].lineno - 1
        new = ["", "def __new__(cls, *args, **kwargs):"]
        new += [
            f"    if cls.__init__ is not {node.name}.__init__:",
            "        return super().__new__(cls)",
            f"    {LOOK_UP}",
            "",
            f"    return {look_up}(*args, **kwargs)",
        ]
        lines[first:first] = [" " * (node.col_offset + 4) + line if line else "" for line in new]
    return "\n".join(lines) + "\n"
