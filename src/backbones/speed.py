"""What makes this machine fast: its number format, its memory allocator, its device.

Every choice here changes only how long an answer takes, except `bf16`, which rounds
intermediate values to 8 significant bits; weights and optimiser always stay fp32.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Literal

import torch

from backbones.errors import WrongUse

Precision = Literal["fp32", "bf16"]
Device = Literal["cpu", "cuda", "mps"]

# From <malloc.h>: parameters of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

# Multiply-accumulates of one forward pass of a batch below which a CPU stays in fp32: bf16 gains
# nothing at 13 million (LeNet-5, batch 32), 1.1 times at 53, 1.2 at 213, 1.5 at 445, 2 at 1,780
# (two AMX cores; `benchmarks/training.py --crossover` measures it elsewhere).
MACS_WORTH_BF16 = 100_000_000


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


def choose_device(wanted: Literal["auto", "cpu", "cuda", "mps"] = "auto") -> Device:
    """The device to work on: the one asked for, or the fastest there is.

    Raises:
        WrongUse: the device asked for is not there.
    """
    there: dict[Device, bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(device for device, present in there.items() if present)
    if not there[wanted]:
        present = ", ".join(device for device in there if there[device])
        raise WrongUse(f"device {wanted} is not available here; use auto or one of: {present}")
    return wanted


def has_bf16_units(device: Device = "cpu") -> bool:
    """Whether the device multiplies bf16 matrices in hardware (AVX512-BF16, AMX, Ampere on)."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8
    if device == "mps":
        return False
    flags = _cpu_flags()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _cpu_flags() -> frozenset[str]:
    """The processor's feature flags as Linux lists them; empty on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def choose_precision(device: Device, *, macs_per_step: int | None) -> Precision:
    """The number format to train in where the recipe leaves it open.

    bf16 where the device has units for it, except for steps so small that the time goes into
    starting operations: below `MACS_WORTH_BF16` a CPU stays in fp32.

    Args:
        device: to train on.
        macs_per_step: multiply-accumulates of one forward pass of the whole batch; None where
            nobody counted them, which is taken as large.
    """
    if not has_bf16_units(device):
        return "fp32"
    if device == "cpu" and macs_per_step is not None and macs_per_step < MACS_WORTH_BF16:
        return "fp32"
    return "bf16"


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
