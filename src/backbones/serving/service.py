"""What the forms of a server share: admission, uploads, work, and its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import Request

from backbones.errors import BackbonesError, WrongUse
from backbones.serving.model import ServedModel
from backbones.serving.options import ServerOptions
from backbones.serving.refusals import Refusal, overloaded, stopping
from backbones.serving.repository import ModelRepository
from backbones.serving.telemetry import Metrics
from backbones.serving.uploads import Uploads, results

T = TypeVar("T")


class Service:
    """The models of a server and its limits.

    Args:
        options: of the server.
        repository: the models.
        metrics: of the server.
    """

    def __init__(
        self, options: ServerOptions, repository: ModelRepository, metrics: Metrics
    ) -> None:
        self.options, self.repository, self.metrics = options, repository, metrics
        self.uploads = Uploads(options)
        self.stopping = False

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return not self.stopping and self.repository.ready

    @asynccontextmanager
    async def body(self, request: Request, model: str | None) -> AsyncIterator[bytes]:
        """The body of a request that wants work done; refused before a byte of it is read where
        too much waits already.

        Raises:
            Refusal, ClientGone: as `admit` and `Uploads.body`.
        """
        if self.stopping:
            raise stopping()
        self.admit(model)
        try:
            async with self.uploads.body(request) as data:
                yield data
        except asyncio.CancelledError:  # the time to drain is over
            raise stopping() from None

    def admit(self, model: str | None) -> None:
        """See whether a model takes one more request.

        Raises:
            Refusal: there is no such model, it does not answer, or too much waits for it.
        """
        predicted_s = self.repository.get(model).worker.predicted_s
        if 1000 * predicted_s > self.options.max_queue_ms:
            raise overloaded(predicted_s)

    async def work(
        self,
        request: Request,
        model: str | None,
        submit: Callable[[ServedModel], Sequence[Future[T]]],
        deadline_ms: float | None = None,
    ) -> tuple[ServedModel, list[T | Refusal]]:
        """Have a model do something, and wait for it.

        Args:
            request: whose body was read.
            model: its name; the first one where None.
            submit: hands the work to the model.
            deadline_ms: after which nobody wants the answer, from the request's first byte on.

        Returns:
            The model, and what came of each piece of work; a refusal where that is one's own fault.

        Raises:
            Refusal: too much waits by now, the deadline passed, or the model failed.
            ClientGone: the connection ended.
        """
        self.admit(model)  # others were faster
        passed_s = time.perf_counter() - request.state.started
        left_s = None if deadline_ms is None else max(0.0, deadline_ms / 1000 - passed_s)
        try:
            with self.repository.using(model) as served:
                work = submit(served)
            found = await results(work, request, left_s)
        except WrongUse as error:
            raise Refusal(400, str(error), "input") from None
        return served, [_sound(each) for each in found]


def _sound(found: T | BaseException) -> T | Refusal:
    """A result, or what is wrong with the input.

    Raises:
        Refusal: the model failed.
    """
    if isinstance(found, WrongUse):
        raise Refusal(400, str(found), "input")
    if isinstance(found, BackbonesError):
        raise Refusal(500, " ".join(str(found).split()), "model")
    if isinstance(found, BaseException) and not isinstance(found, Refusal):
        raise found
    return found
