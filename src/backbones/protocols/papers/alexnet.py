"""AlexNet's ten crops, and the small images that are seen whole: LeNet-5, NIN, CIFAR."""

from __future__ import annotations

from backbones.protocols.papers import ILSVRC_TEST, Protocol, cite, results, ten_crop
from backbones.protocols.row import ShorterSide

_AUTHOR = "Krizhevsky, cuda-convnet2"
_DENSENET = "Huang et al. (2016)"
_CARD = "authors' Caffe model"
_WHOLE = (ShorterSide(at_most_size=True),)

ALEXNET = (
    Protocol(
        name="alexnet/single",
        summary="AlexNet's one patch: the centre 224 of an image whose shorter side has 256",
        citation=cite("alexnet", "footnote 5"),
        resize=(ShorterSide(px=256),),
        printed=(
            *results((("CNN", 39.0, 18.3),), "footnote 5", data="ILSVRC-2010 test"),
            *results((("one column", 42.548, 19.81),), "single view", paper=_AUTHOR),
        ),
    ),
    ten_crop(
        name="alexnet/ten_crop",
        summary="four corners and the centre of the centre 256 x 256, and their mirror images",
        citation=cite("alexnet", "section 4.1"),
        printed=(
            *results((("CNN", 37.5, 17.0),), "Table 1", data="ILSVRC-2010 test"),
            *results((("1 CNN", 40.7, 18.2),), "Table 2"),
            *results((("5 CNNs", 38.1, 16.4),), "Table 2", num_models=5),
            *results((("5 CNNs", None, 16.4),), "Table 2", data=ILSVRC_TEST, num_models=5),
            *results((("1 CNN*, pre-trained on the 2011 release", 39.0, 16.6),), "Table 2"),
            *results((("7 CNNs*, two of them pre-trained", 36.7, 15.4),), "Table 2", num_models=7),
            *results((("7 CNNs*", None, 15.3),), "Table 2", data=ILSVRC_TEST, num_models=7),
            *results((("one column", 40.42, 18.15),), "ten views", paper=_AUTHOR),
        ),
    ),
)

WHOLE_IMAGES = (
    Protocol(
        name="lenet/whole",
        summary="the whole image, with a black border where the network sees more",
        citation=cite("lenet", "section III"),
        resize=_WHOLE,
        printed=(
            *results((("LeNet-5", 0.95, None),), "section III", data="MNIST test"),
            *results((("LeNet-5, distortions", 0.8, None),), "section III", data="MNIST test"),
        ),
    ),
    Protocol(
        name="nin/whole",
        summary="the whole image of CIFAR or MNIST",
        citation=cite("nin", "section 4"),
        resize=_WHOLE,
        readings=(
            "the paper's tables were seen in other people's notes only, so no result is quoted",
        ),
    ),
    Protocol(
        name="nin/single",
        summary="NIN on ImageNet: the centre 224 of an image whose shorter side has 256",
        citation=cite("nin", "section 4"),
        resize=(ShorterSide(px=256),),
        readings=("the paper has no ImageNet; the result is that of its authors' model",),
        printed=results((("NIN-ImageNet", 40.64, None),), "centre crop", paper=_CARD),
    ),
    Protocol(
        name="cifar/whole",
        summary="the whole image of CIFAR, one view",
        citation=cite("resnet_cifar", "Table 6"),
        resize=_WHOLE,
        printed=(
            *results(
                (
                    ("ResNet-20", 8.75, None),
                    ("ResNet-32", 7.51, None),
                    ("ResNet-44", 7.17, None),
                    ("ResNet-56", 6.97, None),
                    ("ResNet-110, best of five", 6.43, None),
                    ("ResNet-1202", 7.93, None),
                ),
                "Table 6",
                data="CIFAR-10 test",
            ),
            *results(
                (
                    ("DenseNet L40 k12", 5.24, None),
                    ("DenseNet L100 k12", 4.1, None),
                    ("DenseNet L100 k24", 3.74, None),
                    ("DenseNet-BC L100 k12", 4.51, None),
                    ("DenseNet-BC L250 k24", 3.62, None),
                    ("DenseNet-BC L190 k40", 3.46, None),
                ),
                "Table 2",
                data="CIFAR-10 test",
                paper=_DENSENET,
            ),
            *results(
                (
                    ("DenseNet L40 k12", 24.42, None),
                    ("DenseNet L100 k12", 20.2, None),
                    ("DenseNet L100 k24", 19.25, None),
                    ("DenseNet-BC L100 k12", 22.27, None),
                    ("DenseNet-BC L250 k24", 17.6, None),
                    ("DenseNet-BC L190 k40", 17.18, None),
                ),
                "Table 2",
                data="CIFAR-100 test",
                paper=_DENSENET,
            ),
        ),
    ),
)
