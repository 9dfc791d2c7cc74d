"""A network on its device, as an engine computes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from backbones.classifier.assembly import Member
from backbones.classifier.options import InferenceOptions
from backbones.classifier.preparing import WholeImages
from backbones.data.finish import normalised
from backbones.data.render import Pixels
from backbones.engines import find_engine
from backbones.errors import (
    BadData,
    NotFinite,
    ProtocolError,
    WrongUse,
    is_short_of_memory,
    telling_of_memory,
)
from backbones.exporting.opened import ExportedNetwork
from backbones.features.dense import dense
from backbones.footprint.room import batch_advice
from backbones.nn.evaluating import finite, naming
from backbones.protocols.row import Protocol
from backbones.protocols.score import score_dense
from backbones.spec import InputSpec


class PlacedNetwork:
    """One member, built and placed."""

    def __init__(self, member: Member, options: InferenceOptions, *, alone: bool) -> None:
        self._member, self._options, self._alone = member, options, alone
        compute, self._network = options.compute, options.compute.place(member.build())
        self._whole = isinstance(member.geometry(options.protocol), WholeImages)
        engine = find_engine(compute.engine)
        self._score = engine.build(self._network, compute)
        self._dense: nn.Module | None = None
        if options.protocol.scoring != "crops":
            self._dense = _dense_of(self._network, member.spec, options.protocol)
            self._score_dense = engine.build(self._dense, compute)

    def scores(self, pixels: Pixels, *, densely: bool) -> tuple[Tensor, int]:
        """Scores (N, K) of (N, h, w, C), added up over places, and the number of places.

        What does not fit into memory is tried again in halves.
        """
        with telling_of_memory(lambda: self._advice(pixels)):
            try:
                return self._at_once(pixels, densely)
            except (MemoryError, RuntimeError) as error:
                if not is_short_of_memory(error) or len(pixels) == 1:
                    raise
        middle = len(pixels) // 2
        first, places = self.scores(pixels[:middle], densely=densely)
        return torch.cat([first, self.scores(pixels[middle:], densely=densely)[0]]), places

    def _at_once(self, pixels: Pixels, densely: bool) -> tuple[Tensor, int]:
        if self._whole:
            assert isinstance(self._network, ExportedNetwork)
            with self._options.compute.running():
                return self._checked(finite(self._network.of_images(pixels))), 1
        images = normalised(pixels, self._member.spec, self._options.compute.device)
        if not densely:
            return self._checked(self._score(images)), 1
        try:
            return score_dense(self._checked(self._score_dense(images)))
        except WrongUse as error:
            raise ProtocolError(str(error)) from None

    def of_tensor(self, images: Tensor) -> Tensor:
        """Scores (N, K) of images that are normalised, on the device."""
        return self._checked(self._score(images))

    def _checked(self, found: Tensor) -> Tensor:
        """Scores (N, K, ...), as many as there are classes."""
        if found.shape[1] != len(self._member.classes):
            raise BadData(
                f"the network has {found.shape[1]} outputs and there are"
                f" {len(self._member.classes)} class names; use the names that it was trained with"
            )
        return found

    def _advice(self, pixels: Pixels) -> str:
        spec = self._member.spec
        _, height, width, _ = pixels.shape
        return batch_advice(
            self._network,
            (spec.channels, height, width),
            self._options.batch_of(spec.size),
            "--batch-size ",
            precision=self._options.compute.precision,
        )

    @contextmanager
    def naming(self, names: Sequence[str]) -> Iterator[None]:
        """Say which file, and of several networks which one, an answer that is no number is of."""
        try:
            with naming(names):
                yield
        except NotFinite as error:
            if self._alone:
                raise
            about = f"{self._member.name}, {error.about}"
            raise NotFinite(error.found, about, error.row) from None


def _dense_of(network: nn.Module, spec: InputSpec, protocol: Protocol) -> nn.Module:
    """The network with its head read as convolutions."""
    try:
        return dense(network, spec.size)
    except WrongUse as error:
        raise ProtocolError(
            f"{protocol.name} sees whole images, and {error}; choose a protocol of crops"
        ) from None
