"""Network in network: a small perceptron slides over the image; the last maps are the classes.

The paper replaced the linear filter of a convolution by a multilayer perceptron ("mlpconv": a
convolution followed by 1x1 convolutions), and the fully connected head by the average of one map
per class. Both ideas live on in every network since.

Lin, Chen & Yan, Network In Network, arXiv:1312.4400. Here: section 3.1 (mlpconv), 3.2 (global
average pooling) and the configurations that the authors released for section 4's data sets.

Deviations, each a field of the row: `second_pool`, `dropout`, `init`, and the tutorial's table.

Shapes: N images, C channels, H x W px; features are (N, maps, h, w), logits (N, classes).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal

from torch import Tensor, nn

from backbones.nn.images import check_images
from backbones.nn.init import gaussian, he
from backbones.nn.row import Deviations, Row, counted
from backbones.spec import Citation, Family

PAPER = Citation("Lin, Chen & Yan", "Network In Network", 2013, "arXiv:1312.4400")
FAMILY = Family("nin", "Network in Network", PAPER, "1x1 convolutions and global average pooling")
CLASSES = 0  # in a table below: as many maps as there are classes


@dataclass(frozen=True)
class MLPConv:
    """One mlpconv layer.

    Args:
        kernel_px: side of the convolution that slides over the image.
        stride, padding: of that convolution.
        maps: of it and of the 1x1 convolutions on top ("cccp" in the authors' files).
        std: of the normal that each convolution's weights start from.
    """

    kernel_px: int
    stride: int
    padding: int
    maps: tuple[int, ...]
    std: tuple[float, ...] = (0.05, 0.05, 0.05)


# The authors' definition files. All but the last mlpconv are followed by pooling 3/2, ceil mode.
CIFAR = (
    MLPConv(5, 1, 2, (192, 160, 96)),
    MLPConv(5, 1, 2, (192, 192, 192)),
    MLPConv(3, 1, 1, (192, 192, CLASSES)),
)
MNIST = (
    MLPConv(5, 1, 2, (96, 64, 48)),
    MLPConv(5, 1, 2, (128, 96, 48)),
    MLPConv(5, 1, 2, (128, 96, CLASSES)),
)
IMAGENET = (
    MLPConv(11, 4, 0, (96, 96, 96), (0.01, 0.05, 0.05)),
    MLPConv(5, 1, 2, (256, 256, 256)),
    MLPConv(3, 1, 1, (384, 384, 384), (0.01, 0.05, 0.05)),
    MLPConv(3, 1, 1, (1024, 1024, CLASSES), (0.05, 0.05, 0.01)),
)
# Not the authors': the form of the tutorials, AlexNet's filters on resized Fashion-MNIST.
FASHION = (
    MLPConv(11, 4, 2, (96, 96, 96)),
    MLPConv(5, 1, 2, (256, 256, 256)),
    MLPConv(3, 1, 1, (384, 384, 384)),
    MLPConv(3, 1, 1, (CLASSES, CLASSES, CLASSES)),
)
TINY = (MLPConv(5, 1, 2, (16, 12, 8)), MLPConv(3, 1, 1, (16, 16, CLASSES)))


# Who does it -> (field, value) -> what is built, and what the paper has.
DEVIATIONS: Deviations = {
    "the CIFAR-10 model that the authors released for Caffe": {
        ("second_pool", "average"): (
            "average pooling after the second mlpconv; the authors' cuda-convnet file has max"
        ),
    },
    "tutorials that train NIN on Fashion-MNIST": {
        ("dropout_after", ()): (
            "no dropout; the paper drops the outputs of all mlpconv layers but the last"
        ),
        ("init", "pytorch"): (
            "PyTorch's own uniform initialisation; the authors' files sample from normals"
        ),
        ("table", FASHION): (
            "AlexNet's filter sizes on one grey channel at 224 px, and a last mlpconv whose three"
            " convolutions all have one map per class; the authors' widths differ"
        ),
    },
    "He et al. (2015), arXiv:1502.01852": {
        ("init", "he"): (
            "He initialisation, which starts with other solvers than the authors' too; their files"
            " sample from normals of fixed width, 0.05 for most layers"
        ),
    },
}


@dataclass(frozen=True, kw_only=True)
class NINRow(Row):
    """One released configuration.

    Args:
        table: its mlpconv layers.
        dropout_after: the mlpconv layers (counted from 1) whose pooled maps are dropped at 0.5.
        second_pool: kind of the pooling after the second mlpconv; all others are max.
        init: "gaussian" is the authors' standard deviations, biases zero; without their solver
            class maps can fall below zero, where the last ReLU keeps them (nin_mnist, Adam 1e-3,
            846 steps on 8x8 digits: 56 % right, with "he" 99 %). "he" keeps the signal's size;
            "pytorch" is what a PyTorch layer starts with (uniform, bounds +-1 / sqrt(fan-in)).
        min_px: px, the smallest image that leaves a map.
    """

    table: tuple[MLPConv, ...]
    dropout_after: tuple[int, ...] = (1, 2)
    second_pool: Literal["max", "average"] = "max"
    init: Literal["he", "gaussian", "pytorch"] = "he"
    num_classes: int = 10
    input_px: int = 32
    min_px: int = 4
    citation: Citation = PAPER
    known_deviations: ClassVar[Deviations] = DEVIATIONS


COUNTED = "counted from the authors' file"
_CIFAR10 = NINRow(
    "nin_cifar10",
    "for CIFAR-10, the authors' definition",
    counted(966_986, 222_486_528, COUNTED),
    table=CIFAR,
)
ROWS = (
    _CIFAR10,
    replace(
        _CIFAR10,
        name="nin_cifar10_caffe",
        summary="for CIFAR-10, as the authors released it for Caffe",
        second_pool="average",
        init="gaussian",
    ),
    NINRow(
        "nin_cifar100",
        "for CIFAR-100, the authors' definition",
        counted(984_356, 223_592_448, COUNTED),
        table=CIFAR,
        num_classes=100,
    ),
    NINRow(
        "nin_mnist",
        "for MNIST, the authors' definition",
        counted(349_674, 50_699_712, COUNTED),
        table=MNIST,
        in_channels=1,
        input_px=28,
    ),
    NINRow(
        "nin_imagenet",
        "for ImageNet, as the authors released it for Caffe",
        counted(7_595_176, 1_100_188_800, COUNTED),
        table=IMAGENET,
        dropout_after=(3,),
        init="gaussian",
        num_classes=1000,
        input_px=224,
        min_px=39,
    ),
    NINRow(
        "nin_fashion",
        "the tutorials' form for Fashion-MNIST at 224 px",
        counted(1_992_166, 834_956_160, "counted from the tutorials' listing"),
        table=FASHION,
        dropout_after=(),
        init="pytorch",
        in_channels=1,
        input_px=224,
        min_px=35,
    ),
    NINRow(
        "nin_tiny",
        "for tests: two narrow mlpconv layers",
        counted(3_134, 1_925_120, "counted here"),
        table=TINY,
        dropout_after=(),
        min_px=2,
    ),
)


def mlpconv(row: MLPConv, in_channels: int, num_classes: int) -> nn.Sequential:
    """Section 3.1: a convolution, then 1x1 convolutions, each with its ReLU (the last one too)."""
    layers: list[nn.Module] = []
    channels = in_channels
    for number, width in enumerate(row.maps):
        maps = num_classes if width == CLASSES else width
        if number == 0:
            layers.append(nn.Conv2d(channels, maps, row.kernel_px, row.stride, row.padding))
        else:
            layers.append(nn.Conv2d(channels, maps, 1))
        layers.append(nn.ReLU(inplace=True))
        channels = maps
    return nn.Sequential(*layers)


class NIN(nn.Module):
    """A network in network.

    Args:
        row: a row of `ROWS`, or one made from it with `dataclasses.replace`.
        num_classes: maps of the last mlpconv; the row's own where None.
        in_channels: of the images; the row's own where None.

    Shapes: (N, in_channels, H, W) with H, W >= row.min_px -> logits (N, num_classes). As in the
    authors' files the last ReLU stays, so that no logit is below zero.

    Reference: section 3.3 and figure 2.

    Example:
        >>> import torch
        >>> network = NIN(ROWS[0], num_classes=3)
        >>> network(torch.zeros(2, 3, 40, 32)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self, row: NINRow, num_classes: int | None = None, in_channels: int | None = None
    ) -> None:
        super().__init__()
        self.row = row
        self.num_classes = num_classes or row.num_classes
        self.in_channels = in_channels or row.in_channels
        channels = self.in_channels
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, block in enumerate(row.table[:-1], 1):
            layers[f"mlpconv{number}"] = mlpconv(block, channels, self.num_classes)
            average = number == 2 and row.second_pool == "average"
            pool = nn.AvgPool2d if average else nn.MaxPool2d
            layers[f"pool{number}"] = pool(3, 2, ceil_mode=True)
            if number in row.dropout_after:
                layers[f"drop{number}"] = nn.Dropout(0.5)
            channels = block.maps[-1]
        self.features = nn.Sequential(layers)
        self.classifier = mlpconv(row.table[-1], channels, self.num_classes)
        if row.init != "pytorch":
            initialise_as_released(self)

    figure_softmax = MappingProxyType({"": "softmax"})
    """What section 3.2 feeds the averages to; the loss holds it here."""

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """The end of each stage: (name, module path)."""
        pooled = [name for name, _ in self.features.named_children() if name.startswith("pool")]
        last = len(self.row.table)
        return (
            *((f"mlpconv {n}, pooled", f"features.{name}") for n, name in enumerate(pooled, 1)),
            (f"mlpconv {last}", "classifier"),
        )

    @property
    def layer_names(self) -> dict[str, str]:
        """After the authors' Caffe files, by module path: `conv2`, `cccp3` (a 1x1), `pool2`."""
        names = {f"features.{name}": name for name, _ in self.features.named_children()}
        paths = [path for path in names if "mlpconv" in path] + ["classifier"]
        cccp = 0
        for number, (path, row) in enumerate(zip(paths, self.row.table, strict=True), 1):
            for i in range(len(row.maps)):
                cccp += i > 0
                layer = f"cccp{cccp}" if i else f"conv{number}"
                names |= {f"{path}.{2 * i}": layer, f"{path}.{2 * i + 1}": f"relu_{layer}"}
        return names

    @property
    def cam_layer(self) -> str:
        """The last mlpconv: its maps are the classes' own activation maps."""
        return "classifier"

    def head(self, f: Tensor) -> Tensor:
        """The last mlpconv and the average of section 3.2: (N, maps, h, w) -> (N, num_classes)."""
        maps: Tensor = self.classifier(f)
        return maps.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.row.name, self.in_channels, self.row.min_px)
        return self.head(self.features(x))


def initialise_as_released(network: NIN) -> None:
    """The authors' files: normals with the table's standard deviations, biases zero; or He's."""
    blocks = [
        layer for name, layer in network.features.named_children() if name.startswith("mlpconv")
    ]
    for row, block in zip(network.row.table, [*blocks, network.classifier], strict=True):
        convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
        for layer, std in zip(convolutions, row.std, strict=True):
            if network.row.init == "he":
                he(layer, "fan_in")
            else:
                gaussian(layer, std)


NETWORK = NIN
