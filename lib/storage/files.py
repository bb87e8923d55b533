"""Files that are whole or not there at all: written atomically, read with their checksums. Standard library only."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
import time
from pathlib import Path

FORMAT = "workbook-1"  # the mark that every stored file of the workbook carries
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}")  # the name of a file that is not yet whole
LEFT = 24 * 3600  # seconds, longer than any file is being written


class CheckpointError(Exception):
    """A file that is missing, damaged or not ours, or a name or settings that cannot be stored."""


def write_atomically(path, data):
    """Write bytes so that `path` holds either its old content or all of the new one, whenever the process is killed.

    What killed writes have left beside it is removed a day later.

    Raises:
        CheckpointError: the file cannot be written (the old one then stays as it was).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path.parent)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; the old file, if any, is unchanged"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_left(folder):
    for file in folder.iterdir():
        with contextlib.suppress(OSError):  # another process has been faster
            if TEMPORARY.fullmatch(file.name) and file.stat().st_mtime < time.time() - LEFT:
                file.unlink()


def check_writable(folder):
    """Raise CheckpointError unless files can be made in a folder: before hours are spent on what is to lie there."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CheckpointError(
            f"nothing can be stored in {folder}: {error.strerror or error}; make it writable, or work in a copy of the "
            "project"
        ) from error


def _replace(source, target, patience=5.0):
    """`os.replace`, which Windows refuses as long as another process has the target open, be it only to read it."""
    end = time.monotonic() + (patience if os.name == "nt" else 0)
    while True:
        try:
            return os.replace(source, target)
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def write_table(path, rows, code=None):
    """Rows of plain values as JSON, one row a line (diffs stay readable), with a checksum.

    Args:
        path: of the file. rows: list of dicts.
        code: what their code consists of, see `lib.storage.fingerprint.code_parts`.

    Raises:
        CheckpointError: a value cannot be stored, or the file cannot be written (the old file then stays as it was).
    """
    try:
        lines = ",\n".join(json.dumps(row) for row in rows)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"cannot store {path}: results must be plain numbers, texts and lists ({error})"
        ) from error
    known = f', "code": {json.dumps(code)}' if code else ""
    head = f'"format": "{FORMAT}", "sha256": "{_table_digest(lines, code)}"{known}'
    write_atomically(path, f'{{{head}, "rows": [\n{lines}\n]}}\n'.encode())


def _table_digest(lines, code):
    return hashlib.sha256((lines + (json.dumps(code, sort_keys=True) if code else "")).encode()).hexdigest()


def read_table(path):
    """Rows and code that `write_table` stored: (list of dicts, dict).

    Raises:
        CheckpointError: the file is missing, was not written by this workbook, or is damaged.
    """
    try:
        text = Path(path).read_text("utf-8")
        table = json.loads(text)
        lines = text[text.index("[\n") + 2 : text.rindex("\n]}")]
        code = table.get("code", {})
        if table["format"] != FORMAT or "rows" not in table or _table_digest(lines, code) != table["sha256"]:
            raise ValueError("its checksum does not fit its content")
        rows = json.loads(f"[{lines}]")  # those that the checksum covers
        if not all(isinstance(row, dict) for row in rows) or not isinstance(code, dict):
            raise ValueError("its rows are no results")
        return rows, code
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no table {path}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a table of this workbook ({error}); delete it to run again"
        ) from error
