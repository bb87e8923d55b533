"""A full disk and a folder that cannot be written: a clear error, the old files as they were, no halves of new ones."""

import builtins
import errno
import io
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from torch.nn import functional as F

from lib import training
from lib.storage import tensors
from lib.storage.files import CheckpointError, write_table
from lib.workbook import notebooks, ship
from lib.workbook.command_line import main
from lib.workbook.export import export_html
from lib.workbook.notebooks import UsageError
from lib.workbook.run import Outcome
from lib.workbook.submission import archive

LARGE = random.Random(0).randbytes(400_000)  # more than fits the small disk, also when it is packed


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    """A real disk of 256 kB."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only the administrator of a Linux system can mount a small disk")
    folder = tmp_path_factory.mktemp("small_disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


class FullFile(io.FileIO):
    """A file that takes ten bytes."""

    def write(self, data):
        super().write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["real", "simulated"])
def disk(request, tmp_path, monkeypatch):
    """A folder, and a function after whose call nothing of the size of LARGE can be written into it."""
    if request.param == "real":
        folder = request.getfixturevalue("mounted") / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder, lambda: None

    def opened(path, mode="r", *args, **kwargs):
        return FullFile(path, mode.replace("b", "")) if set(mode) & set("wxa") else io_open(path, mode, *args, **kwargs)

    def fill():
        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(builtins, "open", opened)

    io_open, folder = io.open, tmp_path / "folder"
    folder.mkdir()
    return folder, fill


def save_weights(path, content):
    tensors.save(path, {"weights": torch.frombuffer(bytearray(content), dtype=torch.uint8)})


def save_results(path, content):
    write_table(path, [{"result": content.hex()}])


def write_archive(path, content):
    archive.write(path, {"code": {"a": content}})


def write_page(path, content):
    export_html(new_notebook(cells=[new_markdown_cell(f"# T\n\n{content.hex()}")]), path)


@pytest.mark.parametrize("write", [save_weights, save_results, write_archive, write_page])
def test_a_full_disk_is_said_and_leaves_the_old_file(write, disk):
    folder, fill = disk
    (folder / "file").write_bytes(b"old")
    fill()
    with pytest.raises((OSError, CheckpointError, UsageError), match="No space left"):
        write(folder / "file", LARGE)
    assert [path.name for path in folder.iterdir()] == ["file"], "a part of the new file stays behind"
    assert (folder / "file").read_bytes() == b"old"


def test_a_training_that_meets_a_full_disk_goes_on_later_to_the_same_end(tmp_path, monkeypatch):
    def trained(**options):
        torch.manual_seed(0)
        model, x = torch.nn.Linear(2, 1), torch.randn(8, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        batches = training.shuffled(x, x.sum(1, keepdim=True), batch_size=4)
        training.fit(
            model, batches, lambda m, b: F.mse_loss(m(b[0]), b[1]), optimizer, epochs=4, progress=False, **options
        )
        return model.weight.detach()

    calls, fsync = [], os.fsync

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fsync(*arguments)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot write .*state: No space left.*unchanged"):
        trained(resume=tmp_path / "state")
    assert len(tensors.load(tmp_path / "state")["history"]["step"]) == 2, "the state of the second epoch must stay"
    assert torch.equal(trained(resume=tmp_path / "state"), trained())


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def notebook(stores, monkeypatch):
    """A notebook that prints more than the small disk holds, in place of the workbook's own."""
    path = stores / "notebooks" / "01_large.ipynb"
    path.parent.mkdir()
    parameters = new_code_cell("retrain = False", metadata={"tags": ["parameters"]})
    large = new_code_cell("import random\nprint(random.randbytes(400_000).hex())")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Large"), parameters, large]), path)
    monkeypatch.setattr(notebooks, "FOLDER", path.parent)
    return path


def test_a_run_on_a_full_disk_is_one_line(notebook, mounted, monkeypatch, capsys):
    monkeypatch.setenv("WORKBOOK_EXPORTS", str(mounted / "exports"))
    assert main(["run", "--format", "none"]) == 1
    captured = capsys.readouterr()
    assert "FAILED: cannot write into" in captured.out and "No space left on device; make room" in captured.out
    assert "WORKBOOK_EXPORTS" in captured.out and "Traceback" not in captured.out + captured.err


def test_a_folder_for_exports_that_cannot_be_made_is_named(notebook, stores, monkeypatch, capsys):
    (stores / "taken").write_text("a file where a folder should be")
    monkeypatch.setenv("WORKBOOK_EXPORTS", str(stores / "taken"))
    assert main(["run"]) == 1
    assert "FAILED: cannot write into" in (printed := capsys.readouterr().out) and "taken" in printed
    assert (stores / "taken").read_text() == "a file where a folder should be"


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS])
def test_a_folder_for_exports_that_is_read_only_is_named(error, notebook, stores, monkeypatch, capsys):
    """Simulated, because permissions do not bind the administrator."""

    def refuse(self, *args, **kwargs):
        raise OSError(error, os.strerror(error), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert main(["run"]) == 1
    assert f"{os.sep}exports: {os.strerror(error)}; make room there or the folder writable" in capsys.readouterr().out


def test_shipping_into_a_full_disk_leaves_the_committed_notebook(notebook, monkeypatch, capsys):
    before = notebook.read_bytes()

    def executed(jobs, workers):
        return {notebook: Outcome(1.0, "", notebooks.read(notebook))}

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ship, "run_all", executed)
    monkeypatch.setattr(os, "fsync", full)
    assert main(["ship"]) == 2
    assert "01_large.ipynb: No space left on device; the old file, if any, is unchanged" in capsys.readouterr().err
    assert notebook.read_bytes() == before and len(list(notebook.parent.iterdir())) == 1


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES])
def test_an_export_that_cannot_be_written_is_one_line(error, notebook, stores, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(error, os.strerror(error))

    (stores / "old.html").write_text("old")
    monkeypatch.setattr("lib.workbook.export.writing.os.replace", refuse)
    assert main(["export", str(notebook), str(stores / "old.html")]) == 2
    message = capsys.readouterr().err
    assert "old.html was not written" in message and os.strerror(error) in message and message.count("\n") == 1
    assert (stores / "old.html").read_text() == "old" and not list(stores.glob("*.part"))


def test_what_is_no_notebook_is_not_exported(stores, capsys):
    (stores / "some.ipynb").write_text("no notebook")
    assert main(["export", str(stores / "some.ipynb"), str(stores / "out.html")]) == 2
    assert (
        "some.ipynb is no notebook that can be read" in capsys.readouterr().err and not (stores / "out.html").exists()
    )
