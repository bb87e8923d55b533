"""The archive that is handed in: what goes into it, and the file itself."""

import datetime
import io
import os
import re
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

import nbformat

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import ROOT, checkpoints_folder
from lib.workbook.notebooks import UsageError
from lib.workbook.submission.file_names import check_names

FEEDBACK = "feedback.md"
DATA = "data/README.md"  # lists the workbook's own data
FILES = (FEEDBACK, "README.md", "Makefile", "pyproject.toml", "requirements.txt", "environment.yml", DATA)
FILES += ("student/exercises.toml",)  # `reporting.exercise` reads it
# What else is the workbook's own; * stands for folders, too.
OWN = ("lib/*.py", "lib/experiments/config/*.yaml", "lib/figures/*.js", "lib/workbook/jupyter/*.json", "tests/*.py")
OWN += ("lib/workbook/export/templates/*", "cluster/Dockerfile", "cluster/*.def", "cluster/*.sh", "cluster/*.sbatch")
OWN += ("docs/architecture.*", "docs/pictures/*", "docs/*.py", "docs/site.css", "lib/workbook/student/edition.md")
DOCUMENTS = ("cluster", "command_line", "handing_in", "notebooks", "own_data", "teaching", "troubleshooting", "website")
OWN += tuple(f"docs/{name}.md" for name in DOCUMENTS)
# Files beside the notebooks.
BESIDE = ("covers.yaml", "glossary.md", "profiles/gpu.yaml", "profiles/gpu-short.yaml", "profiles/smoke.yaml")
PICTURES = {".png", ".jpg", ".jpeg", ".svg", ".gif"}
STORED = {".safetensors", ".json"}


def check_files():
    """Raise UsageError if a file is missing without which the archive would be incomplete."""
    if missing := [name for name in FILES if not (ROOT / name).is_file()]:
        raise UsageError(f"{', '.join(missing)} is missing: bring it back (git checkout {' '.join(missing)})")


def contents(reports, notebooks_folder, used):
    """What is packed beside the PDF: {kind: {name in the archive: bytes}}.

    Args:
        reports: what is handed in. notebooks_folder: where they lie.
        used: files in the store of checkpoints, relative to it, that the notebooks loaded or wrote when they ran.

    Packed are the workbook's own code, and its data that the notebooks name; of other files the pictures that their
    texts show, the Python files that their code imports, and the results that they used or that ship with them. Never
    the data behind results in `checkpoints/local/`, nor whatever else lies in the folders.
    """
    texts = "\n".join(cell.source for report in reports for cell in report.nb.cells if cell.cell_type == "markdown")
    source = "\n".join(cell.source for report in reports for cell in report.nb.cells if cell.cell_type == "code")
    code = {name: ROOT / name for name in FILES if name != FEEDBACK} | own_files()
    notebooks = {
        f"notebooks/{name}": path
        for name, path in _files(notebooks_folder)
        if name in BESIDE or path.suffix.lower() in PICTURES and name in texts
    }
    notebooks |= {f"notebooks/{name}": path for name, path in imported(source, notebooks_folder).items()}
    shipped, local = {}, {}
    numbers = tuple(f"{report.number}_" for report in reports)
    for name, path in _files(checkpoints_folder()):
        if path.suffix in STORED and (name in used or name.startswith(numbers)):
            (local if name.startswith("local/") else shipped)[f"checkpoints/{name}"] = path
    data = {name: ROOT / name for name in own_data() if _names(f"{texts}\n{source}", name)}
    kinds = {
        "notebooks": notebooks,
        "checkpoints that ship": shipped,
        "checkpoints/local, your own that the notebooks used": local,
        "code": code,
        "data": data,
        FEEDBACK: {FEEDBACK: ROOT / FEEDBACK},
    }
    packed = {kind: {name: path.read_bytes() for name, path in files.items()} for kind, files in kinds.items()}
    packed["notebooks"] |= {f"notebooks/{report.path.name}": _bytes(report.nb) for report in reports}
    return packed


def own_files():
    """The workbook's own code: {name: path}."""
    files = {f"{top}/{name}": path for top in ("lib", "tests", "cluster", "docs") for name, path in _files(ROOT / top)}
    return {name: path for name, path in files.items() if any(fnmatchcase(name, pattern) for pattern in OWN)}


def imported(source, folder):
    """Python files in a folder that code imports, also through one another: {name: path}.

    A file counts if its name, or that of a folder around it, stands in a line that begins with `import` or `from`.
    """
    waiting, found = {name: path for name, path in _files(folder) if path.suffix == ".py"}, {}
    while source:
        words = {*re.findall(r"\w+", " ".join(re.findall(r"(?m)^\s*(?:import|from)\b(.*)", source)))}
        named = [name for name in waiting if words & {*name.removesuffix(".py").split("/")}]
        found |= {name: waiting.pop(name) for name in named}
        source = "\n".join(path.read_text("utf-8", "replace") for path in map(found.get, named))
    return found


def own_data():
    """The workbook's own data, as far as they are there: paths such as data/MNIST/raw/train-images-idx3-ubyte.gz."""
    listed = re.findall(r"^\| `(.+?)` \|", (ROOT / DATA).read_text("utf-8"), re.M)
    return [f"data/{name}" for name in listed if (ROOT / "data" / name).is_file()]


def _names(text, path):
    """Whether a text names a file or folder of `data/`, without its ending: MNIST, tinyshakespeare, tale."""
    return re.search(rf"\b{Path(path).parts[1].partition('.')[0]}\b", text) is not None


def _files(folder):
    """Regular files below a folder as (name relative to it, path), without hidden ones, caches and links."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name != "__pycache__" and "egg-info" not in name
        )
        for name in sorted(files):
            path = Path(place, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path


def _bytes(nb):
    """The notebook as its file, without the facts for the title page."""
    nb = nbformat.from_dict(nb)
    nb.metadata = nbformat.from_dict({key: value for key, value in nb.metadata.items() if key != "workbook"})
    return (nbformat.writes(nb) + "\n").encode()


def write(path, kinds, date=None):
    """Write the archive at once or not at all; returns the packed size of each kind in bytes.

    Args:
        path: of the zip file. kinds: {kind: {name: bytes}}. date: of the files in it (default: today).

    Raises:
        UsageError: a name that not every system can unpack, or the file cannot be written.
    """
    files = sorted((name, data, kind) for kind, packed in kinds.items() for name, data in packed.items())
    check_names([name for name, _, _ in files])
    date = date or datetime.date.today()
    content, sizes = io.BytesIO(), dict.fromkeys(kinds, 0)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data, kind in files:
            info = zipfile.ZipInfo(name, (date.year, date.month, date.day, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(info, data)
            sizes[kind] += info.compress_size
    try:
        write_atomically(path, content.getbuffer())
    except CheckpointError as error:
        raise UsageError(
            f"{error}. Make room or the folder writable, or let WORKBOOK_EXPORTS name another one"
        ) from error
    return sizes
