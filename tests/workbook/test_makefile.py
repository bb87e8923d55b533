"""The front door, asked what it would do; nothing is installed or run."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from lib.storage.paths import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="there is no make here; `python -m lib.workbook` does the same")


def make(*arguments, **variables):
    """What make prints, started as from a plain terminal, not as a part of `make test`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "LANG") if name in os.environ}
    done = subprocess.run([MAKE, *arguments], cwd=ROOT, env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


ARGUMENTS = (
    'python -c "import sys, json; print(json.dumps(sys.argv[1:]))"'  # in place of Python: prints what it is given
)


def command(*arguments, **variables):
    """What make would give to Python, behind `-m`."""
    python = ARGUMENTS.replace("python", sys.executable.replace("\\", "/"), 1)
    found = json.loads(make(*arguments, "STAMP=", "SITE=", f"PY={python}", **variables).splitlines()[-1])
    assert found[0] == "-m"
    return found[1:]


def test_make_alone_lists_every_target_with_a_description():
    text = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", text, re.M).group(1).split())
    listed = dict(re.findall(r"^  ([a-z-]+) {2,}(\S.+)$", make(), re.M))
    assert set(listed) == targets
    assert {"setup", "lab", "report", "submission", "test", "check-notebooks", "ship", "bench", "clean"} <= targets
    assert {"cluster", "cluster-status", "update", "site"} <= targets
    for option in ("PROFILE=", "ONLY=", "RETRAIN=", "FORMAT=", "TORCH=cpu"):
        assert option in make()


def test_report_passes_every_choice():
    found = command("report", "ONLY=01", "RETRAIN=1", "PROFILE=smoke", "FORMAT=html")
    assert found[:2] == ["lib.workbook", "run"]
    options = dict(zip(found[2::2], found[3::2], strict=True))
    assert options == {"--profile": "smoke", "--format": "html", "--jobs": "0", "--only": "01", "--retrain": "1"}


def test_the_site_is_told_the_repository_only_where_one_is_named():
    assert command("site") == ["lib.workbook", "site", "--repository", ""]
    address = "https://github.com/somebody/workbook"
    assert command("site", f"REPOSITORY={address}") == ["lib.workbook", "site", "--repository", address]
    assert "requirements-site.txt" in make("-n", "-B", "site"), "what it needs is installed first"


def test_report_by_default():
    found = command("report")
    assert dict(zip(found[2::2], found[3::2], strict=True)) == {"--profile": "cpu", "--format": "pdf", "--jobs": "0"}


@pytest.mark.parametrize(("flags", "jobs"), [(["-j2"], "2"), (["-j", "3"], "3"), (["-j1"], "1"), ([], "0")])
@pytest.mark.parametrize("target", ["report", "ship"])
def test_jobs_run_notebooks_side_by_side(target, flags, jobs):
    found = command(*flags, target)
    assert found[found.index("--jobs") + 1] == jobs


def test_ship_and_test():
    assert command("ship", "ONLY=02") == ["lib.workbook", "ship", "--jobs", "0", "--only", "02"]
    assert command("test") == ["pytest", "-n", "2", "--dist", "loadfile"], "two processes share the tests"
    assert command("test", "ONLY=02")[5:] == ["--only", "02"]
    assert command("test-system") == ["pytest", "-n", "2", "--dist", "loadfile", "-m", "system", "tests"]
    assert command("check-notebooks") == ["pytest", "notebooks"]
    assert "lib.workbook check" in make("-n", "check-notebooks")


def test_the_student_edition():
    given = ["SHEET=B", "SOLVED=T2,T3", "SOLUTIONS=no"]
    assert command("student", *given)[1:] == ["student", "--sheet", "B", "--solutions", "no", "--solved", "T2,T3"]
    assert command("student", SHEET="E")[1:4] == ["student", "--sheet", ""], (
        "what a terminal happens to have is not meant"
    )
    evil = "$(touch x); `touch x`"
    assert command("grade", f"SUBMISSIONS={evil}")[-4:] == ["--submissions", evil, "--sandbox", ""]
    assert command("grade", "SUBMISSIONS=a b", "SANDBOX=none")[1:] == [
        "grade",
        "--submissions",
        "a b",
        "--sandbox",
        "none",
    ]
    assert command("check") == ["lib.workbook", "progress"]


def test_lab_and_update():
    assert command("lab") == ["lib.workbook", "lab"]
    assert "pip install" not in make("-n", "--always-make", "update"), "it takes what may change the packages first"
    printed = make("-n", "update", "PY=.venv/none", "PYTHON=python3.99")
    assert printed.strip() == "python3.99 -m lib.workbook.update", "without .venv any Python does"
    printed = make("-n", "update", f"PY={sys.executable}")
    assert printed.strip() == f"{sys.executable} -m lib.workbook.update"


def test_every_target_that_runs_python_sets_it_up_first():
    for target in (
        "lab", "report", "submission", "test", "check-notebooks", "ship", "cluster", "cluster-status", "bench",
    ):  # fmt: skip
        printed = make("-n", "--always-make", target)
        before = printed.split(" -m lib.workbook")[0].split(" -m lib.workbook.cluster")[0]
        assert "pip install" in printed and "-r requirements.txt" in before


def test_cluster_passes_every_choice_and_means_the_full_scale():
    assert command("cluster") == ["lib.workbook.cluster", "submit", "--profile", "gpu", "--format", "pdf"]
    found = command("cluster", "PROFILE=smoke", "ONLY=01", "RETRAIN=all", "FORMAT=html")
    assert found[:4] == ["lib.workbook.cluster", "submit", "--profile", "smoke"]
    assert found[4:] == ["--format", "html", "--only", "01", "--retrain", "all"]
    assert command("cluster-status") == ["lib.workbook.cluster", "status"]


def test_torch_for_the_cpu_is_installed_first():
    printed = make("-n", "--always-make", "setup", "TORCH=cpu")
    assert printed.index("--index-url https://download.pytorch.org/whl/cpu") < printed.index("-r requirements.txt")
    assert "download.pytorch.org" not in make("-n", "--always-make", "setup")


def test_clean_keeps_checkpoints_the_environment_and_the_gradebook():
    printed = make("-n", "clean")
    assert "find exports -mindepth 1 -maxdepth 1 -not -name course" in printed and "rm -rf exports" not in printed
    assert "exports" in printed and "checkpoints" not in printed and "rm -rf .venv" not in printed


def handed_in(*arguments, **variables):
    """The options that `make submission` would give to Python."""
    found = command("submission", *arguments, **variables)
    assert found[:2] == ["lib.workbook", "submission"]
    return dict(zip(found[2::2], found[3::2], strict=True))


def test_submission_passes_what_is_given():
    given = {"SHEET": "A", "NAME": "Ada Lovelace; Alan Turing", "MATRICULATION": "1; 2", "EMAIL": "a@x; b@y"}
    found = handed_in(*(f"{name}={value}" for name, value in given.items()), "PDF_NAME=a b.pdf", "PROFILE=smoke")
    options = {"--" + name.lower(): value for name, value in given.items()}
    assert found == options | {"--pdf-name": "a b.pdf", "--profile": "smoke", "--jobs": "0"}


def test_submission_takes_nothing_that_the_terminal_happens_to_have():
    found = handed_in("SHEET=A", NAME="the computer's name", EMAIL="of@git.example")
    assert found["--name"] == found["--email"] == "" and found["--sheet"] == "A"


@pytest.mark.parametrize(
    "code", ["$(shell touch {})", "'; touch {}; '", '"; touch {}; "', "`touch {}`", "\n\ttouch {}\n"]
)
def test_what_is_typed_is_never_run(code, tmp_path):
    value = "Ada" + code.format(tmp_path / "run") + " $HOME $$ ${X} \\ % é"
    found = handed_in(f"NAME={value}", f"SHEET={value}", f"PROFILE={value}")
    assert found["--name"] == found["--sheet"] == found["--profile"] == value and found["--jobs"] == "0"
    for target in ("report", "ship", "cluster"):
        given = [f"{name}={value}" for name in ("PROFILE", "FORMAT", "ONLY", "RETRAIN")]
        found = command(target, *given)
        assert found[found.index("--only") + 1] == value
        assert found.count(value) == (1 if target == "ship" else 4)
        if target != "ship":
            assert command(target, ONLY=value, RETRAIN=value).count(value) == 2, "from the terminal's environment"
    assert not list(tmp_path.iterdir()), "make or the shell has run a part of a name"


def test_scripts_end_their_lines_as_shells_read_them_on_every_system():
    """In a clone made with core.autocrlf=true too, as git for Windows proposes."""
    names = ["Makefile", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "cluster").iterdir()))]
    done = subprocess.run(["git", "check-attr", "eol", "--", *names], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not in a clone")
    assert done.stdout.splitlines() == [f"{name}: eol: lf" for name in names]
