"""Photographs from folders, zip files and known collections; damaged, hostile and missing ones."""

import hashlib
import io
import os
import shutil
import socket
import time
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lib.datasets import images as module
from lib.datasets import pictures
from lib.datasets.download import DownloadError
from lib.datasets.images import ImagesError, load_celeba, load_images, load_lfw

QUIET = {"progress": False}
COLOURS = [(250, 20, 30), (10, 240, 50), (30, 20, 230), (200, 200, 20), (0, 150, 150), (90, 90, 90)]


def plain(number=0, height=16, width=16):
    """A picture in one of six colours."""
    return Image.new("RGB", (width, height), COLOURS[number % len(COLOURS)])


def packed(image, kind="PNG", **options):
    """The bytes of the file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photograph(height, width, seed=0):
    """Smooth random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def as_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def as_zip(path, files):
    path = path.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


BOTH = pytest.mark.parametrize("source", [as_folder, as_zip])


def colours_of(images):
    """The colour of plain pictures: a list of tuples."""
    return [tuple(image[:, 4, 4].tolist()) for image in images]


# --- what is read ---------------------------------------------------------------------------------------------------


@BOTH
def test_pictures_come_in_natural_order_through_all_folders(tmp_path, source):
    names = ["a/2.png", "a/10.png", "b2/x.png", "./b10/1.png", "b10/sub/0.png", "c.png"]  # bsdtar begins with ./
    files = {name: packed(plain(i)) for i, name in reversed(list(enumerate(names)))}
    others = {"notes.txt": b"no picture", ".hidden.png": b"?", ".cache/1.png": b"?", "__MACOSX/a/._2.png": b"?"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = load_images(source(tmp_path / "in", files | others), (8, 8), min_images=6, **QUIET)
    assert isinstance(images, torch.Tensor) and images.dtype == torch.uint8 and images.shape == (6, 3, 8, 8)
    assert colours_of(images) == COLOURS


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "MPO", "jfif", "pgm"])
def test_kinds_of_files(tmp_path, kind):
    image = photograph(60, 60)
    image = image.convert("L").convert("RGB") if kind == "pgm" else image
    content = packed(image.convert("L") if kind == "pgm" else image, {"jfif": "JPEG", "pgm": "PPM"}.get(kind, kind))
    as_folder(tmp_path / "in", {f"1.{kind.lower()}": content, f"2.{kind.upper()}": content})
    images = load_images(tmp_path / "in", (60, 60), min_images=2, **QUIET)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert (images.int() - expected.int()).abs().float().mean() < (
        0.01 if kind in ("PNG", "BMP", "TIFF", "PPM", "pgm") else 4
    )


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
def test_pictures_of_every_mode_become_red_green_and_blue(tmp_path, mode):
    white = Image.new("RGB", (8, 8), "white")
    image = Image.fromarray(np.full((8, 8), 65535, np.uint16)) if mode == "I;16" else white.convert(mode)
    as_folder(tmp_path / "in", {"1.tif": packed(image, "TIFF" if mode != "P" else "PNG")})
    assert (load_images(tmp_path / "in", (8, 8), min_images=1, **QUIET) == 255).all()


@pytest.mark.parametrize(
    ("dtype", "white"),
    [(np.uint16, 65535), (np.int32, 65535), (np.int32, 2**31 - 1), (np.float32, 1), (np.float32, 255)]
    + [(np.float32, 65535), (np.float32, 1e6)],
)
def test_fine_grey_levels_become_256(tmp_path, dtype, white):
    levels = (np.linspace(0, 1, 64).reshape(8, 8) * white).astype(dtype)
    as_folder(tmp_path / "in", {"1.tif": packed(Image.fromarray(levels), "TIFF")})
    image = load_images(tmp_path / "in", (8, 8), min_images=1, **QUIET)[0, 0].float()
    assert (image - torch.linspace(0, 255, 64).view(8, 8)).abs().max() <= 1


def test_an_overshoot_does_not_darken_the_rest(tmp_path):
    levels = np.full((8, 8), 0.5, np.float32)
    levels[0, 0] = 1.01
    as_folder(tmp_path / "in", {"1.tif": packed(Image.fromarray(levels), "TIFF")})
    image = load_images(tmp_path / "in", (8, 8), min_images=1, **QUIET)[0, 0]
    assert image[0, 0] == 255 and (image[1:] == 128).all()


def test_what_is_no_number_becomes_black(tmp_path):
    levels = np.full((8, 8), 0.5, np.float32)
    levels[0, :3] = np.nan, np.inf, -1
    as_folder(tmp_path / "in", {"1.tif": packed(Image.fromarray(levels), "TIFF")})
    image = load_images(tmp_path / "in", (8, 8), min_images=1, **QUIET)[0, 0]
    assert (image[0, :3] == 0).all() and (image[1:] == 128).all()


def test_pictures_of_a_kind_that_is_not_read_are_counted(tmp_path):
    others = {"2.heic": b"?", "3.HEIC": b"?", "4.cr2": b"?", ".5.heic": b"?", "notes.txt": b"?"}
    path = as_folder(tmp_path / "in", {"1.png": packed(plain())} | others)
    with pytest.warns(UserWarning, match=r"in: .* not read here are left out, 2 .heic, 1 .cr2: save them as JPEG"):
        assert len(load_images(path, (8, 8), min_images=1, **QUIET)) == 1


def test_files_without_an_ending_are_named_where_pictures_are_missing(tmp_path):
    path = as_folder(tmp_path / "in", {"1": packed(plain()), "2": packed(plain()), "list.txt": b"?"})
    with pytest.raises(ImagesError, match="other files there: 2 without an ending, 1 .txt"):
        load_images(path, (8, 8), **QUIET)


def test_the_home_folder_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    as_folder(tmp_path / "in", {"1.png": packed(plain())})
    assert len(load_images("~/in", (8, 8), min_images=1, **QUIET)) == 1


def test_what_is_transparent_becomes_black(tmp_path):
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    as_folder(tmp_path / "in", {"1.png": packed(image)})
    assert (load_images(tmp_path / "in", (8, 8), min_images=1, **QUIET) == 0).all()


@pytest.mark.parametrize(("orientation", "turn"), [(1, None), (3, 180), (6, 270), (8, 90)])
def test_photographs_are_turned_as_their_camera_says(tmp_path, orientation, turn):
    upright = photograph(40, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation  # how the picture has to be turned to stand upright
    stored = upright if turn is None else upright.rotate(-turn)
    as_folder(tmp_path / "in", {"1.jpg": packed(stored, "JPEG", quality=95, exif=exif)})
    loaded = load_images(tmp_path / "in", (40, 40), min_images=1, **QUIET)[0]
    expected = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
    assert (loaded.int() - expected.int()).abs().float().mean() < 5


# --- size -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 32), (30, 60), (60, 30), (96, 128), (7, 5)])
def test_pictures_keep_their_proportions_and_are_cut_in_the_middle(tmp_path, size):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[16:32, 24:40] = 255  # a square in the middle must stay a square in the middle
    as_folder(tmp_path / "in", {"1.png": packed(Image.fromarray(picture))})
    loaded = load_images(tmp_path / "in", size, min_images=1, **QUIET)[0, 0].int()
    scale = max(size[0] / 48, size[1] / 64)  # the smallest that fills the picture
    assert loaded.sum() / 255 == pytest.approx(min(16 * scale, size[0]) * min(16 * scale, size[1]), rel=0.1)
    assert (loaded - loaded.flip(0, 1)).abs().max() <= 2, "as much must be cut off on both sides"


def test_pictures_of_the_right_size_are_not_touched(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    as_folder(tmp_path / "in", {"1.png": packed(Image.fromarray(noise))})
    assert np.array_equal(load_images(tmp_path / "in", min_images=1, **QUIET)[0].permute(1, 2, 0).numpy(), noise)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_reducing_a_picture_does_not_alias(tmp_path, kind):
    checkerboard = Image.fromarray((255 * (np.indices((512, 512)).sum(0) % 2)).astype(np.uint8)).convert("RGB")
    as_folder(tmp_path / "in", {f"1.{kind.lower()}": packed(checkerboard, kind)})
    loaded = load_images(tmp_path / "in", (32, 32), min_images=1, **QUIET)[0, :, 2:-2, 2:-2]
    assert (loaded.int() - 127).abs().max() < 10, "single pixels must be averaged, not picked"


@pytest.mark.parametrize("shape", [(1200, 1600), (1600, 1200)])
def test_large_photographs_are_decoded_at_a_part_of_their_size_without_loss(tmp_path, shape):
    """The fast way through a JPEG must give what decoding all of it and reducing it gives."""
    image = photograph(*shape)
    as_folder(tmp_path / "in", {"1.jpg": packed(image, "JPEG", quality=95), "2.png": packed(image, compress_level=1)})
    fast, slow = load_images(tmp_path / "in", (48, 64), min_images=2, centre=0.7, **QUIET).int()
    assert (fast - slow).abs().max() <= 4


def test_the_middle_can_be_enlarged(tmp_path):
    picture = np.zeros((100, 140, 3), np.uint8)
    picture[25:75, 45:95] = 255
    as_folder(tmp_path / "in", {"1.png": packed(Image.fromarray(picture))})
    loaded = load_images(tmp_path / "in", (32, 32), min_images=1, centre=0.5, **QUIET)
    assert loaded.min() > 200 and loaded[..., 1:-1, 1:-1].min() > 240, "half of 100 pixels are 50, all of them white"


# --- number ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("max_images", [1, 3, 6, 100, None])
def test_of_many_pictures_some_are_taken_from_everywhere(tmp_path, source, max_images):
    files = {f"class{i // 2}/{i}.png": packed(plain(i)) for i in range(6)}
    images = load_images(source(tmp_path / "in", files), (8, 8), max_images, min_images=2, **QUIET)
    expected = {1: [0], 3: [0, 2, 4]}.get(max_images, range(6))
    assert colours_of(images) == [COLOURS[i] for i in expected]


def test_the_next_ones_stand_in_for_chosen_ones_that_cannot_be_read(tmp_path):
    files = {f"{i}.png": b"damaged" if i in (0, 2) else packed(plain(i)) for i in range(6)}
    with pytest.warns(UserWarning, match="cannot be read are left out, 2: 0.png .*, 2.png "):
        images = load_images(as_folder(tmp_path / "in", files), (8, 8), max_images=3, min_images=3, **QUIET)
    assert colours_of(images) == [COLOURS[i] for i in (1, 3, 4)], "as many as were asked for, in order"


@BOTH
def test_too_few_pictures_are_an_error(tmp_path, source):
    path = source(tmp_path / "in", {"1.png": packed(plain()), "2.heic": b"?", "3.HEIC": b"?", "README": b"?"})
    with pytest.raises(ImagesError, match=r"in.* holds 1 readable .* 100 are needed: give more \(.*2 .heic: save"):
        load_images(path, **QUIET)
    assert issubclass(ImagesError, ValueError)
    with pytest.warns(UserWarning, match="2 .heic"):
        assert len(load_images(path, max_images=1, **QUIET)) == 1, "whoever asks for one wants one"


@BOTH
def test_no_picture_at_all_is_the_same_error(tmp_path, source):
    with pytest.raises(ImagesError, match="holds 0 readable pictures"):
        load_images(source(tmp_path / "in", {"a/notes.txt": b"?"}), min_images=1, **QUIET)


@pytest.mark.parametrize(
    "options",
    [{"size": (0, 8)}, {"max_images": 0}, {"min_images": 0}, {"centre": 0}, {"centre": 1.5}],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="need a height and width of at least 1"):
        load_images(tmp_path, **options)


# --- what cannot be read --------------------------------------------------------------------------------------------

DAMAGED = {
    "empty": b"",
    "text": b"<html>404</html>",
    "half": packed(photograph(64, 64), "JPEG")[:400],
    "half png": packed(photograph(64, 64))[:-200],
    "script": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nquit\n",
}


@BOTH
def test_unreadable_pictures_are_counted_and_named_in_one_warning(tmp_path, source):
    files = {f"{i}.png": packed(plain(i)) for i in range(6)}
    files |= {f"z {name}.jpg": content for name, content in DAMAGED.items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = load_images(source(tmp_path / "in", files), (8, 8), min_images=6, **QUIET)
    assert colours_of(images) == COLOURS
    assert len(caught) == 1, [str(warning.message) for warning in caught]
    message = str(caught[0].message)
    assert "left out, 5: z empty.jpg (cannot identify image file)" in message and message.endswith("…")
    assert caught[0].filename == __file__, "the warning must point at the caller"


@BOTH
def test_if_that_leaves_too_few_the_error_names_them(tmp_path, source):
    path = source(tmp_path / "in", {f"{name}.jpg": content for name, content in DAMAGED.items()})
    with pytest.raises(ImagesError, match=r"0 readable pictures.*left out, 5: empty.jpg"):
        load_images(path, min_images=1, **QUIET)


@BOTH
def test_absurdly_large_pictures_are_refused_before_they_are_decoded(tmp_path, source, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    files = {"1.png": packed(plain()), "bomb.png": packed(plain(0, 40, 40))}
    with pytest.warns(UserWarning, match="left out, 1: bomb.png .40 × 40 pixels are more than"):
        assert len(load_images(source(tmp_path / "in", files), (8, 8), min_images=1, **QUIET)) == 1


def test_a_real_decompression_bomb_costs_neither_time_nor_memory(tmp_path):
    bomb = packed(Image.new("1", (16_000, 16_000)))  # 32 kB that would become 768 MB
    start = time.monotonic()
    with pytest.raises(ImagesError, match="bomb.png"):
        load_images(as_zip(tmp_path / "in", {"bomb.png": bomb}), min_images=1, **QUIET)
    assert len(bomb) < 100_000 and time.monotonic() - start < 2


@BOTH
def test_absurdly_large_files_are_refused_before_they_are_read(tmp_path, source, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 1000)
    files = {"1.png": packed(plain()), "long.png": packed(plain()) + bytes(100_000)}
    with pytest.warns(UserWarning, match="left out, 1: long.png .larger than"):
        assert len(load_images(source(tmp_path / "in", files), (8, 8), min_images=1, **QUIET)) == 1


# --- zip files ------------------------------------------------------------------------------------------------------


def test_a_zip_file_is_not_unpacked_and_cannot_write_anywhere(tmp_path, monkeypatch):
    files = {"../../escape.png": packed(plain(0)), "/absolute.png": packed(plain(1)), "C:\\x.png": packed(plain(2))}
    path = as_zip(tmp_path / "in", files)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zipfile.ZipFile, "extract", None)
    before = sorted(tmp_path.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_images(path, (8, 8), max_images=1, **QUIET)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_that_announces_less_than_it_holds_is_unreadable(tmp_path):
    """Only as much is unpacked as is announced, and the check sum then does not fit."""
    content = packed(plain()) + bytes(50_000)
    path = as_zip(tmp_path / "in", {"1.png": packed(plain()), "lie.png": content})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(len(content).to_bytes(4, "little"), (200).to_bytes(4, "little")))
    with pytest.warns(UserWarning, match="left out, 1: lie.png"):
        assert len(load_images(path, (8, 8), min_images=1, **QUIET)) == 1


def test_unusual_packing_and_passwords_are_unreadable_not_fatal(tmp_path):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, method in enumerate([zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED]):
            archive.writestr(f"{number}.png", packed(plain(number)), method)
    raw = bytearray(path.read_bytes())
    place = raw.rindex(b"PK\x01\x02")  # the directory's entry of the last file
    raw[place + 8] |= 1  # encrypted
    path.write_bytes(raw)
    with pytest.warns(UserWarning, match=r"out, 2: 1.png .packed in an unusual way., 2.png .File is encrypted"):
        assert len(load_images(path, (8, 8), min_images=1, **QUIET)) == 1


@pytest.mark.parametrize("name", ["in.zip", "flowers.tgz", "photo.jpg"])
def test_a_file_that_is_no_zip_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(packed(plain(), "JPEG"))
    with pytest.raises(ImagesError, match=f"{name} is no zip file, or a damaged one.*unpack other archives"):
        load_images(tmp_path / name)


def test_a_cut_zip_file_is_named(tmp_path):
    path = as_zip(tmp_path / "in", {f"{i}.png": packed(plain(i)) for i in range(6)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ImagesError, match="in.zip is no zip file, or a damaged one"):
        load_images(path)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(ImagesError, match="no folder or zip file .*nowhere"):
        load_images(tmp_path / "nowhere")


# --- known collections ----------------------------------------------------------------------------------------------


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Empty folders for downloads, and a network in which nobody answers."""
    monkeypatch.setenv("WORKBOOK_DATA", str(tmp_path / "downloads"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit_learn_data"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path


@pytest.mark.parametrize(("load", "name"), [(load_lfw, "Labeled Faces in the Wild"), (load_celeba, "CelebA")])
def test_without_network_one_error_comes_fast_and_says_what_to_do(offline, load, name):
    start = time.monotonic()
    with (
        warnings.catch_warnings(),
        pytest.raises(
            DownloadError, match=rf"cannot download {name}: .*[\w']\. Use .*load_images; or .*by hand.*WORKBOOK_DATA"
        ),
    ):
        warnings.simplefilter("error")
        load(**QUIET)
    assert time.monotonic() - start < 15 and socket.getdefaulttimeout() is None, "the time limit must be taken back"


@pytest.mark.parametrize("home", ["scikit_learn_data", "downloads"])
def test_faces_in_the_wild_are_taken_from_where_they_are(offline, monkeypatch, home):
    people = offline / home / "lfw_home" / "lfw_funneled"
    face = np.zeros((250, 250, 3), np.uint8)
    face[62:188, 62:188] = 200
    as_folder(people, {f"Ada_{i}/Ada_{i}_0001.jpg": packed(Image.fromarray(face), "JPEG") for i in range(4)})
    monkeypatch.setattr(module, "LFW_PEOPLE", 4)
    images = load_lfw((32, 32), max_images=3, **QUIET)
    assert images.shape == (3, 3, 32, 32) and (images.int() - 200).abs().max() < 12, "the middle half, the face"
    shutil.rmtree(people / "Ada_3")
    with pytest.raises(ImagesError, match="3 of 4 people"):
        load_lfw(**QUIET)


def test_celeba_is_read_through_torchvision(offline, monkeypatch):
    from lib.datasets.torchvision_compat import import_torchvision

    count, folder = 8, offline / "downloads" / "celeba"
    names = [f"{i + 1:06d}.jpg" for i in range(count)]
    pictures = {f"img_align_celeba/{name}": packed(plain(i, 218, 178), "JPEG") for i, name in enumerate(names)}
    lines = {
        "list_eval_partition.txt": [f"{name} {2 * (i >= 6)}" for i, name in enumerate(names)],
        "identity_CelebA.txt": [f"{name} 1" for name in names],
        **{
            f"list_{what}.txt": [str(count), "a b", *(f"{name} 1 -1" for name in names)]
            for what in ("bbox_celeba", "landmarks_align_celeba", "attr_celeba")
        },
    }
    texts = {name: "\n".join(content).encode() for name, content in lines.items()}
    as_folder(folder, pictures | texts)
    known = [("id", hashlib.md5(content).hexdigest(), name) for name, content in texts.items()]
    monkeypatch.setattr(import_torchvision().datasets.CelebA, "file_list", known)
    images = load_celeba((16, 16), max_images=6, **QUIET)
    assert images.shape == (6, 3, 16, 16), "the other two are test pictures"
    assert np.abs(np.array(colours_of(images)) - COLOURS).max() < 6
    assert len(load_celeba((16, 16), max_images=2, split="test", **QUIET)) == 2
    os.remove(folder / "img_align_celeba" / names[1])
    with pytest.warns(UserWarning, match=f"left out, 1: {names[1]} .No such file"):
        assert len(load_celeba((16, 16), max_images=5, **QUIET)) == 5
    with pytest.raises(ValueError, match="train, valid, test or all; got 'rest'"):
        load_celeba(split="rest")
