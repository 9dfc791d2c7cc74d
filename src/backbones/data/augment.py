"""What training may change in an image, and how much: sampled anew for every sample and epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backbones.data.distort import OPERATIONS
from backbones.data.geometry import (
    Box,
    Framing,
    centre_crop_box,
    random_crop_box,
    random_resized_box,
    resized_size,
)
from backbones.data.random import Floats, Integers, normal, uniform

Pixel = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]

# Principal components of ImageNet's RGB values: rows R, G, B, columns the components. The author's
# from make-data/input_meta, the others from fb.resnet.torch, datasets/transforms.lua.
_COMPONENTS = {
    "author": np.array(
        [
            [-0.56351, -0.71258, 0.41796],
            [-0.57618, -0.02354, -0.81698],
            [-0.59200, 0.70120, 0.39731],
        ]
    ),
    "fb.resnet": np.array(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    ),
}
# Step along each component for sigma = 1, on 0..255. The author's code takes the standard
# deviations; fb.resnet.torch takes the variances (of values in 0..1) and is 2 to 17 times weaker.
_COLOUR_STEPS = {
    "author": np.array([121.78, 37.09, 19.72]),
    "fb.resnet": np.array([0.2175, 0.0188, 0.0045]) * 255.0,
}
_ATTEMPTS = 10
_ERASE_AREA = (0.02, 0.4)
_ERASE_ASPECT = (0.3, 1 / 0.3)

# A sample's numbers, by slot. Never renumber: a seed would come to mean something else.
_SCALE, _X, _Y, _FLIP, _COLOUR, _ERASE, _BOXES, _JITTER, _OPERATIONS = 1, 2, 3, 4, 5, 11, 16, 40, 48


class Augment(BaseModel):
    """What is sampled for each training image.

    Args:
        resize: px of the shorter side before the crop; a pair is sampled uniformly, both ends
            included (VGG's scale jitter: Simonyan & Zisserman 2015, section 3.1); None leaves
            the image as it is.
        crop: "random" square, "centre" square, or "random_resized": a box of random area and
            aspect that is resized to the square (Szegedy et al. 2015, section 6).
        pad: black px on each side before a random crop.
        area: smallest and largest share of the image's area, for "random_resized".
        aspect: smallest and largest width over height, for "random_resized".
        flip: probability of mirroring left and right.
        pca_colour: standard deviation of the steps along ImageNet's principal colours
            (Krizhevsky et al. 2012, section 4.1: 0.1); 0 turns it off. RGB only.
        pca_scale: "author" steps by the standard deviations of the components, as the author's
            code does (its final division of all pixels by 1.1 is left out, for the paper does
            not have it); "fb.resnet" by their variances, 2 to 17 times weaker.
        jitter: brightness, contrast and saturation are each multiplied by a factor sampled from
            1 - jitter to 1 + jitter, in an order that is sampled too (fb.resnet.torch's
            ColorJitter: 0.4); on bytes, so that what leaves 0..255 is cut. 0 turns it off.
        rand_ops: how many operations of RandAugment, one after the other (Cubuk et al. 2020);
            0 turns it off. The fourteen are in `data.distort`, their ranges AutoAugment's.
        rand_magnitude: their strength as a share of these ranges, in tenths: 0 to 10.
        erase: probability of blanking a rectangle of 2 to 40 % of the square to the mean colour
            (Zhong et al. 2017, Random Erasing Data Augmentation; there it is tried until it
            fits, here it is clipped).

    Raises:
        pydantic.ValidationError: a value out of range, or fields that contradict each other.

    Example:
        >>> Augment(resize=(256, 512), flip=0.5).crop
        'random'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    resize: Pixel | tuple[Pixel, Pixel] | None = None
    crop: Literal["random", "random_resized", "centre"] = "random"
    pad: Annotated[int, Field(ge=0)] = 0
    area: tuple[Share, Share] = (0.08, 1.0)
    aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (3 / 4, 4 / 3)
    flip: Share = 0.0
    pca_colour: Annotated[float, Field(ge=0.0)] = 0.0
    pca_scale: Literal["author", "fb.resnet"] = "author"
    jitter: Share = 0.0
    rand_ops: Annotated[int, Field(ge=0, le=8)] = 0
    rand_magnitude: Annotated[float, Field(ge=0, le=10)] = 9.0
    erase: Share = 0.0

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("resize", "area", "aspect"):
            pair = getattr(self, name)
            if isinstance(pair, tuple) and pair[0] > pair[1]:
                raise ValueError(f"{name} is {pair}, expected the smaller one first")
        if self.area[0] <= 0:
            raise ValueError("area begins at 0, expected more than nothing")
        if self.crop == "random_resized" and (self.resize is not None or self.pad):
            raise ValueError(
                "crop random_resized takes its box from the whole image: leave out resize and pad"
            )
        if self.crop == "centre" and self.pad:
            raise ValueError("pad is for crop random; a centre crop pads what is too small itself")
        return self


@dataclass(frozen=True)
class AugmentParams:
    """What was sampled for N samples; a field that an augmentation does not use holds zeros.

    Args:
        resize: px of the shorter side, 0 for "as it is"; int64 (N,).
        x, y: places of the crop in [0, 1).
        areas, aspects: candidates of "random_resized", (N, 10), else (N, 0).
        flip: bool (N,).
        colour: to add to R, G and B, on 0..255; (N, 3).
        erase: share of the square to blank (0 for nothing), its aspect, and its place; (N, 4).
        jitter: factors of brightness, contrast and saturation, and their order in [0, 1);
            (N, 4), without jitter (N, 0).
        operations: number and strength (-1 to 1) of RandAugment's operations, (N, rand_ops, 2).
    """

    resize: Integers
    x: Floats
    y: Floats
    areas: Floats
    aspects: Floats
    flip: npt.NDArray[np.bool_]
    colour: Floats
    erase: Floats
    jitter: Floats
    operations: Floats

    def rows(self, first: int, last: int) -> AugmentParams:
        """The parameters of samples `first` to `last - 1`."""
        return AugmentParams(**{f.name: getattr(self, f.name)[first:last] for f in fields(self)})


def sample_params(augment: Augment, seed: int, epoch: int, indices: Integers) -> AugmentParams:
    """Sample for the images at `indices`, by (seed, epoch, index) and by nothing else.

    Example:
        >>> both = sample_params(Augment(flip=0.5), 0, 3, np.array([7, 8]))
        >>> bool(both.x[1] == sample_params(Augment(flip=0.5), 0, 3, np.array([8])).x[0])
        True
    """

    def share(slot: int) -> Floats:
        return uniform(seed, epoch, indices, slot)

    none = np.zeros((len(indices), 0))
    boxes = range(_BOXES, _BOXES + 2 * _ATTEMPTS, 2) if augment.crop == "random_resized" else ()
    areas = [_between(share(slot), *augment.area) for slot in boxes]
    aspects = [_log_between(share(slot + 1), *augment.aspect) for slot in boxes]
    return AugmentParams(
        resize=_sampled_resize(augment, len(indices), share),
        x=share(_X),
        y=share(_Y),
        areas=np.stack(areas, 1) if areas else none,
        aspects=np.stack(aspects, 1) if aspects else none,
        flip=share(_FLIP) < augment.flip,
        colour=_sampled_colour(augment, seed, epoch, indices),
        erase=_sampled_erase(augment, len(indices), share),
        jitter=_sampled_jitter(augment, share) if augment.jitter else none,
        operations=_sampled_operations(augment, len(indices), share),
    )


def _between(share: Floats, low: float, high: float) -> Floats:
    return low + share * (high - low)


def _log_between(share: Floats, low: float, high: float) -> Floats:
    """Between two ratios, so that a ratio and its inverse are equally likely."""
    return np.exp(_between(share, np.log(low), np.log(high)))


def _sampled_resize(augment: Augment, count: int, share: Callable[[int], Floats]) -> Integers:
    position = share(_SCALE)
    low, high = augment.resize if isinstance(augment.resize, tuple) else (augment.resize or 0,) * 2
    return low + np.floor(position * (high - low + 1)).astype(np.int64)


def _sampled_colour(augment: Augment, seed: int, epoch: int, indices: Integers) -> Floats:
    if not augment.pca_colour:
        return np.zeros((len(indices), 3))
    slots = range(_COLOUR, _COLOUR + 6, 2)
    alphas = np.stack([normal(seed, epoch, indices, slot) for slot in slots], 1)
    steps = alphas * augment.pca_colour * _COLOUR_STEPS[augment.pca_scale]
    # written out: a matrix product may round differently for another number of rows
    return np.stack([(steps * row).sum(1) for row in _COMPONENTS[augment.pca_scale]], 1)


def _sampled_erase(augment: Augment, count: int, share: Callable[[int], Floats]) -> Floats:
    if not augment.erase:
        return np.zeros((count, 4))
    hit = share(_ERASE) < augment.erase
    area = np.where(hit, _between(share(_ERASE + 1), *_ERASE_AREA), 0.0)
    aspect = _log_between(share(_ERASE + 2), *_ERASE_ASPECT)
    return np.stack([area, aspect, share(_ERASE + 3), share(_ERASE + 4)], 1)


def _sampled_jitter(augment: Augment, share: Callable[[int], Floats]) -> Floats:
    low, high = 1 - augment.jitter, 1 + augment.jitter
    factors = [_between(share(_JITTER + number), low, high) for number in range(3)]
    return np.stack([*factors, share(_JITTER + 3)], 1)


def _sampled_operations(augment: Augment, count: int, share: Callable[[int], Floats]) -> Floats:
    operations = np.zeros((count, augment.rand_ops, 2))
    for place in range(augment.rand_ops):
        slot = _OPERATIONS + 2 * place
        operations[:, place, 0] = np.floor(share(slot) * len(OPERATIONS))
        sign = np.where(share(slot + 1) < 0.5, -1.0, 1.0)
        operations[:, place, 1] = sign * augment.rand_magnitude / 10
    return operations


def framing_of(
    augment: Augment, params: AugmentParams, row: int, width: int, height: int, size: int
) -> Framing:
    """How sample `row` is cut, for an image of this size.

    Args:
        augment: what `params` were sampled for.
        params: those of a batch.
        row: which of them.
        width, height: of the image, px.
        size: side of the square that the network sees, px.
    """
    x, y = float(params.x[row]), float(params.y[row])
    if augment.crop == "random_resized":
        areas, aspects = params.areas[row].tolist(), params.aspects[row].tolist()
        box = random_resized_box((width, height), areas, aspects, augment.aspect, (x, y))
        return Framing(box, (size, size), Box(0, 0, size, size))
    resized = (width, height)
    if params.resize[row]:
        resized = resized_size(width, height, int(params.resize[row]))
    if augment.crop == "centre":
        window = centre_crop_box(*resized, size)
    else:
        window = random_crop_box(*resized, size, augment.pad, x, y)
    return Framing(Box(0, 0, width, height), resized, window)


def erased_box(params: AugmentParams, row: int, size: int) -> Box:
    """The rectangle to blank in sample `row`, where its `erase` area is not 0."""
    area, aspect, x, y = params.erase[row].tolist()
    width = min(size, max(1, round(size * (area * aspect) ** 0.5)))
    height = min(size, max(1, round(size * (area / aspect) ** 0.5)))
    return Box(int(x * (size - width + 1)), int(y * (size - height + 1)), width, height)
