"""`make test ONLY=02`: the tests that belong to a notebook; and which tests stay together in one process."""

import subprocess
import sys

import choice
import pytest

from lib.storage.paths import ROOT
from lib.workbook import notebooks


def collected(*arguments):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [line.replace("\\", "/") for line in done.stdout.splitlines() if "::" in line]


def test_only_what_belongs_to_a_notebook_is_collected():
    names = collected("--only", "02")
    files = {name.split("::")[0] for name in names}
    assert {"notebooks/02_memory.ipynb", "tests/models/test_recurrent.py", "tests/datasets/test_sequences.py"} <= files
    assert any("smoke_profile[02_memory]" in name for name in names)
    assert not any("smoke_profile[01" in name for name in names)
    assert not any(name.startswith(("tests/storage", "tests/figures", "notebooks/01")) for name in files)


EXERCISES = [path for path in notebooks.paths() if path.stem != "00_start_here"]  # which uses the workbook's room alone


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: path.stem)
def test_every_notebook_has_tests_of_what_it_imports(path):
    modules = choice.modules_of(path)
    tested = set().union(*map(choice.modules_of, choice.files_of(path)))
    assert modules and modules <= tested, f"no test of {path.stem} uses {modules - tested}"


def test_smoke_runs_are_spread_and_files_are_not():
    smoke = "tests/workbook/test_notebooks.py::test_runs_from_nothing_with_the_smoke_profile[02_memory]"
    assert choice.group(smoke) == smoke
    for name in ("notebooks/02_memory.ipynb::Cell 3", "notebooks/02_memory.ipynb::Cell 4"):
        assert choice.group(name) == "notebooks/02_memory.ipynb"
