"""Verified downloads, against a server on this machine that misbehaves in every way that matters."""

import contextlib
import hashlib
import http.server
import os
import threading
import time

import pytest

from lib.datasets import download
from lib.datasets.download import DownloadError, downloads_folder, fetch
from lib.storage.paths import ROOT

CONTENT = b"to be, or not to be\n" * 500
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """The path chooses the behaviour; every request is noted in `server.requests`."""

    def do_GET(self):
        self.server.requests.append(self.path)
        first = len(self.server.requests) == 1
        if self.path == "/missing":
            return self.send_error(404)
        if self.path == "/broken" or (self.path == "/shaky" and first):
            return self.send_error(503)
        if self.path == "/silent":
            return self.server.end.wait(5)
        self.send_response(200)
        if self.path not in ("/no_length", "/endless", "/whole"):
            self.send_header("Content-Length", str(10**12 if self.path == "/huge" else len(CONTENT)))
        self.end_headers()
        if self.path == "/endless":
            with contextlib.suppress(OSError):  # the other side hangs up
                while not self.server.end.is_set():
                    self.wfile.write(bytes(1000))
            return
        cut = self.path in ("/cut", "/no_length") or (self.path == "/cut_once" and first)
        self.wfile.write(CONTENT[:4000] if cut else CONTENT[::-1] if self.path == "/wrong" else CONTENT)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests, running.end, running.daemon_threads = [], threading.Event(), True
        running.address = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield running
        running.end.set()
        running.shutdown()


@pytest.mark.parametrize("path", ["/file", "/shaky", "/cut_once"])
def test_what_arrives_is_stored_and_asked_for_once_only(server, tmp_path, path):
    target = tmp_path / "new" / "folder" / "file.txt"
    assert fetch(server.address + path, SHA256, target, pause=0) == target
    assert target.read_bytes() == CONTENT and list(target.parent.iterdir()) == [target]
    requests = len(server.requests)
    assert requests == (1 if path == "/file" else 2), "one failure must not be the end"
    fetch(server.address + path, SHA256.upper(), target)
    assert len(server.requests) == requests, "a file that is there must not be downloaded again"


def test_a_file_that_is_there_needs_no_network(tmp_path):
    (tmp_path / "file.txt").write_bytes(CONTENT)
    fetch("http://nowhere.invalid/file.txt", SHA256, tmp_path / "file.txt", attempts=1)


def test_a_damaged_file_is_replaced(server, tmp_path):
    target = tmp_path / "file.txt"
    target.write_bytes(CONTENT[:100])
    fetch(server.address + "/file", SHA256, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "requests", "reason"),
    [
        ("/wrong", 2, "SHA-256"),
        ("/cut", 2, "IncompleteRead"),
        ("/no_length", 2, "4000 bytes"),
        ("/missing", 1, "404"),
        ("/broken", 2, "503"),
        ("/silent", 2, "timed out"),
    ],
)
def test_a_failure_names_url_target_and_remedy_and_leaves_nothing(server, tmp_path, path, requests, reason):
    target, start = tmp_path / "file.txt", time.monotonic()
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch(server.address + path, SHA256, target, timeout=0.3, attempts=2, pause=0)
    message = str(caught.value)
    assert server.address + path in message and str(target) in message and "WORKBOOK_DATA" in message
    assert isinstance(caught.value, OSError) and time.monotonic() - start < 4
    assert len(server.requests) == requests, f"{len(server.requests)} requests"
    assert not list(tmp_path.iterdir()), "no half file may stay behind"


@pytest.mark.parametrize(
    ("path", "size"), [("/file", "10,000"), ("/huge", "1,000,000,000,000"), ("/endless", "more than 9,999")]
)
def test_an_answer_beyond_the_limit_is_refused_at_once(server, tmp_path, path, size):
    target, start = tmp_path / "file.txt", time.monotonic()
    with pytest.raises(DownloadError, match=f"has {size} bytes, but at most 9,999 are taken: .*`limit`") as caught:
        fetch(server.address + path, SHA256, target, limit=9_999, attempts=3)
    assert server.address + path in str(caught.value) and str(target) in str(caught.value)
    assert len(server.requests) == 1 and time.monotonic() - start < 4, "asking again would bring the same"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/file", "/whole"], ids=["announced", "not announced"])
def test_an_answer_of_exactly_the_limit_is_taken(server, tmp_path, path):
    fetch(server.address + path, SHA256, tmp_path / "file.txt", limit=len(CONTENT), attempts=1)
    assert (tmp_path / "file.txt").read_bytes() == CONTENT


@pytest.mark.parametrize("limit", [1, 2_500, 999_999])
def test_no_more_than_the_limit_is_ever_asked_for(monkeypatch, tmp_path, limit):
    class Endless:
        """An answer that gives whatever is asked for, and says nothing of its length."""

        length, given = None, 0

        def read(self, size):
            Endless.given += size
            return bytes(size)

    monkeypatch.setattr(download, "PIECE", 1000)
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *args, **options: contextlib.nullcontext(Endless()))
    with pytest.raises(DownloadError, match=f"more than {limit:,} bytes"):
        fetch("http://127.0.0.1/file", SHA256, tmp_path / "file.txt", limit=limit, attempts=3)
    assert Endless.given == limit + 1, "and one byte, which tells that it goes on"


def test_a_failure_leaves_the_old_file_alone(server, tmp_path):
    target = tmp_path / "file.txt"
    target.write_bytes(b"old")
    with pytest.raises(DownloadError):
        fetch(server.address + "/wrong", SHA256, target, attempts=1)
    assert target.read_bytes() == b"old"


def test_no_connection_is_a_clear_error(server, tmp_path):
    address = server.address
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match="cannot download"):
        fetch(address + "/file", SHA256, tmp_path / "file.txt", attempts=1)


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(DownloadError, match="taken.*writable"):
        fetch(server.address + "/file", SHA256, tmp_path / "taken" / "file.txt")


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 1)() == 0, reason="permissions do not bind here")
def test_a_read_only_folder_is_named(server, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    with pytest.raises(DownloadError, match="locked.*writable"):
        fetch(server.address + "/file", SHA256, folder / "file.txt")
    folder.chmod(0o755)


def test_the_folder_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.delenv("WORKBOOK_DATA", raising=False)
    assert downloads_folder() == ROOT / "data" / "downloads"
    monkeypatch.setenv("WORKBOOK_DATA", str(tmp_path))
    assert downloads_folder() == tmp_path
