"""MobileNet v2: inverted residuals between thin, linear bottlenecks.

The paper joined thin maps by shortcuts and did the work in between at six times the width, with
depthwise convolutions and no activation on the thin maps, where it would lose information. The
block is the one of MnasNet and EfficientNet.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381. Here:
Table 1 (the block), Table 2 (the network), section 4 and 6.1 (the width multiplier).

Deviations, each a field of the row: `padding`, `norm_eps`, `norm_momentum`, `init`: the widely
distributed form is torchvision's, the authors' is their code's (tensorflow/models,
slim/nets/mobilenet).

Shapes: N images, C channels, H x W px; features are (N, 1280, H/32, W/32), rounded up; logits
(N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.init import gaussian, he, truncated_gaussian
from backbones.nn.padding import Padding, padded_conv
from backbones.nn.row import Deviations, Row, counted
from backbones.nn.widths import round_width
from backbones.spec import Citation, Family

PAPER = Citation(
    "Sandler et al.",
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    2018,
    "arXiv:1801.04381",
)
FAMILY = Family(
    "mobilenet_v2", "MobileNet v2", PAPER, "inverted residuals between thin bottlenecks"
)


@dataclass(frozen=True)
class BottleneckStage:
    """One row of Table 2: blocks of one width.

    Args:
        expansion: t, how many times wider the block is inside.
        maps: c, of the output.
        repeats: n, how many blocks.
        stride: s, of the first one; the others have 1.
    """

    expansion: int
    maps: int
    repeats: int
    stride: int


# Table 2 between its first convolution (3x3, stride 2, 32 maps) and its last (1x1, 1280 maps).
TABLE_2 = (
    BottleneckStage(1, 16, 1, 1),
    BottleneckStage(6, 24, 2, 2),
    BottleneckStage(6, 32, 3, 2),
    BottleneckStage(6, 64, 4, 2),
    BottleneckStage(6, 96, 3, 1),
    BottleneckStage(6, 160, 3, 2),
    BottleneckStage(6, 320, 1, 1),
)
TINY = (
    BottleneckStage(1, 8, 1, 1),
    BottleneckStage(4, 16, 2, 2),
    BottleneckStage(4, 24, 2, 2),
)  # ours, for tests


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "torchvision's mobilenet_v2; timm's mobilenetv2_100": {
        ("padding", "symmetric"): (
            "one pixel on every side; the authors' code pads as SAME, at the bottom and on the"
            " right where the stride is 2"
        ),
        ("norm_eps", 1e-5): "1e-5 in batch normalisation; the authors' code 1e-3",
        ("norm_momentum", 0.1): (
            "batch normalisation's averages move by a tenth a step; the authors' code 0.003"
        ),
    },
    "torchvision's mobilenet_v2": {
        ("init", "he"): (
            "He initialisation (fan-out), N(0, 0.01^2) in the classifier; the paper prints nothing,"
            " the authors' code has a normal with std 0.09, cut off at two of them"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class MobileNetV2Row(Row):
    """Table 2 at one width multiplier.

    Args:
        width: multiplies every number of maps; the last convolution never falls below its own.
        table: the bottlenecks, in the form of `TABLE_2`.
        stem, last: maps of the first and of the last convolution, before the width multiplier.
        padding: "same" as TensorFlow pads, "symmetric" by one pixel on every side.
        norm_eps: of batch normalisation.
        norm_momentum: share of the newest batch in batch normalisation's averages.
        init: "authors" is a normal with std 0.09, cut off at two of them; "he" is He's for the
            convolutions and N(0, 0.01^2) for the classifier.
        dropout: before the classifier.
    """

    width: float = 1.0
    table: tuple[BottleneckStage, ...] = TABLE_2
    stem: int = 32
    last: int = 1280
    padding: Padding = "symmetric"
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    init: Literal["he", "authors"] = "he"
    dropout: float = 0.2
    min_px: int = 1
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


COUNTED = "counted from Table 2 with 1000 classes; Table 4 prints 3.4 M and 300 M for width 1"
ROWS = (
    MobileNetV2Row("mobilenet_v2", "Table 2", counted(3_504_872, 300_774_272, COUNTED)),
    MobileNetV2Row(
        "mobilenet_v2_140",
        "Table 2 at width 1.4",
        counted(6_108_776, 582_195_824, COUNTED),
        width=1.4,
    ),
    MobileNetV2Row(
        "mobilenet_v2_050",
        "Table 2 at width 0.5",
        counted(1_968_680, 97_131_840, COUNTED),
        width=0.5,
    ),
    MobileNetV2Row(
        "mobilenet_v2_tiny",
        "for tests: five narrow blocks",
        counted(16_186, 586_880, "counted here"),
        table=TINY,
        stem=8,
        last=64,
        num_classes=10,
        input_px=32,
    ),
)


def conv_norm_relu6(
    row: MobileNetV2Row,
    in_channels: int,
    out_channels: int,
    kernel_px: int,
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU6."""
    return nn.Sequential(
        padded_conv(
            in_channels, out_channels, kernel_px, row.padding, stride=stride, groups=groups
        ),
        nn.BatchNorm2d(out_channels, row.norm_eps, row.norm_momentum),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Widen by a 1x1 convolution, filter each map, and project back without an activation.

    Args:
        row: of the network.
        in_channels, out_channels: in and out.
        expansion: how many times wider inside; at 1 there is nothing to widen.
        stride: of the depthwise convolution; a shortcut needs 1 and as many maps out as in.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride), rounded up.

    Reference: Table 1 and figure 4.
    """

    def __init__(
        self,
        row: MobileNetV2Row,
        in_channels: int,
        out_channels: int,
        *,
        expansion: int,
        stride: int,
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential()
        if expansion > 1:
            self.conv.append(conv_norm_relu6(row, in_channels, wide, 1))
        self.conv.append(conv_norm_relu6(row, wide, wide, 3, stride=stride, groups=wide))
        self.conv.append(nn.Conv2d(wide, out_channels, 1, bias=False))
        self.conv.append(nn.BatchNorm2d(out_channels, row.norm_eps, row.norm_momentum))

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.conv(x)
        return x + branch if self.has_shortcut else branch


class MobileNetV2(nn.Module):
    """A MobileNet v2.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W), any size -> logits (N, num_classes).

    Reference: Table 2. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = MobileNetV2(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 40, 32)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: MobileNetV2Row, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        maps = round_width(row.stem * row.width)
        self.features = nn.Sequential(conv_norm_relu6(row, self.in_channels, maps, 3, stride=2))
        for line in row.table:
            for number in range(line.repeats):
                before, maps = maps, round_width(line.maps * row.width)
                stride = line.stride if number == 0 else 1
                self.features.append(
                    InvertedResidual(row, before, maps, expansion=line.expansion, stride=stride)
                )
        last = round_width(row.last * max(1.0, row.width))
        self.features.append(conv_norm_relu6(row, maps, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(row.dropout), nn.Linear(last, self.num_classes))
        initialise(self)

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name, module path)."""
        ends, at = [], 0
        for number, line in enumerate(self.row.table, 1):
            at += line.repeats
            ends.append((f"bottlenecks {number}", f"features.{at}"))
        return (
            ("conv2d 3x3", "features.0"),
            *ends,
            ("conv2d 1x1", f"features.{at + 1}"),
            (f"conv2d 1x1, {self.num_classes} classes", "classifier"),
        )

    @property
    def cam_layer(self) -> str:
        """The last convolution before the average pooling."""
        return f"features.{len(self.features) - 1}"

    def head(self, f: Tensor) -> Tensor:
        """Average pooling and the classifier: (N, maps, h, w) -> (N, num_classes)."""
        logits: Tensor = self.classifier(f.mean(dim=(2, 3)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise(network: MobileNetV2) -> None:
    """The authors' code or torchvision's, as the row's `init` says; the paper prints nothing."""
    authors = network.row.init == "authors"
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and authors:
            truncated_gaussian(layer, 0.09)
        elif isinstance(layer, nn.Conv2d):
            he(layer, "fan_out")
        elif isinstance(layer, nn.Linear):
            gaussian(layer, 0.01)


NETWORK = MobileNetV2
