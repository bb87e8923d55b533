"""Text as sequences of characters: read, encoded, cut into windows or parallel streams.

A text stays one tensor of integers in memory, 8 bytes a character; one-hot vectors, 4 bytes for every character of
the alphabet, are made only where a file or a figure needs them.
"""

import codecs
import gzip
import hashlib
import os
import secrets
import zlib
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib.datasets.download import downloads_folder
from lib.storage.paths import ROOT, readers_path

TALE = ROOT / "data" / "tale.txt"  # written for this workbook
SHAKESPEARE = ROOT / "data" / "tinyshakespeare.txt"  # gathered by A. Karpathy, see data/README.md
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # of 1,115,394 bytes
MINIMUM = 1000  # characters; with less there is nothing to learn from, let alone to test on
MAX_BYTES = 10_000_000  # of a file, unpacked: two Bibles; counting takes minutes then, and a gigabyte of memory
MARKS = {  # at the beginning of a file; those of UTF-32 begin like those of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


# --- reading --------------------------------------------------------------------------------------------------------


def read_text(source, minimum=MINIMUM):
    """The text as a string; every line ends with "\\n", whatever the file has.

    Args:
        source: "tale" (written for the workbook), "tinyshakespeare" (verified; a copy in the folder that WORKBOOK_DATA
            names is preferred to that in `data/`), or the path of a text file in UTF-8, UTF-16 or UTF-32, which may be
            gzipped; `~` is the home folder.
        minimum: the smallest number of characters that is accepted.

    Raises:
        ValueError: the file does not exist, is no text, larger than MAX_BYTES, empty or shorter than `minimum`; tiny
            Shakespeare is missing or damaged.
    """
    if source == "tinyshakespeare":
        path = _shakespeare()
    elif source == "tale":
        path = TALE
    else:
        path = readers_path(source)
    text = _decoded(_content(path), path).replace("\r\n", "\n").replace("\r", "\n")
    if len(text) < minimum:
        raise ValueError(
            f"{path} {f'has only {len(text)} characters' if text else 'is empty'}: at least {minimum} are needed"
        )
    return text


def _content(path):
    """The bytes of a file, unpacked if it is gzipped, but not more than MAX_BYTES of them."""
    try:
        if not path.is_file():
            raise OSError("this is a folder" if path.is_dir() else "there is no such file")
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.GzipFile(fileobj=file) if packed else nullcontext(file) as unpacked:
                content = unpacked.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot read {path}: {reason}; give 'tale', 'tinyshakespeare' or the path of a text file"
        ) from error
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES / 1e6:g} MB: give a part of it")
    return content


def _decoded(content, path):
    """The text in the bytes of a file; what has no mark and is no UTF-8 is not guessed."""
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is {error.object[error.start]:#04x}"
        raise ValueError(
            f"{path} is not {encoding.removesuffix('-sig').upper()} text ({where}): save it as UTF-8 in an editor, or, "
            'if it is Latin-1, by path.write_text(path.read_text("latin-1"), "utf-8"); of a PDF, a Word file or a book '
            "save the text"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path} is no text file, it has characters of value 0: save the text as UTF-8 in an editor")
    return text


def _shakespeare():
    """Path of tiny Shakespeare, which has been verified."""
    own = downloads_folder() / SHAKESPEARE.name
    path = own if own.exists() else SHAKESPEARE
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHAKESPEARE_SHA256:
        remedy = "bring it back from the workbook (git checkout data/tinyshakespeare.txt)"
        raise ValueError(
            f"{path} is missing or damaged, its SHA-256 is not that of tiny Shakespeare: "
            f"{remedy if path == SHAKESPEARE else 'delete it, and the copy in data/ is read'}"
        )
    return path


# --- encoding -------------------------------------------------------------------------------------------------------


def alphabet_of(text):
    """The distinct characters of a text, sorted: a list of A strings of length 1."""
    return sorted(set(text))


def _index(alphabet):
    """Character -> number; raises ValueError unless the alphabet consists of distinct single characters."""
    index = {character: number for number, character in enumerate(alphabet)}
    if len(index) != len(alphabet) or not index or any(len(character) != 1 for character in index):
        raise ValueError("an alphabet is a list of distinct single characters, as alphabet_of(text) returns it")
    return index


def encode(text, alphabet, unknown=None) -> Tensor:
    """The number of every character in the alphabet: int64 (T,).

    Args:
        unknown: the character of the alphabet that stands for all that are not in it; None allows no such character.

    Raises:
        ValueError: characters that the alphabet lacks; the message says which, and where the first one stands.
    """
    index = _index(alphabet)
    if unknown is not None and unknown not in index:
        raise ValueError(f"the replacement character {unknown!r} is not in the alphabet itself")
    default = -1 if unknown is None else index[unknown]
    tokens = torch.tensor([index.get(character, default) for character in text], dtype=torch.int64)
    if (tokens < 0).any():
        strange, place = sorted(set(text) - set(index)), int((tokens < 0).nonzero()[0])
        raise ValueError(
            f"the alphabet lacks {', '.join(map(repr, strange[:10]))}{' and more' if len(strange) > 10 else ''}; the "
            f"first stands at position {place}, line {text.count(chr(10), 0, place) + 1}: take the alphabet of the "
            "whole text, or name a replacement by unknown=…"
        )
    return tokens


def decode(tokens, alphabet):
    """The text of a sequence of numbers, the inverse of `encode`: (T,) -> str of length T.

    Raises:
        ValueError: a number outside 0 … A - 1, or tokens of another shape.
    """
    tokens = torch.as_tensor(tokens)
    if tokens.dim() != 1:
        raise ValueError(f"tokens must have the shape (T,), not {tuple(tokens.shape)}: decode one sequence at a time")
    numbers = tokens.tolist()
    if numbers and not 0 <= min(numbers) <= max(numbers) < len(alphabet):
        raise ValueError(f"tokens must lie in 0 … {len(alphabet) - 1}, but reach {min(numbers)} and {max(numbers)}")
    return "".join(alphabet[number] for number in numbers)


# --- one-hot vectors and files --------------------------------------------------------------------------------------


def char_to_one_hot(character, alphabet):
    """A vector of zeros with a one at the character's place in the alphabet: float32 array (A,).

    Raises:
        ValueError: not a single character, or one that is not in the alphabet.
    """
    index = _index(alphabet)
    if character not in index:
        raise ValueError(f"{character!r} is not one of the {len(alphabet)} characters of the alphabet")
    vector = np.zeros(len(alphabet), dtype=np.float32)
    vector[index[character]] = 1.0
    return vector


def txt_to_numpy(path, out_dir, length=100, progress=True):
    """Cut a text into samples without overlap and store them one-hot: `sample_0000.npy`, `sample_0001.npy`, … with
    float32 arrays (length, A), and `alphabet.npy` with the A characters. A rest shorter than `length` is left out.

    Every file appears by atomic rename, and the alphabet last, so that a folder with an alphabet is complete. A
    second run replaces all files of the first; its surplus samples, if the text has become shorter, are removed.

    Args:
        path: a source of `read_text`. out_dir: folder to write into; made if it does not exist. length: characters of a
            sample. Mind the size: 4 A bytes for every character.

    Returns:
        int, the number of samples.

    Raises:
        ValueError: the text cannot be read, or does not fill a single sample. OSError: the folder cannot be written.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    text, folder = read_text(path, minimum=length), Path(out_dir)
    alphabet = alphabet_of(text)
    tokens = encode(text, alphabet).numpy()
    rows = np.stack([char_to_one_hot(character, alphabet) for character in alphabet])  # the unit matrix (A, A)
    count = len(text) // length
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alphabet.npy").unlink(missing_ok=True)
    for number in tqdm(range(count), desc="samples", unit="file", disable=not progress):
        sample = rows[tokens[number * length : (number + 1) * length]]  # (length, A)
        _save(folder / f"sample_{number:04d}.npy", sample)
    for rest in folder.glob(".*.npy"):  # of a call that was killed
        rest.unlink()
    for old in folder.glob("sample_*.npy"):
        if old.stem[7:].isdigit() and int(old.stem[7:]) >= count:
            old.unlink()
    _save(folder / "alphabet.npy", np.array(alphabet))
    return count


def _save(path, array):
    """`np.save` that is killed leaves the old file. Thousands of small files are not worth a wait for the disk each."""
    temporary = path.with_name(f".{secrets.token_hex(6)}.npy")
    try:
        np.save(temporary, array)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


# --- batches --------------------------------------------------------------------------------------------------------


def random_windows(tokens: Tensor, batch_size, length, generator=None):
    """Draw `batch_size` stretches of the text, each with the stretch one character later, which is what has to be
    predicted: inputs and targets, both (batch_size, length), with targets[:, t] = inputs[:, t + 1].

    Raises:
        ValueError: the text is not longer than one stretch.
    """
    _check_batches(tokens, batch_size, length, length + 1)
    starts = torch.randint(len(tokens) - length, (batch_size, 1), generator=generator)
    places = starts + torch.arange(length)  # (batch_size, length)
    return tokens[places], tokens[places + 1]


def streams(tokens: Tensor, batch_size, length, offset=0):
    """Read `batch_size` equally long parts of the text side by side, `length` characters at a time.

    Row b of one chunk goes on where row b of the chunk before it ended, so that a model's state can be carried along.
    Yields inputs and targets, both (batch_size, length), the last chunk perhaps shorter. All characters are used but
    fewer than `batch_size` at the end; with batch_size 1 that is the whole text once.

    Args:
        offset: characters to leave out at the start; another one in every epoch moves the borders between the parts.

    Raises:
        ValueError: the text has too few characters for that many streams.
    """
    if offset < 0:
        raise ValueError(f"offset must not be negative, got {offset}")
    _check_batches(tokens, batch_size, length, offset + batch_size + 1)
    per_stream = (len(tokens) - offset - 1) // batch_size
    used = batch_size * per_stream
    inputs = tokens[offset : offset + used].view(batch_size, per_stream)
    targets = tokens[offset + 1 : offset + 1 + used].view(batch_size, per_stream)
    yield from zip(inputs.split(length, dim=1), targets.split(length, dim=1), strict=True)


def _check_batches(tokens, batch_size, length, needed):
    if tokens.dim() != 1 or tokens.dtype != torch.int64:
        raise ValueError(f"tokens must be int64 (T,), as encode returns them; got {tokens.dtype} {tuple(tokens.shape)}")
    if batch_size < 1 or length < 1:
        raise ValueError(f"batch_size and length must be at least 1, got {batch_size} and {length}")
    if len(tokens) < needed:
        raise ValueError(
            f"the text has {len(tokens)} characters, but {needed} are needed: shorten length or batch_size"
        )
