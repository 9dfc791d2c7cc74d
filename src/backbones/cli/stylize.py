"""`backbones stylize`: one image in the style of another."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backbones.cli.console import BarCallback, print_json, progress, say
from backbones.cli.options import ComputeOptions, OutputOptions

if TYPE_CHECKING:
    from backbones.features.style import StyleSettings, StyleStep
    from backbones.workflows.stylization import Stylized

Layers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Such as relu4_2, or a module path; repeatable, or with commas."
    ),
]


@dataclass(frozen=True)
class StyleOptions:
    """The fields of `backbones.StyleSettings`."""

    content_layers: Layers = None
    style_layers: Layers = None
    style_weight: Annotated[
        float, typer.Option(metavar="X", help="Style weight; the content weight is 1.")
    ] = 300.0
    tv_weight: Annotated[
        float, typer.Option(metavar="X", help="Total variation weight; more is smoother.")
    ] = 1.0
    steps: Annotated[
        int, typer.Option(metavar="N", help="Number of optimizer steps, over all sizes.")
    ] = 300
    optimizer: Annotated[Literal["lbfgs", "adam"], typer.Option(help="Optimizer.")] = "lbfgs"
    preserve_colour: Annotated[
        bool, typer.Option("--preserve-colour", help="Keep the content's colours.")
    ] = False
    start: Annotated[
        Literal["content", "noise"], typer.Option(help="Start from the content or from noise.")
    ] = "content"
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the noise.")] = 0

    def settings(self) -> StyleSettings:
        """What they say; layers may be named with commas between them."""
        from backbones import StyleSettings

        layers = {"content_layers": self.content_layers, "style_layers": self.style_layers}
        named = {name: _names(given) for name, given in layers.items()}
        return StyleSettings(**{**asdict(self), **named})


def stylize(
    content: Annotated[Path, typer.Argument(metavar="CONTENT", help="The image to change.")],
    style: Annotated[Path, typer.Argument(metavar="STYLE", help="The image with the style.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".png, .jpg or .webp.")],
    weights: Annotated[
        str | None,
        typer.Option(metavar="CLASSIFIER", help="Default: the best weights on this machine."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A network whose weights are here.")
    ] = None,
    size: Annotated[int, typer.Option(metavar="PX", help="Longer side of the result.")] = 384,
    *,
    wanted: StyleOptions,
    compute: ComputeOptions,
    output: OutputOptions,
) -> None:
    """Render an image in the style of another.

    Works with any network; VGG-19 does best (`backbones weights get vgg19.tv_in1k`). Ctrl-C stops
    early and saves the best image so far.

    Examples:
        backbones stylize photo.jpg starry_night.jpg -o night.png --size 512
    """
    from backbones import stylize as stylize_image
    from backbones.errors import WrongUse

    _check_destination(out)
    if weights and model:
        raise WrongUse("--weights and --model exclude each other; weights know their network")
    with progress("stylizing", unit="steps") as moved:
        done = stylize_image(
            content,
            style,
            weights or model,
            settings=wanted.settings(),
            size_px=size,
            **asdict(compute),
            progress=lambda step: _tell(moved, step, wanted.steps),
        )
    done.save(out)
    _say_layers(done.network, done.settings)
    if output.json:
        print_json(_as_json(done, out))
    if done.interrupted:
        say(f"interrupted after {done.steps} of {wanted.steps} steps; the best image is in {out}")
        raise typer.Exit(130)
    say(f"wrote {out}: {done.image.shape[1]}x{done.image.shape[0]} px, loss {done.loss:.4g}")


def _as_json(done: Stylized, out: Path) -> dict[str, Any]:
    height, width = done.image.shape[:2]
    return {
        "out": str(out),
        "weights": done.network,
        "width": width,
        "height": height,
        "steps": done.steps,
        "loss": done.loss,
        "interrupted": done.interrupted,
        **done.compute.to_json(),
        "content_layers": list(done.settings.content_layers),
        "style_layers": list(done.settings.style_layers),
    }


def _check_destination(out: Path) -> None:
    from backbones.errors import NotFound
    from backbones.report.images import check_image_path

    check_image_path(out)
    if not out.resolve().parent.is_dir():
        raise NotFound(f"there is no folder {out.parent} to write {out.name} to; make it first")


def _say_layers(chosen: str, used: StyleSettings) -> None:
    say(f"{chosen}: content at {', '.join(used.content_layers)}; style at")
    say(f"  {', '.join(used.style_layers)}")


def _names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(name.strip() for each in given or () for name in each.split(",") if name.strip())


def _tell(moved: BarCallback, step: StyleStep, steps: int) -> None:
    height, width = step.image.shape[2:]
    moved(step.step, steps, f"{width}x{height} px, loss {step.loss:.4g}")
