"""Classify images with a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TextIO, Unpack

from backbones.classifier.classifier import Classifier
from backbones.classifier.inputs import find_inputs
from backbones.classifier.opening import Openable, open_classifier
from backbones.classifier.options import InferenceOptions
from backbones.classifier.prediction_files import Output, write_answers
from backbones.classifier.predictions import Predictions
from backbones.classifier.writers import Submission, Written
from backbones.cluster.claims import LEASE_S
from backbones.cluster.job import IMAGES_IN_A_SHARD, Asked, Job
from backbones.cluster.parts import Manifest, Worker
from backbones.cluster.ray_data import Opening, run_on_ray
from backbones.cluster.store import Store
from backbones.compute import CheckedChoice
from backbones.errors import WrongUse
from backbones.labels import Lang
from backbones.progress import Progress
from backbones.protocols.own import load_protocol
from backbones.protocols.table import Protocol

__all__ = ["Submission", "predict", "predict_files", "predict_parts"]


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
        format: "text", "jsonl" (or "json": one object a line), "csv", "parquet" or
            "submission".
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


def predict_parts(
    bundle: Openable | Classifier | Sequence[Openable],
    shards: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    format: str = "parquet",
    share: tuple[int, int] | None = None,
    cluster: Literal["ray"] | None = None,
    address: str = "auto",
    lease_s: float = LEASE_S,
    protocol: str | Path | Protocol = "single",
    top: int = 5,
    lang: Lang = "en",
    batch_size: int | None = None,
    progress: Progress | None = None,
    **compute: Unpack[CheckedChoice],
) -> Manifest | None:
    """Classify any number of images in parts, together with all others that make the same call.

    Each archive and table is a shard, and so are 1,024 images that lie in files of their own. A
    worker takes a shard that nobody has, writes its part, and goes on until all parts are there.
    A call that was broken off is made again: what is missing is done.

    Args:
        bundle, protocol, device, precision, threads, engine, agree: as of `predict`.
        shards: files, folders, patterns, archives and tables, as of `predict`; the same for all
            workers, and read by all of them.
        out: the folder of the parts, which all workers share; or an address that fsspec opens,
            such as "s3://bucket/answers".
        format: "parquet", "csv" or "jsonl".
        share: (i, n): only the i-th of every n shards, counted from 1, and nobody is waited for.
        cluster: "ray" has the actors of a Ray cluster do all shards that are missing.
        address: of the cluster: "auto", "local" (it begins and ends with this call) or
            "ray://HOST:PORT".
        lease_s: seconds without a sign of life after which a worker's shard is taken by another.
        top: answers an image.
        lang: of the names.
        batch_size: images at a time; None takes as many as suit their size.
        progress: called with (parts that are there, parts in all).

    Returns:
        what all parts hold; None where `share` leaves some to others that have not made them yet.

    Raises:
        NotFound, ProtocolError: as of `predict`.
        WrongUse: the folder holds the parts of another call; no such format, share or cluster.
        BadData: a shard is gone.
        MissingExtra: Parquet without pyarrow, or a cluster without Ray.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (28, 28)).save(f"{folder}/black.png")
        ...     done = predict_parts("lenet5.digits", folder, f"{folder}/parts", format="csv")
        ...     done.shards, done.rows, done.errors
        (1, 1, 0)
    """
    row = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    named = [shards] if isinstance(shards, str | Path) else shards
    job = Job(
        open_classifier(bundle, **compute),
        Asked(format, row, top, lang, batch_size),
        tuple(find_inputs(named).shards(IMAGES_IN_A_SHARD)),
    )
    worker = Worker(job, Store(str(out).rstrip("/"), divided=share is not None), share, lease_s)
    if cluster is not None and share is not None:
        raise WrongUse("a share is of work that is divided by hand; a cluster divides it by itself")
    steps = worker.run()
    if cluster is not None:
        steps = run_on_ray(worker, Opening(bundle, compute), address)
    for done in steps:
        if progress is not None:
            progress(done, len(job.shards))
    return worker.finish()
