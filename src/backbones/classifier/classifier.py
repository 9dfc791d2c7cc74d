"""A classifier: networks with all that belongs to them, and the verbs that use them."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backbones.classifier.assembly import Member
from backbones.classifier.evaluation import Evaluation, evaluate_together
from backbones.classifier.explained import Explanation
from backbones.classifier.explaining import Question, Target, explain_images, targets_of
from backbones.classifier.held_out import Wanted, images_for_all, spread, was_chosen_by
from backbones.classifier.options import InferenceOptions
from backbones.classifier.predictions import KEPT_PX, Prediction, Predictions
from backbones.classifier.predictor import Predictor
from backbones.classifier.source import source_of
from backbones.classifier.vectors import Features, extract_features, usual_tap
from backbones.compute import Compute
from backbones.errors import WrongUse
from backbones.explanation.occlusion import Occluder
from backbones.explanation.run import Request, methods_of
from backbones.explanation.subject import Subject
from backbones.labels import Lang, shown
from backbones.progress import Progress
from backbones.protocols.own import apply_settings, load_protocol
from backbones.protocols.table import Protocol
from backbones.ranks import current
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle

EXPLAINED_AT_ONCE = 16  # images; gradients take more memory than answers


@dataclass(frozen=True)
class Classifier:
    """A trained network, or several that answer as one; `backbones.open` makes one.

    Args:
        members: the networks, with how they want their images and what their classes are called.
        compute: device, precision, threads and engine.
        bundles: what is known of each network beyond that; empty where nothing is.
        name: what it was opened from.

    Example:
        >>> import numpy
        >>> from backbones.classifier.opening import open_classifier
        >>> reader = open_classifier("lenet5.digits", device="cpu", precision="exact")
        >>> reader
        lenet5.digits: lenet5, 10 classes, 32 px grey, on cpu in fp32
        >>> len(reader.predict(numpy.zeros((28, 28), numpy.uint8)))
        1
    """

    members: tuple[Member, ...]
    compute: Compute
    bundles: tuple[Bundle, ...] = field(default=(), repr=False)
    name: str = "classifier"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the first network's outputs, which is that of the answers."""
        return self.members[0].classes

    @property
    def spec(self) -> InputSpec:
        """How images become what the first network sees."""
        return self.members[0].spec

    def predict(
        self,
        images: Any,
        *,
        protocol: str | Path | Protocol = "single",
        top: int | None = 5,
        lang: Lang = "en",
        batch_size: int | None = None,
        keep_images: bool = False,
        progress: Progress | None = None,
    ) -> Predictions:
        """Classify images.

        Args:
            images: what people have in hand, one or several: paths of files, folders, patterns and
                archives, "-" for standard input, `PIL.Image`, uint8 arrays (H, W) or (H, W, C),
                uint8 tensors (C, H, W), or the bytes of image files.
            protocol: which views of an image are averaged: a row's name (`backbones evaluate
                --protocol list`), a row, or a file with the fields of one.
            top: classes an image, the likeliest first; None gives all.
            lang: of the names: "en", "zh" or "both". Classes that are in no label set (`backbones
                list labels`) are called what the network calls them.
            batch_size: images at a time; None takes as many as suit their size.
            keep_images: hand the decoded pixels on, for drawing.
            progress: called with (images done, images in all).

        Returns:
            One prediction an image, in input order, made as they are asked for; with an error where
            an image cannot be read.

        Raises:
            NotFound: no such file, folder or pattern; before any image is read.
            ProtocolError: no such protocol, or one that does not fit the network.
            WrongUse: nothing was named, `top` is below 1, or no such language.
        """
        return Predictions(
            self.stream(
                images,
                InferenceOptions(
                    _row(protocol),
                    batch_size,
                    self.compute,
                    kept_px=KEPT_PX if keep_images else None,
                ),
                top=top,
                lang=lang,
                progress=progress,
            )
        )

    def stream(
        self,
        images: Any,
        options: InferenceOptions,
        *,
        top: int | None = 5,
        lang: Lang = "en",
        progress: Progress | None = None,
    ) -> Iterator[Prediction]:
        """`predict` for more images than memory holds: each prediction is handed out once."""
        source = source_of(images, stdin=sys.stdin.buffer)
        ready = Predictor(self.members, options, source.num_images, top=top, lang=lang)
        return ready.predictions(source, progress)

    def evaluate(
        self,
        data: str | Path,
        *,
        protocol: str | Path | Protocol = "single",
        settings: Sequence[str] = (),
        split: str | None = None,
        lang: Lang = "en",
        batch_size: int | None = None,
        limit: int | None = None,
        layout: str | None = None,
        label_pattern: str | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Measure on a data set as a paper would.

        Args:
            data: a folder, a manifest or a set name. Of the data that the network was trained on,
                only what was held out then is measured; of other data without a held-out part,
                everything.
            protocol: as of `predict`.
            settings: fields of the protocol to set anew, `field=value` each.
            split: "train", "val" or "test"; the held-out one where None.
            lang: of the class names in the report.
            batch_size: images at a time; None takes as many as suit their size.
            limit: measure only so many images, evenly spread over the split; all where None.
            layout, label_pattern: as of `open_data`; where both are None, what the network was
                trained with counts.
            progress: called with (images done, images in all).

        Raises:
            NotFound: no such data or split.
            BadData: the data has a class that the network does not know (it may have a part of the
                classes only), or no image can be read.
            ProtocolError: no such protocol, or one that does not fit the network.
            WrongUse: no such language, or networks that hold out different images.
        """
        row = apply_settings(_row(protocol), settings)
        names = shown(self.classes, lang)  # a language that is none is told before any work
        wanted = Wanted(data, split, layout, label_pattern)
        source, images = images_for_all(self._known(), self.members, wanted)
        # beside a paper's figure, a faster precision has no place unless it was asked for
        compute = self.compute.exact if row.printed and not self.compute.agree else self.compute
        found = evaluate_together(
            self.members,
            spread(images, limit),
            InferenceOptions(row, batch_size, compute),
            progress=progress if current().first else None,
        )
        return replace(
            found.named(names),
            selected_on_this_split=any(was_chosen_by(each, images) for each in self.bundles),
            data=f"{source.summary()}; measured: {images.name}",
        )

    def explain(
        self,
        images: Any,
        *,
        method: str | Sequence[str] = "grad_cam",
        target: Target = None,
        layer: str | None = None,
        occluder: Occluder | None = None,
        features: str | None = None,
        top: int = 5,
        lang: Lang = "en",
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Explanation]:
        """Show where in images the network sees its classes, one image after the other.

        Args:
            images: as of `predict`.
            method: "grad_cam" for every network; "cam" where averaged maps are weighed into logits;
                "occlusion"; or several of them.
            target: the class or classes to look for: by number, id, or name in English or Chinese;
                the likeliest of each image where None.
            layer: of the class-activation maps: a module path, or what the paper calls the layer;
                the one that the family declares where None.
            occluder: the square of an occlusion.
            features: a layer whose maps are handed out too.
            top: answers an image.
            lang: of the names: "en", "zh" or "both".
            batch_size: images, or covered copies of one, at a time; None takes 16.
            progress: called with (passes of the network done, passes in all).

        Returns:
            One explanation an image, in input order; with an error where it cannot be read.

        Raises:
            NotFound: no such class, layer or file; before any image is read.
            WrongUse: an unknown method or language, CAM of a network that has none, or several
                networks.
        """
        if top < 1:
            raise WrongUse(f"top is {top}, expected at least 1")
        member = self._alone("explain")
        batch_size = EXPLAINED_AT_ONCE if batch_size is None else batch_size
        methods = methods_of([method] if isinstance(method, str) else method)
        targets = targets_of(member.classes, target)
        request = Request(methods, targets, layer, occluder or Occluder(), batch_size)
        return explain_images(
            Subject(member.build(), member.spec, member.classes),
            source_of(images, stdin=sys.stdin.buffer),
            Question(request, features, top, lang),
            InferenceOptions(
                batch_size=batch_size, compute=replace(self.compute.exact, engine="torch")
            ),
            progress,
        )

    def features(
        self,
        images: Any,
        *,
        layer: str | None = None,
        pool: bool = True,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Features]:
        """Turn images into rows of numbers, to search, cluster or classify them by.

        Args:
            images: as of `predict`.
            layer: as `backbones.tap` has it: "relu4_2", "conv3_x", "layer3.0". None takes what the
                network's last layer is given.
            pool: maps (C, h, w) are averaged to vectors (C); else they stay.
            batch_size: images at a time; None takes as many as suit their size.
            progress: called with (images done, images in all).

        Returns:
            One row an image, in input order; with an error where it cannot be read.

        Raises:
            NotFound: no such layer, file, folder or pattern; before any image is read.
            WrongUse: nothing was named, the layer does not run in evaluation, or several networks.
        """
        member = self._alone("give features")
        return extract_features(
            member,
            source_of(images, stdin=sys.stdin.buffer),
            layer or usual_tap(member.build(), member.spec),
            InferenceOptions(batch_size=batch_size, compute=self.compute),
            pool=pool,
            progress=progress,
            ranks=current(),
        )

    def _alone(self, verb: str) -> Member:
        if len(self.members) > 1:
            first = self.members[0].name
            raise WrongUse(
                f"{len(self.members)} networks cannot {verb} as one; name one of them: {first}"
            )
        return self.members[0]

    def _known(self) -> tuple[Bundle, ...]:
        if not self.bundles:
            raise WrongUse(f"{self.name} is a bare network: use backbones.open for data sets")
        return self.bundles

    def __repr__(self) -> str:
        spec = self.spec
        kind = "grey" if spec.channels == 1 else "RGB"
        variants = ", ".join(dict.fromkeys(each.variant for each in self.bundles)) or "a network"
        faster = f" or {self.compute.faster}" if self.compute.faster else ""
        if len(self.members) > 1:
            variants = f"{len(self.members)} networks as one ({variants})"
        return (
            f"{self.name}: {variants}, {len(self.classes):,} classes, {spec.size} px {kind},"
            f" on {self.compute.device} in {self.compute.precision}{faster}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>"


def _row(protocol: str | Path | Protocol) -> Protocol:
    return protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
