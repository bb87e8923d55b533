"""Does this Python satisfy every pin of requirements.txt? Standard library and pip only, so that it runs before
anything is installed.

`python -m lib.workbook.environment` prints what is missing or has another version; exit code 0 means that nothing is.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lib.workbook.processes import print_anything

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"


def pins(path=REQUIREMENTS):
    """The pinned requirements that apply to this machine, as pip's `Requirement` objects."""
    from pip._vendor.packaging.requirements import Requirement

    lines = [line.split("#")[0].strip() for line in Path(path).read_text("utf-8").splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


def unsatisfied(path=REQUIREMENTS):
    """One line for each pin that is not satisfied; a local version such as 2.13.0+cpu satisfies 2.13.0."""
    problems = []
    for pin in pins(path):
        try:
            installed = version(pin.name)
        except PackageNotFoundError:
            problems.append(f"{pin.name}: not installed, needed {pin.specifier}")
        else:
            if not pin.specifier.contains(installed, prereleases=True):
                problems.append(f"{pin.name}: installed {installed}, needed {pin.specifier}")
    return problems


if __name__ == "__main__":
    print_anything()
    found = unsatisfied()
    print("\n".join(found) or f"{sys.executable} satisfies every pin of {REQUIREMENTS.name}")
    sys.exit(bool(found))
