"""Inside a network, for the page: its layers, their maps of an image, what a unit sees."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request

from backbones.classifier.assembly import Member
from backbones.inspection.formulas import products
from backbones.inspection.summary import Inspection, inspect
from backbones.serving.drawing import drawing_of
from backbones.serving.model import ServedModel, refuse_many_pixels
from backbones.serving.refusals import Refusal
from backbones.serving.service import Service

_MAPS = 64  # of a layer, that are shown

Model = Annotated[str | None, Query(description="Of several models; the first if left out.")]
Layer = Annotated[str, Query(description="A module path, as `/layers` lists them.")]
Place = Annotated[int, Query(ge=0, description="Of the unit in the layer's map, from 0.")]


def inside(service: Service) -> APIRouter:
    """`/layers`, `/drawing`, `/maps` and `/field`.

    Args:
        service: what answers.
    """
    router = APIRouter(tags=["Inside a network"])

    async def summary(request: Request, model: str | None) -> tuple[ServedModel, Inspection]:
        """Looked at once a model, in its thread, since it runs the network over shapes."""
        service.admit(model)
        served, (found,) = await service.work(
            request, model, lambda to: [to.worker.submit(lambda: _summary(to), 1)]
        )
        assert isinstance(found, Inspection)
        return served, found

    @router.get("/layers", summary="The layers that give maps, with what they cost")
    async def layers(request: Request, model: Model = None) -> dict[str, Any]:
        served, found = await summary(request, model)
        listed = _listed(found)
        return {"model": served.name, "params": found.params, "macs": found.macs, "layers": listed}

    @router.get("/drawing", summary="The network's drawing, and where its layers are on it")
    async def drawing(request: Request, model: Model = None) -> dict[str, Any]:
        service.admit(model)
        _, (found,) = await service.work(
            request, model, lambda to: [to.worker.submit(lambda: _drawing(to), 1)]
        )
        if isinstance(found, Refusal):
            raise found
        drawn: dict[str, Any] = found
        return drawn

    @router.post("/maps", summary="A layer's maps of an image")
    async def maps(request: Request, layer: Layer, model: Model = None) -> dict[str, Any]:
        async with service.body(request, model) as body:
            _, (found,) = await service.work(
                request, model, lambda to: [to.worker.submit(lambda: _maps(to, body, layer), 2)]
            )
        if isinstance(found, Refusal):
            raise found
        shown = [base64.b64encode(_grey(each)).decode() for each in found[:_MAPS]]
        return {"layer": layer, "shape": list(found.shape), "maps": shown}

    @router.get("/field", summary="What a unit of a layer sees")
    async def field(
        request: Request, layer: Layer, row: Place, column: Place, model: Model = None
    ) -> dict[str, Any]:
        served, found = await summary(request, model)
        top, left, bottom, right = found.sees(layer, row, column)
        box = [left, top, right - left, bottom - top]
        return {"box_px": box, "size_px": served.classifier.spec.size}

    return router


def _alone(model: ServedModel) -> Member:
    if len(model.classifier.members) > 1:
        raise Refusal(400, f"{model.name} is several networks; serve one of them", "input")
    return model.classifier.members[0]


def _summary(model: ServedModel) -> Inspection:
    if model.inspection is None:
        member = _alone(model)
        spec = member.spec
        model.inspection = inspect(member.build(), (spec.channels, spec.size, spec.size))
    return model.inspection


def _drawing(model: ServedModel) -> dict[str, Any]:
    if model.drawing is None:
        model.drawing = drawing_of(_alone(model).build(), _summary(model))
    return model.drawing


def _maps(model: ServedModel, image: bytes, layer: str) -> npt.NDArray[np.float32]:
    """The maps (C, h, w).

    Raises:
        Refusal: the image cannot be read, or the layer gives no maps.
    """
    _alone(model)
    refuse_many_pixels(image, model.max_pixels)
    (found,) = model.classifier.features([image], layer=layer, pool=False)
    if found.values is None:
        raise Refusal(422, f"the image cannot be read: {found.error}", "undecodable")
    if found.values.ndim != 3:
        raise Refusal(400, f"{layer} gives no maps, but {found.values.shape[-1]} values", "input")
    return found.values


def _grey(values: npt.NDArray[np.float32]) -> bytes:
    """A map as bytes, row by row: its lowest value 0, its highest 255."""
    low, high = float(values.min()), float(values.max())
    return np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8).tobytes()


def _listed(found: Inspection) -> list[dict[str, Any]]:
    """The layers that give maps, with their numbers."""
    return [
        {
            "name": found.paper_names.get(each.name, each.name),
            "layer": each.name,
            "kind": f"{each.kind} {each.detail}".strip(),
            "shape": list(each.output),
            "params": each.params + each.frozen,
            "formula": products(each.weights, "×"),
            "macs": each.macs,
            "bytes": each.num_bytes,
        }
        for each in found.layers
        if len(each.output) == 3
    ]
