"""The archive that is handed in: what goes into it, and the file itself."""

import ast
import contextlib
import datetime
import io
import os
import re
import subprocess
import zipfile
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
FOLDERS = ("lib", "tests", "cluster", "docs", "notebooks")
# What in these folders is the workbook's own, where no git can tell.
PATTERNS = ("lib/**/*.py", "lib/experiments/config/**/*.yaml", "lib/figures/*.js", "lib/workbook/jupyter/**/*.json")
PATTERNS += ("tests/**/*.py", "cluster/Dockerfile", "cluster/*.def", "cluster/*.sh", "cluster/*.sbatch")
PATTERNS += ("docs/*.md", "docs/*.py", "docs/*.svg", "docs/picture.png", "notebooks/glossary.md")
PATTERNS += ("notebooks/profiles/*.yaml", "lib/workbook/student/*.md")
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
    code, notebooks = {name: ROOT / name for name in FILES if name != FEEDBACK}, {}
    for name in own_files():
        folder, _, rest = name.partition("/")
        if folder != "notebooks":
            code[name] = ROOT / name
        elif not rest.endswith(".ipynb") and (notebooks_folder / rest).is_file():
            notebooks[name] = notebooks_folder / rest
    for name, path in _files(notebooks_folder):
        if path.suffix.lower() in PICTURES and name in texts:
            notebooks[f"notebooks/{name}"] = path
    cells = [cell for report in reports for cell in report.nb.cells if cell.cell_type == "code"]
    sources = [(cell.source, notebooks_folder) for cell in cells]
    sources += [(path.read_text("utf-8", "replace"), path.parent) for path in code.values() if path.suffix == ".py"]
    for path in imported(sources, notebooks_folder):
        if path.is_relative_to(notebooks_folder):
            notebooks[f"notebooks/{path.relative_to(notebooks_folder).as_posix()}"] = path
        else:
            code[path.relative_to(ROOT).as_posix()] = path
    shipped, local = {}, {}
    numbers = tuple(f"{report.number}_" for report in reports)
    for name, path in _files(checkpoints_folder()):
        if path.suffix in STORED and (name in used or name.startswith(numbers)):
            (local if name.startswith("local/") else shipped)[f"checkpoints/{name}"] = path
    everything = "\n".join(cell.source for report in reports for cell in report.nb.cells)
    data = {name: ROOT / name for name in own_data() if _names(everything, name)}
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
    """Names of the workbook's own files in FOLDERS: those that git tracks or, in no clone, those like PATTERNS."""
    names = []
    if (ROOT / ".git").exists():
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        with contextlib.suppress(OSError, subprocess.CalledProcessError):  # no git, or it does not trust the folder
            command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *FOLDERS]
            listed = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
            names = os.fsdecode(listed).split("\0")[:-1]
    names = names or [path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
    return [name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def imported(sources, folder):
    """Python files in the folder of the notebooks, or in the workbook's, that code imports, also through others.

    Args:
        sources: pairs of a piece of code and the folder that it lies in; what is no Python is passed over.
    """
    found, tried, waiting = [], set(), [*sources]
    while waiting:
        source, here = waiting.pop()
        for level, parts in _imports(source):
            places = [here, *here.parents][level - 1 : level] if level else [folder, ROOT]
            stems = {place.joinpath(*parts[:end]) for place in places for end in range(len(parts) + 1)} - tried
            tried |= stems
            for path in [path for stem in stems for path in (stem.parent / f"{stem.name}.py", stem / "__init__.py")]:
                within = path.is_relative_to(folder) or path.is_relative_to(ROOT)
                if within and path.is_file() and not path.is_symlink():
                    found.append(path)
                    waiting.append((path.read_text("utf-8", "replace"), path.parent))
    return found


def _imports(source):
    """What a piece of code imports: (dots before it, parts of its name). Commands of IPython are passed over."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError):
        for node in ast.walk(ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))):
            if isinstance(node, ast.Import):
                yield from ((0, alias.name.split(".")) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                before = node.module.split(".") if node.module else []
                yield from ((node.level, [*before, alias.name]) for alias in node.names)


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
