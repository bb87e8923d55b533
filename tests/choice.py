"""Which tests belong to a notebook (`pytest --only 02`, `make test ONLY=02`), and which of them stay together.

To a notebook belong its own cells (nbval), its run with the smoke profile, and the tests of the modules that it imports
from the rooms of the exercises.
"""

import ast
import importlib.util
from functools import cache
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
EXERCISES = ("models", "datasets", "losses", "metrics", "baselines", "experiments")


@cache
def architecture():
    """The functions that read imports: those of `docs/draw_architecture.py`."""
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def modules_of(path):
    """Modules of the exercises' rooms that a notebook or a Python file uses: {"lib.models.recurrent", …}.

    Of a package that it imports whole (`from lib import metrics`) those count whose names it uses (`metrics.accuracy`).
    """
    if path.suffix == ".ipynb":
        code = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    else:
        code = [path.read_text("utf-8")]
    nodes, known, used = [node for source in code for node in ast.walk(ast.parse(source))], {}, set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            known |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known:
            used.add(f"{known[node.value.id]}.{node.attr}")
    found = {architecture().defined_in(name) for name in [*known.values(), *used]}
    packages = {name for name in found if name and architecture().modules().get(name, ROOT).name == "__init__.py"}
    return {name for name in found - packages if name and architecture().room(name) in EXERCISES}


def files_of(path):
    """Test files that use one of a notebook's modules, and lie in its room."""
    wanted, found = modules_of(path), set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        room = file.relative_to(ROOT / "tests").parts[0].removeprefix("test_").removesuffix(".py")
        if any(architecture().room(name) == room for name in wanted & modules_of(file)):
            found.add(file)
    return found


def chosen(items, only):
    """Those of the collected tests that belong to the notebooks with these numbers ("01,02")."""
    from lib.workbook import notebooks

    paths = notebooks.paths(only)
    files = {*paths, *(file for path in paths for file in files_of(path))}
    smoke = tuple(f"[{path.stem}" for path in paths)
    return [item for item in items if item.path in files or any(name in item.name for name in smoke)]


def group(nodeid):
    """Tests of one group run one after another in one process: those of a file; every run of a whole notebook, with the
    smoke profile or in a browser, is its own group."""
    return nodeid if "smoke_profile[" in nodeid or "run_all" in nodeid else nodeid.split("::")[0]
