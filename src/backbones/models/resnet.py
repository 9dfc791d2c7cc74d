"""ResNet: layers that learn what to add to their input, so that depth no longer hurts.

The paper found that plain networks get worse beyond some twenty layers, even on their training
images, and cured it with shortcuts that carry a block's input around it. 152 layers won ILSVRC
2015, and hardly a network since does without shortcuts.

He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385. Here: Table 1
(all five columns), figure 5 (the blocks), section 4.1 (shortcut options A, B and C), section 3.3
(the plain twins), section 3.4 (initialisation, in `nn/residual.py`). Section 4.2, CIFAR-10, is in
`resnet_cifar.py`.

Deviations, each a field of the row: `stride_on`, `pool_padding`.

Shapes: N images, C channels, H x W px; features are (N, maps, H/32, W/32), rounded up; logits
(N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.residual import (
    BasicBlock,
    Option,
    convolution,
    initialise_as_section_3_4,
    shortcut,
)
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "He, Zhang, Ren & Sun",
    "Deep Residual Learning for Image Recognition",
    2015,
    "arXiv:1512.03385",
)
FAMILY = Family("resnet", "ResNet", PAPER, "layers that learn what to add to their input")

Kind = Literal["basic", "bottleneck"]

# Table 1: the kind of block, and how many of them make conv2_x, conv3_x, conv4_x and conv5_x. The
# convolutions of conv2_x have 64 maps, those of each later part twice as many as the one before.
TABLE_1: dict[int, tuple[Kind, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "fb.resnet.torch; torchvision's resnet50, resnet101 and resnet152": {
        (
            "stride_on",
            "3x3",
        ): 'the 3x3 convolution of a bottleneck halves the map ("v1.5"); in the authors\' networks'
        " the first 1x1 does",
    },
    "fb.resnet.torch; torchvision's resnet": {
        ("pool_padding", 1): (
            "the max pooling of conv2_x pads one pixel on every side; the authors' definition files"
            " pad none and round the map's size up"
        ),
    },
    "the public CIFAR-10 networks of akamaster/pytorch_resnet_cifar10": {
        ("shortcut", "A around"): (
            "half of option A's maps of zeros before those that are carried on; fb.resnet.torch has"
            " all of them behind, the paper doesn't say"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class ResNetRow(Row):
    """One column of Table 1, with the choices that section 4.1 and the field since have made.

    Args:
        kind: of its blocks, "basic" or "bottleneck".
        blocks: in conv2_x to conv5_x.
        maps: of conv1 and inside the blocks of conv2_x; they double from part to part.
        shortcut: option A, B or C of section 4.1; "none" for the plain twins of section 3.3.
        stride_on: the convolution of a bottleneck that halves the map. Basic blocks have no
            choice: it is the first of the two.
        pool_padding: px around the map that the max pooling of conv2_x sees; with 0 its last
            window hangs over the edge instead.
    """

    kind: Kind
    blocks: tuple[int, ...]
    maps: int = 64
    shortcut: Option = "B"
    stride_on: Literal["1x1", "3x3"] = "1x1"
    pool_padding: Literal[0, 1] = 1
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS

    @property
    def min_px(self) -> int:
        """px; without padding the pooling needs two px, which conv1 makes of three."""
        return 1 if self.pool_padding else 3


def _row(name: str, depth: int, text: str, params: int, macs: int, **choices: Any) -> ResNetRow:
    """A column of Table 1, with the choices that its name stands for."""
    kind, blocks = TABLE_1[depth]
    source = "counted from Table 1 with 1000 classes; Table 1 prints multiply-adds in billions"
    claims = counted(params, macs, source)
    return ResNetRow(name, f"{depth} layers, {text}", claims, kind=kind, blocks=blocks, **choices)


BASIC, V15, V1 = "basic blocks", "bottlenecks, stride on the 3x3", "bottlenecks, stride on the 1x1"
A, C, PLAIN = f"{BASIC}, zeros for new maps", f"{BASIC}, projections everywhere", "no shortcuts"
ROWS = (
    _row("resnet18", 18, BASIC, 11_689_512, 1_814_073_344),
    _row("resnet34", 34, BASIC, 21_797_672, 3_663_761_408),
    # As torchvision has them, whose public weights fit.
    _row("resnet50", 50, V15, 25_557_032, 4_089_184_256, stride_on="3x3"),
    _row("resnet101", 101, V15, 44_549_160, 7_801_405_440, stride_on="3x3"),
    _row("resnet152", 152, V15, 60_192_808, 11_513_626_624, stride_on="3x3"),
    # As the authors' definition files have them.
    _row("resnet50_v1", 50, V1, 25_557_032, 3_857_973_248, pool_padding=0),
    _row("resnet101_v1", 101, V1, 44_549_160, 7_570_194_432, pool_padding=0),
    _row("resnet152_v1", 152, V1, 60_192_808, 11_282_415_616, pool_padding=0),
    # Section 4.1's other shortcuts, and the plain twins of section 3.3.
    _row("resnet18_a", 18, A, 11_515_688, 1_794_805_760, shortcut="A"),
    _row("resnet34_a", 34, A, 21_623_848, 3_644_493_824, shortcut="A"),
    _row("resnet18_c", 18, C, 12_043_816, 1_878_298_624, shortcut="C"),
    _row("resnet34_c", 34, C, 22_716_840, 3_830_747_136, shortcut="C"),
    _row("plain18", 18, PLAIN, 11_515_688, 1_794_805_760, shortcut="none"),
    _row("plain34", 34, PLAIN, 21_623_848, 3_644_493_824, shortcut="none"),
    ResNetRow(
        "resnet_tiny",
        "for tests: two narrow bottlenecks",
        counted(9_362, 469_632, "counted here"),
        kind="bottleneck",
        blocks=(1, 1),
        maps=8,
        num_classes=10,
        input_px=32,
    ),
)


class Bottleneck(nn.Module):
    """1x1 to fewer maps, 3x3, 1x1 to four times as many, and the shortcut around them.

    Args:
        row: of the network; says which convolution has the stride, and which shortcut.
        in_channels, maps: in, and inside; 4 * maps go out.
        stride: px.

    Shapes: (N, in_channels, H, W) -> (N, 4 * maps, H / stride, W / stride), rounded up.

    Reference: figure 5, right.
    """

    expansion = 4

    def __init__(self, row: ResNetRow, in_channels: int, maps: int, stride: int) -> None:
        super().__init__()
        on_1x1, on_3x3 = (stride, 1) if row.stride_on == "1x1" else (1, stride)
        out = maps * self.expansion
        self.residual = row.shortcut != "none"
        self.conv1 = convolution(in_channels, maps, 1, on_1x1)
        self.bn1 = nn.BatchNorm2d(maps)
        self.conv2 = convolution(maps, maps, 3, on_3x3)
        self.bn2 = nn.BatchNorm2d(maps)
        self.conv3 = convolution(maps, out, 1)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(row.shortcut, in_channels, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.residual:
            y += x if self.downsample is None else self.downsample(x)
        z: Tensor = self.relu(y)
        return z


class ResNet(nn.Module):
    """A residual network, or its plain twin.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes).

    Reference: Table 1. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = ResNet(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 30, 40)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: ResNetRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        self.conv1 = convolution(self.in_channels, row.maps, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(row.maps)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, row.pool_padding, ceil_mode=not row.pool_padding)
        channels = row.maps
        for number, count in enumerate(row.blocks):
            maps = row.maps * 2**number
            first = block(row, channels, maps, stride=2 if number else 1)
            channels = maps * first.expansion
            others = (block(row, channels, maps, stride=1) for _ in range(count - 1))
            self.add_module(f"layer{number + 1}", nn.Sequential(first, *others))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, self.num_classes)
        initialise_as_section_3_4(self)

    @property
    def _layers(self) -> list[str]:
        return [f"layer{number}" for number in range(1, len(self.row.blocks) + 1)]

    figure_softmax = MappingProxyType({"": "softmax"})
    """What table 1 has behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (Table 1's name, module path)."""
        parts = [(f"conv{number}_x", layer) for number, layer in enumerate(self._layers, 2)]
        return ("conv1", "relu"), *parts, (f"{self.num_classes}-d fc", "fc")

    @property
    def layer_names(self) -> dict[str, str]:
        """Block n of conv3_x is conv3_n; the first layers as in the authors' files."""
        first = {"conv1": "conv1", "bn1": "bn_conv1", "relu": "conv1_relu", "maxpool": "pool1"}
        counts = enumerate(self.row.blocks, 1)
        return first | {
            f"layer{stage}.{i}": f"conv{stage + 1}_{i + 1}"
            for stage, count in counts
            for i in range(count)
        }

    @property
    def cam_layer(self) -> str:
        """The last stage, whose maps the head averages."""
        return self._layers[-1]

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the maps of the last stage, (N, maps, h, w)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in self._layers:
            x = getattr(self, layer)(x)
        return x

    def head(self, f: Tensor) -> Tensor:
        """The average of each map, fully connected: (N, maps, h, w) -> (N, num_classes)."""
        logits: Tensor = self.fc(torch.flatten(self.avgpool(f), 1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def block(row: ResNetRow, in_channels: int, maps: int, stride: int) -> BasicBlock | Bottleneck:
    """A block of the kind that the row has."""
    if row.kind == "basic":
        return BasicBlock(in_channels, maps, stride, row.shortcut)
    return Bottleneck(row, in_channels, maps, stride)


NETWORK = ResNet
