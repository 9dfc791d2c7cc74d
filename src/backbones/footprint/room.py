"""What would have fitted, once memory has run out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from backbones.errors import BackbonesError
from backbones.footprint.estimates import Optimizer, largest_batch
from backbones.footprint.passes import Precision
from backbones.units import human_bytes

_COUNTED = 0.8  # of the memory; the rest is for the libraries and for what is not counted
_GROUP = Path("/sys/fs/cgroup/memory.max")


def batch_advice(
    network: nn.Module,
    input_shape: Sequence[int],
    batch: int,
    setting: str,
    *,
    training: bool = False,
    optimizer: Optimizer = "sgd_momentum",
    precision: Precision | Literal["int8"] = "fp32",
) -> str:
    """What to do about a batch that was too large, for the end of a message.

    Args:
        network: that it was for.
        input_shape: of one image.
        batch: images, that did not fit.
        setting: how the batch is set, such as "--batch-size ".
        training, optimizer, precision: as `largest_batch` has them.
    """
    room = round(_COUNTED * room_bytes(next(network.parameters()).device))
    size = "x".join(str(side) for side in input_shape)
    try:
        fits = largest_batch(
            network,
            input_shape,
            room,
            training=training,
            optimizer=optimizer,
            precision="bf16" if precision == "bf16" else "fp32",
        )
    except (BackbonesError, RuntimeError, OverflowError):  # sizes that no tensor can have
        fits = 0
    fits = min(fits, batch // 2)  # whatever was counted, this one was too large
    if fits < 1:
        return f"not even one image of {size} fits in {human_bytes(room)}: use smaller images"
    return (
        f"a batch of {batch} images of {size} was too large, and about {fits} fit in"
        f" {human_bytes(room)}: {setting}{fits}, or smaller images"
    )


def room_bytes(device: torch.device) -> int:
    """What this process may have of a device's memory: all of it, or what a limit leaves."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if _GROUP.is_file() and (said := _GROUP.read_text().strip()).isdecimal():
        limits.append(int(said))
    limits += _address_space()
    return min(limits, default=8 << 30)


def _address_space() -> list[int]:
    """What `ulimit -v` leaves for numbers: the libraries take addresses too."""
    try:
        import resource
    except ImportError:  # Windows
        return []
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return []
    used = 0
    if (known := Path("/proc/self/statm")).is_file():
        addresses, resident, *_ = map(int, known.read_text().split())
        used = (addresses - resident) * os.sysconf("SC_PAGE_SIZE")
    return [max(0, limit - used)]
