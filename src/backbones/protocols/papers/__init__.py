"""The papers' protocols with what they printed, a file a family of networks.

Only results are here that were read in the paper, or in its authors' code and notes; those that
are known from other people's summaries alone are left out, and the row says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from backbones import catalog
from backbones.protocols.row import PrintedResult, Protocol, ShorterSide
from backbones.spec import Citation

__all__ = [
    "ILSVRC_TEST",
    "ILSVRC_VAL",
    "PrintedResult",
    "Protocol",
    "cite",
    "dense",
    "results",
    "ten_crop",
]

ILSVRC_VAL = "ILSVRC-2012 val"
ILSVRC_TEST = "ILSVRC-2012 test"

# AlexNet's ten crops of the centre 256 x 256.
ten_crop = partial(
    Protocol,
    resize=(ShorterSide(px=256),),
    region="square",
    views="corners_and_centre",
    mirrored=True,
)
# The network is read as convolutions, over the whole image and its mirror image.
dense = partial(Protocol, region="whole", views="whole", mirrored=True, scoring="dense")


def cite(family: str, where: str) -> Citation:
    """A section or table of the paper that a family of networks comes from."""
    found = next(each for each in catalog.families() if each.name == family).citation
    return replace(found, where=f"{found.where}, {where}")


def results(
    rows: tuple[tuple[str, float | None, float | None], ...],
    where: str,
    *,
    data: str = ILSVRC_VAL,
    num_models: int = 1,
    paper: str = "",
) -> tuple[PrintedResult, ...]:
    """One table of a paper: (network, top-1 error, top-5 error) a line, in percent."""
    return tuple(
        PrintedResult(network, data, top1, top5, where, num_models, paper)
        for network, top1, top5 in rows
    )
