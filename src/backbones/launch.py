"""Which of several processes this one is, as `torchrun` says it in the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """One process of those that do one work together.

    Args:
        rank: its number among all of them, from 0.
        size: how many there are.
        local_rank: its number among those of this machine.
        local_size: how many there are on this machine.
        restarts: times that all of them were started anew.
        has_store: `torchrun` keeps a store of its own, which outlives them.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0
    has_store: bool = False


def launch() -> Launch:
    """What the environment says; one process alone where it says nothing."""
    size = _number("WORLD_SIZE", 1)
    return Launch(
        _number("RANK", 0),
        size,
        _number("LOCAL_RANK", 0),
        _number("LOCAL_WORLD_SIZE", 1),
        _number("TORCHELASTIC_RESTART_COUNT", 0),
        os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _number(name: str, usual: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else usual
