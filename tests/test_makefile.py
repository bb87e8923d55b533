"""The front door, asked what it would do; nothing is installed or run."""

import os
import re
import shutil
import subprocess

import pytest

from lib.paths import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="there is no make here; `python -m lib.workbook` does the same")


def make(*arguments, **variables):
    """What make prints, started as from a plain terminal, not as a part of `make test`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "LANG") if name in os.environ}
    done = subprocess.run([MAKE, *arguments], cwd=ROOT, env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(*arguments):
    """The line with which `make -n` would call Python on the workbook or the tests."""
    return make("-n", *arguments).splitlines()[-1].split(" -m ", 1)[1].split()


def test_make_alone_lists_every_target_with_a_description():
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", text, re.M).group(1).split())
    listed = dict(re.findall(r"^  ([a-z-]+) {2,}(\S.+)$", make(), re.M))
    assert set(listed) == targets
    assert {"setup", "lab", "report", "test", "check-notebooks", "ship", "bench", "clean"} <= targets
    for option in ("PROFILE=", "ONLY=", "RETRAIN=", "FORMAT=", "TORCH=cpu"):
        assert option in make()


def test_report_passes_every_choice():
    found = command("report", "ONLY=01", "RETRAIN=1", "PROFILE=smoke", "FORMAT=html")
    assert found[:2] == ["lib.workbook", "run"]
    options = dict(zip(found[2::2], found[3::2], strict=True))
    assert options == {"--profile": "smoke", "--format": "html", "--jobs": "1", "--only": "01", "--retrain": "1"}


def test_report_by_default():
    found = command("report")
    assert dict(zip(found[2::2], found[3::2], strict=True)) == {"--profile": "cpu", "--format": "pdf", "--jobs": "1"}


@pytest.mark.parametrize(("flags", "jobs"), [(["-j2"], "2"), (["-j", "3"], "3"), ([], "1")])
@pytest.mark.parametrize("target", ["report", "ship"])
def test_jobs_run_notebooks_side_by_side(target, flags, jobs):
    found = command(*flags, target)
    assert found[found.index("--jobs") + 1] == jobs


def test_ship_and_test():
    assert command("ship", "ONLY=02") == ["lib.workbook", "ship", "--jobs", "1", "--only", "02"]
    assert command("test") == ["pytest"]
    assert command("check-notebooks") == ["pytest", "notebooks"]
    assert "lib.workbook check" in make("-n", "check-notebooks")


def test_every_target_that_runs_python_sets_it_up_first():
    for target in ("lab", "report", "test", "check-notebooks", "ship", "bench"):
        printed = make("-n", "--always-make", target)
        assert "pip install" in printed and "-r requirements.txt" in printed.split(" -m lib.workbook")[0]


def test_torch_for_the_cpu_is_installed_first():
    printed = make("-n", "--always-make", "setup", "TORCH=cpu")
    assert printed.index("--index-url https://download.pytorch.org/whl/cpu") < printed.index("-r requirements.txt")
    assert "download.pytorch.org" not in make("-n", "--always-make", "setup")


def test_clean_keeps_checkpoints_and_the_environment():
    printed = make("-n", "clean")
    assert "exports" in printed and "checkpoints" not in printed and "rm -rf .venv" not in printed
