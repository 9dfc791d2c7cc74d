"""What PyTorch's own allocator hands out on the CPU while something runs.

`torch.profiler` hears of every block that is taken and given back, and of the operators around it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.profiler import ProfilerActivity, profile

# Operators that work on copies: of maps and weights in the layout that oneDNN likes on this
# processor, of windows laid out as columns, of small maps that are normalised, of blocks of pairs.
WITH_SCRATCH = (
    "aten::mkldnn_convolution",
    "aten::_slow_conv2d_forward",
    "aten::convolution_backward",
    "aten::native_batch_norm_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
)


@dataclass(frozen=True)
class Peak:
    """The most that was alive at once, what lived before left out.

    Args:
        total: bytes, of everything.
        without_scratch: bytes, without what an operator of `WITH_SCRATCH` takes and gives back
            before it ends.
    """

    total: int
    without_scratch: int


def measure(run: Callable[[], Any]) -> Peak:
    """Run something once, and listen to the allocator."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    events = sorted(
        ((e.start_ns(), e.end_ns(), e.name(), e.nbytes()) for e in _events(profiled)),
        key=lambda event: (event[0], -event[1]),
    )
    changes = [change for _, _, name, change in events if name == "[memory]"]
    return Peak(_most(changes), _most(_without_scratch(events)))


def _events(profiled: Any) -> list[Any]:
    found: list[Any] = profiled.profiler.kineto_results.events()
    return found


def _most(changes: list[int]) -> int:
    alive = most = 0
    for change in changes:
        alive += change
        most = max(most, alive)
    return most


def _without_scratch(events: list[tuple[int, int, str, int]]) -> list[int]:
    """The changes, without pairs of taking and giving back inside one operator."""
    changes: list[int] = []
    taken: list[int] = []  # positions in `changes` of what the operator that runs has taken
    ends = 0
    for start, end, name, change in events:
        if start > ends:
            taken = []
        if name in WITH_SCRATCH and start > ends:
            ends = end
        if name != "[memory]":
            continue
        pair = next((at for at in taken if changes[at] == -change), None) if change < 0 else None
        if pair is not None:
            changes[pair] = change = 0
            taken.remove(pair)
        changes.append(change)
        if start <= ends and change > 0:
            taken.append(len(changes) - 1)
    return changes
