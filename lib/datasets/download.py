"""Photographs that other libraries download: where they are kept, and one clear error where that fails."""

import os
import socket
import warnings
from contextlib import contextmanager
from pathlib import Path

from lib.storage.paths import ROOT

TIMEOUT = 10.0  # seconds without a sign of life from the server


class DownloadError(OSError):
    """Something could not be downloaded; the message says what, where it belongs, and what to do instead."""


def downloads_folder():
    """Where downloads and data of the reader's own are kept: `data/downloads/`, or what WORKBOOK_DATA names."""
    return Path(os.environ.get("WORKBOOK_DATA") or ROOT / "data" / "downloads").expanduser()


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
