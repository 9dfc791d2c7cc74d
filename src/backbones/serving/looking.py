"""What the page shows beside the answers: where a network sees its classes, and every view."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from backbones.classifier.assembly import Answer
from backbones.classifier.explained import Explanation
from backbones.classifier.explaining import Question, explain_images
from backbones.classifier.inference import Inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.preparing import Cut, Prepared
from backbones.classifier.source import source_of
from backbones.explanation.run import Request as Wanted
from backbones.explanation.subject import Subject
from backbones.protocols.table import find_protocol
from backbones.protocols.viewing import View, plan
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
    """

    answer: Answer
    size: tuple[int, int]
    views: tuple[tuple[View, Answer], ...] = ()

    def boxes_px(self) -> list[list[float]]:
        """Left, top, width and height of each view, px of the image."""
        found = []
        for view, _ in self.views:
            across = self.size[0] / view.resized[0]
            down = self.size[1] / view.resized[1]
            scales = (across, down, across, down)
            found.append([round(v * s, 2) for v, s in zip(view.box, scales, strict=True)])
        return found


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
        return Viewed(first, whole.size, tuple(zip(views, each, strict=True)))

    num_views = len(plan(row, *_USUAL_PHOTO, classifier.spec))
    return model.worker.submit(compute, 2 * num_views)


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
