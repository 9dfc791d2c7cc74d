"""All that a run needs to go on exactly: one safetensors file, no pickle.

Tensors are called `model.NAME`, `optimizer.PARAMETER.KEY` and `average.NAME`; the rest (step,
schedule, sums of the epoch, the best evaluation, lengths of the growing files, recipe and data)
is JSON in the file's header. A SHA-256 over all of it is checked on reading. There is no random
state to keep: everything random is a function of (seed, epoch, image) or (seed, step).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.data.source import ArrayImages, Split
from backbones.errors import BadWeights, WrongUse
from backbones.settings import one_line
from backbones.text import name_bytes
from backbones.training.average import Average
from backbones.training.recipe import Recipe
from backbones.weights.sealed import read_sealed, write_sealed

_HEADER = "backbones.checkpoint"
_FORMAT = 2  # 1 had no checksum

# Fields of a recipe that change how a run goes but not what comes out.
_WITHOUT_CONSEQUENCE = (
    *("name", "summary", "source", "expected"),
    *("workers", "threads", "checkpoint_every"),
    "device",  # of the last bits only, which a note says
)


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace the checkpoint; the old one stays until the new one is whole and on the disk.

    Raises:
        OSError: the disk is full; the old checkpoint is untouched.
    """
    write_sealed(path, _HEADER, {"format": _FORMAT, **facts}, tensors)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `write_checkpoint` was given, bit by bit.

    Raises:
        BadWeights: the file is damaged, is no checkpoint, or comes from another version.
    """
    try:
        facts, tensors = read_sealed(path, _HEADER)
        if facts.pop("format", None) != _FORMAT:
            raise BadWeights("written by another version of backbones")
    except BadWeights as error:
        raise BadWeights(
            f"{path} cannot be gone on from: {one_line(error)}; put back a copy of it, or"
            f" {another_run(path.parent)}"
        ) from None
    return tensors, facts


def another_run(folder: Path) -> str:
    """What to do instead of going on with a run, for the end of a message."""
    last = folder / "last.safetensors"
    if not last.exists():
        return "start a new run"
    return f"start a new run from its weights (the optimiser begins anew): --weights {last}"


def collect(
    model: nn.Module, optimizer: torch.optim.Optimizer | None, average: Average | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that training has changed.

    Returns:
        Tensors by name, and the optimiser's plain numbers by `PARAMETER.KEY`.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": value for name, value in average.model.state_dict().items()}
    numbers: dict[str, Any] = {}
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    for parameter, state in optimizer.state.items() if optimizer is not None else ():
        for key, value in state.items():
            place = f"{names[parameter]}.{key}"
            if isinstance(value, Tensor):
                tensors[f"optimizer.{place}"] = value
            else:
                numbers[place] = value
    return tensors, numbers


def put_back(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Average | None,
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Any],
) -> None:
    """Undo everything since `collect`; the reverse of it.

    Raises:
        BadWeights: the checkpoint belongs to another network.
    """
    _load(model, tensors, "model.")
    if average is not None:
        _load(average.model, tensors, "average.")
    optimizer.state.clear()
    beside = _counted_beside(optimizer)
    for name, parameter in model.named_parameters():
        state: dict[str, Any] = {}
        above = f"optimizer.{name}."
        for place, value in tensors.items():
            key = place.removeprefix(above)
            if place.startswith(above) and "." not in key:
                on_cpu = key == "step" and parameter not in beside
                state[key] = _like(parameter, value, "cpu" if on_cpu else parameter.device)
        for place, number in numbers.items():
            if place.startswith(f"{name}.") and "." not in place.removeprefix(f"{name}."):
                state[place.removeprefix(f"{name}.")] = number
        if state:
            optimizer.state[parameter] = state


def _load(model: nn.Module, tensors: Mapping[str, Tensor], above: str) -> None:
    state = {
        name.removeprefix(above): value for name, value in tensors.items() if name.startswith(above)
    }
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise BadWeights(
            f"the checkpoint holds another network: {len(state)} tensors, the network that was"
            f" built has {len(model.state_dict())}, or their shapes differ"
        ) from None


def _counted_beside(optimizer: torch.optim.Optimizer) -> set[Tensor]:
    """The parameters whose `step` is kept on their own device: those of fused kernels.

    PyTorch keeps every other one on the CPU, where reading it stops no device.
    """
    return {
        parameter
        for group in optimizer.param_groups
        if group.get("fused") or group.get("capturable")
        for parameter in group["params"]
    }


def _like(parameter: nn.Parameter, value: Tensor, device: torch.device | str) -> Tensor:
    """The tensor in the parameter's memory order, which fused optimisers take for granted."""
    if value.shape != parameter.shape:
        return value.to(device)
    out = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
    return out.copy_(value)


def fingerprint(split: Split) -> dict[str, Any]:
    """What tells one training split from another.

    Returns:
        "classes", "num_pictures", and "sha256" over names, labels and pixels in memory (files
        are known by name: reading them all would take as long as an epoch).
    """
    digest = hashlib.sha256()
    digest.update(split.labels.astype("<i8").tobytes())
    images = split.images
    if isinstance(images, ArrayImages):
        digest.update(repr(images.array.shape).encode())
        digest.update(np.ascontiguousarray(images.array).data)
    else:
        digest.update(name_bytes("\0".join(images.names())))
    return {
        "classes": list(split.classes),
        "num_pictures": len(split),
        "sha256": digest.hexdigest(),
    }


def file_names_digest(split: Split) -> str:
    """What tells images that chose weights when they are met again, below another folder too."""
    images = split.images
    if isinstance(images, ArrayImages):
        return str(fingerprint(split)["sha256"])
    names = [path.rpartition("/")[2] for path in images.names()]
    text = "\0".join([*names, *split.classes, *map(str, split.labels.tolist())])
    return hashlib.sha256(name_bytes(text)).hexdigest()


def refuse_other_recipe(then: Mapping[str, Any], now: Recipe, file: Path) -> None:
    """A run goes on with the recipe that it began with, or not at all.

    Args:
        then: the recipe that the run began with, as plain values.
        now: the recipe to go on with.
        file: that the second one is in.

    Raises:
        WrongUse: names the fields that differ.
    """
    then = {**Recipe().to_json(), **then}  # a field that is newer than the run was at its default
    changed = [
        f"{place} {before!r} -> {after!r}"
        for place, before, after in _differences(then, now.to_json())
        if place.partition(".")[0] not in _WITHOUT_CONSEQUENCE
    ]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise WrongUse(
            f"{file} is not the recipe that the run began with: {'; '.join(changed[:5])}{more};"
            f" put that back to go on, or {another_run(file.parent)}"
        )


def refuse_other_data(
    then: Mapping[str, Any], now: Mapping[str, Any], part: str = "training"
) -> None:
    """A run goes on with the data that it began with, or not at all.

    Args:
        then, now: what `fingerprint` said.
        part: of the data, for the message.

    Raises:
        WrongUse: shows the difference.
    """
    if then == now:
        return
    missing = [name for name in then["classes"] if name not in now["classes"]]
    new = [name for name in now["classes"] if name not in then["classes"]]
    if missing or new:
        said = f"classes gone: {_some(missing)}; new: {_some(new)}"
    elif then["classes"] != now["classes"]:
        said = f"the order of classes was {_some(then['classes'])}, is {_some(now['classes'])}"
    elif then["num_pictures"] != now["num_pictures"]:
        said = f"{then['num_pictures']} {part} images then, {now['num_pictures']} now"
    else:
        said = f"still {now['num_pictures']} {part} images, but others, or other labels"
    raise WrongUse(
        f"the data is not what the run began with: {said}; give the same data, or start a new run"
    )


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:5]) or "none"
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _differences(then: Any, now: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves in which two nests of dictionaries differ, by dotted path."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return [] if then == now else [(place, then, now)]
    found: list[tuple[str, Any, Any]] = []
    for key in dict.fromkeys([*then, *now]):
        inner = f"{place}.{key}" if place else str(key)
        found += _differences(then.get(key), now.get(key), inner)
    return found
