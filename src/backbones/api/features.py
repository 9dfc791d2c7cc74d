"""Look at pictures through a layer of a trained network."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from backbones.prediction import vectors
from backbones.prediction.inputs import Inputs, find_inputs
from backbones.prediction.vectors import Features, check_target, usual_tap, write_features
from backbones.prediction.writers import Written
from backbones.progress import Progress
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle

__all__ = ["Features", "extract_features", "features_to_file"]


def extract_features(
    bundle: str | Path | Bundle,
    inputs: Sequence[str | Path] | str | Path,
    *,
    tap: str | None = None,
    pool: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Iterator[Features]:
    """Turn pictures into rows of numbers, to search, cluster or classify them by.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights.
        inputs: files, folders, patterns, zip or tar files, or "-" for standard input.
        tap: the layer, as `backbones.tap` has it: "relu4_2", "conv3_x", "layer3.0". None takes
            what the network's last layer is given.
        pool: maps (C, h, w) are averaged to vectors (C); else they stay.
        batch_size: pictures at a time, at least 1.
        progress: called with (pictures done, pictures in all).

    Yields:
        One row a picture, in input order; with an error where it could not be read.

    Raises:
        NotFound: no such bundle, layer, file, folder or pattern; before any picture is read.
        WrongUse: nothing was named, or the layer does not run in evaluation.

    Example:
        >>> import numpy, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (28, 28), 255).save(f"{folder}/white.png")
        ...     (row,) = extract_features("lenet5.digits", folder)
        >>> row.values.shape
        (84,)
    """
    opened = open_bundle(bundle)
    network = opened.build()
    return vectors.extract_features(
        network,
        _found(inputs),
        opened.spec,
        tap or usual_tap(network, opened.spec),
        pool=pool,
        batch_size=batch_size,
        progress=progress,
    )


def _found(inputs: Sequence[str | Path] | str | Path) -> Inputs:
    named = [inputs] if isinstance(inputs, str | Path) else inputs
    return find_inputs(named, stdin=sys.stdin.buffer)


def features_to_file(
    bundle: str | Path | Bundle,
    inputs: Sequence[str | Path] | str | Path,
    target: Path,
    *,
    tap: str | None = None,
    pool: bool = True,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Written:
    """Turn pictures into the rows of a file.

    Args:
        bundle, inputs, tap, pool, batch_size, progress: see `extract_features`.
        target: .npz: `paths` and `features` of what could be read, `unreadable` and `reasons` of
            the rest, and the `variant` and `tap` in words. Or .parquet: a row a picture with
            `path`, `features` and `error`, and the same two in its metadata.

    Returns:
        how many pictures there were, and which could not be read.

    Raises:
        NotFound, WrongUse: see `extract_features`; another suffix; maps for Parquet.
        MissingExtra: Parquet without pyarrow.
    """
    check_target(target, vectors=pool)
    opened = open_bundle(bundle)
    network = opened.build()
    name = tap or usual_tap(network, opened.spec)
    rows = vectors.extract_features(
        network,
        _found(inputs),
        opened.spec,
        name,
        pool=pool,
        batch_size=batch_size,
        progress=progress,
    )
    return write_features(rows, target, named={"variant": opened.variant, "tap": name})
