"""What all exporters share: a file that appears as a whole or not at all, and the facts about the run."""

import os
from pathlib import Path

import nbformat


def write(exporter, nb_or_path, out_path, folder=None):
    """Export a notebook (a path or a notebook in memory) with an nbconvert exporter and return the path of the file.

    A failing export leaves an older file as it is. What a notebook's text names (pictures) is looked for in `folder`,
    by default beside the notebook, for a notebook in memory in the working directory.
    """
    nb, path, out = nb_or_path, Path(Path(out_path).name), Path(out_path)
    if isinstance(nb_or_path, (str, os.PathLike)):
        nb, path = nbformat.read(nb_or_path, as_version=4), Path(nb_or_path)
    about = {"name": path.stem, "path": str(folder or path.parent)}
    body, _ = exporter.from_notebook_node(nb, resources={"metadata": about})
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        part.write_bytes(body.encode() if isinstance(body, str) else body)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return out


def run_facts(about):
    """What a report says about its run: {"Run time": "3 min 20 s", …} from the notebook's `metadata["workbook"]`."""
    facts = {
        "Profile": about.get("profile"),
        "Device": about.get("device"),
        "Run time": _duration(about.get("seconds")),
        "Versions": ", ".join(f"{name} {version}" for name, version in sorted((about.get("versions") or {}).items())),
    }
    return {name: str(fact) for name, fact in facts.items() if fact}


def _duration(seconds):
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
