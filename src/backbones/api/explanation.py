"""Show where in pictures a network sees its classes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from backbones.api.explained import ClassMap, Explanation
from backbones.data.finish import normalised
from backbones.data.render import Pixels
from backbones.errors import BadData, BadImage, WrongUse
from backbones.explanation.filters import feature_maps, first_filters
from backbones.explanation.layers import find_layer
from backbones.explanation.maps import Maps
from backbones.explanation.occlusion import Occluder
from backbones.explanation.placing import share_of
from backbones.explanation.run import Looked, Method, Request, answer, look, methods_of
from backbones.explanation.subject import Subject
from backbones.labels import Lang, shown
from backbones.labels.choosing import class_index
from backbones.nn.evaluating import naming
from backbones.nn.naming import paper_names
from backbones.prediction.inputs import Waiting, find_inputs
from backbones.prediction.run import Guess
from backbones.progress import Downloading, Progress
from backbones.report.tiles import draw_filters
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle

__all__ = [
    "ClassMap",
    "Explanation",
    "Occluder",
    "Subject",
    "explain",
    "filters_picture",
    "open_subject",
]

Target = str | int | Sequence[str | int] | None

_KEPT_PX = 1280
_METHOD_NAMES = {"grad_cam": "Grad-CAM", "cam": "CAM"}


def open_subject(
    bundle: str | Path | Bundle | Subject, *, downloading: Downloading | None = None
) -> Subject:
    """A network that can be shown pictures.

    Args:
        bundle: a bundle, its path, a run folder, the id of weights; or a subject, which any
            `nn.Module` can be.
        downloading: hears of a download.

    Raises:
        NotFound, DownloadFailed, BadWeights: as `open_bundle`.
    """
    if isinstance(bundle, Subject):
        return bundle
    opened = open_bundle(bundle, downloading=downloading)
    return Subject(opened.build(), opened.spec, opened.classes)


def filters_picture(bundle: str | Path | Bundle | Subject) -> Image.Image:
    """The filters of a network's first convolution, on one sheet."""
    path, filters = first_filters(open_subject(bundle).network)
    return draw_filters(filters.float().numpy(), title=path)


def explain(
    bundle: str | Path | Bundle | Subject,
    inputs: Sequence[str | Path] | str | Path,
    *,
    method: str | Sequence[str] = "grad_cam",
    target: Target = None,
    layer: str | None = None,
    occluder: Occluder | None = None,
    features: str | None = None,
    top: int = 5,
    lang: Lang = "en",
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Iterator[Explanation]:
    """Show where in pictures a network sees its classes, one picture after the other.

    Args:
        bundle: a bundle, its path, a run folder, the id of weights; or a `Subject`, which any
            `nn.Module` can be.
        inputs: files, folders, patterns, zip or tar files, or "-" for standard input.
        method: "grad_cam" for every network; "cam" where averaged maps are weighed into logits;
            "occlusion"; or several of them.
        target: the class or classes to look for: by number, id, or name in English or Chinese;
            the likeliest of each picture where None.
        layer: of the class-activation maps: a module path, or what the paper calls the layer; the
            one that the family declares where None.
        occluder: the square of an occlusion.
        features: a layer whose maps are handed out too.
        top: answers a picture.
        lang: of the names: "en", "zh" or "both".
        batch_size: pictures, or covered copies of one, at a time.
        progress: called with (passes of the network done, passes in all).

    Yields:
        One explanation a picture, in input order; with an error where it could not be read.

    Raises:
        NotFound: no such bundle, class, layer or file; before any picture is read.
        WrongUse: an unknown method or language, or CAM of a network that has none.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (28, 28)).save(f"{folder}/blank.png")
        ...     [found] = explain("lenet5.digits", folder, target="7")
        >>> found.maps[0].layer, found.maps[0].values.shape
        ('c3', (10, 10))
    """
    if top < 1:
        raise WrongUse(f"top is {top}, expected at least 1")
    subject = open_subject(bundle)
    classes = subject.named()
    methods = methods_of([method] if isinstance(method, str) else method)
    request = Request(methods, _targets(classes, target), layer, occluder or Occluder(), batch_size)
    ways = {each: _way(subject, request, each) for each in methods}
    passes = request.passes(subject.spec)
    named = [inputs] if isinstance(inputs, str | Path) else inputs
    waiting = find_inputs(named, stdin=sys.stdin.buffer)
    desk = _Desk(
        replace(subject, classes=classes),
        shown(classes, lang),
        request,
        ways,
        None if features is None else find_layer(subject.network, features),
        min(top, len(classes)),
    )
    report = progress or (lambda done, total: None)
    return desk.explained(iter(waiting), waiting.num_pictures, passes, report)


def _targets(classes: Sequence[str], target: Target) -> tuple[int, ...] | None:
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
        return _Way(None, f"Occlusion: {patch} px square, every {stride} px of {size}", 1.0)
    layer = find_layer(subject.network, request.layer)
    said = paper_names(subject.network).get(layer, layer)
    share = share_of(subject.network, layer, subject.spec)
    return _Way(layer, f"{_METHOD_NAMES[method]} at {said}", share)


@dataclass(frozen=True)
class _Desk:
    """Explains batches of pictures."""

    subject: Subject
    names: tuple[str, ...]
    request: Request
    ways: dict[Method, _Way]
    feature_layer: str | None
    top: int

    def explained(
        self, waiting: Iterator[Waiting], num_pictures: int, passes: int, progress: Progress
    ) -> Iterator[Explanation]:
        """One explanation a picture, each of so many passes of the network."""
        count = done = 0

        def passed(more: int) -> None:
            nonlocal done
            done += more
            progress(done, max(done, max(count, num_pictures) * passes))

        while batch := list(islice(waiting, self.request.batch_size)):
            count += len(batch)
            looked = [self._look(each) for each in batch]
            pairs = zip(batch, looked, strict=True)
            readable = [(each.path, seen) for each, seen in pairs if isinstance(seen, Looked)]
            found = iter(self._answers(readable, passed) if readable else ())
            if len(readable) < len(batch):
                passed(passes * (len(batch) - len(readable)))
            for each, seen in zip(batch, looked, strict=True):
                if isinstance(seen, str):
                    yield Explanation(each.path, error=seen)
                else:
                    yield next(found)

    def _look(self, waiting: Waiting) -> Looked | str:
        try:
            return look(waiting.read(), self.subject.spec)
        except BadImage as error:
            return str(error)

    def _answers(
        self, looked: Sequence[tuple[str, Looked]], passed: Callable[[int], None]
    ) -> Iterator[Explanation]:
        network = self.subject.network
        images = normalised([seen.square for _, seen in looked], self.subject.spec)
        features = None
        with naming([path for path, _ in looked]):
            found = answer(network, images, self.request, passed)
            if self.feature_layer is not None:
                features = feature_maps(network, images, self.feature_layer).float().numpy()
        logits = next(iter(found.values())).logits.float()
        if logits.shape[1] != len(self.names):
            raise BadData(
                f"the network has {logits.shape[1]} outputs and there are {len(self.names)} class"
                " names; use the names that it was trained with"
            )
        probabilities = logits.softmax(dim=1).cpu()
        for place, (path, each) in enumerate(looked):
            order = torch.argsort(probabilities[place], descending=True, stable=True)
            yield Explanation(
                path=path,
                predictions=tuple(
                    self._guess(index, probabilities[place]) for index in order[: self.top].tolist()
                ),
                maps=tuple(
                    self._map(method, maps, place, probabilities[place])
                    for method, maps in found.items()
                    for maps in _one_class_each(maps)
                ),
                size=(each.picture.shape[1], each.picture.shape[0]),
                seen=each.box,
                picture=_reduced(each.picture),
                features=None if features is None else (str(self.feature_layer), features[place]),
            )

    def _guess(self, index: int, probabilities: torch.Tensor) -> Guess:
        name, own = self.names[index], self.subject.classes[index]
        return Guess(name, float(probabilities[index]), None if name == own else own)

    def _map(self, method: Method, maps: Maps, place: int, probabilities: torch.Tensor) -> ClassMap:
        index = int(maps.targets[place, 0])
        values = maps.values[place, 0].float().cpu().numpy()
        guess, way = self._guess(index, probabilities), self.ways[method]
        return ClassMap(guess, index, method, way.layer, values, way.note, way.share)


def _one_class_each(maps: Maps) -> Iterator[Maps]:
    for place in range(maps.targets.shape[1]):
        here = slice(place, place + 1)
        yield Maps(maps.values[:, here], maps.targets[:, here], maps.logits)


def _reduced(picture: Pixels) -> Pixels:
    """Small enough that many of them may be kept."""
    if max(picture.shape[:2]) <= _KEPT_PX:
        return picture
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    image.thumbnail((_KEPT_PX, _KEPT_PX))
    reduced = np.asarray(image)
    return reduced[:, :, None] if reduced.ndim == 2 else reduced
