"""The costs that papers print, and what each of them counted: not all count what we count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backbones.inspection.trace import Layer
from backbones.units import human_count

Counted = Literal["convolutions", "all"]
_CONVENTION: dict[Counted, str] = {
    "convolutions": "counts convolutions only",
    "all": "counts convolutions and fully connected layers, as here",
}


@dataclass(frozen=True)
class PrintedCost:
    """A cost that a paper prints for a network.

    Args:
        figure: as printed, in operations.
        counted: what the paper's figure holds.
        source: of the figure.
        note: what else differs.
    """

    figure: float
    counted: Counted
    source: str
    note: str = ""

    def recount(self, layers: Sequence[Layer]) -> int:
        """Our count by the paper's convention."""
        if self.counted == "convolutions":
            return sum(layer.macs for layer in layers if "Conv" in layer.kind)
        return sum(layer.macs for layer in layers)

    def explain(self, layers: Sequence[Layer]) -> str:
        """One line: what is printed where, what it counts, and our count of the same."""
        note = f"; {self.note}" if self.note else ""
        return (
            f"{human_count(self.figure)} [{self.source}] {_CONVENTION[self.counted]}"
            f" ({human_count(self.recount(layers), 2)} here){note}"
        )


_RESNET = "He et al. 2015, arXiv:1512.03385"
_EFFICIENT = "Tan & Le 2019, arXiv:1905.11946, Table 2"
_UNKNOWN = "what else the authors left out is not printed"
_V1 = "the paper strides in the 1x1 convolution, as `{}` does; this network in the 3x3"

PRINTED: dict[str, tuple[PrintedCost, ...]] = {
    "vgg16": (PrintedCost(15.3e9, "convolutions", f"{_RESNET}, figure 3 and Table 1"),),
    "vgg19": (PrintedCost(19.6e9, "all", f"{_RESNET}, figure 3"),),
    "resnet18": (PrintedCost(1.8e9, "all", f"{_RESNET}, Table 1"),),
    "resnet34_a": (PrintedCost(3.6e9, "all", f"{_RESNET}, Table 1"),),
    **{
        f"resnet{depth}_v1": (PrintedCost(figure, "all", f"{_RESNET}, Table 1"),)
        for depth, figure in ((50, 3.8e9), (101, 7.6e9), (152, 11.3e9))
    },
    **{
        f"resnet{depth}": (
            PrintedCost(figure, "all", f"{_RESNET}, Table 1", _V1.format(f"resnet{depth}_v1")),
        )
        for depth, figure in ((50, 3.8e9), (101, 7.6e9), (152, 11.3e9))
    },
    **{
        f"efficientnet_b{number}": (
            PrintedCost(figure, "all", _EFFICIENT, _UNKNOWN if number in (1, 4, 5, 7) else ""),
        )
        for number, figure in enumerate((0.39e9, 0.70e9, 1.0e9, 1.8e9, 4.2e9, 9.9e9, 19e9, 37e9))
    },
}
