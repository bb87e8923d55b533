"""Tensors in files: what comes back is what was stored, and what is damaged, foreign or pickled is refused."""

import hashlib
import os
import pickle
from collections import OrderedDict

import pytest
import safetensors.torch
import torch

from lib.storage import tensors
from lib.storage.files import CheckpointError
from lib.storage.paths import checkpoints_folder

DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool,
]  # fmt: skip


def alike(a, b):
    """Equal in type, shape and value, through dicts, lists and tuples; not-a-number equals itself."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.contiguous(), b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    return type(a) is type(b) and (a == b or a != a)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        [],
        None,
        3.5,
        {"a": {"b": [1, 2.5, "text", None, True, (1, (2, "ü → \n \"'"))]}, 7: {"x": float("inf"), 2.5: float("nan")}},
        {"state": {0: {"step": torch.tensor(3.0)}, 1: {"step": torch.tensor(4.0)}}, "groups": [{"betas": (0.9, 0.99)}]},
        torch.arange(3),
        [torch.zeros(0), torch.zeros(2, 0, 3), torch.tensor(True)],
        {"transposed": torch.arange(6).view(2, 3).T, "step": torch.arange(9)[::2], "spread": torch.ones(1).expand(4)},
        {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "": {"a.b": torch.ones(2)}},
        {1: torch.zeros(1), "1": torch.ones(1), "__metadata__": torch.ones(2), "__tensor__": {"__dict__": [1]}},
    ],
    ids=str,
)
def test_round_trip(tree, tmp_path):
    tensors.save(tmp_path / "deep" / "file", tree)
    assert alike(tree, tensors.load(tmp_path / "deep" / "file"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip_of_every_type(dtype, tmp_path):
    values = torch.tensor([0, 1, 0, 1, 1]).to(dtype)
    tensors.save(tmp_path / "file", {"flat": values, "one": values[1], "none": values[:0]})
    assert alike({"flat": values, "one": values[1], "none": values[:0]}, tensors.load(tmp_path / "file"))


def test_tied_tensors_and_parameters(tmp_path):
    layer = torch.nn.Linear(3, 3)
    tensors.save(tmp_path / "file", OrderedDict(weight=layer.weight, tied=layer.weight, row=layer.weight[1]))
    loaded = tensors.load(tmp_path / "file")
    assert torch.equal(loaded["weight"], layer.weight) and torch.equal(loaded["tied"], layer.weight)
    assert torch.equal(loaded["row"], layer.weight[1]) and not loaded["weight"].requires_grad


def test_what_is_loaded_can_be_changed_without_changing_the_file(tmp_path):
    tensors.save(tmp_path / "file", torch.zeros(5))
    tensors.load(tmp_path / "file").add_(1)
    assert tensors.load(tmp_path / "file").sum() == 0


@pytest.mark.parametrize(
    ("tree", "named"),
    [({"model": {"f": print}}, "model.f"), ({"a": [1, {2}]}, "a.1"), ({"a": {(1, 2): 0}}, "(1, 2)")],
    ids=["function", "set", "tuple as a key"],
)
def test_what_cannot_be_stored_is_named(tree, named, tmp_path):
    with pytest.raises(CheckpointError) as error:
        tensors.save(tmp_path / "file", tree)
    assert named in str(error.value) and not (tmp_path / "file").exists()


def test_a_type_that_safetensors_does_not_know(tmp_path):
    with pytest.raises(CheckpointError, match="cannot store.*complex128"):
        tensors.save(tmp_path / "file", torch.zeros(2, dtype=torch.complex128))


@pytest.fixture
def stored(tmp_path):
    """A small file whose header is longer than its content, as bytes, and its path."""
    path = tmp_path / "weights.safetensors"
    tensors.save(
        path, {"model": {"weight": torch.randn(4, 5), "bias": torch.zeros(5)}, "history": {"loss": [1.0, 0.5]}}
    )
    return path, path.read_bytes()


def test_truncated_files_are_named_and_never_loaded(stored):
    path, data = stored
    for length in {*range(0, len(data), 7), 1, 8, 9, len(data) - 1}:
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged"):
            tensors.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged"):
        tensors.load(path)


def test_a_flipped_bit_anywhere_is_noticed(stored):
    path, data = stored
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors is"):
            tensors.load(path)
            pytest.fail(f"bit {position % 8} of byte {position} of {len(data)} was flipped and not noticed")


def test_foreign_files_are_refused(tmp_path):
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="foreign is not a checkpoint of this workbook"):
        tensors.load(tmp_path / "foreign")
    safetensors.torch.save_file({"weight": torch.zeros(2)}, tmp_path / "foreign", {"format": "pt"})
    with pytest.raises(CheckpointError, match="foreign is not a checkpoint of this workbook"):
        tensors.load(tmp_path / "foreign")


class Trap:
    def __reduce__(self):
        return os.mkdir, (str(checkpoints_folder()) + "-sprung",)


@pytest.mark.parametrize("write", [lambda f: torch.save({"a": Trap()}, f), lambda f: pickle.dump(Trap(), f)])
def test_pickled_files_are_refused_unopened(write, tmp_path):
    with open(tmp_path / "pickled", "wb") as file:
        write(file)
    with pytest.raises(CheckpointError, match="pickled is damaged or not a safetensors file"):
        tensors.load(tmp_path / "pickled")
    assert not (tmp_path / "checkpoints-sprung").exists(), "the file was unpickled, which runs its code"


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint .*nowhere"):
        tensors.load(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="cannot read .*directory"):
        tensors.load(tmp_path)


ODD = [
    '{"__dict__": [[["a"], 1]]}',
    '{"__dict__": 3}',
    '{"a": 1, "b": 2}',
    "[" * 5000,
    '{"__tensor__": []}',
    '{"__tuple__": 1}',
]


@pytest.mark.parametrize("structure", ODD, ids=range(len(ODD)))
def test_an_odd_structure_with_a_right_checksum(structure, tmp_path):
    """As somebody may have made it by hand."""
    digest = hashlib.sha256(structure.encode())
    values = torch.zeros(2)
    digest.update(f"a{values.dtype}{tuple(values.shape)}".encode() + bytes(8))
    metadata = {"format": "workbook-1", "structure": structure, "sha256": digest.hexdigest()}
    safetensors.torch.save_file({"a": values}, tmp_path / "odd", metadata)
    with pytest.raises(CheckpointError, match="odd is damaged or not a safetensors file"):
        tensors.load(tmp_path / "odd")


def write_often(path, number):
    for _ in range(60):
        tensors.save(path, {"number": number, "values": torch.full((2000 * number,), number)})


def test_two_writers_and_a_reader(tmp_path, processes):
    """Whoever reads while others replace the file gets one version or the other, whole."""
    path = tmp_path / "shared"
    tensors.save(path, {"number": 1, "values": torch.full((2000,), 1)})
    writers = [processes.Process(target=write_often, args=(path, number)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        tree = tensors.load(path)
        assert alike(tree["values"], torch.full((2000 * tree["number"],), tree["number"]))
        seen.add(tree["number"])
    assert [writer.exitcode for writer in writers] == [0, 0] and seen == {1, 2}
    assert os.listdir(tmp_path) == ["shared"], "no temporary file stays behind"
