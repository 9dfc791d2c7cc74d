"""Which kernels a GPU trains with: the same bits each time, or the fastest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic

from backbones.compute import Compute, Precision
from backbones.training.recipe import Recipe

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def prepare_kernels(recipe: Recipe) -> None:
    """Set what cuBLAS reads at its first call; to be called before the network moves to a GPU."""
    if recipe.deterministic and recipe.device.startswith("cuda"):
        os.environ.setdefault(_WORKSPACE, ":4096:8")


@contextmanager
def chosen_kernels(recipe: Recipe) -> Iterator[None]:
    """Inside, a GPU computes as the recipe says; afterwards as before. A CPU always repeats itself.

    Deterministic: cuDNN and PyTorch take kernels that add up in one order, and cuDNN does not
    choose by stopwatch. An operation without such a kernel warns and does not stop the run.
    Otherwise cuDNN tries its kernels out at the first batch of each shape, and takes the fastest.
    fp32 is fp32 in both cases, and not TF32.

    Reference: PyTorch's notes on reproducibility.
    """
    if not recipe.device.startswith("cuda"):
        yield
        return
    memory: Any = deterministic
    before = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    precision: Precision = "bf16" if recipe.precision == "bf16" else "fp32"
    compute = Compute(recipe.device, precision, torch.get_num_threads())
    exact = recipe.deterministic
    cudnn = torch.backends.cudnn
    kernels = cudnn.flags(
        enabled=True, benchmark=not exact, deterministic=exact, allow_tf32=cudnn.allow_tf32
    )
    with kernels, compute.running():
        torch.set_deterministic_debug_mode("warn" if exact else "default")
        memory.fill_uninitialized_memory = False  # nothing reads any, and it takes time
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(before[0])
            memory.fill_uninitialized_memory = before[1]


def describe_gpu(recipe: Recipe) -> dict[str, str]:
    """The GPU and its libraries as run.json records them; empty where the run is on none."""
    if not recipe.device.startswith("cuda"):
        return {}
    name = torch.cuda.get_device_name(recipe.device)
    major, minor = torch.cuda.get_device_capability(recipe.device)
    cudnn: Any = torch.backends.cudnn
    tf32 = recipe.precision != "fp32" and cudnn.allow_tf32
    return {
        "gpu": f"{name} (capability {major}.{minor}), CUDA {torch.version.cuda},"
        f" cuDNN {cudnn.version()}, TF32 {'on' if tf32 else 'off'}"
    }
