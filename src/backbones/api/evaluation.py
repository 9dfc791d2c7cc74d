"""Measure a trained network as a paper would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from backbones.classifier.classifier import Classifier
from backbones.classifier.evaluation import Evaluation
from backbones.classifier.opening import Openable, open_classifier
from backbones.compute import CheckedChoice
from backbones.labels import Lang
from backbones.progress import Progress
from backbones.protocols.table import Protocol

__all__ = ["evaluate"]


def evaluate(
    bundle: Openable | Classifier | Sequence[Openable],
    data: str | Path,
    *,
    protocol: str | Path | Protocol = "single",
    settings: Sequence[str] = (),
    split: str | None = None,
    lang: Lang = "en",
    batch_size: int | None = None,
    names: Sequence[str] | None = None,
    limit: int | None = None,
    layout: str | None = None,
    label_pattern: str | None = None,
    progress: Progress | None = None,
    **compute: Unpack[CheckedChoice],
) -> Evaluation:
    """Measure a trained network, or several as one, on a data set as a paper would.

    Args:
        bundle, device, precision, threads, engine, agree, names: as of `backbones.open`.
        data, protocol, settings, split, lang, batch_size, limit, layout, label_pattern, progress:
            as of `Classifier.evaluate`.

    Raises:
        NotFound, BadData, ProtocolError, WrongUse: as these two.
    """
    opened = open_classifier(bundle, **compute, names=names)
    return opened.evaluate(
        data,
        protocol=protocol,
        settings=settings,
        split=split,
        lang=lang,
        batch_size=batch_size,
        limit=limit,
        layout=layout,
        label_pattern=label_pattern,
        progress=progress,
    )
