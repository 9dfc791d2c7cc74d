"""The index of the networks: families, their rows, and the facts about each. No torch in here.

A family is a file in `models/` and a row of `FAMILIES`. The rows' facts are read from
`variants.json`, which is generated from the model files (see `inspection/facts.py`) and proved
equal to them by a test.
"""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from backbones.errors import NotFound, nearest
from backbones.spec import Citation, Deviation


@dataclass(frozen=True)
class Family:
    """One file of networks.

    Args:
        name: of the file in `models/`.
        title: what people call it.
        citation: of the paper.
        summary: one line for people.
    """

    name: str
    title: str
    citation: Citation
    summary: str

    @property
    def module(self) -> str:
        """The module to import for the networks themselves."""
        return f"backbones.models.{self.name}"


@dataclass(frozen=True)
class Facts:
    """What is known of a variant without building it.

    Args:
        name, family: of the variant.
        summary: one line for people.
        params: trainable parameters.
        macs: multiply-accumulates of convolutions and fully connected layers, one picture.
        num_classes, in_channels, input_px: that the row was made for.
        deviations: from the paper.
    """

    name: str
    family: str
    summary: str
    params: int
    macs: int
    num_classes: int
    in_channels: int
    input_px: int
    deviations: tuple[Deviation, ...]


FAMILIES = (
    Family(
        "lenet",
        "LeNet-5",
        Citation(
            "LeCun, Bottou, Bengio & Haffner",
            "Gradient-Based Learning Applied to Document Recognition",
            1998,
            "Proceedings of the IEEE 86(11):2278-2324",
        ),
        "the convolutional network that read cheques",
    ),
    Family(
        "alexnet",
        "AlexNet",
        Citation(
            "Krizhevsky, Sutskever & Hinton",
            "ImageNet Classification with Deep Convolutional Neural Networks",
            2012,
            "Advances in Neural Information Processing Systems 25",
        ),
        "the network that won ImageNet in 2012",
    ),
    Family(
        "nin",
        "Network in Network",
        Citation("Lin, Chen & Yan", "Network In Network", 2013, "arXiv:1312.4400"),
        "1x1 convolutions and global average pooling",
    ),
    Family(
        "vgg",
        "VGG",
        Citation(
            "Simonyan & Zisserman",
            "Very Deep Convolutional Networks for Large-Scale Image Recognition",
            2014,
            "arXiv:1409.1556",
        ),
        "depth from nothing but 3x3 convolutions",
    ),
    Family(
        "googlenet",
        "GoogLeNet / Inception v1",
        Citation(
            "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich",
            "Going Deeper with Convolutions",
            2014,
            "arXiv:1409.4842",
        ),
        "parallel filters of several sizes, made affordable by 1x1 convolutions",
    ),
    Family(
        "inception_v2",
        "Inception v2",
        Citation(
            "Ioffe & Szegedy",
            "Batch Normalization: Accelerating Deep Network Training by Reducing Internal"
            " Covariate Shift",
            2015,
            "arXiv:1502.03167",
        ),
        "GoogLeNet with batch normalisation",
    ),
    Family(
        "inception_v3",
        "Inception v3",
        Citation(
            "Szegedy, Vanhoucke, Ioffe, Shlens & Wojna",
            "Rethinking the Inception Architecture for Computer Vision",
            2015,
            "arXiv:1512.00567",
        ),
        "large windows taken apart into small and asymmetric ones",
    ),
    Family(
        "resnet",
        "ResNet",
        Citation(
            "He, Zhang, Ren & Sun",
            "Deep Residual Learning for Image Recognition",
            2015,
            "arXiv:1512.03385",
        ),
        "layers that learn what to add to their input",
    ),
    Family(
        "resnet_cifar",
        "ResNet for CIFAR-10",
        Citation(
            "He, Zhang, Ren & Sun",
            "Deep Residual Learning for Image Recognition",
            2015,
            "arXiv:1512.03385, section 4.2",
        ),
        "20 to 1202 layers for small pictures, with and without shortcuts",
    ),
    Family(
        "inception_v4",
        "Inception v4",
        Citation(
            "Szegedy, Ioffe, Vanhoucke & Alemi",
            "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
            2016,
            "arXiv:1602.07261",
        ),
        "one uniform, deeper Inception without residual connections",
    ),
    Family(
        "inception_resnet",
        "Inception-ResNet",
        Citation(
            "Szegedy, Ioffe, Vanhoucke & Alemi",
            "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
            2016,
            "arXiv:1602.07261",
        ),
        "Inception modules as residual blocks",
    ),
    Family(
        "densenet",
        "DenseNet",
        Citation(
            "Huang, Liu, van der Maaten & Weinberger",
            "Densely Connected Convolutional Networks",
            2016,
            "arXiv:1608.06993",
        ),
        "every layer sees the maps of all layers before it",
    ),
    Family(
        "mobilenet_v1",
        "MobileNet v1",
        Citation(
            "Howard et al.",
            "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
            2017,
            "arXiv:1704.04861",
        ),
        "depthwise separable convolutions",
    ),
    Family(
        "mobilenet_v2",
        "MobileNet v2",
        Citation(
            "Sandler et al.",
            "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
            2018,
            "arXiv:1801.04381",
        ),
        "inverted residuals between thin bottlenecks",
    ),
    Family(
        "efficientnet",
        "EfficientNet",
        Citation(
            "Tan & Le",
            "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
            2019,
            "arXiv:1905.11946",
        ),
        "depth, width and resolution scaled together",
    ),
)


def families() -> tuple[Family, ...]:
    """All families, oldest first."""
    return FAMILIES


def names() -> tuple[str, ...]:
    """All variants, family by family."""
    return tuple(_all_facts())


def is_pattern(text: str) -> bool:
    """Whether a word stands for all names that fit it, as in "vgg*"."""
    return any(sign in text for sign in "*?[")


def matching(pattern: str) -> tuple[str, ...]:
    """The variants that fit a pattern; a word without stars fits what contains it.

    Args:
        pattern: "vgg*", "*_bn", "vgg1[69]"; or a part of a name, or the name of a family.

    Raises:
        NotFound: nothing fits; names the nearest.

    Example:
        >>> matching("vgg1[69]")
        ('vgg16', 'vgg19')
    """
    known = _all_facts()
    if is_pattern(pattern):
        found = tuple(name for name in known if fnmatch.fnmatchcase(name, pattern))
    else:
        found = tuple(name for name, row in known.items() if pattern in (row.family, name))
        found = found or tuple(name for name in known if pattern in name)
    if not found:
        hint = nearest(pattern.strip("*?"), known) or " `backbones list` shows all networks."
        raise NotFound(f"no network fits {pattern!r}.{hint}")
    return found


def facts(name: str) -> Facts:
    """What is known of a variant.

    Raises:
        NotFound: no such variant; names the nearest.

    Example:
        >>> facts("vgg16").params
        138357544
    """
    known = _all_facts()
    if name not in known:
        listed = [f.name for f in FAMILIES]
        if name in listed:
            rows = ", ".join(n for n, row in known.items() if row.family == name)
            raise NotFound(f"{name!r} is a family, not a network: choose one of {rows}")
        hint = nearest(name, known) or " `backbones list` shows all networks."
        raise NotFound(f"there is no network {name!r}.{hint}")
    return known[name]


def resolve(name: str) -> tuple[Family, str]:
    """The family of a variant, and the variant's name.

    Raises:
        NotFound: no such variant; names the nearest.
    """
    row = facts(name)
    return next(family for family in FAMILIES if family.name == row.family), row.name


@cache
def _all_facts() -> dict[str, Facts]:
    text = Path(__file__).with_name("variants.json").read_text(encoding="utf-8")
    return {row["name"]: _facts_from(row) for row in json.loads(text)}


def _facts_from(row: dict[str, Any]) -> Facts:
    deviations = tuple(Deviation(**deviation) for deviation in row["deviations"])
    return Facts(**{**row, "deviations": deviations})
