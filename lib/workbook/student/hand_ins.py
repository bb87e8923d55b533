"""What was handed in: notebooks taken out of archives or folders, and the students' cells out of the notebooks.

Nothing is unpacked but notebooks of the expected names, wherever they lie in the archive; no path of it is used.
"""

import ast
import re
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path

import nbformat

from lib.workbook.notebooks import UsageError, read

MOST_BYTES = 30_000_000  # of a notebook
COPY = re.compile(r"[ _-]*\(\d+\)$")  # what browsers add to the name of a second download
OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".ipynb")
MAGIC = re.compile(r"(?m)^[%!].*\n?")  # IPython's own commands, which are no Python
KEPT_OUTPUTS = ("text/plain", "image/png")  # what a marker may see of a hand-in


def found(folder):
    """All hand-ins in a folder: ({name: archive or folder}, [what is to be told about them]).

    A hand-in is a zip file, or a folder with notebooks somewhere in it; a folder that holds a single zip file, as
    upload pages make them, is that archive, or named like the folder where several archives have one name. Of several
    hand-ins of one name, "Ada-1 (2).zip" among them, the newest is taken.

    Raises:
        UsageError: there is no such folder, or it holds none.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UsageError(f"SUBMISSIONS: there is no folder {folder}")
    hand_ins, told, entries = {}, [], []
    for top in sorted(folder.iterdir()):
        inside = [*top.rglob("*.zip")] if top.is_dir() and not top.is_symlink() else []
        path = inside[0] if len(inside) == 1 and not [*top.rglob("*.ipynb")] else top
        name = plain_name(COPY.sub("", path.name if path.is_dir() else path.stem))
        if path.suffix.lower() in OTHER_ARCHIVES:
            told.append(f"{path.name} is no zip archive and no folder, and is left out: unpack it into a folder {name}")
        elif not path.is_symlink() and (path.is_dir() or path.suffix.lower() == ".zip"):
            entries.append((name, path, top))
    packed = Counter(name for name, path, top in entries if path != top)  # a name that several have names nobody
    for name, path, top in entries:
        if path != top and packed[name] > 1:
            name = plain_name(top.name)
        if (other := hand_ins.get(name, path)) != path:
            path, other = sorted((path, other), key=lambda one: one.stat().st_mtime, reverse=True)
            told.append(f"{name}: of two hand-ins the newer one is graded, {path.name}, and not {other.name}")
        hand_ins[name] = path
    if not hand_ins:
        raise UsageError("\n".join([f"SUBMISSIONS: {folder} holds no archives and no folders", *told]))
    return hand_ins, told


def plain_name(text):
    """A name that is safe as the name of a folder and in a table."""
    return re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", text)).strip("._") or "nameless"


def files_in(path, wanted, *beside):
    """The notebooks of these names, and files beside them: ({name: bytes}, [what is to be told about them]).

    Of several of one name that with the shortest path is taken; where none is called so, one whose name holds the name,
    such as "02_memory (1).ipynb".

    Raises:
        UsageError: the archive cannot be read, holds none of them, or a notebook is far too large.
    """
    try:
        if path.is_dir():
            files = [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
            files = {one.relative_to(path).as_posix(): one for one in files}
            chosen, told = _chosen(files, {*wanted, *beside})
            read = {name: _limited(one.open("rb"), name) for name, one in chosen.items()}
        else:
            with zipfile.ZipFile(path) as archive:
                files = {info.filename: info for info in archive.infolist() if not info.is_dir()}
                chosen, told = _chosen(files, {*wanted, *beside})
                read = {name: _limited(archive.open(info), name) for name, info in chosen.items()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise UsageError(f"{path.name} cannot be read: {error}") from error
    if not wanted & set(read):
        held = ", ".join(sorted({str(name).rpartition("/")[2] for name in files})[:5]) or "nothing"
        raise UsageError(f"{path.name} holds none of the notebooks {', '.join(sorted(wanted))}, but {held}")
    return read, told


def _chosen(files, wanted):
    """The notebooks of the wanted names among files, {their path: anything}, and what is to be told."""
    ordered = sorted(files, key=lambda path: (path.count("/"), len(path), path))
    chosen, told = {}, []
    for name in sorted(wanted):
        exact = [path for path in ordered if path.rpartition("/")[2] == name]
        stem = name.removesuffix(".ipynb").lower()
        close = [
            path for path in ordered if stem in path.rpartition("/")[2].lower() and path.lower().endswith(".ipynb")
        ]
        close = [path for path in close if ".ipynb_checkpoints" not in path]
        if exact or close:
            chosen[name] = files[(exact or close)[0]]
        if not exact and close:
            told.append(f"{close[0]} is taken for {name}" + f" (and not {', '.join(close[1:])})" * bool(close[1:]))
    return chosen, told


def _limited(stream, name):
    with stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name} is larger than {MOST_BYTES // 10**6} MB")
    return data.removeprefix(b"\xef\xbb\xbf")  # an editor's mark of UTF-8


def tidied(path, release):
    """A handed-in notebook in the form that nbgrader expects, whatever has become of its cells.

    What is not a student's is taken from the release: the metadata of cells, cells that are locked, cells that are
    missing. Of outputs, plain text and pictures stay, and what students write in words holds no HTML, since formgrader
    shows it in the browser of those who mark.

    Args:
        path: the notebook. release: the notebook as it was given out.

    Raises:
        UsageError: it is no notebook.
    """
    nb, theirs = read(path), {}
    given = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    ours = {cell.source for cell in release.cells if cell.cell_type == "markdown"}
    cells = []
    for cell in nb.cells:
        if cell.cell_type == "raw" or cell.cell_type == "markdown" and cell.source not in ours:
            cell.cell_type, cell.source = "markdown", cell.source.replace("<", "&lt;")
        about = cell.metadata.get("nbgrader")
        name = about.get("grade_id") if isinstance(about, dict) else None
        cell.metadata = nbformat.from_dict({})
        if name in given and name not in theirs and cell.cell_type == given[name].cell_type:
            cell.metadata = given[name].metadata
            theirs[name] = cell
            if given[name].metadata.nbgrader.locked:
                cell.source = given[name].source
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(_plain, cell.outputs) if output.get("data", True)]
        cell.pop("attachments", None)
        cells.append(cell)
    for name, cell in given.items():
        if name not in theirs:
            cells.append(theirs.setdefault(name, nbformat.from_dict(cell)))
        if not cell.metadata.nbgrader.locked and theirs[name].source.strip() == cell.source.strip():
            theirs[name].source = _elsewhere(nb.cells, release.cells, name) or cell.source
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:04d}"
    return nbformat.from_dict({**release, "cells": cells})


def _elsewhere(cells, released, name):
    """What was written for a task into cells of one's own; None if nothing was.

    For code the last cell that defines most of what the task asks for; for words the text below the question.
    """
    (place,) = [n for n, cell in enumerate(released) if cell.metadata.get("nbgrader", {}).get("grade_id") == name]
    ours = {cell.source.strip() for cell in released}
    if released[place].cell_type == "code":
        wanted = defined(released[place].source)
        texts = [cell.source for cell in cells if cell.cell_type == "code" and cell.source.strip() not in ours]
        found = max(reversed(texts), key=lambda text: len(wanted & defined(text)), default="")
        return found if wanted & defined(found) else None
    question = [n for n, cell in enumerate(cells) if cell.source.strip() == released[place - 1].source.strip()]
    below = []
    for cell in cells[question[0] + 1 :] if question else []:
        if cell.cell_type != "markdown" or cell.source.strip() in ours - {released[place].source.strip()}:
            break
        below += [cell.source] if cell.source.strip() not in ours else []
    return "\n\n".join(below) or None


def defined(text):
    """Names of the classes and functions that a cell defines; none if it is no Python."""
    try:
        return {node.name for node in ast.parse(python(text)).body if hasattr(node, "name")}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()


def python(text):
    """A cell without IPython's commands (%%time, !pip) and with one kind of line end."""
    return MAGIC.sub("", text.replace("\r\n", "\n"))


def _plain(output):
    if "data" in output:
        kept = {kind: data for kind, data in output.data.items() if kind in KEPT_OUTPUTS}
        if not re.fullmatch(r"[\w+/=\s]*", str(kept.get("image/png", ""))):
            del kept["image/png"]
        output.data = nbformat.from_dict(kept)
        output.metadata = nbformat.from_dict({})
    return output


def source_of(nb, name):
    """The text of the cell with this grade_id."""
    (cell,) = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name]
    return cell.source
