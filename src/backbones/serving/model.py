"""A classifier with its thread, as a server holds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from backbones.classifier.assembly import Answer
from backbones.classifier.checked import inference_of
from backbones.classifier.classifier import Classifier
from backbones.classifier.options import InferenceOptions
from backbones.classifier.predictions import best_guesses, class_names
from backbones.classifier.preparing import Prepared
from backbones.classifier.source import Block, source_of
from backbones.data.decode import image_facts
from backbones.data.decoder_pool import DecoderPool
from backbones.data.geometry import evaluation_framing, source_box
from backbones.errors import BadData, BadImage
from backbones.inspection.summary import Inspection
from backbones.labels import LANGUAGES, Lang, shown
from backbones.serving.refusals import Refusal
from backbones.serving.worker import Answered, Worker

_REHEARSALS = 3  # the first one is slower than those that follow


class ServedModel:
    """A classifier that answers images as they come.

    Args:
        name: what requests call it.
        classifier: as `backbones.open` gives it.
        decoders: threads that all models share.
        max_pixels: of one image.
        batched: as of `Worker`.

    Raises:
        BadData, NotFinite: it cannot answer a test image.
    """

    def __init__(
        self,
        name: str,
        classifier: Classifier,
        decoders: DecoderPool,
        max_pixels: int,
        batched: Callable[[int, Sequence[float]], None] = lambda size, waits: None,
    ) -> None:
        self.name, self.classifier, self.max_pixels = name, classifier, max_pixels
        for member in classifier.members:
            keep_in_memory(member.build())
        self._inference = inference_of(
            classifier.members, InferenceOptions(compute=classifier.compute)
        )
        names = {lang: shown(classifier.classes, lang) for lang in LANGUAGES}
        self._names = {lang: class_names(classifier.classes, each) for lang, each in names.items()}
        self._both = {
            each: {"en": english, "zh": chinese}
            for each, english, chinese in zip(
                classifier.classes, names["en"], names["zh"], strict=True
            )
        }
        self.inspection: Inspection | None = None  # of its layers, once somebody asked
        self.drawing: dict[str, Any] | None = None  # likewise
        each_s = self._rehearse()
        self.worker = Worker(
            name,
            self._inference.answer,
            decoders,
            self._inference.options.batch_of(classifier.spec.size),
            batched,
        )
        self.worker.image_s.add(each_s)

    def _rehearse(self) -> float:
        """Answer a test image, whose values nobody looks at; gives the seconds that it took."""
        side = self.classifier.spec.size
        pixels = np.random.default_rng(0).integers(0, 256, (side, side + 9, 3), dtype=np.uint8)
        (block,) = source_of(pixels).blocks(1)
        for _ in range(_REHEARSALS):
            start = time.perf_counter()
            (found,) = self._inference.answer([self._inference.prepare(block)])
            taken_s = time.perf_counter() - start
        if found.error is not None:
            raise BadData(f"{self.name} cannot answer a test image: {found.error}")
        self._inference.forget()
        return taken_s

    def submit(self, image: bytes | np.ndarray[Any, Any]) -> list[Future[Answered]]:
        """Have an image answered.

        Args:
            image: a file, or uint8 (H, W, C) or (N, H, W, C).

        Returns:
            What its answer comes out of, or a refusal; one for each row of an array.

        Raises:
            Refusal: the model is ending.
            WrongUse: an array of another kind.
        """
        blocks = source_of([image] if isinstance(image, bytes) else image).blocks(1)
        data = image if isinstance(image, bytes) else None
        return [self.worker.submit_image(partial(self._prepare, block, data)) for block in blocks]

    def _prepare(self, block: Block, data: bytes | None) -> Prepared:
        """In a decoding thread: a header that announces too much is all that is read of a file."""
        if data is not None:
            refuse_many_pixels(data, self.max_pixels)
        return self._inference.prepare(block)

    def submit_tensor(self, values: np.ndarray[Any, Any]) -> Future[Any]:
        """Have the networks answer images that are normalised already.

        Args:
            values: float32 (N, C, S, S) or (C, S, S).

        Returns:
            What probabilities (N, K) come out of.

        Raises:
            WrongUse: another shape, values that are not finite, or networks that want their images
                in different ways.
            Refusal: the model is ending.
        """
        images = torch.from_numpy(values.copy())
        images = images[None] if images.dim() == 3 else images
        self._inference.check_tensor(images)
        return self.worker.submit(
            lambda: self._inference.answer_tensor(images).exp().numpy(), len(images)
        )

    def ranked(self, probabilities: np.ndarray[Any, Any], count: int) -> list[str]:
        """The likeliest classes as "probability:number:name", as Triton writes them."""
        order = np.argsort(-probabilities, kind="stable")[:count]
        classes = self.classifier.classes
        return [
            f"{probabilities[each]:f}:{each}:{self._both[classes[each]]['en']}" for each in order
        ]

    def guesses(self, answer: Answer, top: int, lang: Lang) -> list[dict[str, Any]]:
        """The likeliest classes as `backbones predict --json` writes them, and in both languages.

        Args:
            answer: of an image that could be read.
            top: classes.
            lang: of `name`.
        """
        assert answer.log_probabilities is not None
        (found,) = best_guesses(answer.log_probabilities.exp()[None], self._names[lang], top)
        return [{**guess.to_json(), "names": self._both[guess.class_name]} for guess in found]

    def seen_px(self, size: tuple[int, int]) -> list[float]:
        """Left, top, width and height of what the first network sees of an image, px of it."""
        spec = self.classifier.spec
        box = source_box(evaluation_framing(*size, spec.resize, spec.size))
        return [round(value, 3) for value in box]

    def about(self) -> dict[str, Any]:
        """What the page has to know of it."""
        return {
            "name": self.name,
            "variants": [each.variant for each in self.classifier.bundles],
            "num_classes": len(self.classifier.classes),
            "size_px": self.classifier.spec.size,
        }

    def to_json(self) -> dict[str, Any]:
        """What every answer says about who gave it."""
        return {"model": self.name, **self._inference.usual.compute.to_json()}


def keep_in_memory(network: nn.Module) -> None:
    """Copy a network's weights out of their file: whoever writes over a file that is mapped into
    memory ends the process with SIGBUS."""
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone()


def refuse_many_pixels(data: bytes, most: int) -> None:
    """Read the size from an image's header.

    Raises:
        Refusal: it announces more pixels than `most`.
    """
    try:
        _, _, width, height = image_facts(data)
    except BadImage:  # the decoder says what is wrong with it
        return
    if width * height > most:
        raise Refusal(
            413,
            f"the image has {width} x {height} pixels, expected at most {most:,}; send a smaller"
            " one",
            "pixels",
        )
