"""What makes this machine fast, and how fast it is: its memory allocator, a clock."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

# From <malloc.h>: parameters of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_large_buffers() -> bool:
    """Ask the C library to keep freed memory instead of handing it back after every layer.

    glibc maps each tensor above 32 MB afresh and unmaps it when it is freed, so that every
    training step faults all its pages in again. Keeping them made training 1.5 times as fast
    (geometric mean over eight networks, two cores). The process's memory may stay at its peak.
    `BACKBONES_MALLOPT=0` in the environment switches this off.

    Returns:
        True where the setting took effect: Linux with glibc, not switched off.
    """
    if os.environ.get("BACKBONES_MALLOPT") == "0" or platform.system() != "Linux":
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    mallopt.restype = ctypes.c_int
    kept = mallopt(_M_MMAP_THRESHOLD, 1 << 30) == 1
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1) == 1)


def time_passes(
    run: Callable[[], object], device: str = "cpu", *, least_s: float = 0.2, least: int = 3
) -> float:
    """How long one call takes: the median of several, after one that does not count.

    Args:
        run: what to time.
        device: where it computes; a call counts as done when the device is.
        least_s: seconds to go on for.
        least: calls to make, also where they take longer.

    Returns:
        Seconds a call.
    """
    finish = _waits_for(device)
    run()
    finish()
    taken: list[float] = []
    while len(taken) < least or sum(taken) < least_s:
        begin = perf_counter()
        run()
        finish()
        taken.append(perf_counter() - begin)
    return median(taken)


def _waits_for(device: str) -> Callable[[], object]:
    if device.startswith("cuda"):
        return torch.cuda.synchronize
    if device.startswith("mps"):
        return torch.mps.synchronize
    return lambda: None
