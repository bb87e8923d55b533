"""The whole command: notebooks are run and packed, and what was packed works where it is unpacked."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pypdf import PdfReader

from lib.storage.paths import ROOT
from lib.workbook import notebooks
from lib.workbook.command_line import main
from lib.workbook.submission import archive
from lib.workbook.submission.merged_pdf import Report
from lib.workbook.submission.sheets import notebooks_of
from lib.workbook.submission.submit import relative

# --- the whole command ------------------------------------------------------------------------------------------------

TRAINS = """import torch
from lib import training
from lib.training import checkpoints

def train(model, **keep):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = lambda model, x: model(x).square().mean()
    return training.fit(model, lambda generator: [torch.ones(2, 1)], loss, optimizer, epochs=steps, **keep)

run = checkpoints.train_or_load("02_one/model", lambda: torch.nn.Linear(1, 1), train, {"steps": steps})
rows = checkpoints.sweep("02_one/sweep", lambda seed: {"accuracy": 1.0}, [{"seed": 0}])"""


@pytest.fixture
def folder(stores, monkeypatch):
    """A folder of small notebooks in place of the workbook's own: sheet B works, sheet A does not run."""
    folder = stores / "notebooks"
    for name, source in (
        ("01_fails", "1 / 0"),
        ("02_one", TRAINS),
        ("03_two", "import os\nprint(os.environ['PYTHONPATH'])"),
    ):
        parameters = new_code_cell("steps = 2\nretrain = False", metadata={"tags": ["parameters"]})
        nb = new_notebook(cells=[new_markdown_cell(f"# Title of {name}"), parameters, new_code_cell(source)])
        folder.mkdir(exist_ok=True)
        nbformat.write(nb, folder / f"{name}.ipynb")
    (folder / "profiles").mkdir()
    (folder / "profiles" / "smoke.yaml").write_text("02_one: {steps: 1}")
    monkeypatch.setattr(notebooks, "FOLDER", folder)
    return folder


GIVEN = ["--name", "Ada Lovelace; Alan Turing", "--matriculation", "123;456", "--email", "ada@x.example;alan@x.example"]


def test_the_command_packs_what_ran_and_says_what(folder, stores, capsys):
    arguments = ["submission", "--sheet", "b", *GIVEN, "--profile", "smoke", "--pdf-name", "sheet.pdf"]
    assert main(arguments) == 0, capsys.readouterr()
    printed = capsys.readouterr().out
    path = stores / "exports" / "Lovelace-123.zip"
    names = zipfile.ZipFile(path).namelist()
    assert names == sorted(names) and not [name for name in names if "01_fails" in name]
    local = [name for name in names if name.startswith("checkpoints/")]
    assert [re.sub(r"[0-9a-f]{16}", "KEY", name) for name in local] == [
        "checkpoints/local/02_one/model/KEY.safetensors",
        "checkpoints/local/02_one/sweep/KEY.json",
    ]
    assert f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(names)} files" in printed
    for wanted in (
        "sheet.pdf: 3 pages: cover 1; 02 Title of 02_one 2; 03 Title of 03_two 3",
        "02_one.ipynb, 03_two.ipynb",
        "model, sweep",
        "the hours for 02, 03 are not filled in",
        "profile smoke",
    ):
        assert wanted in printed, f"{wanted!r} is not said:\n{printed}"
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
        one, two = (nbformat.reads(packed.read(f"notebooks/{n}.ipynb").decode(), 4) for n in ("02_one", "03_two"))
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(packed.read("sheet.pdf"))).pages)
    assert "steps = 1" in one.cells[2].source and "trained" in json.dumps(one.cells[3].outputs), "as it was run"
    assert set(one.metadata) == {"kernelspec", "language_info"} and "papermill" not in json.dumps(one)
    assert str(ROOT) not in json.dumps(two) + text
    for wanted in ("Sheet B", "Ada Lovelace", "alan@x.example", "Title of 03_two"):
        assert wanted in text


def test_a_notebook_that_does_not_run_is_not_packed(folder, stores, capsys):
    (stores / "exports").mkdir()
    old = stores / "exports" / "Lovelace-123.zip"
    old.write_bytes(b"old")
    assert main(["submission", "--sheet", "A", *GIVEN]) == 1
    captured = capsys.readouterr()
    assert "FAILED: cell 3 (1 / 0): ZeroDivisionError" in captured.out
    assert "no archive was written" in captured.err and "the one of an earlier run is unchanged" in captured.err
    assert old.read_bytes() == b"old" and not list(old.parent.glob("*.pdf"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sheet", "A"], "NAME is missing"),
        (GIVEN, "SHEET is missing"),
        (["--sheet", "E", *GIVEN], "notebook 09, 10 is missing"),
        (["--sheet", "A", *GIVEN, "--pdf-name", "a/b"], "PDF_NAME: 'a/b'"),
        (["--sheet", "A", *GIVEN, "--profile", "fast"], "no profile 'fast'"),
    ],
)
def test_nothing_runs_before_everything_is_known_to_be_right(arguments, message, folder, stores, capsys):
    assert main(["submission", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.out == "" and not (stores / "exports").exists()


def test_a_workbook_without_its_files_is_refused(folder, stores, capsys, monkeypatch):
    monkeypatch.setattr(archive, "FILES", ("feedback.md", "no-such-file.toml"))
    assert main(["submission", "--sheet", "A", *GIVEN]) == 2
    assert "no-such-file.toml is missing: bring it back (git checkout no-such-file.toml)" in capsys.readouterr().err


def test_paths_within_the_workbook_become_relative():
    inside = str(ROOT / "lib" / "losses.py")
    nb = new_notebook(cells=[new_code_cell(f"open({inside!r})", outputs=[new_output("stream", text=f"in {inside}\n")])])
    nb = relative(nb)
    shown = str(Path("lib", "losses.py"))
    assert nb.cells[0].source == f"open({shown!r})" and nb.cells[0].outputs[0].text == f"in {shown}\n"
    nbformat.validate(nb)


# --- unpacked somewhere else ------------------------------------------------------------------------------------------

ELSEWHERE = """
import sys
from pathlib import Path
from lib.storage import tensors
from lib.workbook.command_line import main
here = Path.cwd()
assert Path(tensors.__file__).is_relative_to(here), tensors.__file__
for file in sys.argv[1:]:
    assert tensors.load(file)["model"], file
assert main(["list"]) == 0
"""


def test_the_unpacked_archive_works(tmp_path, monkeypatch):
    """What `make submission SHEET=A` packs, without its PDF, of the notebook as it is committed."""
    monkeypatch.delenv("WORKBOOK_CHECKPOINTS")
    (path,) = notebooks_of("A", {path.name[:2]: path for path in notebooks.paths()})
    handed_in = Report("01", "Title", path, nbformat.read(path, 4))
    archive.write(tmp_path / "a.zip", archive.contents([handed_in], notebooks.FOLDER, set()))
    elsewhere = tmp_path / "an empty folder"
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        names = packed.namelist()
        packed.extractall(elsewhere)
    unpacked = sorted(file.relative_to(elsewhere).as_posix() for file in elsewhere.rglob("*") if file.is_file())
    assert unpacked == names, "every name must be relative, with forward slashes"
    weights = [name for name in names if name.endswith(".safetensors")]
    assert weights, "sheet A ships trained models"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBOOK_")}
    command = [sys.executable, "-c", ELSEWHERE, *weights]
    done = subprocess.run(command, cwd=elsewhere, env=environment | {"PYTHONPATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("01  ") and [line for line in done.stdout.splitlines() if line[0] != " "] == [
        f"01  {notebooks.title(handed_in.nb)}"
    ]
    for name in names:
        if not name.endswith((".safetensors", ".png", ".jpg", ".webp")):
            text = (elsewhere / name).read_text("utf-8")
            assert str(ROOT) + os.sep not in text, f"{name} holds a path of this machine"
