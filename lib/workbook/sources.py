"""Source code as a notebook shows it: of a class, a function or one method, whole or only what the algorithm is."""

import ast
import inspect
import textwrap

from lib.storage.fingerprint import source_text


def shown(obj):
    """(where it stands, Markdown; its source without indentation)."""
    inside = getattr(obj, "__qualname__", "").rpartition(".")[0]
    of = f", of `{inside}`" if inspect.isfunction(obj) and inside and "<" not in inside else ""
    place = "this notebook" if obj.__module__ == "__main__" else f"`{obj.__module__}`"
    return f"{place}{of}", textwrap.dedent(source_text(obj)).rstrip()


def without_checks(code):
    """Code without docstrings and checks, everything else as it is written.

    Checks are `assert`, an `if` that only raises (and may put its message together first), and a call of a function
    whose name begins with `check` or `_check`.
    """
    dropped = set()
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if not isinstance(body, list):
                continue
            checks = [part for part in body if _is_docstring(part, body, node) or is_check(part)]
            if len(checks) < len(body):  # a body needs a statement
                for part in checks:
                    dropped |= {*range(_first_line(part, lines), part.end_lineno + 1)}
    return _without_lines(lines, dropped)


def without_methods(code, names):
    """Code of a class without its methods of these names."""
    lines, dropped = code.splitlines(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            dropped |= {*range(first, node.end_lineno + 1)}
    return _without_lines(lines, dropped)


def _without_lines(lines, dropped):
    """The other lines, without blank ones at the beginning of a body or after another."""
    kept = []
    for number, line in enumerate(lines, 1):
        after = kept[-1].strip() if kept else ":"
        if number not in dropped and (line.strip() or not (after == "" or after.endswith(":"))):
            kept.append(line)
    return "\n".join(kept).rstrip()


def _is_docstring(part, body, node):
    has_docstring = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and part is body[0]
    return has_docstring and isinstance(part, ast.Expr) and isinstance(getattr(part.value, "value", None), str)


def is_check(part):
    """Whether a statement only checks arguments."""
    if isinstance(part, ast.If):
        return all(map(_only_raises, filter(None, (part.body, part.orelse))))
    if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
        return getattr(part.value.func, "id", "").startswith(("check", "_check"))
    return isinstance(part, (ast.Raise, ast.Assert))


def _only_raises(body):
    prepared = body[:-1] if isinstance(body[-1], ast.Raise) else []
    return all(is_check(part) or (part in prepared and isinstance(part, ast.Assign)) for part in body)


def _first_line(part, lines):
    """Where a statement begins, the comment above it included."""
    first = part.lineno
    while first > 1 and lines[first - 2].strip().startswith("#"):
        first -= 1
    return first
