"""The human form: an image in, names and probabilities out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from backbones.labels import Lang
from backbones.serving.model import ServedModel
from backbones.serving.multipart import files_of
from backbones.serving.refusals import Refusal
from backbones.serving.service import Service
from backbones.serving.worker import Answered

Top = Annotated[int, Query(ge=1, description="Classes an image, the likeliest first.")]
Language = Annotated[Lang, Query(description="Of `name`; `names` has both languages.")]
Model = Annotated[str | None, Query(description="Of several models; the first if left out.")]
Deadline = Annotated[
    float | None, Query(gt=0, description="Milliseconds after which nobody wants the answer.")
]

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
    async def predict(
        request: Request,
        top: Top = 5,
        lang: Language = "en",
        model: Model = None,
        deadline_ms: Deadline = None,
    ) -> JSONResponse:
        """One image as the body, or one or many as the files of a form. Answers as `backbones
        predict --json` does: an entry an image, in order, with an `error` where it cannot be read.
        """
        start = time.perf_counter()
        async with service.body(request, model) as body:
            images = images_of(body, request.headers.get("content-type", ""))
            served, found = await service.work(
                request,
                model,
                lambda to: [work for each in images for work in to.submit(each)],
                deadline_ms,
            )
        answers = [_entry(served, each, top, lang) for each in found]
        errors = [each for each in answers if "error" in each]
        for each in found:
            if isinstance(each, Answered) and each.answer.error is not None:
                service.metrics.undecodable()
        request.state.log = {"model": served.name, "images": len(images), "bytes": len(body)}
        if len(errors) == len(answers):
            refused = [each for each in found if isinstance(each, Refusal)]
            raise refused[0] if refused else _undecodable(errors)
        seconds = round(time.perf_counter() - start, 4)
        return JSONResponse({**served.to_json(), "seconds": seconds, "images": answers})

    return router


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


def _entry(model: ServedModel, found: Answered | Refusal, top: int, lang: Lang) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"error": found.message}
    if found.answer.error is not None:
        return {"error": found.answer.error}
    return {
        "predictions": model.guesses(found.answer, top, lang),
        "size_px": list(found.size),
        "seen_px": model.seen_px(found.size),
    }


def _undecodable(errors: Sequence[dict[str, Any]]) -> Refusal:
    first = errors[0]["error"]
    message = f"the image cannot be read: {first}"
    if len(errors) > 1:
        message = f"none of {len(errors)} images can be read; the first: {first}"
    return Refusal(422, message, "undecodable")
