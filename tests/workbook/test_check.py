"""What keeps a notebook from being committed, and what cleans it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.storage.paths import ROOT
from lib.workbook import check
from lib.workbook.command_line import main


def executed(*outputs, source="print(1)", **metadata):
    nb = new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("a = 1", execution_count=1)], metadata=metadata)
    nb.cells[1].metadata["tags"] = ["parameters"]
    nb.cells.append(new_code_cell(source, outputs=list(outputs), execution_count=2))
    return nb


def problems(nb, path):
    nbformat.write(nb, path)
    return check.problems(path)


def test_a_clean_notebook_has_no_problems(tmp_path):
    png = new_output("display_data", {"image/png": "/tmp/abc/home/x" * 10, "text/plain": "checkpoints/local and 3:4"})
    assert problems(executed(new_output("stream", text="1 / 2 of /usr\n"), png), tmp_path / "nb.ipynb") == []


@pytest.mark.parametrize(
    ("nb", "message"),
    [
        (executed(new_output("stream", name="stderr", text="Warning")), "cell 3 has an error or warnings"),
        (executed(new_output("error", ename="E", evalue="", traceback=[])), "cell 3 has an error or warnings"),
        (executed(new_output("stream", text="in " + "/".join(["", "tmp", "x"]))), "cell 3 shows a path of the machine"),
        (executed(new_output("stream", text=str(ROOT / "lib"))), "cell 3 shows a path of the machine"),
        (executed(new_output("stream", text="in C:\\Users\\me")), "cell 3 shows a path of the machine"),
        (
            executed(new_output("display_data", {"text/html": f"<b>{ROOT}/lib</b>"})),
            "cell 3 shows a path of the machine",
        ),
        (executed(source="\n".join(["a = 1"] * 46)), "cell 3 has 46 lines; move what is not taught into lib"),
        (executed(widgets={}), "widget state in the metadata"),
        (executed(new_output("stream", text="x" * 1_600_000)), "1.6 MB; at most 1.5 MB"),
    ],
)
def test_problems_are_named(nb, message, tmp_path):
    (found,) = problems(nb, tmp_path / "nb.ipynb")
    assert found.startswith(message)


def test_cells_that_never_ran_and_missing_parameters(tmp_path):
    nb = executed()
    nb.cells[2].execution_count = None
    nb.cells[1].metadata["tags"] = []
    assert problems(nb, tmp_path / "nb.ipynb") == [
        "needs exactly one cell tagged `parameters`",
        "cell 3 was never run: run `make ship`",
    ]


def test_check(folder, capsys):
    assert main(["check", "--only", "02"]) == 1
    assert "02_works.ipynb: cell 2 was never run: run `make ship`" in capsys.readouterr().out
    nbformat.write(executed(), folder / "02_works.ipynb")
    assert main(["check", "--only", "02"]) == 0
    assert "1 notebooks are clean and complete" in capsys.readouterr().out


def test_clean(tmp_path):
    nb = executed(new_output("stream", name="stderr", text="w"), new_output("stream", text="kept"), papermill={"a": 1})
    injected = new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]})
    nb.cells.insert(2, injected)
    nb.cells[3].metadata |= {"tags": ["nbval-check-output"], "papermill": {"duration": 1.5}, "scrolled": True}
    cleaned = check.clean(nb)
    assert [cell.source for cell in cleaned.cells] == ["# T", "a = 1", "print(1)"]
    assert [dict(cell.metadata) for cell in cleaned.cells] == [
        {},
        {"tags": ["parameters"]},
        {"tags": ["nbval-check-output"]},
    ]
    assert [output.text for output in cleaned.cells[2].outputs] == ["kept"]
    assert set(cleaned.metadata) == {"kernelspec", "language_info"}
    nbformat.validate(cleaned)
    assert problems(cleaned, tmp_path / "a.ipynb") == []
    assert check.clean(nbformat.read(tmp_path / "a.ipynb", 4)) == cleaned, "cleaning twice changes nothing"
