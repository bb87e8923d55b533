"""Runs of a field in files: what is read, which runs belong to which set, and what is refused."""

import h5py
import numpy as np
import pytest
import torch

from lib.datasets import fields

RUNS = np.random.default_rng(0).normal(size=(20, 7, 4, 5))


@pytest.fixture
def file(tmp_path):
    np.save(tmp_path / "runs.npy", RUNS)
    return tmp_path / "runs.npy"


def write(path, **fields):
    with h5py.File(path, "w") as archive:
        for name, array in fields.items():
            archive[name.replace("__", "/")] = array
    return path


def test_the_runs_of_one_file_are_divided_and_nothing_is_lost(file):
    sets = [fields.read_set(file, use) for use in fields.SHARES]
    assert [len(part) for part in sets] == [14, 3, 3]
    assert torch.equal(torch.cat(sets), torch.from_numpy(RUNS).float())
    for use, part in zip(fields.SHARES, sets, strict=True):
        assert fields.shape_of(file, use) == tuple(part.shape)


def test_a_folder_says_which_runs_are_which(tmp_path):
    (tmp_path / "train").mkdir()
    np.save(tmp_path / "train" / "a.npy", RUNS[:4])
    write(tmp_path / "train" / "b.h5", t0_fields__u=RUNS[4:10])
    np.save(tmp_path / "valid.npy", RUNS[10:12])
    np.save(tmp_path / "test.npy", RUNS[12:])
    for use, wanted in (("train", RUNS[:10]), ("validation", RUNS[10:12]), ("test", RUNS[12:])):
        assert torch.equal(fields.read_set(tmp_path, use), torch.from_numpy(wanted).float())
    assert torch.equal(fields.read_set(tmp_path, "train", share=0.5), torch.from_numpy(RUNS[:5]).float())


def test_frames_are_skipped_and_runs_left_out(file):
    runs = fields.read_set(file, "train", skip_rate=3, share=0.5)
    assert torch.equal(runs, torch.from_numpy(RUNS[:7, ::3]).float())
    assert len(fields.read_set(file, "train", share=1e-9)) == 1


def test_a_field_of_several_is_chosen_by_its_name(tmp_path):
    path = write(tmp_path / "well.hdf5", t0_fields__u=RUNS, t0_fields__v=2 * RUNS, scalars__rate=np.ones(3))
    for name in ("v", "t0_fields/v"):
        assert torch.equal(fields.read_set(path, "test", field=name), torch.from_numpy(2 * RUNS[17:]).float())
    for name in (None, "w"):
        with pytest.raises(fields.FieldsError, match=r"data\.field=…; there are t0_fields/u, t0_fields/v"):
            fields.read_set(path, "test", field=name)


def test_the_checksum_follows_the_content(file, tmp_path):
    before = fields.content(file)
    np.save(tmp_path / "copy.npy", RUNS)
    assert fields.content(tmp_path / "copy.npy") == before
    np.save(tmp_path / "copy.npy", RUNS + 1)
    assert fields.content(tmp_path / "copy.npy") != before


def with_nan():
    runs = RUNS.copy()
    runs[3, 0, 0, 0] = np.nan
    return runs


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (RUNS[0], "four axes"),
        (RUNS[:, :, None], "four axes"),
        (RUNS > 0, "real numbers"),
        (RUNS + 1j, "real numbers"),
        (np.zeros((20, 7, 4, 5)), "the same number everywhere"),
        (RUNS[:2], "2 runs cannot be divided"),
        (RUNS[:, :0], "holds nothing"),
        (with_nan(), "not finite"),
        (np.array([{}]), "cannot be read"),
    ],
)
def test_what_is_of_no_use_is_refused(array, message, tmp_path):
    np.save(tmp_path / "runs.npy", array, allow_pickle=True)
    with pytest.raises(fields.FieldsError, match=message) as caught:
        [fields.read_set(tmp_path / "runs.npy", use) for use in fields.SHARES]
    assert "runs.npy" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.npy", "runs.txt", "empty"])
def test_files_that_are_none_are_named(name, tmp_path):
    (tmp_path / "runs.txt").write_text("1 2 3")
    (tmp_path / "empty").mkdir()
    with pytest.raises(fields.FieldsError, match=rf"{name}: need a file .*\.npy.*named train, validation and test"):
        fields.read_set(tmp_path / name, "train")


def test_damaged_files_and_sets_that_are_too_large_are_refused(file, tmp_path, monkeypatch):
    for name in ("runs.npy", "runs.h5"):
        (tmp_path / name).write_bytes(b"\x93NUMPY and no more")
        with pytest.raises(fields.FieldsError, match=f"{name} cannot be read"):
            fields.read_set(tmp_path / name, "train")
    np.save(file, RUNS)
    monkeypatch.setattr(fields, "MAX_BYTES", 1000)
    with pytest.raises(fields.FieldsError, match="data.share"):
        fields.read_set(file, "train")
