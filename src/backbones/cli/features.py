"""`backbones features`: pictures as rows of numbers, seen through a layer of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.console import preparing, progress, say
from backbones.cli.offline import Offline
from backbones.cli.predict import tell_failures


def features(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle, a run or an id of weights.")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES_OR_FOLDER...",
            help="Pictures, folders, patterns, zip or tar files; - reads standard input.",
        ),
    ],
    tap: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="The paper's name of a layer or stage, or a module path; what the last layer is"
            " given by default.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Write here: .npz or .parquet.")] = Path("features.npz"),
    pool: Annotated[
        bool, typer.Option("--pool/--no-pool", help="Average maps to vectors, or keep them.")
    ] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 32,
    offline: Offline = False,
) -> None:
    """Turn pictures into vectors.

    One row a picture, with its file name: to search for alike ones, to cluster them, or to train
    another classifier. A file that cannot be decoded is listed with its reason.

    Examples:
        backbones features runs/demo photos --out photos.npz
        backbones features vgg16.tv_in1k photos --tap relu4_2 --no-pool
    """
    from backbones.api.features import features_to_file
    from backbones.prediction.vectors import check_target
    from backbones.speed import keep_large_buffers
    from backbones.weights.opening import open_bundle

    check_target(out, vectors=pool)
    keep_large_buffers()
    with preparing() as bars:
        opened = open_bundle(bundle, downloading=bars.downloading)
    with progress("looking") as report_progress:
        written = features_to_file(
            opened,
            inputs,
            out,
            tap=tap,
            pool=pool,
            batch_size=batch_size,
            progress=report_progress,
        )
    say(f"wrote {written.num_pictures - len(written.failures)} rows to {out}")
    tell_failures(written)
