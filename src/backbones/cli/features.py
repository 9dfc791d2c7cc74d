"""`backbones features`: images as vectors, taken at a layer of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.compute import opened
from backbones.cli.console import print_json, progress, say
from backbones.cli.options import AnswerOptions, BatchSize, Classifier, Images, OutputOptions
from backbones.cli.predict import tell_failures


def features(
    classifier: Classifier,
    images: Images,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The paper's name of a layer or stage, or a module path; default: the input of"
            " the last layer.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Write here: .npz or .parquet.")
    ] = Path("features.npz"),
    pool: Annotated[
        bool, typer.Option("--pool/--no-pool", help="Average maps to vectors, or keep them.")
    ] = True,
    batch_size: BatchSize = None,
    *,
    compute: AnswerOptions,
    output: OutputOptions,
) -> None:
    """Turn images into vectors.

    One row per image, with its file name: to search for similar ones, to cluster them, or to train
    another classifier. A file that cannot be decoded is listed with the reason.
    `torchrun --nproc-per-node 2 -m backbones features ...` shares the images.

    Examples:
        backbones features runs/demo photos -o photos.npz
        backbones features vgg16.tv_in1k photos --layer relu4_2 --no-pool
    """
    from backbones import features_to_file

    network = opened(classifier, "en", compute)
    with progress("extracting") as report_progress:
        written = features_to_file(
            network,
            images,
            out,
            tap=layer,
            pool=pool,
            batch_size=batch_size,
            progress=report_progress,
        )
    rows = written.num_images - len(written.failures)
    if output.json:
        failures = [{"path": path, "error": reason} for path, reason in written.failures]
        how = written.computed.to_json() if written.computed else {}
        print_json({"out": str(out), "rows": rows, "failures": failures, **how})
    say(f"wrote {rows} rows to {out}")
    tell_failures(written)
