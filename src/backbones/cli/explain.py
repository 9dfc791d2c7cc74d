"""`backbones explain`: where in pictures a network sees its classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.cli.console import preparing, print_text, progress, say
from backbones.cli.language import Language, tell_nameless
from backbones.cli.offline import Offline
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.api.explanation_files import WrittenExplanations

_SHOWN = 20

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURE...",
        help="Pictures, folders, patterns, zip or tar files; - reads standard input.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="Pictures, page and JSON go here.")
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METHOD",
        help="grad_cam, cam or occlusion; may be given more than once. grad_cam if left out.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="NAME_OR_INDEX",
        help="Look for this class, by name, id or number; may be given more than once."
        " The likeliest if left out.",
    ),
]
FeatureLayer = Annotated[
    str | None,
    typer.Option("--feature-maps", metavar="LAYER", help="Draw the maps of this layer too."),
]


def explain(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle, a run or an id of weights.")
    ],
    inputs: Inputs = None,
    out: Out = Path("explained"),
    method: Methods = None,
    target: Targets = None,
    layer: Annotated[
        str | None, typer.Option(help="Take the maps from here; the family's own if left out.")
    ] = None,
    patch: Annotated[
        int | None, typer.Option(min=1, metavar="PX", help="Occlusion: side of the square.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, metavar="PX", help="Occlusion: how far it moves.")
    ] = None,
    filters: Annotated[
        bool, typer.Option("--filters", help="Draw the first layer's filters too.")
    ] = False,
    features: FeatureLayer = None,
    top: Annotated[int, typer.Option(min=1, help="Answers a picture.")] = 5,
    lang: Language = "en",
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures in a batch.")] = 16,
    offline: Offline = False,
) -> None:
    """Show where in pictures a network sees a class.

    Grad-CAM, CAM or an occlusion map over each picture, with the network's answers; a page of them
    all, and the numbers in explain.json.

    Examples:
        backbones explain runs/pets photos -o why
        backbones explain runs/pets cat.jpg --class cat --class dog --method occlusion
    """
    from backbones.api.explanation import Occluder, filters_picture, open_subject
    from backbones.api.explanation import explain as explain_pictures
    from backbones.api.explanation_files import write_explanations
    from backbones.report.pictures import save_image
    from backbones.speed import keep_large_buffers

    if not inputs and not filters:
        raise WrongUse("no pictures were named; expected files or folders, or --filters")
    methods = method or ["grad_cam"]
    check_options(methods, layer, patch or stride)
    keep_large_buffers()
    with preparing() as bars:
        subject = open_subject(bundle, downloading=bars.downloading)
    tell_nameless(subject.classes, lang)
    if filters:
        say(f"wrote {save_image(filters_picture(subject), out / 'filters.png')}")
    if not inputs:
        return
    with progress("explaining", unit="passes") as report_progress:
        found = explain_pictures(
            subject,
            inputs,
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
    tell(written, out)


def check_options(methods: list[str], layer: str | None, square_px: int | None) -> None:
    """Refuse options that would change nothing.

    Raises:
        WrongUse: a square without an occlusion, or a layer with nothing else.
    """
    if square_px and "occlusion" not in methods:
        raise WrongUse("--patch and --stride are of the occlusion; add --method occlusion")
    if layer and set(methods) == {"occlusion"}:
        raise WrongUse("an occlusion has no layer; leave --layer out, or add --method grad_cam")


def tell(written: WrittenExplanations, out: Path) -> None:
    """What was found and where it lies; exit code 1 where no picture could be read."""
    for row in written.document:
        for each in row.get("maps", ()):
            kind, (x, y) = each["class"], each["highest_at_px"]
            print_text(
                f"{row['path']}: {kind['name']} {100 * kind['probability']:.1f} %,"
                f" {each['method']} highest at x {x:.0f}, y {y:.0f} px"
            )
    for path, reason in written.failures[:_SHOWN]:
        say(f"{path} could not be read: {reason}")
    if len(written.failures) > _SHOWN:
        say(f"and {len(written.failures) - _SHOWN} more; see {out / 'explain.json'}")
    if len(written.failures) == len(written.document):
        say(f"no picture could be read; the reasons are in {out / 'explain.json'}")
        raise typer.Exit(1)
    say(f"open {out / 'index.html'}; the numbers are in {out / 'explain.json'}")
