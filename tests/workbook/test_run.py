"""Running notebooks: what one that fails leaves, how parameters arrive, what is exported."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import PIL.Image
import pytest
from small_notebooks import write

from lib.storage.paths import ROOT
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
    assert not (exports / "01_fails.pdf").exists(), "it would be taken for the report of this run"
    assert (exports / "01_fails.html").read_text() == "of an earlier run", "which asked for the other format"
    assert values() == {"text": "as it stands", "steps": 1, "rate": 0.5, "retrain": False, "profile": "smoke"}
    about = nbformat.read(exports / "02_works" / "02_works.ipynb", 4).metadata["workbook"]
    assert about["title"] == "Title of 02_works" and about["profile"] == "smoke" and about["seconds"] > 0
    assert (exports / "02_works.pdf").read_bytes().startswith(b"%PDF")


CLAIM = "from lib.workbook.reporting import claim\nclaim(steps == 3, 'Three.')"


@pytest.mark.parametrize(
    ("given", "holds", "said"),
    [([], True, "✓"), (["-p", "rate=0.5"], True, "✓"), (["-p", "steps=4"], False, "✗ *Does not hold here:*")],
)
def test_claims_are_only_stated_of_values_given_by_hand(given, holds, said, folder, stores):
    write(folder / "03_claims.ipynb", CLAIM if holds else CLAIM.replace("== 3", "== 5"))
    assert main(["run", "--only", "3", "--format", "none", *given]) == 0
    copy = nbformat.read(stores / "exports" / "03_claims" / "03_claims.ipynb", 4)
    assert copy.cells[-1].outputs[0].data["text/markdown"] == f"{said} Three."


@pytest.mark.parametrize("given", [[], ["--retrain", "all"], ["-p", "retrain=True"]])
def test_claims_are_held_to_the_values_that_stand_there(given, folder, capsys):
    write(folder / "03_claims.ipynb", CLAIM.replace("== 3", "== 5"))
    assert main(["run", "--only", "3", "--format", "none", *given]) == 1
    assert "ClaimError: does not hold: Three." in capsys.readouterr().out


def test_pictures_are_looked_for_beside_the_notebook(folder):
    path = write(folder / "03_picture.ipynb", nbformat.v4.new_markdown_cell("![a dot](dot.png)"))
    for form in ("pdf", "html"):
        assert "cell 3: there is no picture 'dot.png'" in run(path, form=form).problem
    PIL.Image.new("RGB", (2, 2)).save(folder / "dot.png")
    for form in ("pdf", "html"):
        assert run(path, form=form).problem == ""


NASTY = "\"]; import os; os.mkdir('broken in')\n'''\"\"\" {x} \\n \\ $HOME é → #"


def test_parameters_given_by_hand_are_values_and_never_code(folder, stores, values):
    code = main(["run", "--only", "2", "--format", "none", "--retrain", "all", "-p", f"text={json.dumps(NASTY)}"])
    assert code == 0 and values()["text"] == NASTY and values()["retrain"] == "all"
    assert main(["run", "--only", "2", "--format", "none", "-p", "text=__import__('os').mkdir('broken in')"]) == 0
    assert values()["text"] == "__import__('os').mkdir('broken in')"
    assert not [path for path in stores.rglob("*") if path.name == "broken in"]


def test_a_report_that_cannot_be_made_leaves_none(folder, stores, monkeypatch):
    def fail(source, target, folder):
        raise RuntimeError("the printer is on fire\ncell 3: no paper")

    monkeypatch.setattr("lib.workbook.export.export_html", fail)
    seconds, message, *_ = run(write(folder / "03_export.ipynb"), form="html")
    assert seconds > 0 and message == "RuntimeError: cell 3: no paper"
    assert sorted(path.name for path in (stores / "exports").iterdir()) == ["03_export"]


def test_a_kernel_that_dies_is_told(folder):
    path = write(folder / "03_dies.ipynb", "import os", "os._exit(1)")
    message = run(path, form="none").problem
    assert (
        message.startswith("cell 4 (os._exit(1)): its process was killed") and "run one notebook at a time" in message
    )


@pytest.mark.parametrize(("code", "said"), [("sys.exit()", "what follows was not run"), ("sys.exit(0)", "0")])
def test_a_cell_that_ends_the_program_is_a_failure(code, said, folder, stores):
    path = write(folder / "03_ends.ipynb", f"import sys\n{code}", "print('never')")
    outcome = run(path, form="html")
    assert outcome.problem == f"cell 3 (import sys): SystemExit: {said}" and outcome.nb is None
    assert not (stores / "exports" / "03_ends.html").exists()


def test_a_worker_that_is_killed_takes_no_other_along(folder, capsys):
    (folder / "01_fails.ipynb").unlink()
    write(folder / "01_kills.ipynb", "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)", "input()")
    assert main(["run", "--jobs", "2", "--format", "none"]) == 1
    printed = capsys.readouterr().out
    assert "01  Title of 01_kills" in printed and "FAILED: its process was killed" in printed
    assert re.search(r"02  Title of 02_works  .*ok, ", printed)


def test_one_job_writes_a_report_while_the_next_notebook_runs(folder, stores, monkeypatch, capsys):
    (folder / "01_fails.ipynb").unlink()
    write(folder / "01_first.ipynb", "print(1)")
    after = stores / "exports" / "02_works" / "02_works.ipynb"

    def slow(nb, target, folder):
        latest = time.monotonic() + 120
        while target.stem == "01_first" and not after.exists() and time.monotonic() < latest:
            time.sleep(0.05)
        target.write_text(str(after.exists()))

    monkeypatch.setattr("lib.workbook.export.export_html", slow)
    assert main(["run", "--format", "html", "--jobs", "1"]) == 0
    assert (stores / "exports" / "01_first.html").read_text() == "True", "its report was waited for"
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["Ru", "01", "02"]


# --- two runs at a time -----------------------------------------------------------------------------------------------

MEANWHILE = """import subprocess, sys
from pathlib import Path
program = "from lib.workbook.run import run; from pathlib import Path; "
program += f"print(run(Path({str(Path.cwd() / '03_twice.ipynb')!r}), form='none').problem)"
print(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout)"""


def test_a_second_run_of_a_notebook_says_who_runs_it(folder, stores):
    outcome = run(write(folder / "03_twice.ipynb", MEANWHILE), form="none")
    assert outcome.problem == ""
    said = "".join(output.text for output in outcome.nb.cells[2].outputs)
    assert re.match(rf"it is being run already, by process {os.getpid()} on .* since 20.*: wait for that", said), said
    assert run(folder / "03_twice.ipynb", form="none").problem == "", "afterwards it is free"


def test_what_ran_is_returned_and_not_what_lies_there_later(folder):
    path = write(folder / "03_first.ipynb", "print('first')")
    first = run(path, form="none")
    write(path, "print('second')")
    assert run(path, form="none").nb.cells[2].outputs[0].text == "second\n"
    assert first.nb.cells[2].outputs[0].text == "first\n"


# --- told to stop -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals to groups of processes")
@pytest.mark.parametrize(("jobs", "number"), [("1", signal.SIGTERM), ("2", signal.SIGINT)])
def test_told_to_stop_it_says_one_sentence(jobs, number, folder, stores, tmp_path):
    """Ctrl+C reaches the whole group of processes, and a second one comes while the first is being obeyed."""
    wait = "import os, pathlib, time\npathlib.Path(os.environ['WORKBOOK_EXPORTS'], 'begun').touch()\ntime.sleep(60)"
    for name in ("01_fails", "02_works"):
        write(folder / f"{name}.ipynb", wait)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(folder=folder, jobs=jobs))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen([sys.executable, str(program)], env=environment, **options)
    while not (stores / "exports" / "begun").exists() and process.poll() is None:
        time.sleep(0.05)
    for _ in range(2):
        os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    _, said = process.communicate(timeout=50)
    assert said == "stopped; what was being trained goes on from its last epoch when this is run again\n"


PROGRAM = """
import sys
from pathlib import Path
if __name__ == "__main__":
    from lib.workbook.processes import stop_once
    stop_once()
    from lib.workbook import notebooks
    from lib.workbook.command_line import main
    notebooks.FOLDER = Path("{folder}")
    sys.exit(main(["run", "--format", "none", "--jobs", "{jobs}"]))
"""
