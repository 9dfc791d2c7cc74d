"""AlexNet: the network that won ImageNet in 2012 and began deep learning for images.

The paper trained eight layers with ReLUs, dropout and local response normalisation on two GPUs,
each with half of the maps ("towers"), and halved the error of hand-made features. Two years later
its author gave the network one column, the form that most libraries mean by "alexnet".

Krizhevsky, Sutskever & Hinton, ImageNet Classification with Deep Convolutional Neural Networks,
NIPS 2012. Here: sections 3.1 to 3.5 and figure 2 (the network), 4.2 (dropout), 5 (initialisation).
Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997: the
one column.

Deviations, each a field of the row: `maps`, `towers`, `padding_px`, `after_conv`, `lrn`,
`lrn_per_tower`, `last_pool_px`, `pool_to_px`, `head_relu`, `dropout_after`, `init`, `input_px`.

Shapes: N images, C channels, H x W px; features are (N, 256, 6, 6) at the row's own size, logits
(N, classes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.init import gaussian, he
from backbones.nn.lrn import Constants, LocalResponseNorm
from backbones.nn.naming import numbered
from backbones.nn.pooling import AveragePoolTo
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation(
    "Krizhevsky, Sutskever & Hinton",
    "ImageNet Classification with Deep Convolutional Neural Networks",
    2012,
    "Advances in Neural Information Processing Systems 25",
)
FAMILY = Family("alexnet", "AlexNet", PAPER, "the network that won ImageNet in 2012")
ONE_WEIRD_TRICK = Citation(
    "Krizhevsky",
    "One weird trick for parallelizing convolutional neural networks",
    2014,
    "arXiv:1404.5997",
)

# Figure 2: the maps of the five convolutions, both towers together; then the one column of 2014.
FIGURE_2 = (96, 256, 384, 384, 256)
ONE_COLUMN = (64, 192, 384, 256, 256)
TINY = (8, 16, 16, 16, 16)  # ours, for tests
KERNELS_PX = (5, 3, 3, 3)  # of the second to the fifth convolution, everywhere
SPLIT = (2, 4, 5)  # layers whose maps see their own tower only; the third sees both

# What follows the first two convolutions. Sections 3.3 and 3.5: the ReLU's outputs are normalised,
# then pooled.
RELU_LRN_POOL = ("relu lrn pool", "relu lrn pool")
RELU_POOL_LRN = ("relu pool lrn", "relu pool lrn")
AUTHORS_CODE = ("lrn pool relu", "relu lrn pool")
RELU_POOL = ("relu pool", "relu pool")

Init = Literal["paper", "caffe", "pytorch", "he"]


BVLC = "BVLC Caffe, models/bvlc_alexnet"
# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    str(ONE_WEIRD_TRICK): {
        ("maps", ONE_COLUMN): "64-192-384-256-256 maps; in 2012 96-256-384-384-256",
        ("towers", 1): "maps see all maps below; in 2012 layers 2, 4 and 5 see their tower's only",
    },
    "Krizhevsky's cuda-convnet2, layers-imagenet-2gpu-model.cfg": {
        ("padding_px", (0, 3)): "zeros of 3 px at the right and the bottom, because map sizes are"
        " rounded up; without them the paper's 224 px do not give its maps of 55x55",
        ("after_conv", AUTHORS_CODE): "the first layer is normalised and pooled before its ReLU;"
        " section 3.3 normalises after it",
        ("lrn", "cuda-convnet"): "alpha is divided by n; the printed formula does not divide",
        ("lrn_per_tower", True): (
            "normalisation inside each tower; the printed formula runs over all maps of a layer"
        ),
    },
    BVLC: {
        ("input_px", 227): "227 px give maps of 55x55 without padding; the paper prints 224",
        ("lrn", "caffe"): "k = 1 and alpha divided by n; the paper prints k = 2, does not divide",
        ("init", "caffe"): "standard deviation 0.005 in the hidden connected layers and biases of"
        " 0.1; section 5 has 0.01 and 1",
    },
    "BVLC Caffe, models/bvlc_reference_caffenet": {
        ("after_conv", RELU_POOL_LRN): "pooling before normalisation; the paper normalises first",
    },
    "torchvision's alexnet": {
        ("padding_px", (2, 2)): (
            "zeros of 2 px on every side, so that 224 px give maps of 55x55; the paper prints none"
        ),
        ("after_conv", RELU_POOL): "no local response normalisation; both papers have two",
        ("pool_to_px", 6): "adaptive average pooling to 6x6 before the head, so that other input"
        " sizes work; it changes nothing at the row's own",
        ("dropout_after", (5, 6)): (
            "dropout in front of the hidden connected layers; section 4.2 drops their outputs"
        ),
        ("init", "pytorch"): "PyTorch's own uniform numbers; section 5 samples from N(0, 0.01^2)",
    },
    "tutorials that list the network without section 4.2": {
        ("last_pool_px", 2): "the last pooling is 2x2; the paper's are 3x3 and overlap",
        ("head_relu", False): "no ReLU between the connected layers, which are one linear map"
        " then; the paper has one after every layer",
        ("dropout_after", ()): "no dropout; section 4.2 drops half of the outputs of layers 6, 7",
    },
    "He et al. (2015), arXiv:1502.01852": {
        ("init", "he"): "He initialisation, for narrow networks; section 5 has N(0, 0.01^2)",
    },
}


@dataclass(frozen=True, kw_only=True)
class AlexNetRow(Row):
    """The network of figure 2, with the choices that others have made since.

    Args:
        maps: of the five convolutions.
        towers: 2 splits the maps of the second, fourth and fifth convolution.
        first: kernel and stride of the first convolution, px.
        padding_px: zeros around the image: (top and left, bottom and right).
        after_conv: what follows the first two convolutions, in order.
        lrn: constants of the local response normalisation where `after_conv` has one.
        lrn_per_tower: it does not look into the other tower.
        last_pool_px: side of the last pooling's window; the others overlap, 3 px with stride 2.
        pool_to_px: px, side of the map that the head sees, reached by adaptive average pooling.
        hidden: width of the first two fully connected layers.
        head_relu: those two layers are followed by ReLUs.
        dropout_after: layers, counted as the paper does (5 is the last pooling, 6 the first fully
            connected layer), half of whose outputs are dropped.
        init: "paper" is section 5, "caffe" is BVLC's, "pytorch" the layers' own, "he" for narrow
            networks.
    """

    maps: tuple[int, ...] = FIGURE_2
    towers: int = 2
    first: tuple[int, int] = (11, 4)
    padding_px: tuple[int, int] = (0, 3)
    after_conv: tuple[str, str] = RELU_LRN_POOL
    lrn: Constants = "printed"
    lrn_per_tower: bool = False
    last_pool_px: int = 3
    pool_to_px: int = 6
    hidden: int = 4096
    head_relu: bool = True
    dropout_after: tuple[int, ...] = (6, 7)
    init: Init = "paper"
    min_px: int = 64
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


_FROM_THE_PAPER = "counted from figure 2 with both towers; section 1 prints 60 million parameters"
_2012 = AlexNetRow(
    "alexnet_2012",
    "two towers, as the paper prints it",
    counted(60_965_224, 724_406_816, _FROM_THE_PAPER),
)
_ONE_COLUMN = AlexNetRow(
    "alexnet",
    "one column, the form of the public weights",
    counted(61_100_840, 714_188_480, "counted from the widths of 2014; torchvision's own number"),
    maps=ONE_COLUMN,
    towers=1,
    padding_px=(2, 2),
    after_conv=RELU_POOL,
    dropout_after=(5, 6),
    init="pytorch",
    min_px=63,
    citation=ONE_WEIRD_TRICK,
)
ROWS = (
    _2012,
    replace(
        _2012,
        name="alexnet_caffe",
        summary="two towers, as BVLC trained it in Caffe",
        padding_px=(0, 0),
        lrn="caffe",
        init="caffe",
        input_px=227,
        min_px=67,
    ),
    _ONE_COLUMN,
    replace(
        _ONE_COLUMN,
        name="alexnet_tutorial",
        summary="one column of the paper's widths, as tutorials list it",
        claims=counted(62_378_344, 1_135_256_096, "counted from the tutorials' listing"),
        maps=FIGURE_2,
        last_pool_px=2,
        head_relu=False,
        dropout_after=(),
        min_px=47,
        citation=PAPER,
    ),
    AlexNetRow(
        "alexnet_tiny",
        "for tests: two narrow towers",
        counted(7_594, 274_144, "counted here"),
        maps=TINY,
        first=(5, 2),
        padding_px=(2, 2),
        pool_to_px=1,
        hidden=16,
        init="he",
        num_classes=10,
        input_px=32,
        min_px=29,
    ),
)


class TowerNorm(LocalResponseNorm):
    """Local response normalisation that sees one tower's maps only.

    Shapes: (N, C, H, W) -> (N, C, H, W); the first C/2 maps are one tower, the others the second.

    Reference: the two lines a layer of the author's layers-imagenet-2gpu-model.cfg.
    """

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return super().forward(x.reshape(2 * n, c // 2, h, w)).reshape(n, c, h, w)


def convolution(row: AlexNetRow, n: int, in_channels: int) -> nn.Conv2d:
    """The n-th convolution; uneven zeros around the image are left to a layer of their own.

    Args:
        row: of the network.
        n: 1 to 5.
        in_channels: of what it sees.
    """
    if n == 1:
        (kernel, stride), (before, after) = row.first, row.padding_px
        return nn.Conv2d(in_channels, row.maps[0], kernel, stride, before if before == after else 0)
    kernel = KERNELS_PX[n - 2]
    groups = row.towers if n in SPLIT else 1
    return nn.Conv2d(in_channels, row.maps[n - 1], kernel, padding=kernel // 2, groups=groups)


def convolutions(row: AlexNetRow, in_channels: int) -> nn.Sequential:
    """Figure 2 from the image to the last pooling.

    Convolutions, ReLUs and poolings are counted as in torchvision, whose weights fit; what it
    lacks has a name.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before, after = row.padding_px
    if before != after:
        layers["pad1"] = nn.ZeroPad2d((before, after, before, after))
    norm = TowerNorm if row.lrn_per_tower else LocalResponseNorm
    numbers = count()
    for n, words in enumerate((*row.after_conv, "relu", "relu", "relu pool"), 1):
        channels = in_channels if n == 1 else row.maps[n - 2]
        layers[str(next(numbers))] = convolution(row, n, channels)
        for word in words.split():
            if word == "relu":
                layers[str(next(numbers))] = nn.ReLU(inplace=True)
            elif word == "pool":
                size_px = row.last_pool_px if n == 5 else 3
                layers[str(next(numbers))] = nn.MaxPool2d(size_px, stride=2)
            else:
                layers[f"norm{n}"] = norm.of(row.lrn)
    return nn.Sequential(layers)


def fully_connected(row: AlexNetRow, num_classes: int) -> nn.Sequential:
    """Layers 6 to 8, as they are numbered in torchvision."""
    hidden = row.hidden
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if 5 in row.dropout_after:
        layers["0"] = nn.Dropout(0.5)
    layers["1"] = nn.Linear(row.maps[-1] * row.pool_to_px**2, hidden)
    if row.head_relu:
        layers["2"] = nn.ReLU(inplace=True)
    if 6 in row.dropout_after:
        layers["3"] = nn.Dropout(0.5)
    layers["4"] = nn.Linear(hidden, hidden)
    if row.head_relu:
        layers["5"] = nn.ReLU(inplace=True)
    if 7 in row.dropout_after:
        layers["drop7"] = nn.Dropout(0.5)
    layers["6"] = nn.Linear(hidden, num_classes)
    return nn.Sequential(layers)


class AlexNet(nn.Module):
    """An AlexNet.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: width of the last layer; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes).

    Reference: section 3.5 and figure 2. Parameter names are torchvision's.

    Example:
        >>> import torch
        >>> network = AlexNet(ROWS[-1], num_classes=2)
        >>> network(torch.zeros(1, 3, 64, 48)).shape
        torch.Size([1, 2])
    """

    def __init__(
        self, row: AlexNetRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        self.features = convolutions(row, self.in_channels)
        self.avgpool = AveragePoolTo(row.pool_to_px)
        self.classifier = fully_connected(row, self.num_classes)
        initialise_as_section_5(self, row.init)

    figure_softmax = MappingProxyType({"": "softmax"})
    """What section 3.5 feeds the last layer to; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name, module path)."""
        ends: dict[str, str] = {}
        number, kind = 0, "pad"
        for name, layer in self.features.named_children():
            if isinstance(layer, nn.Conv2d):
                number, kind = number + 1, "conv"
            elif isinstance(layer, nn.MaxPool2d):
                kind = "pool"
            if number:
                ends[f"{kind}{number}"] = f"features.{name}"
        head = (("fc6", "classifier.1"), ("fc7", "classifier.4"), ("fc8", "classifier.6"))
        return (*ends.items(), *head)

    @property
    def layer_names(self) -> dict[str, str]:
        """The names of the layers in BVLC's file, by module path: `conv1`, `norm1`, `fc6`."""
        return numbered(self, by_block=False)

    @property
    def cam_layer(self) -> str:
        """The last ReLU before the last pooling."""
        return dict(self.stages)["conv5"]

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> logits (N, num_classes)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(f), 1))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


# Standard deviations of the weights, and biases, layers 1 to 8.
STARTS: dict[Init, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "paper": ((0.01,) * 8, (0, 1, 0, 1, 1, 1, 1, 0)),
    "caffe": ((0.01,) * 5 + (0.005, 0.005, 0.01), (0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0)),
}


def initialise_as_section_5(network: AlexNet, init: Init) -> None:
    """Section 5: weights from N(0, 0.01^2); biases of one where they feed ReLUs with positive
    inputs (layers 2, 4, 5 and the hidden fully connected ones), zero elsewhere.

    Or, where `init` says so, BVLC's numbers, He et al., or what PyTorch's layers do by themselves.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    if init == "he":
        for layer in layers:
            he(layer, "fan_in")
    elif init != "pytorch":
        for layer, std, bias in zip(layers, *STARTS[init], strict=True):
            gaussian(layer, std)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias)


NETWORK = AlexNet
