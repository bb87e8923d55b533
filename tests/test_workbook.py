"""The command line: what it refuses, what a notebook that fails leaves, how parameters arrive, what is shipped."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib import workbook
from lib.paths import ROOT

try:
    import lib.export  # noqa: F401

    REPORT = "pdf"
except ImportError:
    REPORT = "none"

PARAMETERS = """# what can be set
text = "as it stands"
steps = 3  # epochs
rate: float = 0.1
retrain = False"""
SAVE = """import json, os, pathlib
folder = pathlib.Path(os.environ["WORKBOOK_EXPORTS"])
values = {"text": text, "steps": steps, "rate": rate, "retrain": retrain, "profile": os.environ["WORKBOOK_PROFILE"]}
(folder / "values.json").write_text(json.dumps(values))
print(steps)"""


def write(path, *sources, parameters=PARAMETERS):
    cells = [new_markdown_cell(f"# Title of {path.stem}\n\n## Not this"), new_code_cell(parameters)]
    cells[1].metadata["tags"] = ["parameters"]
    nb = new_notebook(cells=cells + [new_code_cell(source) for source in sources])
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path


@pytest.fixture
def folder(stores, monkeypatch):
    """A folder of two small notebooks in place of the workbook's own; the first one fails."""
    folder = stores / "notebooks"
    write(folder / "01_fails.ipynb", "before = 1", "# a comment\nprint('so far')\n1 / 0  # here", "after = 1")
    write(folder / "02_works.ipynb", SAVE)
    (folder / "profiles").mkdir()
    (folder / "profiles" / "smoke.yaml").write_text(yaml.safe_dump({"02_works": {"steps": 1}}))
    (folder / "profiles" / "gpu.yaml").write_text("")
    monkeypatch.setattr(workbook, "NOTEBOOKS", folder)
    return folder


@pytest.fixture
def values(stores):
    """What the second notebook was run with."""
    return lambda: json.loads((stores / "exports" / "values.json").read_text())


# --- what is refused ------------------------------------------------------------------------------------------------


def test_help(capsys):
    for arguments in (["--help"], ["run", "--help"], ["ship", "--help"], ["check", "--help"]):
        with pytest.raises(SystemExit) as end:
            workbook.main(arguments)
        assert end.value.code == 0
    output = capsys.readouterr().out
    for word in ("run", "ship", "check", "export", "list", "--profile", "--only", "--retrain", "--format", "--jobs"):
        assert word in output


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run", "--unknown"], ["run", "--jobs", "two"]])
def test_what_the_command_line_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        workbook.main(arguments)
    assert end.value.code == 2 and "usage: python -m lib.workbook" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "no profile 'fast'; there are cpu, smoke, gpu"),
        (["--only", "01,7,44"], "no notebook 07, 44; there are 01, 02"),
        (["--only", ","], "there are 01, 02"),
        (["--only", "../01"], "no notebook ../01; there are 01, 02"),
        (["--format", "docx"], "no format 'docx'; there are pdf, html, none"),
        (["--retrain", "yes"], "no RETRAIN=yes; use 1 (the headline models) or all"),
        (["-p", "speed=3"], "01_fails.ipynb has no parameter speed; it has text, steps, rate, retrain"),
        (["-p", "steps"], "-p wants name=value, got 'steps'"),
        (["-p", "steps=[1,"], "the value of 'steps' is no plain value: '[1,'"),
        (["-p", 'text=!!python/object/apply:os.system ["exit"]'], "the value of 'text' is no plain value"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(arguments, message, folder, capsys, stores):
    assert workbook.main(["run", "--format", "none", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == ""
    assert not (stores / "exports").exists(), "nothing may run before everything is known to be right"


def test_a_profile_may_not_set_what_a_notebook_does_not_have(folder, capsys):
    (folder / "profiles" / "smoke.yaml").write_text(yaml.safe_dump({"02_works": {"stepz": 1}}))
    assert workbook.main(["run", "--profile", "smoke"]) == 2
    assert "02_works.ipynb has no parameter stepz" in capsys.readouterr().err


def test_exporting_what_cannot_be_exported(folder, capsys, tmp_path):
    assert workbook.main(["export", str(folder / "02_works.ipynb"), "report.docx"]) == 2
    assert "report.docx must end in .pdf or .html" in capsys.readouterr().err
    assert workbook.main(["export", str(folder / "03.ipynb"), "report.pdf"]) == 2
    assert "there is no notebook" in capsys.readouterr().err


def test_list(folder, capsys):
    assert workbook.main(["list", "--only", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "02  Title of 02_works",
        "      text = 'as it stands'",
        "      steps = 3",
        "      rate = 0.1",
        "      retrain = False",
    ]


def test_as_a_program(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*arguments):
        command = [sys.executable, "-m", "lib.workbook", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)

    refused = call("run", "--only", "99")
    assert refused.returncode == 2 and refused.stderr.startswith("no notebook 99; there are ")
    assert call("list").returncode == 0


# --- parameters -----------------------------------------------------------------------------------------------------


def test_profile_then_retrain_then_by_hand(folder):
    path = folder / "02_works.ipynb"
    assert workbook.parameters(path, "cpu") == {}
    assert workbook.parameters(path, "smoke") == {"steps": 1}
    assert workbook.parameters(path, "gpu", "all") == {"retrain": "all"}
    assert workbook.parameters(path, "smoke", "1", ["steps=9", " rate = 1e-3", "text=a: b"]) == {
        "steps": 9,
        "retrain": True,
        "rate": "1e-3",  # YAML wants 1.0e-3
        "text": {"a": "b"},
    }


# --- running --------------------------------------------------------------------------------------------------------


def test_a_notebook_that_fails_is_told_and_the_others_go_on(folder, stores, capsys, values):
    exports = stores / "exports"
    exports.mkdir()
    (exports / "01_fails.pdf").write_text("of an earlier run")
    (exports / "01_fails.html").write_text("of an earlier run")
    code = workbook.main(["run", "--jobs", "2", "--profile", "smoke", "--format", REPORT, "-p", "rate=0.5"])
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
    if REPORT == "pdf":
        assert (exports / "02_works.pdf").read_bytes().startswith(b"%PDF")


NASTY = "\"]; import os; os.mkdir('broken in')\n'''\"\"\" {x} \\n \\ $HOME é → #"


def test_parameters_given_by_hand_are_values_and_never_code(folder, stores, values):
    text, rate = json.dumps(NASTY), "__import__('os').mkdir('broken in')"
    code = workbook.main(
        ["run", "--only", "2", "--format", "none", "--retrain", "all", "-p", f"text={text}", "-p", f"rate={rate}"]
    )
    assert code == 0
    assert values()["text"] == NASTY and values()["rate"] == rate and values()["retrain"] == "all"
    assert not [path for path in stores.rglob("*") if path.name == "broken in"]


@pytest.mark.skipif(REPORT == "none", reason="the exporter cannot be imported")
def test_a_report_that_cannot_be_made_leaves_none(folder, stores, monkeypatch):
    def half(source, target):
        target.write_text("half a report")
        raise RuntimeError("the printer is on fire\ncell 3: no paper")

    monkeypatch.setattr("lib.export.export_html", half)
    seconds, message = workbook.run(write(folder / "03_export.ipynb"), form="html")
    assert seconds > 0 and message == "RuntimeError: cell 3: no paper"
    assert sorted(path.name for path in (stores / "exports").iterdir()) == ["03_export"]


def test_a_kernel_that_dies_is_told(folder):
    path = write(folder / "03_dies.ipynb", "import os", "os._exit(1)")
    _, message = workbook.run(path, form="none")
    assert message.startswith("DeadKernelError: ")


# --- checking and shipping ------------------------------------------------------------------------------------------


def executed(*outputs, source="print(1)", **metadata):
    nb = new_notebook(cells=[new_markdown_cell("# T"), new_code_cell("a = 1", execution_count=1)], metadata=metadata)
    nb.cells[1].metadata["tags"] = ["parameters"]
    nb.cells.append(new_code_cell(source, outputs=list(outputs), execution_count=2))
    return nb


def problems(nb, path):
    nbformat.write(nb, path)
    return workbook.problems(path)


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
    assert workbook.main(["check", "--only", "02"]) == 1
    assert "02_works.ipynb: cell 2 was never run: run `make ship`" in capsys.readouterr().out
    nbformat.write(executed(), folder / "02_works.ipynb")
    assert workbook.main(["check", "--only", "02"]) == 0
    assert "1 notebooks are clean and complete" in capsys.readouterr().out


@pytest.mark.skipif(REPORT == "none", reason="the exporter cannot be imported")
def test_clean(tmp_path):
    nb = executed(new_output("stream", name="stderr", text="w"), new_output("stream", text="kept"), papermill={"a": 1})
    injected = new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]})
    nb.cells.insert(2, injected)
    nb.cells[3].metadata |= {"tags": ["nbval-check-output"], "papermill": {"duration": 1.5}, "scrolled": True}
    cleaned = workbook.clean(nb)
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
    assert workbook.clean(nbformat.read(tmp_path / "a.ipynb", 4)) == cleaned, "cleaning twice changes nothing"


TRAINS = """import torch
from lib import checkpoints, training

def train(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = lambda model, x: model(x).square().mean()
    return training.fit(model, lambda generator: [torch.ones(2, 1)], loss, optimizer, epochs=2, **keep)

run = checkpoints.train_or_load("03_ships/model", torch.nn.Linear(1, 1), train, {"steps": steps})
rows = checkpoints.sweep("03_ships/sweep", lambda seed: {"accuracy": 1.0}, [{"seed": 0}])"""


@pytest.mark.skipif(REPORT == "none", reason="the exporter cannot be imported")
def test_shipping_keeps_what_is_asked_for_and_the_outputs(folder, stores, capsys):
    path = write(folder / "03_ships.ipynb", TRAINS)
    shipped = stores / "checkpoints" / "03_ships"
    shipped.mkdir(parents=True)
    other = stores / "checkpoints" / "04_other" / "model.safetensors"
    other.parent.mkdir()
    for old in (shipped / "unused.safetensors", shipped / ".model.safetensors.123", other):
        old.write_text("old")
        os.utime(old, (1, 1))
    assert workbook.main(["ship", "--only", "03"]) == 0, capsys.readouterr().out
    assert sorted(file.name for file in shipped.iterdir()) == ["model.safetensors", "sweep.json"]
    assert other.exists(), "results of other notebooks are none of its business"
    nb = nbformat.read(path, 4)
    printed = "".join(output.get("text", "") for output in nb.cells[2].outputs)
    assert "03_ships/model: trained;" in printed and workbook.problems(path) == []

    before = (shipped / "model.safetensors").read_bytes()
    for file in (stores / "checkpoints" / "local").rglob("*.*"):
        file.unlink()
    for file in shipped.iterdir():
        os.utime(file, (1, 1))
    assert workbook.main(["ship", "--only", "03"]) == 0
    assert (shipped / "model.safetensors").read_bytes() == before and (shipped / "sweep.json").exists()
    printed = "".join(output.get("text", "") for output in nbformat.read(path, 4).cells[2].outputs)
    assert "03_ships/model: loaded (shipped)" in printed


def test_shipping_a_notebook_that_fails_changes_nothing(folder, stores):
    path = folder / "01_fails.ipynb"
    before, kept = path.read_bytes(), stores / "checkpoints" / "01_fails" / "model.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_text("old")
    os.utime(kept, (1, 1))
    assert workbook.main(["ship", "--only", "01"]) == 1
    assert path.read_bytes() == before and kept.exists()
