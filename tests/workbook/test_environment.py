"""pyproject.toml, requirements.txt and environment.yml agree, and this machine is checked against them."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from lib.storage.paths import ROOT
from lib.workbook import environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LEFT_OUT = re.compile(r"cuda-|nvidia-|triton$")  # CUDA libraries belong to torch's own build


def pinned():
    """Version of every pin that applies to this machine, by canonical name."""
    found = {}
    for pin in environment.pins():
        ((operator, number),) = ((part.operator, part.version) for part in pin.specifier)
        assert operator == "==" and "*" not in number, f"{pin} is no pin"
        assert canonicalize_name(pin.name) not in found, f"{pin.name} is pinned twice for this machine"
        found[canonicalize_name(pin.name)] = number
    return found


def test_the_ranges_of_pyproject_hold_the_pins():
    pins = pinned()
    for text in PROJECT["dependencies"]:
        wanted = Requirement(text)
        assert canonicalize_name(wanted.name) in pins, f"{wanted.name} is not pinned in requirements.txt"
        pin = pins[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(pin), f"requirements.txt pins {wanted.name} {pin}, outside {wanted.specifier}"


def test_the_whole_tree_is_pinned():
    pins, seen, queue = pinned(), set(), [Requirement(text) for text in PROJECT["dependencies"]]
    missing = {}
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        if LEFT_OUT.match(name) or (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        if name not in pins:
            missing[name] = str(wanted)
        try:
            children = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        queue += [
            child
            for child in children
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras))
        ]
    assert not missing, f"required but not pinned in requirements.txt: {missing}"
    unused = set(pins) - {name for name, _ in seen}
    assert not unused, f"pinned in requirements.txt but required by nothing: {sorted(unused)}"


def test_this_machine_satisfies_the_pins():
    assert environment.unsatisfied() == []
    done = subprocess.run([sys.executable, "-m", "lib.workbook.environment"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "satisfies every pin of requirements.txt" in done.stdout


def test_the_conda_environment_is_the_same():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    (python,) = (entry for entry in conda["dependencies"] if isinstance(entry, str) and entry.startswith("python="))
    wanted = SpecifierSet(PROJECT["requires-python"])
    assert Version(python.removeprefix("python=")) in wanted
    assert Version(sys.version.split()[0]) in wanted
    (pip,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert pip == ["-r requirements.txt"], "conda installs what pip installs, and nothing else"
    assert "pip" in conda["dependencies"]


def test_the_project_itself_is_installed_by_requirements():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert "-e ." in lines
    options = [line for line in lines if line.startswith("-") and line != "-e ."]
    assert not options, f"requirements.txt must work with any package index: {options}"


def write(folder, *lines):
    path = folder / "requirements.txt"
    path.write_text("\n".join(["# a comment", "", "-e .", *lines]), "utf-8")
    return path


def test_a_wrong_version_and_a_missing_package_are_found(tmp_path):
    path = write(
        tmp_path,
        f"pytest=={version('pytest')}  # fine",
        "numpy==1.0.0",
        "no-such-package==1.0",
        "not-for-this-system==1.0 ; sys_platform == 'amiga'",
    )
    assert environment.unsatisfied(path) == [
        f"numpy: installed {version('numpy')}, needed ==1.0.0",
        "no-such-package: not installed, needed ==1.0",
    ]


@pytest.mark.parametrize(
    ("installed", "pin", "good"),
    [
        ("2.13.0+cpu", "2.13.0", True),
        ("2.13.0", "2.13.0", True),
        ("2.13.1", "2.13.0", False),
        ("3.0rc1", "3.0rc1", True),
    ],
)
def test_local_versions_satisfy_a_pin(installed, pin, good, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "version", lambda name: installed)
    assert (environment.unsatisfied(write(tmp_path, f"torch=={pin}")) == []) == good
