"""A classifier that is ready: sources of images in, predictions out, one source after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backbones.classifier.assembly import Member
from backbones.classifier.checked import CheckedInference, inference_of
from backbones.classifier.options import InferenceOptions
from backbones.classifier.prediction_tables import Columns
from backbones.classifier.predictions import Prediction, class_names, predictions_of
from backbones.classifier.source import Source
from backbones.errors import WrongUse
from backbones.labels import Lang, shown
from backbones.progress import Progress


class Predictor:
    """Networks on their device, which name the classes of any number of sources.

    What is said of a source depends on that source alone, not on those before it.

    Args:
        members: one network or more that answer as one.
        options: protocol, batch size and the like.
        num_images: that there will be; None for no end of them.
        top: classes an image, the likeliest first; None gives all.
        lang: of the names.

    Raises:
        WrongUse: `top` is below 1, or no such language.
        BadData, ProtocolError: as `Inference`.
    """

    def __init__(
        self,
        members: Sequence[Member],
        options: InferenceOptions,
        num_images: int | None = None,
        *,
        top: int | None = 5,
        lang: Lang = "en",
    ) -> None:
        if top is not None and top < 1:
            raise WrongUse(f"top is {top}, expected at least 1")
        classes = members[0].classes
        self._names = class_names(classes, shown(classes, lang))
        self._top = None if top is None else min(top, len(classes))
        self._inference = inference_of(members, options, num_images)

    @property
    def columns(self) -> Columns:
        """Those of a table that has a place for everything that may be said."""
        return Columns(
            len(self._names) if self._top is None else self._top,
            with_ids=any(name is not None for _, name in self._names),
            with_precision=isinstance(self._inference, CheckedInference),
        )

    def predictions(self, source: Source, progress: Progress | None = None) -> Iterator[Prediction]:
        """What the networks say, an image after the other.

        Args:
            source: the images.
            progress: called with (images done, images in all).
        """
        self._inference.forget()
        answers = self._inference.answers(source, progress)
        return predictions_of(answers, self._names, self._top)
