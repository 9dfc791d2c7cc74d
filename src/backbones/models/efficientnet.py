"""EfficientNet: depth, width and resolution grow together.

The paper found a small network, B0, by architecture search, and scaled its depth, width and input
size by fixed powers of one number, phi; the family needs a tenth of the parameters of what was best
before at each accuracy. `backbones.scaling` scales to any phi.

Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
arXiv:1905.11946. Here: Table 1 (B0), Table 2 (B0 to B7), section 3.3 (compound scaling), section
5.2 (dropout, stochastic depth). The authors' code is tensorflow/tpu, models/official/efficientnet.

Deviations, each a field of the row: `padding`, `norm_eps`, `norm_momentum`. The coefficients of B1
to B7 are the rounded ones of the authors' code, not powers of the paper's 1.2, 1.1 and 1.15.

Shapes: N images, C channels, H x W px; features are (N, 1280 width, H/32, W/32), rounded up;
logits (N, classes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from backbones.nn.drop_path import DropPath
from backbones.nn.images import check_images
from backbones.nn.init import gaussian
from backbones.nn.padding import Padding, padded_conv
from backbones.nn.row import Deviations, Row, counted
from backbones.nn.squeeze_excite import SqueezeExcite
from backbones.nn.widths import round_width
from backbones.spec import Citation, Family

PAPER = Citation(
    "Tan & Le",
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    2019,
    "arXiv:1905.11946",
)
FAMILY = Family(
    "efficientnet", "EfficientNet", PAPER, "depth, width and resolution scaled together"
)


@dataclass(frozen=True)
class MBConv:
    """One row of Table 1: mobile inverted bottleneck blocks of one width.

    Args:
        expansion: how many times wider the block is inside (the 6 of MBConv6).
        kernel_px: side of the depthwise convolution.
        stride: of the first block; the others have 1. Table 1 says it by the next row's resolution.
        maps: channels of the output.
        layers: how many blocks.
    """

    expansion: int
    kernel_px: int
    stride: int
    maps: int
    layers: int


# Table 1, stages 2 to 8. Stage 1 is a 3x3 convolution, stride 2, 32 maps; stage 9 a 1x1 convolution
# to 1280 maps, pooling and the fully connected layer.
TABLE_1 = (
    MBConv(1, 3, 1, 16, 1),
    MBConv(6, 3, 2, 24, 2),
    MBConv(6, 5, 2, 40, 2),
    MBConv(6, 3, 2, 80, 3),
    MBConv(6, 5, 1, 112, 3),
    MBConv(6, 5, 2, 192, 4),
    MBConv(6, 3, 1, 320, 1),
)
TINY = (MBConv(1, 3, 1, 8, 1), MBConv(4, 3, 2, 16, 2), MBConv(4, 5, 2, 24, 2))  # ours, for tests

# The authors' code: width, depth, resolution in px, dropout; then parameters and MACs, counted.
SCALED = {
    "b0": (1.0, 1.0, 224, 0.2, 5_288_548, 385_814_752),
    "b1": (1.0, 1.1, 240, 0.2, 7_794_184, 686_802_832),
    "b2": (1.1, 1.2, 260, 0.3, 9_109_994, 993_561_872),
    "b3": (1.2, 1.4, 300, 0.3, 12_233_232, 1_827_141_392),
    "b4": (1.4, 1.8, 380, 0.4, 19_341_616, 4_393_771_024),
    "b5": (1.6, 2.2, 456, 0.4, 30_389_784, 10_266_384_752),
    "b6": (1.8, 2.6, 528, 0.5, 43_040_704, 19_067_593_536),
    "b7": (2.0, 3.1, 600, 0.5, 66_347_960, 37_745_884_192),
}


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "torchvision's efficientnet_b0 to b7": {
        ("padding", "symmetric"): (
            "half a kernel on every side; the authors' code pads as SAME, with the odd pixel at the"
            " bottom and on the right where the stride is 2"
        ),
    },
    "torchvision's efficientnet_b0 to b4, whose weights were trained with it": {
        ("norm_eps", 1e-5): "1e-5 in batch normalisation; the authors' code 1e-3",
    },
    "torchvision's efficientnet_b0 to b4": {
        ("norm_momentum", 0.1): (
            "batch normalisation's averages move by a tenth a step; section 5.2 says momentum 0.99,"
            " a hundredth"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class EfficientNetRow(Row):
    """Table 1 at one scale.

    Args:
        width, depth: multiply the numbers of maps and of blocks.
        table: stages 2 to 8, in the form of `TABLE_1`.
        stem, last: maps of the first and of the last convolution, before the multiplier.
        dropout: before the fully connected layer.
        drop_path: chance with which an image loses the last block's branch in training; it grows
            linearly from none at the first block.
        padding: "same" as TensorFlow pads, "symmetric" by half a kernel on every side.
        norm_eps: of batch normalisation.
        norm_momentum: share of the newest batch in batch normalisation's averages.
        input_px: px, the resolution that belongs to the scale.
    """

    width: float = 1.0
    depth: float = 1.0
    table: tuple[MBConv, ...] = TABLE_1
    stem: int = 32
    last: int = 1280
    dropout: float = 0.2
    drop_path: float = 0.2
    padding: Padding = "same"
    norm_eps: float = 1e-3
    norm_momentum: float = 0.01
    min_px: int = 1
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


def _same(name: str, scale: str) -> EfficientNetRow:
    """B0 to B7 as the authors have them."""
    width, depth, px, dropout, params, macs = SCALED[scale]
    return EfficientNetRow(
        name,
        f"{scale.upper()}: width {width:g}, depth {depth:g}, SAME padding, as the authors have it",
        counted(
            params, macs, f"counted from Table 1 at the authors' coefficients for {scale.upper()}"
        ),
        width=width,
        depth=depth,
        dropout=dropout,
        input_px=px,
    )


def _torchvision(name: str, scale: str, **choices: Any) -> EfficientNetRow:
    """The widely distributed form, whose public weights fit."""
    same = _same(name, scale)
    summary = same.summary.replace("SAME padding, as the authors have it", "symmetric padding")
    return replace(same, summary=summary, padding="symmetric", **choices)


TO_B4: dict[str, Any] = {"norm_eps": 1e-5, "norm_momentum": 0.1}
ROWS = (
    _torchvision("efficientnet_b0", "b0", **TO_B4),
    _torchvision("efficientnet_b1", "b1", **TO_B4),
    _torchvision("efficientnet_b2", "b2", **TO_B4),
    _torchvision("efficientnet_b3", "b3", **TO_B4),
    _torchvision("efficientnet_b4", "b4", **TO_B4),
    _torchvision("efficientnet_b5", "b5"),
    _torchvision("efficientnet_b6", "b6"),
    _torchvision("efficientnet_b7", "b7"),
    _same("efficientnet_b0_same", "b0"),
    _same("efficientnet_b1_same", "b1"),
    _same("efficientnet_b2_same", "b2"),
    _same("efficientnet_b3_same", "b3"),
    _same("efficientnet_b4_same", "b4"),
    _same("efficientnet_b5_same", "b5"),
    _same("efficientnet_b6_same", "b6"),
    _same("efficientnet_b7_same", "b7"),
    EfficientNetRow(
        "efficientnet_tiny",
        "for tests: five narrow blocks",
        counted(21_364, 630_176, "counted here"),
        table=TINY,
        stem=8,
        last=64,
        norm_momentum=0.1,
        num_classes=10,
        input_px=32,
    ),
)


def repeats(layers: int, depth: float) -> int:
    """How many blocks a stage has at a depth multiplier: rounded up, as in the authors' code."""
    return math.ceil(layers * depth)


@dataclass(frozen=True)
class Block:
    """One block of a scaled table.

    Args:
        stage: of Table 1, from 2 on.
        in_channels, maps: in and out.
        wide: maps in the middle.
        squeezed: width of squeeze-and-excitation's bottleneck: a quarter of the block's input, not
            of its middle, as in MnasNet and the authors' code.
        kernel_px, stride: of the depthwise convolution.
        drop_path: chance with which an image loses the branch in training.
    """

    stage: int
    in_channels: int
    maps: int
    wide: int
    squeezed: int
    kernel_px: int
    stride: int
    drop_path: float


def blocks_of(row: EfficientNetRow) -> tuple[Block, ...]:
    """All blocks of a row's table, in order, with depth and width multiplied and rounded."""
    total = sum(repeats(line.layers, row.depth) for line in row.table)
    found: list[Block] = []
    maps = round_width(row.stem * row.width)
    for stage, line in enumerate(row.table, 2):
        for number in range(repeats(line.layers, row.depth)):
            before, maps = maps, round_width(line.maps * row.width)
            found.append(
                Block(
                    stage=stage,
                    in_channels=before,
                    maps=maps,
                    wide=before * line.expansion,
                    squeezed=max(1, before // 4),
                    kernel_px=line.kernel_px,
                    stride=line.stride if number == 0 else 1,
                    drop_path=row.drop_path * len(found) / total,
                )
            )
    return tuple(found)


def conv_norm_silu(
    row: EfficientNetRow,
    in_channels: int,
    out_channels: int,
    kernel_px: int,
    *,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Convolution, batch normalisation, SiLU ("swish")."""
    return nn.Sequential(
        padded_conv(
            in_channels, out_channels, kernel_px, row.padding, stride=stride, groups=groups
        ),
        nn.BatchNorm2d(out_channels, row.norm_eps, row.norm_momentum),
        nn.SiLU(inplace=True),
    )


class MBConvBlock(nn.Module):
    """Widen, filter each map, squeeze and excite, project back; with a shortcut where shapes allow.

    Args:
        row: of the network.
        block: its sizes; a shortcut needs stride 1 and as many maps out as in.

    Shapes: (N, in_channels, H, W) -> (N, maps, H/stride, W/stride), rounded up.

    Reference: section 4.
    """

    def __init__(self, row: EfficientNetRow, block: Block) -> None:
        super().__init__()
        before, wide, maps, kernel_px = block.in_channels, block.wide, block.maps, block.kernel_px
        self.has_shortcut = block.stride == 1 and before == maps
        self.block = nn.Sequential()
        if wide > before:
            self.block.append(conv_norm_silu(row, before, wide, 1))
        self.block.append(
            conv_norm_silu(row, wide, wide, kernel_px, stride=block.stride, groups=wide)
        )
        self.block.append(SqueezeExcite(wide, block.squeezed))
        self.block.append(
            nn.Sequential(
                nn.Conv2d(wide, maps, 1, bias=False),
                nn.BatchNorm2d(maps, row.norm_eps, row.norm_momentum),
            )
        )
        self.drop_path = DropPath(block.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.block(x)
        return x + self.drop_path(branch) if self.has_shortcut else branch


class EfficientNet(nn.Module):
    """An EfficientNet.

    Args:
        row: a row of `ROWS`, one of `backbones.scaling`, or one made with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W), any size -> logits (N, num_classes).

    Reference: Table 1. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = EfficientNet(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 40, 32)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: EfficientNetRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        blocks = blocks_of(row)
        self.features = nn.Sequential(
            conv_norm_silu(row, self.in_channels, blocks[0].in_channels, 3, stride=2)
        )
        for stage in range(2, len(row.table) + 2):
            self.features.append(
                nn.Sequential(*(MBConvBlock(row, b) for b in blocks if b.stage == stage))
            )
        last = round_width(row.last * row.width)
        self.features.append(conv_norm_silu(row, blocks[-1].maps, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(row.dropout), nn.Linear(last, self.num_classes))
        initialise_as_released(self)

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name, module path)."""
        table = self.row.table
        return (
            ("1 Conv3x3", "features.0"),
            *(
                (
                    f"{n + 1} MBConv{line.expansion}, k{line.kernel_px}x{line.kernel_px}",
                    f"features.{n}",
                )
                for n, line in enumerate(table, 1)
            ),
            (f"{len(table) + 2} Conv1x1", f"features.{len(table) + 1}"),
            (f"{len(table) + 2} FC", "classifier"),
        )

    @property
    def cam_layer(self) -> str:
        """The last convolution before the average pooling."""
        return f"features.{len(self.features) - 1}"

    def head(self, f: Tensor) -> Tensor:
        """Pooling, dropout and the fully connected layer: (N, maps, h, w) -> (N, num_classes)."""
        logits: Tensor = self.classifier(f.mean(dim=(2, 3)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_released(network: EfficientNet) -> None:
    """The authors' code (`conv_kernel_initializer`, `dense_kernel_initializer`); biases zero.

    Convolutions: N(0, 2 / fan-out), where a depthwise convolution's fan-out is one map's. Fully
    connected: uniform within 1 / sqrt(classes).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
            gaussian(layer, math.sqrt(2.0 / fan_out))
        elif isinstance(layer, nn.Linear):
            limit = 1.0 / math.sqrt(layer.out_features)
            nn.init.uniform_(layer.weight, -limit, limit)
            nn.init.zeros_(layer.bias)


NETWORK = EfficientNet
