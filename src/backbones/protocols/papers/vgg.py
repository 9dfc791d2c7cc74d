"""VGG: the uncropped image, the grid of crops, and both together (Tables 3 to 6)."""

from __future__ import annotations

from functools import partial

from backbones.protocols.papers import ILSVRC_TEST, Protocol, cite, dense, results
from backbones.protocols.row import ShorterSide

_JITTER = tuple(ShorterSide(px=px) for px in (256, 384, 512))
_AROUND_S = tuple(ShorterSide(plus=plus) for plus in (-32, 0, 32))
_POOLED = "the map of scores is averaged over its places before the softmax"
_dense = partial(dense, readings=(_POOLED,))

VGG = (
    _dense(
        name="vgg/dense",
        summary="the uncropped image and its mirror image at the training scale, Q = S",
        citation=cite("vgg", "section 3.2 and Table 3"),
        printed=results(
            (
                ("A, S = 256", 29.6, 10.4),
                ("A-LRN, S = 256", 29.7, 10.5),
                ("B, S = 256", 28.7, 9.9),
                ("C, S = 256", 28.1, 9.4),
                ("C, S = 384", 28.1, 9.3),
                ("D, S = 256", 27.0, 8.8),
                ("D, S = 384", 26.8, 8.7),
                ("E, S = 256", 27.3, 9.0),
                ("E, S = 384", 26.9, 8.7),
            ),
            "Table 3",
        ),
    ),
    _dense(
        name="vgg/dense_384",
        summary="the uncropped image and its mirror image at Q = (256 + 512) / 2",
        citation=cite("vgg", "section 3.2 and Table 3"),
        resize=(ShorterSide(px=384),),
        printed=results(
            (
                ("C, S in [256; 512]", 27.3, 8.8),
                ("D, S in [256; 512]", 25.6, 8.1),
                ("E, S in [256; 512]", 25.5, 8.0),
            ),
            "Table 3",
        ),
    ),
    _dense(
        name="vgg/dense_multiscale",
        summary="the uncropped image and its mirror image at three scales, Q = 256, 384, 512",
        citation=cite("vgg", "section 4.2 and Table 4"),
        resize=_JITTER,
        printed=(
            *results(
                (
                    ("C, S in [256; 512]", 26.3, 8.2),
                    ("D, S in [256; 512]", 24.8, 7.5),
                    ("E, S in [256; 512]", 24.8, 7.5),
                ),
                "Table 4",
            ),
            *results((("D and E", 24.0, 7.1),), "Table 6", num_models=2),
            *results((("D and E", None, 7.0),), "Table 6", data=ILSVRC_TEST, num_models=2),
            *results((("E", None, 7.3),), "section 4.2", data=ILSVRC_TEST),
            *results(
                (("the submission's nets, most at S - 32, S, S + 32", 24.7, 7.5),),
                "Table 6",
                num_models=7,
            ),
            *results(
                (("the submission's nets, most at S - 32, S, S + 32", None, 7.3),),
                "Table 6",
                data=ILSVRC_TEST,
                num_models=7,
            ),
        ),
    ),
    _dense(
        name="vgg/dense_multiscale_fixed",
        summary="the uncropped image and its mirror image at Q = S - 32, S, S + 32",
        citation=cite("vgg", "section 4.2 and Table 4"),
        resize=_AROUND_S,
        printed=results(
            (
                ("B, S = 256", 28.2, 9.6),
                ("C, S = 256", 27.7, 9.2),
                ("C, S = 384", 27.8, 9.2),
                ("D, S = 256", 26.6, 8.6),
                ("D, S = 384", 26.5, 8.6),
                ("E, S = 256", 26.9, 8.7),
                ("E, S = 384", 26.7, 8.6),
            ),
            "Table 4",
        ),
    ),
    Protocol(
        name="vgg/multicrop",
        summary="5 x 5 crops and their mirror images at three scales: 150 views",
        citation=cite("vgg", "section 3.2 and Table 5"),
        resize=_JITTER,
        region="whole",
        views="grid",
        mirrored=True,
        printed=(
            *results((("D", 24.6, 7.5), ("E", 24.6, 7.4)), "Table 5"),
            *results((("D and E", 23.9, 7.2),), "Table 6", num_models=2),
        ),
    ),
    Protocol(
        name="vgg/dense_and_multicrop",
        summary="the mean of the uncropped image at three scales and of 150 crops",
        citation=cite("vgg", "section 4.3 and Table 5"),
        resize=_JITTER,
        region="whole",
        views="grid",
        mirrored=True,
        scoring="dense_and_crops",
        readings=(_POOLED,),
        printed=(
            *results((("D", 24.4, 7.2), ("E", 24.4, 7.1)), "Table 5"),
            *results((("one net", None, 7.0),), "Table 7", data=ILSVRC_TEST),
            *results((("D and E", 23.7, 6.8),), "Table 6", num_models=2),
            *results((("D and E", None, 6.8),), "Table 6", data=ILSVRC_TEST, num_models=2),
        ),
    ),
)
