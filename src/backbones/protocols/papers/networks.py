"""Which printed result is whose: of one network, with the fewest views that were printed."""

from __future__ import annotations

from backbones.protocols.row import PrintedResult, Protocol
from backbones.protocols.table import find_protocol

# variant -> (protocol, the network as the paper calls it)
_PRINTED: dict[str, tuple[str, str]] = {
    "lenet5_1998": ("lenet/whole", "LeNet-5"),
    "alexnet_2012": ("alexnet/ten_crop", "1 CNN"),
    "alexnet": ("alexnet/single", "one column"),
    "nin_imagenet": ("nin/single", "NIN-ImageNet"),
    "vgg11": ("vgg/dense", "A, S = 256"),
    "vgg11_lrn": ("vgg/dense", "A-LRN, S = 256"),
    "vgg13": ("vgg/dense", "B, S = 256"),
    "vgg16_1x1": ("vgg/dense", "C, S = 256"),
    "vgg16": ("vgg/dense", "D, S = 256"),
    "vgg19": ("vgg/dense", "E, S = 256"),
    "inception_v1": ("inception_v3/single", "GoogLeNet"),
    "inception_v1_noaux": ("inception_v3/single", "GoogLeNet"),
    "inception_v2": ("inception_v3/single", "BN-Inception"),
    "inception_v3": ("inception_v3/single", "Inception-v3"),
    "inception_v3_noaux": ("inception_v3/single", "Inception-v3"),
    "inception_v4": ("inception_v3/single", "Inception-v4"),
    "inception_resnet_v1": ("inception_v3/single", "Inception-ResNet-v1"),
    "inception_resnet_v2_paper": ("inception_v3/single", "Inception-ResNet-v2"),
    "plain18": ("resnet/ten_crop", "plain-18"),
    "plain34": ("resnet/ten_crop", "plain-34"),
    "resnet18_a": ("resnet/ten_crop", "ResNet-18 A"),
    "resnet34_a": ("resnet/ten_crop", "ResNet-34 A"),
    "resnet34": ("resnet/ten_crop", "ResNet-34 B"),
    "resnet34_c": ("resnet/ten_crop", "ResNet-34 C"),
    "resnet50_v1": ("resnet/ten_crop", "ResNet-50"),
    "resnet101_v1": ("resnet/ten_crop", "ResNet-101"),
    "resnet152_v1": ("resnet/ten_crop", "ResNet-152"),
    **{f"resnet{n}_cifar": ("cifar/whole", f"ResNet-{n}") for n in (20, 32, 44, 56, 1202)},
    "resnet110_cifar": ("cifar/whole", "ResNet-110, best of five"),
    **{f"densenet{n}": ("densenet/single", f"DenseNet-{n}") for n in (121, 169, 201, 264)},
    "densenet_40_12": ("cifar/whole", "DenseNet L40 k12"),
    "densenet_100_12": ("cifar/whole", "DenseNet L100 k12"),
    "densenet_100_24": ("cifar/whole", "DenseNet L100 k24"),
    "densenet_bc_100_12": ("cifar/whole", "DenseNet-BC L100 k12"),
    "densenet_bc_250_24": ("cifar/whole", "DenseNet-BC L250 k24"),
    "densenet_bc_190_40": ("cifar/whole", "DenseNet-BC L190 k40"),
    **{
        f"efficientnet_b{n}{padding}": ("efficientnet/single", f"EfficientNet-B{n}")
        for n in range(8)
        for padding in ("", "_same")
    },
}


def printed_for(variant: str) -> tuple[Protocol, PrintedResult] | None:
    """What a paper printed for a variant, and how it was measured; None where none is known.

    Example:
        >>> protocol, result = printed_for("resnet50_v1")
        >>> protocol.name, result.top1_error_percent
        ('resnet/ten_crop', 22.85)
    """
    if variant not in _PRINTED:
        return None
    name, network = _PRINTED[variant]
    protocol = find_protocol(name)
    return protocol, next(r for r in protocol.printed if r.network == network)


def variants_printed() -> tuple[str, ...]:
    """The variants for which a result was printed."""
    return tuple(_PRINTED)
