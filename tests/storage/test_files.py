"""Files that are whole or refused: what a full disk, a kill, a second writer or a flipped bit leaves behind."""

import hashlib
import json
import os
import time

import pytest
import torch

from lib.storage import files, tensors
from lib.storage.files import CheckpointError, read_table, write_atomically, write_table

WRITERS = {
    "bytes": lambda path: write_atomically(path, b"new"),
    "table": lambda path: write_table(path, [{"new": 1}]),
    "tensors": lambda path: tensors.save(path, torch.zeros(100)),
}
writers = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.fixture
def old(tmp_path):
    """A file that is there already."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"old")
    return path


# --- writing --------------------------------------------------------------------------------------------------------


def test_what_is_written_replaces_the_old_file(old):
    write_atomically(old, b"new")
    assert old.read_bytes() == b"new" and os.listdir(old.parent) == [old.name]


def test_folders_are_made(tmp_path):
    write_atomically(str(tmp_path / "deep" / "down" / "file"), b"")
    assert (tmp_path / "deep" / "down" / "file").read_bytes() == b""


@writers
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_error_of_the_disk_leaves_the_old_file(step, write, old, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(
        CheckpointError, match="cannot write .*No space left on device; the old file, if any, is unchanged"
    ):
        write(old)
    assert old.read_bytes() == b"old" and os.listdir(old.parent) == [old.name]


def test_an_interrupted_writer_leaves_the_old_file(old, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(old, b"new")
    assert old.read_bytes() == b"old" and os.listdir(old.parent) == [old.name]


@writers
def test_a_folder_that_cannot_be_made(write, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write"):
        write(tmp_path / "file" / "weights")
    assert (tmp_path / "file").read_text() == "in the way"


@writers
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_that_may_not_be_written(write, old):
    old.parent.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="cannot write"):
            write(old)
    finally:
        old.parent.chmod(0o700)
    assert old.read_bytes() == b"old"


# --- what killed writes leave ---------------------------------------------------------------------------------------


@writers
def test_what_killed_writes_have_left_is_removed_a_day_later(write, old):
    """What is younger, another process may be writing."""
    young, mine = f".{old.name}.0123456789ac", [".hidden", ".notes.0123456789abc"]
    for name in (f".{old.name}.0123456789ab", ".other.json.0123456789ab", young, *mine):
        old.with_name(name).write_bytes(b"half of the new")
        if name != young:
            os.utime(old.with_name(name), (time.time() - 90_000,) * 2)
    write(old)
    assert sorted(os.listdir(old.parent)) == sorted([*mine, young, old.name])


def write_until_killed(path, pipe):
    def stop(*_):
        pipe.send("half-way")
        time.sleep(60)

    files.os.fsync = stop
    write_atomically(path, b"new")


def test_a_write_that_is_killed(old, processes):
    ours, theirs = processes.Pipe()
    process = processes.Process(target=write_until_killed, args=(old, theirs))
    process.start()
    assert ours.recv() == "half-way"
    process.kill()
    process.join()
    assert old.read_bytes() == b"old"
    write_atomically(old, b"newer")
    assert old.read_bytes() == b"newer"


def test_where_files_can_be_made(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert (
        os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["b"] and not os.listdir(tmp_path / "a" / "b")
    )
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="nothing can be stored in .*file.*make it writable, or work in a copy"):
        files.check_writable(tmp_path / "file" / "b")


# --- tables ---------------------------------------------------------------------------------------------------------

ROWS = [{"settings": {"seed": 0}, "result": {"name": "ü", "curve": [0.1, float("nan")]}}, {"settings": {}, "result": 1}]
CODE = {"lib.models.toy.Net": "0123456789ab", "lib.models.toy.SCALE": "SCALE = 2.0"}


@pytest.fixture(params=[None, CODE], ids=["without code", "with code"])
def table(request, tmp_path):
    """A stored table, as bytes, and its path and code."""
    path = tmp_path / "table.json"
    write_table(path, ROWS, request.param)
    return path, path.read_bytes(), request.param or {}


def test_a_table_comes_back_with_its_code(table):
    path, data, code = table
    assert str(read_table(path)) == str((ROWS, code))
    assert len(json.loads(data)["rows"]) == 2 and data.count(b"\n") == 4, "one row a line, and the brackets around"
    path.write_bytes(data.replace(b"\n", b"\r\n"))
    assert str(read_table(path)) == str((ROWS, code)), "git may turn the line ends into those of Windows"


def test_a_table_without_rows(tmp_path):
    write_table(tmp_path / "table.json", [])
    assert read_table(tmp_path / "table.json") == ([], {})


def test_a_table_written_before_code_was_stored_is_still_read(tmp_path):
    row = '{"settings": {"seed": 0}, "result": 1}'
    digest = hashlib.sha256(row.encode()).hexdigest()
    text = f'{{"format": "workbook-1", "sha256": "{digest}", "rows": [\n{row}\n]}}\n'
    (tmp_path / "table.json").write_text(text)
    assert read_table(tmp_path / "table.json") == ([json.loads(row)], {})


def test_tuples_come_back_as_lists(tmp_path):
    write_table(tmp_path / "table.json", [{"curve": (1, (2, 3))}])
    assert read_table(tmp_path / "table.json")[0] == [{"curve": [1, [2, 3]]}]


def test_truncated_tables_are_named_and_never_read(table):
    path, data, _ = table
    for length in range(len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"table\.json is damaged"):
            read_table(path)


def test_a_flipped_bit_anywhere_in_a_table_is_noticed(table):
    path, data, _ = table
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 7
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"table\.json is damaged"):
            read_table(path)
            pytest.fail(f"bit {position % 7} of byte {position}, {data[:position][-20:]}, was flipped and not noticed")


def test_tables_that_are_missing_or_foreign(tmp_path):
    with pytest.raises(CheckpointError, match="there is no table .*nowhere"):
        read_table(tmp_path / "nowhere")
    stranger = '{"format": "workbook-0", "sha256": "", "rows": [\n\n]}'
    for text in ("", "[]", "{}", '{"rows": [\n{}\n]}', "\xff", stranger):
        (tmp_path / "foreign.json").write_text(text, "latin-1")
        with pytest.raises(CheckpointError, match=r"foreign\.json is damaged or not a table of this workbook"):
            read_table(tmp_path / "foreign.json")
    with pytest.raises(CheckpointError, match="cannot read .*directory"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        ('{"seed": 0}', ', "rows": [{"seed": 1}]'),  # the checksum is that of the first, JSON takes the last
        ("3,\n4", ""),
        ('["settings", "result"]', ""),
        ("null", ""),
        ("[" * 5000 + "]" * 5000, ""),
    ],
    ids=["two", "numbers", "lists", "nothing", "deep"],
)
def test_rows_that_are_none_with_a_right_checksum(lines, more, tmp_path):
    """As somebody may have made it by hand."""
    digest = hashlib.sha256(lines.encode()).hexdigest()
    text = f'{{"format": "workbook-1", "sha256": "{digest}", "rows": [\n{lines}\n]{more}}}\n'
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(CheckpointError, match="odd.json is damaged or not a table"):
        read_table(tmp_path / "odd.json")


@pytest.mark.parametrize("value", [torch.zeros(2), {1, 2}, {(1, 2): 0}], ids=["tensor", "set", "tuple as a key"])
def test_what_a_table_cannot_hold_is_refused_and_the_old_one_stays(value, old):
    with pytest.raises(CheckpointError, match="results must be plain numbers, texts and lists"):
        write_table(old, [{"result": value}])
    assert old.read_bytes() == b"old"
