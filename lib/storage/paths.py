"""Where things lie. Environment variables move the folders, which is how tests keep their hands off the real ones."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def readers_path(text):
    """A path as a reader types it: `~` is the home folder, and a relative one starts in the current folder."""
    return Path(os.path.expanduser(text)).absolute()


def exports_folder():
    """Everything produced: reports, logs, pictures. `exports/`, or what WORKBOOK_EXPORTS names."""
    return Path(os.environ.get("WORKBOOK_EXPORTS") or ROOT / "exports")


def checkpoints_folder():
    """Trained weights and results that ship. `checkpoints/`, or what WORKBOOK_CHECKPOINTS names."""
    return Path(os.environ.get("WORKBOOK_CHECKPOINTS") or ROOT / "checkpoints")
