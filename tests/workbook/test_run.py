"""Running notebooks: what one that fails leaves, how parameters arrive, what is exported."""

import json

import nbformat
from small_notebooks import write

from lib.workbook.command_line import main
from lib.workbook.run import run


def test_a_notebook_that_fails_is_told_and_the_others_go_on(folder, stores, capsys, values):
    exports = stores / "exports"
    exports.mkdir()
    (exports / "01_fails.pdf").write_text("of an earlier run")
    (exports / "01_fails.html").write_text("of an earlier run")
    code = main(["run", "--jobs", "2", "--profile", "smoke", "--format", "pdf", "-p", "rate=0.5"])
    _, first, second, third = capsys.readouterr().out.splitlines()
    assert code == 1
    assert first.startswith("01  Title of 01_fails  ")
    assert first.endswith(" s  FAILED: cell 4 (print('so far')): ZeroDivisionError: division by zero"), first
    assert second.strip().startswith("the partly executed copy is ")
    assert third.startswith("02  Title of 02_works  ") and " s  ok, " in third

    copy = nbformat.read(exports / "01_fails" / "01_fails.ipynb", 4)
    outputs = [output for cell in copy.cells for output in cell.get("outputs", [])]
    assert [output.output_type for output in outputs] == ["stream", "error"] and outputs[0].text == "so far\n"
    assert not (exports / "01_fails.pdf").exists() and not (exports / "01_fails.html").exists()
    assert values() == {"text": "as it stands", "steps": 1, "rate": 0.5, "retrain": False, "profile": "smoke"}
    about = nbformat.read(exports / "02_works" / "02_works.ipynb", 4).metadata["workbook"]
    assert about["title"] == "Title of 02_works" and about["profile"] == "smoke" and about["seconds"] > 0
    assert (exports / "02_works.pdf").read_bytes().startswith(b"%PDF")


NASTY = "\"]; import os; os.mkdir('broken in')\n'''\"\"\" {x} \\n \\ $HOME é → #"


def test_parameters_given_by_hand_are_values_and_never_code(folder, stores, values):
    text, rate = json.dumps(NASTY), "__import__('os').mkdir('broken in')"
    code = main(
        ["run", "--only", "2", "--format", "none", "--retrain", "all", "-p", f"text={text}", "-p", f"rate={rate}"]
    )
    assert code == 0
    assert values()["text"] == NASTY and values()["rate"] == rate and values()["retrain"] == "all"
    assert not [path for path in stores.rglob("*") if path.name == "broken in"]


def test_a_report_that_cannot_be_made_leaves_none(folder, stores, monkeypatch):
    def half(source, target):
        target.write_text("half a report")
        raise RuntimeError("the printer is on fire\ncell 3: no paper")

    monkeypatch.setattr("lib.workbook.export.export_html", half)
    seconds, message = run(write(folder / "03_export.ipynb"), form="html")
    assert seconds > 0 and message == "RuntimeError: cell 3: no paper"
    assert sorted(path.name for path in (stores / "exports").iterdir()) == ["03_export"]


def test_a_kernel_that_dies_is_told(folder):
    path = write(folder / "03_dies.ipynb", "import os", "os._exit(1)")
    _, message = run(path, form="none")
    assert message.startswith("DeadKernelError: ")
