"""`backbones stylize`: one picture in the style of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backbones.cli.console import Moved, progress, say

if TYPE_CHECKING:
    from backbones.features.style import StyleSettings, StyleStep

Layers = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="As `relu4_2` or a module path; repeatable, or by commas."),
]


def stylize(
    content: Annotated[Path, typer.Argument(metavar="CONTENT", help="The picture to change.")],
    style: Annotated[Path, typer.Argument(metavar="STYLE", help="The picture to learn from.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".png, .jpg or .webp.")],
    weights: Annotated[
        str | None, typer.Option(metavar="BUNDLE_OR_ID", help="Else the best on this machine.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(metavar="NAME", help="A variant whose weights are here.")
    ] = None,
    content_layers: Layers = None,
    style_layers: Layers = None,
    style_weight: Annotated[float, typer.Option(help="Beside the content's 1.")] = 300.0,
    tv_weight: Annotated[float, typer.Option(help="More is smoother.")] = 1.0,
    size: Annotated[int, typer.Option(metavar="PX", help="Longer side of the result.")] = 384,
    steps: Annotated[int, typer.Option(help="Of the optimiser, over all sizes.")] = 300,
    optimizer: Annotated[Literal["lbfgs", "adam"], typer.Option(help="lbfgs or adam.")] = "lbfgs",
    preserve_colour: Annotated[
        bool, typer.Option("--preserve-colour", help="Keep the content's colours.")
    ] = False,
    start: Annotated[
        Literal["content", "noise"], typer.Option(help="What the first picture is.")
    ] = "content",
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
) -> None:
    """Give a picture the style of another.

    Works with any network; VGG-19 does best (`backbones weights get vgg19.tv_in1k`). Ctrl-C stops
    early and saves the best picture so far.

    Examples:
        backbones stylize photo.jpg starry_night.jpg -o night.png --size 512
    """
    from backbones import StyleSettings
    from backbones import stylize as stylize_image
    from backbones.errors import WrongUse

    _check_destination(out)
    if weights and network:
        raise WrongUse("--weights and --network exclude each other; weights know their network")
    settings = StyleSettings(
        _names(content_layers),
        _names(style_layers),
        style_weight,
        tv_weight,
        steps,
        optimizer,
        preserve_colour,
        start,
        seed,
    )
    with progress("painting", unit="steps") as moved:
        done = stylize_image(
            content,
            style,
            weights or network,
            settings=settings,
            size_px=size,
            progress=lambda step: _tell(moved, step, steps),
        )
    done.save(out)
    _say_layers(done.network, done.settings)
    if done.interrupted:
        say(f"interrupted after {done.steps} of {steps} steps; the best picture is in {out}")
        raise typer.Exit(130)
    say(f"wrote {out}: {done.picture.shape[1]}x{done.picture.shape[0]} px, loss {done.loss:.4g}")


def _check_destination(out: Path) -> None:
    from backbones.errors import NotFound
    from backbones.report.pictures import check_image_path

    check_image_path(out)
    if not out.resolve().parent.is_dir():
        raise NotFound(f"there is no folder {out.parent} to write {out.name} to; make it first")


def _say_layers(chosen: str, used: StyleSettings) -> None:
    say(f"{chosen}: content at {', '.join(used.content_layers)}; style at")
    say(f"  {', '.join(used.style_layers)}")


def _names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(name.strip() for each in given or () for name in each.split(",") if name.strip())


def _tell(moved: Moved, step: StyleStep, steps: int) -> None:
    height, width = step.picture.shape[2:]
    moved(step.step, steps, f"{width}x{height} px, loss {step.loss:.4g}")
