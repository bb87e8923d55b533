"""What a result depends on: the code that computes it, the plain values that this code reads, and data from outside.

A fingerprint is twelve hexadecimal digits. Comments, docstrings, blank lines and the place of a function do not count,
so that code can be explained better and moved without a stored result being lost.
"""

import ast
import dataclasses
import functools
import hashlib
import inspect
import io
import json
import linecache
import symtable
import sys
import textwrap
import tokenize
from pathlib import Path

import numpy as np
import torch

from lib.storage.files import CheckpointError
from lib.storage.tensors import tensor_bytes

# Code in these places counts wherever it is referred to. The loop `lib.training.loop` does not: it is the same for all,
# and its tests hold it, step by step, to a plain loop. What shows or keeps results does not count either.
FOLLOWED = ("lib.models", "lib.datasets", "lib.losses", "lib.baselines", "lib.metrics", "lib.training.adversarial")
FOLLOWED += ("lib.experiments", "__main__")
FILLING = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "clear", "remove"}  # methods
# A notebook's own switch: it says whether to compute again, not what comes out.
NOT_COUNTED = {"retrain"}


def code_fingerprint(*objects):
    """Fingerprint of the code of classes and functions, see `code_parts`."""
    return fingerprint_of(code_parts(*objects))


def fingerprint_of(parts):
    """Fingerprint of what `code_parts` returned; the same for the same code in another place or of another name."""
    return hashlib.sha256("\n".join(sorted(set(parts.values()))).encode()).hexdigest()[:12]


def code_parts(*objects):
    """What the code of classes and functions consists of: dict of name: hash of a text, or "value = …" for a constant.

    What the code refers to is followed if it belongs to a model, a data set, a loss, a baseline, a metric, adversarial
    training, an experiment or the notebook: functions, classes, plain values (numbers, texts, lists and dicts of
    them), and lists and dicts that hold functions or classes. References are what a function reads from its module,
    from the functions around it (closures), its default values, and attributes of modules; of a partial function also
    its arguments. Tensors, trained models and tables are not looked into: name among the settings what they depend on.
    Lists and dicts that the code itself fills (counters, logs) do not count.
    Of a library's class only the name counts. The text is compared, not Python's syntax tree, so that the fingerprint
    is the same under every Python version.

    Raises:
        CheckpointError: an object is neither class, function nor bound method, or its source cannot be read.
    """
    parts, queue, seen = {}, [*objects], set()
    for obj in objects:
        if not _is_code(obj):
            raise CheckpointError(
                f"what is followed must be a class, a function or a bound method, not {obj!r}; put values among the "
                "settings"
            )
    while queue:
        obj = queue.pop()
        if isinstance(obj, functools.partial):
            given = f"argument of {_name(obj.func)}"
            queue += _found(given, obj.func, parts) + _found(given, [obj.args, obj.keywords], parts)
            continue
        obj = _plain_function(obj)
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        file = getattr(sys.modules.get(obj.__module__), "__file__", None) or ""
        is_library = obj.__module__ != "__main__" and {"site-packages", "dist-packages"} & {*Path(file).parts}
        if is_library:  # a notebook's code never is one, whichever program runs it
            _add(parts, _name(obj), _name(obj))
            continue
        text, reads = _code(obj)
        _add(parts, _name(obj), hashlib.sha256(text.encode()).hexdigest()[:12])
        for name, value in [*_values(obj, reads), *_defaults(obj), *_bases(obj)]:
            queue += _found(name, value, parts)
    return parts


def difference(parts, stored):
    """One phrase that says which code or which plain values differ; empty if nothing does.

    Args:
        parts, stored: two results of `code_parts`, today's and the stored one's.
    """
    gone, new = {*stored.values()} - {*parts.values()}, {*parts.values()} - {*stored.values()}
    names = {name for source, values in ((parts, new), (stored, gone)) for name, v in source.items() if v in values}
    if not names:
        return ""
    shown = sorted(name.removeprefix("__main__.") for name in names)
    return "the code has changed: " + ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


# --- following ------------------------------------------------------------------------------------------------------


def _add(parts, name, value):
    """Two parts may have one name: lambdas, functions that other functions return."""
    number, first = 1, name
    while parts.get(name, value) != value:
        number += 1
        name = f"{first} ({number})"
    parts[name] = value


def _is_code(obj):
    return inspect.isclass(obj) or isinstance(obj, functools.partial) or inspect.isfunction(_plain_function(obj))


def _plain_function(obj):
    """The function behind decorators (`cache`, `torch.no_grad()`) and bound methods; anything else as it is."""
    obj = inspect.unwrap(obj) if callable(obj) else obj
    return obj.__func__ if inspect.ismethod(obj) else obj


def _name(obj):
    obj = _plain_function(obj)
    return f"{obj.__module__}.{obj.__qualname__}"


def _is_followed(obj):
    obj = _plain_function(obj.func if isinstance(obj, functools.partial) else obj)
    return (getattr(obj, "__module__", None) or "").startswith(FOLLOWED)


def _found(name, value, parts):
    """Classes and functions to be followed in a value that code reads; a plain value is noted in `parts`."""
    if name.rpartition(".")[2] in NOT_COUNTED:
        return []
    if isinstance(value, functools.partial):  # `code_parts` follows it with its arguments
        return [value]
    code, plain = [], []  # followed code in the value; whether it holds nothing but code and plain values

    def described(node):
        if isinstance(node, functools.partial):
            return [described(part) for part in (node.func, node.args, node.keywords)]
        if _is_code(node):
            code.extend([node] if _is_followed(node) else [])
            return _plain_function(node).__qualname__
        if isinstance(node, dict):
            return [[described(key), described(item)] for key, item in node.items()]
        if isinstance(node, (list, tuple)):
            return [described(item) for item in node]
        if isinstance(node, (set, frozenset)):
            return sorted(map(json.dumps, map(described, node)))
        node = node.item() if isinstance(node, np.generic) else node
        plain.append(isinstance(node, (bool, int, float, str)) or (node is None and node is not value))
        return node if plain[-1] else None

    text, last = json.dumps(described(value)), name.rpartition(".")[2]
    if _is_code(value):  # its own code counts, or, of torch's, which function or class is meant
        if _plain_function(value).__module__.startswith("torch") and text != json.dumps(last):
            _add(parts, name, f"{last} = {text}")
    elif all(plain) and (plain or code):  # neither empty, as what is filled later, nor with results in it
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        _add(parts, name, f"{last} = {text if len(text) < 80 else digest}")
    elif _is_followed(type(value)):  # an instance: of its class, the code counts
        code.append(type(value))
    return code


def _values(obj, reads):
    """What code reads from around it: (name, value) of names and of attributes of followed modules."""
    around = _around(obj)
    names, attributes = reads
    for name in names:
        if name in around and not inspect.ismodule(around[name]) and not name.startswith("__"):
            yield f"{obj.__module__}.{name}", around[name]
    for first, *rest in attributes:
        value = around.get(first)
        while rest and inspect.ismodule(value):
            module, name = value, rest.pop(0)
            value = getattr(module, name, None)
            if not inspect.ismodule(value) and f"{module.__name__}.".startswith(tuple(f"{f}." for f in FOLLOWED)):
                yield f"{module.__name__}.{name}", value


def _around(obj):
    """Names that code sees: those of its module and, before them, those of the functions around it."""
    if inspect.isfunction(obj):
        return {**obj.__globals__, **_closure(obj)}
    names = dict(getattr(sys.modules.get(obj.__module__), "__dict__", {}))
    for method in _methods(obj):
        names |= {**method.__globals__, **_closure(method)}
    return names


def _closure(function):
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet: a function that refers to itself
            continue
    return found


def _methods(kind):
    """Functions defined in a class, those behind properties and class methods included."""
    for value in vars(kind).values():
        method = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", value))
        if inspect.isfunction(method):
            yield method


def _defaults(obj):
    """Default values of a function's arguments as they are, whatever has become of the names they were written with."""
    if inspect.isfunction(obj):
        for name, parameter in inspect.signature(obj).parameters.items():
            if parameter.default is not parameter.empty:
                yield f"{obj.__module__}.{obj.__qualname__}.{name}", parameter.default


def _bases(obj):
    return [(base.__qualname__, base) for base in getattr(obj, "__bases__", ())]


# --- source text ----------------------------------------------------------------------------------------------------


def source_text(obj):
    """Source of a class or function, whether it stands in a file or in a notebook cell.

    Raises:
        OSError, TypeError: there is no source, as for what is built into Python or was typed into a plain console.
    """
    if inspect.isfunction(obj) and obj.__name__ == "<lambda>":
        return _lambda_text(obj)
    try:
        return textwrap.dedent(inspect.getsource(obj))
    except (OSError, TypeError):
        if not inspect.isclass(obj):
            raise
    # Before Python 3.13 nobody knows where a class of a notebook stands. Its methods do: they lead to the cell.
    methods = [*_methods(obj)]
    if dataclasses.is_dataclass(obj):  # of those that Python made there are no lines
        methods = [method for method in methods if linecache.getlines(method.__code__.co_filename)]
    for method in methods:
        lines, number = linecache.getlines(method.__code__.co_filename), method.__code__.co_firstlineno
        for node in ast.walk(ast.parse("".join(lines))):
            is_class = isinstance(node, ast.ClassDef) and node.name == obj.__name__
            if is_class and node.lineno <= number <= node.end_lineno:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return textwrap.dedent("".join(lines[first - 1 : node.end_lineno]))
    if methods:
        raise OSError(f"the source of {obj.__qualname__} is gone")
    plain = {key: value for key, value in vars(obj).items() if not key.startswith("__") and _is_plain(value)}
    bases = ", ".join(base.__name__ for base in obj.__bases__)
    return "\n    ".join([f"class {obj.__name__}({bases}):", *(f"{k} = {v!r}" for k, v in plain.items()), "pass"])


def _lambda_text(function):
    """Source of a lambda without the statement around it, in brackets; of several in a line, the one it is."""
    text = "".join(linecache.getlines(function.__code__.co_filename))
    places = [place for place in function.__code__.co_positions() if None not in place]
    places = [((line, column), (end, last)) for line, end, column, last in places if (line, column) != (end, last)]
    fitting = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Lambda):
            start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
            if all(start <= first and last <= end for first, last in places):
                fitting.append((end[0] - start[0], end[1] - start[1], node))
    if not fitting:
        raise OSError("the source of a lambda is gone")
    *_, node = min(fitting, key=lambda fit: fit[:2])
    return f"({ast.get_source_segment(text, node)})"


def _is_plain(value):
    try:
        return isinstance(value, (bool, int, float, str, tuple, list, dict)) and bool(json.dumps(value))
    except (TypeError, ValueError):
        return False


def _code(obj):
    """Source of a class or function without docstrings, comments and blank lines, and what it reads.

    Returns:
        (text, (names, attributes)): names it reads from outside, and chains such as ("models", "gan", "sample").

    Raises:
        CheckpointError: the source cannot be read.
    """
    try:
        text = source_text(obj)
    except (OSError, TypeError) as error:
        raise CheckpointError(
            f"the source of {obj!r} cannot be read; define it in a file or a notebook cell"
        ) from error
    return _stripped_and_read(text)


@functools.lru_cache(maxsize=4096)
def _stripped_and_read(text):
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a text with lines that are indented less than the code
        return text, ((), ())
    lines, cut = text.splitlines(), set()  # numbers of the lines that are removed
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            cut |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    kept = [line.rstrip() for number, line in enumerate(lines, 1) if number not in cut and line.strip()]
    names = _names_read(symtable.symtable(text, "source", "exec"))
    decorators = [decorator for node in tree.body for decorator in getattr(node, "decorator_list", ())]
    names |= {node.id for part in decorators for node in ast.walk(part) if isinstance(node, ast.Name)}
    names -= _changed(tree)
    chains = {tuple(chain) for node in ast.walk(tree) if (chain := _chain(node)) and chain[0] in names}
    return "\n".join(kept), (tuple(sorted(names)), tuple(sorted(chains)))


def _names_read(table):
    """Names that functions and classes in a symbol table read from outside, aside from their default values."""
    names = set()
    for scope in table.get_children():
        names |= {s.get_name() for s in scope.get_symbols() if s.is_global() and s.is_referenced()} | _names_read(scope)
    return names


def _changed(tree):
    """Names of what code changes in place: counters and lists that it fills are results, not what it depends on."""
    places, declared = [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):  # counts[name] += 1
            places.append(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILLING:
            places.append(node.func.value)
        elif isinstance(node, ast.Global):
            declared.update(node.names)
    return declared | {place.id for place in places if isinstance(place, ast.Name)}


def _chain(node):
    """The names of `a.b.c`, or None for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if names and isinstance(node, ast.Name) else None


# --- data -----------------------------------------------------------------------------------------------------------


def data_fingerprint(*paths_or_tensors):
    """Fingerprint of the content of files or tensors: put it among the settings when data come from outside.

    Data that the workbook generates need none: there the generator's code and settings say everything, also on
    machines whose last floating-point digit differs.
    """
    digest = hashlib.sha256()
    for item in paths_or_tensors:
        if isinstance(item, torch.Tensor):
            digest.update(f"{item.dtype}{tuple(item.shape)}".encode())
            digest.update(tensor_bytes(item.detach().cpu().contiguous()))
        else:
            digest.update(Path(item).read_bytes())
    return digest.hexdigest()[:12]
