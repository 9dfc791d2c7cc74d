"""A LeNet-5 as JSON for a page: its row, its weights rounded and packed, its classes."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.data.geometry import centre_crop_box
from backbones.errors import BadWeights, WrongUse
from backbones.labels.table import shown
from backbones.models.lenet import LeNet, TableConv2d
from backbones.weights.bundle import Bundle

_BITS = 22
_TOLERANCE = 1e-4  # of the largest score, at least of 1
_TRIED = 16  # random images

# What the page's JavaScript computes, field by field of the row.
_KNOWN = {
    "subsampling": ("trainable", "max"),
    "c3": ("table", "full"),
    "activation": ("scaled_tanh", "relu"),
    "output": ("rbf", "linear"),
}


# The side of the images that a recipe's data set has, px, which fill it; a drawing is made alike.
_DATA_PX = {"digits": 8, "fashion": 28, "fashion_fast": 28}


def packed_network(bundle: Bundle, name: str) -> dict[str, Any]:
    """What the page has to know of a network, as plain values.

    Args:
        bundle: of a LeNet-5.
        name: that `backbones predict` knows it by.

    Raises:
        WrongUse: another network, or a LeNet-5 that the page's JavaScript does not compute.
        BadWeights: weights so uneven that rounding moves a score by more than 1e-4.
    """
    _refuse_unknown(bundle, name)
    network = bundle.build()
    assert isinstance(network, LeNet)
    steps = {key: _step(tensor) for key, tensor in bundle.state.items()}
    spec, row = bundle.spec, network.row
    start = centre_crop_box(spec.resize, spec.resize, spec.size).top
    return {
        "name": name,
        "variant": bundle.variant,
        "summary": row.summary,
        "row": {key: getattr(row, key) for key in (*_KNOWN, "maps", "units", "input_px")},
        "channels": bundle.in_channels,
        "spec": {**spec.to_json(), "start": start},
        "classes": {"en": shown(bundle.classes, "en"), "zh": shown(bundle.classes, "zh")},
        "sources": _sources(network),
        "packed": _packed(bundle.state, steps),
        "difference": f"{_moved_by_rounding(bundle, steps):.0e}",
        "data_px": _DATA_PX.get((bundle.recipe or {}).get("name", "")),
        "recipe": bundle.recipe and {key: bundle.recipe[key] for key in ("name", "length")},
        "measured": _measured(bundle),
        "version": bundle.versions.get("backbones", ""),
    }


def _refuse_unknown(bundle: Bundle, name: str) -> None:
    if bundle.family != "lenet":
        raise WrongUse(
            f"{name} is a {bundle.variant}; the playground computes LeNet-5 in the browser:"
            " choose a bundle of lenet5 or lenet5_1998, or none for those of the package"
        )
    for field, known in _KNOWN.items():
        if bundle.row.get(field) not in known:
            raise WrongUse(
                f"{name} has {field} {bundle.row.get(field)!r}; the playground computes"
                f" {' and '.join(known)} only"
            )
    if bundle.spec.interpolation == "nearest":
        raise WrongUse(
            f"{name} resizes by nearest; the playground resizes bilinear and bicubic only"
        )


def _sources(network: LeNet) -> list[list[int]]:
    """For each map of C3, the maps of S2 that it sees."""
    first, second, _ = network.row.maps
    if isinstance(network.c3, TableConv2d):
        return [seen for run in network.c3.runs for seen in run]
    return [list(range(first)) for _ in range(second)]


def _step(tensor: Tensor) -> float:
    """The power of two of which a tensor's numbers are made whole multiples."""
    largest = float(tensor.abs().max())
    return math.ldexp(1.0, math.frexp(largest)[1] - (_BITS - 1)) if largest else 1.0


def _packed(state: dict[str, Tensor], steps: dict[str, float]) -> dict[str, Any]:
    """Whole multiples of each tensor's step, the sign as the last bit, in three planes of bytes,
    deflated: the first plane is nearly empty, and half of what JSON would take remains."""
    tensors, numbers = [], []
    for key, tensor in state.items():
        layer, _, name = key.rpartition(".")
        whole = np.rint(tensor.double().numpy().ravel() / steps[key]).astype(np.int64)
        tensors.append({"layer": layer, "name": name, "length": whole.size, "step": steps[key]})
        numbers.append(np.where(whole < 0, -2 * whole - 1, 2 * whole))
    every = np.concatenate(numbers)
    planes = b"".join((every >> shift & 255).astype(np.uint8).tobytes() for shift in (16, 8, 0))
    data = base64.b64encode(zlib.compress(planes, 9)).decode("ascii")
    return {"tensors": tensors, "data": data}


@torch.inference_mode()
def _moved_by_rounding(bundle: Bundle, steps: dict[str, float]) -> float:
    """By how much rounding moves the scores of random images, at most."""
    exact, rounded = bundle.build().double(), bundle.build().double()
    rounded.load_state_dict(
        {key: (t.double() / steps[key]).round() * steps[key] for key, t in bundle.state.items()}
    )
    side, seed = bundle.row["input_px"], torch.Generator().manual_seed(0)
    shape = (_TRIED, bundle.in_channels, side, side)
    images = torch.randn(shape, generator=seed, dtype=torch.float64)
    scores = exact(images)
    moved = float((rounded(images) - scores).abs().max())
    if moved > _TOLERANCE * max(1.0, float(scores.abs().max())):
        raise BadWeights(
            f"rounding the weights to {_BITS} bits moves a score by {moved:.1e}, more than the"
            f" {_TOLERANCE:.0e} that a page may: some weights are far larger than the others"
        )
    return moved


def _measured(bundle: Bundle) -> dict[str, Any] | None:
    """What the training measured on the images that chose the weights."""
    metrics = bundle.metrics
    if not {"top1_error_percent", "num_samples"} <= metrics.keys():
        return None
    error = f"{metrics['top1_error_percent']:.2f}"
    return {"error": error, "images": metrics["num_samples"]}
