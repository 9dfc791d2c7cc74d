"""`backbones evaluate`: honest numbers for a bundle or a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backbones.cli.console import preparing, print_json, print_text, progress, say
from backbones.cli.language import Language, tell_nameless
from backbones.cli.offline import Offline


def evaluate(
    bundle: Annotated[
        str, typer.Argument(metavar="RUN_OR_BUNDLE", help="A run, a bundle or an id of weights.")
    ],
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder, manifest or set name.")],
    protocol: Annotated[str, typer.Option(help="See `backbones list protocols`.")] = "single",
    split: Annotated[
        str | None, typer.Option(help="train, val or test; the held-out one if left out.")
    ] = None,
    lang: Language = "en",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report, the confusion matrix and its CSV.")
    ] = None,
    offline: Offline = False,
) -> None:
    """Measure a trained network.

    Error rates with confidence intervals, figures per class, calibration.

    Examples: `backbones evaluate runs/demo digits --protocol ten_crop --out report`,
    `backbones evaluate resnet50.tv_in1k imagenet`.
    """
    from backbones.api.evaluation import evaluate as measure
    from backbones.api.evaluation import write_evaluation
    from backbones.api.weights import open_bundle
    from backbones.report.fonts import font_note
    from backbones.speed import keep_large_buffers

    keep_large_buffers()
    with preparing() as bars:
        opened = open_bundle(bundle, downloading=bars.downloading)
    tell_nameless(opened.classes, lang)
    with progress("evaluating") as report_progress:
        found = measure(
            opened,
            data,
            protocol=protocol,
            split=split,
            lang=lang,
            batch_size=batch_size,
            progress=report_progress,
        )
    if out:
        for path in write_evaluation(found, out):
            say(f"wrote {path}")
        if note := font_note([row.name for row in found.report.per_class]):
            say(note)
    if json:
        print_json(found.to_json())
    else:
        print_text(found.to_text())
