"""The notebooks: fit to be committed, and run from nothing with the smallest settings. (Their committed outputs are
compared by nbval, which pytest runs over the folder `notebooks`.)"""

import subprocess
import sys

import nbformat
import pytest
import yaml

from lib.storage.paths import ROOT
from lib.workbook import notebooks
from lib.workbook.check import problems, unfinished
from lib.workbook.run import run

NOTEBOOKS = notebooks.paths()
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


@each
def test_fit_to_be_committed(path):
    assert problems(path) + unfinished(nbformat.read(path, 4)) == []


@each
@pytest.mark.parametrize("profile", notebooks.PROFILES)
def test_profiles_set_parameters_that_exist(path, profile):
    values = notebooks.parameters(path, profile)  # raises for a parameter that the notebook does not have
    assert profile == "cpu" or values, f"{path.stem} has no values in profiles/{profile}.yaml"
    assert "retrain" in notebooks.default_parameters(path) or path.stem == "00_start_here", "it trains nothing"


@pytest.mark.parametrize("profile", notebooks.PROFILES[1:])
def test_profiles_name_notebooks_that_exist(profile):
    profiles = yaml.safe_load((notebooks.FOLDER / "profiles" / f"{profile}.yaml").read_text("utf-8"))
    assert set(profiles) <= {path.stem for path in NOTEBOOKS}


@each
def test_runs_from_nothing_with_the_smoke_profile(path, stores):
    outcome = run(path, profile="smoke", values=notebooks.parameters(path, "smoke"), tries=True)
    assert outcome.problem == ""
    report = stores / "exports" / f"{path.stem}.pdf"
    assert report.read_bytes().startswith(b"%PDF") and report.stat().st_size > 20_000


def test_pytest_checks_the_committed_notebooks():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "notebooks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    for path in NOTEBOOKS:
        assert f"notebooks/{path.name}::" in done.stdout.replace("\\", "/"), done.stdout[-2000:] + done.stderr
