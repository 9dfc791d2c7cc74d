"""The options of `predict` that divide the work among workers, and what they leave."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.cli.console import progress, say, warn
from backbones.cli.options import MANY, ClusterOptions
from backbones.errors import WrongUse

if TYPE_CHECKING:
    from backbones.cluster.parts import Manifest

_SHARDS = (".zip", ".tar", ".tgz", ".gz", ".tbz2", ".bz2", ".txz", ".xz", ".parquet")


@dataclass(frozen=True)
class PartsOptions(ClusterOptions):
    """What the options say of many workers; a field for each."""

    share: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only the I-th of every N shards, counted from 1: for a scheduler's array.",
            rich_help_panel=MANY,
        ),
    ] = None

    def wanted(self, out: str | None, images: Sequence[str]) -> bool:
        """Whether parts in a folder are meant, and not one file.

        Raises:
            WrongUse: many workers and no folder, or an address of no cluster.
        """
        self.refuse_lone_address()
        many = [name for name in ("share", "cluster") if getattr(self, name) is not None]
        if out is None:
            if many:
                raise WrongUse(f"--{many[0]} is for parts in a folder; name it with --out")
            return False
        if many:
            return True
        shards = all(image.lower().endswith(_SHARDS) for image in images)
        named = out.endswith(("/", os.sep)) or "://" in out or os.path.isdir(out)
        return named or (shards and not Path(out).suffix)

    @property
    def keywords(self) -> dict[str, Any]:
        """Of `backbones.predict_parts`.

        Raises:
            WrongUse: --share is no share.
        """
        return {"share": self._place, **self.place_of_work}

    @property
    def _place(self) -> tuple[int, int] | None:
        """What --share says."""
        if self.share is None:
            return None
        found = re.fullmatch(r"(\d+)/(\d+)", self.share)
        if found is None:
            raise WrongUse(f"--share is {self.share!r}, expected I/N such as 1/8")
        return int(found[1]), int(found[2])


def write_parts(networks: Any, images: Sequence[str], out: str, options: dict[str, Any]) -> None:
    """Write the parts that are missing, and say what all of them hold.

    Args:
        networks, images, out, options: as of `backbones.predict_parts`.
    """
    from backbones import predict_parts

    with progress("predicting", unit="shards") as report_progress:
        manifest = predict_parts(networks, images, out, progress=report_progress, **options)
    if manifest is None:
        say(f"this share of the parts is in {out}; the worker that ends last writes manifest.json")
        return
    tell_parts(manifest, out)


def tell_parts(manifest: Manifest, out: str) -> None:
    """How much is there, and how much of it could not be read; exit code 1 if nothing could."""
    say(f"{manifest.rows:,} rows of {manifest.shards:,} shards are in {out}; see manifest.json")
    if manifest.errors:
        warn(f"{manifest.errors:,} of {manifest.rows:,} images could not be read; rows say why")
    if manifest.rows and manifest.errors == manifest.rows:
        raise typer.Exit(1)
