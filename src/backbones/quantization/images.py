"""Which images a network is calibrated on, which it is judged on, and how a graph is given them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from backbones.classifier.assembly import Member
from backbones.classifier.held_out import Wanted, images_for_all
from backbones.data.pipeline import Pipeline
from backbones.data.source import Split
from backbones.errors import BadData, WrongUse
from backbones.exporting.session import Array
from backbones.protocols.classes import match_classes
from backbones.spec import InputSpec
from backbones.training.data import sampled_places
from backbones.weights.bundle import Bundle

USUAL_IMAGES = 300  # to calibrate on; NNCF's own number


@dataclass(frozen=True)
class Parts:
    """Two parts of a data set that share no image, labelled in the network's classes.

    Args:
        calibration: training images, sampled class by class.
        validation: images that the network has not learned from, where the data tells.
        data: what was understood of the data, in one line.
    """

    calibration: Split
    validation: Split
    data: str


def choose_parts(bundle: Bundle, wanted: Wanted, num_images: int | None, seed: int) -> Parts:
    """The images to calibrate and to judge on.

    Data with a training and a validation part, or that the bundle was trained on and whose parts it
    knows, gives both. Of other data at most half is for calibration, and the rest is for judging.

    Args:
        bundle: the network.
        wanted: the data.
        num_images: to calibrate on; None takes 300, or fewer where there are not so many.
        seed: which they are.

    Raises:
        NotFound, BadData: no such data, or it is no data set of the network's classes.
        WrongUse: fewer images than were asked for, or one class.
    """
    member = Member(bundle.build, bundle.spec, bundle.classes, bundle.variant)
    source, held = images_for_all((bundle,), (member,), wanted)
    held = source.splits.get("val", held)
    if held.name == "train" or "train" not in source.splits:
        most = min(num_images or USUAL_IMAGES, len(held) // 2)
        learned, held = _divided(held, most, seed)
    else:
        learned = source.splits["train"]
    if num_images is not None and num_images > len(learned):
        raise WrongUse(
            f"{wanted.data} has {len(learned):,} images to calibrate on, and {num_images:,} were"
            f" asked for; say --images {len(learned)} or fewer, or give more images"
        )
    matched = [match_classes(each, bundle.classes) for each in (learned, held)]
    if len(np.unique(matched[1].labels)) < 2:
        raise WrongUse(
            f"the images of {wanted.data} to judge on are of one class, on which any network is"
            " right or wrong as it likes; give images of two classes or more"
        )
    places = sampled_places(matched[0], num_images or USUAL_IMAGES, seed)
    return Parts(matched[0].take(places), matched[1], source.summary())


def _divided(whole: Split, num_calibration: int, seed: int) -> tuple[Split, Split]:
    chosen = sampled_places(whole, num_calibration, seed)
    rest = np.setdiff1d(np.arange(len(whole)), chosen)
    return whole.take(chosen, whole.name), replace(whole.take(rest), name="rest")


@dataclass(frozen=True)
class FedImages:
    """Images one by one as a graph takes them, decoded anew each time.

    Args:
        split: the images.
        spec: what the network sees of them.
        fed: from normalised images to what the graph takes.
        served: called with (images handed out in this pass, images in all).
    """

    split: Split
    spec: InputSpec
    fed: Callable[[Tensor], Array]
    served: Callable[[int, int], None]

    def __len__(self) -> int:
        return len(self.split)

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        """Each image that can be read, with its class."""
        for images, labels in batches_of(self.split, self.spec, 1, self.served):
            yield self.fed(images), int(labels[0])


def batches_of(
    split: Split, spec: InputSpec, batch_size: int, done: Callable[[int, int], None]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised images with their labels; files that cannot be read are left out.

    Args:
        split, spec, batch_size: as of `Pipeline`.
        done: called with (images so far, images in all).

    Raises:
        BadData: none of the files can be read.
    """
    count = good = 0
    with closing(Pipeline(split, spec, batch_size=batch_size)) as pipeline:
        for batch in pipeline.epoch():
            count += len(batch.indices) + len(batch.bad)
            good += len(batch.indices)
            if len(batch.indices):
                yield batch.images, batch.labels
            done(count, len(split))
    if not good:
        raise BadData(f"none of the {len(split):,} images of the part {split.name} can be read")
