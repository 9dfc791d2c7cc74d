"""Inception-ResNet v1 and v2: Inception modules as the residual of a block.

The paper put a shortcut around every module and found that it makes training much faster, and that
wide residuals must be scaled down before they are added, or the network dies early.

Szegedy, Ioffe, Vanhoucke & Alemi, Inception-v4, Inception-ResNet and the Impact of Residual
Connections on Learning, arXiv:1602.07261. Here: Figures 3, 7 and 10 to 19, Table 1 (reduction A),
sections 3.2 and 3.3 (what is normalised, and scaling). The released v2 is not the printed one.

Deviations, each a field of the row: `stem`, `blocks`, `repeats`, `plain_scale`, `last_maps`.

Shapes: N images, C channels, H x W px; features are (N, maps, h, w) with 8 px for the row's 299,
logits (N, classes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.nn.branches import Branches, module
from backbones.nn.conv import ConvNormAct
from backbones.nn.images import check_images
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Szegedy, Ioffe, Vanhoucke & Alemi",
    "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    2016,
    "arXiv:1602.07261",
)
FAMILY = Family(
    "inception_resnet", "Inception-ResNet", PAPER, "Inception modules as residual blocks"
)
Stem = tuple[tuple[str, str], ...]

# The stems: (name, text) from the image up. `nn.branches` says how the text reads.
_FIRST = (("conv2d_1a", "3x3/2 V 32"), ("conv2d_2a", "3x3 V 32"), ("conv2d_2b", "3x3 64"))
_AS_V3 = (*_FIRST, ("maxpool_3a", "max/2 V"), ("conv2d_3b", "1x1 80"), ("conv2d_4a", "3x3 V 192"))
STEM_V1: Stem = (*_AS_V3, ("conv2d_4b", "3x3/2 V 256"))  # Figure 14
STEM_V2: Stem = (  # Figure 3, which is Inception v4's
    *_FIRST,
    ("mixed_3a", "maxpool: max/2 V\nconv: 3x3/2 V 96"),
    ("mixed_4a", "branch0: 1x1 64 > 3x3 V 96\nbranch1: 1x1 64 > 1x7 64 > 7x1 64 > 3x3 V 96"),
    ("mixed_5a", "conv: 3x3/2 V 192\nmaxpool: max/2 V"),
)
MIXED_5B = """
branch0: 1x1 96
branch1: 1x1 48 > 5x5 64
branch2: 1x1 64 > 3x3 96 > 3x3 96
branch3: avg > 1x1 64"""
STEM_RELEASED: Stem = (*_AS_V3, ("maxpool_5a", "max/2 V"), ("mixed_5b", MIXED_5B))


@dataclass(frozen=True)
class Blocks:
    """The modules of one version.

    Args:
        a, b, c: branches of the blocks at 35x35, 17x17 and 8x8.
        reduction_a, reduction_b: between them.
    """

    a: str
    b: str
    c: str
    reduction_a: str
    reduction_b: str


V1 = Blocks(
    a="""
branch0: 1x1 32
branch1: 1x1 32 > 3x3 32
branch2: 1x1 32 > 3x3 32 > 3x3 32""",  # Figure 10
    b="""
branch0: 1x1 128
branch1: 1x1 128 > 1x7 128 > 7x1 128""",  # Figure 11
    c="""
branch0: 1x1 192
branch1: 1x1 192 > 1x3 192 > 3x1 192""",  # Figure 13
    reduction_a="""
branch0: 3x3/2 V 384
branch1: 1x1 192 > 3x3 192 > 3x3/2 V 256
branch2: max/2 V""",  # Figure 7; Table 1 prints k, l, m, n = 192, 192, 256, 384
    reduction_b="""
branch0: 1x1 256 > 3x3/2 V 384
branch1: 1x1 256 > 3x3/2 V 256
branch2: 1x1 256 > 3x3 256 > 3x3/2 V 256
branch3: max/2 V""",  # Figure 12
)
V2 = Blocks(
    a="""
branch0: 1x1 32
branch1: 1x1 32 > 3x3 32
branch2: 1x1 32 > 3x3 48 > 3x3 64""",  # Figure 16
    b="""
branch0: 1x1 192
branch1: 1x1 128 > 1x7 160 > 7x1 192""",  # Figure 17
    c="""
branch0: 1x1 192
branch1: 1x1 192 > 1x3 224 > 3x1 256""",  # Figure 19
    reduction_a="""
branch0: 3x3/2 V 384
branch1: 1x1 256 > 3x3 256 > 3x3/2 V 384
branch2: max/2 V""",  # Figure 7; Table 1 prints k, l, m, n = 256, 256, 384, 384
    reduction_b="""
branch0: 1x1 256 > 3x3/2 V 384
branch1: 1x1 256 > 3x3/2 V 288
branch2: 1x1 256 > 3x3 288 > 3x3/2 V 320
branch3: max/2 V""",  # Figure 18
)
TINY = Blocks(  # ours, for tests
    a="branch0: 1x1 8\nbranch1: 1x1 8 > 3x3 8",
    b="branch0: 1x1 8\nbranch1: 1x1 8 > 1x7 8 > 7x1 8",
    c="branch0: 1x1 8\nbranch1: 1x1 8 > 1x3 8 > 3x1 8",
    reduction_a="branch0: 3x3/2 V 8\nbranch2: max/2 V",
    reduction_b="branch0: 1x1 8 > 3x3/2 V 16\nbranch3: max/2 V",
)


SLIM = "tensorflow/models, research/slim/nets/inception_resnet_v2.py"
FACENET = "davidsandberg/facenet, src/models/inception_resnet_v1.py"
# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    SLIM: {
        ("stem", STEM_V2): "1x7 before 7x1; transcriptions of Figure 3 have 7x1 first",
        ("stem", STEM_RELEASED): (
            "Inception v3's stem and one module, 320 maps; Figure 15 has Inception v4's stem, 384"
        ),
        ("repeats", (10, 20, 9)): (
            "10, 20 and 9 blocks, and a plain one; Figure 15 prints 5, 10 and 5"
        ),
        ("last_maps", 1536): (
            "a 1x1 convolution to 1536 maps before the average pooling; Figure 15 has none"
        ),
    },
    "the entries of Figures 3, 7 and 18; " + SLIM: {
        ("blocks", V2): (
            "the linear 1x1 of a block is as wide as the map it is added to; Figures 17 and 19"
            " print 1154 and 2048, which cannot be added to the reductions' 1152 and 2144 maps"
        ),
    },
    "the number of blocks in " + SLIM: {
        ("repeats", (10, 20, 10)): "10, 20 and 10 blocks; Figure 15 prints 5, 10 and 5",
    },
    f"{SLIM}; {FACENET}": {
        ("plain_scale", 1.0): (
            "one more block c at the end, neither scaled nor followed by a ReLU; Figure 15 has none"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class InceptionResNetRow(Row):
    """One network of the shape of Figure 15.

    Args:
        stem: (name, text) of its layers.
        blocks: of the version.
        repeats: how many blocks a, b and c.
        scales: of the residuals of a, b and c. Section 3.3 says 0.1 to 0.3; these are TF-slim's.
        plain_scale: of one more block c, without ReLU after the sum; None leaves it out.
        last_maps: of a 1x1 convolution after the blocks; 0 leaves it out.
        dropout: in front of the last layer.
        min_px: px, the smallest image that leaves a map.
    """

    stem: Stem
    blocks: Blocks
    repeats: tuple[int, int, int] = (5, 10, 5)
    scales: tuple[float, float, float] = (0.17, 0.10, 0.20)
    plain_scale: float | None = None
    last_maps: int = 0
    dropout: float = 0.2
    input_px: int = 299
    min_px: int = 75
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


_V1 = InceptionResNetRow(
    "inception_resnet_v1",
    "v1: costs about as much as Inception v3",
    counted(22_756_328, 6_206_361_696, "counted from Figures 7 and 10 to 15"),
    stem=STEM_V1,
    blocks=V1,
)
_V2 = InceptionResNetRow(
    "inception_resnet_v2_paper",
    "v2 as the figures print it",
    counted(32_433_928, 9_257_953_632, "counted from Figures 3, 7 and 15 to 19"),
    stem=STEM_V2,
    blocks=V2,
)
ROWS = (
    _V1,
    replace(
        _V1,
        name="inception_resnet_v1_facenet",
        summary="v1 as face recognition uses it, with one more block",
        claims=counted(24_357_096, 6_308_597_856, f"counted from {FACENET}"),
        plain_scale=1.0,
    ),
    replace(
        _V2,
        name="inception_resnet_v2",
        summary="v2 as the authors released it",
        claims=counted(55_843_464, 13_155_794_016, f"counted from {SLIM}"),
        stem=STEM_RELEASED,
        repeats=(10, 20, 9),
        plain_scale=1.0,
        last_maps=1536,
    ),
    _V2,
    replace(
        _V2,
        name="inception_resnet_v2_paper_deep",
        summary="v2 with the figures' widths and the released number of blocks",
        claims=counted(55_284_488, 14_142_011_232, "counted from Figures 3, 7 and 16 to 19"),
        repeats=(10, 20, 10),
    ),
    InceptionResNetRow(
        "inception_resnet_tiny",
        "for tests: a narrow block of each kind",
        counted(11_138, 2_165_248, "counted here"),
        stem=(("conv2d_1a", "3x3 V 16"),),
        blocks=TINY,
        repeats=(1, 1, 1),
        plain_scale=1.0,
        last_maps=32,
        num_classes=10,
        input_px=32,
        min_px=9,
    ),
)


class Residual(Branches):
    """x + scale * linear(branches(x)), and a ReLU.

    Args:
        in_channels: in and out.
        text: the branches.
        scale: of the residual.
        relu: after the sum.

    Shapes: (N, in_channels, H, W) -> the same.

    Reference: sections 3.2 (no batch normalisation after the sum) and 3.3 (scale); Figure 20.
    """

    def __init__(self, in_channels: int, text: str, scale: float, *, relu: bool = True) -> None:
        super().__init__(in_channels, text)
        self.conv2d = nn.Conv2d(self.maps, in_channels, 1)
        self.maps = in_channels
        self.scale = scale
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        total = torch.add(x, self.conv2d(super().forward(x)), alpha=self.scale)
        return F.relu(total, inplace=True) if self.relu else total


class InceptionResNet(nn.Module):
    """An Inception-ResNet.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes).

    Reference: Figure 15. Parameter names are timm's.

    Example:
        >>> import torch
        >>> network = InceptionResNet(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(2, 3, 32, 48)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        row: InceptionResNetRow,
        num_classes: int | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        maps = self.in_channels
        for name, text in row.stem:
            layer, maps = module(maps, text)
            self.add_module(name, layer)
        self.repeat = self._blocks(maps, 0)
        self.mixed_6a = Branches(maps, row.blocks.reduction_a)
        self.repeat_1 = self._blocks(self.mixed_6a.maps, 1)
        self.mixed_7a = Branches(self.mixed_6a.maps, row.blocks.reduction_b)
        maps = self.mixed_7a.maps
        self.repeat_2 = self._blocks(maps, 2)
        if row.plain_scale is not None:
            self.block8 = Residual(maps, row.blocks.c, row.plain_scale, relu=False)
        if row.last_maps:
            self.conv2d_7b = ConvNormAct(maps, row.last_maps, 1)
            maps = row.last_maps
        self._order = tuple(name for name, _ in self.named_children())
        self.dropout = nn.Dropout(row.dropout)
        self.classif = nn.Linear(maps, self.num_classes)
        initialise_as_released(self)

    def _blocks(self, maps: int, grid: int) -> nn.Sequential:
        row = self.row
        text = (row.blocks.a, row.blocks.b, row.blocks.c)[grid]
        return nn.Sequential(
            *(Residual(maps, text, row.scales[grid]) for _ in range(row.repeats[grid]))
        )

    figure_softmax = MappingProxyType({"": "Softmax"})
    """What figure 15 draws behind the last layer; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The boxes of Figure 15: (name, module path of its end)."""
        a, b, c = self.row.repeats
        titles = {
            self.row.stem[-1][0]: "stem",
            "repeat": f"{a} x Inception-resnet-A",
            "mixed_6a": "Reduction-A",
            "repeat_1": f"{b} x Inception-resnet-B",
            "mixed_7a": "Reduction-B",
            "repeat_2": f"{c} x Inception-resnet-C",
            "block8": "Inception-resnet-C without ReLU",
            "conv2d_7b": "convolution 1x1",
        }
        ends = ((titles[name], name) for name in self._order if name in titles)
        return (*ends, ("linear", "classif"))

    @property
    def cam_layer(self) -> str:
        """The last layer with maps, which are averaged."""
        return self._order[-1]

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, maps, h, w)."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.classif(self.dropout(f.mean(dim=(2, 3))))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_released(network: InceptionResNet) -> None:
    """TF-slim's inception_resnet_v2.py, for the paper is silent: Glorot's uniform, biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


NETWORK = InceptionResNet
