"""The papers' ways to turn a network's answers into an error rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backbones.protocols.viewing import views

__all__ = ["views"]


def __getattr__(name: str) -> Any:
    # Late, because the table is read by commands that answer without PyTorch.
    if name == "views":
        from backbones.protocols.viewing import views

        return views
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
