"""PyTorch's own files: tensors are read, what else they hold is named and never run.

PyTorch's unpickler for weights makes tensors and plain values only. Its own words about a file that
it refuses advise to run it all the same, so none of them come through here.
"""

from __future__ import annotations

import contextlib
import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from backbones.errors import BadWeights

# Names in a pickle that stand for tensors and plain values.
_TENSORS = ("torch._utils.", "torch._tensor.", "torch.storage.", "torch.serialization.")
_PLAIN = {
    *("collections.OrderedDict", "collections.Counter", "_codecs.encode", "torch.Size"),
    *(f"{where}.{kind}" for where in ("builtins", "__builtin__") for kind in ("set", "frozenset")),
}
_OF_NUMPY = ("numpy._core.multiarray.", "numpy.core.multiarray.", "numpy.dtype", "numpy.ndarray")
_NUMPY_VALUES = (
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"{core}.multiarray.{kind}"
        for core in ("numpy._core", "numpy.core")
        for kind in ("scalar", "_reconstruct")
    ),
)
_OF_MODULES = "torch.nn.modules."
ARRAYS_IN_A_PICKLE = (
    "holds a pickled dictionary of NumPy's arrays, which is not run; expected the arrays alone:"
    ' where it was made, numpy.savez("weights.npz", **weights) saves them by name'
)
_BREAKS = (ValueError, IndexError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
_CUT = re.compile("exhausted before|remain|no newline found|not enough data")  # of pickletools
_NAMED = 3
_LONGEST_NAME = 80
_LARGEST_PICKLE = 1 << 28


class _Left:
    """What stands where a file has a number or an array of NumPy's beside its weights."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def read_pickled(path: Path) -> Any:
    """What a file of `torch.save` holds: tensors, and plain values around them.

    Numbers of NumPy's become something without a meaning; any other object is refused.

    Raises:
        BadWeights: it is cut off, damaged, or holds objects that would have to be run.
    """
    _check_records(path)
    values: Any = [(_Left, name) for name in _NUMPY_VALUES]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(values):
            warnings.simplefilter("ignore")  # doubts about the format end in an error or not at all
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the reader raise anything
        raise BadWeights(f"{path} {_reason(path, error)}") from None


def _check_records(path: Path) -> None:
    """PyTorch writes its records as they are; a packed one could unpack to any size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        packed = [m for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise BadWeights(f"{path} has packed records, which PyTorch does not write; make it anew")


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file that PyTorch refused, in our words."""
    foreign = foreign_classes(path)
    if any(name.startswith(_OF_MODULES) for name in foreign):
        return (
            f"holds a whole pickled network, {foreign[0]}, which is not run; expected only its"
            ' tensors: where it was made, torch.save(model.state_dict(), "weights.pth") saves them'
        )
    if foreign:
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        return (
            f"holds {', '.join(foreign[:_NAMED])}{more} beside the weights, which is not run;"
            " expected only tensors: where it was made,"
            ' torch.save(model.state_dict(), "weights.pth") saves them'
        )
    said = str(error).lower()
    cut = isinstance(error, EOFError) or any(
        sign in said for sign in ("truncated", "unexpected eof", "ran out of input", "central dir")
    )
    if cut or _ends_early(path):
        return "is cut off: fetch it again"
    if isinstance(error, MemoryError) or "allocate" in said:
        return "claims tensors that do not fit into memory; it is damaged, or no weight file"
    if any(name.startswith(_OF_NUMPY) for name in _named_in(path)):
        return ARRAYS_IN_A_PICKLE
    return (
        f"cannot be read as PyTorch's format ({type(error).__name__}): damaged, or something else"
    )


def foreign_classes(path: Path) -> list[str]:
    """Classes and functions that a file's pickles name, but for those of tensors; nothing is run.

    Returns:
        their names, each once, in the file's order; as far as the pickles can be followed.
    """
    return list(dict.fromkeys(printable(n) for n in _named_in(path) if not _is_plain(n)))


def _named_in(path: Path) -> list[str]:
    """Every class and function that a file's pickles name, up to where a damaged one breaks."""
    found: list[str] = []
    with contextlib.suppress(*_BREAKS):
        for name in _names_in(path):
            found.append(name)  # noqa: PERF402, what came before it breaks is kept
    return found


def _ends_early(path: Path) -> bool:
    """Whether a file that is no archive ends in the middle of a pickle."""
    try:
        for _ in _names_in(path):
            continue
    except ValueError as error:
        return not zipfile.is_zipfile(path) and _CUT.search(str(error)) is not None
    except _BREAKS:
        pass
    return False


def _is_plain(name: str) -> bool:
    is_storage = name.startswith("torch.") and name.endswith(("Storage", "Tensor"))
    return is_storage or name.startswith((*_TENSORS, *_OF_NUMPY)) or name in _PLAIN


def printable(value: object) -> str:
    """A text out of a strange file: one short line, without control characters.

    Example:
        >>> printable("a\x1b[1mb")
        'a?[1mb'
    """
    text = " ".join(str(value).split())[:_LONGEST_NAME]
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _names_in(path: Path) -> Iterator[str]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            while stream.peek(1):  # the format before PyTorch 1.6 is several pickles in a row
                yield from _names_of(stream)
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(".pkl") and member.file_size < _LARGEST_PICKLE:
                with archive.open(member) as stream:
                    yield from _names_of(stream)


def _names_of(stream: IO[bytes]) -> Iterator[str]:
    """Names of one pickle's classes and functions.

    Either they stand in one instruction, or in the last two texts before it, which may come from
    the memory of texts.
    """
    texts: list[str] = []
    memory: dict[int, str] = {}
    for code, given, _ in pickletools.genops(stream):
        argument: Any = given
        if code.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif code.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif code.name in ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"):
            texts = [*texts[-1:], str(argument)]
        elif code.name == "MEMOIZE":
            memory[len(memory)] = texts[-1] if texts else ""
        elif code.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memory[int(argument)] = texts[-1] if texts else ""
        elif code.name in ("BINGET", "LONG_BINGET", "GET") and int(argument) in memory:
            texts = [*texts[-1:], memory[int(argument)]]
