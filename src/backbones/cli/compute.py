"""Open what a verb of the command line computes with."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from backbones.cli.options import ComputeOptions

if TYPE_CHECKING:
    from backbones.api.opening import Classifier
    from backbones.labels import Lang


def opened(what: str | list[str], lang: Lang, compute: ComputeOptions) -> Classifier:
    """Open a classifier with a bar for what is fetched, and say which classes have no names."""
    import backbones
    from backbones.cli.console import preparing, tell_nameless

    backbones.keep_large_buffers()
    with preparing() as bars:
        found = backbones.open(what, downloading=bars.downloading, **asdict(compute))
    tell_nameless(found.classes, lang)
    return found
