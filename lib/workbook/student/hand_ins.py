"""What was handed in: notebooks taken out of archives or folders, and the students' cells out of the notebooks.

Nothing is unpacked but notebooks of the expected names, wherever they lie in the archive; no path of it is used.
"""

import re
import unicodedata
import zipfile
from pathlib import Path

import nbformat

from lib.workbook.notebooks import UsageError, read

MOST_BYTES = 30_000_000  # of a notebook
KEPT_OUTPUTS = ("text/plain", "image/png")  # what a marker may see of a hand-in


def found(folder):
    """{name: archive or folder} of all hand-ins in a folder.

    A hand-in is a zip file, or a folder with notebooks somewhere in it; a folder that holds a single zip file, as
    upload pages make them, is that archive.

    Raises:
        UsageError: there is no such folder, it holds none, or two have one name.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UsageError(f"SUBMISSIONS: there is no folder {folder}")
    hand_ins = {}
    for path in sorted(folder.iterdir()):
        inside = [*path.rglob("*.zip")] if path.is_dir() and not path.is_symlink() else []
        if len(inside) == 1 and not [*path.rglob("*.ipynb")]:
            path = inside[0]
        if path.is_symlink() or not (path.is_dir() or path.suffix == ".zip"):
            continue
        name = plain_name(path.stem if path.suffix == ".zip" else path.name)
        if name in hand_ins:
            raise UsageError(f"SUBMISSIONS: {path} and {hand_ins[name]} would both be {name}: rename one")
        hand_ins[name] = path
    if not hand_ins:
        raise UsageError(f"SUBMISSIONS: {folder} holds no archives and no folders")
    return hand_ins


def plain_name(text):
    """A name that is safe as the name of a folder and in a table."""
    return re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", text)).strip("._") or "nameless"


def notebooks_in(path, wanted):
    """{name: bytes} of the notebooks of these names; of several of one name, that with the shortest path.

    Raises:
        UsageError: the archive cannot be read, or a notebook is far too large.
    """
    try:
        if path.is_dir():
            files = [one for one in path.rglob("*.ipynb") if one.is_file() and not one.is_symlink()]
            chosen = _chosen({one.relative_to(path).as_posix(): one for one in files}, wanted)
            return {name: _limited(one.open("rb"), name) for name, one in chosen.items()}
        with zipfile.ZipFile(path) as archive:
            chosen = _chosen({info.filename: info for info in archive.infolist()}, wanted)
            return {name: _limited(archive.open(info), name) for name, info in chosen.items()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UsageError(f"{path.name} cannot be read: {error}") from error


def _chosen(files, wanted):
    named = sorted(files, key=lambda name: (name.count("/"), len(name), name), reverse=True)
    return {name.rpartition("/")[2]: files[name] for name in named if name.rpartition("/")[2] in wanted}


def _limited(stream, name):
    with stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name} is larger than {MOST_BYTES // 10**6} MB")
    return data


def tidied(path, release):
    """A handed-in notebook in the form that nbgrader expects, whatever has become of its cells.

    What is not a student's is taken from the release: the metadata of cells, cells that are locked, cells that are
    missing. Of outputs, plain text and pictures stay.

    Args:
        path: the notebook. release: the notebook as it was given out.

    Raises:
        UsageError: it is no notebook.
    """
    nb, theirs = read(path), {}
    given = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    cells = []
    for cell in nb.cells:
        about = cell.metadata.get("nbgrader")
        name = about.get("grade_id") if isinstance(about, dict) else None
        cell.metadata = nbformat.from_dict({})
        if name in given and name not in theirs and cell.cell_type == given[name].cell_type:
            cell.metadata = given[name].metadata
            theirs[name] = cell
            if given[name].metadata.nbgrader.locked:
                cell.source = given[name].source
        if cell.cell_type == "code":
            cell.outputs = [_plain(output) for output in cell.outputs]
        cell.pop("attachments", None)
        cells.append(cell)
    cells += [cell for name, cell in given.items() if name not in theirs]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:04d}"
    return nbformat.from_dict({**release, "cells": cells})


def _plain(output):
    if "data" in output:
        output.data = nbformat.from_dict({kind: data for kind, data in output.data.items() if kind in KEPT_OUTPUTS})
        output.metadata = nbformat.from_dict({})
    return output


def source_of(nb, name):
    """The text of the cell with this grade_id."""
    (cell,) = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name]
    return cell.source
