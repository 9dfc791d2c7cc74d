"""`backbones serve`: classifiers behind an address."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated

import typer

from backbones import signals
from backbones.cli.console import preparing, print_text
from backbones.cli.options import CheckedOptions, QuietOptions, complete_weights
from backbones.errors import WrongUse

LIMITS, ACCESS = "Limits", "Access"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="CLASSIFIER",
        help="A run folder, a bundle or an id of weights; NAME=CLASSIFIER says what to call it.",
        autocompletion=complete_weights,
    ),
]


@dataclass(frozen=True)
class AccessOptions:
    """Who reaches the server, and how."""

    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Listen here; 0.0.0.0 lets other machines in.",
            rich_help_panel=ACCESS,
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes a free one.", rich_help_panel=ACCESS)
    ] = 8000
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Bearer token that clients must send; BACKBONES_TOKEN keeps it out of `ps`.",
            rich_help_panel=ACCESS,
        ),
    ] = None
    admin: Annotated[
        bool,
        typer.Option("--admin", help="Let clients load and unload models.", rich_help_panel=ACCESS),
    ] = False


@dataclass(frozen=True)
class LimitOptions:
    """How much work the server takes."""

    max_queue_ms: Annotated[
        float,
        typer.Option(
            metavar="MS",
            help="Predicted wait beyond which requests get 503.",
            rich_help_panel=LIMITS,
        ),
    ] = 500.0
    max_body: Annotated[
        str, typer.Option(metavar="SIZE", help="Largest request body.", rich_help_panel=LIMITS)
    ] = "20MB"
    max_pixels: Annotated[
        str, typer.Option(metavar="COUNT", help="Largest image.", rich_help_panel=LIMITS)
    ] = "100M"
    drain: Annotated[
        float,
        typer.Option(
            metavar="S", help="Time for requests in flight after SIGTERM.", rich_help_panel=LIMITS
        ),
    ] = 5.0
    workers: Annotated[
        str,
        typer.Option(
            metavar="N", help="Threads that decode; auto is one a core.", rich_help_panel=LIMITS
        ),
    ] = "auto"


def serve(
    classifiers: Models,
    *,
    access: AccessOptions,
    limits: LimitOptions,
    compute: CheckedOptions,
    output: QuietOptions,
) -> None:
    """Serve classifiers over HTTP.

    Their answers are those of `predict`. The first line of standard output is the address; the log
    goes to standard error. SIGTERM and Ctrl-C let requests in flight end; SIGHUP loads the models
    again.

    Examples:
        backbones serve runs/photos
        backbones serve vgg=vgg16.tv_in1k small=runs/demo --port 0
    """
    import backbones

    workers = limits.workers
    if workers != "auto" and not workers.isdecimal():
        raise WrongUse(f"--workers is {workers!r}, expected auto or a number")
    options = backbones.ServerOptions(
        host=access.host,
        port=access.port,
        token=access.token or os.environ.get("BACKBONES_TOKEN") or None,
        admin=access.admin,
        max_queue_ms=limits.max_queue_ms,
        max_body=amount(limits.max_body, "--max-body"),
        max_pixels=amount(limits.max_pixels, "--max-pixels"),
        drain_s=limits.drain,
        workers=None if workers == "auto" else int(workers),
    )
    backbones.keep_large_buffers()
    with ExitStack() as loading:
        bars = loading.enter_context(preparing())

        def say_where(address: str) -> None:
            loading.close()
            print_text(f"serving on {address}")
            sys.stdout.flush()

        backbones.serve(
            classifiers,
            options,
            opener=partial(backbones.open, downloading=bars.downloading, **asdict(compute)),
            started=say_where,
        )
    signals.leave(0)


def amount(text: str, option: str) -> int:
    """A number with a unit.

    Raises:
        WrongUse: it is none.

    Example:
        >>> amount("20MB", "--max-body"), amount("1.5k", "--max-body")
        (20000000, 1500)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)B?", text.strip().upper())
    if not found or not float(found[1]):
        raise WrongUse(f"{option} is {text!r}, expected a size such as 20MB")
    return int(float(found[1]) * _UNITS[found[2]])
