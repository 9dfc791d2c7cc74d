"""Weight files of others: safetensors, NumPy's and PyTorch's own formats, none of them run.

What a file is is told by its content, not by its name.
"""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from backbones.errors import BadWeights, NotFound, WrongUse
from backbones.signatures import HEAD_BYTES, what_is
from backbones.weights import table
from backbones.weights.arrays import read_arrays
from backbones.weights.pickles import ARRAYS_IN_A_PICKLE, printable, read_pickled

_READABLE = ("a PyTorch checkpoint", "a Python pickle", "a NumPy .npz file", "a safetensors file")
_EXPECTED = "expected a weight file: .safetensors, .npz, or what torch.save writes of a state_dict"
_PICKLE = b"\x80"
_DEEPEST = 8  # dictionaries in dictionaries
_LENGTH_BYTES = 8  # before a safetensors header
_MIB = 1 << 20
_LARGEST_INDEX = 64 * _MIB


def read_state(path: str | Path, *, entry: str = "") -> dict[str, Tensor]:
    """Read the tensors of a weight file by name.

    Dictionaries inside one another give names with dots, so a wrapping `state_dict` begins all
    names with `state_dict.`; which of them are a network's is for `fit.read_as` to find.
    PyTorch files are read with its unpickler for weights: what else they name is not run.

    Args:
        path: safetensors (a bundle too), an `.npz`, or a file of `torch.save`. Names as Keras gives
            them are shortened to `layer/kernel`.
        entry: read only what lies below this name.

    Raises:
        NotFound: there is no such file.
        BadWeights: the file is cut off, is something else, or holds more than weights.
        WrongUse: there is no such entry.
    """
    path = Path(path)
    kind = _kind_of(path)
    if kind == "a safetensors file":
        state = _read_safetensors(path)
    elif kind == "a NumPy .npz file":
        state = read_arrays(path)
    else:
        state = _tensors_of(path, read_pickled(path))
    state = {_short_name(name): tensor for name, tensor in state.items()}
    return _below(state, entry, path) if entry else state


def _kind_of(path: Path) -> str:
    """Which of the formats that are read here a file has.

    Raises:
        NotFound: there is no such file.
        BadWeights: it is something else; says what.
    """
    if not path.is_file():
        what = f"{path} is no regular file" if path.exists() else f"there is no weight file {path}"
        raise NotFound(f"{what}; {_EXPECTED}")
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(b"PK"):
        return _kind_of_zip(path)
    kind = what_is(head)
    if kind is None and head.startswith(_PICKLE):
        kind = "a Python pickle"
    if kind in _READABLE:
        return kind
    if shards := _shards(path, kind or ""):
        raise BadWeights(
            f"{path} is the index of weights that lie in several files ({shards[0]} ...); expected"
            ' one: where they were made, save_pretrained(FOLDER, max_shard_size="1TB") writes it'
        )
    if kind == "a NumPy .npy array" and b"'|O'" in head:
        raise BadWeights(f"{path} {ARRAYS_IN_A_PICKLE}")
    raise BadWeights(f"{path} is {kind or 'in no format that is known here'}; {_EXPECTED}")


def _shards(path: Path, kind: str) -> list[str]:
    """The files that an index in the manner of Hugging Face names; none where it is no index."""
    if not kind.startswith("JSON") or path.stat().st_size > _LARGEST_INDEX:
        return []
    try:
        return sorted(set(map(str, json.loads(path.read_bytes())["weight_map"].values())))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _kind_of_zip(path: Path) -> str:
    """PyTorch's and NumPy's files are zip archives, and so is much else."""
    if not zipfile.is_zipfile(path):
        raise BadWeights(f"{path} is cut off: {_sizes(path)}; fetch it again")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise BadWeights(f"{path} is damaged ({type(error).__name__}); fetch it again") from None
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise BadWeights(
            f"{path} is a TorchScript program; expected only its tensors:"
            f' torch.save(torch.jit.load("{path.name}").state_dict(), "weights.pth") saves them'
        )
    if "data.pkl" in ends:
        return "a PyTorch checkpoint"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy .npz file"
    known = {
        "serialized_exported_program.json": "an exported program of PyTorch",
        "model.weights.h5": "a Keras model: save its layers' arrays with numpy.savez",
        "[Content_Types].xml": "an Office document",
    }
    what = next((known[end] for end in ends if end in known), "a ZIP archive: unpack it first")
    raise BadWeights(f"{path} is {what}; {_EXPECTED}")


def _sizes(path: Path) -> str:
    """How long a file is, and how long a published one of its name is."""
    has = f"it has {path.stat().st_size:,} bytes"
    for row in table.rows():
        if path.name in (row.file, row.stored_as) and (row.num_bytes or row.mib):
            whole = row.num_bytes or round((row.mib or 0) * _MIB)
            return f"{has} of {'' if row.num_bytes else 'about '}{whole:,}"
    return has


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        whole = _whole_length(path)
        if whole is not None and path.stat().st_size < whole:
            size = path.stat().st_size
            raise BadWeights(
                f"{path} is cut off: it has {size:,} bytes of {whole:,}; fetch it again"
            ) from None
        raise BadWeights(f"{path} is a damaged safetensors file: {printable(error)}") from None


def _whole_length(path: Path) -> int | None:
    """The length that a safetensors file claims; None where its header cannot be read."""
    with path.open("rb") as stream:
        header = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        begin = _LENGTH_BYTES + header
        if begin > path.stat().st_size:
            return begin
        try:
            values = json.loads(stream.read(header))
            ends = [v["data_offsets"][1] for k, v in values.items() if k[:2] != "__"]
            return begin + int(max(ends, default=0))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError):
            return None


def _short_name(name: str) -> str:
    """Keras' `layer/layer/kernel:0` as `layer/kernel`; other names as they are."""
    parts = name.removesuffix(":0").split("/")
    return "/".join(part for part, _ in itertools.groupby(parts))


def _tensors_of(path: Path, content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise BadWeights(
            f"{path} holds a {type(content).__name__}, expected tensors by name (a state_dict)"
        )
    state = dict(_flat(content, "", _DEEPEST, set()))
    if not state:
        named = ", ".join(printable(key) for key in list(content)[:5]) or "nothing"
        raise BadWeights(
            f"{path} holds no tensors by name, but {named}; expected tensors by name (a state_dict)"
        )
    for name, tensor in state.items():
        _check_tensor(path, name, tensor)
    return state


def _flat(
    content: Mapping[Any, Any], before: str, depth: int, seen: set[int]
) -> Iterator[tuple[str, Tensor]]:
    """Tensors in dictionaries inside one another, each entered once: one may hold itself."""
    seen.add(id(content))
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{before}{key}", value.detach()
        elif isinstance(value, Mapping) and depth and id(value) not in seen:
            yield from _flat(value, f"{before}{key}.", depth - 1, seen)


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse what has no numbers of its own that could be loaded."""
    if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_complex():
        what = "quantized" if tensor.is_quantized else "sparse or complex"
    elif tensor.is_meta:
        what = "a shape without numbers"
    elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        what = "larger than what is stored for it"
    else:
        return
    raise BadWeights(f"{path}: {printable(name)} is {what}; expected plain tensors of numbers")


def _below(state: dict[str, Tensor], entry: str, path: Path) -> dict[str, Tensor]:
    """What lies below one name."""
    start = entry.rstrip(".") + "."
    found = {name.removeprefix(start): t for name, t in state.items() if name.startswith(start)}
    if not found:
        known = ", ".join(dict.fromkeys(printable(name.partition(".")[0]) for name in state))
        raise WrongUse(f"{path} has no tensors below {entry!r}; expected one of {known[:300]}")
    return found
