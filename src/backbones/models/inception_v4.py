"""Inception v4: a deeper and more uniform Inception, without residual connections.

Free of the constraints of the older, distributed training, the authors gave every grid size one
kind of module, and showed that such a network matches one with residual connections.

Szegedy, Ioffe, Vanhoucke & Alemi, Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, arXiv:1602.07261. Here: Figures 3 to 9 and Table 1 (reduction A).
Inception-ResNet, of the same paper, has a file of its own.

Deviations, each a field of the row: `stem`, `b`, `c`. The widths are the figures'; the order
of 1x7 and 7x1, of 1x3 and 3x1 is that of the released network (TensorFlow-Slim). Transcriptions of
figures 3, 5 and 6 have them the other way round; the counts are the same.

Shapes: N images, C channels, H x W px; features are (N, maps, h, w) with 8 px for the row's 299,
logits (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from backbones.nn.branches import module
from backbones.nn.images import check_images
from backbones.nn.init import truncated_he
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Szegedy, Ioffe, Vanhoucke & Alemi",
    "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    2016,
    "arXiv:1602.07261",
)
FAMILY = Family(
    "inception_v4",
    "Inception v4",
    PAPER,
    "one uniform, deeper Inception without residual connections",
)

# Figure 3, from the image up. `nn.branches` says how the lines read.
STEM = (
    "3x3/2 V 32",
    "3x3 V 32",
    "3x3 64",
    """
maxpool: max/2 V
conv:    3x3/2 V 96""",
    """
branch0: 1x1 64 > 3x3 V 96
branch1: 1x1 64 > 1x7 64 > 7x1 64 > 3x3 V 96""",
    """
conv:    3x3/2 V 192
maxpool: max/2 V""",
)
A = """
branch0: 1x1 96
branch1: 1x1 64 > 3x3 96
branch2: 1x1 64 > 3x3 96 > 3x3 96
branch3: avg > 1x1 96"""  # Figure 4, 35x35
B = """
branch0: 1x1 384
branch1: 1x1 192 > 1x7 224 > 7x1 256
branch2: 1x1 192 > 7x1 192 > 1x7 224 > 7x1 224 > 1x7 256
branch3: avg > 1x1 128"""  # Figure 5, 17x17
C = """
branch0: 1x1 256
branch1: 1x1 384 > 1x3 256 + 3x1 256
branch2: 1x1 384 > 3x1 448 > 1x3 512 > 1x3 256 + 3x1 256
branch3: avg > 1x1 256"""  # Figure 6, 8x8
REDUCTION_A = """
branch0: 3x3/2 V 384
branch1: 1x1 192 > 3x3 224 > 3x3/2 V 256
branch2: max/2 V"""  # Figure 7; Table 1 prints k, l, m, n = 192, 224, 256, 384
REDUCTION_B = """
branch0: 1x1 192 > 3x3/2 V 192
branch1: 1x1 256 > 1x7 256 > 7x1 320 > 3x3/2 V 320
branch2: max/2 V"""  # Figure 8


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the network released with TensorFlow-Slim": {
        ("stem", STEM): "1x7 before 7x1; transcriptions of figure 3 have 7x1 before 1x7",
        ("b", B): "1x7 and 7x1 in this order; a transcription of figure 5 has the other",
        ("c", C): "1x3 before 3x1 in the long branch; a transcription of figure 6 has the other",
    },
}


@dataclass(frozen=True, kw_only=True)
class InceptionV4Row(Row):
    """One network of the shape of Figure 9.

    Args:
        stem: its layers.
        a, b, c: the module of each grid size.
        repeats: how many of a, of b and of c.
        reduction_a, reduction_b: between them.
        dropout: in front of the last layer.
        min_px: px, the smallest image that leaves a map.
    """

    stem: tuple[str, ...] = STEM
    a: str = A
    b: str = B
    c: str = C
    repeats: tuple[int, int, int] = (4, 7, 3)
    reduction_a: str = REDUCTION_A
    reduction_b: str = REDUCTION_B
    dropout: float = 0.2
    input_px: int = 299
    min_px: int = 75
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


ROWS = (
    InceptionV4Row(
        "inception_v4",
        "pure Inception, one kind of module a grid size",
        counted(42_679_816, 12_253_974_624, "counted from Figures 3 to 9"),
    ),
    InceptionV4Row(
        "inception_v4_tiny",
        "for tests: a narrow module of each kind",
        counted(10_754, 1_912_896, "counted here"),
        stem=("3x3 V 8",),
        a="branch0: 1x1 8\nbranch1: 1x1 8 > 3x3 8\nbranch3: avg > 1x1 8",
        b="branch0: 1x1 16\nbranch1: 1x1 8 > 1x7 8 > 7x1 16\nbranch3: avg > 1x1 8",
        c="branch0: 1x1 16\nbranch1: 1x1 16 > 1x3 16 + 3x1 16",
        repeats=(1, 1, 1),
        reduction_a="branch0: 3x3/2 V 8\nbranch2: max/2 V",
        reduction_b="branch0: 1x1 8 > 3x3/2 V 16\nbranch2: max/2 V",
        num_classes=10,
        input_px=32,
        min_px=9,
    ),
)


class InceptionV4(nn.Module):
    """An Inception v4.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes).

    Reference: Figure 9. Parameter names are timm's.

    Example:
        >>> import torch
        >>> network = InceptionV4(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 32, 48)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: InceptionV4Row, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        times_a, times_b, times_c = row.repeats
        self.features = nn.Sequential()
        maps = self.in_channels
        for text in (
            *row.stem,
            *[row.a] * times_a,
            row.reduction_a,
            *[row.b] * times_b,
            row.reduction_b,
            *[row.c] * times_c,
        ):
            layer, maps = module(maps, text)
            self.features.append(layer)
        self.dropout = nn.Dropout(row.dropout)
        self.last_linear = nn.Linear(maps, self.num_classes)
        initialise_as_released(self)

    figure_softmax = MappingProxyType({"": "Softmax"})
    """What figure 9 draws behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The boxes of Figure 9: (name, module path of its end)."""
        a, b, c = self.row.repeats
        boxes = (
            ("stem", len(self.row.stem)),
            (f"{a} x Inception-A", a),
            ("Reduction-A", 1),
            (f"{b} x Inception-B", b),
            ("Reduction-B", 1),
            (f"{c} x Inception-C", c),
        )
        found, end = [], -1
        for name, layers in boxes:
            end += layers
            found.append((name, f"features.{end}"))
        return (*found, ("linear", "last_linear"))

    @property
    def cam_layer(self) -> str:
        """The last module, whose maps are averaged."""
        return f"features.{len(self.features) - 1}"

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.last_linear(self.dropout(f.mean(dim=(2, 3))))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_released(network: InceptionV4) -> None:
    """TF-slim's inception_v4.py, for the paper is silent: truncated normals with He's variance.

    The last layer is uniform (Glorot's), which is what a fully connected layer of TF-slim is.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            truncated_he(layer)
    nn.init.xavier_uniform_(network.last_linear.weight)
    nn.init.zeros_(network.last_linear.bias)


NETWORK = InceptionV4
