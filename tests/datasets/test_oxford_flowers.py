"""Photographs of flowers, Oxford's collection: read where it is there, one clear error where it is not."""

import shutil
import socket
import time

import numpy as np
import pytest
from PIL import Image

from lib.datasets import flowers
from lib.datasets.download import DownloadError
from lib.datasets.flowers import load_oxford_flowers
from lib.datasets.images import ImagesError


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty folder for downloads, and a network in which nobody answers."""
    monkeypatch.setenv("WORKBOOK_DATA", str(tmp_path / "downloads"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "downloads" / "flowers-102"


def test_without_network_one_error_comes_fast_and_says_what_to_do(offline):
    from lib.datasets.torchvision_compat import import_torchvision

    import_torchvision()  # takes seconds of its own
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"cannot download Oxford's flowers: .*\. Use .*load_images; or .*by hand"):
        load_oxford_flowers(progress=False)
    assert time.monotonic() - start < 30 and socket.getdefaulttimeout() is None, "the time limit must be taken back"


def test_oxfords_flowers_are_read_through_torchvision(offline, monkeypatch):
    from scipy.io import savemat

    from lib.datasets.torchvision_compat import import_torchvision

    (offline / "jpg").mkdir(parents=True)
    for number in range(1, 9):
        content = np.full((40, 60, 3), 30 * number, np.uint8)
        content[:, :10] = content[:, -10:] = 0
        Image.fromarray(content).save(offline / "jpg" / f"image_{number:05d}.jpg", quality=95)
    savemat(offline / "setid.mat", {"trnid": [[1, 4]], "valid": [[2]], "tstid": [[3, 5, 6, 7, 8]]})
    savemat(offline / "imagelabels.mat", {"labels": [[1] * 8]})
    known = {"image": ("102flowers.tgz", None), "label": ("imagelabels.mat", None), "setid": ("setid.mat", None)}
    monkeypatch.setattr(import_torchvision().datasets.Flowers102, "_file_dict", known)
    monkeypatch.setattr(flowers, "OXFORD_FLOWERS", 8)

    def greys(**options):
        return (load_oxford_flowers((16, 16), progress=False, **options).float().mean((1, 2, 3)) / 30).round().tolist()

    assert greys(max_images=2) == [1, 4], "the middle of the training photographs"
    assert greys(max_images=5, split="test") == [3, 5, 6, 7, 8]
    assert greys(max_images=8, split="all") == [1, 2, 3, 4, 5, 6, 7, 8]
    with pytest.raises(ValueError, match="train, val, test, all; got 'rest'"):
        load_oxford_flowers(split="rest")
    with pytest.raises(ValueError, match="max_images ≥ 1"):
        load_oxford_flowers(max_images=0)
    (offline / "jpg" / "image_00002.jpg").unlink()
    with pytest.raises(ImagesError, match="7 of 8 photographs"):
        load_oxford_flowers(progress=False)
    shutil.rmtree(offline / "jpg")
    with pytest.raises(DownloadError):
        load_oxford_flowers(progress=False)
