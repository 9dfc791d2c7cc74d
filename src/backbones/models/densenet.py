"""DenseNet: every layer sees the maps of all layers before it.

Within a block a layer adds a few maps (the growth rate k) to those of all earlier ones and passes
everything on. Maps are reused instead of learned again, so that half of a ResNet's parameters and
arithmetic do.

Huang, Liu, van der Maaten & Weinberger, Densely Connected Convolutional Networks,
arXiv:1608.06993. Here: Table 1 (all columns), section 3 (composite function, bottleneck,
compression, the networks for small images), section 4.2 (dropout, initialisation). The option
that saves memory is that of Pleiss et al., Memory-Efficient Implementation of DenseNets,
arXiv:1707.06990.

Deviations, each a field of the row: `growth_rate`.

Shapes: N images, C channels, H x W px; features are (N, maps, H/32, W/32), for the networks for
small images (N, maps, H/4, W/4); logits (N, classes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.init import he
from backbones.nn.recomputing import recomputed
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Huang, Liu, van der Maaten & Weinberger",
    "Densely Connected Convolutional Networks",
    2016,
    "arXiv:1608.06993",
)
FAMILY = Family("densenet", "DenseNet", PAPER, "every layer sees the maps of all layers before it")

# Table 1: layers in dense blocks (1) to (4). 161 is from the authors' repository; what the paper
# calls 264 has 265 layers with weights.
TABLE_1 = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the authors' repository, liuzhuang13/DenseNet; torchvision's densenet161": {
        ("growth_rate", 48): "k = 48; all columns of Table 1 have k = 32",
    },
}


@dataclass(frozen=True, kw_only=True)
class DenseNetRow(Row):
    """One column of Table 1, or one row of Table 2.

    Args:
        blocks: layers of each dense block.
        growth_rate: k, maps that a layer adds.
        stem: "7x7" is Table 1's, stride 2 and max pooling; "3x3" is that for small images.
        stem_maps: that enter the first block.
        bottleneck: a layer has a 1x1 convolution to 4k maps before its 3x3 (DenseNet-B).
        compression: theta, the share of maps that a transition keeps (below 1: DenseNet-C).
        dropout: after every convolution but the first; 0.2 in the paper, on images that are not
            augmented.
        memory_saving: compute concatenations, their normalisation and the first convolution
            again in the backward pass instead of keeping them. Same gradients.
    """

    blocks: tuple[int, ...]
    growth_rate: int
    stem: Literal["7x7", "3x3"] = "7x7"
    stem_maps: int = 64
    bottleneck: bool = True
    compression: float = 0.5
    dropout: float = 0.0
    memory_saving: bool = False
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS

    @property
    def min_px(self) -> int:
        """px, the smallest image of which the transitions, which halve the map, leave one px."""
        before_transitions = 1 << (len(self.blocks) - 1)
        # Table 1's stem quarters the map and rounds up.
        return 4 * before_transitions - 3 if self.stem == "7x7" else before_transitions


def _imagenet(name: str, depth: int, growth_rate: int, params: int, macs: int) -> DenseNetRow:
    return DenseNetRow(
        name,
        f"{depth} layers, k = {growth_rate}",
        counted(params, macs, "counted from Table 1 with 1000 classes"),
        blocks=TABLE_1[depth],
        growth_rate=growth_rate,
        stem_maps=2 * growth_rate,
    )


def _cifar(name: str, depth: int, growth_rate: int, params: int, macs: int) -> DenseNetRow:
    """Section 3: three equal blocks; without bottleneck and compression the stem has 16 maps."""
    source = "counted from section 3 with 10 classes; Table 2 prints the parameters in millions"
    return DenseNetRow(
        name,
        f"{depth} layers for small images, k = {growth_rate}",
        counted(params, macs, source),
        blocks=((depth - 4) // 3,) * 3,
        growth_rate=growth_rate,
        stem="3x3",
        stem_maps=16,
        bottleneck=False,
        compression=1.0,
        num_classes=10,
        input_px=32,
    )


def _cifar_bc(name: str, depth: int, growth_rate: int, params: int, macs: int) -> DenseNetRow:
    """The same with bottleneck (two convolutions a layer) and compression."""
    row = _cifar(name, depth, growth_rate, params, macs)
    return replace(
        row,
        summary=f"{row.summary}, bottlenecks and compression",
        blocks=((depth - 4) // 6,) * 3,
        stem_maps=2 * growth_rate,
        bottleneck=True,
        compression=0.5,
    )


ROWS = (
    _imagenet("densenet121", 121, 32, 7_978_856, 2_834_161_664),
    _imagenet("densenet161", 161, 48, 28_681_000, 7_727_907_072),
    _imagenet("densenet169", 169, 32, 14_149_480, 3_359_843_328),
    _imagenet("densenet201", 201, 32, 20_013_928, 4_291_365_888),
    _imagenet("densenet264", 264, 32, 33_337_704, 5_751_653_376),
    _cifar("densenet_40_12", 40, 12, 1_019_722, 264_812_928),
    _cifar("densenet_100_12", 100, 12, 6_979_642, 1_769_516_448),
    _cifar("densenet_100_24", 100, 24, 27_249_082, 6_889_347_744),
    _cifar_bc("densenet_bc_22_12", 22, 12, 71_686, 31_238_322),
    _cifar_bc("densenet_bc_100_12", 100, 12, 769_162, 287_929_692),
    _cifar_bc("densenet_bc_250_24", 250, 24, 15_324_406, 5_418_785_724),
    _cifar_bc("densenet_bc_190_40", 190, 40, 25_624_430, 9_301_945_740),
    DenseNetRow(
        "densenet_tiny",
        "for tests: two short blocks",
        counted(4_706, 427_168, "counted here"),
        blocks=(2, 2),
        growth_rate=4,
        stem_maps=8,
        num_classes=10,
        input_px=32,
    ),
)


class DenseLayer(nn.Module):
    """What a layer does to all maps before it, H in section 3.

    Batch norm, ReLU, 3x3 convolution to k maps; a bottleneck has batch norm, ReLU, 1x1 convolution
    to 4k maps in front.

    Args:
        row: of the network.
        in_channels: of all maps before.

    Shapes: a tuple of (N, C_i, H, W), whose C_i sum to in_channels -> (N, k, H, W).

    Reference: section 3, "Composite function", "Bottleneck layers".
    """

    def __init__(self, row: DenseNetRow, in_channels: int) -> None:
        super().__init__()
        self.memory_saving = row.memory_saving
        maps = row.growth_rate
        self.relu = nn.ReLU(inplace=True)
        self.norm1 = nn.BatchNorm2d(in_channels)
        if row.bottleneck:
            self.conv1 = nn.Conv2d(in_channels, 4 * maps, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(4 * maps)
            self.conv2 = nn.Conv2d(4 * maps, maps, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, maps, 3, padding=1, bias=False)
        self.bottleneck = row.bottleneck
        self.dropout = nn.Dropout(row.dropout) if row.dropout else None

    def first_convolution(self, *before: Tensor) -> Tensor:
        """The maps before, as one, through the first normalisation, ReLU and convolution."""
        x = before[0] if len(before) == 1 else torch.cat(before, 1)
        y: Tensor = self.conv1(self.relu(self.norm1(x)))
        return y

    def forward(self, before: tuple[Tensor, ...]) -> Tensor:
        if self.memory_saving:
            y = recomputed(self.first_convolution, self.norm1, *before)
        else:
            y = self.first_convolution(*before)
        y = y if self.dropout is None else self.dropout(y)
        if self.bottleneck:
            y = self.conv2(self.relu(self.norm2(y)))
            y = y if self.dropout is None else self.dropout(y)
        return y


class DenseBlock(nn.Module):
    """Layers of which each sees what came in and what all layers before it made.

    Shapes: (N, in_channels, H, W) -> (N, in_channels + num_layers * k, H, W).

    Reference: section 3, "Dense connectivity"; figure 1.
    """

    def __init__(self, row: DenseNetRow, num_layers: int, in_channels: int) -> None:
        super().__init__()
        for number in range(num_layers):
            layer = DenseLayer(row, in_channels + number * row.growth_rate)
            self.add_module(f"denselayer{number + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        maps: tuple[Tensor, ...] = (x,)
        for layer in self.children():
            maps = (*maps, layer(maps))
        return torch.cat(maps, 1)


def transition(in_channels: int, out_channels: int, dropout: float) -> nn.Sequential:
    """Section 3, "Pooling layers": batch norm, ReLU, 1x1 convolution, average pooling that halves.

    Shapes: (N, in_channels, H, W) -> (N, out_channels, H / 2, W / 2), rounded down.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["norm"] = nn.BatchNorm2d(in_channels)
    layers["relu"] = nn.ReLU(inplace=True)
    layers["conv"] = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["pool"] = nn.AvgPool2d(2)
    return nn.Sequential(layers)


def stem(row: DenseNetRow, in_channels: int) -> OrderedDict[str, nn.Module]:
    """What comes before the first block: Table 1's, or one convolution for small images."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if row.stem == "3x3":
        layers["conv0"] = nn.Conv2d(in_channels, row.stem_maps, 3, padding=1, bias=False)
        return layers
    layers["conv0"] = nn.Conv2d(in_channels, row.stem_maps, 7, 2, 3, bias=False)
    layers["norm0"] = nn.BatchNorm2d(row.stem_maps)
    layers["relu0"] = nn.ReLU(inplace=True)
    layers["pool0"] = nn.MaxPool2d(3, 2, 1)
    return layers


class DenseNet(nn.Module):
    """A densely connected network.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes).

    Reference: section 3 and Table 1. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = DenseNet(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 30, 40)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, row: DenseNetRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        layers = stem(row, self.in_channels)
        channels = row.stem_maps
        for number, num_layers in enumerate(row.blocks, 1):
            layers[f"denseblock{number}"] = DenseBlock(row, num_layers, channels)
            channels += num_layers * row.growth_rate
            if number < len(row.blocks):
                maps = int(channels * row.compression)
                layers[f"transition{number}"] = transition(channels, maps, row.dropout)
                channels = maps
        layers["norm5"] = nn.BatchNorm2d(channels)
        layers["relu5"] = nn.ReLU(inplace=True)
        self.features = nn.Sequential(layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, self.num_classes)
        initialise_as_section_4_2(self)

    figure_softmax = MappingProxyType({"": "softmax"})
    """What table 1 has behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (Table 1's name, module path)."""
        found = [("Convolution", "relu0" if self.row.stem == "7x7" else "conv0")]
        if self.row.stem == "7x7":
            found.append(("Pooling", "pool0"))
        last = len(self.row.blocks)
        for number in range(1, last + 1):
            found.append((f"Dense Block ({number})", f"denseblock{number}"))
            if number < last:
                found.append((f"Transition Layer ({number})", f"transition{number}"))
        paths = tuple((title, f"features.{path}") for title, path in found)
        return *paths, ("Classification Layer", "classifier")

    @property
    def cam_layer(self) -> str:
        """The ReLU before the last pooling."""
        return "features.relu5"

    def head(self, f: Tensor) -> Tensor:
        """Average pooling and the fully connected layer: (N, maps, h, w) -> (N, num_classes)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(f), 1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_section_4_2(network: DenseNet) -> None:
    """Section 4.2: He et al.; fan-out, and the last biases zero, as in the authors' code."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            he(layer, "fan_out")
    nn.init.zeros_(network.classifier.bias)


NETWORK = DenseNet
