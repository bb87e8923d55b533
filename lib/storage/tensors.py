"""Tensors in files: nested dicts, lists and tuples as one safetensors file with a checksum. Nothing is ever pickled."""

import hashlib
import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from lib.storage.files import FORMAT, CheckpointError, write_atomically


def _pack(node, tensors, name):
    """Replace every tensor in nested dicts, lists and tuples by its name; collect the tensors in `tensors`."""
    if isinstance(node, torch.Tensor):
        while name in tensors or name == "__metadata__":  # {"a.b": …} beside {"a": {"b": …}}; safetensors' own name
            name += "'"
        tensors[name] = node.detach().cpu().resolve_conj().contiguous().clone()  # safetensors refuses shared memory
        return {"__tensor__": name}
    if isinstance(node, dict):
        if strange := [key for key in node if not isinstance(key, (str, int, float, bool, type(None)))]:
            raise CheckpointError(f"cannot store {name}: the key {strange[0]!r} is neither text nor number")
        return {
            "__dict__": [
                [key, _pack(value, tensors, f"{name}.{key}" if name else str(key))] for key, value in node.items()
            ]
        }
    if isinstance(node, tuple):
        return {"__tuple__": [_pack(value, tensors, f"{name}.{i}") for i, value in enumerate(node)]}
    if isinstance(node, list):
        return [_pack(value, tensors, f"{name}.{i}") for i, value in enumerate(node)]
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise CheckpointError(
        f"cannot store {name}: {type(node).__name__} is neither a tensor nor a plain value; convert it first"
    )


def _unpack(node, tensors):
    if isinstance(node, list):
        return [_unpack(value, tensors) for value in node]
    if isinstance(node, dict):
        ((kind, value),) = node.items()
        if kind == "__tensor__":
            return tensors[value]
        if kind == "__tuple__":
            return tuple(_unpack(item, tensors) for item in value)
        return {key: _unpack(item, tensors) for key, item in value}
    return node


def _digest(structure, tensors):
    """SHA-256 of everything in a file: safetensors itself notices truncation, but not a flipped bit."""
    digest = hashlib.sha256(structure.encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{tuple(tensors[name].shape)}".encode())
        digest.update(tensor_bytes(tensors[name]))
    return digest.hexdigest()


def tensor_bytes(tensor):
    """The memory of a contiguous tensor on the CPU, for checksums."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""


def save(path, tree):
    """Store nested dicts, lists and tuples of tensors and plain values as one safetensors file with a checksum,
    atomically.

    Raises:
        CheckpointError: a value cannot be stored, or the file cannot be written (the old file then stays as it was).
    """
    tensors = {}
    structure = json.dumps(_pack(tree, tensors, ""))
    try:
        data = safetensors.torch.save(
            tensors, {"format": FORMAT, "structure": structure, "sha256": _digest(structure, tensors)}
        )
    except (KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        kinds = sorted({str(tensor.dtype) for tensor in tensors.values()})
        raise CheckpointError(
            f"cannot store {path}: one of {', '.join(kinds)} is no type that safetensors knows"
        ) from error
    write_atomically(path, data)


def load(path):
    """Read what `save` stored; nothing is ever unpickled.

    Raises:
        CheckpointError: the file is missing, was not written by this workbook, or is damaged (truncated, bits flipped).
    """
    try:
        # Read at once: another process may replace the file at any time, and Windows replaces no file that is open.
        data = Path(path).read_bytes()
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__") or {}
        if metadata.get("format") != FORMAT:
            raise CheckpointError(f"{path} is not a checkpoint of this workbook (no '{FORMAT}' mark); move it away")
        if _digest(metadata["structure"], tensors) != metadata["sha256"]:
            raise CheckpointError(f"{path} is damaged: its checksum does not fit its content; delete it to train again")
        return _unpack(json.loads(metadata["structure"]), tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (safetensors.SafetensorError, LookupError, ValueError, TypeError, RuntimeError) as error:  # of odd structure
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}); delete it to train again"
        ) from error
