"""NumPy's `.npz`: plain arrays by name, unpacked only where their sizes are what they claim."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from backbones.errors import BadWeights

# The largest network here has 0.6 GB; a file that unpacks to more was made to fill the memory.
_LARGEST_BYTES = 1 << 31
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_arrays(path: Path) -> dict[str, Tensor]:
    """The arrays of an `.npz` by name.

    Raises:
        BadWeights: encrypted, packed in a way that NumPy does not write, larger than it says or
            than 2 GiB, objects or texts instead of numbers, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check(members)
            return {
                member.filename.removesuffix(".npy"): _read(archive, member) for member in members
            }
    except BadWeights as error:
        raise BadWeights(f"{path} holds no plain arrays by name: {error}") from None
    except Exception as error:  # a damaged archive makes the readers raise anything
        raise BadWeights(
            f"{path} holds no plain arrays by name: it is cut off, damaged or no .npz"
            f" ({type(error).__name__})"
        ) from None


def _check(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if member.flag_bits & 1:
            raise BadWeights("it is encrypted; expected a file without a password")
        if member.compress_type not in _PACKINGS:
            raise BadWeights(
                f"it is packed by method {member.compress_type}; expected what numpy.savez or"
                " numpy.savez_compressed writes"
            )
    unpacked = sum(member.file_size for member in members)
    if unpacked > _LARGEST_BYTES:
        raise BadWeights(f"it unpacks to {unpacked:,} bytes, more than any network here has")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    name = ascii(member.filename.removesuffix(".npy"))[1:-1]
    with archive.open(member) as stream:
        shape, kind, begin = _header(stream, name)
    if kind.kind not in "fiub":
        what = "Python objects" if kind.hasobject else f"{kind} values"
        raise BadWeights(f"{name} holds {what}, expected numbers")
    claimed = math.prod(shape) * kind.itemsize
    if claimed != member.file_size - begin:
        raise BadWeights(
            f"{name} claims {claimed:,} bytes and has {member.file_size - begin:,}: it is damaged"
        )
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return torch.from_numpy(array.astype(kind.newbyteorder("="), copy=False))


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape and type of an array, and where its numbers begin."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise BadWeights(f"{name} has the format {version}, expected 1.0 or 2.0")
    shape, _, kind = _HEADERS[version](stream)
    return shape, kind, stream.tell()
