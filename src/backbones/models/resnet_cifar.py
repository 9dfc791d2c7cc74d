"""ResNet for small pictures: the 20 to 1202 layers with which the paper looked into depth itself.

On CIFAR-10 plain networks got worse from 20 to 56 layers and residual ones better up to 110; with
1202 layers training still worked and only the test error was a little higher.

He, Zhang, Ren & Sun, Deep Residual Learning for Image Recognition, arXiv:1512.03385. Here: section
4.2 with Table 6 (all six depths) and figure 6 (the plain twins); the basic block and the
initialisation of section 3.4 are in `nn/residual.py`.

Deviations, each a value of the row's `shortcut`.

Shapes: N pictures, C channels, H x W px; features are (N, 64, H/4, W/4), rounded up; logits
(N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from backbones.nn.meta import alike
from backbones.nn.pictures import check_pictures
from backbones.nn.residual import BasicBlock, Option, convolution, initialise_as_section_3_4
from backbones.spec import Citation, Claim, Deviation

PAPER = Citation(
    "He, Zhang, Ren & Sun",
    "Deep Residual Learning for Image Recognition",
    2015,
    "arXiv:1512.03385, section 4.2",
)

# Section 4.2's own table: filters, and by how much a stage's first block shrinks the map, so that
# maps of 32, 16 and 8 px follow each other.
STAGES = ((16, 1), (32, 2), (64, 2))
# Table 6: layers, and counted: parameters, multiply-accumulates.
TABLE_6 = (
    (20, 269_722, 40_551_040),
    (32, 464_154, 68_862_592),
    (44, 658_586, 97_174_144),
    (56, 853_018, 125_485_696),
    (110, 1_727_962, 252_887_680),
    (1202, 19_421_274, 2_829_238_912),
)
FIGURE_6_LEFT = TABLE_6[:4]  # the depths that have a plain twin


@dataclass(frozen=True)
class ResNetCifarRow:
    """One depth of Table 6.

    Args:
        name: of the variant.
        n: blocks in each stage; the network has 6n + 2 layers.
        summary: one line for people.
        claims: numbers that a test checks.
        stages: (filters, stride) of each.
        shortcut: option A as public weights need it ("A around"), A, B or C of section 4.1;
            "none" for the plain twins.
    """

    name: str
    n: int
    summary: str
    claims: tuple[Claim, ...] = ()
    stages: tuple[tuple[int, int], ...] = STAGES
    shortcut: Option = "A around"
    num_classes: int = 10
    in_channels: int = 3
    input_px: int = 32
    min_px: int = 1
    citation: Citation = PAPER

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """What differs from the paper, from the fields."""
        return tuple(d for field, value, d in DEVIATIONS if getattr(self, field) == value)


_NOT_A = "; section 4.2 has identity shortcuts (option A) in all cases"
DEVIATIONS = (
    (
        "shortcut",
        "A around",
        Deviation(
            "shortcut",
            "half of option A's maps of zeros before those that are carried on, as public weights"
            " need; fb.resnet.torch has all of them behind, the paper doesn't say",
            "the public CIFAR-10 networks of akamaster/pytorch_resnet_cifar10",
        ),
    ),
    (
        "shortcut",
        "B",
        Deviation(
            "shortcut",
            "option B, projections where the shape changes" + _NOT_A,
            "section 4.1, on ImageNet",
        ),
    ),
    (
        "shortcut",
        "C",
        Deviation(
            "shortcut",
            "option C, projections around every block" + _NOT_A,
            "section 4.1, on ImageNet",
        ),
    ),
)


def _row(depth: int, params: int, macs: int, *, plain: bool = False) -> ResNetCifarRow:
    source = "counted from section 4.2 with 10 classes; Table 6 prints the parameters in millions"
    return ResNetCifarRow(
        f"plain{depth}_cifar" if plain else f"resnet{depth}_cifar",
        (depth - 2) // 6,
        f"{depth} layers, no shortcuts" if plain else f"{depth} layers",
        (Claim("params", params, source), Claim("macs", macs, source)),
        shortcut="none" if plain else "A around",
    )


def _with_projections(option: Option, params: int, macs: int, summary: str) -> ResNetCifarRow:
    """Section 4.1's options B and C, which the paper compares on ImageNet, in 20 layers."""
    return replace(
        _row(20, params, macs),
        name=f"resnet20_cifar_{option.lower()}",
        summary=f"20 layers, {summary}",
        shortcut=option,
    )


ROWS = (
    *(_row(*column) for column in TABLE_6),
    _with_projections("B", 272_474, 40_813_184, "projections where the shape changes"),
    _with_projections("C", 283_962, 42_648_192, "projections around every block"),
    *(_row(*column, plain=True) for column in FIGURE_6_LEFT),
    ResNetCifarRow(
        "resnet_cifar_tiny",
        1,
        "for tests: three narrow blocks",
        (Claim("params", 5_006, "counted here"), Claim("macs", 848_032, "counted here")),
        stages=((4, 1), (8, 2), (16, 2)),
        shortcut="A",
    ),
)


class ResNetCifar(nn.Module):
    """A residual network for small pictures, or its plain twin.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the pictures; the row's own where None.

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
            others = alike(partial(BasicBlock, filters, filters, 1, row.shortcut), row.n - 1)
            self.add_module(f"layer{number}", nn.Sequential(first, *others))
            channels = filters
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, self.num_classes)
        initialise_as_section_3_4(self)

    @property
    def _layers(self) -> list[str]:
        return [f"layer{number}" for number in range(1, len(self.row.stages) + 1)]

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
        check_pictures(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


NETWORK = ResNetCifar
