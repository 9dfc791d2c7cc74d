"""`--offline`, which every verb that may fetch weights understands."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def forbid_downloads(wanted: bool) -> bool:
    """Forbid downloads for the rest of this process."""
    if wanted:
        os.environ["BACKBONES_OFFLINE"] = "--offline"  # what a message calls it
    return wanted


Offline = Annotated[
    bool, typer.Option("--offline", callback=forbid_downloads, help="Download nothing.")
]
