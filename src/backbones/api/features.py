"""Look at images through a layer of a trained network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

from backbones.classifier.classifier import Classifier
from backbones.classifier.opening import open_classifier
from backbones.classifier.vectors import Features, check_target, usual_tap, write_features
from backbones.classifier.writers import Tally, Written
from backbones.compute import AnswerChoice
from backbones.progress import Progress
from backbones.ranks import current
from backbones.weights.bundle import Bundle

__all__ = ["Features", "extract_features", "features_to_file"]


def extract_features(
    bundle: str | Path | Bundle | Classifier,
    inputs: Any,
    *,
    tap: str | None = None,
    pool: bool = True,
    batch_size: int | None = None,
    progress: Progress | None = None,
    **compute: Unpack[AnswerChoice],
) -> Iterator[Features]:
    """Turn images into rows of numbers, to search, cluster or classify them by.

    Args:
        bundle, device, precision, threads, engine: as of `backbones.open`.
        inputs: images, and `tap` (the layer), `pool`, `batch_size`, `progress`: as of
            `Classifier.features`.

    Raises:
        NotFound, WrongUse: as these two.

    Example:
        >>> import numpy, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (28, 28), 255).save(f"{folder}/white.png")
        ...     (row,) = extract_features("lenet5.digits", folder)
        >>> row.values.shape
        (84,)
    """
    opened = open_classifier(bundle, **compute)
    return opened.features(inputs, layer=tap, pool=pool, batch_size=batch_size, progress=progress)


def features_to_file(
    bundle: str | Path | Bundle | Classifier,
    inputs: Any,
    target: Path,
    *,
    tap: str | None = None,
    pool: bool = True,
    batch_size: int | None = None,
    progress: Progress | None = None,
    **compute: Unpack[AnswerChoice],
) -> Written:
    """Turn images into the rows of a file.

    Under `torchrun` every process takes its share of the images, and the first one writes.

    Args:
        bundle, inputs, tap, pool, batch_size, device, precision, threads, progress: see
            `extract_features`.
        target: .npz: `paths` and `features` of what could be read, `unreadable` and `reasons` of
            the rest, and `variant`, `tap`, `device` and `precision` in words. Or .parquet: a row an
            image with `path`, `features` and `error`, and the same words in its metadata.

    Returns:
        how many images there were, and which could not be read.

    Raises:
        NotFound, WrongUse: see `extract_features`; another suffix; maps for Parquet.
        MissingExtra: Parquet without pyarrow.
    """
    check_target(target, vectors=pool)
    opened = open_classifier(bundle, **compute)
    member = opened.members[0]
    name = tap or usual_tap(member.build(), member.spec)
    rows = opened.features(inputs, layer=name, pool=pool, batch_size=batch_size, progress=progress)
    variant = opened.bundles[0].variant if opened.bundles else member.name
    named = {"variant": variant, "tap": name}
    where = {"device": opened.compute.device, "precision": opened.compute.precision}
    if not current().first:  # which writes the rows of all
        return Tally().passed(rows)
    return write_features(rows, target, named=named | where)
