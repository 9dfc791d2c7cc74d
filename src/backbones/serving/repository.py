"""The models of a server by name: loaded, replaced while requests go on, and unloaded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from backbones.classifier.classifier import Classifier
from backbones.data.decoder_pool import DecoderPool, usable_cores
from backbones.errors import WrongUse
from backbones.serving.model import ServedModel
from backbones.serving.options import ServerOptions
from backbones.serving.refusals import Refusal, stopping
from backbones.serving.telemetry import Metrics

log = logging.getLogger("backbones.serving")


@dataclass(frozen=True)
class Entry:
    """What a repository says about a model.

    Args:
        name: of the model.
        ready: whether it answers.
        reason: why it does not.
    """

    name: str
    ready: bool
    reason: str = ""


class ModelRepository:
    """Models by name, each with its source, from which it can be loaded again.

    Args:
        sources: what to open, by name; the first is who answers where no name is said.
        opener: makes a classifier of a source.
        options: of the server.
        metrics: of the server.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        opener: Callable[[str], Classifier],
        options: ServerOptions,
        metrics: Metrics,
    ) -> None:
        self.sources, self._opener = dict(sources), opener
        self._options, self._metrics = options, metrics
        self._decoders = DecoderPool(options.workers or usable_cores())
        self._models: dict[str, ServedModel] = {}
        self._reasons = dict.fromkeys(sources, "not loaded yet")
        self._loading, self._swapping = threading.Lock(), threading.Lock()
        self._ended = False

    @property
    def ready(self) -> bool:
        """Whether all models answer."""
        return not self._ended and all(entry.ready for entry in self.index())

    def index(self) -> list[Entry]:
        """All models."""
        return [
            Entry(name, name in self._models, self._reasons.get(name, "")) for name in self.sources
        ]

    def get(self, name: str | None = None) -> ServedModel:
        """A model that answers; the first where no name is said.

        Raises:
            Refusal: there is none of that name (404), or it does not answer now (503).
        """
        wanted = self._known(name)
        if self._ended:
            raise stopping()
        model = self._models.get(wanted)
        if model is None:
            raise Refusal(
                503,
                f"{wanted} does not answer: {self._reasons[wanted]}",
                "unloaded",
                retry_after_s=1,
            )
        return model

    @contextmanager
    def using(self, name: str | None = None) -> Iterator[ServedModel]:
        """A model that is not replaced inside the block, in which work is handed to it.

        Raises:
            Refusal: as `get`.
        """
        with self._swapping:
            yield self.get(name)

    def load(self, name: str | None = None) -> ServedModel:
        """Open a model's source, test it, and let it answer in place of the one before.

        Raises:
            Refusal: there is none of that name.
            BackbonesError: its source is not good; the one before stays.
        """
        wanted = self._known(name)
        with self._loading:
            model = ServedModel(
                wanted,
                self._opener(self.sources[wanted]),
                self._decoders,
                self._options.max_pixels,
                self._metrics.batched(wanted),
            )
            with self._swapping:
                old, self._models[wanted] = self._models.get(wanted), model
                self._reasons.pop(wanted, None)
            self._metrics.loaded(model)
            if old is not None:
                old.worker.end()
        log.info("loaded", extra={"fields": {"model": wanted}})
        return model

    def load_all(self) -> None:
        """Load every model again; one whose source is not good stays as it is, and the log says
        why."""
        for name in self.sources:
            try:
                self.load(name)
            except Exception as error:
                reason = " ".join(str(error).split())
                log.error("not loaded", extra={"fields": {"model": name, "reason": reason}})

    def unload(self, name: str) -> None:
        """Let a model answer no more; what it took is answered.

        Raises:
            Refusal: there is none of that name.
        """
        wanted = self._known(name)
        with self._loading, self._swapping:
            old = self._models.pop(wanted, None)
            self._reasons[wanted] = "unloaded"
        if old is not None:
            old.worker.end()

    def end(self, wait_s: float) -> None:
        """Answer what was taken, for some seconds at most, and nothing else."""
        self._ended = True
        for model in self._models.values():
            model.worker.end(wait_s)
        if all(model.worker.idle for model in self._models.values()):
            self._decoders.close()  # else they end with the process

    def _known(self, name: str | None) -> str:
        wanted = name or next(iter(self.sources))
        if wanted not in self.sources:
            there = ", ".join(self.sources)
            raise Refusal(404, f"there is no model {wanted!r}; there is {there}", "unknown")
        return wanted


def named_sources(what: Sequence[str]) -> dict[str, str]:
    """Sources by the names that requests call them.

    Args:
        what: `NAME=SOURCE`, or a source that is called by its last part without a suffix.

    Raises:
        WrongUse: nothing was named, or two by one name.

    Example:
        >>> named_sources(["runs/pets", "best=vgg16.tv_in1k", "cats.safetensors"])
        {'pets': 'runs/pets', 'best': 'vgg16.tv_in1k', 'cats': 'cats.safetensors'}
    """
    found: dict[str, str] = {}
    for each in what:
        name, _, source = each.rpartition("=")
        path = PurePath(source)
        name = name or (path.stem if path.suffix in _FILES else path.name) or source
        if "/" in name:
            raise WrongUse(f"a model is called {name!r}; expected a name without slashes")
        if name in found:
            raise WrongUse(f"two models are called {name}; name one of them, as in other={source}")
        found[name] = source
    if not found:
        raise WrongUse("no model was named; expected a run folder, a bundle or an id of weights")
    return found


_FILES = (".safetensors", ".pth", ".pt", ".npz", ".onnx")
