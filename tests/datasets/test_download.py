"""Where downloads are kept, and one error for whatever goes wrong while a library downloads."""

import socket
import urllib.error

import pytest

from lib.datasets.download import TIMEOUT, DownloadError, downloads_folder, library_download
from lib.storage.paths import ROOT


def test_the_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.delenv("WORKBOOK_DATA", raising=False)
    assert downloads_folder() == ROOT / "data" / "downloads"
    monkeypatch.setenv("WORKBOOK_DATA", str(tmp_path))
    assert downloads_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("WORKBOOK_DATA", "~/data")
    assert downloads_folder() == tmp_path / "data"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("File not found or corrupted."), "File not found or corrupted"),
        (urllib.error.URLError("connection refused"), "connection refused"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_every_error_of_a_library_becomes_one_that_says_what_to_do(error, reason):
    message = rf"cannot download faces: {reason}\. Do it by hand; .*WORKBOOK_DATA"
    with pytest.raises(DownloadError, match=message), library_download("faces", "Do it by hand"):
        assert socket.getdefaulttimeout() == TIMEOUT, "silent connections must be given up"
        raise error
    assert socket.getdefaulttimeout() is None, "the time limit must be taken back"
