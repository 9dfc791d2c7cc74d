"""Graphs that were converted before, kept in the cache folder: a later start need not trace again.

A graph belongs to a network with its weights, to the code that computes it, and to the versions and
instruction set that it was made with; a change of any makes another one. It lies there with its
hash, which is looked at before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from torch import Tensor, nn

import backbones
from backbones.compute import instruction_set
from backbones.download import cache_folder
from backbones.nn.evaluating import evaluating

MOST_BYTES = 4 * 2**30
"""Of all graphs together; the ones that were used longest ago make room."""

_NEW = ".new-"  # in front of a folder that is being written
_LEFT_S = 3600  # seconds after which nobody writes it any more
_PARTS = ("models", "nn", "features", "exporting")  # whose code decides what is computed


def kept_model(network: nn.Module, convert: Callable[[], Any]) -> Any:
    """A network's graph of OpenVINO: as it was kept, or converted and kept for the next time.

    Args:
        network: that is converted; one that is not of this package is converted each time.
        convert: makes the graph.
    """
    try:
        folder = cache_folder() / "engines" / _key(network)
    except (_CannotBeNamed, OSError, TypeError, RecursionError):  # state of an unusual kind
        return convert()
    model = _read(folder)
    if model is None:
        model = convert()
        with suppress(OSError, RuntimeError):  # no room, or a folder that cannot be written
            _keep(model, folder)
    return model


class _CannotBeNamed(Exception):
    """A network whose state cannot be told from another's."""


def _key(network: nn.Module) -> str:
    """Of everything that decides what the graph computes.

    Raises:
        _CannotBeNamed: a module of somebody else's, whose code may change, or such state.
    """
    ours = (f"{backbones.__name__}.", "torch.nn.")
    foreign = {type(each).__module__ for each in network.modules()}
    if not all(f"{name}.".startswith(ours) for name in foreign):
        raise _CannotBeNamed
    with evaluating(network):
        state = _described(network)
    made_with = [version("openvino"), version("torch"), instruction_set(), _code()]
    return hashlib.sha256(json.dumps([made_with, state]).encode()).hexdigest()[:32]


def _described(value: Any) -> Any:
    """A value as plain JSON, with hashes in place of tensors.

    Raises:
        _CannotBeNamed: it holds something of a kind that isn't known here.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        data = value.detach().cpu().contiguous()
        return [str(data.dtype), list(data.shape), hashlib.sha256(data.numpy().data).hexdigest()]
    if isinstance(value, nn.Module) or is_dataclass(value):
        return [_named(type(value)), _described(vars(value))]
    if isinstance(value, Mapping):
        return [[_described(key), _described(each)] for key, each in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_described(each)) for each in value)
    if isinstance(value, Sequence):
        return [_described(each) for each in value]
    if isinstance(value, partial):
        return [_described(value.func), _described(value.args), _described(value.keywords)]
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return _named(value)
    raise _CannotBeNamed


def _named(what: Any) -> str:
    name = f"{what.__module__}.{what.__qualname__}"
    if "<" in name:  # a lambda, or one that was made in a function
        raise _CannotBeNamed
    return name


@cache
def _code() -> str:
    """A hash of the code of networks."""
    digest = hashlib.sha256()
    root = Path(backbones.__file__).parent
    for part in _PARTS:
        for file in sorted((root / part).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(folder: Path) -> Any:
    """The graph in a folder, or None; one that is damaged is removed."""
    try:
        hashes = json.loads((folder / "sha256.json").read_bytes())
        files = {name: (folder / name).read_bytes() for name in ("graph.xml", "graph.bin")}
        if any(hashlib.sha256(data).hexdigest() != hashes[name] for name, data in files.items()):
            raise ValueError("it is damaged")
        os.utime(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    import openvino

    return openvino.Core().read_model(files["graph.xml"], files["graph.bin"])


def _keep(model: Any, folder: Path) -> None:
    import openvino

    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder.parent))
    try:
        openvino.save_model(model, new / "graph.xml", compress_to_fp16=False)
        hashes = {each.name: _hash_of(each) for each in sorted(new.iterdir())}
        (new / "sha256.json").write_text(json.dumps(hashes), encoding="utf-8")
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    _make_room(folder.parent)


def _hash_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _make_room(root: Path) -> None:
    """Remove the graphs that were used longest ago, and what killed processes have left."""
    taken = 0
    folders = sorted(root.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True)
    for folder in folders:
        is_new = folder.name.startswith(_NEW)
        taken += 0 if is_new else sum(file.stat().st_size for file in folder.iterdir())
        if time.time() - folder.stat().st_mtime > _LEFT_S if is_new else taken > MOST_BYTES:
            shutil.rmtree(folder, ignore_errors=True)
