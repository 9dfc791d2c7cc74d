"""ResNet for small images: the 20 to 1202 layers with which the paper looked into depth itself.

On CIFAR-10 plain networks got worse from 20 to 56 layers and residual ones better up to 110; with
1202 layers training still worked and only the test error was a little higher.

He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385. Here: section
4.2 with Table 6 (all six depths) and figure 6 (the plain twins); the basic block and the
initialisation of section 3.4 are in `nn/residual.py`.

Deviations, each a value of the row's `shortcut`.

Shapes: N images, C channels, H x W px; features are (N, 64, H/4, W/4), rounded up; logits
(N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.residual import BasicBlock, Option, convolution, initialise_as_section_3_4
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "He, Zhang, Ren & Sun",
    "Deep Residual Learning for Image Recognition",
    2015,
    "arXiv:1512.03385, section 4.2",
)
FAMILY = Family(
    "resnet_cifar",
    "ResNet for CIFAR-10",
    PAPER,
    "20 to 1202 layers for small images, with and without shortcuts",
)

# Section 4.2's own table: filters, and by how much a stage's first block shrinks the map, so that
# maps of 32, 16 and 8 px follow each other.
STAGES = ((16, 1), (32, 2), (64, 2))
_NOT_A = "; section 4.2 has identity shortcuts (option A) in all cases"
# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the public CIFAR-10 networks of akamaster/pytorch_resnet_cifar10": {
        ("shortcut", "A around"): (
            "half of option A's maps of zeros before those that are carried on, as public weights"
            " need; fb.resnet.torch has all of them behind, the paper doesn't say"
        ),
    },
    "section 4.1, on ImageNet": {
        ("shortcut", "B"): "option B, projections where the shape changes" + _NOT_A,
        ("shortcut", "C"): "option C, projections around every block" + _NOT_A,
    },
}


@dataclass(frozen=True, kw_only=True)
class ResNetCifarRow(Row):
    """One depth of Table 6.

    Args:
        n: blocks in each stage; the network has 6n + 2 layers.
        stages: (filters, stride) of each.
        shortcut: option A as public weights need it ("A around"), A, B or C of section 4.1;
            "none" for the plain twins.
    """

    n: int
    stages: tuple[tuple[int, int], ...] = STAGES
    shortcut: Option = "A around"
    num_classes: int = 10
    input_px: int = 32
    min_px: int = 1
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


def _row(
    name: str, depth: int, params: int, macs: int, text: str = "", shortcut: Option = "A around"
) -> ResNetCifarRow:
    """A depth of Table 6, in which 6n + 2 layers are n blocks in each stage."""
    source = "counted from section 4.2 with 10 classes; Table 6 prints the parameters in millions"
    claims = counted(params, macs, source)
    n = (depth - 2) // 6
    return ResNetCifarRow(name, f"{depth} layers{text}", claims, n=n, shortcut=shortcut)


B, C, PLAIN = (
    ", projections where the shape changes",
    ", projections around every block",
    ", no shortcuts",
)
ROWS = (
    _row("resnet20_cifar", 20, 269_722, 40_551_040),
    _row("resnet32_cifar", 32, 464_154, 68_862_592),
    _row("resnet44_cifar", 44, 658_586, 97_174_144),
    _row("resnet56_cifar", 56, 853_018, 125_485_696),
    _row("resnet110_cifar", 110, 1_727_962, 252_887_680),
    _row("resnet1202_cifar", 1202, 19_421_274, 2_829_238_912),
    # Section 4.1's options B and C, which the paper compares on ImageNet.
    _row("resnet20_cifar_b", 20, 272_474, 40_813_184, B, "B"),
    _row("resnet20_cifar_c", 20, 283_962, 42_648_192, C, "C"),
    # Figure 6, left: the depths that have a plain twin.
    _row("plain20_cifar", 20, 269_722, 40_551_040, PLAIN, "none"),
    _row("plain32_cifar", 32, 464_154, 68_862_592, PLAIN, "none"),
    _row("plain44_cifar", 44, 658_586, 97_174_144, PLAIN, "none"),
    _row("plain56_cifar", 56, 853_018, 125_485_696, PLAIN, "none"),
    ResNetCifarRow(
        "resnet_cifar_tiny",
        "for tests: three narrow blocks",
        counted(5_006, 848_032, "counted here"),
        n=1,
        stages=((4, 1), (8, 2), (16, 2)),
        shortcut="A",
    ),
)


class ResNetCifar(nn.Module):
    """A residual network for small images, or its plain twin.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) of any size -> logits (N, num_classes).

    Reference: section 4.2. Parameter names are those of torchvision's ResNet.

    Example:
        >>> import torch
        >>> network = ResNetCifar(ROWS[0], num_classes=100)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 100])
    """

    def __init__(
        self, row: ResNetCifarRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        channels = row.stages[0][0]
        self.conv1 = convolution(self.in_channels, channels, 3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        for number, (filters, stride) in enumerate(row.stages, 1):
            first = BasicBlock(channels, filters, stride, row.shortcut)
            others = (BasicBlock(filters, filters, 1, row.shortcut) for _ in range(row.n - 1))
            self.add_module(f"layer{number}", nn.Sequential(first, *others))
            channels = filters
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, self.num_classes)
        initialise_as_section_3_4(self)

    @property
    def _layers(self) -> list[str]:
        return [f"layer{number}" for number in range(1, len(self.row.stages) + 1)]

    figure_softmax = MappingProxyType({"": "softmax"})
    """What section 4.2 ends the network with; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (its filters, as section 4.2 tells them apart; module path)."""
        titles = [f"{filters} filters" for filters, _ in self.row.stages]
        parts = zip(titles, self._layers, strict=True)
        return ("first layer", "relu"), *parts, (f"{self.num_classes}-way fully connected", "fc")

    @property
    def cam_layer(self) -> str:
        """The last stage, whose maps the head averages."""
        return self._layers[-1]

    def features(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the maps of the last stage, (N, maps, h, w)."""
        x = self.relu(self.bn1(self.conv1(x)))
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


NETWORK = ResNetCifar
