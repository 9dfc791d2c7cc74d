"""What the last bits of a result depend on besides the recipe and the data."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import torch

from backbones.ranks import current
from backbones.training.exactness import describe_gpu
from backbones.training.recipe import Recipe


def surroundings(recipe: Recipe) -> dict[str, Any]:
    """Versions, machine, device, threads and processes, as run.json records them."""
    capability = torch.backends.cpu.get_cpu_capability()
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "pillow")}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "machine": f"{platform.system()} {platform.machine()} {capability}",
        "threads": torch.get_num_threads(),
        "processes": current().size,
        "device": recipe.device,
        **describe_gpu(recipe),
    }
