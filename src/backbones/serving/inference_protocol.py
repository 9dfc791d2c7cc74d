"""The Open Inference Protocol, version 2, over REST, as KServe and Triton have it.

Reference: Open Inference Protocol, "HTTP/REST"; Triton's extensions "binary tensor data",
    "classification" and "model repository".
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

import backbones
from backbones.errors import BackbonesError
from backbones.serving.model import ServedModel
from backbones.serving.refusals import Refusal
from backbones.serving.service import Service
from backbones.serving.tensors import (
    Input,
    Output,
    Wanted,
    bad,
    read_request,
    write_response,
)
from backbones.serving.worker import Answered

VERSION = "1"
OUTPUT = "probabilities"
_JSON_LENGTH = "inference-header-content-length"
_EXTENSIONS = ("binary_tensor_data", "classification", "model_repository")

Rows = np.ndarray[Any, np.dtype[np.float32]]


def inference_protocol(service: Service) -> APIRouter:
    """`/v2` and what is below it.

    Args:
        service: what answers.
    """
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    _add_health(router, service)
    _add_models(router, service)
    _add_repository(router, service)
    return router


def _add_health(router: APIRouter, service: Service) -> None:
    @router.get("/health/live", summary="Whether the server runs")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", summary="Whether requests are answered")
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    @router.get("", summary="What the server is")
    async def server() -> dict[str, Any]:
        return {
            "name": "backbones",
            "version": backbones.__version__,
            "extensions": list(_EXTENSIONS),
        }


def _add_models(router: APIRouter, service: Service) -> None:
    def with_version(path: str) -> list[str]:
        return [f"/models/{{model}}{path}", f"/models/{{model}}/versions/{{version}}{path}"]

    async def metadata(model: str, version: str = VERSION) -> dict[str, Any]:
        _check_version(model, version)
        return metadata_of(service.repository.get(model))

    async def ready(model: str, version: str = VERSION) -> dict[str, Any]:
        _check_version(model, version)
        return {"name": service.repository.get(model).name, "ready": not service.stopping}

    async def infer(request: Request, model: str, version: str = VERSION) -> Response:
        _check_version(model, version)
        async with service.body(request, model) as body:
            asked = read_request(body, request.headers.get(_JSON_LENGTH))
            given, wanted = _given(asked.inputs), _outputs(asked.outputs, asked.binary_outputs)
            served, found = await service.work(
                request, model, partial(_submit, given), asked.timeout_ms
            )
        rows = np.concatenate([_rows(each, service) for each in found])
        request.state.log = {"model": model, "images": len(rows), "bytes": len(body)}
        said = {"model_name": served.name, "model_version": VERSION}
        if asked.id is not None:
            said["id"] = asked.id
        data, length = write_response(said, [_output(served, each, rows) for each in wanted])
        if length is None:
            return Response(data, media_type="application/json")
        return Response(
            data, headers={_JSON_LENGTH: str(length)}, media_type="application/octet-stream"
        )

    for path in with_version(""):
        router.add_api_route(path, metadata, summary="Inputs and outputs of a model")
    for path in with_version("/ready"):
        router.add_api_route(path, ready, summary="Whether a model answers")
    for path in with_version("/infer"):
        router.add_api_route(path, infer, methods=["POST"], summary="Have images answered")


def _add_repository(router: APIRouter, service: Service) -> None:
    def check() -> None:
        if not service.options.admin:
            raise Refusal(403, "models are not managed from here; see serve --admin", "admin")

    @router.post("/repository/index", summary="All models")
    async def index() -> list[dict[str, str]]:
        check()
        return [
            {
                "name": each.name,
                "version": VERSION,
                "state": "READY" if each.ready else "UNAVAILABLE",
                "reason": each.reason,
            }
            for each in service.repository.index()
        ]

    @router.post("/repository/models/{model}/load", summary="Load a model, or load it again")
    async def load(model: str) -> dict[str, str]:
        check()
        try:
            await asyncio.to_thread(service.repository.load, model)
        except (BackbonesError, OSError) as error:
            reason = " ".join(str(error).split())
            raise Refusal(409, f"{model} was not loaded: {reason}", "load") from None
        return {"name": model, "state": "READY"}

    @router.post("/repository/models/{model}/unload", summary="Let a model answer no more")
    async def unload(model: str) -> dict[str, str]:
        check()
        await asyncio.to_thread(service.repository.unload, model)
        return {"name": model, "state": "UNAVAILABLE"}


def metadata_of(model: ServedModel) -> dict[str, Any]:
    """A model's inputs, of which a request holds one, and its output."""
    spec = model.classifier.spec
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": "pytorch_backbones",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, -1]},
            {
                "name": "tensor",
                "datatype": "FP32",
                "shape": [-1, spec.channels, spec.size, spec.size],
            },
        ],
        "outputs": [
            {"name": OUTPUT, "datatype": "FP32", "shape": [-1, len(model.classifier.classes)]}
        ],
    }


def _check_version(model: str, version: str) -> None:
    if version != VERSION:
        raise Refusal(404, f"{model} has no version {version!r}; there is {VERSION}", "unknown")


def _given(inputs: tuple[Input, ...]) -> Input:
    """The input of a request, checked as far as no model is needed.

    Raises:
        Refusal: there are several, or it is not as it should be.
    """
    if len(inputs) != 1:
        raise bad(
            f"{len(inputs)} inputs came, expected one of image (BYTES), pixels (UINT8) and tensor"
            " (FP32)"
        )
    (given,) = inputs
    sides = {"BYTES": (1, 2), "UINT8": (3, 4), "FP32": (3, 4)}[given.datatype]
    if len(given.shape) not in sides or 0 in given.shape:
        raise bad(f"{given.name}: a {given.datatype} came with shape {list(given.shape)}")
    return given


def _submit(given: Input, model: ServedModel) -> list[Future[Any]]:
    """Hand the images of a request to a model."""
    if given.datatype == "BYTES":
        return [work for image in given.files for work in model.submit(image)]
    assert given.values is not None
    if given.datatype == "UINT8":
        return model.submit(given.values)
    return [model.submit_tensor(given.values)]


def _rows(found: Any, service: Service) -> Rows:
    """Probabilities (n, K) of a piece of work.

    Raises:
        Refusal: an image could not be read.
    """
    if isinstance(found, Refusal):
        raise found
    if not isinstance(found, Answered):
        rows: Rows = found
        return rows
    if found.answer.log_probabilities is None:
        service.metrics.undecodable()
        raise Refusal(422, f"an image cannot be read: {found.answer.error}", "undecodable")
    return found.answer.log_probabilities.exp()[None].numpy()


def _outputs(wanted: tuple[Wanted, ...], binary: bool) -> tuple[Wanted, ...]:
    for each in wanted:
        if each.name != OUTPUT:
            raise bad(f"there is no output {each.name!r}; there is {OUTPUT}")
    return wanted or (Wanted(OUTPUT, binary, 0),)


def _output(model: ServedModel, wanted: Wanted, rows: Rows) -> Output:
    if not wanted.class_count:
        return Output(wanted.name, rows, rows.shape, wanted.binary)
    count = min(wanted.class_count, rows.shape[1])
    texts = [text for row in rows for text in model.ranked(row, count)]
    return Output(wanted.name, texts, (len(rows), count), wanted.binary)
