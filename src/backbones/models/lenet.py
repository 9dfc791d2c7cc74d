"""LeNet-5: the convolutional network that read cheques.

The paper showed that gradient descent through convolutions and subsampling learns to read
handwriting straight from pixels, and fixed the shape that most networks here still have.

LeCun, Bottou, Bengio & Haffner, Gradient-Based Learning Applied to Document Recognition,
Proceedings of the IEEE 86(11), 1998. Here: section II.B and figure 2 (the layers), Table I (which
maps of S2 feed which map of C3), equation 7 and figure 3 (the output), Appendix A (squashing and
initialisation).

Deviations, each a field of the row: `subsampling`, `c3`, `activation`, `output`, `init`.

Shapes: N images, C channels, 32 x 32 px; features are (N, 120, 1, 1), logits (N, classes).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, groupby
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.nn.images import check_images
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Claim, Family

PAPER = Citation(
    "LeCun, Bottou, Bengio & Haffner",
    "Gradient-Based Learning Applied to Document Recognition",
    1998,
    "Proceedings of the IEEE 86(11):2278-2324",
)
FAMILY = Family("lenet", "LeNet-5", PAPER, "the convolutional network that read cheques")

# Table I: a row a map of S2, a column a map of C3, X where they are connected.
TABLE_I = """
    X . . . X X X . . X X X X . X X
    X X . . . X X X . . X X X X . X
    X X X . . . X X X . . X . X X X
    . X X X . . X X X X . . X . X X
    . . X X X . . X X X X . X X . X
    . . . X X X . . X X X X . X X X
"""

# Figure 3, digits 0 to 9: 12 rows of 7 pixels, # is +1. Transcribed by a third party; the top two
# rows of 0, 2, 4 and 5 are doubtful.
FIGURE_3 = """
    .#####.  ...##..  .#####.  #######  .#####.  .#####.  ..####.  #######  .#####.  .#####.
    .......  ..###..  .......  .....##  .......  .......  .##....  .....##  ##...##  ##..###
    ..###..  .####..  .#####.  ....##.  .......  #######  ##.....  .....##  ##...##  ##...##
    .##.##.  ...##..  ##...##  ...##..  .##..##  ##.....  ##.....  ....##.  ##...##  ##...##
    ##...##  ...##..  #....##  ..####.  .##..##  ##.....  ######.  ...##..  .#####.  ##..###
    ##...##  ...##..  ....##.  .....##  ###..##  .####..  ###..##  ...##..  ##...##  .######
    ##...##  ...##..  ..###..  .....##  ##...##  ..####.  ##...##  ..##...  ##...##  .....##
    ##...##  ...##..  .##....  .....##  ##...##  .....##  ##...##  ..##...  ##...##  .....##
    .##.##.  ...##..  ##.....  ##...##  ##..###  ##...##  ###..##  ..##...  ##...##  ....##.
    ..###..  .######  #######  .#####.  .######  .#####.  .#####.  ..##...  .#####.  .####..
    .......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
    .......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
"""


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "common practice since Krizhevsky et al. (2012); every modern tutorial's LeNet-5": {
        ("subsampling", "max"): "2x2 maximum; the paper's subsampling is trainable",
        ("c3", "full"): "C3 sees all maps of S2; the paper connects by Table I",
        ("activation", "relu"): "ReLU; the paper squashes with 1.7159 tanh(2a/3)",
        ("output", "linear"): "a linear layer; the paper has RBF units",
        ("init", "pytorch"): "U(+-1 / sqrt(F)); the paper has U(+-2.4 / F)",
    },
    "mattwang44/LeNet-from-Scratch has the same": {
        ("output", "rbf"): (
            "figure 3's codes are a third party's transcription; the top two rows of 0, 2, 4 and 5"
            " are doubtful"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class LeNetRow(Row):
    """One form of LeNet-5.

    Args:
        maps: of C1, C3 and C5.
        units: of F6; the output "rbf" compares them with images of 7x12 and needs 84.
        subsampling: "trainable" sums 2x2 pixels, scales, shifts and squashes; "max" is 2x2 maximum.
        c3: "table" connects as Table I does, "full" every map with every map.
        activation: "scaled_tanh" is 1.7159 tanh(2a/3).
        output: "rbf" is minus the squared distance to each class's code, "linear" a plain layer.
        init: "paper" is Appendix A; "pytorch" is what a PyTorch layer starts with.
    """

    maps: tuple[int, int, int] = (6, 16, 120)
    units: int = 84
    subsampling: Literal["trainable", "max"] = "trainable"
    c3: Literal["table", "full"] = "table"
    activation: Literal["scaled_tanh", "relu"] = "scaled_tanh"
    output: Literal["rbf", "linear"] = "rbf"
    init: Literal["paper", "pytorch"] = "paper"
    num_classes: int = 10
    in_channels: int = 1
    input_px: int = 32
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS

    @property
    def min_px(self) -> int:
        """C5 covers all of S4, which fixes the size of the image."""
        return self.input_px


COUNTED = "counted from the layers, 10 classes"
ROWS = (
    LeNetRow(
        "lenet5",
        "the modern form: maximum, ReLU, linear output",
        counted(61_706, 416_520, COUNTED),
        subsampling="max",
        c3="full",
        activation="relu",
        output="linear",
        init="pytorch",
    ),
    LeNetRow(
        "lenet5_1998",
        "the original: trainable subsampling, Table I, scaled tanh, RBF output",
        (
            Claim("params", 60_000, "section II.B prints 60,000"),
            Claim("macs", 325_680, "counted from C1, C3, C5 and F6"),
            Claim("connections", 340_908, "section II.B prints 340,908"),
        ),
    ),
    LeNetRow(
        "lenet5_tiny",
        "for tests: the modern form at 16 px",
        counted(2_242, 18_864, COUNTED),
        maps=(4, 8, 32),
        units=24,
        subsampling="max",
        c3="full",
        activation="relu",
        output="linear",
        init="pytorch",
        input_px=16,
    ),
)


def scaled_tanh(a: Tensor) -> Tensor:
    """1.7159 tanh(2a/3), which passes through (1, 1) and (-1, -1): Appendix A."""
    return 1.7159 * torch.tanh(a * (2 / 3))


class ScaledTanh(nn.Module):
    """The squashing function as a layer."""

    def forward(self, a: Tensor) -> Tensor:
        return scaled_tanh(a)


class Subsampling(nn.Module):
    """S2 and S4: the sum of 2x2 pixels, times a coefficient, plus a bias, squashed.

    Each map has one coefficient and one bias.

    Shapes: (N, C, H, W) -> (N, C, H/2, W/2).
    """

    fan_in = 4

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, 2) * self.fan_in
        return scaled_tanh(total * self.weight[:, None, None] + self.bias[:, None, None])

    def connections(self, output: tuple[int, ...]) -> int:
        return math.prod(output[1:]) * (self.fan_in + 1)


class TableConv2d(nn.Module):
    """C3: a 5x5 convolution in which each map sees only the maps of S2 that a table gives it.

    Only connections that exist are parameters: `weight` is (connections, 5, 5), ordered by the
    maps of C3 and, within one, by the maps of S2.

    Args:
        table: a row a map of S2, a column a map of C3, X where they are connected.
    """

    def __init__(self, table: str) -> None:
        super().__init__()
        rows = [line.split() for line in table.strip().splitlines()]
        self.in_maps, self.out_maps = len(rows), len(rows[0])
        seen = [[i for i, row in enumerate(rows) if row[out] == "X"] for out in range(len(rows[0]))]
        # Neighbours that see equally many maps are one grouped convolution, without a lost product.
        self.runs = [list(run) for _, run in groupby(seen, key=len)]
        self.maps = [out for out, sources in enumerate(seen) for _ in sources]
        self.weight = nn.Parameter(torch.empty(len(self.maps), 5, 5))
        self.bias = nn.Parameter(torch.empty(self.out_maps))
        self.sample_weights(lambda fan_in: 1 / math.sqrt(fan_in))

    @torch.no_grad()
    def sample_weights(self, bound: Callable[[int], float]) -> None:
        """Weights and biases uniform within +-bound(fan-in); the fan-in is 75, 100 or 150."""
        bounds = [bound(self.maps.count(out) * 25) for out in range(self.out_maps)]
        for number, out in enumerate(self.maps):
            self.weight[number].uniform_(-bounds[out], bounds[out])
        for out in range(self.out_maps):
            self.bias[out].uniform_(-bounds[out], bounds[out])

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.split(self.weight, [sum(map(len, run)) for run in self.runs])
        biases = torch.split(self.bias, [len(run) for run in self.runs])
        found = []
        for run, weight, bias in zip(self.runs, weights, biases, strict=True):
            seen = x[:, list(chain.from_iterable(run))]
            found.append(F.conv2d(seen, weight.view(len(run), -1, 5, 5), bias, groups=len(run)))
        return torch.cat(found, dim=1)

    def connections(self, output: tuple[int, ...]) -> int:
        return (self.weight.numel() + self.out_maps) * output[-2] * output[-1]


class RBF(nn.Module):
    """The output: a unit a class, the squared distance from F6 to the class's code (equation 7).

    It returns minus the distance, so that more is likelier, as everywhere else. Cross entropy on
    it is then the paper's criterion (equation 9) without the constant j. Codes are fixed: they
    are a buffer and not trained.

    Shapes: (N, 84) -> (N, num_classes).
    """

    codes: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(class_codes(num_classes)))

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None, :] - self.codes).square().sum(dim=2)

    def connections(self, output: tuple[int, ...]) -> int:
        return self.codes.numel()


def class_codes(num_classes: int) -> list[list[float]]:
    """84 numbers, +1 or -1, a class: figure 3 for the ten digits, then seeded coin tosses.

    Example:
        >>> len(class_codes(12)), sum(class_codes(2)[1]) < 0
        (12, True)
    """
    lines = [line.split() for line in FIGURE_3.strip().splitlines()]
    digits = [
        [1.0 if pixel == "#" else -1.0 for line in lines for pixel in line[digit]]
        for digit in range(10)
    ]
    coin = random.Random(1998)
    others = [
        [1.0 if coin.getrandbits(1) else -1.0 for _ in range(len(digits[0]))]
        for _ in range(10, num_classes)
    ]
    return (digits + others)[:num_classes]


class LeNet(nn.Module):
    """A LeNet-5.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: of the output; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, P, P) with P = row.input_px -> logits (N, num_classes).

    Reference: section II.B and figure 2; the layers have its names.

    Example:
        >>> LeNet(ROWS[1])(torch.zeros(1, 1, 32, 32)).shape
        torch.Size([1, 10])
    """

    def __init__(
        self, row: LeNetRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        first, second, third = row.maps
        trainable = row.subsampling == "trainable"
        self.squash = ScaledTanh() if row.activation == "scaled_tanh" else nn.ReLU()
        self.c1 = nn.Conv2d(self.in_channels, first, 5)
        self.s2 = Subsampling(first) if trainable else nn.MaxPool2d(2)
        self.c3 = TableConv2d(TABLE_I) if row.c3 == "table" else nn.Conv2d(first, second, 5)
        self.s4 = Subsampling(second) if trainable else nn.MaxPool2d(2)
        s4_px = ((row.input_px - 4) // 2 - 4) // 2
        self.c5 = nn.Conv2d(second, third, s4_px)
        self.f6 = nn.Linear(third, row.units)
        rbf = row.output == "rbf"
        self.output = RBF(self.num_classes) if rbf else nn.Linear(row.units, self.num_classes)
        if row.init == "paper":
            initialise_as_appendix_a(self)

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The layers of figure 2: (name, module path)."""
        names = ("C1", "S2", "C3", "S4", "C5", "F6", "OUTPUT")
        return tuple((name, name.lower()) for name in names)

    @property
    def layer_names(self) -> dict[str, str]:
        """Section II.A's word for what follows every layer but the last."""
        return {"squash": "squashing function"}

    @property
    def cam_layer(self) -> str:
        """C3, the last layer with more than a handful of positions."""
        return "c3"

    def features(self, x: Tensor) -> Tensor:
        """(N, C, P, P) -> (N, 120, 1, 1), the squashed C5."""
        x = self.s2(self.squash(self.c1(x)))
        x = self.s4(self.squash(self.c3(x)))
        squashed: Tensor = self.squash(self.c5(x))
        return squashed

    def head(self, f: Tensor) -> Tensor:
        """(N, 120, 1, 1) -> logits (N, num_classes)."""
        logits: Tensor = self.output(self.squash(self.f6(torch.flatten(f, 1))))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        side = self.row.input_px
        check_images(x, self.row.name, self.in_channels, side, side)
        return self.head(self.features(x))


def initialise_as_appendix_a(network: LeNet) -> None:
    """Appendix A: weights and biases uniform within +-2.4 / F, F the unit's number of inputs."""
    for layer in network.modules():
        if isinstance(layer, TableConv2d):
            layer.sample_weights(lambda fan_in: 2.4 / fan_in)
        elif isinstance(layer, nn.Conv2d | nn.Linear | Subsampling):
            inputs = 4 if isinstance(layer, Subsampling) else layer.weight[0].numel()
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -2.4 / inputs, 2.4 / inputs)


NETWORK = LeNet
