"""Tensors into a safetensors file that is either the old one or the new one, never half of each.

The library's own writer makes a second temporary file beside the one that it is given, which a
kill leaves there; so the format, a header and the numbers, is written here as the library has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from backbones.files import replacing
from backbones.text import to_json

_KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNED = 8  # bytes, where the numbers begin


def atomic_save_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, parents: bool = True
) -> None:
    """Replace `path` by a safetensors file.

    Args:
        path: the file.
        tensors: by name; any device and memory format, written contiguous.
        metadata: text that is stored in the file's header.
        parents: make the folder where it does not exist.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old file is untouched.
        TypeError: numbers of a kind that the format does not have.
    """
    # The largest numbers first, so that all of them are aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in _KINDS:
            raise TypeError(f"{name} holds {tensor.dtype}, which safetensors files do not have")
        begin, end = end, end + tensor.numel() * tensor.element_size()
        kind, shape = _KINDS[tensor.dtype], list(tensor.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = to_json(header).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with replacing(path, parents=parents) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            plain = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(plain.view(torch.uint8).numpy().data)
