"""What the page shows beside the answers: where a network sees its classes, and every view."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backbones.classifier.assembly import Answer
from backbones.classifier.classifier import Classifier
from backbones.classifier.explained import Explanation
from backbones.classifier.explaining import Question, explain_images
from backbones.classifier.inference import Inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.packing import DENSE_PIXELS
from backbones.classifier.preparing import Cut, Prepared
from backbones.classifier.source import source_of
from backbones.data.finish import normalised
from backbones.data.render import Pixels
from backbones.explanation.run import Request as Wanted
from backbones.explanation.subject import Subject
from backbones.features.dense import dense
from backbones.nn.evaluating import evaluating
from backbones.protocols.table import find_protocol
from backbones.protocols.viewing import View, mirror, plan
from backbones.serving.model import ServedModel, refuse_many_pixels
from backbones.serving.refusals import Refusal

_USUAL_PHOTO = (500, 375)
_PASSES = 3  # of a network, that one gradient costs


@dataclass(frozen=True)
class Viewed:
    """An image under a protocol.

    Args:
        answer: of all views together.
        size: width and height of the image, px, upright.
        views: each with its own answer.
        grids: of each view the first class's probability at every place of the map, (h, w), as the
            image has them; None where a view gives no map, or several networks answer.
    """

    answer: Answer
    size: tuple[int, int]
    views: tuple[tuple[View, Answer], ...] = ()
    grids: tuple[Tensor | None, ...] = ()

    def boxes_px(self) -> list[list[float]]:
        """Left, top, width and height of each view, px of the image."""
        found = []
        for view, _ in self.views:
            across = self.size[0] / view.resized[0]
            down = self.size[1] / view.resized[1]
            scales = (across, down, across, down)
            found.append([round(v * s, 2) for v, s in zip(view.box, scales, strict=True)])
        return found

    def place_px(self, view: View, size: int) -> list[float]:
        """Width and height of what one place of a view's map sees, px of the image.

        Args:
            view: one of them.
            size: side of the square that the network sees, px.
        """
        pairs = zip(self.size, view.resized, strict=True)
        return [round(size * whole / resized, 2) for whole, resized in pairs]


def submit_views(model: ServedModel, image: bytes, protocol: str) -> Future[Viewed]:
    """Have an image answered under a protocol, and each of its views.

    Args:
        model: who answers.
        image: a file.
        protocol: the row's name.

    Raises:
        NotFound: there is no such protocol.
        ProtocolError: its views don't fit the network.
        Refusal: the model is ending.
    """
    row = find_protocol(protocol)
    classifier = model.classifier

    def compute() -> Viewed:
        refuse_many_pixels(image, model.max_pixels)
        inference = Inference(classifier.members, InferenceOptions(row, compute=classifier.compute))
        (block,) = source_of([image]).blocks(1)
        whole = inference.prepare(block)
        if whole.error is not None:
            return Viewed(Answer(0, whole.names[0], error=whole.error), whole.size)
        first, *each = inference.answer([whole, *_apart(whole)])
        views = next(iter(whole.cuts.values())).plan
        grids = _grids(classifier, whole, first)
        return Viewed(first, whole.size, tuple(zip(views, each, strict=True)), grids)

    num_views = len(plan(row, *_USUAL_PHOTO, classifier.spec))
    return model.worker.submit(compute, 2 * num_views)


def _grids(classifier: Classifier, whole: Prepared, answer: Answer) -> tuple[Tensor | None, ...]:
    """As `Viewed` has them."""
    ((spec, cut),) = list(whole.cuts.items())[:1]
    seen = [view.dense and view.num_pixels <= DENSE_PIXELS for view in cut.plan]
    if len(classifier.members) > 1 or not any(seen):
        return (None,) * len(seen)
    (member,) = classifier.members
    assert answer.log_probabilities is not None
    first, compute = int(answer.log_probabilities.argmax()), classifier.compute

    def grid(view: View, pixels: Pixels) -> Tensor:
        images = normalised(pixels, member.spec, compute.device)
        found = score(images)[0].softmax(0)[first].cpu()
        return mirror(found) if view.mirrored else found

    reader = dense(member.build(), spec.size)
    with compute.running(), evaluating(reader, compute.precision) as score:
        views = zip(seen, cut.plan, cut.pixels, strict=True)
        return tuple(grid(view, pixels) if wanted else None for wanted, view, pixels in views)


def _apart(whole: Prepared) -> list[Prepared]:
    """Each view of an image as an image of its own."""
    count = len(next(iter(whole.cuts.values())).plan)
    return [
        Prepared(
            whole.names,
            {
                spec: Cut(cut.plan[place : place + 1], cut.pixels[place : place + 1])
                for spec, cut in whole.cuts.items()
            },
            whole.size,
        )
        for place in range(count)
    ]


def submit_explanation(
    model: ServedModel, image: bytes, answer: Answer, count: int
) -> Future[Explanation]:
    """Have it shown where a network sees the likeliest classes of an image.

    Args:
        model: who answered.
        image: a file.
        answer: of it.
        count: classes.

    Raises:
        Refusal: several networks answer as one, or the model is ending.
    """
    classifier = model.classifier
    if len(classifier.members) > 1:
        raise Refusal(
            400, f"{model.name} is several networks, which cannot explain as one", "input"
        )
    assert answer.log_probabilities is not None
    order = answer.log_probabilities.argsort(descending=True, stable=True)
    targets = tuple(order[:count].tolist())
    (member,) = classifier.members

    def compute() -> Explanation:
        (found,) = explain_images(
            Subject(member.build(), member.spec, member.classes),
            source_of([image]),
            Question(Wanted(targets=targets)),
            InferenceOptions(compute=classifier.compute, workers=0),
        )
        return found

    return model.worker.submit(compute, _PASSES * len(targets))


def maps_of(explanation: Explanation) -> list[dict[str, Any]]:
    """The maps as JSON, each with how much of the square its cells take."""
    said = explanation.to_json()["maps"]
    return [{**each, "share": m.share} for each, m in zip(said, explanation.maps, strict=True)]
