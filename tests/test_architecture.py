"""Who may know whom: rooms import downwards only, keep their private names, and are mirrored by the tests."""

import ast
import re
from collections import Counter

import choice
import pytest

from lib.storage.paths import ROOT

architecture = choice.architecture()
MODULES = architecture.modules()
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py"))

# What each room may import. A room imports only rooms of floors below its own.
ROOMS = {
    "storage": [],
    "models": [],
    "baselines": [],
    "figures": [],
    "losses": [],
    "datasets": ["storage"],
    "training": ["storage"],
    "metrics": ["losses"],
    "workbook": ["storage", "training", "figures"],
    "experiments": ["storage", "models", "datasets", "losses", "metrics", "baselines", "training", "figures"],
}
FLOORS = [
    ["storage", "models", "losses", "baselines", "figures"],
    ["datasets", "metrics", "training"],
    ["experiments", "workbook"],
]
EXERCISES = ["models", "datasets", "losses", "metrics", "baselines", "experiments"]  # what `lib.workbook` never knows
EXPORT_KNOWS = ["export", "notebooks", "reading", "contents", "glossary"]
# Parts of a room that know even less than the room does: what they may import.
INSIDE = {
    "lib.workbook.export": [f"lib.workbook.{name}" for name in EXPORT_KNOWS],
    "lib.workbook.processes": [],
    "lib.workbook.environment": ["lib.workbook.processes"],  # runs before anything is installed
    "lib.workbook.update": ["lib.storage", "lib.workbook.mine", "lib.workbook.processes"],  # so does this
    "lib.storage.paths": [],
    "lib.storage.files": [],
    "lib.training.distributed": [],
    "lib.training.events": [],
}
MOST_LINES = 400


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def below(module, others):
    return any(f"{module}.".startswith(f"{other}.") for other in others)


# --- rooms and floors -----------------------------------------------------------------------------------------------


def test_every_room_stands_in_the_table_and_on_one_floor():
    rooms = {architecture.room(name) for name in MODULES} - {None}
    assert rooms == set(ROOMS) and sorted(ROOMS) == sorted(sum(FLOORS, []))


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_lets_rooms_import_downwards_only(room):
    (floor,) = (number for number, rooms in enumerate(FLOORS) if room in rooms)
    lower = sum(FLOORS[:floor], [])
    assert set(ROOMS[room]) <= set(lower), f"{room} may import a room that is not below it"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_they_may(room):
    strangers = [
        f"{name_of(path)} imports {full}"
        for name, path in MODULES.items()
        for _, full in architecture.bound(path)
        if architecture.room(name) == room and architecture.room(full) not in (room, None, *ROOMS[room])
    ]
    assert not strangers, "; ".join(strangers)


@pytest.mark.parametrize("part", INSIDE)
def test_parts_of_a_room_that_know_even_less(part):
    strangers = [
        f"{name_of(path)} imports {full}"
        for name, path in MODULES.items()
        for _, full in architecture.bound(path)
        if below(name, [part]) and not below(architecture.defined_in(full), INSIDE[part])
    ]
    assert not strangers, "; ".join(strangers)


def test_no_module_imports_itself_in_a_circle():
    """Through whatever chain of modules; a package that exports a name is passed through to where it is defined."""
    known = {
        name: {architecture.defined_in(full) for _, full in architecture.bound(path)} - {name, None}
        for name, path in MODULES.items()
    }
    while ends := [name for name, others in known.items() if not others & set(known)]:
        for name in ends:
            del known[name]
    assert not known, f"these modules import each other: {', '.join(sorted(known))}"


def test_nobody_imports_the_whole_of_the_library():
    """`import lib` and `from lib import *` would hide who knows whom."""
    found = [name_of(path) for path in MODULES.values() for _, full in architecture.bound(path) if full == "lib"]
    stars = [name_of(path) for path in MODULES.values() for name, _ in architecture.bound(path) if name == "*"]
    assert not found and not stars, f"{found} {stars}"


def test_the_library_itself_is_empty():
    tree = ast.parse((ROOT / "lib" / "__init__.py").read_text("utf-8"))
    assert len(tree.body) == 1 and ast.get_docstring(tree), "lib/__init__.py holds a docstring and nothing else"


# --- private names --------------------------------------------------------------------------------------------------


def private(name):
    return name.startswith("_") and not name.startswith("__")


def chain(node):
    """The names of `a.b.c`; empty for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def private_names(path):
    """Private names of other modules that a file imports, reads or replaces."""
    own = architecture.dotted(path)
    aliases = dict(architecture.bound(path))
    found = {full for full in aliases.values() if any(private(part) for part in full.split("."))}
    for node in ast.walk(architecture.tree(path)):
        if isinstance(node, ast.Attribute) and private(node.attr):
            first, *rest = chain(node) or [""]
            full = ".".join([aliases.get(first, ""), *rest]) if first != "lib" else ".".join([first, *rest])
            if full.rpartition(".")[0] in MODULES:
                found.add(full)
        elif isinstance(node, ast.Call) and len(node.args) > 1:  # monkeypatch.setattr(module, "_name", …), getattr(…)
            first, second = node.args[:2]
            text = second.value if isinstance(second, ast.Constant) and isinstance(second.value, str) else ""
            base = ".".join([aliases.get((chain(first) or [""])[0], ""), *chain(first)[1:]])
            if private(text) and base in MODULES:
                found.add(f"{base}.{text}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {text for text in re.findall(r"\blib(?:\.\w+)*\._[a-z]\w*", node.value)}
    return {full for full in found if architecture.defined_in(full) != own}


@pytest.mark.parametrize("place", ["lib", "tests"])
def test_nobody_uses_the_private_names_of_another_module(place):
    found = [f"{name_of(path)}: {name}" for path in files(place) for name in sorted(private_names(path))]
    assert not found, "; ".join(found)


def files(place):
    return list(MODULES.values()) if place == "lib" else TESTS


def test_private_names_are_found_however_they_are_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(architecture, "ROOT", tmp_path)
    file = tmp_path / "user.py"
    for number, code in enumerate(
        [
            "from lib.models.unet import NAME",
            "from lib.models import unet\nunet.NAME()",
            "import lib.models.unet\nlib.models.unet.NAME()",
            "import lib.models.unet as net\ndef f():\n    return net.NAME",
            "from lib.models import unet\nmonkeypatch.setattr(unet, 'NAME', None)",
            "monkeypatch.setattr('lib.models.unet.NAME', None)",
        ]
    ):
        path = file.with_name(f"user{number}.py")
        path.write_text(code.replace("NAME", "_inner"))
        assert private_names(path) == {"lib.models.unet" + "._inner"}, code
    path = file.with_name("innocent.py")
    path.write_text("from lib.models import unet\nunet.UNet()._modules\nunet.__name__\nself._inner\n_own = 1")
    assert not private_names(path)


# --- the runner knows no exercise -----------------------------------------------------------------------------------


def test_the_runner_knows_no_exercise():
    assert not set(ROOMS["workbook"]) & set(EXERCISES)
    for name, path in MODULES.items():
        if architecture.room(name) == "workbook":
            known = {full for _, full in architecture.bound(path) if architecture.room(full) in EXERCISES}
            assert not known, f"{name_of(path)} imports {', '.join(sorted(known))}"


def texts(path):
    """Texts in the code of a file, docstrings aside: (text, line)."""
    tree = architecture.tree(path)
    bodies = [node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list) and node.body]
    documentation = {body[0].value for body in bodies if isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation:
            yield node.value, node.lineno


def test_lib_knows_no_notebook():
    """No name of a notebook in any code, docstrings aside; `lib.workbook` treats all alike."""
    for path in MODULES.values():
        for text, line in texts(path):
            found = re.search(r"\b[01]\d_[a-z]+", text)
            assert not found, f"{name_of(path)} line {line} knows the notebook {found.group()!r}"


def test_the_runner_knows_no_notebook_by_its_number():
    """Only the table of what is handed in together, SHEETS, names numbers."""
    for name, path in MODULES.items():
        if architecture.room(name) != "workbook":
            continue
        tree = architecture.tree(path)
        allowed = set()
        for node in ast.walk(tree):
            table = isinstance(node, ast.Assign) and [getattr(name, "id", "") for name in node.targets] == ["SHEETS"]
            if table or isinstance(node, ast.FormattedValue):  # the 02 of f"{number:02}"
                allowed |= set(ast.walk(node))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in allowed:
                number = re.fullmatch(r"0[1-9]|10", node.value)
                assert not number, f"{name_of(path)} line {node.lineno} knows the notebook {node.value!r}"


# --- files and tests ------------------------------------------------------------------------------------------------


def test_no_file_of_lib_is_longer_than_a_sitting():
    counts = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES.values()}
    long = [f"{name}: {count}" for name, count in counts.items() if count > MOST_LINES]
    assert not long, f"more than {MOST_LINES} lines: {', '.join(long)}"


def test_tests_lie_in_rooms_that_exist():
    """`tests/models/test_unet.py` tests the room `models`; beside the rooms lie tests of single modules and of all."""
    for path in TESTS:
        if path.name.startswith("test_"):
            folders = path.relative_to(ROOT / "tests").parts[:-1]
            where = ".".join(["lib", *(folders or [path.stem.removeprefix("test_")])])
            known = where in MODULES or (not folders and path.name in ("test_style.py", "test_architecture.py"))
            assert known, f"{name_of(path)} belongs to no room of lib"


def test_no_two_files_of_tests_have_one_name():
    """pytest imports test files by their names alone."""
    counts = Counter(path.name for path in TESTS if path.name not in ("conftest.py", "__init__.py"))
    twice = [name for name, count in counts.items() if count > 1]
    assert not twice


def reached_by(path):
    """Modules of lib that a test file imports, also through what a package exports, or names in a text."""
    aliases = dict(architecture.bound(path))
    full = set(aliases.values())
    for node in ast.walk(architecture.tree(path)):
        if isinstance(node, ast.Attribute) and (names := chain(node)) and names[0] in aliases:
            first = "lib" if names[0] == "lib" else aliases[names[0]]
            full.add(".".join([first, *names[1:]]))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            full |= set(re.findall(r"\blib(?:\.\w+)+", node.value))
    return {architecture.defined_in(name) for name in full}


def test_every_module_has_tests_in_its_room():
    """A test file of the room imports the module, or is named after it and reaches it by the command line."""
    tested = {}
    for path in TESTS:
        folder = path.relative_to(ROOT / "tests").parts[:-1]
        found = tested.setdefault(folder[0] if folder else "", set())
        found |= {".".join(["lib", *folder, path.stem.removeprefix("test_")]), *reached_by(path)}
    untested = [
        name
        for name, path in MODULES.items()
        if path.name not in ("__init__.py", "__main__.py")
        and name not in tested.get(architecture.room(name), set()) | tested.get("", set())
    ]
    assert not untested, f"no test imports {', '.join(untested)}"


# --- the page about it ----------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_picture_shows_todays_imports():
    drawn = architecture.drawn(architecture.PICTURE.read_text("utf-8"))
    assert drawn == architecture.edges(), "python docs/draw_architecture.py draws it again"


def test_the_picture_is_drawn_the_same_every_time_and_every_arrow_runs_down():
    picture = architecture.draw()
    assert picture == architecture.draw() and architecture.drawn(picture) == architecture.edges()
    storeys = architecture.floors()
    places = architecture.boxes(storeys, architecture.PAGE)
    for _, _, points in architecture.routes(storeys, places):
        heights = [y for _, y in points]
        assert heights == sorted(heights, reverse=True)
        for (x, y), (_, v) in zip(points, points[1:], strict=False):
            for left, bottom, width in places.values():
                beside = not left < x < left + width or not (v < bottom + 0.1 and y > bottom + 0.1)
                assert beside, f"an arrow at x = {x:.2f} runs through a box"


def test_the_page_names_every_room_with_all_its_modules():
    rows = {
        row.split("`")[1].strip("/").removesuffix(".py"): row for row in PAGE.splitlines() if row.startswith("| `lib/")
    }
    assert set(rows) == {f"lib/{room}" for room in ROOMS}
    for name, path in MODULES.items():
        parts = name.split(".")
        if len(parts) > 2 and path.name != "__main__.py":
            row = rows[f"lib/{parts[1]}"]
            assert f"`{parts[2]}`" in row or f"`{parts[2]}/`" in row, f"docs/architecture.md: {name} is missing"


@pytest.mark.parametrize("page", ["docs/architecture.md", "README.md"])
def test_pages_name_files_and_modules_that_exist(page):
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(r"(?<![\w/])(?:lib|tests|docs|cluster|notebooks)/[\w./]*\w", text))
    made_up = {name for name in named if "NAME" in name or "NN_" in name}
    missing = [name for name in sorted(named - made_up) if not (ROOT / name).exists()]
    assert not missing, f"{page} names {', '.join(missing)}"
    for name in set(re.findall(r"\blib(?:\.\w+)+", text)):
        module = architecture.defined_in(name)
        rest = name.removeprefix(f"{module}.").split(".") if name != module else []
        source = MODULES[module].read_text("utf-8") if module in MODULES else ""
        assert module not in (None, "lib") and all(re.search(rf"\b{part}\b", source) for part in rest), (
            f"{page} names {name}"
        )
