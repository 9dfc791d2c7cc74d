"""`backbones explain`: where in images a network sees its classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.cli.compute import opened
from backbones.cli.console import (
    print_json,
    print_text,
    progress,
    say,
    warn,
)
from backbones.cli.options import (
    BatchSize,
    Classifier,
    ComputeOptions,
    Language,
    OutputOptions,
    Top,
)
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.classifier.explanation_files import WrittenExplanations

_SHOWN = 20

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE",
        help="Images, folders, patterns, zip or tar files; - reads standard input.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="For the images, page and JSON.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METHOD", help="grad_cam, cam or occlusion; repeatable. Default: grad_cam."
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="NAME_OR_INDEX",
        help="Explain this class, by name, id or index; repeatable. Default: the top one.",
    ),
]
Layer = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Take the maps at this layer; default: the family's own."),
]
FeatureLayer = Annotated[
    str | None,
    typer.Option("--feature-maps", metavar="LAYER", help="Draw this layer's feature maps too."),
]


def explain(
    classifier: Classifier,
    images: Inputs = None,
    out: Out = Path("explained"),
    method: Methods = None,
    target: Targets = None,
    layer: Layer = None,
    patch: Annotated[
        int | None, typer.Option(min=1, metavar="PX", help="Occlusion: side of the square.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, metavar="PX", help="Occlusion: step of the square.")
    ] = None,
    filters: Annotated[
        bool, typer.Option("--filters", help="Draw the first layer's filters too.")
    ] = False,
    features: FeatureLayer = None,
    top: Top = 5,
    lang: Language = "en",
    batch_size: BatchSize = None,
    *,
    compute: ComputeOptions,
    output: OutputOptions,
) -> None:
    """Show where in images a network sees a class.

    Draws Grad-CAM, CAM or an occlusion map over each image, with the predictions; a page of all,
    and the numbers in explain.json.

    Examples:
        backbones explain runs/pets photos -o why
        backbones explain runs/pets cat.jpg --class cat --class dog --method occlusion
    """
    from backbones import Occluder, filters_image, write_explanations
    from backbones.report.images import save_image

    if not images and not filters:
        raise WrongUse("no images given; expected files or folders, or --filters")
    methods = method or ["grad_cam"]
    check_options(methods, layer, patch or stride)
    network = opened(classifier, lang, compute)
    if filters:
        say(f"wrote {save_image(filters_image(network), out / 'filters.png')}")
    if not images:
        return
    with progress("explaining", unit="passes") as report_progress:
        found = network.explain(
            images,
            method=methods,
            target=target,
            layer=layer,
            occluder=Occluder(patch, stride),
            features=features,
            top=top,
            lang=lang,
            batch_size=batch_size,
            progress=report_progress,
        )
        written = write_explanations(found, out)
    tell(written, out, as_json=output.json)


def check_options(methods: list[str], layer: str | None, square_px: int | None) -> None:
    """Refuse options that would change nothing.

    Raises:
        WrongUse: a square without an occlusion, or a layer with nothing else.
    """
    if square_px and "occlusion" not in methods:
        raise WrongUse("--patch and --stride are for occlusion maps; add --method occlusion")
    if layer and set(methods) == {"occlusion"}:
        raise WrongUse("an occlusion map has no layer; omit --layer, or add --method grad_cam")


def tell(written: WrittenExplanations, out: Path, *, as_json: bool) -> None:
    """What was found and where it lies; exit code 1 if no image could be read."""
    if as_json:
        print_json(written.document)
    else:
        for row in written.document:
            for each in row.get("maps", ()):
                print_text(_line(row["path"], each))
    for path, reason in written.failures[:_SHOWN]:
        warn(f"{path} could not be read: {reason}")
    if len(written.failures) > _SHOWN:
        warn(f"and {len(written.failures) - _SHOWN} more; see {out / 'explain.json'}")
    if len(written.failures) == len(written.document):
        warn(f"no image could be read; the reasons are in {out / 'explain.json'}")
        raise typer.Exit(1)
    say(f"open {out / 'index.html'}; the numbers are in {out / 'explain.json'}")


def _line(path: str, found: dict[str, Any]) -> str:
    kind, (x, y) = found["class"], found["highest_at_px"]
    return (
        f"{path}: {kind['name']} {100 * kind['probability']:.1f} %,"
        f" {found['method']} highest at x {x:.0f}, y {y:.0f} px"
    )
