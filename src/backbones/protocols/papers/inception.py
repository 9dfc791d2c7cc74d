"""GoogLeNet's crops (4 scales, 3 squares, 6 crops, mirrored), and what its successors took over."""

from __future__ import annotations

from backbones.protocols.papers import ILSVRC_TEST, ILSVRC_VAL, Protocol, cite, results, ten_crop
from backbones.protocols.row import ShorterSide

_FOUR_SCALES = tuple(ShorterSide(px=px) for px in (256, 288, 320, 352))
# 256, 288, 320 and 352 are 8, 9, 10 and 11 times 32, and 224 is 7 times.
_FOUR_SCALES_OF_SIZE = tuple(ShorterSide(times_size=part / 7) for part in (8, 9, 10, 11))
_BN = "Ioffe & Szegedy (2015)"
_V4 = "Szegedy et al. (2017), AAAI-17"
_KEPT = f"{ILSVRC_VAL}, 48,238 that are not blacklisted"

GOOGLENET = (
    Protocol(
        name="googlenet/single",
        summary="one centre crop of 224",
        citation=cite("googlenet", "Table 3"),
        resize=(ShorterSide(px=256),),
        readings=("the paper does not say the scale of its one crop; its smallest, 256, is taken",),
        printed=(
            *results((("GoogLeNet", None, 10.07),), "Table 3"),
            *results((("GoogLeNet", None, 8.09),), "Table 3", num_models=7),
            *results((("BN-Inception", 25.2, 7.82),), "Figure 4", paper=_BN),
            *results((("GoogLeNet, Caffe", 31.3, 11.1),), "bvlc_googlenet", paper="BVLC Caffe"),
        ),
    ),
    ten_crop(
        name="googlenet/10_crop",
        summary="four corners and the centre of the centre square, and their mirror images",
        citation=cite("googlenet", "Table 3"),
        readings=("the paper does not say which ten crops; AlexNet's are taken",),
        printed=(
            *results((("GoogLeNet", None, 9.15),), "Table 3"),
            *results((("GoogLeNet", None, 7.62),), "Table 3", num_models=7),
        ),
    ),
    Protocol(
        name="googlenet/144_crop",
        summary="4 scales x 3 squares x (4 corners, centre, whole square) x 2 mirror images",
        citation=cite("googlenet", "section 7 and Table 3"),
        resize=_FOUR_SCALES,
        region="three_squares",
        views="corners_centre_and_square",
        mirrored=True,
        printed=(
            *results((("GoogLeNet", None, 7.89),), "Table 3"),
            *results((("GoogLeNet", None, 6.67),), "Table 3", num_models=7),
            *results((("BN-Inception", 21.99, 5.82),), "Figure 4", paper=_BN),
            *results((("BN-Inception", 20.1, 4.9),), "Figure 4", num_models=6, paper=_BN),
            *results(
                (("BN-Inception", None, 4.82),),
                "section 4.2.3",
                data=ILSVRC_TEST,
                num_models=6,
                paper=_BN,
            ),
        ),
    ),
)

INCEPTION_V3 = (
    Protocol(
        name="inception_v3/single",
        summary="one centre crop, as the network's input spec says",
        citation=cite("inception_v3", "Table 3"),
        readings=("the paper does not say the scale of its one crop; the input spec's is taken",),
        printed=(
            *results(
                (
                    ("GoogLeNet", 29.0, 9.2),
                    ("BN-GoogLeNet", 26.8, None),
                    ("BN-Inception", 25.2, 7.8),
                ),
                "Table 3, of the older papers",
            ),
            *results(
                (
                    ("Inception-v2", 23.4, None),
                    ("Inception-v2, RMSProp", 23.1, 6.3),
                    ("Inception-v2, label smoothing", 22.8, 6.1),
                    ("Inception-v2, factorized 7x7", 21.6, 5.8),
                    ("Inception-v3", 21.2, 5.6),
                ),
                "Table 3",
                data=_KEPT,
            ),
            *results(
                (
                    ("Inception-ResNet-v1", 21.3, 5.5),
                    ("Inception-v4", 20.0, 5.0),
                    ("Inception-ResNet-v2", 19.9, 4.9),
                ),
                "single crop",
                data=_KEPT,
                paper=_V4,
            ),
        ),
    ),
    Protocol(
        name="inception_v3/12_crop",
        summary="(4 corners, centre, whole) of the centre square, and their mirror images",
        citation=cite("inception_v3", "Table 4"),
        resize=(ShorterSide(times_size=8 / 7),),
        region="square",
        views="corners_centre_and_square",
        mirrored=True,
        readings=(
            "the paper does not say which twelve crops; those of one of GoogLeNet's squares at its"
            " smallest scale are taken, which is one twelfth of its 144",
        ),
        printed=(
            *results((("Inception-v3", 19.47, 4.48),), "Table 4", data=_KEPT),
            *results(
                (
                    ("Inception-v3", 19.8, 4.6),
                    ("Inception-ResNet-v1", 19.8, 4.6),
                    ("Inception-v4", 18.7, 4.2),
                    ("Inception-ResNet-v2", 18.7, 4.1),
                ),
                "12 crops, all 50,000 images",
                paper=_V4,
            ),
        ),
    ),
    Protocol(
        name="inception_v3/144_crop",
        summary="GoogLeNet's 144 crops at the network's own size",
        citation=cite("inception_v3", "Tables 4 and 5"),
        resize=_FOUR_SCALES_OF_SIZE,
        region="three_squares",
        views="corners_centre_and_square",
        mirrored=True,
        readings=(
            "the paper takes GoogLeNet's crops over without their scales for 299 px; the same four"
            " multiples of the network's side (8/7 to 11/7) are taken",
        ),
        printed=(
            *results((("Inception-v3", 18.77, 4.2),), "Table 4", data=_KEPT),
            *results((("Inception-v3", 17.3, 3.5),), "abstract", data=_KEPT, num_models=4),
            *results(
                (
                    ("Inception-v3", 18.9, 4.3),
                    ("Inception-ResNet-v1", 18.8, 4.3),
                    ("Inception-v4", 17.7, 3.8),
                    ("Inception-ResNet-v2", 17.8, 3.7),
                ),
                "144 crops",
                paper=_V4,
            ),
            *results((("Inception-v3", 17.3, 3.6),), "ensembles", num_models=4, paper=_V4),
            *results(
                (("Inception-v4 and 3 Inception-ResNet-v2", 16.4, 3.1),),
                "ensembles",
                num_models=4,
                paper=_V4,
            ),
            *results(
                (("Inception-v4 and 3 Inception-ResNet-v2", None, 3.08),),
                "ensembles",
                data=ILSVRC_TEST,
                num_models=4,
                paper=_V4,
            ),
        ),
    ),
)
