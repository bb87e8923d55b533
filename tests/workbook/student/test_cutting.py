"""What is cut out of the library, and what is left."""

import ast

import pytest

from lib.storage.paths import ROOT
from lib.workbook import exercises
from lib.workbook.student import cutting

ITEMS = cutting.coded()


@pytest.mark.parametrize("item", ITEMS)
def test_a_stub_is_a_subset_of_the_solution(item):
    solution = cutting.discreet(cutting.solution(item), item).splitlines()
    stub = iter(cutting.stub(item).splitlines())
    added = {"# YOUR CODE HERE", "raise NotImplementedError"}
    kept = [line for line in stub if line.strip() not in added and not line.strip().startswith("# ")]
    remaining = iter(solution)
    assert all(line in remaining for line in kept), "in the same order"
    assert sum(map(bool, kept)) < sum(map(bool, solution))


@pytest.mark.parametrize("item", [item for item in ITEMS if "withheld" in exercises.item(item)])
def test_sentences_that_answer_a_question_are_in_no_docstring_of_a_students(item):
    def joined(text):
        return " ".join(text.split())

    files = {one.__module__.replace(".", "/") + ".py" for one in exercises.answer(item)[0]}
    cut = cutting.cut_library({name: (ROOT / name).read_text("utf-8") for name in files}, [item])
    for sentence in exercises.item(item)["withheld"]:
        assert sentence in joined(cutting.solution(item)), "as it stands in the library"
        assert sentence not in joined(cutting.stub(item) + "".join(cut.values()))
    compile(cutting.stub(item), "stub", "exec")


@pytest.mark.parametrize("item", ITEMS)
def test_signatures_and_docstrings_stay_and_bodies_go(item):
    def outline(text):
        nodes = [node for node in ast.parse(text).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        nodes += [node for one in nodes for node in one.body if isinstance(one, ast.ClassDef) and hasattr(node, "args")]
        return [(node.name, ast.get_docstring(node), ast.unparse(getattr(node, "args", ast.Pass()))) for node in nodes]

    stub = cutting.stub(item)
    assert outline(stub) == outline(cutting.discreet(cutting.solution(item), item))
    methods = [node for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.FunctionDef)]
    given = {name.rpartition(".")[2] for name in exercises.item(item).get("given", [])}
    for method in methods:
        assert method.name in given or ast.unparse(method.body[-1]) == "raise NotImplementedError", method.name


def test_shapes_on_the_way_are_told_with_their_names():
    assert "# Shapes on the way: windows (B, C, T) -> (B, C, L, K); rows (B, L, C * K)" in cutting.stub("T4")


@pytest.mark.parametrize("item", ITEMS)
def test_a_solution_cell_runs_by_itself(item):
    exec(cutting.solution(item), namespace := {"__name__": "cell"})
    exec(cutting.stub(item), {"__name__": "cell"})
    assert all(name in namespace for name in cutting.names(item))


def test_the_students_library_has_no_solution_in_it_and_looks_theirs_up():
    names = {one.__module__.replace(".", "/") + ".py" for item in ITEMS for one in exercises.answer(item)[0]}
    files = {name: (ROOT / name).read_text("utf-8") for name in names}
    cut = cutting.cut_library(files, ITEMS)
    assert set(cut) == names
    for item in ITEMS:
        marked = cutting.solution(item, marked=True).split(cutting.BEGIN)[1:]
        for region in (part.split(cutting.END)[0] for part in marked):
            lines = [line.strip() for line in region.splitlines()]
            own = [line for line in lines if "".join(files.values()).count(line) == 1]  # what siblings share stays
            longest = max(own, key=len, default="no line")
            assert longest not in "".join(cut.values()), longest
        for name in cutting.names(item):
            assert f'return written("{item}", "{name}")(' in "".join(cut.values())
    for text in cut.values():
        compile(text, "cut", "exec")
    assert "class PooledTCN" in cut["lib/models/convolutional.py"] and "torch.relu(layer(x))" in "".join(cut.values())


def test_functions_and_methods_are_cut_too(monkeypatch):
    module = 'def encode(text, size=3, *, deep=True):\n    """To numbers."""\n    return 1\n\n\nother = 2\n'
    rows = {"Z1": {"definitions": ["lib.a.encode"], "notebook": "01"}}
    monkeypatch.setattr(exercises, "items", lambda: rows)
    encode = type("encode", (), {"__module__": "lib.a", "__qualname__": "encode"})
    monkeypatch.setattr(exercises, "answer", lambda code: ([encode], []))
    text = cutting.cut_library({"lib/a.py": module}, ["Z1"])["lib/a.py"]
    assert 'return written("Z1", "encode")(text, size, deep=deep)' in text and '"""To numbers."""' in text
    assert text.endswith("other = 2\n") and "return 1" not in text
