"""What a quantisation is asked, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backbones.errors import WrongUse
from backbones.exporting.export import Exported
from backbones.exporting.form import Form
from backbones.quantization.card import Card


@dataclass(frozen=True)
class QuantizationOptions:
    """How a network becomes one in int8.

    Args:
        num_images: to calibrate on; None takes 300, or fewer where there are not so many.
        seed: which they are.
        max_loss_points: of top-1 accuracy that it may lose.
        form: what the graph takes.

    Raises:
        WrongUse: a number that cannot be, or a form that int8 is not made in.
    """

    num_images: int | None = None
    seed: int = 0
    max_loss_points: float = 0.5
    form: Form = field(default_factory=lambda: Form("tensor", "float32"))

    def __post_init__(self) -> None:
        if self.num_images is not None and self.num_images < 1:
            raise WrongUse(f"num_images is {self.num_images}, expected at least 1")
        if not 0 <= self.max_loss_points <= 100:
            raise WrongUse(f"max_loss is {self.max_loss_points}, expected 0 to 100 points")
        if self.form.dense:
            raise WrongUse("score maps are exported in fp32 only; omit --dense or --precision int8")


@dataclass(frozen=True)
class Quantized:
    """A network in int8, with what it was judged by.

    Args:
        exported: the file or folder, and how far its answers are from PyTorch's.
        card: sizes, speeds, agreement and loss.
    """

    exported: Exported
    card: Card

    @property
    def file(self) -> Path:
        """What was written; `backbones.open` opens it."""
        return self.exported.file

    def to_json(self) -> dict[str, Any]:
        """The file, then the card."""
        return {"file": str(self.file), "bytes": self.exported.bytes, **self.card.to_json()}

    def to_text(self) -> str:
        """The card."""
        return self.card.to_text()
