"""What every file keeps to: the style, no trace of the machine it was written on, and no effect of being imported."""

import re
import shutil
import subprocess
import sys

import pytest

from lib.storage.paths import ROOT

LIB = sorted((ROOT / "lib").rglob("*.py"))
BINARY = {".png", ".webp", ".pdf", ".zip", ".gz", ".safetensors", ".ico", ".jpg", ".mp4"}


def tracked():
    """Files that git knows or would add; all text files outside hidden and produced folders where there is no git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        return sorted(path for name in names if name and (path := ROOT / name).is_file())
    return sorted(
        path
        for folder in ("lib", "tests", "docs", "notebooks")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    )


def test_ruff_finds_nothing():
    """Code cells of notebooks included; the line length is that of pyproject.toml, 120."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--output-format",
        "concise",
        "lib",
        "tests",
        "docs",
        "notebooks",
        "student",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Written so that this file does not match itself.
FOREIGN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.)])/(?:root|home|work|Users)/[\w.]"),
    "a package index of somebody's own": re.compile(
        r"(?:index-url|find-links|trusted-host)[ =]+(?!https://download\.pytorch\.org/)\S|PIP_[A-Z_]*(?:URL|LINKS)"
    ),
}
DATA = re.compile(r"[A-Za-z0-9+/=]{200,}")  # pictures and films in notebooks


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_holds_a_trace_of_the_machine_it_was_written_on(what):
    found = []
    for path in tracked():
        if path.suffix in BINARY:
            continue
        text = DATA.sub("", path.read_text("utf-8"))
        found += [f"{path.relative_to(ROOT)}: {match.group()!r}" for match in FOREIGN[what].finditer(text)]
    assert not found, f"{what}: " + ", ".join(found)


def test_the_patterns_find_what_they_are_for():
    path, index = FOREIGN.values()
    for text in ("/".join(["in ", "home", "me"]), "/".join(["('", "root", ".cache"])):
        assert path.search(text), text
    assert index.search("pip install --extra-index-" + "url http://mirror") and index.search("PIP_" + "INDEX_URL")
    assert not path.search("notebooks/home/x") and not path.search("either/or")


def test_no_file_is_too_large():
    large = [path.name for path in tracked() if path.stat().st_size > 15_000_000]
    assert not large


def test_importing_lib_changes_nothing():
    code = """
import importlib, sys
import matplotlib, numpy, torch
def state():
    return (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(), torch.get_num_threads(),
            torch.get_rng_state().tolist(), str(numpy.random.get_state()), dict(matplotlib.rcParams))
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
sys.exit(state() != before)
"""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in LIB]
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"importing a module of lib changes a global state\n{done.stderr}"
