"""`backbones evaluate`: honest numbers for a bundle or a run, or for several averaged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.compute import opened
from backbones.cli.console import (
    print_json,
    print_text,
    progress,
    say,
)
from backbones.cli.options import (
    BatchSize,
    CheckedOptions,
    LabelPattern,
    Language,
    Layout,
    OutputOptions,
    complete_protocols,
)
from backbones.errors import BackbonesError, WrongUse
from backbones.launch import launch

if TYPE_CHECKING:
    from backbones import Classifier

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CLASSIFIER... DATA",
        help="Run folders, bundles, ids of weights, weight files or folders of folds, averaged;"
        " then the data: a folder, a manifest or the name of a data set.",
    ),
]
ProtocolName = Annotated[
    str,
    typer.Option(
        metavar="ID",
        help="A name, or a YAML file; `list` and `show ID` describe them.",
        autocompletion=complete_protocols,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Change a field of the protocol; repeatable."
    ),
]
Split = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="train, val or test; default: the validation images."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="For the report, the confusion matrix, every answer (answers.csv) and a page of the"
        " mistakes (mistakes.html).",
    ),
]
HeatMaps = Annotated[
    bool,
    typer.Option(
        "--heat-maps",
        help="With --out: on the page, where the network saw the class that it named and the true"
        " one, for the worst mistakes.",
    ),
]


def evaluate(
    targets: Targets = None,
    protocol: ProtocolName = "single",
    settings: Settings = None,
    split: Split = None,
    layout: Layout = None,
    label_pattern: LabelPattern = None,
    lang: Language = "en",
    batch_size: BatchSize = None,
    *,
    compute: CheckedOptions,
    out: Out = None,
    heat_maps: HeatMaps = False,
    output: OutputOptions,
) -> None:
    """Measure a trained network, or several averaged.

    Error rates with confidence intervals beside what the paper printed, figures per class,
    calibration. `torchrun --nproc-per-node 2 -m backbones evaluate ...` shares the images.

    Examples:
        backbones evaluate runs/demo digits --protocol ten_crop -o report
        backbones evaluate vgg16.tv_in1k vgg19.tv_in1k imagenet --protocol ten_crop
        backbones evaluate --protocol list
        backbones evaluate --protocol show vgg/dense
    """
    given = list(targets or [])
    if protocol in ("list", "show"):
        _describe(protocol, given, settings or [], output.json)
        return
    if len(given) < 2:
        raise WrongUse(
            "evaluate needs a classifier and data: backbones evaluate CLASSIFIER... DATA;"
            " `backbones evaluate --protocol list` shows the protocols"
        )
    if heat_maps and not out:
        raise WrongUse("--heat-maps belong to a page: name its folder with --out")
    classifier = opened(given[:-1], lang, compute)
    explainer = _explainer(classifier) if heat_maps else None
    with progress("evaluating") as report_progress:
        found = classifier.evaluate(
            given[-1],
            protocol=protocol,
            settings=settings or [],
            split=split,
            layout=layout,
            label_pattern=label_pattern,
            lang=lang,
            batch_size=batch_size,
            progress=report_progress,
        )
    if launch().rank:
        return  # the first process writes and speaks
    if out:
        from backbones import write_evaluation
        from backbones.report.fonts import font_note

        for path in write_evaluation(found, out, explainer=explainer):
            say(f"wrote {path}")
        if note := font_note([row.name for row in found.report.per_class]):
            say(note)
    if output.json:
        print_json(found.to_json())
    else:
        print_text(found.to_text())


def _explainer(classifier: Classifier) -> Classifier:
    """Who draws heat maps; who cannot is told before the evaluation, not after it.

    Raises:
        WrongUse: several networks, or an exported file, which has no layers to look into.
    """
    import numpy as np

    try:
        classifier.explain(np.zeros((1, 1, 3), np.uint8))  # refused now; computed when iterated
    except BackbonesError as error:
        raise WrongUse(f"no heat maps: {error}; leave out --heat-maps") from None
    return classifier


def _describe(verb: str, names: list[str], settings: list[str], as_json: bool) -> None:
    """`--protocol list`, and `--protocol show ID ...`."""
    if verb == "list":
        from backbones.cli.list import list_protocols

        list_protocols(as_json)
        return
    from backbones import show_protocol

    if not names:
        raise WrongUse("--protocol show needs a name: backbones evaluate --protocol show vgg/dense")
    cards = [show_protocol(name, settings) for name in names]
    if as_json:
        found = [card.to_json() for card in cards]
        print_json(found if len(found) > 1 else found[0])
    else:
        print_text("\n\n".join(card.to_text() for card in cards))
