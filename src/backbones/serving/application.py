"""The application: both forms, health, metrics, and how refusals become responses."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

import backbones
from backbones.errors import WrongUse
from backbones.serving.human import human_form
from backbones.serving.inference_protocol import inference_protocol
from backbones.serving.inside import inside
from backbones.serving.pages import pages
from backbones.serving.refusals import Refusal
from backbones.serving.service import Service
from backbones.serving.telemetry import ASGI, Message, Telemetry
from backbones.serving.uploads import ClientGone

log = logging.getLogger("backbones.serving")

_OPEN = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready")
_CLIENT_GONE = 499  # as nginx logs it


def create_app(service: Service) -> ASGI:
    """Everything that a server answers, as an ASGI application.

    Args:
        service: the models and limits.
    """
    app = FastAPI(
        title="backbones",
        version=backbones.__version__,
        description="Image classifiers behind an address.",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(pages())
    app.include_router(human_form(service))
    app.include_router(inside(service))
    app.include_router(inference_protocol(service))

    @app.get("/metrics", summary="Figures for Prometheus")
    def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    _add_refusals(app, service)
    whole: ASGI = app
    if service.options.token is not None:
        whole = _BearerToken(whole, service.options.token)
    return Telemetry(whole, service.metrics)


def _add_refusals(app: FastAPI, service: Service) -> None:
    """How exceptions become responses, all of one form."""

    def refuse(request: Request, refusal: Refusal) -> Response:
        service.metrics.refused(refusal.reason)
        return _error(request, refusal.status, refusal.message, refusal.headers)

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        return refuse(request, error)

    @app.exception_handler(WrongUse)
    async def wrong(request: Request, error: WrongUse) -> Response:
        return refuse(request, Refusal(400, " ".join(str(error).split()), "input"))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        (first, *_) = error.errors()
        where = ".".join(map(str, first["loc"][1:]))
        return refuse(request, Refusal(400, f"{where}: {first['msg']}", "input"))

    @app.exception_handler(HTTPException)
    async def not_here(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {error.detail}; see /docs"
        return _error(request, error.status_code, message, dict(error.headers or {}))

    @app.exception_handler(ClientGone)
    async def gone(request: Request, error: ClientGone) -> Response:
        service.metrics.refused("client_gone")
        request.state.status = _CLIENT_GONE
        return Response(status_code=_CLIENT_GONE)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        fields = {"request_id": request.state.request_id}
        log.error("failed", exc_info=error, extra={"fields": fields})
        return refuse(request, Refusal(500, "an error of the server; its log says more", "error"))


def _error(
    request: Request, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    said = {"error": message, "request_id": request.state.request_id}
    return JSONResponse(said, status, headers)


class _BearerToken:
    """Lets in who knows the token; health, the page and the documentation need none."""

    def __init__(self, app: ASGI, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode("ascii")

    async def __call__(
        self, scope: Message, receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        said = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["path"] in _OPEN or secrets.compare_digest(said, self._expected):
            await self._app(scope, receive, send)
            return
        refusal = Refusal(
            401, "a token is needed; send it as Authorization: Bearer TOKEN", "token", close=True
        )
        response = _error(Request(scope), refusal.status, refusal.message, refusal.headers)
        await response(scope, receive, send)
