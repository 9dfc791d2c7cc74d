"""GoogLeNet: parallel filters of several sizes, and 1x1 convolutions that make them affordable.

The paper's Inception module looks at the same maps through 1x1, 3x3 and 5x5 filters and a pooling,
and joins what they see; 22 layers deep with a ninth of AlexNet's parameters, it won ImageNet in
2014. Two auxiliary heads half-way push gradients into the lower layers and are discarded later.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich, Going Deeper with
Convolutions, arXiv:1409.4842. Here: table 1 and figure 3 (the network), figure 2b (the module),
section 5 (the heads).

Deviations, each a field of the row: `conv1`, `batch_norm`, `five_by_five`, `lrn`, `last_pool_px`,
`dropout`, `auxiliary`, `init`.

Shapes: N images, C channels, H x W px; features are (N, 1024, 7, 7) at 224 px, logits
(N, classes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.nn.auxiliary import WithAuxiliary
from backbones.nn.conv import ConvNormAct, SeparableNormAct
from backbones.nn.images import check_images
from backbones.nn.init import he
from backbones.nn.lrn import Constants, LocalResponseNorm
from backbones.nn.pooling import average_to
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich",
    "Going Deeper with Convolutions",
    2014,
    "arXiv:1409.4842",
)
FAMILY = Family(
    "googlenet",
    "GoogLeNet / Inception v1",
    PAPER,
    "parallel filters of several sizes, made affordable by 1x1 convolutions",
)


@dataclass(frozen=True)
class Inception:
    """One Inception line of table 1.

    Args:
        name: as in "inception (3a)"; a max pooling stands where the digit changes.
        ones: maps of the 1x1 convolution.
        reduce_threes, threes: of the 3x3 convolution and of the 1x1 in front of it.
        reduce_fives, fives: of the 5x5 convolution and of the 1x1 in front of it.
        projection: of the 1x1 convolution behind the pooling.
    """

    name: str
    ones: int
    reduce_threes: int
    threes: int
    reduce_fives: int
    fives: int
    projection: int

    @property
    def maps(self) -> int:
        """Of the four branches together."""
        return self.ones + self.threes + self.fives + self.projection


STEM = (64, 64, 192)  # table 1: the 7x7 convolution, "#3x3 reduce" and "#3x3" of the second line
TABLE_1 = (
    Inception("3a", 64, 96, 128, 16, 32, 32),
    Inception("3b", 128, 128, 192, 32, 96, 64),
    Inception("4a", 192, 96, 208, 16, 48, 64),
    Inception("4b", 160, 112, 224, 24, 64, 64),
    Inception("4c", 128, 128, 256, 24, 64, 64),
    Inception("4d", 112, 144, 288, 32, 64, 64),
    Inception("4e", 256, 160, 320, 32, 128, 128),
    Inception("5a", 256, 160, 320, 32, 128, 128),
    Inception("5b", 384, 192, 384, 48, 128, 128),
)
# Section 5. A side of 4 px is what 14x14 maps become, averaged 5x5 with stride 3.
AUXILIARY_AFTER, AUXILIARY_WEIGHT = ("4a", "4d"), 0.3
AUXILIARY_DROPOUT, AUXILIARY_SIDE_PX = 0.7, 4
TINY = tuple(Inception(name, 8, 4, 8, 2, 4, 4) for name in ("3a", "4a", "4d", "5a"))  # ours

Init = Literal["normal", "xavier", "he"]


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the weights released with TensorFlow-Slim; torchvision's googlenet": {
        ("batch_norm", True): "batch normalisation and no biases; the paper came before it",
        ("five_by_five", 3): "3x3 filters for the printed 5x5; pytorch/vision issue 906",
        ("lrn", None): "no local response normalisation; figure 3 has two",
        ("last_pool_px", 2): "the max pooling in front of 5a is 2x2; table 1 has 3x3",
    },
    "torchvision's googlenet": {
        ("dropout", 0.2): "the main head drops 20 %; table 1 prints 40 %",
        ("auxiliary", "adaptive"): "4x4 windows by size; section 5 averages 5x5 with stride 3",
        ("auxiliary", "5x5/3"): "maps that section 5's windows do not bring to 4x4 are averaged"
        " adaptively, so that other sizes can be trained; nothing changes at 224 px",
        ("init", "normal"): (
            "weights from N(0, 0.01^2), connected layers' biases as PyTorch"
            " samples them; the paper does not say how it began"
        ),
    },
    "BVLC Caffe, models/bvlc_googlenet": {
        ("conv1", "full"): (
            "a full 7x7, 9,408 weights and 118 M MACs; the 2.7K and 34M of table 1 are"
            " those of a separable one with 8 maps a channel, which the text does not mention"
        ),
        ("lrn", "caffe"): "n = 5, k = 1, alpha = 0.0001 / n; the paper prints no constants",
        ("init", "xavier"): "uniform weights with variance 1 / fan-in, biases 0.2 in front of"
        " ReLUs; the paper does not say how it began",
    },
    "section 5, of inference": {
        ("auxiliary", None): "no auxiliary heads, which the paper trains with and then discards",
    },
    "He et al. (2015), arXiv:1502.01852": {
        ("init", "he"): "for narrow networks; the paper does not say how it began",
    },
}


@dataclass(frozen=True, kw_only=True)
class GoogLeNetRow(Row):
    """The network of table 1, with the choices that others have made since.

    Args:
        table: the Inception lines.
        stem: maps of the three convolutions in front of them.
        conv1: "separable": a 7x7 for each channel with 8 maps each, then a 1x1.
        batch_norm: after every convolution, which then has no bias.
        five_by_five: px, the side of the filters in the paper's 5x5 branch.
        lrn: constants of the two local response normalisations; None leaves them out.
        last_pool_px: side of the window of the max pooling in front of 5a; its stride is 2.
        dropout: share of the averaged maps that the main head drops.
        auxiliary: how the two auxiliary heads average their maps to 4x4; None leaves them out.
        aux_maps, aux_hidden: widths of their convolution and of their first connected layer.
        init: "xavier" is BVLC's, "normal" torchvision's, "he" for narrow networks.
    """

    table: tuple[Inception, ...] = TABLE_1
    stem: tuple[int, int, int] = STEM
    conv1: Literal["full", "separable"] = "full"
    batch_norm: bool = False
    five_by_five: int = 5
    lrn: Constants | None = "caffe"
    last_pool_px: int = 3
    dropout: float = 0.4
    auxiliary: Literal["5x5/3", "adaptive"] | None = "5x5/3"
    aux_maps: int = 128
    aux_hidden: int = 1024
    init: Init = "xavier"
    min_px: int = 31
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


_TABLE_1 = (6_998_552, 1_582_671_872, "counted from table 1 with a full 7x7, and from section 5")
_PUBLIC = (6_624_904, 1_498_376_192, "counted from table 1 with 3x3 for 5x5; torchvision's number")
_AS_PRINTED = GoogLeNetRow(
    "inception_v1",
    "as the paper prints it, with both auxiliary heads",
    counted(13_378_280, *_TABLE_1[1:], inference_params=_TABLE_1[0]),
)
_AS_RELEASED = GoogLeNetRow(
    "googlenet_aux",
    "the form of the public weights, batch normalised, with both auxiliary heads",
    counted(13_004_888, *_PUBLIC[1:], inference_params=_PUBLIC[0]),
    batch_norm=True,
    five_by_five=3,
    lrn=None,
    last_pool_px=2,
    dropout=0.2,
    auxiliary="adaptive",
    init="normal",
    min_px=15,
)
ROWS = (
    _AS_PRINTED,
    replace(
        _AS_PRINTED,
        name="inception_v1_noaux",
        summary="as the paper prints it, without auxiliary heads",
        claims=counted(*_TABLE_1, inference_params=_TABLE_1[0]),
        auxiliary=None,
    ),
    replace(
        _AS_RELEASED,
        name="googlenet",
        summary="the form of the public weights, batch normalised",
        claims=counted(*_PUBLIC, inference_params=_PUBLIC[0]),
        auxiliary=None,
    ),
    _AS_RELEASED,
    replace(
        _AS_RELEASED,
        name="googlenet_tiny",
        summary="for tests: four narrow modules, two auxiliary heads",
        claims=counted(8_598, 396_616, "counted here", inference_params=5_970),
        table=TINY,
        stem=(8, 8, 16),
        aux_maps=4,
        aux_hidden=16,
        init="he",
        num_classes=10,
        input_px=32,
    ),
)


def _unit(row: GoogLeNetRow) -> partial[ConvNormAct]:
    """The row's convolution with ReLU, and with batch normalisation where the row says so."""
    return partial(ConvNormAct, norm_eps=1e-3 if row.batch_norm else None)


class InceptionModule(nn.Module):
    """Figure 2b: (N, in_channels, H, W) -> (N, line.maps, H, W), four branches joined."""

    columns = ("1x1", "3x3 reduce", "3x3", "5x5 reduce", "5x5", "pool", "pool proj")  # of table 1

    def __init__(self, row: GoogLeNetRow, line: Inception, in_channels: int) -> None:
        super().__init__()
        unit, side = _unit(row), row.five_by_five
        self.branch1 = unit(in_channels, line.ones, 1)
        self.branch2 = nn.Sequential(
            unit(in_channels, line.reduce_threes, 1),
            unit(line.reduce_threes, line.threes, 3, padding=1),
        )
        self.branch3 = nn.Sequential(
            unit(in_channels, line.reduce_fives, 1),
            unit(line.reduce_fives, line.fives, side, padding=side // 2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), unit(in_channels, line.projection, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1
        )


class AuxiliaryHead(nn.Module):
    """Section 5: (N, in_channels, h, w) -> logits (N, num_classes)."""

    def __init__(self, row: GoogLeNetRow, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.overlaps = row.auxiliary == "5x5/3"
        self.conv = _unit(row)(in_channels, row.aux_maps, 1)
        self.fc1 = nn.Linear(row.aux_maps * AUXILIARY_SIDE_PX**2, row.aux_hidden)
        self.dropout = nn.Dropout(AUXILIARY_DROPOUT)
        self.fc2 = nn.Linear(row.aux_hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.overlaps and min(x.shape[2:]) >= 5:
            x = F.avg_pool2d(x, 5, stride=3)
        x = self.conv(average_to(x, AUXILIARY_SIDE_PX))
        logits: Tensor = self.fc2(self.dropout(F.relu(self.fc1(torch.flatten(x, 1)), inplace=True)))
        return logits


def lines_of_table_1(row: GoogLeNetRow, in_channels: int) -> dict[str, nn.Module]:
    """Table 1 up to the last Inception module, under torchvision's names.

    Poolings round sizes up: 112, 56, ... 7. Figure 3 normalises after the first, before the second.
    """
    unit, (conv1, reduced, conv3) = _unit(row), row.stem
    pool1, pool2 = (nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(2))
    lines: dict[str, nn.Module] = {
        "conv1": unit(in_channels, conv1, 7, stride=2, padding=3)
        if row.conv1 == "full"
        else SeparableNormAct(in_channels, conv1, 7, 8, **unit.keywords),
        "maxpool1": nn.Sequential(pool1, LocalResponseNorm.of(row.lrn)) if row.lrn else pool1,
        "conv2": unit(conv1, reduced, 1),
        "conv3": unit(reduced, conv3, 3, padding=1),
        "maxpool2": nn.Sequential(LocalResponseNorm.of(row.lrn), pool2) if row.lrn else pool2,
    }
    channels, level = conv3, "3"
    for line in row.table:
        if line.name[0] != level:
            size_px = row.last_pool_px if level == "4" else 3
            lines[f"maxpool{level}"] = nn.MaxPool2d(size_px, 2, ceil_mode=True)
            level = line.name[0]
        lines[f"inception{line.name}"] = InceptionModule(row, line, channels)
        channels = line.maps
    return lines


class GoogLeNet(nn.Module):
    """A GoogLeNet, the first Inception network.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes); in training
    mode, with auxiliary heads, `WithAuxiliary`.

    Reference: table 1 and section 5. Parameter names are torchvision's.
    """

    def __init__(
        self, row: GoogLeNetRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        self.lines = tuple(lines := lines_of_table_1(row, self.in_channels))
        for name, layer in lines.items():
            self.add_module(name, layer)
        maps = {line.name: line.maps for line in row.table}
        self.heads: dict[str, str] = {}  # line of table 1 -> the auxiliary head on it
        for number, line in enumerate(AUXILIARY_AFTER if row.auxiliary else (), 1):
            self.heads[f"inception{line}"] = f"aux{number}"
            self.add_module(f"aux{number}", AuxiliaryHead(row, maps[line], self.num_classes))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(row.dropout)
        self.fc = nn.Linear(row.table[-1].maps, self.num_classes)
        initialise(self, row.init)

    figure_softmax = MappingProxyType({"": "softmax2", "aux1": "softmax0", "aux2": "softmax1"})
    """What figure 3 draws behind the network and each head; the losses hold it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name in table 1, module path)."""
        titles = {"conv1": "convolution 7x7/2", "conv3": "convolution 3x3/1"}
        titles |= {f"maxpool{n}": f"max pool {n}" for n in range(1, 5)}
        titles |= {f"inception{line.name}": f"inception ({line.name})" for line in self.row.table}
        lines = [(titles[name], name) for name in self.lines if name in titles]
        return (*lines, ("avg pool", "avgpool"), ("linear", "fc"))

    @property
    def cam_layer(self) -> str:
        """The last Inception module: its maps are averaged and weighed by the classes."""
        return self.lines[-1]

    def features(self, x: Tensor) -> Tensor:
        """Images -> the maps of the last Inception module."""
        return self._follow(x, {})[0]

    def _follow(self, x: Tensor, heads: dict[str, str]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The last maps, and what the heads say half-way."""
        logits = []
        for name in self.lines:
            x = getattr(self, name)(x)
            if name in heads:
                logits.append(getattr(self, heads[name])(x))
        return x, tuple(logits)

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(f), 1)))
        return logits

    def forward(self, x: Tensor) -> Tensor | WithAuxiliary:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        heads = self.heads if self.training else {}
        f, auxiliary = self._follow(x, heads)
        logits = self.head(f)
        return WithAuxiliary(logits, auxiliary, AUXILIARY_WEIGHT) if heads else logits


def initialise(network: GoogLeNet, init: Init) -> None:
    """By `init`; "xavier" is uniform in +-sqrt(3 / fan-in), biases 0.2, in the classifiers zero."""
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if init == "he":
            he(layer, "fan_in")
        elif init == "normal":
            nn.init.normal_(layer.weight, std=0.01)
        else:
            edge = math.sqrt(3 / layer.weight[0].numel())
            nn.init.uniform_(layer.weight, -edge, edge)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, 0.0 if name.endswith(("fc", "fc2")) else 0.2)


NETWORK = GoogLeNet
