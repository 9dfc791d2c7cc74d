"""VGG: depth from nothing but 3x3 convolutions.

The paper showed that stacks of 3x3 convolutions, 11 to 19 layers deep, beat shallower networks with
larger filters, and gave the field its plainest and most copied feature extractor.

Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
arXiv:1409.1556. Here: Table 1 (all six columns), Table 2 (parameters), section 2.1 (the head),
section 3.1 (initialisation).

Deviations, each a field of the row: `batch_norm`, `conv_bias`, `init`, `pool_to_px`.

Shapes: N images, C channels, H x W px; features are (N, 512, H/32, W/32), logits (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.init import gaussian, he
from backbones.nn.lrn import LocalResponseNorm
from backbones.nn.naming import numbered
from backbones.nn.pooling import AveragePoolTo
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Simonyan & Zisserman",
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    2014,
    "arXiv:1409.1556",
)
FAMILY = Family("vgg", "VGG", PAPER, "depth from nothing but 3x3 convolutions")

# Table 1. A number is conv3-<maps>, 1x1-<maps> is conv1-<maps>, M is maxpool; every convolution is
# followed by a ReLU, and three fully connected layers follow in every column.
TABLE_1 = {
    "A": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "A-LRN": "64 LRN M 128 M 256 256 M 512 512 M 512 512 M",
    "B": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "C": "64 64 M 128 128 M 256 256 1x1-256 M 512 512 1x1-512 M 512 512 1x1-512 M",
    "D": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "E": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
WEIGHT_LAYERS = {
    "A": "11 weight layers",
    "A-LRN": "11 weight layers, one LRN",
    "B": "13 weight layers",
    "C": "16 weight layers, three of them 1x1",
    "D": "16 weight layers, the best known",
    "E": "19 weight layers, the deepest",
}
TINY = "8 M 16 M 16 M 32 M 32 M"  # ours, for tests: one convolution a stage

Init = Literal["he_convolutions", "he", "paper"]


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "Ioffe & Szegedy (2015), arXiv:1502.03167; torchvision's vgg*_bn": {
        ("batch_norm", True): (
            "batch normalisation between convolution and ReLU; the paper came before it"
        ),
    },
    "Ioffe & Szegedy (2015), arXiv:1502.03167, section 3.2; the form of many tutorials": {
        ("conv_bias", False): "convolutions without biases, which batch normalisation would cancel;"
        " the paper has biases",
    },
    "He et al. (2015), arXiv:1502.01852; torchvision's vgg": {
        ("init", "he_convolutions"): (
            "He initialisation, N(0, 0.01^2) in the head, so that every column trains from"
            " nothing; section 3.1 samples from N(0, variance 0.01) and copies the layers of net A"
            " into the deeper ones"
        ),
    },
    "He et al. (2015), arXiv:1502.01852": {
        ("init", "he"): (
            "He initialisation everywhere, for narrow heads; section 3.1 samples from N(0, variance"
            " 0.01)"
        ),
    },
    "Ioffe & Szegedy (2015), arXiv:1502.03167, section 4.2.1": {
        ("dropout", 0.0): (
            "no dropout, which batch normalisation may replace; section 3.1 drops half"
        ),
    },
    "torchvision's vgg since 2019": {
        ("pool_to_px", 7): (
            "adaptive average pooling to 7x7 before the head, so that other input sizes work; it"
            " changes nothing at 224 px"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class VGGRow(Row):
    """One column of Table 1, with the choices that the field has made since.

    Args:
        layers: the convolutional part, in the words of `TABLE_1`.
        batch_norm: after every convolution.
        conv_bias: convolutions have biases.
        init: "paper" is section 3.1; "he_convolutions" lets the deep columns start from nothing;
            "he" does the same to the head, which a narrow one needs.
        hidden: width of the first two fully connected layers.
        pool_to_px: px, side of the map that the head sees, reached by adaptive average pooling.
        dropout: after the first two fully connected layers.
    """

    layers: str
    batch_norm: bool = False
    conv_bias: bool = True
    init: Init = "he_convolutions"
    hidden: int = 4096
    pool_to_px: int = 7
    dropout: float = 0.5
    min_px: int = 32
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


def _column(name: str, column: str, params: int, macs: int, **choices: Any) -> VGGRow:
    """A column of Table 1, batch normalised or not."""
    summary = f"column {column}: {WEIGHT_LAYERS[column]}"
    if choices.get("batch_norm"):
        summary += ", batch normalised"
    if not choices.get("conv_bias", True):
        summary += ", convolutions without bias"
    source = "counted from Table 1 with 1000 classes; Table 2 prints the parameters in millions"
    return VGGRow(name, summary, counted(params, macs, source), layers=TABLE_1[column], **choices)


def _narrow(name: str, column: str, params: int, macs: int, **choices: Any) -> VGGRow:
    """A column with a quarter of its maps and a head of 256, for small images."""
    layers = " ".join(str(int(w) // 4) if w.isdigit() else w for w in TABLE_1[column].split())
    row = VGGRow(
        name,
        f"column {column} with a quarter of its maps, for 64 px",
        counted(params, macs, "counted here at 64 px with 10 classes"),
        layers=layers,
        init="he",
        hidden=256,
        pool_to_px=2,
        num_classes=10,
        input_px=64,
    )
    return replace(row, **choices)


ROWS = (
    _column("vgg11", "A", 132_863_336, 7_609_090_048),
    _column("vgg11_bn", "A", 132_868_840, 7_609_090_048, batch_norm=True),
    _column("vgg11_bn_nobias", "A", 132_866_088, 7_609_090_048, batch_norm=True, conv_bias=False),
    _column("vgg11_lrn", "A-LRN", 132_863_336, 7_609_090_048),
    _column("vgg11_lrn_bn", "A-LRN", 132_868_840, 7_609_090_048, batch_norm=True),
    _column("vgg13", "B", 133_047_848, 11_308_466_176),
    _column("vgg13_bn", "B", 133_053_736, 11_308_466_176, batch_norm=True),
    _column("vgg13_bn_nobias", "B", 133_050_792, 11_308_466_176, batch_norm=True, conv_bias=False),
    _column("vgg16_1x1", "C", 133_638_952, 11_770_888_192),
    _column("vgg16_1x1_bn", "C", 133_647_400, 11_770_888_192, batch_norm=True),
    _column("vgg16", "D", 138_357_544, 15_470_264_320),
    _column("vgg16_bn", "D", 138_365_992, 15_470_264_320, batch_norm=True),
    _column("vgg16_bn_nobias", "D", 138_361_768, 15_470_264_320, batch_norm=True, conv_bias=False),
    _column("vgg19", "E", 143_667_240, 19_632_062_464),
    _column("vgg19_bn", "E", 143_678_248, 19_632_062_464, batch_norm=True),
    _column("vgg19_bn_nobias", "E", 143_672_744, 19_632_062_464, batch_norm=True, conv_bias=False),
    _narrow("vgg11_narrow", "A", 776_810, 39_717_376),
    _narrow("vgg11_lrn_narrow", "A-LRN", 776_810, 39_717_376),
    _narrow("vgg11_bn_narrow", "A", 778_186, 39_717_376, batch_norm=True),
    _narrow("vgg11_bn_narrow_nodropout", "A", 778_186, 39_717_376, batch_norm=True, dropout=0.0),
    _narrow("vgg16_narrow", "D", 1_120_474, 79_825_408),
    _narrow("vgg16_narrow_paper", "D", 1_120_474, 79_825_408, init="paper"),
    VGGRow(
        "vgg_tiny",
        "for tests: five narrow stages, batch normalised",
        counted(20_250, 776_512, "counted here"),
        layers=TINY,
        batch_norm=True,
        init="he",
        hidden=32,
        pool_to_px=1,
        num_classes=10,
        input_px=32,
    ),
)


def convolutions(row: VGGRow, in_channels: int) -> nn.Sequential:
    """Read a column of Table 1 from top to bottom."""
    layers: list[nn.Module] = []
    channels = in_channels
    for word in row.layers.split():
        if word == "M":
            layers.append(nn.MaxPool2d(2))
        elif word == "LRN":
            layers.append(LocalResponseNorm())
        else:
            kernel, maps = (1, int(word[4:])) if word.startswith("1x1-") else (3, int(word))
            layers.append(
                nn.Conv2d(channels, maps, kernel, padding=kernel // 2, bias=row.conv_bias)
            )
            if row.batch_norm:
                layers.append(nn.BatchNorm2d(maps))
            layers.append(nn.ReLU(inplace=True))
            channels = maps
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """A VGG network.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= 32 -> logits (N, num_classes).

    Reference: section 2.1 and Table 1. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = VGG(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(1, 3, 64, 48)).shape
        torch.Size([1, 2])
    """

    def __init__(
        self, row: VGGRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        self.features = convolutions(row, self.in_channels)
        self.avgpool = AveragePoolTo(row.pool_to_px)
        maps = [layer.out_channels for layer in self.features if isinstance(layer, nn.Conv2d)][-1]
        self.classifier = nn.Sequential(
            nn.Linear(maps * row.pool_to_px**2, row.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(row.dropout),
            nn.Linear(row.hidden, row.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(row.dropout),
            nn.Linear(row.hidden, self.num_classes),
        )
        initialise_as_section_3_1(self, row.init)

    figure_softmax = MappingProxyType({"": "soft-max"})
    """What table 1 has behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name, module path)."""
        pools = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        hidden, classes = self.row.hidden, self.num_classes
        return (
            *((f"maxpool {n}", f"features.{i}") for n, i in enumerate(pools, 1)),
            (f"FC-{hidden} 1", "classifier.0"),
            (f"FC-{hidden} 2", "classifier.3"),
            (f"FC-{classes}", "classifier.6"),
        )

    @property
    def layer_names(self) -> dict[str, str]:
        """The authors' names of the layers, by module path: `conv3_3`, `relu4_2`, `fc6`."""
        return numbered(self, by_block=True)

    @property
    def cam_layer(self) -> str:
        """The last ReLU before the last pooling."""
        return f"features.{len(self.features) - 2}"

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(f), 1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_section_3_1(network: VGG, init: Init) -> None:
    """Section 3.1: weights from a normal with zero mean and variance 0.01, biases zero.

    Or, where `init` says so, He et al. for the convolutions, and 0.01 as the standard deviation in
    the head ("he_convolutions") or He et al. there too ("he").
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and init != "paper":
            he(layer, "fan_out")
        elif isinstance(layer, nn.Linear) and init == "he":
            he(layer, "fan_in")
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            gaussian(layer, 0.1 if init == "paper" else 0.01)


NETWORK = VGG
