"""Text: what is read, encoded, stored and cut into batches comes back as it was."""

import gzip
import hashlib

import numpy as np
import pytest
import torch

from lib.datasets import text as module
from lib.datasets.text import (
    alphabet_of,
    char_to_one_hot,
    decode,
    encode,
    random_windows,
    read_text,
    streams,
    txt_to_numpy,
)

SAMPLE = 'The river said: "Stay!"\nÄpfel, naïve, 3 × 4 = 12 — ☃\n\n' * 30


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(SAMPLE, encoding="utf-8", newline="\n")
    return file


def file_with(folder, content):
    file = folder / "strange.txt"
    file.write_bytes(content)
    return file


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_file_comes_back_as_it_was(path):
    assert read_text(path) == SAMPLE and read_text(str(path)) == SAMPLE


@pytest.mark.parametrize("encoded", [SAMPLE.replace("\n", "\r\n").encode(), SAMPLE.encode("utf-8-sig")])
def test_windows_line_ends_and_byte_order_mark_disappear(tmp_path, encoded):
    assert read_text(file_with(tmp_path, encoded)) == SAMPLE


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_windows_calls_unicode_and_gzipped_texts_are_read(tmp_path, encoding, pack):
    assert read_text(file_with(tmp_path, pack(SAMPLE.replace("\n", "\r\n").encode(encoding)))) == SAMPLE


def test_the_home_folder_may_be_abbreviated(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    assert read_text("~/text.txt") == SAMPLE


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_huge_file_is_refused_without_being_read_whole(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(module, "MAX_BYTES", 2000)
    assert len(read_text(file_with(tmp_path, pack(b"x" * 2000)))) == 2000
    with pytest.raises(ValueError, match="larger than 0.002 MB: give a part"):
        read_text(file_with(tmp_path, pack(b"x" * 2001)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read /.*strange.txt: there is no such file; .*tinyshakespeare"),
        (b"", "strange.txt is empty: at least 1000"),
        (b"short", "strange.txt has only 5 characters: at least 1000"),
        (SAMPLE.encode("latin-1", "replace"), "not UTF-8 text .byte 24 is 0xc4.*save it as UTF-8"),
        (b"%PDF-1.7\n%\xe2\xe3" + bytes(2000), "not UTF-8 text .*of a PDF, a Word file .* save the text"),
        (SAMPLE.encode("utf-16")[:-1], "not UTF-16 text"),
        (("plain " * 300).encode("utf-16-le"), "no text file, it has characters of value 0: save"),
        (gzip.compress(SAMPLE.encode())[:60], "cannot read .*strange.txt: .*end"),
        (b"\x1f\x8b" + bytes(50), "cannot read .*strange.txt: "),
    ],
    ids=["missing", "empty", "short", "latin-1", "pdf", "cut utf-16", "utf-16 without a mark", "cut gzip", "no gzip"],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path, content, message):
    file = tmp_path / "strange.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text(file)


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(ValueError, match="cannot read .*: this is a folder"):
        read_text(tmp_path)


def test_how_short_a_text_may_be_can_be_said(tmp_path):
    assert read_text(file_with(tmp_path, b"short"), minimum=5) == "short"


def test_the_tale_is_read_from_its_place(path, monkeypatch):
    monkeypatch.setattr(module, "TALE", path)
    assert read_text("tale") == SAMPLE


@pytest.mark.skipif(not module.TALE.exists(), reason="the tale is not there")
def test_the_tale_is_long_and_its_alphabet_small():
    tale = read_text("tale", minimum=60_000)
    assert len(alphabet_of(tale)) < 75 and tale.isascii()


@pytest.fixture
def shakespeare(tmp_path, monkeypatch):
    """The workbook's own copy and one in the folder that WORKBOOK_DATA names: small, and not there yet."""
    own, named = tmp_path / "data" / "tinyshakespeare.txt", tmp_path / "named" / "tinyshakespeare.txt"
    for path in (own, named):
        path.parent.mkdir()
    monkeypatch.setattr(module, "SHAKESPEARE", own)
    monkeypatch.setattr(module, "SHAKESPEARE_SHA256", hashlib.sha256(SAMPLE.encode()).hexdigest())
    monkeypatch.setenv("WORKBOOK_DATA", str(named.parent))
    return own, named


def test_a_named_folder_wins_over_the_workbooks_own_copy(shakespeare):
    own, named = shakespeare
    own.write_bytes(SAMPLE.encode())
    assert read_text("tinyshakespeare") == SAMPLE
    named.write_bytes(SAMPLE.encode())
    own.write_bytes(b"not looked at")
    assert read_text("tinyshakespeare") == SAMPLE


@pytest.mark.parametrize("content", [None, SAMPLE.encode()[:-1], b"\xff" + SAMPLE.encode()[1:]])
def test_a_missing_or_damaged_copy_is_refused_with_the_remedy(shakespeare, content):
    own, named = shakespeare
    if content is not None:
        own.write_bytes(content)
    with pytest.raises(ValueError, match=r"data.tinyshakespeare.txt is missing or damaged.*git checkout data/tinysh"):
        read_text("tinyshakespeare")
    named.write_bytes(content or b"")
    own.write_bytes(SAMPLE.encode())
    with pytest.raises(ValueError, match=r"named.tinyshakespeare.txt is missing or damaged.*delete it"):
        read_text("tinyshakespeare")


# --- encoding -------------------------------------------------------------------------------------------------------


def test_decoding_undoes_encoding():
    alphabet = alphabet_of(SAMPLE)
    tokens = encode(SAMPLE, alphabet)
    assert alphabet == sorted(alphabet) and len(alphabet) == len(set(SAMPLE))
    assert tokens.dtype == torch.int64 and tokens.shape == (len(SAMPLE),)
    assert set(tokens.tolist()) == set(range(len(alphabet))), "every number of the alphabet must occur"
    assert decode(tokens, alphabet) == SAMPLE and decode(encode("", alphabet), alphabet) == ""


def test_unknown_characters_are_named_with_their_place():
    with pytest.raises(ValueError, match=r"lacks 'X', 'é'; the first stands at position 4, line 3"):
        encode("ab\n\nXaé", ["\n", "a", "b"])
    with pytest.raises(ValueError, match="and more"):
        encode("abcdefghijklmnop", ["a"])


def test_unknown_characters_can_be_replaced():
    assert decode(encode("aXbé", ["?", "a", "b"], unknown="?"), ["?", "a", "b"]) == "a?b?"
    with pytest.raises(ValueError, match="'!' is not in the alphabet"):
        encode("ab", ["a", "b"], unknown="!")


@pytest.mark.parametrize("alphabet", [[], ["a", "a"], ["ab", "c"], [""]])
def test_an_alphabet_consists_of_distinct_characters(alphabet):
    for use in (lambda: encode("a", alphabet), lambda: char_to_one_hot("a", alphabet)):
        with pytest.raises(ValueError, match="distinct single characters"):
            use()


@pytest.mark.parametrize("tokens", [[0, 3], [-1], torch.zeros(2, 2, dtype=torch.long)])
def test_what_cannot_be_decoded_is_refused(tokens):
    with pytest.raises(ValueError, match="must"):
        decode(tokens, ["a", "b", "c"])


def test_one_hot_vectors_are_the_unit_matrix():
    alphabet = alphabet_of(SAMPLE)
    vectors = np.stack([char_to_one_hot(character, alphabet) for character in alphabet])
    assert vectors.dtype == np.float32 and (vectors == np.eye(len(alphabet))).all()
    for wrong in ("ab", "", "€"):
        with pytest.raises(ValueError, match="not one of"):
            char_to_one_hot(wrong, alphabet)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 7, 100, len(SAMPLE)])
def test_stored_samples_hold_the_text(path, tmp_path, length):
    count = txt_to_numpy(path, tmp_path / "out", length=length, progress=False)
    assert count == len(SAMPLE) // length
    alphabet = np.load(tmp_path / "out" / "alphabet.npy").tolist()
    assert alphabet == alphabet_of(SAMPLE)
    samples = [np.load(tmp_path / "out" / f"sample_{number:04d}.npy") for number in range(count)]
    assert {(sample.shape, sample.dtype.name) for sample in samples} == {((length, len(alphabet)), "float32")}
    together = np.concatenate(samples)
    assert (together.sum(axis=1) == 1).all() and ((together == 0) | (together == 1)).all()
    assert decode(together.argmax(axis=1), alphabet) == SAMPLE[: count * length]
    assert len(list((tmp_path / "out").iterdir())) == count + 1


def test_a_second_run_leaves_nothing_of_the_first(path, tmp_path):
    folder = tmp_path / "out"
    first = txt_to_numpy(path, folder, length=20, progress=False)
    (folder / "notes.txt").write_text("mine")
    path.write_text(SAMPLE[:1000], encoding="utf-8", newline="\n")
    second = txt_to_numpy(path, folder, length=50, progress=False)
    names = {file.name for file in folder.iterdir()}
    assert first > second == 20
    assert names == {f"sample_{number:04d}.npy" for number in range(20)} | {"alphabet.npy", "notes.txt"}


def test_a_run_that_is_killed_leaves_no_alphabet(path, tmp_path, monkeypatch):
    folder, save = tmp_path / "out", np.save
    txt_to_numpy(path, folder, progress=False)

    def killed(file, array):
        if "sample_0003" in str(list(folder.glob("sample_0003*"))) and saved.append(file) is None and len(saved) > 3:
            raise KeyboardInterrupt
        save(file, array)

    saved = []
    monkeypatch.setattr(np, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        txt_to_numpy(path, folder, progress=False)
    assert not (folder / "alphabet.npy").exists(), "a folder without all its samples must not look complete"
    assert not list(folder.glob(".*")), "no temporary file may stay behind"


def test_a_text_shorter_than_a_sample_is_refused(path, tmp_path):
    with pytest.raises(ValueError, match=f"at least {len(SAMPLE) + 1} are needed"):
        txt_to_numpy(path, tmp_path / "out", length=len(SAMPLE) + 1)
    with pytest.raises(ValueError, match="length must be at least 1"):
        txt_to_numpy(path, tmp_path / "out", length=0)
    assert not (tmp_path / "out").exists()


# --- batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "length"), [(1, 1), (3, 5), (64, 99)])
def test_windows_are_stretches_of_the_text_and_targets_come_one_later(batch_size, length):
    tokens = torch.arange(100)  # every number is its own place
    inputs, targets = random_windows(tokens, batch_size, length, torch.Generator().manual_seed(0))
    assert inputs.shape == targets.shape == (batch_size, length)
    assert torch.equal(targets, inputs + 1) and torch.equal(inputs, inputs[:, :1] + torch.arange(length))
    again, _ = random_windows(tokens, batch_size, length, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, again), "the same generator must draw the same windows"


def test_windows_reach_both_ends_of_the_text():
    inputs, targets = random_windows(torch.arange(10), 500, 4, torch.Generator().manual_seed(0))
    assert set(inputs[:, 0].tolist()) == set(range(6)) and targets.max() == 9


@pytest.mark.parametrize(("T", "batch_size", "length", "offset"), [(100, 1, 7, 0), (100, 4, 8, 3), (101, 4, 25, 0)])
def test_streams_read_the_text_once_side_by_side(T, batch_size, length, offset):
    tokens = torch.arange(T)
    chunks = list(streams(tokens, batch_size, length, offset))
    assert all(torch.equal(targets, inputs + 1) for inputs, targets in chunks)
    assert [inputs.shape[1] for inputs, _ in chunks[:-1]] == [length] * (len(chunks) - 1)
    rows = torch.cat([inputs for inputs, _ in chunks], dim=1)  # every stream in one piece
    assert rows.shape[0] == batch_size and (rows.diff(dim=1) == 1).all(), "a stream must go on where it ended"
    read = rows.flatten()
    assert torch.equal(read, torch.arange(offset, offset + len(read))), "together the streams are the text, in order"
    assert T - 1 - offset - len(read) < batch_size, "no more than a rest may be left out"


def test_too_little_text_is_refused():
    tokens = torch.arange(10)
    for use in (
        lambda: random_windows(tokens, 2, 10),
        lambda: list(streams(tokens, 10, 2)),
        lambda: list(streams(tokens, 2, 2, offset=8)),
    ):
        with pytest.raises(ValueError, match="has 10 characters, but 11 are needed"):
            use()
    for wrong in (tokens.float(), tokens[None]):
        with pytest.raises(ValueError, match="int64"):
            random_windows(wrong, 1, 1)
    with pytest.raises(ValueError, match="at least 1, got 0 and 5"):
        random_windows(tokens, 0, 5)
    with pytest.raises(ValueError, match="negative"):
        list(streams(tokens, 1, 1, offset=-1))
