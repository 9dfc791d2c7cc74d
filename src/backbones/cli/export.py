"""`backbones export`: a network for other runtimes, with the proof that it answers alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from backbones.cli.console import preparing, print_json, print_text, say
from backbones.cli.options import OutputOptions, complete_weights
from backbones.errors import WrongUse
from backbones.units import human_bytes

VERIFY = "Verify"


@dataclass(frozen=True)
class FormOptions:
    """What is written, and what it takes."""

    to: Annotated[
        Literal["onnx", "openvino", "pt2", "litert"],
        typer.Option(
            help="A file for ONNX Runtime and others, a folder, a file for PyTorch or for phones."
        ),
    ] = "onnx"
    layout: Annotated[
        Literal["image", "tensor"],
        typer.Option(help="Take whole images of any size, or crops that were made outside."),
    ] = "image"
    dtype: Annotated[
        Literal["float32", "uint8"] | None,
        typer.Option(help="Of a tensor: normalised outside (default), or inside."),
    ] = None
    dense: Annotated[
        bool, typer.Option("--dense", help="Leave height and width free, and give score maps.")
    ] = False
    precision: Annotated[
        Literal["fp32", "int8"],
        typer.Option(help="Of the weights and the arithmetic; int8 as `backbones quantize` does."),
    ] = "fp32"
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Of int8: images to calibrate and to judge it on."),
    ] = None


@dataclass(frozen=True)
class VerifyOptions:
    """How an exported file is held to the proof again."""

    against: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Let this bundle answer anew, in place of its answers in FILE.",
            rich_help_panel=VERIFY,
        ),
    ] = None
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Read a .pt2 file, which can run code.", rich_help_panel=VERIFY
        ),
    ] = False


def export(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="A run folder, a bundle or an id of weights; or the word verify.",
            autocompletion=complete_weights,
        ),
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Behind verify: an exported file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="OUT", help="The file, or OpenVINO's folder."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page of the proof's images and figures here."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Hold the file to these images too, up to 32 of them, evenly chosen.",
        ),
    ] = None,
    *,
    form: FormOptions,
    verify: VerifyOptions,
    output: OutputOptions,
) -> None:
    """Write a network for other runtimes, with proof.

    The file takes images as people have them and prepares them inside. Before it is written, the
    same images go through PyTorch and through every runtime that reads it; where pixels, logits or
    classes differ, nothing is written. Such a file works wherever a bundle does.

    Examples:
        backbones export runs/demo -o digits.onnx
        backbones export resnet50.tv_in1k --to openvino -o resnet50
        backbones export runs/demo -o digits.onnx --images photos
        backbones export runs/demo --to openvino --precision int8 --data digits -o x
        backbones export verify digits.onnx
    """
    import backbones

    with preparing() as bars:
        if bundle == "verify":
            if file is None or out is not None:
                raise WrongUse("verify wants one exported file: backbones export verify FILE")
            done = backbones.verify_export(
                file, images=images, **vars(verify), downloading=bars.downloading
            )
        else:
            path = _place(file, out, verify)
            done = backbones.export(
                bundle,
                path,
                images=images,
                **vars(form),
                staged=bars.stage,
                downloading=bars.downloading,
            )
            say(f"wrote {done.file} ({human_bytes(done.bytes)})")
    if report is not None:
        backbones.write_export_report(done, report)
        say(f"the proof is on {report}")
    if output.json:
        print_json(done.to_json())
    else:
        print_text(done.to_text())


def _place(file: Path | None, out: Path | None, verify: VerifyOptions) -> Path:
    """Where to write; what belongs to the other verb is told."""
    if file is not None:
        raise WrongUse(f"{file} is one argument too many; name the file to write with -o")
    if verify != VerifyOptions():
        raise WrongUse("--against and --trust belong to verify: backbones export verify FILE")
    if out is None:
        raise WrongUse("name the file to write with -o, such as -o model.onnx")
    return out
