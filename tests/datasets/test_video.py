"""Films from files of several kinds, what is said about bad ones, and held-out segments."""

import os
import socket
import subprocess
import warnings
import weakref

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from lib.datasets import pictures, video
from lib.datasets.video import VideoError, load_video, split_segments


def footage(num_frames=12, height=48, width=64):
    """Grey frames (T, H, W) with a bright square that wanders to the right; its place tells which frame it is."""
    frames = np.full((num_frames, height, width), 60, np.uint8)
    for t in range(num_frames):
        frames[t, 10:30, 3 * t : 3 * t + 16] = 220
    return frames


def write_film(path, frames, codec="libx264"):
    """An mp4 or another film that ffmpeg codes."""
    writer = imageio_ffmpeg.write_frames(
        str(path), frames.shape[:0:-1], pix_fmt_in="gray", fps=30, codec=codec, macro_block_size=2, quality=9
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


def write_animation(path, frames, **options):
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=30, **options)
    return path


def write_folder(folder, frames, name="frame{}.png"):
    folder.mkdir()
    for t, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(t))
    return folder


WRITE = {
    "film": lambda path, frames: write_film(path.with_suffix(".mp4"), frames),
    "animation": lambda path, frames: write_animation(path.with_suffix(".gif"), frames),
    "folder": write_folder,
}


# --- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["film.mp4", "film.MP4", "film.mkv", "film.mov"])
def test_films_are_decoded(tmp_path, name):
    frames = footage()
    loaded = load_video(write_film(tmp_path / name, frames), size=frames.shape[1:])
    assert loaded.dtype == np.uint8 and loaded.shape == frames.shape
    error = np.abs(loaded.astype(int) - frames).mean((1, 2))
    assert error.max() < 3, f"mean error per frame {error.round(1)}: wrong order, or wrong grey levels?"


@pytest.mark.parametrize(("name", "options"), [("film.gif", {}), ("film.webp", {"lossless": True})])
def test_animations_are_decoded_exactly(tmp_path, name, options):
    frames = footage()
    loaded = load_video(str(write_animation(tmp_path / name, frames, **options)), size=frames.shape[1:])
    assert np.array_equal(loaded, frames)


@pytest.mark.parametrize("name", ["frame{}.png", "{}.PNG", "a {} of 12.png", "shot{:03d}.png"])
def test_folders_are_read_in_natural_order(tmp_path, name):
    frames = footage()
    folder = write_folder(tmp_path / "frames", frames, name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._frame3.png").write_bytes(b"what some systems leave behind")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(load_video(folder, size=frames.shape[1:]), frames)


def test_jpeg_and_png_may_be_mixed(tmp_path):
    folder, frames = tmp_path / "frames", footage(4)
    write_folder(folder, frames[:2])
    for t in (2, 3):
        Image.fromarray(frames[t]).convert("RGB").save(folder / f"frame{t}.jpg", quality=95)
    loaded = load_video(folder, size=frames.shape[1:])
    assert np.abs(loaded.astype(int) - frames).mean() < 2


@pytest.mark.parametrize("name", ["{}.jfif", "{}.bmp", "{}.tiff", "{}.webp", "{}.pgm"])
def test_folders_may_hold_other_kinds_of_pictures(tmp_path, name):
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, frame in enumerate(footage(3)):
        kind = {"jfif": "JPEG", "pgm": "PPM"}.get(name[3:], name[3:].upper())
        Image.fromarray(frame).save(folder / name.format(t), kind, quality=95)
    (folder / "9.heic").write_bytes(b"not read here")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "8.png")  # waits for ever if it is opened
    with pytest.warns(UserWarning, match="left out, 1: 9.heic"):
        assert np.abs(load_video(folder, size=(48, 64)).astype(int) - footage(3)).mean() < 3


def test_a_stack_of_floating_point_pages_is_a_film(tmp_path):
    pages = [Image.fromarray((frame / 255).astype(np.float32)) for frame in footage(4)]
    pages[0].save(tmp_path / "film.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(load_video(tmp_path / "film.tif", size=(48, 64)), footage(4))


@pytest.mark.parametrize("turn", [0, 90, 180])
def test_a_film_of_a_telephone_stands_upright(tmp_path, turn):
    """Telephones store the sensor's rows and a note how to turn them."""
    write_film(tmp_path / "plain.mp4", footage())
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-display_rotation", str(turn), "-i", str(tmp_path / "plain.mp4")]
    subprocess.run([*command, "-c", "copy", str(tmp_path / "turned.mp4")], check=True, capture_output=True)
    expected = np.rot90(footage(), turn // 90, axes=(1, 2))
    loaded = load_video(tmp_path / "turned.mp4", size=expected.shape[1:])
    assert np.abs(loaded.astype(int) - expected).mean() < 3


def test_the_home_folder_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_animation(tmp_path / "film.gif", footage())
    assert len(load_video("~/film.gif")) == 12


def test_colours_become_grey(tmp_path):
    """With the usual weights, 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601)."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]):
        Image.new("RGB", (16, 16), colour).save(folder / f"{t}.png")
    assert load_video(folder, size=(16, 16))[:, 5, 5].tolist() == pytest.approx([76, 150, 29, 255], abs=1)


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1"])
def test_pictures_of_every_mode_are_read(tmp_path, mode):
    folder = tmp_path / "frames"
    folder.mkdir()
    grey = np.zeros((16, 16), np.uint8)
    grey[4:12] = 255
    for t in range(3):
        Image.fromarray(grey).convert(mode).save(folder / f"{t}.png")
    assert np.array_equal(load_video(folder, size=(16, 16)), np.stack([grey] * 3))


def test_sixteen_bits_are_reduced_to_eight(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for t, grey in enumerate([0, 100, 255]):
        Image.fromarray(np.full((16, 16), 256 * grey + 99, np.uint16)).save(folder / f"{t}.png")
    assert load_video(folder, size=(16, 16)).mean((1, 2)).tolist() == [0, 100, 255]


def test_photographs_are_turned_as_their_camera_says(tmp_path):
    folder, frames = tmp_path / "frames", footage(3, 32, 32)
    folder.mkdir()
    upside_down = Image.Exif()
    upside_down[0x0112] = 3  # the tag Orientation: turned by 180°
    for t, frame in enumerate(frames):
        Image.fromarray(frame[::-1, ::-1]).save(folder / f"{t}.jpg", quality=95, exif=upside_down)
    assert np.abs(load_video(folder, size=(32, 32)).astype(int) - frames).mean() < 2


def test_what_is_transparent_becomes_black(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for t in range(3):
        Image.new("RGBA", (8, 8), (255, 255, 255, 0 if t == 1 else 255)).save(folder / f"{t}.png")
    assert load_video(folder, size=(8, 8)).mean((1, 2)).tolist() == [255, 0, 255]


# --- size and number ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(24, 32), (30, 60), (60, 30), (96, 128), (7, 5)])
def test_frames_keep_their_proportions_and_are_cut_in_the_middle(tmp_path, size):
    frame = np.zeros((48, 64), np.uint8)
    frame[16:32, 24:40] = 255  # a square in the middle must stay a square in the middle
    loaded = load_video(write_folder(tmp_path / "frames", [frame] * 3), size=size)
    assert loaded.shape == (3, *size)
    scale = max(size[0] / 48, size[1] / 64)  # the smallest that fills the frame
    expected = min(16 * scale, size[0]) * min(16 * scale, size[1])
    assert loaded[0].sum() / 255 == pytest.approx(expected, rel=0.1)
    assert np.abs(loaded[0].astype(int) - loaded[0, ::-1, ::-1]).max() <= 2, "as much must be cut off on both sides"


def test_reducing_a_frame_does_not_alias(tmp_path):
    checkerboard = (255 * (np.indices((96, 96)).sum(0) % 2)).astype(np.uint8)
    loaded = load_video(write_folder(tmp_path / "frames", [checkerboard] * 3), size=(24, 24))
    assert np.abs(loaded[:, 2:-2, 2:-2].astype(int) - 127).max() < 10, "single pixels must be averaged, not picked"


@pytest.mark.parametrize("kind", WRITE)
@pytest.mark.parametrize("max_frames", [3, 7, 12, 100, None])
def test_max_frames(tmp_path, kind, max_frames):
    frames = footage()
    source = WRITE[kind](tmp_path / kind, frames)
    loaded = load_video(source, size=frames.shape[1:], max_frames=max_frames)
    assert len(loaded) == min(max_frames or 12, 12)
    assert np.abs(loaded.astype(int) - frames[: len(loaded)]).mean() < 3


# --- what is said about bad films -----------------------------------------------------------------------------------


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"no file or folder .*nowhere.mp4"):
        load_video(tmp_path / "nowhere.mp4")
    with pytest.raises(VideoError, match=r"no file or folder .*xxx: check"):
        load_video("x" * 5000)  # longer than a name may be
    assert issubclass(VideoError, ValueError)


@pytest.mark.parametrize("name", ["film.txt", "film.zip", "film", "frame.png"])
def test_an_unsupported_kind_is_refused_with_those_that_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"0123456789")
    with pytest.raises(VideoError, match=r"kind that is not read here: give a film \(.*\.gif.*\.mp4.*\) or a folder"):
        load_video(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no film " * 500])
@pytest.mark.parametrize("name", ["film.mp4", "film.avi", "film.gif", "film.webp"])
def test_a_file_that_is_no_film_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=rf"{name} cannot be decoded"):
        load_video(tmp_path / name)


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_half_a_film_is_refused(tmp_path, name):
    write = write_film if name.endswith("mp4") else write_animation
    path = write(tmp_path / name, footage())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match="damaged"):
        load_video(path)


def test_a_film_that_breaks_off_gives_what_can_be_decoded_with_a_warning(monkeypatch, tmp_path):
    """Films with their index at the front can be decoded up to the break; ffmpeg reports no error then."""
    path = write_film(tmp_path / "film.mp4", footage())
    whole = imageio_ffmpeg.read_frames

    def broken_off(*arguments, **options):
        reader = whole(*arguments, **options)
        for _ in range(6):  # what it tells about the film and five frames
            yield next(reader)
        reader.close()

    monkeypatch.setattr(imageio_ffmpeg, "read_frames", broken_off)
    with pytest.warns(UserWarning, match="may be damaged: 5 of about 12 frames"):
        assert len(load_video(path)) == 5
    with pytest.warns(UserWarning), pytest.raises(VideoError, match="has 5 readable frames, but at least 6"):
        load_video(path, min_frames=6)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n"


@pytest.mark.parametrize("name", ["frames/1.png", "film.gif"])
def test_a_picture_of_another_format_starts_no_program(tmp_path, monkeypatch, name):
    (tmp_path / "frames").mkdir()
    (tmp_path / name).write_bytes(EPS)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(VideoError, match=r"damaged|1\.png"):
        load_video(tmp_path / name.partition("/")[0])


@pytest.mark.parametrize("kind", WRITE)
def test_absurdly_large_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch, kind):
    source = WRITE[kind](tmp_path / kind, footage(4))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 48 * 64 - 1)
    monkeypatch.setattr(Image, "frombytes", lambda *_: pytest.fail("it was decoded"))
    monkeypatch.setattr(video, "grey", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(VideoError, match=r"64 × 48 pixels are more|left out, 4: frame0"):
        load_video(source)


def test_a_playlist_under_the_name_of_a_film_reaches_nothing_else(tmp_path):
    """ffmpeg goes by the content. Its own rules keep a list of files to the folder; the network is closed by ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/film.mp4"
        (tmp_path / "film.avi").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(VideoError, match="cannot be decoded"):
            load_video(tmp_path / "film.avi")
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["film.mp4"]])
def test_a_folder_without_pictures_is_refused(tmp_path, content):
    for name in content:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(VideoError, match=r"holds no pictures: put frames into it \(.*\.jpeg, .*\.png"):
        load_video(tmp_path)


def test_damaged_pictures_are_left_out_counted_and_named(tmp_path):
    frames = footage(8)
    folder = write_folder(tmp_path / "frames", frames)
    whole = (folder / "frame2.png").read_bytes()
    (folder / "frame2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "frame5.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be read are left out, 2: frame2.png, frame5.png") as caught:
        loaded = load_video(folder, size=frames.shape[1:])
    assert len(caught) == 1 and caught[0].filename == __file__, "the warning must point to the caller"
    assert np.array_equal(loaded, frames[[0, 1, 3, 4, 6, 7]])
    with pytest.raises(
        VideoError, match=r"has 6 readable frames, but at least 7 are needed \(.* left out, 2: .*frame5"
    ):
        load_video(folder, min_frames=7)


@pytest.mark.parametrize("kind", WRITE)
def test_a_film_that_is_too_short_says_how_many_frames_it_has_and_needs(tmp_path, kind):
    frames = footage(5)
    source = WRITE[kind](tmp_path / kind, frames)
    assert len(load_video(source, min_frames=5)) == 5
    with pytest.raises(VideoError, match="has 5 readable frames, but at least 40 are needed: give a longer film"):
        load_video(source, min_frames=40)


@pytest.mark.parametrize(
    "options", [{"size": (0, 5)}, {"size": (5, -1)}, {"min_frames": 0}, {"max_frames": 2}, {"max_frames": 0}]
)
def test_impossible_settings_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="1 ≤ min_frames ≤ max_frames"):
        load_video(tmp_path, **options)


def test_only_small_grey_frames_are_kept(tmp_path, monkeypatch):
    """A film is decoded frame by frame: only a few large ones exist at a time."""
    large, alive = [], []
    fit = video.ImageOps.fit

    def counted(image, *arguments):
        large.append(weakref.ref(image))
        alive.append(sum(reference() is not None for reference in large))
        return fit(image, *arguments)

    monkeypatch.setattr(video.ImageOps, "fit", counted)
    source = write_film(tmp_path / "film.mp4", footage(20, 240, 320))
    assert load_video(source, size=(24, 32)).nbytes == 20 * 24 * 32
    assert len(alive) == 20 and max(alive) <= 3, f"large frames alive while the film was read: {alive}"


def test_a_film_or_a_part_of_it_in_which_nothing_moves_is_refused():
    film = torch.from_numpy(footage(12))
    film[8:] = film[8]
    video.check_motion(film, {"all": torch.arange(1, 12), "begin": torch.tensor([8])})
    with pytest.raises(VideoError, match="test: in these 3 of 12 frames no pixel differs .* something moves"):
        video.check_motion(film, {"all": torch.arange(1, 12), "test": torch.arange(9, 12)})


# --- held-out segments ----------------------------------------------------------------------------------------------

SPLITS = [(2500, 8, 0.2, 2), (2500, 5, 0.3, 4), (100, 1, 0.5, 2), (97, 3, 0.4, 0), (60, 4, 0.5, 1), (3001, 25, 0.25, 3)]


def frames_of(examples, context):
    """The numbers of all frames that examples are made of."""
    return set((examples[:, None] - torch.arange(context + 1)).flatten().tolist())


@pytest.mark.parametrize(("num_frames", "num_segments", "share", "context"), SPLITS)
def test_no_training_example_touches_a_held_out_frame(num_frames, num_segments, share, context):
    train, test = split_segments(num_frames, num_segments, share, context)
    assert train.dtype == test.dtype == torch.int64
    for examples in (train, test):
        assert examples.min() >= context and examples.max() < num_frames, "all frames of an example must exist"
        assert (examples.diff() > 0).all(), "sorted, each once"
    assert not frames_of(train, context) & frames_of(test, context), "training and test must not share a frame"


@pytest.mark.parametrize(("num_frames", "num_segments", "share", "context"), SPLITS)
def test_segments_are_of_the_share_and_spread_over_the_film(num_frames, num_segments, share, context):
    train, test = split_segments(num_frames, num_segments, share, context)
    held_out = sorted(frames_of(test, context))
    starts = [frame for frame in held_out if frame - 1 not in held_out]
    assert len(held_out) == num_segments * round(num_frames / num_segments * share)
    assert len(starts) <= num_segments and len(test) == len(held_out) - num_segments * context
    part = num_frames / num_segments
    per_part = np.bincount([int(frame // part) for frame in held_out], minlength=num_segments)
    assert per_part.max() - per_part.min() <= 2, f"held-out frames per part of the film: {per_part}"
    used = len(train) + len(test)
    assert used >= num_frames - (2 * num_segments + 1) * context, "only examples across a border may be lost"


def test_a_film_that_repeats_has_other_scenes_held_out_each_time():
    period = 320
    _, test = split_segments(8 * period, 8, 0.2, 2)
    scenes = torch.bincount(test % period, minlength=period)
    assert (scenes > 0).float().mean() > 0.7 and scenes.max() <= 4, "eight equal places would hide the same fifth"


@pytest.mark.parametrize("arguments", [(100, 0, 0.2, 2), (100, 2, 0, 2), (100, 2, 1, 2), (100, 2, 0.2, -1)])
def test_a_split_that_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match="0 < held_out_share < 1"):
        split_segments(*arguments)


@pytest.mark.parametrize("arguments", [(20, 5, 0.2, 2), (20, 1, 0.9, 2), (2, 1, 0.5, 2), (0, 1, 0.5, 0)])
def test_a_film_too_short_to_be_split_is_refused(arguments):
    with pytest.raises(ValueError, match="longer film, fewer segments or another share"):
        split_segments(*arguments)
