"""The arguments and options that several verbs share: one word, one meaning, one help text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from backbones.cli.console import be_quiet
from backbones.errors import WrongUse
from backbones.language import speak


def forbid_downloads(wanted: bool) -> bool:
    """Forbid downloads for the rest of this process."""
    if wanted:
        os.environ["BACKBONES_OFFLINE"] = "--offline"  # what a message calls it
    return wanted


def say_no_more(wanted: bool) -> bool:
    """Leave out progress bars and notes for the rest of this process."""
    if wanted:
        be_quiet()
    return wanted


def speak_it(lang: str) -> str:
    """Write pages, charts and reports in this language too."""
    speak(lang)
    return lang


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """What `--input` says.

    Raises:
        WrongUse: it is not a shape.
    """
    if text is None:
        return None
    try:
        return tuple(int(side) for side in text.replace("x", ",").split(","))
    except ValueError:
        raise WrongUse(f"--input is {text!r}, expected C,H,W such as 3,224,224") from None


def complete_networks(incomplete: str) -> list[str]:
    """The names of networks that a shell offers."""
    from backbones import names

    return [name for name in names() if name.startswith(incomplete)]


def complete_weights(incomplete: str) -> list[str]:
    """The ids of weights that a shell offers, beside files."""
    from backbones import published_weights, shipped_weights

    known = (*shipped_weights(), *(row.id for row in published_weights("*")))
    return [name for name in known if name.startswith(incomplete)] if incomplete else []


def complete_recipes(incomplete: str) -> list[str]:
    """The names of recipes that a shell offers, beside files."""
    from backbones import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


def complete_protocols(incomplete: str) -> list[str]:
    """The names of protocols that a shell offers, beside files."""
    from backbones import protocol_names

    return [name for name in protocol_names() if name.startswith(incomplete)]


# what a verb works on
Network = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        help="A network's name, a bundle, or code that makes a module: FILE.py:FUNCTION.",
        autocompletion=complete_networks,
    ),
]
Classifier = Annotated[
    str,
    typer.Argument(
        metavar="CLASSIFIER",
        help="A run folder, a bundle, an id of weights, a weight file, or a folder of folds.",
        autocompletion=complete_weights,
    ),
]
Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Images, folders, patterns, zip or tar files; - reads standard input.",
    ),
]
Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A folder, a manifest or the name of a data set.")
]
MaybeData = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="A folder, a manifest or the name of a data set."),
]

# training
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Change a field of the recipe (`backbones recipe dump` shows all); repeatable.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Length of the training; sets length.")
]
LearningRate = Annotated[
    float | None, typer.Option("--lr", metavar="X", help="Learning rate; sets optimizer.lr.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Seed of everything random; sets seed.")
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How DATA is laid out, where looking does not tell: manifest, class-folders,"
        " split-folders, splits-in-classes, flat-folder, ...",
    ),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX", help="Its first group, in an image's path below DATA, is the class."
    ),
]

# computing and printing
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        "-b",
        min=1,
        metavar="N",
        help="Images in a batch; by default as many as suit their size.",
    ),
]
BatchTotal = Annotated[
    int,
    typer.Option(
        "--batch-size", "-b", min=1, metavar="N", help="Batch size; costs are batch totals."
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option("--input", metavar="C,H,W", help="Shape of one image; default: the network's."),
]

Top = Annotated[int, typer.Option(min=1, metavar="K", help="Classes to report for each image.")]
Language = Annotated[
    Literal["en", "zh", "both"],
    typer.Option(
        "--lang",
        callback=speak_it,
        help="Class names in English, Chinese or both, where they are known; with zh, pages,"
        " charts and reports are Chinese too.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a Markdown table.")]
Smoke = Annotated[bool, typer.Option("--smoke", help="A few steps only, to see it work.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", callback=say_no_more, help="Print results and errors only, no progress."
    ),
]


MANY = "Many machines"


# groups of options: see `cli.command.with_groups`
@dataclass(frozen=True)
class ComputeOptions:
    """Where and how to compute; a keyword of `backbones.open` and of the other verbs each."""

    device: Annotated[
        str,
        typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps; auto is the fastest."),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "exact", "fp32", "bf16", "int8"],
        typer.Option(
            help="Of the arithmetic; exact is fp32, bf16 is faster where there are units. auto"
            " takes that as far as its answers agree with fp32; int8 needs what `quantize` leaves."
        ),
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="CPU threads of one operation; default: all cores."),
    ] = None


@dataclass(frozen=True)
class AnswerOptions(ComputeOptions):
    """The same of verbs that only answer, which other engines than torch can do."""

    engine: Annotated[
        Literal["auto", "torch", "openvino", "onnxruntime"],
        typer.Option(help="What computes; `backbones engines` says what is here."),
    ] = "auto"


@dataclass(frozen=True)
class CheckedOptions(AnswerOptions):
    """The same of verbs that name classes, which can be compared with exact ones."""

    agree: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="With --precision auto: the share of first classes that must be those of fp32,"
            " such as 0.999.",
        ),
    ] = None


@dataclass(frozen=True)
class ClusterOptions:
    """Who does the work, where that is not this process."""

    cluster: Annotated[
        Literal["ray"] | None,
        typer.Option(help="Have a Ray cluster do the work.", rich_help_panel=MANY),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the cluster: auto (default), local, or ray://HOST:PORT.",
            rich_help_panel=MANY,
        ),
    ] = None

    def refuse_lone_address(self) -> None:
        """Refuse an address of no cluster.

        Raises:
            WrongUse: it is one.
        """
        if self.address is not None and self.cluster is None:
            raise WrongUse("--address is of a cluster; say --cluster ray")

    @property
    def place_of_work(self) -> dict[str, str | None]:
        """`cluster` and `address`, as the verbs take them."""
        return {"cluster": self.cluster, "address": self.address or "auto"}


@dataclass(frozen=True)
class RecipeOptions:
    """What a training is: a keyword of `backbones.train` each."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Network, see `backbones list`; default: the recipe's own.",
            autocompletion=complete_networks,
        ),
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="See `backbones list recipes`. Default: finetune with --weights, digits and"
            " fashion for these data sets, scratch with --model alone, else finetune, or"
            " scratch_photos where no weights can be had.",
            autocompletion=complete_recipes,
        ),
    ] = None
    settings: Settings = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", "-b", min=1, metavar="N", help="Images a step; sets batch_size."
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="PX", help="Side of the square that the network sees; sets input.size."
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="CLASSIFIER",
            help="Start from these: an id of weights, a bundle, a run folder or a weight file.",
            autocompletion=complete_weights,
        ),
    ] = None
    layout: Layout = None
    label_pattern: LabelPattern = None


@dataclass(frozen=True)
class QuietOptions:
    """Whether a verb may download, and whether it says how it goes; their callbacks see to that."""

    offline: Annotated[
        bool, typer.Option("--offline", callback=forbid_downloads, help="Download nothing.")
    ] = False
    quiet: Quiet = False


@dataclass(frozen=True)
class OutputOptions(QuietOptions):
    """The same, and whether the result is for a program."""

    json: Json = False
