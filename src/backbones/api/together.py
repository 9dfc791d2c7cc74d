"""Predict with several networks as one, or from several views: as an evaluation would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from backbones.data.decode import decode
from backbones.data.source import LoosePictures, Split
from backbones.errors import BadImage
from backbones.prediction.inputs import Inputs, Waiting
from backbones.prediction.run import Prediction, best_guesses, class_names, reduced
from backbones.progress import Progress
from backbones.protocols.answering import Answers, Asking
from backbones.protocols.classes import column_order
from backbones.protocols.run import Member, answer_together
from backbones.weights.bundle import Bundle

_BATCHES_AT_ONCE = 4  # pictures of archives wait in memory until all networks have seen them


@dataclass(frozen=True)
class Answering:
    """Who answers, and how.

    Args:
        bundles: one network or more, with the same classes in any order.
        called: what messages call them.
        asking: the protocol and the means.
    """

    bundles: Sequence[Bundle]
    called: Sequence[str]
    asking: Asking

    def members(self) -> list[Member]:
        """The networks, each built once.

        Raises:
            BadData: their classes differ.
        """
        first = self.bundles[0].classes
        for name, each in zip(self.called, self.bundles, strict=True):
            column_order(each.classes, first, name)
        return [
            Member(cache(each.build), each.spec, each.classes, name)
            for name, each in zip(self.called, self.bundles, strict=True)
        ]


def predict_together(
    answering: Answering,
    inputs: Inputs,
    *,
    names: Sequence[str],
    top: int | None = 5,
    keep_pictures: bool = False,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Predict pictures with several networks as one, from the views of a protocol.

    Each network's views are reduced, and then the networks, as the protocol's `reduction` says:
    the same as an evaluation does with the same pictures.

    Args:
        answering: the networks and the protocol.
        inputs: what `find_inputs` found.
        names: how the first network's classes are shown, in their order.
        top: answers a picture; None gives all classes.
        keep_pictures: hand the decoded pixels on, for drawing.
        progress: called with (pictures done, pictures in all).

    Yields:
        One prediction a picture, in input order; with an error where it could not be read.

    Raises:
        BadData: the networks' classes differ; at once.
        ProtocolError: the protocol's views do not fit a network.
    """
    members = answering.members()
    shown = class_names(answering.bundles[0].classes, names)

    def predictions() -> Iterator[Prediction]:
        waiting, done = iter(inputs), 0
        while chunk := list(islice(waiting, _BATCHES_AT_ONCE * answering.asking.batch_size)):
            total = max(inputs.num_pictures, done + len(chunk))
            told = None if progress is None else _part_of(progress, done, total, len(members))
            split = _unlabelled(chunk, answering.bundles[0].classes)
            answers = answer_together(members, split, answering.asking, progress=told)
            yield from _predictions(chunk, answers, shown, top, keep_pictures)
            done += len(chunk)

    return predictions()


def _part_of(progress: Progress, before: int, total: int, num_members: int) -> Progress:
    """Pictures times networks of a chunk, told as pictures of all."""
    return lambda done, _: progress(before + done // num_members, total)


def _unlabelled(chunk: Sequence[Waiting], classes: tuple[str, ...]) -> Split:
    """A split of pictures of which nobody knows the class; the labels are never looked at."""
    pictures = LoosePictures(
        Path(), tuple(each.path for each in chunk), tuple(each.read for each in chunk)
    )
    return Split("test", classes, np.zeros(len(chunk), np.int64), pictures)


def _predictions(
    chunk: Sequence[Waiting],
    answers: Answers,
    names: Sequence[tuple[str, str | None]],
    top: int | None,
    keep: bool,
) -> Iterator[Prediction]:
    """The answers beside their pictures; the reason where there is no answer."""
    reasons = {bad.name: bad.reason for bad in answers.skipped}
    found = {}
    if len(answers.indices):
        shares = torch.from_numpy(answers.log_probabilities).exp()
        guesses = best_guesses(shares, names, top)
        found = dict(zip(answers.indices.tolist(), guesses, strict=True))
    for place, each in enumerate(chunk):
        if place in found:
            yield Prediction(each.path, found[place], picture=_shown(each) if keep else None)
        else:
            yield Prediction(each.path, error=reasons.get(each.path, "it could not be read"))


def _shown(waiting: Waiting) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    """The picture for drawing."""
    try:
        return reduced(decode(waiting.read()))
    except BadImage:  # the file went away in between; its answer still stands
        return None
