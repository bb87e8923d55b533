"""What a notebook asks to try is tried: the cells that are added, and what is said of a change that cannot be made."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from small_notebooks import write

from lib.workbook.notebooks import UsageError
from lib.workbook.run import run
from lib.workbook.tries import with_tries


def asks(**asked):
    return new_markdown_cell("**Try it.**", metadata={"tags": ["try-it"], "try": asked})


def notebook(*cells):
    parameters = new_code_cell("steps = 10\nrate = 0.5", metadata={"tags": ["parameters"]})
    return new_notebook(cells=[parameters, new_code_cell("def f():\n    return 1"), new_code_cell("y = f()"), *cells])


def executed(nb):
    """The values of the names in a notebook after all of its cells."""
    space = {}
    for cell in nb.cells:
        if cell.cell_type == "code":
            exec(cell.source, space)
    return space


def test_a_change_is_made_run_and_undone():
    nb = with_tries(notebook(asks(change=[["return 1", "return 2"]], rerun=["y = f()"], run="tried = y + steps")))
    assert [cell.source for cell in nb.cells[4:]] == [
        "def f():\n    return 2",
        "y = f()",
        "tried = y + steps",
        "def f():\n    return 1",
        "y = f()",
    ]
    assert {cell.metadata["tried"] for cell in nb.cells[4:]} == {4}
    space = executed(nb)
    assert space["tried"] == 12 and space["y"] == 1


def test_of_the_parameters_only_the_changed_lines_run_and_come_back():
    nb = notebook(
        new_code_cell("steps = 3  # as a profile sets it"),
        asks(change=[["rate = 0.5", "rate = 2.0"]], run="tried = steps * rate"),
    )
    space = executed(with_tries(nb))
    assert space["tried"] == 6.0 and space["rate"] == 0.5 and space["steps"] == 3


def test_a_notebook_that_asks_for_nothing_stays_as_it_is():
    nb = notebook()
    assert with_tries(nb) == nb


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "cell 4: metadata `try` needs some of change, rerun, run, and has "),
        ({"do": "it"}, "needs some of change, rerun, run, and has do"),
        ({"change": [3]}, "cell 4: metadata `try` cannot be understood"),
        ({"change": [["return 3", "return 2"]]}, "'return 3' stands in no code cell before it"),
        ({"rerun": ["f()"]}, r"'f\(\)' stands in 2 code cells before it; name a piece that stands in one"),
    ],
)
def test_what_cannot_be_tried_is_told(asked, message):
    with pytest.raises(UsageError, match=message):
        with_tries(notebook(asks(**asked)))


def test_a_change_that_fails_names_the_cell_that_asks(stores):
    path = write(stores / "03_asks.ipynb", "x = 1", asks(change=[["x = 1", "x = undefined"]]))
    assert run(path, form="none")[1] == ""
    seconds, problem, *_ = run(path, form="none", tries=True)
    assert problem.startswith("what cell ") and "asks to try (x = undefined): NameError" in problem
