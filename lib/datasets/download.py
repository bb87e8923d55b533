"""Downloads that are verified: a file has the expected SHA-256 or it is not there at all."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from lib.checkpoints import CheckpointError, write_atomically
from lib.paths import ROOT

TIMEOUT = 10.0  # seconds without a sign of life from the server


class DownloadError(OSError):
    """A file could not be fetched or stored; the message names its URL, where it belongs, and what to do."""


def downloads_folder():
    """Where fetched files are kept. `data/downloads/`, or what WORKBOOK_DATA names."""
    return Path(os.environ.get("WORKBOOK_DATA") or ROOT / "data" / "downloads")


def fetch(url, sha256, target, *, timeout=TIMEOUT, attempts=3, pause=1.0):
    """Make sure that the file `target` exists and has the given content; download it only if it does not.

    The file is held in memory until its hash is right and appears by atomic rename, so that neither a cut connection
    nor a killed process leaves half a file. A file with another content is replaced once the right one has arrived.

    Args:
        url: where the file is. sha256: its hash, 64 hexadecimal digits. target: path of the file, with its name.
        timeout: seconds to wait for the connection and for each part of the answer.
        attempts: how often to try. pause: seconds before the second try; twice as long before each further one.

    Returns:
        Path of the file.

    Raises:
        DownloadError: no connection, an answer that is refused, cut short or has another hash, or a folder that cannot
            be written.
    """
    target, reason = Path(target), None
    if _has_hash(target, sha256):
        return target
    for attempt in range(attempts):
        if attempt > 0:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} ({error.reason})"
            if error.code < 500:  # asking again for what is missing or forbidden gives the same answer
                break
        except (OSError, http.client.HTTPException) as error:  # no connection, timeout, cut off in the middle
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        else:
            found = hashlib.sha256(content).hexdigest()
            if found == sha256.lower():
                return _store(content, target, url)
            reason = f"the {len(content)} bytes that came have the SHA-256 {found}, not {sha256}"
    raise DownloadError(
        f"cannot download {url}: {reason}. Fetch it on a machine with a connection, save it as {target}, and run "
        "again; or let the environment variable WORKBOOK_DATA name a folder that holds it"
    )


def _has_hash(path, sha256):
    """Whether the file is there with this content. What cannot be read counts as not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256.lower()
    except OSError:
        return False


def _store(content, target, url):
    try:
        write_atomically(target, content)
    except CheckpointError as error:
        raise DownloadError(
            f"{url} was downloaded, but {error}. Make the folder {target.parent} writable, or let the environment "
            "variable WORKBOOK_DATA name another one"
        ) from error
    return target
