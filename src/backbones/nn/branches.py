"""Inception modules as their papers draw them: parallel chains, written as text.

A line is a branch, `name: step > step > ...`. A step is a window with its maps: `3x3 96`, `1x7 192`
(height x width), `3x3/2 V 384`. `avg` and `max` pool over 3x3. `/2` is the stride. `V` is a window
without padding ("valid" in the papers); any other is padded by half a window on each side. A chain
may end in a fork, `1x3 384 + 3x1 384`: both see the step before and count among the module's maps.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from backbones.nn.conv import ConvNormAct

_STEP = re.compile(r"(?:(avg|max)|(\d+)x(\d+))(?:/(\d+))?( V)?(?: (\d+))?")
POOL_PX = 3


def step(in_channels: int, text: str, *, count_padding: bool = False) -> tuple[nn.Module, int]:
    """One step of a chain.

    Args:
        in_channels: that it sees.
        text: such as "3x3/2 V 32" or "max/2 V".
        count_padding: average pooling at the edge divides by the whole window.

    Returns:
        The layer (a `ConvNormAct` or a pooling) and its maps.

    Raises:
        ValueError: the text is not a step.

    Example:
        >>> step(3, "3x3/2 V 32")[1]
        32
    """
    read = _STEP.fullmatch(text.strip())
    if read is None or (read[1] is None) != (read[6] is not None):
        raise ValueError(f"{text!r} is not a step such as '1x7 192' or 'max/2 V'")
    stride = int(read[4] or 1)
    if read[1] is not None:
        padding = 0 if read[5] else POOL_PX // 2
        if read[1] == "max":
            return nn.MaxPool2d(POOL_PX, stride, padding), in_channels
        average = nn.AvgPool2d(POOL_PX, stride, padding, count_include_pad=count_padding)
        return average, in_channels
    kernel, maps = (int(read[2]), int(read[3])), int(read[6])
    around = (0, 0) if read[5] else (kernel[0] // 2, kernel[1] // 2)
    return ConvNormAct(in_channels, maps, kernel, stride=stride, padding=around), maps


class Branches(nn.Module):
    """Parallel chains whose maps are concatenated in the order of the lines.

    Args:
        in_channels: that every branch sees.
        text: a line a branch; see the head of this file.
        numbers_from: None makes a chain a `Sequential`, so that parameters are named
            `branch1.0.conv.weight` (a forked one `branch1_0`, `branch1_1a`, `branch1_1b`). 1 puts
            all layers side by side and counts the convolutions: `branch5x5_1`, `branch5x5_2`, or
            just `branch1x1` where there is one.
        count_padding: average pooling at the edge divides by the whole window.

    Shapes: (N, in_channels, H, W) -> (N, self.maps, H', W').

    Raises:
        ValueError: a step that cannot be read.

    Example:
        >>> Branches(192, "one: 1x1 64\\ntwo: 1x1 96 > 3x3 128\\npool: max > 1x1 32").maps
        224
    """

    def __init__(
        self,
        in_channels: int,
        text: str,
        *,
        numbers_from: int | None = None,
        count_padding: bool = False,
    ) -> None:
        super().__init__()
        self.maps = 0
        chains: list[tuple[tuple[str, ...], ...]] = []
        for line in text.strip().splitlines():
            name, _, chain = line.partition(":")
            layers, maps = _layers(in_channels, chain, count_padding)
            forks = len(layers[-1]) > 1
            if numbers_from is None and not forks:
                chains.append(self._add_nested(name.strip(), layers))
            else:
                chains.append(self._add_side_by_side(name.strip(), layers, numbers_from or 0))
            self.maps += maps
        self._chains = tuple(chains)

    def _add_nested(self, name: str, layers: list[list[nn.Module]]) -> tuple[tuple[str, ...], ...]:
        chain = [layer for (layer,) in layers]
        self.add_module(name, chain[0] if len(chain) == 1 else nn.Sequential(*chain))
        return ((name,),)

    def _add_side_by_side(
        self, name: str, layers: list[list[nn.Module]], first: int
    ) -> tuple[tuple[str, ...], ...]:
        convolutions = sum(isinstance(fork[0], ConvNormAct) for fork in layers)
        number = first
        chain = []
        for fork in layers:
            if isinstance(fork[0], ConvNormAct):
                stem = name if convolutions == 1 else f"{name}_{number}"
                number += 1
            else:
                stem = f"{name}_window" if convolutions else name
            letters = "abcdefgh" if len(fork) > 1 else ("",)
            names = tuple(f"{stem}{letter}" for letter, _ in zip(letters, fork, strict=False))
            for path, layer in zip(names, fork, strict=True):
                self.add_module(path, layer)
            chain.append(names)
        return tuple(chain)

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        for chain in self._chains:
            maps = x
            for (name,) in chain[:-1]:
                maps = getattr(self, name)(maps)
            found += [getattr(self, name)(maps) for name in chain[-1]]
        return torch.cat(found, 1)


def _layers(in_channels: int, chain: str, count_padding: bool) -> tuple[list[list[nn.Module]], int]:
    """The steps of a chain, each a list of one layer or, at a fork, of several; and the maps."""
    layers: list[list[nn.Module]] = []
    maps = in_channels
    for text in chain.split(">"):
        forks = [step(maps, part, count_padding=count_padding) for part in text.split("+")]
        layers.append([layer for layer, _ in forks])
        maps = sum(width for _, width in forks)
    return layers, maps


def module(
    in_channels: int, text: str, *, numbers_from: int | None = None, count_padding: bool = False
) -> tuple[nn.Module, int]:
    """A line of a network's table: one step, or branches where the text names them.

    Returns:
        The module and its maps.
    """
    if ":" not in text:
        return step(in_channels, text, count_padding=count_padding)
    branches = Branches(in_channels, text, numbers_from=numbers_from, count_padding=count_padding)
    return branches, branches.maps
