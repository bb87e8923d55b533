"""JupyterLab as the workbook needs it: `make lab`, or `python -m lib.workbook lab` with JupyterLab's own options.

Its default settings lie in `lib/workbook/jupyter/labconfig/`: no question about news and no request for them or for
newer versions; Markdown files open as text that is read. They are defaults only: whatever readers have set in their own
JupyterLab wins, and nothing is written into their settings.
"""

import os
import re
from pathlib import Path

from lib.storage.paths import ROOT

SETTINGS = Path(__file__).with_name("jupyter")


def environment(given):
    """Environment variables of JupyterLab and its kernels: those given, with our settings and the library in front."""
    own = {"JUPYTER_CONFIG_PATH": str(SETTINGS), "PYTHONPATH": str(ROOT)}
    return {**given} | {name: os.pathsep.join(filter(None, [path, given.get(name)])) for name, path in own.items()}


def command(arguments):
    """What JupyterLab is given: it may show the whole workbook and begins in `notebooks/`, unless `arguments` name
    another folder (JupyterLab takes such an option only once).
    """
    if any(re.match(r"--\S*(root|notebook|preferred)[_-]dir\b", argument) for argument in arguments):
        return [*arguments]
    folders = [f"--ServerApp.root_dir={ROOT}", f"--FileContentsManager.preferred_dir={ROOT / 'notebooks'}"]
    return [*folders, *arguments]


def lab(arguments):
    """Run JupyterLab until it is told to end; `arguments` are options of `jupyter lab`."""
    os.environ.update(environment(os.environ))
    from jupyterlab.labapp import LabApp  # reads the environment

    LabApp.launch_instance(command(arguments))
