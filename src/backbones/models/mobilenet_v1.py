"""MobileNet v1: convolutions taken apart into a depthwise and a pointwise one.

The paper replaced a convolution by a filter on each map of its own and a 1x1 convolution that mixes
the maps, eight to nine times cheaper, and let one number scale all widths to fit a phone.

Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications,
arXiv:1704.04861. Here: section 3.1 (depthwise separable convolution), Table 1, section 3.3 (width
multiplier), Table 6 (what it costs).

Deviations, each a field of the row: `activation`, `norm_momentum`. What the paper does not print
follows the authors' code (tensorflow/models, slim/nets/mobilenet_v1.py): SAME padding, the eps of
batch normalisation, the initialisation.

Table 1 prints "s2" for the last depthwise convolution; its own sizes, 7x7 before and after, need
stride 1, which the code has.

Shapes: N images, C channels, H x W px; features are (N, 1024 width, H/32, W/32), rounded up;
logits (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.init import truncated_gaussian
from backbones.nn.padding import Padding, padded_conv
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Howard et al.",
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    2017,
    "arXiv:1704.04861",
)
FAMILY = Family("mobilenet_v1", "MobileNet v1", PAPER, "depthwise separable convolutions")

# Table 1 after its first row (a full 3x3 convolution, stride 2, 32 maps). A pair is a depthwise
# separable convolution: stride of the depthwise, maps of the pointwise part. One map size a line.
Table = tuple[tuple[tuple[int, int], ...], ...]
TABLE_1: Table = (
    ((1, 64),),
    ((2, 128), (1, 128)),
    ((2, 256), (1, 256)),
    ((2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 512)),
    ((2, 1024), (1, 1024)),
)
TINY: Table = (((1, 16),), ((2, 32), (1, 32)), ((2, 64),))  # ours, for tests

ACTIVATIONS = {"relu6": nn.ReLU6, "relu": nn.ReLU}


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the authors' slim/nets/mobilenet_v1.py; all public weights": {
        ("activation", "relu6"): (
            "ReLU6, min(max(0, x), 6), after every convolution; section 3.2 says ReLU"
        ),
    },
    "timm's mobilenetv1_100": {
        ("padding", "symmetric"): (
            "one pixel on every side; the authors' code pads as SAME, at the bottom and on the"
            " right where the stride is 2"
        ),
    },
    "PyTorch's default; timm's mobilenetv1_100": {
        ("norm_momentum", 0.1): (
            "batch normalisation's averages move by a tenth a step, so that short trainings have"
            " usable ones; the paper prints nothing, the authors' code 0.0003"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class MobileNetV1Row(Row):
    """Table 1 at one width multiplier.

    Args:
        width: section 3.3's alpha, which multiplies every number of maps.
        table: the depthwise separable part, in the form of `TABLE_1`.
        stem: maps of the first convolution, before the width multiplier.
        activation: "relu" is the paper's, "relu6" that of the authors' code.
        padding: "same" as TensorFlow pads, "symmetric" by one pixel on every side.
        norm_eps: of batch normalisation.
        norm_momentum: share of the newest batch in batch normalisation's averages.
    """

    width: float = 1.0
    table: Table = TABLE_1
    stem: int = 32
    activation: Literal["relu6", "relu"] = "relu6"
    padding: Padding = "same"
    norm_eps: float = 1e-3
    norm_momentum: float = 0.1
    min_px: int = 1
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


COUNTED = "counted from Table 1 with 1000 classes; Table 6 prints both in millions"
ROWS = (
    MobileNetV1Row(
        "mobilenet_v1_100",
        "Table 1",
        counted(4_231_976, 568_740_352, COUNTED),
    ),
    MobileNetV1Row(
        "mobilenet_v1_075",
        "Table 1 at width 0.75",
        counted(2_585_560, 325_400_448, COUNTED),
        width=0.75,
    ),
    MobileNetV1Row(
        "mobilenet_v1_050",
        "Table 1 at width 0.5",
        counted(1_331_592, 149_497_088, COUNTED),
        width=0.5,
    ),
    MobileNetV1Row(
        "mobilenet_v1_025",
        "Table 1 at width 0.25",
        counted(470_072, 41_030_272, COUNTED),
        width=0.25,
    ),
    MobileNetV1Row(
        "mobilenet_v1_tiny",
        "for tests: four narrow depthwise separable convolutions",
        counted(5_850, 270_464, "counted here"),
        table=TINY,
        stem=8,
        num_classes=10,
        input_px=32,
    ),
)


def scaled(maps: int, width: float) -> int:
    """Section 3.3: a number of maps at a width multiplier; the authors' code leaves at least 8."""
    return max(int(maps * width), 8)


class DepthwiseSeparable(nn.Module):
    """A 3x3 filter on every map, then a 1x1 convolution; each normalised, each with its activation.

    Args:
        row: of the network.
        in_channels, out_channels: in and out.
        stride: of the depthwise convolution.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride), rounded up.

    Reference: section 3.1, figure 3.
    """

    def __init__(
        self, row: MobileNetV1Row, in_channels: int, out_channels: int, stride: int
    ) -> None:
        super().__init__()
        activation = ACTIVATIONS[row.activation]
        self.conv_dw = padded_conv(
            in_channels, in_channels, 3, row.padding, stride=stride, groups=in_channels
        )
        self.bn1 = nn.BatchNorm2d(in_channels, row.norm_eps, row.norm_momentum)
        self.act1 = activation(inplace=True)
        self.conv_pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, row.norm_eps, row.norm_momentum)
        self.act2 = activation(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(self.conv_dw(x)))
        pointwise: Tensor = self.act2(self.bn2(self.conv_pw(x)))
        return pointwise


class MobileNetV1(nn.Module):
    """A MobileNet v1.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W), any size -> logits (N, num_classes).

    Reference: Table 1. Parameter names are timm's (mobilenetv1_100).

    Example:
        >>> import torch
        >>> network = MobileNetV1(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 40, 32)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: MobileNetV1Row, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        maps = scaled(row.stem, row.width)
        self.conv_stem = padded_conv(self.in_channels, maps, 3, row.padding, stride=2)
        self.bn1 = nn.BatchNorm2d(maps, row.norm_eps, row.norm_momentum)
        self.act1 = ACTIVATIONS[row.activation](inplace=True)
        self.blocks = nn.Sequential()
        for line in row.table:
            blocks = nn.Sequential()
            for stride, pointwise in line:
                before, maps = maps, scaled(pointwise, row.width)
                blocks.append(DepthwiseSeparable(row, before, maps, stride))
            self.blocks.append(blocks)
        self.classifier = nn.Linear(maps, self.num_classes)
        initialise_as_released(self)

    figure_softmax = MappingProxyType({"": "Softmax"})
    """What table 1 has behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name, module path)."""
        return (
            ("Conv / s2", "act1"),
            *((f"Conv dw, size {n}", f"blocks.{n - 1}") for n in range(1, len(self.blocks) + 1)),
            ("FC", "classifier"),
        )

    @property
    def cam_layer(self) -> str:
        """The last block before the average pooling."""
        return f"blocks.{len(self.blocks) - 1}"

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, maps, H/32, W/32)."""
        maps: Tensor = self.blocks(self.act1(self.bn1(self.conv_stem(x))))
        return maps

    def head(self, f: Tensor) -> Tensor:
        """Average pooling and the fully connected layer: (N, maps, h, w) -> (N, num_classes)."""
        logits: Tensor = self.classifier(f.mean(dim=(2, 3)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_released(network: MobileNetV1) -> None:
    """The authors' code: normal with std 0.09, cut off at two of them; biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            truncated_gaussian(layer, 0.09)


NETWORK = MobileNetV1
