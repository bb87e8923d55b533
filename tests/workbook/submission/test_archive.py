"""The archive: what is packed, what is not, and that it is written whole or not at all."""

import datetime
import os
import re
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
from executed import report
from nbformat.v4 import new_markdown_cell

from lib.storage.paths import ROOT
from lib.workbook.notebooks import UsageError
from lib.workbook.submission import archive


def test_the_same_content_gives_the_same_archive_and_sizes_are_those_in_it(tmp_path):
    day = datetime.date(2026, 11, 27)
    kinds = {"code": {"lib/b.py": b"b" * 1000, "lib/a.py": b"a"}, "x.pdf": {"x.pdf": os.urandom(3000)}}
    sizes = archive.write(tmp_path / "1.zip", kinds, day)
    turned = {kind: dict(reversed(files.items())) for kind, files in reversed(kinds.items())}
    archive.write(tmp_path / "2.zip", turned, day)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "1.zip").namelist() == ["lib/a.py", "lib/b.py", "x.pdf"]
    assert sizes["code"] < 100 and 3000 <= sizes["x.pdf"] < 3100


def test_a_full_disk_leaves_the_archive_of_an_earlier_run(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="cannot write .*a.zip: No space left.*unchanged.*WORKBOOK_EXPORTS"):
        archive.write(tmp_path / "a.zip", {"code": {"a": b"a"}})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.zip", b"old")]


def test_what_is_packed_and_what_is_not(stores):
    store, notebooks = stores / "checkpoints", stores / "notebooks"
    secret = b"not to be shared"
    for name in (
        "02_name/model.safetensors", "02_name_more/sweep.json", "03_other/used.json", "03_other/model.safetensors",
        "local/02_name/model/1.safetensors", "local/02_name/model/2.safetensors", "local/02_name/model/2.resume",
        "local/02_name/sweep/.retraining", "02_name/faces.npy",
    ):  # fmt: skip
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(secret)
    for name in (
        "02_name.ipynb", "03_other.ipynb", "profiles/smoke.yaml", "shown.png", "faces/private.jpg", "film.mp4",
        "notes.md", "profiles/mine.yaml", "passwords.py", "02_name-Copy1.ipynb", "mine/02_name.ipynb",
        ".ipynb_checkpoints/02_name-checkpoint.ipynb", "__pycache__/helper.pyc", "__pycache__/x.py",
    ):  # fmt: skip
        (notebooks / name).parent.mkdir(parents=True, exist_ok=True)
        (notebooks / name).write_bytes(secret)
    if os.name != "nt":
        (stores / "elsewhere.py").write_bytes(secret)
        (notebooks / "link.py").symlink_to(stores / "elsewhere.py")
        (notebooks / "folder").symlink_to(stores)
    (notebooks / "helper.py").write_text("from part.inner import value")
    (notebooks / "part").mkdir()
    (notebooks / "part" / "inner.py").write_text("from ..part import other\nvalue = 1")
    (notebooks / "part" / "other.py").write_text("import link")
    handed_in = report("02", "%matplotlib inline\nimport helper as h, torch", "def unfinished(passwords")
    handed_in.nb.cells.append(new_markdown_cell("![A picture](shown.png)"))
    used = {"03_other/used.json", "local/02_name/model/1.safetensors", "../outside.json"}
    kinds = archive.contents([handed_in], notebooks, used)

    assert set(kinds["notebooks"]) == {
        f"notebooks/{n}"
        for n in ("02_name.ipynb", "helper.py", "part/inner.py", "part/other.py", "profiles/smoke.yaml", "shown.png")
    }
    own = nbformat.reads(kinds["notebooks"]["notebooks/02_name.ipynb"].decode(), 4)
    assert "workbook" not in own.metadata and own.cells == handed_in.nb.cells
    shipped = {
        f"checkpoints/{n}" for n in ("02_name/model.safetensors", "02_name_more/sweep.json", "03_other/used.json")
    }
    assert set(kinds["checkpoints that ship"]) == shipped
    (local,) = [files for kind, files in kinds.items() if "local" in kind]
    assert set(local) == {"checkpoints/local/02_name/model/1.safetensors"}
    code = set(kinds["code"])
    assert {"README.md", "Makefile", "requirements.txt", "pyproject.toml", "data/README.md"} <= code
    assert {"lib/workbook/run.py", "lib/experiments/config/config.yaml", "lib/figures/game_player.js"} <= code
    assert not [name for name in code if re.search(r"(^|/)(\.|__pycache__|exports|.*egg-info)|^data/(?!README)", name)]
    assert not kinds["data"], "the notebook names none"


def own_workbook(root, files):
    """A small workbook with the files that every one needs, and these."""
    for name in archive.FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


def test_files_that_only_lie_there_are_not_packed(tmp_path, monkeypatch):
    own = {"lib/models/model.py", "lib/mine.py", "lib/experiments/config/data/fast.yaml", "cluster/Dockerfile"}
    stray = {"lib/id_rsa", "lib/token.json", "cluster/.env", "docs/diary.txt", "docs/diary.md", "tests/key.pem"}
    stray |= {"notebooks/notes.md", "notebooks/profiles/mine.yaml", "lib/.hidden/x.py", "lib/__pycache__/x.py"}
    root = own_workbook(tmp_path, own | stray | {"notebooks/glossary.md"})
    monkeypatch.setattr(archive, "ROOT", root)
    kinds = archive.contents([report("02", "from lib import mine")], root / "notebooks", set())
    assert set(kinds["code"]) == own | {*archive.FILES} - {"feedback.md"}
    assert set(kinds["notebooks"]) == {"notebooks/02_name.ipynb", "notebooks/glossary.md"}


def test_everything_that_the_workbook_consists_of_is_packed():
    command = ["git", "-C", ROOT, "ls-files", "lib", "tests", "cluster", "docs", "notebooks"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone")
    packed = {*archive.own_files(), *(f"notebooks/{name}" for name in archive.BESIDE)}
    tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file() and not name.endswith(".ipynb")}
    assert tracked <= packed


def test_the_workbooks_own_data_are_packed_with_the_notebooks_that_name_them(stores, tmp_path, monkeypatch):
    root = own_workbook(tmp_path / "root", [])
    digits = {f"data/MNIST/raw/{kind}-idx{n}-ubyte.gz" for kind in ("train", "t10k") for n in ("3", "1")}
    digits = {name.replace("idx3", "images-idx3").replace("idx1", "labels-idx1") for name in digits}
    own = {"data/downloads/tale.txt", "data/MNIST/raw/private-idx3-ubyte.gz", "data/tale_of_mine.txt"}
    for name in {"data/tale.txt", "data/tinyshakespeare.txt"} | digits | own:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"data")
    monkeypatch.setattr(archive, "ROOT", root)

    def packed(*sources):
        return set(archive.contents([report("02", *sources)], stores / "notebooks", set())["data"])

    assert packed("# MNIST") == digits and packed('source = "tale"') == {"data/tale.txt"}
    assert packed('yardstick = "tinyshakespeare"', "# a MNISTLIKE story") == {"data/tinyshakespeare.txt"}
    (root / "data/tale.txt").unlink()
    assert packed("# the tale") == set(), "what is not there, the notebook had from elsewhere"


def test_unpacked_elsewhere_notebooks_find_their_data(stores, tmp_path):
    kinds = archive.contents([report("06", "# MNIST, tale, tinyshakespeare")], stores / "notebooks", set())
    archive.write(tmp_path / "a.zip", {kind: kinds[kind] for kind in ("code", "data")})
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        packed.extractall(tmp_path / "elsewhere")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBOOK_")}
    code = (
        "from lib.datasets.digits import load_digits; from lib.datasets.text import TALE, read_text;"
        "print(TALE, len(load_digits().test_images), len(read_text('tinyshakespeare')), len(read_text('tale')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "elsewhere",
        env=environment | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-4:] == [str(tmp_path / "elsewhere/data/tale.txt"), "10000", "1115394", "79975"], done
