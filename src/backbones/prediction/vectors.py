"""From pictures to what a layer of the network makes of them: one row a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from backbones.data.finish import normalised
from backbones.data.render import Pixels
from backbones.errors import MissingExtra, WrongUse
from backbones.features.taps import INTO, tap
from backbones.features.twin import last_layer
from backbones.files import fill_atomic
from backbones.nn.evaluating import evaluating, finite, naming
from backbones.prediction.inputs import Inputs, Waiting
from backbones.prediction.run import Prepared, batches
from backbones.prediction.writers import Tally, Written
from backbones.progress import Progress
from backbones.spec import InputSpec
from backbones.text import spelled

_PART = 1024  # pictures that are put into one group of rows of a Parquet file


@dataclass(frozen=True)
class Features:
    """What a layer makes of one picture.

    Args:
        path: as the input named it; in an archive, the archive's path and the member's name.
        values: float32, a vector or the layer's maps (C, h, w); None where there is an error.
        error: why the picture could not be read, or None.
    """

    path: str
    values: npt.NDArray[np.float32] | None = None
    error: str | None = None


def extract_features(
    network: nn.Module,
    inputs: Inputs | Iterable[Waiting],
    spec: InputSpec,
    name: str,
    *,
    pool: bool = True,
    batch_size: int = 32,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Features]:
    """Look at pictures through a layer, while the next ones are being decoded.

    Args:
        network: its mode is restored after every batch.
        inputs: what `find_inputs` found.
        spec: how pictures become what the network sees.
        name: of the layer, as `tap` has it; `usual_tap` finds one.
        pool: maps (C, h, w) are averaged to vectors (C); else they stay.
        batch_size: pictures at a time, at least 1.
        workers: threads that decode; None takes one per core, 0 none.
        progress: called after every batch.

    Returns:
        One row a picture, in input order.

    Raises:
        NotFound: no such layer; names the nearest. At once, and not with the first row.
        WrongUse: the layer does not run in evaluation.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected at least 1")
    desk = _Desk(network, spec, name, pool)
    return _rows(desk, batches(inputs, spec, batch_size, workers=workers, progress=progress))


def usual_tap(network: nn.Module, spec: InputSpec) -> str:
    """What the last layer with weights is given, which tells pictures apart as the classes do.

    Raises:
        WrongUse: see `last_layer`.
    """
    return INTO + last_layer(network, torch.empty(1, spec.channels, spec.size, spec.size))


def _rows(desk: _Desk, found: Iterable[list[Prepared]]) -> Iterator[Features]:
    for batch in found:
        readable = [each.square for each in batch if each.square is not None]
        with naming([each.path for each in batch if each.square is not None]):
            values = iter(desk.look(readable) if readable else ())
        for each in batch:
            yield Features(each.path, None if each.square is None else next(values), each.error)


class _Desk:
    """Looks at batches: squares of pixels in, rows of numbers out."""

    def __init__(self, network: nn.Module, spec: InputSpec, name: str, pool: bool) -> None:
        self._taps = tap(network, name)
        self._spec, self._name, self._pool = spec, name, pool

    def look(self, squares: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        """(N, H, W, channels) -> (N, C), or the layer's maps (N, C, h, w)."""
        network = self._taps.model
        weight = next(network.parameters(), None)
        pictures = normalised(squares, self._spec).to(None if weight is None else weight.device)
        with evaluating(network):  # not across a yield: a caller's code must not run in it
            found = finite(self._taps(pictures)[self._name].float())
        if self._pool and found.dim() > 2:
            found = found.flatten(2).mean(2)
        rows: npt.NDArray[np.float32] = found.cpu().numpy()
        return rows


def write_features(
    rows: Iterable[Features], target: Path, *, named: Mapping[str, str] | None = None
) -> Written:
    """Write rows as they come; the file appears whole at the end, or not at all.

    Args:
        rows: in the order to write.
        target: ".npz": arrays `paths` and `features` of what could be read, `unreadable` and
            `reasons` of the rest, and one text each of `named`. ".parquet": a row a picture with
            `path`, `features` (null where there is an error) and `error`; `named` in its metadata.
        named: what the rows are, in words.

    Raises:
        WrongUse: another suffix, or maps for Parquet.
        MissingExtra: Parquet without pyarrow.
        OSError: the file cannot be written; an old one is untouched.
    """
    check_target(target, vectors=True)
    seen = Tally()
    counted = seen.count(rows)
    if target.suffix.lower() == ".npz":
        fill_atomic(target, lambda file: _npz(counted, file, named or {}))
    else:
        fill_atomic(target, lambda file: _parquet(counted, file, named or {}))
    return seen.written()


def check_target(target: Path, *, vectors: bool) -> None:
    """Refuse a file that could not be written, before any picture is looked at.

    Args:
        target: the file.
        vectors: rows are vectors, and not maps.

    Raises:
        WrongUse, MissingExtra: see `write_features`.
    """
    suffix = target.suffix.lower()
    if suffix not in (".npz", ".parquet"):
        raise WrongUse(f"{target} has the suffix {suffix!r}, expected .npz or .parquet")
    if suffix == ".parquet" and not vectors:
        raise WrongUse(f"maps do not fit into the columns of {target}; write them to an .npz file")
    if suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("pyarrow", "parquet", "the Parquet format")


def _npz(rows: Iterable[Features], file: IO[bytes], named: Mapping[str, str]) -> None:
    paths, values, unreadable, reasons = [], [], [], []
    for row in rows:
        if row.values is None:
            unreadable.append(spelled(row.path))
            reasons.append(spelled(row.error or ""))
        else:
            paths.append(spelled(row.path))
            values.append(row.values)
    arrays = {
        "paths": np.array(paths, np.str_),
        "features": np.stack(values) if values else np.empty((0, 0), np.float32),
        "unreadable": np.array(unreadable, np.str_),
        "reasons": np.array(reasons, np.str_),
        **{key: np.array(text) for key, text in named.items()},
    }
    np.savez(file, allow_pickle=False, **arrays)


def _parquet(rows: Iterable[Features], file: IO[bytes], named: Mapping[str, str]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {"path": pyarrow.string(), "features": pyarrow.list_(pyarrow.float32())}
    schema = pyarrow.schema({**columns, "error": pyarrow.string()}, metadata=dict(named))
    left = iter(rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while part := list(islice(left, _PART)):
            table = {
                "path": [spelled(row.path) for row in part],
                "features": [row.values for row in part],
                "error": [None if row.error is None else spelled(row.error) for row in part],
            }
            writer.write_table(pyarrow.table(table, schema=schema))
