"""ResNet, DenseNet and EfficientNet, and the distributed weights of torchvision."""

from __future__ import annotations

from backbones.protocols.papers import ILSVRC_TEST, Protocol, cite, dense, results, ten_crop
from backbones.protocols.row import ShorterSide
from backbones.spec import Citation

_AUTHORS = "He et al., deep-residual-networks"
_FB = "facebook, fb.resnet.torch"
_TEN = "AlexNet's ten crops of the centre square, as the paper cites it"

RESNET = (
    Protocol(
        name="resnet/single",
        summary="one centre crop of 224",
        citation=cite("resnet", "section 4.1"),
        resize=(ShorterSide(px=256),),
        readings=("the paper prints ten crops only; these are its authors' and a later port's",),
        printed=(
            *results(
                (
                    ("ResNet-50", 24.7, 7.8),
                    ("ResNet-101", 23.6, 7.1),
                    ("ResNet-152", 23.0, 6.7),
                    ("VGG-16", 28.5, 9.9),
                ),
                "one crop",
                paper=_AUTHORS,
            ),
            *results(
                (
                    ("ResNet-18", 30.43, 10.76),
                    ("ResNet-34", 26.73, 8.74),
                    ("ResNet-50", 24.01, 7.02),
                    ("ResNet-101", 22.44, 6.21),
                    ("ResNet-152", 22.16, 6.16),
                ),
                "one crop; ResNet-50 has batch norm after the addition",
                paper=_FB,
            ),
        ),
    ),
    ten_crop(
        name="resnet/ten_crop",
        summary="four corners and the centre of the centre square, and their mirror images",
        citation=cite("resnet", "section 3.4 and Tables 2 and 3"),
        readings=(_TEN,),
        printed=(
            *results(
                (
                    ("plain-18", 27.94, None),
                    ("plain-34", 28.54, 10.02),
                    ("ResNet-18 A", 27.88, None),
                    ("ResNet-34 A", 25.03, 7.76),
                    ("ResNet-34 B", 24.52, 7.46),
                    ("ResNet-34 C", 24.19, 7.4),
                    ("ResNet-50", 22.85, 6.71),
                    ("ResNet-101", 21.75, 6.05),
                    ("ResNet-152", 21.43, 5.71),
                    ("VGG-16, their test", 28.07, 9.33),
                ),
                "Tables 2 and 3",
            ),
            *results(
                (
                    ("ResNet-50", 22.9, 6.7),
                    ("ResNet-101", 21.8, 6.1),
                    ("ResNet-152", 21.4, 5.7),
                ),
                "ten crops",
                paper=_AUTHORS,
            ),
            *results(
                (
                    ("ResNet-18", 28.22, 9.42),
                    ("ResNet-34", 24.76, 7.35),
                    ("ResNet-50", 22.24, 6.08),
                    ("ResNet-101", 21.08, 5.35),
                    ("ResNet-152", 20.69, 5.21),
                ),
                "ten crops",
                paper=_FB,
            ),
        ),
    ),
    dense(
        name="resnet/dense_multiscale",
        summary="the uncropped image at five scales: 224, 256, 384, 480, 640",
        citation=cite("resnet", "section 3.4 and Table 4"),
        resize=tuple(ShorterSide(px=px) for px in (224, 256, 384, 480, 640)),
        readings=(
            "the average over the last map is read as a window of its size at 224, moved by one"
            " place, as VGG reads its fully connected layers",
            "the paper does not say whether mirror images count; they do here, as in VGG",
        ),
        printed=(
            *results(
                (
                    ("ResNet-34 B", 21.84, 5.71),
                    ("ResNet-34 C", 21.53, 5.6),
                    ("ResNet-50", 20.74, 5.25),
                    ("ResNet-101", 19.87, 4.6),
                    ("ResNet-152", 19.38, 4.49),
                ),
                "Table 4",
            ),
            *results((("ResNet", None, 3.57),), "Table 5", data=ILSVRC_TEST, num_models=6),
        ),
    ),
)

DENSENET = (
    Protocol(
        name="densenet/single",
        summary="one centre crop of 224",
        citation=cite("densenet", "Table 3"),
        resize=(ShorterSide(px=256),),
        printed=results(
            (
                ("DenseNet-121", 25.02, 7.71),
                ("DenseNet-169", 23.8, 6.85),
                ("DenseNet-201", 22.58, 6.34),
                ("DenseNet-264", 22.15, 6.12),
            ),
            "Table 3",
        ),
    ),
    ten_crop(
        name="densenet/ten_crop",
        summary="four corners and the centre of the centre square, and their mirror images",
        citation=cite("densenet", "Table 3"),
        readings=("the paper does not say what the corners are of; AlexNet's square is taken",),
        printed=results(
            (
                ("DenseNet-121", 23.61, 6.66),
                ("DenseNet-169", 22.08, 5.92),
                ("DenseNet-201", 21.46, 5.54),
                ("DenseNet-264", 20.8, 5.29),
            ),
            "Table 3",
        ),
    ),
)

EFFICIENTNET = (
    Protocol(
        name="efficientnet/single",
        summary="one centre crop at the network's own resolution, as its input spec says",
        citation=cite("efficientnet", "Table 8"),
        readings=("printed as accuracies; the errors are 100 minus these",),
        printed=results(
            (
                ("EfficientNet-B0", 22.89, 6.65),
                ("EfficientNet-B1", 20.87, 5.53),
                ("EfficientNet-B2", 19.93, 5.1),
                ("EfficientNet-B3", 18.41, 4.33),
                ("EfficientNet-B4", 17.11, 3.63),
                ("EfficientNet-B5", 16.4, 3.29),
                ("EfficientNet-B6", 16.05, 3.24),
                ("EfficientNet-B7", 15.74, 3.03),
            ),
            "Table 8",
        ),
    ),
)

TORCHVISION = (
    Protocol(
        name="torchvision",
        summary="shorter side 256, centre 224: how torchvision's weights of 2017 were scored",
        citation=Citation("torchvision", "model weights", 2025, "torchvision 0.28, weight enums"),
        resize=(ShorterSide(px=256),),
        readings=("published as accuracies; the errors are 100 minus these",),
        printed=results(
            (
                ("alexnet", 43.478, 20.934),
                ("densenet121", 25.566, 8.028),
                ("densenet161", 22.862, 6.44),
                ("densenet169", 24.4, 7.194),
                ("densenet201", 23.104, 6.63),
                ("googlenet", 30.222, 10.47),
                ("resnet18", 30.242, 10.922),
                ("resnet34", 26.686, 8.58),
                ("resnet50", 23.87, 7.138),
                ("resnet101", 22.626, 6.454),
                ("resnet152", 21.688, 5.954),
                ("vgg11", 30.98, 11.372),
                ("vgg11_bn", 29.63, 10.19),
                ("vgg13", 30.072, 10.754),
                ("vgg13_bn", 28.414, 9.626),
                ("vgg16", 28.408, 9.618),
                ("vgg16_bn", 26.64, 8.484),
                ("vgg19", 27.624, 9.124),
                ("vgg19_bn", 25.782, 8.158),
            ),
            "IMAGENET1K_V1",
        ),
    ),
)
