"""Inception v2 (BN-Inception): the network that batch normalisation was invented on.

Normalising every convolution's maps over the batch let GoogLeNet train in a fourteenth of the
steps, with 3x3 pairs in place of its 5x5, and without dropout or local response normalisation.

Ioffe & Szegedy, Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift, arXiv:1502.03167. Here: Figure 5 (the network) and the appendix around it, section
4.2.1 (what batch normalisation made superfluous).
The paper prints 13.6 million parameters for its network; no reading of Figure 5 has that many.

Deviations, each a field of the row: `modules`, `depth_multiplier`, `dropout`.

Shapes: N images, C channels, H x W px; features are (N, maps, H/32, W/32), logits (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from torch import Tensor, nn

from backbones.nn.branches import Branches
from backbones.nn.conv import ConvNormAct, SeparableNormAct
from backbones.nn.images import check_images
from backbones.nn.init import truncated_gaussian, truncated_he
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Ioffe & Szegedy",
    "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    2015,
    "arXiv:1502.03167",
)
FAMILY = Family("inception_v2", "Inception v2", PAPER, "GoogLeNet with batch normalisation")


@dataclass(frozen=True)
class Module:
    """A row of Figure 5; numbers are maps.

    Args:
        name: as the paper prints it, without "inception".
        one: #1x1; 0 where the module has stride 2.
        reduce, three: #3x3 reduce and #3x3.
        double_reduce, double: double #3x3 reduce and double #3x3 (both of the pair).
        pool: kind of the pooling branch.
        projection: the 1x1 after the pooling; 0 is "pass through", in the modules with stride 2.
    """

    name: str
    one: int
    reduce: int
    three: int
    double_reduce: int
    double: int
    pool: Literal["avg", "max"]
    projection: int

    @property
    def text(self) -> str:
        """The same in the words of `nn.branches`."""
        if not self.one:
            return (
                f"branch2: 1x1 {self.reduce} > 3x3/2 {self.three}\n"
                f"branch3: 1x1 {self.double_reduce} > 3x3 {self.double} > 3x3/2 {self.double}\n"
                f"branch4: {self.pool}/2"
            )
        return (
            f"branch1: 1x1 {self.one}\n"
            f"branch2: 1x1 {self.reduce} > 3x3 {self.three}\n"
            f"branch3: 1x1 {self.double_reduce} > 3x3 {self.double} > 3x3 {self.double}\n"
            f"branch4: {self.pool} > 1x1 {self.projection}"
        )


FIGURE_5 = (
    Module("3a", 64, 64, 64, 64, 96, "avg", 32),
    Module("3b", 64, 64, 96, 64, 96, "avg", 64),
    Module("3c", 0, 128, 160, 64, 96, "max", 0),
    Module("4a", 224, 64, 96, 96, 128, "avg", 128),
    Module("4b", 192, 96, 128, 96, 128, "avg", 128),
    Module("4c", 160, 128, 160, 128, 160, "avg", 128),
    Module("4d", 96, 128, 192, 160, 192, "avg", 128),
    Module("4e", 0, 128, 192, 192, 256, "max", 0),
    Module("5a", 352, 192, 320, 160, 224, "avg", 128),
    Module("5b", 352, 192, 320, 192, 224, "max", 128),
)
# The same with 4c and 4d as wide as the figure's column of output sizes says, 576.
TINY = (  # ours, for tests: one module of each kind
    Module("3a", 8, 8, 8, 8, 8, "avg", 8),
    Module("3c", 0, 8, 16, 8, 16, "max", 0),
    Module("5b", 16, 16, 16, 16, 16, "max", 16),
)


SLIM = tuple(
    replace(module, projection=96) if module.name in ("4c", "4d") else module for module in FIGURE_5
)
# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the entries of Figure 5": {
        ("modules", FIGURE_5): (
            "modules 4c and 4d have the 608 maps that their entries add up to, and 4e has 1056; the"
            " same figure prints 576 and 1024 as their output sizes"
        ),
    },
    "tensorflow/models, research/slim/nets/inception_v2.py": {
        ("modules", SLIM): (
            "modules 4c and 4d project their pooling to 96 maps, which gives the 576 of the"
            " figure's output sizes; its entries are 128"
        ),
        ("dropout", 0.2): (
            "a fifth of the features is dropped; the paper removes dropout (section 4.2.1)"
        ),
    },
    "Figure 5 read without the appendix's text": {
        ("depth_multiplier", 0): (
            "the first convolution is a plain 7x7; the paper's is separable with depth multiplier 8"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class InceptionV2Row(Row):
    """One reading of Figure 5.

    Args:
        modules: the rows of the figure.
        depth_multiplier: maps that the separable 7x7 makes of each channel before it mixes them
            (appendix); 0 makes it a plain convolution.
        stem: maps of the three convolutions before the first module.
        dropout: in front of the last layer.
    """

    modules: tuple[Module, ...]
    depth_multiplier: int = 8
    stem: tuple[int, int, int] = (64, 64, 192)
    dropout: float = 0.0
    min_px: int = 1
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


ROWS = (
    InceptionV2Row(
        "inception_v2",
        "BN-Inception, with the widths that Figure 5 prints",
        counted(11_278_528, 1_948_605_440, "counted from the entries of Figure 5"),
        modules=FIGURE_5,
    ),
    InceptionV2Row(
        "inception_v2_slim",
        "BN-Inception, with the widths of Google's released network",
        counted(11_188_288, 1_934_857_216, "counted from TF-slim's inception_v2"),
        modules=SLIM,
        dropout=0.2,
    ),
    InceptionV2Row(
        "inception_v2_tiny",
        "for tests: three narrow modules",
        counted(22_130, 548_992, "counted here"),
        modules=TINY,
        stem=(8, 8, 16),
        num_classes=10,
        input_px=32,
    ),
)


class InceptionV2(nn.Module):
    """An Inception v2.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Windows are padded by half their size on every side, so that an image of any size will do. The
    paper doesn't say how its own are; TF-slim's of stride 2 get more below and on the right.

    Shapes: (N, in_channels, H, W) -> logits (N, num_classes).

    Reference: Figure 5.

    Example:
        >>> import torch
        >>> network = InceptionV2(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 48, 64)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: InceptionV2Row, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        first, second, third = row.stem
        self.features = nn.Sequential()
        self.features.add_module("conv1", self._first_convolution(first))
        self.features.add_module("pool1", nn.MaxPool2d(3, 2, 1))
        self.features.add_module("conv2_reduce", ConvNormAct(first, second, 1))
        self.features.add_module("conv2", ConvNormAct(second, third, 3, padding=1))
        self.features.add_module("pool2", nn.MaxPool2d(3, 2, 1))
        maps = third
        for line in row.modules:
            block = Branches(maps, line.text)
            self.features.add_module(f"inception{line.name}", block)
            maps = block.maps
        self.dropout = nn.Dropout(row.dropout)
        self.fc = nn.Linear(maps, self.num_classes)
        initialise_as_released(self)

    def _first_convolution(self, maps: int) -> nn.Module:
        if self.row.depth_multiplier:
            return SeparableNormAct(self.in_channels, maps, 7, self.row.depth_multiplier)
        return ConvNormAct(self.in_channels, maps, 7, stride=2, padding=3)

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The rows of Figure 5: (name, module path)."""
        return (
            ("convolution 7x7", "features.conv1"),
            ("max pool 1", "features.pool1"),
            ("convolution 3x3", "features.conv2"),
            ("max pool 2", "features.pool2"),
            *(
                (f"inception ({line.name})", f"features.inception{line.name}")
                for line in self.row.modules
            ),
            ("linear", "fc"),
        )

    @property
    def cam_layer(self) -> str:
        """The last module, whose maps are averaged."""
        return f"features.inception{self.row.modules[-1].name}"

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.fc(self.dropout(f.mean(dim=(2, 3))))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_released(network: InceptionV2) -> None:
    """TF-slim's inception_v2.py, for the paper is silent: truncated normals.

    Standard deviation 1 in a separable convolution, 0.09 in the modules' reductions, 0.1 in the
    stem's and in the projections, He's everywhere else.
    """
    for path, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if path.endswith(("depthwise", "pointwise")):
            truncated_gaussian(layer, 1.0)
        elif path.endswith(("branch2.0.conv", "branch3.0.conv")):
            truncated_gaussian(layer, 0.09)
        elif path.endswith(("conv2_reduce.conv", "branch4.1.conv")):
            truncated_gaussian(layer, 0.1)
        else:
            truncated_he(layer)


NETWORK = InceptionV2
