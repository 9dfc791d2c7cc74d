"""The human form: an image in, names and probabilities out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from backbones.labels import Lang
from backbones.protocols.table import protocol_names
from backbones.serving.looking import Viewed, maps_of, submit_explanation, submit_views
from backbones.serving.model import ServedModel
from backbones.serving.multipart import files_of
from backbones.serving.refusals import Refusal
from backbones.serving.service import Service
from backbones.serving.worker import Answered


class Asked(BaseModel):
    """What `/predict` can be told."""

    top: int = Field(5, ge=1, description="Classes an image, the likeliest first.")
    lang: Lang = Field("en", description="Of `name`; `names` has both languages.")
    model: str | None = Field(None, description="Of several models; the first if left out.")
    explain: int = Field(
        0, ge=0, le=20, description="Heat maps (Grad-CAM) of so many of the likeliest classes."
    )
    protocol: str = Field(
        "single",
        description="Views that are averaged; others than `single` are listed, each with"
        " its own answer.",
    )
    deadline_ms: float | None = Field(
        None, gt=0, description="Milliseconds after which nobody wants the answer."
    )


Found = Answered | Viewed | Refusal
"""What comes of one image."""

_FILE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": _FILE},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"image": {"type": "array", "items": _FILE}}}
        },
    },
}


def human_form(service: Service) -> APIRouter:
    """`POST /predict`.

    Args:
        service: what answers.
    """
    router = APIRouter()

    @router.post("/predict", summary="Classify images", openapi_extra={"requestBody": _BODY})
    async def predict(request: Request, asked: Annotated[Asked, Query()]) -> JSONResponse:
        """One image as the body, or one or many as the files of a form. Answers as `backbones
        predict --json` does: an entry an image, in order, with an `error` where it cannot be read.
        """
        start = time.perf_counter()
        async with service.body(request, asked.model) as body:
            images = images_of(body, request.headers.get("content-type", ""))
            request.state.log = {"model": asked.model, "images": len(images), "bytes": len(body)}
            served, found = await service.work(
                request, asked.model, partial(_submit, images, asked), asked.deadline_ms
            )
            entries = [_entry(served, each, asked) for each in found]
            if asked.explain:
                await _explain(service, request, asked, images, found, entries)
        _count(service, found, entries)
        request.state.log["model"] = served.name
        seconds = round(time.perf_counter() - start, 4)
        return JSONResponse({**served.to_json(), "seconds": seconds, "images": entries})

    @router.get("/models", summary="The models, and the protocols that they answer by")
    async def models() -> dict[str, Any]:
        there = [each.name for each in service.repository.index() if each.ready]
        return {
            "models": [service.repository.get(name).about() for name in there],
            "protocols": list(protocol_names()),
        }

    return router


def _submit(images: Sequence[bytes], asked: Asked, model: ServedModel) -> list[Future[Any]]:
    if asked.protocol == "single":
        return [work for each in images for work in model.submit(each)]
    return [submit_views(model, each, asked.protocol) for each in images]


async def _explain(
    service: Service,
    request: Request,
    asked: Asked,
    images: Sequence[bytes],
    found: Sequence[Found],
    entries: Sequence[dict[str, Any]],
) -> None:
    """Add maps to the entries of images that could be read."""
    readable = [
        (image, each.answer, entry)
        for image, each, entry in zip(images, found, entries, strict=True)
        if not isinstance(each, Refusal) and each.answer.error is None
    ]
    _, explained = await service.work(
        request,
        asked.model,
        lambda model: [
            submit_explanation(model, image, answer, asked.explain) for image, answer, _ in readable
        ],
        asked.deadline_ms,
    )
    for (_, _, entry), each in zip(readable, explained, strict=True):
        if isinstance(each, Refusal):
            raise each
        entry["maps"] = maps_of(each)


def _count(service: Service, found: Sequence[Found], entries: Sequence[dict[str, Any]]) -> None:
    """Count what could not be read.

    Raises:
        Refusal: nothing could.
    """
    errors = [entry["error"] for entry in entries if "error" in entry]
    refused = [each for each in found if isinstance(each, Refusal)]
    for _ in range(len(errors) - len(refused)):
        service.metrics.undecodable()
    if len(errors) == len(entries):
        raise refused[0] if refused else _undecodable(errors)


def images_of(body: bytes, content_type: str) -> list[bytes]:
    """The images of a request.

    Args:
        body: an image, or a form with several.
        content_type: the header.

    Raises:
        Refusal: there are none.
    """
    if content_type.lower().startswith("multipart/form-data"):
        return files_of(body, content_type)
    if not body:
        raise Refusal(
            400, "the body is empty; send an image, as in curl --data-binary @photo.jpg", "input"
        )
    return [body]


def _entry(model: ServedModel, found: Found, asked: Asked) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"error": found.message}
    if found.answer.error is not None:
        return {"error": found.answer.error}
    entry: dict[str, Any] = {
        "predictions": model.guesses(found.answer, asked.top, asked.lang),
        **(found.answer.computed.to_json() if found.answer.computed else {}),
        "size_px": list(found.size),
        "seen_px": model.seen_px(found.size),
    }
    if isinstance(found, Viewed):
        entry["views"] = [
            {
                "box_px": box,
                "mirrored": view.mirrored,
                "dense": view.dense,
                "prediction": model.guesses(answer, 1, asked.lang)[0],
                "place_px": found.place_px(view, model.classifier.spec.size),
                "grid": None if grid is None else [[round(v, 4) for v in r] for r in grid.tolist()],
            }
            for box, (view, answer), grid in zip(
                found.boxes_px(), found.views, found.grids, strict=True
            )
        ]
    return entry


def _undecodable(errors: Sequence[str]) -> Refusal:
    message = f"the image cannot be read: {errors[0]}"
    if len(errors) > 1:
        message = f"none of {len(errors)} images can be read; the first: {errors[0]}"
    return Refusal(422, message, "undecodable")
