"""Downloads that are verified: a file has the expected SHA-256 or it is not there at all."""

import hashlib
import http.client
import os
import socket
import time
import urllib.error
import urllib.request
import warnings
from contextlib import contextmanager
from pathlib import Path

from lib.storage.files import CheckpointError, write_atomically
from lib.storage.paths import ROOT

TIMEOUT = 10.0  # seconds without a sign of life from the server
LIMIT, PIECE = 100_000_000, 1_000_000  # bytes: the largest answer that is taken by default, and of one reading


class DownloadError(OSError):
    """A file could not be fetched or stored; the message names its URL, where it belongs, and what to do."""


def downloads_folder():
    """Where fetched files are kept. `data/downloads/`, or what WORKBOOK_DATA names."""
    return Path(os.environ.get("WORKBOOK_DATA") or ROOT / "data" / "downloads")


def fetch(url, sha256, target, *, limit=LIMIT, timeout=TIMEOUT, attempts=3, pause=1.0):
    """Make sure that the file `target` exists and has the given content; download it only if it does not.

    The file is held in memory until its hash is right and appears by atomic rename, so that neither a cut connection
    nor a killed process leaves half a file. A file with another content is replaced once the right one has arrived.

    Args:
        url: where the file is. sha256: its hash, 64 hexadecimal digits. target: path of the file, with its name.
        limit: bytes, the largest answer that is taken; it is refused as soon as it announces or sends more, so that no
            more than this is ever held.
        timeout: seconds to wait for the connection and for each part of the answer.
        attempts: how often to try. pause: seconds before the second try; twice as long before each further one.

    Returns:
        Path of the file.

    Raises:
        DownloadError: no connection, an answer that is refused, cut short, too large or has another hash, or a folder
            that cannot be written.
    """
    target, reason = Path(target), None
    if _has_hash(target, sha256):
        return target
    for attempt in range(attempts):
        if attempt > 0:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                content = _read(answer, limit)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} ({error.reason})"
            if error.code < 500:  # asking again for what is missing or forbidden gives the same answer
                break
        except (OSError, http.client.HTTPException) as error:  # no connection, timeout, cut off in the middle
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except _TooLarge as error:
            reason = str(error)
            break  # asking again would bring the same
        else:
            found = hashlib.sha256(content).hexdigest()
            if found == sha256.lower():
                return store(content, target, url)
            reason = f"the {len(content)} bytes that came have the SHA-256 {found}, not {sha256}"
    raise DownloadError(
        f"cannot download {url}: {reason}. Fetch it on a machine with a connection, save it as {target}, and run "
        "again; or let the environment variable WORKBOOK_DATA name a folder that holds it"
    )


class _TooLarge(Exception):
    """An answer beyond the limit."""


def _read(answer, limit):
    """The bytes of an answer, piece by piece.

    Raises:
        _TooLarge: it announces or has more than `limit` bytes. IncompleteRead: it ends before what it has announced.
    """
    content, announced = bytearray(), getattr(answer, "length", None)  # for it, what is still to come
    if announced is None or announced <= limit:
        while piece := answer.read(min(PIECE, limit - len(content)) or 1):  # one byte more tells whether it goes on
            if len(content) == limit:
                break
            content += piece
        else:
            if getattr(answer, "length", None):
                raise http.client.IncompleteRead(content, answer.length)
            return content
    size = f"more than {limit:,}" if announced is None else f"{announced:,}"
    raise _TooLarge(
        f"the answer has {size} bytes, but at most {limit:,} are taken: it is not the expected file, or the argument "
        "`limit` of `fetch` must be raised"
    )


def _has_hash(path, sha256):
    """Whether the file is there with this content. What cannot be read counts as not there."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256.lower()
    except OSError:
        return False


def store(content, target, url):
    try:
        write_atomically(target, content)
    except CheckpointError as error:
        raise DownloadError(
            f"{url} was downloaded, but {error}. Make the folder {target.parent} writable, or let the environment "
            "variable WORKBOOK_DATA name another one"
        ) from error
    return target


@contextmanager
def library_download(what, remedy):
    """While a library downloads: whatever goes wrong becomes one DownloadError, and silent connections are given up.

    Args:
        what: is downloaded. remedy: a sentence without its full stop, what to do instead.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's remark that it tries again
            yield
    except Exception as error:  # each library has errors of its own, and none is documented
        raise DownloadError(
            f"cannot download {what}: {str(getattr(error, 'reason', error)).rstrip('.')}. {remedy}; the environment "
            "variable WORKBOOK_DATA names another folder of downloads"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
