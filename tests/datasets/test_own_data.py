"""The workbook's own data: described file by file, and enough for a fresh clone without a network."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

import pytest

from lib.storage.paths import ROOT

DATA = ROOT / "data"
ROWS = re.findall(r"^\| `(.+?)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", (DATA / "README.md").read_text("utf-8"), re.M)
IN_GIT = shutil.which("git") and (ROOT / ".git").exists()


@pytest.mark.skipif(not IN_GIT, reason="no git here: an archive holds only the data that its notebooks name")
def test_every_file_is_described_and_every_described_one_is_there():
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "data"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    assert sorted(f"data/{name}" for name, _, _ in ROWS) == sorted({*names} - {"", "data/README.md"})
    assert all((DATA / name).is_file() for name, _, _ in ROWS)


@pytest.mark.parametrize(("name", "size", "sha256"), ROWS)
def test_a_file_is_what_its_description_says(name, size, sha256):
    path = DATA / name
    if not path.is_file() and not IN_GIT:
        pytest.skip("an archive holds only the data that its notebooks name")
    content = path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (int(size.replace(",", "")), sha256)


FRESH = """
import socket

def refused(*_):
    raise AssertionError("a network is asked for")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
from lib.datasets.digits import load_digits
from lib.datasets.text import alphabet_of, read_text

digits = load_digits("mnist")
assert [tuple(part.shape) for part in digits] == [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)]
assert digits.train_labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
assert digits.test_labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
text = read_text("tinyshakespeare")
assert len(text) == 1_115_394 and len(alphabet_of(text)) == 65 and text.startswith("First Citizen:\\n")
"""


@pytest.mark.skipif(not IN_GIT, reason="an archive holds only the data that its notebooks name")
def test_a_fresh_clone_without_a_network_has_mnist_and_tiny_shakespeare(tmp_path):
    """Only what is tracked counts: no WORKBOOK_DATA, no downloads of an earlier day, no network."""
    for name, _, _ in ROWS:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / name, tmp_path / "data" / name)
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {key: value for key, value in os.environ.items() if key != "WORKBOOK_DATA"} | {"PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", FRESH], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
