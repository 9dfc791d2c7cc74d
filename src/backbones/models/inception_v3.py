"""Inception v3: large windows taken apart into small ones.

The paper gave rules for widening a network at little cost, above all to factor n x n convolutions
into smaller or asymmetric ones (1x7 then 7x1), and introduced label smoothing.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, Rethinking the Inception Architecture for Computer
Vision, arXiv:1512.00567. Here: Table 1 (the outline), Figures 5 to 7 and 10 (the modules), section
4 (the auxiliary head). The paper doesn't print the widths of the branches; those here are of the
network that the authors released.

Deviations, each a field of the row: `layers`, `dropout`, `count_padding`, `auxiliary_after`.

Shapes: N images, C channels, H x W px; features are (N, maps, h, w) with 8 px for the row's 299,
logits (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from backbones.nn.auxiliary import WithAuxiliary
from backbones.nn.branches import module
from backbones.nn.conv import ConvNormAct
from backbones.nn.images import check_images
from backbones.nn.init import truncated_gaussian, truncated_he
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Szegedy, Vanhoucke, Ioffe, Shlens & Wojna",
    "Rethinking the Inception Architecture for Computer Vision",
    2015,
    "arXiv:1512.00567",
)
FAMILY = Family(
    "inception_v3",
    "Inception v3",
    PAPER,
    "large windows taken apart into small and asymmetric ones",
)


def figure_5(pool: int) -> str:
    """35x35: two 3x3 where there was a 5x5, in one of the two branches that had one."""
    return f"""
branch1x1:    1x1 64
branch5x5:    1x1 48 > 5x5 64
branch3x3dbl: 1x1 64 > 3x3 96 > 3x3 96
branch_pool:  avg > 1x1 {pool}"""


def figure_6(n: int) -> str:
    """17x17: 7x7 as 1x7 and 7x1, once and twice."""
    return f"""
branch1x1:    1x1 192
branch7x7:    1x1 {n} > 1x7 {n} > 7x1 192
branch7x7dbl: 1x1 {n} > 7x1 {n} > 1x7 {n} > 7x1 {n} > 1x7 192
branch_pool:  avg > 1x1 192"""


# 8x8: wide rather than deep, so that the last maps are many and different.
FIGURE_7 = """
branch1x1:    1x1 320
branch3x3:    1x1 384 > 1x3 384 + 3x1 384
branch3x3dbl: 1x1 448 > 3x3 384 > 1x3 384 + 3x1 384
branch_pool:  avg > 1x1 192"""

# Figure 10: halve the map by convolution and by pooling side by side.
REDUCTION_35 = """
branch3x3:    3x3/2 V 384
branch3x3dbl: 1x1 64 > 3x3 96 > 3x3/2 V 96
branch_pool:  max/2 V"""
REDUCTION_17 = """
branch3x3:    1x1 192 > 3x3/2 V 320
branch7x7x3:  1x1 192 > 1x7 192 > 7x1 192 > 3x3/2 V 192
branch_pool:  max/2 V"""

RELEASED = (
    ("Conv2d_1a_3x3", "3x3/2 V 32"),
    ("Conv2d_2a_3x3", "3x3 V 32"),
    ("Conv2d_2b_3x3", "3x3 64"),
    ("maxpool1", "max/2 V"),
    ("Conv2d_3b_1x1", "1x1 V 80"),
    ("Conv2d_4a_3x3", "3x3 V 192"),
    ("maxpool2", "max/2 V"),
    ("Mixed_5b", figure_5(32)),
    ("Mixed_5c", figure_5(64)),
    ("Mixed_5d", figure_5(64)),
    ("Mixed_6a", REDUCTION_35),
    ("Mixed_6b", figure_6(128)),
    ("Mixed_6c", figure_6(160)),
    ("Mixed_6d", figure_6(160)),
    ("Mixed_6e", figure_6(192)),
    ("Mixed_7a", REDUCTION_17),
    ("Mixed_7b", FIGURE_7),
    ("Mixed_7c", FIGURE_7),
)
TINY = (  # ours, for tests: one module of each kind
    ("Conv2d_1a_3x3", "3x3 V 8"),
    ("Mixed_5b", "branch1x1: 1x1 8\nbranch3x3dbl: 1x1 8 > 3x3 8 > 3x3 8\nbranch_pool: avg > 1x1 8"),
    ("Mixed_6a", "branch3x3: 3x3/2 V 8\nbranch_pool: max/2 V"),
    ("Mixed_6b", "branch1x1: 1x1 16\nbranch7x7: 1x1 8 > 1x7 8 > 7x1 16"),
    ("Mixed_7a", "branch3x3: 1x1 8 > 3x3/2 V 16\nbranch_pool: max/2 V"),
    ("Mixed_7b", "branch1x1: 1x1 16\nbranch3x3: 1x1 16 > 1x3 16 + 3x1 16"),
)


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "tensorflow/models, research/slim/nets/inception_v3.py; torchvision's inception_v3": {
        ("layers", RELEASED): (
            "after the first pooling 1x1, 3x3 and a pooling where Table 1 prints three 3x3"
            " convolutions; one branch of the 35x35 modules keeps a 5x5, unlike Figure 5; the"
            " first of the table's five 17x17 modules is the reduction"
        ),
    },
    "torchvision's inception_v3 with aux_logits=False; timm's inception_v3": {
        ("auxiliary_after", None): (
            "no auxiliary head; the paper's network has one on its last 17x17 map"
        ),
    },
    "torchvision's inception_v3": {
        ("count_padding", True): (
            "average pooling at the edge counts the padding as zeros; the released network divides"
            " by the pixels that there are"
        ),
        ("dropout", 0.5): (
            "half of the features are dropped; the released network drops a fifth, and the paper"
            " prints no figure"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class InceptionV3Row(Row):
    """One network of the Inception v3 kind.

    Args:
        layers: (name, text) from the image up; `nn.branches` says how the text reads.
        auxiliary_after: name of the layer whose maps the auxiliary head sees; None for no head.
        auxiliary_maps: of its two convolutions.
        auxiliary_weight: of its loss; the paper doesn't print it, TF-slim trains with 0.4.
        auxiliary_min_px: px, the smallest image that reaches the head; smaller ones can be
            classified and not trained on.
        count_padding: average pooling at the edge divides by the whole window of nine.
        dropout: in front of the last layer.
        min_px: px, the smallest image that leaves a map.
    """

    layers: tuple[tuple[str, str], ...]
    auxiliary_after: str | None = "Mixed_6e"
    auxiliary_maps: tuple[int, int] = (128, 768)
    auxiliary_weight: float = 0.4
    auxiliary_min_px: int = 299
    count_padding: bool = True
    dropout: float = 0.5
    input_px: int = 299
    min_px: int = 75
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


_V3 = InceptionV3Row(
    "inception_v3",
    "the released network with its auxiliary head",
    counted(
        27_161_264,
        5_713_216_096,
        "counted from the released network; the abstract prints 5 billion multiply-adds and less"
        " than 25 million parameters, which fits without the auxiliary head",
        inference_params=23_834_568,
    ),
    layers=RELEASED,
)
ROWS = (
    _V3,
    replace(
        _V3,
        name="inception_v3_noaux",
        summary="the released network without its auxiliary head",
        claims=counted(
            23_834_568,
            5_713_216_096,
            "counted from the released network",
            inference_params=23_834_568,
        ),
        auxiliary_after=None,
    ),
    InceptionV3Row(
        "inception_v3_tiny",
        "for tests: five narrow modules and an auxiliary head",
        counted(14_364, 2_359_360, "counted here", inference_params=10_754),
        layers=TINY,
        auxiliary_after="Mixed_5b",
        auxiliary_maps=(8, 16),
        auxiliary_min_px=19,
        num_classes=10,
        input_px=32,
        min_px=9,
    ),
)


class AuxiliaryHead(nn.Module):
    """A small classifier on the last 17x17 map.

    Args:
        in_channels: of the map.
        maps: of the 1x1 and of the 5x5 convolution.
        num_classes: width of the output.

    Shapes: (N, in_channels, h, w) with h, w >= 17 -> logits (N, num_classes).

    Reference: section 4 and Figure 8, whose caption says that its layers are batch-normalised.
    """

    def __init__(self, in_channels: int, maps: tuple[int, int], num_classes: int) -> None:
        super().__init__()
        self.conv0 = ConvNormAct(in_channels, maps[0], 1)
        self.conv1 = ConvNormAct(maps[0], maps[1], 5)
        self.fc = nn.Linear(maps[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv1(self.conv0(F.avg_pool2d(x, 5, 3)))
        logits: Tensor = self.fc(maps.mean(dim=(2, 3)))
        return logits


class InceptionV3(nn.Module):
    """An Inception v3.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes). In training
    mode, where the row has an auxiliary head: `WithAuxiliary`, and H, W >= row.auxiliary_min_px.

    Reference: Table 1. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = InceptionV3(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 32, 48)).auxiliary[0].shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: InceptionV3Row, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        self.heads: dict[str, str] = {}  # layer -> the auxiliary head on it
        maps = self.in_channels
        for name, text in row.layers:
            layer, maps = module(maps, text, numbers_from=1, count_padding=row.count_padding)
            self.add_module(name, layer)
            if name == row.auxiliary_after:
                self.heads[name] = "AuxLogits"
                self.AuxLogits = AuxiliaryHead(maps, row.auxiliary_maps, self.num_classes)
        self.dropout = nn.Dropout(row.dropout)
        self.fc = nn.Linear(maps, self.num_classes)
        initialise_as_released(self)

    figure_softmax = MappingProxyType({"": "softmax"})
    """What table 1 has behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The layers below the modules, the last module of each figure: (name, module path)."""
        figures = {"5": "5", "6a": "10 at 35 px", "6": "6", "7a": "10 at 17 px", "7": "7"}
        found = {}
        for name, _ in self.row.layers:
            kind, _, place = name.partition("_")
            figure = figures.get(place, figures[place[0]]) if kind == "Mixed" else ""
            found[f"Inception (figure {figure})" if figure else name] = name
        return (*found.items(), ("linear", "fc"))

    @property
    def cam_layer(self) -> str:
        """The last module, whose maps are averaged."""
        return self.row.layers[-1][0]

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, maps, h, w)."""
        for name, _ in self.row.layers:
            x = getattr(self, name)(x)
        return x

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.fc(self.dropout(f.mean(dim=(2, 3))))
        return logits

    def forward(self, x: Tensor) -> Tensor | WithAuxiliary:
        row = self.row
        if not self.training or row.auxiliary_after is None:
            check_images(x, row.name, self.in_channels, row.min_px)
            return self.head(self.features(x))
        who = f"{row.name}, in training with its auxiliary head,"
        check_images(x, who, self.in_channels, row.auxiliary_min_px)
        for name, _ in row.layers:
            x = getattr(self, name)(x)
            if name == row.auxiliary_after:
                auxiliary = self.AuxLogits(x)
        return WithAuxiliary(self.head(x), (auxiliary,), row.auxiliary_weight)


def initialise_as_released(network: InceptionV3) -> None:
    """TF-slim's inception_v3.py, for the paper is silent: truncated normals.

    He's variance; in the auxiliary head 0.01 for the 5x5 and 0.001 for the last layer.
    """
    small = {"AuxLogits.conv1.conv": 0.01, "AuxLogits.fc": 0.001}
    for path, layer in network.named_modules():
        if path in small:
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            truncated_gaussian(layer, small[path])
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            truncated_he(layer)


NETWORK = InceptionV3
