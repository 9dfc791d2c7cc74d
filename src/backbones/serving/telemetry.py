"""What a server counts and logs: requests by number and time, never an image or a file's name."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from backbones.serving.model import ServedModel

log = logging.getLogger("backbones.serving")

Message = MutableMapping[str, Any]
ASGI = Callable[[Message, Callable[..., Any], Callable[..., Any]], Any]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class Metrics:
    """The server's figures for Prometheus, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._of(Counter, "requests", "Responses by code", "route", "code")
        self._seconds = self._of(
            Histogram, "request_seconds", "From headers to response", "route", buckets=_SECONDS
        )
        self._refused = self._of(Counter, "refused", "Refused, by reason", "reason")
        self._undecodable = self._of(Counter, "decode_errors", "Images that cannot be decoded")
        self._batches = self._of(
            Histogram, "batch_images", "Images in a batch", "model", buckets=_BATCHES
        )
        self._waits = self._of(
            Histogram,
            "queue_seconds",
            "From upload to the network, decoding included",
            "model",
            buckets=_SECONDS,
        )
        self._queue = self._of(Gauge, "queue_predicted_ms", "Work that waits", "model")
        self._info = self._of(
            Gauge, "model_info", "1 for each model", "model", "variant", "device", "precision"
        )

    def _of(self, kind: Any, name: str, about: str, *labels: str, **more: Any) -> Any:
        return kind(f"backbones_{name}", about, labels, registry=self.registry, **more)

    def requested(self, route: str, code: int, seconds: float) -> None:
        """A response has gone."""
        self._requests.labels(route, code).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """A request got no answer."""
        self._refused.labels(reason).inc()

    def undecodable(self) -> None:
        """An image could not be decoded."""
        self._undecodable.inc()

    def batched(self, model: str) -> Callable[[int, Sequence[float]], None]:
        """Counts a model's batches."""
        sizes, waits_s = self._batches.labels(model), self._waits.labels(model)

        def count(size: int, waits: Sequence[float]) -> None:
            sizes.observe(size)
            for each in waits:
                waits_s.observe(each)

        return count

    def loaded(self, model: ServedModel) -> None:
        """A model answers from now on."""
        compute = model.classifier.compute
        variants = ",".join(each.variant for each in model.classifier.bundles)
        self._info.labels(model.name, variants, compute.device, compute.precision).set(1)
        self._queue.labels(model.name).set_function(lambda: 1000 * model.worker.predicted_s)


class Telemetry:
    """Gives each request an id, and counts and logs it when its response has gone.

    Args:
        app: what answers.
        metrics: of the server.
    """

    def __init__(self, app: ASGI, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(
        self, scope: Message, receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, begun = time.perf_counter(), 500, False
        sent = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        name = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
        scope.setdefault("state", {}).update(request_id=name, started=start)

        async def send_named(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", name.encode()),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception:
            if not begun:  # else it was told and logged already
                raise
        finally:
            seconds = time.perf_counter() - start
            status = scope["state"].get("status", status)
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requested(route, status, seconds)
            fields = {
                "request_id": name,
                "method": scope["method"],
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 1),
                **scope["state"].get("log", {}),
            }
            log.info("request", extra={"fields": fields})


class JsonLines(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        found = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=True)
