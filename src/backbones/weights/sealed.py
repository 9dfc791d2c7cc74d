"""Files of tensors that know when they were changed: safetensors with a SHA-256 over all of it.

The header's metadata has one key. Its JSON holds plain values, the SHA-256 of the tensors and the
SHA-256 of both; it is compared letter by letter, so that no bit of the file can change unseen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from backbones.errors import BadWeights
from backbones.text import escaped, parse
from backbones.weights.atomic import atomic_save_safetensors

GRAPH_KEY = "backbones_graph"
"""Of a file that holds a graph of another runtime, which is no bundle."""

_TENSORS = "tensors_sha256"
_BEGIN = re.compile(rb'.{8}\s*\{\s*"__metadata__"\s*:\s*\{\s*"(\w+)"', re.DOTALL)
_BEGIN_BYTES = 64


def write_sealed(
    path: Path, key: str, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write values and tensors; a file that is there is replaced in one step or not at all.

    Args:
        path: the file.
        key: in the metadata; says what kind of file it is. One only: safetensors orders several
            at random, and equal contents shall be equal files.
        values: plain ones, with the `format`.
        tensors: by name.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = _sealed({**values, _TENSORS: tensors_sha256(state)})
    atomic_save_safetensors(path, state, {key: text})


def begins_as(path: Path, key: str) -> bool:
    """Whether a file begins as `write_sealed` writes it under this key, be it whole or not."""
    with path.open("rb") as stream:
        found = _BEGIN.match(stream.read(_BEGIN_BYTES))
    return found is not None and found.group(1) == key.encode()


def read_sealed(
    path: Path, key: str, *, with_tensors: bool = True
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write_sealed` was given, checked bit by bit.

    Args:
        path: the file.
        key: of this kind of file.
        with_tensors: read and check them too; else the values alone.

    Raises:
        BadWeights: the file is truncated, was changed, or is something else; without its name.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            names = list(file.keys()) if with_tensors else []
            state = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadWeights(f"not a whole safetensors file ({error})") from error
    if key not in metadata:
        raise BadWeights(
            f"tensors without a description ({key!r} in the header); name the network they fit"
        )
    values = _opened(metadata[key])
    sealed = values.pop(_TENSORS, None)
    if with_tensors and tensors_sha256(state) != sealed:
        raise BadWeights("the tensors were changed after writing (SHA-256 differs)")
    return values, state


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """One hash over names, types, shapes and contents, in the order of the names.

    Example:
        >>> tensors_sha256({"a": torch.zeros(2)})[:8] == tensors_sha256({"b": torch.zeros(2)})[:8]
        False
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sealed(values: Mapping[str, Any]) -> str:
    """Plain values and their hash as text, written in one way."""
    text = escaped(json.dumps(values, ensure_ascii=False, sort_keys=True))
    header = {"header": values, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    return escaped(json.dumps(header, ensure_ascii=False, sort_keys=True))


def _opened(text: str) -> dict[str, Any]:
    """The values inside, if nobody changed them."""
    header = parse(text, "json", "the header", BadWeights)
    if not isinstance(header, dict) or "sha256" not in header:
        raise BadWeights("it has no SHA-256: it was changed, or written by an earlier version")
    values = header.get("header")
    if not isinstance(values, dict) or _sealed(values) != text:
        raise BadWeights("the header was changed after writing (SHA-256 differs)")
    return values
