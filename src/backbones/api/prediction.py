"""Classify images with a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO, Unpack

from backbones.classifier.classifier import Classifier
from backbones.classifier.opening import Openable, open_classifier
from backbones.classifier.options import InferenceOptions
from backbones.classifier.prediction_files import Output, write_answers
from backbones.classifier.predictions import Predictions
from backbones.classifier.writers import Submission, Written
from backbones.compute import CheckedChoice
from backbones.labels import Lang
from backbones.progress import Progress
from backbones.protocols.own import load_protocol
from backbones.protocols.table import Protocol

__all__ = ["Submission", "predict", "predict_files"]


def predict(
    bundle: Openable | Classifier | Sequence[Openable],
    inputs: Any,
    *,
    protocol: str | Path | Protocol = "single",
    top: int | None = 5,
    lang: Lang = "en",
    batch_size: int | None = None,
    keep_images: bool = False,
    progress: Progress | None = None,
    **compute: Unpack[CheckedChoice],
) -> Predictions:
    """Classify images: `open(bundle).predict(inputs)`.

    Args:
        bundle, device, precision, threads, engine, agree: as of `backbones.open`.
        inputs: images, and `protocol`, `top`, `lang`, `batch_size`, `keep_images`, `progress`:
            as of `Classifier.predict`.

    Raises:
        NotFound, BadData, ProtocolError, WrongUse: as these two.
    """
    opened = open_classifier(bundle, **compute)
    return opened.predict(
        inputs,
        protocol=protocol,
        top=top,
        lang=lang,
        batch_size=batch_size,
        keep_images=keep_images,
        progress=progress,
    )


def predict_files(
    bundle: Openable | Classifier | Sequence[Openable],
    inputs: Any,
    out: Path | TextIO,
    *,
    format: str = "csv",
    annotated: Path | None = None,
    submission: Submission | None = None,
    template: Path | None = None,
    protocol: str | Path | Protocol = "single",
    top: int = 5,
    lang: Lang = "en",
    batch_size: int | None = None,
    progress: Progress | None = None,
    **compute: Unpack[CheckedChoice],
) -> Written:
    """Classify images and write the answers, with annotated copies where they are wanted.

    Args:
        bundle, inputs, protocol, device, precision, threads, engine, agree: as of `predict`.
        out: a file, or an open text stream.
        format: "text", "json" (one object a line), "csv", "parquet" or "submission".
        annotated: folder for annotated copies and a page of them.
        submission: how a submission looks; id and likeliest class where None.
        template: a competition's sample submission, whose rows and columns are filled.
        top: answers an image.
        lang: of the names; a submission has the network's own in any case.
        batch_size: images at a time; None takes as many as suit their size.
        progress: called with (images done, images in all).

    Returns:
        how many images there were, and which could not be read.

    Raises:
        NotFound, WrongUse, BadData, MissingExtra: as of `write_answers`.
    """
    row = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    return write_answers(
        open_classifier(bundle, **compute),
        inputs,
        Output(format, out, annotated, submission, template),
        InferenceOptions(row, batch_size),
        top=top,
        lang=lang,
        progress=progress,
    )
