"""From images to what a layer of the network makes of them: one row an image."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from backbones.classifier.assembly import Member
from backbones.classifier.options import InferenceOptions
from backbones.classifier.preparing import (
    Preparation,
    Prepared,
    batches,
    geometry_of,
    squares_of,
)
from backbones.classifier.second_look import Computed
from backbones.classifier.source import Source
from backbones.classifier.writers import Tally, Written
from backbones.data.finish import normalised
from backbones.data.render import Pixels
from backbones.engines import find_engine
from backbones.errors import MissingExtra, WrongUse, is_short_of_memory, telling_of_memory
from backbones.features.taps import INTO, tap
from backbones.features.twin import last_layer
from backbones.files import fill_atomic
from backbones.nn.evaluating import Network, naming
from backbones.progress import Progress
from backbones.ranks import ALONE, Ranks
from backbones.spec import InputSpec
from backbones.text import spelled

_PART = 1024  # images that are put into one group of rows of a Parquet file
_EXCHANGED = 256  # images whose rows several processes tell each other at once


@dataclass(frozen=True)
class Features:
    """What a layer makes of one image.

    Args:
        path: as the input named it; in an archive, the archive's path and the member's name.
        values: float32, a vector or the layer's maps (C, h, w), or one of these for each view
            under a protocol of several; None where there is an error.
        error: why the image could not be read, or None.
        computed: how; None where there is an error.
    """

    path: str
    values: npt.NDArray[np.float32] | None = None
    error: str | None = None
    computed: Computed | None = field(default=None, repr=False, compare=False)


def extract_features(
    member: Member,
    source: Source,
    layer: str,
    options: InferenceOptions,
    *,
    pool: bool = True,
    progress: Progress | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[Features]:
    """Look at images through a layer, while the next ones are being decoded.

    Args:
        member: the network and how it wants its images.
        source: the images.
        layer: as `tap` has it; `usual_tap` finds one.
        options: batch size, device and the like; under a protocol of crops, each of which is
            looked at by itself.
        pool: maps (C, h, w) are averaged to vectors (C); else they stay.
        progress: called after every batch.
        ranks: the processes that share the images; all get all rows.

    Returns:
        One row an image, in input order.

    Raises:
        NotFound: no such layer; names the nearest. At once, and not with the first row.
        WrongUse: the layer does not run in evaluation.
    """
    options = options.settled([member], source.num_images)
    compute = options.compute.exact  # nothing says how far a vector may move
    network = _Layer(compute.place(member.build()), layer, pool)
    through = find_engine(compute.engine).build(network, compute)
    settled = replace(options, compute=compute)
    shared = source.share(ranks.rank, ranks.size)
    rows = _rows(through, member.spec, _Batches(shared, settled, progress))
    return rows if ranks.alone else _in_turn(ranks, rows, Computed(compute))


def _in_turn(ranks: Ranks, rows: Iterator[Features], computed: Computed) -> Iterator[Features]:
    """The rows of all processes, one of each at a time, as the images were dealt out."""
    more = True
    while more:
        with ranks.telling_of_lost():
            mine = list(islice(rows, _EXCHANGED))
            every = [iter(each) for each in _exchanged(ranks, mine, computed)]
            more = any(count == _EXCHANGED for (count,) in ranks.rows([len(mine)]))
        for turn in zip_longest(*every):
            yield from (row for row in turn if row is not None)


def _exchanged(ranks: Ranks, rows: list[Features], computed: Computed) -> list[list[Features]]:
    """Some rows of every process, in every process."""
    told = ranks.values([(row.path, row.error) for row in rows])
    good = [row.values for row in rows if row.values is not None]
    shapes = ranks.values(good[0].shape if good else None)
    shape = next((tuple(each) for each in shapes if each is not None), (0,))
    mine = np.stack(good) if good else np.empty((0, *shape), np.float32)
    values = [iter(each.numpy()) for each in ranks.tensors(torch.from_numpy(mine))]
    return [
        [
            Features(path, error=error)
            if error is not None
            else Features(path, next(numbers), computed=computed)
            for path, error in names
        ]
        for names, numbers in zip(told, values, strict=True)
    ]


def usual_tap(network: nn.Module, spec: InputSpec) -> str:
    """What the last layer with weights is given, which tells images apart as the classes do.

    Raises:
        WrongUse: see `last_layer`.
    """
    return INTO + last_layer(network, torch.empty(1, spec.channels, spec.size, spec.size))


class _Layer(nn.Module):
    """A layer's output, as a network of its own: images (N, C, H, W) -> (N, K), or its maps."""

    def __init__(self, network: nn.Module, layer: str, pool: bool) -> None:
        super().__init__()
        self._taps = tap(network, layer)
        self._layer, self._pool = layer, pool

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self._taps(images)[self._layer]
        return found.flatten(2).mean(2) if self._pool and found.dim() > 2 else found


@dataclass(frozen=True)
class _Batches:
    """The images of a source, and how they are taken."""

    source: Source
    options: InferenceOptions
    progress: Progress | None

    def prepared(self, spec: InputSpec) -> Iterator[list[Prepared]]:
        options = self.options
        preparation = Preparation(
            options.protocol, (geometry_of(spec),), options.kept_px, options.workers
        )
        done = 0
        with closing(preparation.stream(self.source, 1)) as stream:
            for batch in batches(stream, options.batch_of(spec.size)):
                yield batch
                done += len(batch)
                if self.progress is not None:
                    self.progress(done, max(done, self.source.num_images))


def _rows(layer: Network, spec: InputSpec, found: _Batches) -> Iterator[Features]:
    computed = Computed(found.options.compute)
    for batch in found.prepared(spec):
        squares = squares_of(batch, spec)
        names = [each.names[0] for each in batch if each.error is None]
        views = len(squares) // max(len(names), 1)
        with naming([name for name in names for _ in range(views)]):
            rows = _values(layer, squares, spec, found.options.compute.device)
        if views > 1:
            rows = rows.reshape(len(names), views, *rows.shape[1:])
        values = iter(rows)
        for each in batch:
            if each.error is None:
                yield Features(each.names[0], next(values), computed=computed)
            else:
                yield Features(each.names[0], error=each.error)


def _values(
    layer: Network, squares: Pixels, spec: InputSpec, device: str
) -> npt.NDArray[np.float32]:
    """N squares (S, S, C) -> (N, C), or the layer's maps (N, C, h, w); halves where memory ends."""
    if not len(squares):
        return np.empty((0, 0), np.float32)
    advice = f"not even one image of {spec.size} px fits: use smaller images"
    with telling_of_memory(lambda: advice):
        try:
            rows: npt.NDArray[np.float32] = layer(normalised(squares, spec, device)).cpu().numpy()
            return rows
        except (MemoryError, RuntimeError) as error:
            if not is_short_of_memory(error) or len(squares) == 1:
                raise
    middle = len(squares) // 2
    halves = (squares[:middle], squares[middle:])
    return np.concatenate([_values(layer, half, spec, device) for half in halves])


def write_features(
    rows: Iterable[Features], target: Path, *, named: Mapping[str, str] | None = None
) -> Written:
    """Write rows as they come; the file appears whole at the end, or not at all.

    Args:
        rows: in the order to write.
        target: ".npz": arrays `paths` and `features` of what could be read, `unreadable` and
            `reasons` of the rest, and one text each of `named`. ".parquet": a row an image with
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
    """Refuse a file that could not be written, before any image is looked at.

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
