"""The networks, one family a file; `build` finds and makes one by its name."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from backbones import catalog
from backbones.errors import WrongUse
from backbones.nn.row import Row

__all__ = ["Row", "build", "find_row", "make", "network_of"]


def find_row(name: str) -> tuple[type[nn.Module], Row]:
    """The network class and the row of a variant.

    Raises:
        NotFound: no such variant; names the nearest.
    """
    family, name = catalog.resolve(name)
    module = importlib.import_module(family.module)
    rows: dict[str, Row] = {row.name: row for row in module.ROWS}
    return module.NETWORK, rows[name]


def network_of(row: Row) -> type[nn.Module]:
    """The network class that a row, also one made with `dataclasses.replace`, describes."""
    network: type[nn.Module] = importlib.import_module(type(row).__module__).NETWORK
    return network


def build(
    name: str | Row,
    num_classes: int | None = None,
    in_channels: int | None = None,
    seed: int | None = None,
) -> nn.Module:
    """Make a network with fresh weights, in training mode.

    Args:
        name: of the variant, such as "vgg16_bn"; or a row, such as a variant's with changed fields.
        num_classes: width of the output; the variant's own where None.
        in_channels: of the images; the variant's own where None.
        seed: of the initialisation; torch's global generator is neither used nor moved. Where it
            is None, the global generator is used.

    Raises:
        NotFound: no such variant; names the nearest.
        WrongUse: a number of classes or channels below 1.

    Example:
        >>> build("lenet5", num_classes=26, seed=0).num_classes
        26
    """
    network_type, row = find_row(name) if isinstance(name, str) else (network_of(name), name)
    for what, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if value is not None and value < 1:
            raise WrongUse(f"{what} is {value}, expected at least 1")
    if seed is None:
        return make(network_type, row, num_classes, in_channels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
        return make(network_type, row, num_classes, in_channels)


def make(
    network_type: type[nn.Module],
    row: Row,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """Call a family's constructor, which the row's type alone cannot name."""
    constructor: Any = network_type
    network: nn.Module = constructor(row, num_classes, in_channels)
    return network
