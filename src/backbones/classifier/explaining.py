"""Explain a classifier's answers: where in images it sees its classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from backbones.classifier.explained import ClassMap, Explanation
from backbones.classifier.options import InferenceOptions
from backbones.classifier.predictions import Guess, class_names
from backbones.classifier.preparing import (
    Preparation,
    Prepared,
    batches,
    geometry_of,
    squares_of,
)
from backbones.classifier.source import Source
from backbones.data.finish import normalised
from backbones.data.geometry import evaluation_framing, source_box
from backbones.errors import BadData, telling_of_memory
from backbones.explanation.filters import feature_maps
from backbones.explanation.layers import find_layer
from backbones.explanation.maps import Maps
from backbones.explanation.placing import share_of
from backbones.explanation.run import Method, Request, answer
from backbones.explanation.subject import Subject
from backbones.footprint.room import batch_advice
from backbones.labels import Lang, shown
from backbones.labels.choosing import class_index
from backbones.language import said
from backbones.nn.evaluating import naming
from backbones.nn.naming import paper_names
from backbones.progress import Progress

KEPT_PX = 1280
"""As large as an image is handed on, for drawing."""

Target = str | int | Sequence[str | int] | None

_METHOD_NAMES = {"grad_cam": "Grad-CAM", "cam": "CAM"}


@dataclass(frozen=True)
class Question:
    """What is asked about images.

    Args:
        request: methods, classes and layer.
        feature_layer: whose maps are handed out too.
        top: answers an image.
        lang: of the class names.
    """

    request: Request
    feature_layer: str | None = None
    top: int = 5
    lang: Lang = "en"


def explain_images(
    subject: Subject,
    source: Source,
    question: Question,
    options: InferenceOptions,
    progress: Progress | None = None,
) -> Iterator[Explanation]:
    """Show where in images a network sees its classes, one image after the other.

    Args:
        subject: the network, with names of its classes.
        source: the images.
        question: what is asked.
        options: device, precision and the like; under a protocol of one view.
        progress: called with (passes of the network done, passes in all).

    Raises:
        NotFound: no such layer; before any image is read.
        WrongUse: CAM of a network that has none.
    """
    options.compute.place(subject.network)
    explainer = _Explainer(subject, question, options)
    return explainer.explanations(source, progress or (lambda done, total: None))


def targets_of(classes: Sequence[str], target: Target) -> tuple[int, ...] | None:
    if target is None:
        return None
    wanted = [target] if isinstance(target, str | int) else target
    return tuple(dict.fromkeys(class_index(classes, str(each)) for each in wanted))


@dataclass(frozen=True)
class _Way:
    """How a method makes its maps; see `ClassMap`."""

    layer: str | None
    note: str
    share: float


def _way(subject: Subject, request: Request, method: Method) -> _Way:
    if method == "occlusion":
        size = subject.spec.size
        patch, stride = request.occluder.sides(size, size)
        sides = {"patch": patch, "stride": stride, "size": size}
        note = said("Occlusion: {patch} px square, every {stride} px of {size}", **sides)
        return _Way(None, note, 1.0)
    layer = find_layer(subject.network, request.layer)
    name = paper_names(subject.network).get(layer, layer)
    share = share_of(subject.network, layer, subject.spec)
    note = said("{method} at {layer}", method=_METHOD_NAMES[method], layer=name)
    return _Way(layer, note, share)


class _Explainer:
    """Explains batches of images."""

    def __init__(self, subject: Subject, question: Question, options: InferenceOptions) -> None:
        self._subject, self._request, self._options = subject, question.request, options
        self._names = class_names(subject.classes, shown(subject.classes, question.lang))
        self._top = min(question.top, len(subject.classes))
        self._ways = {each: _way(subject, self._request, each) for each in self._request.methods}
        self._feature_layer = (
            None
            if question.feature_layer is None
            else find_layer(subject.network, question.feature_layer)
        )

    def explanations(self, source: Source, progress: Progress) -> Iterator[Explanation]:
        """One explanation an image, each of so many passes of the network."""
        count = done = 0
        passes = self._request.passes(self._subject.spec)

        def passed(more: int) -> None:
            nonlocal done
            done += more
            progress(done, max(done, max(count, source.num_images) * passes))

        options, spec = self._options, self._subject.spec
        preparation = Preparation(options.protocol, (geometry_of(spec),), KEPT_PX, options.workers)
        with closing(preparation.stream(source, 1)) as stream:
            for batch in batches(stream, options.batch_of(spec.size)):
                count += len(batch)
                readable = [each for each in batch if each.error is None]
                found = iter(self._answers(readable, passed) if readable else ())
                if len(readable) < len(batch):
                    passed(passes * (len(batch) - len(readable)))
                for each in batch:
                    if each.error is not None:
                        yield Explanation(each.names[0], error=each.error)
                    else:
                        yield next(found)

    def _answers(
        self, batch: Sequence[Prepared], passed: Callable[[int], None]
    ) -> Iterator[Explanation]:
        network, spec, compute = self._subject.network, self._subject.spec, self._options.compute
        features = None
        with (
            telling_of_memory(lambda: _advice(network, spec, self._options)),
            naming([each.names[0] for each in batch]),
            compute.running(),
            torch.autocast(compute.kind, torch.bfloat16, enabled=compute.precision == "bf16"),
        ):
            images = normalised(squares_of(batch, spec), spec, compute.device)
            found = answer(network, images, self._request, passed)
            if self._feature_layer is not None:
                maps = feature_maps(network, images, self._feature_layer)
                features = maps.float().cpu().numpy()
        logits = next(iter(found.values())).logits.float()
        if logits.shape[1] != len(self._names):
            raise BadData(
                f"the network has {logits.shape[1]} outputs and there are {len(self._names)} class"
                " names; use the names that it was trained with"
            )
        probabilities = logits.softmax(dim=1).cpu()
        for place, each in enumerate(batch):
            order = torch.argsort(probabilities[place], descending=True, stable=True)
            yield Explanation(
                path=each.names[0],
                predictions=tuple(
                    self._guess(index, probabilities[place])
                    for index in order[: self._top].tolist()
                ),
                maps=tuple(
                    self._map(method, maps, place, probabilities[place])
                    for method, maps in found.items()
                    for maps in _one_class_each(maps)
                ),
                size=each.size,
                seen=source_box(evaluation_framing(*each.size, spec.resize, spec.size)),
                image=each.images[0],
                features=None if features is None else (str(self._feature_layer), features[place]),
                compute=compute,
            )

    def _guess(self, index: int, probabilities: torch.Tensor) -> Guess:
        name, own = self._names[index]
        return Guess(name, float(probabilities[index]), own)

    def _map(self, method: Method, maps: Maps, place: int, probabilities: torch.Tensor) -> ClassMap:
        index = int(maps.targets[place, 0])
        values = maps.values[place, 0].float().cpu().numpy()
        guess, way = self._guess(index, probabilities), self._ways[method]
        return ClassMap(guess, index, method, way.layer, values, way.note, way.share)


def _advice(network: nn.Module, spec: Any, options: InferenceOptions) -> str:
    return batch_advice(
        network,
        (spec.channels, spec.size, spec.size),
        options.batch_of(spec.size),
        "--batch-size ",
        training=True,  # gradients keep what a pass computes
    )


def _one_class_each(maps: Maps) -> Iterator[Maps]:
    for place in range(maps.targets.shape[1]):
        here = slice(place, place + 1)
        yield Maps(maps.values[:, here], maps.targets[:, here], maps.logits)
