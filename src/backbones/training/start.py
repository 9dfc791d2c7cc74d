"""What a run begins with, kept for a resume to be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones.errors import BadWeights
from backbones.settings import one_line
from backbones.training.checkpoint import another_run
from backbones.training.images import ImageFingerprints
from backbones.weights.sealed import read_sealed, write_sealed

NAME = "start.safetensors"
_HEADER = "backbones.start"
_FORMAT = 1


@dataclass(frozen=True)
class Start:
    """What decides every bit of a run's result, but for the machine.

    Args:
        recipe: resolved, as plain values.
        data: fingerprint of the training split.
        images: of all splits; of none where nobody looked.
        weights: SHA-256 of the network's first weights; empty where nobody looked.
    """

    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    images: ImageFingerprints
    weights: str = ""

    def write(self, path: Path) -> None:
        """Write a file that no bit can change in unseen."""
        values = {
            "format": _FORMAT,
            "recipe": self.recipe,
            "data": self.data,
            "splits": self.images.splits,
            "weights": self.weights,
        }
        write_sealed(path, _HEADER, values, self.images.files)

    @classmethod
    def read(cls, path: Path) -> Start:
        """Read it back.

        Raises:
            BadWeights: it is missing or damaged, or of another version.
        """
        try:
            values, files = read_sealed(path, _HEADER)
            if values.get("format") != _FORMAT:
                raise BadWeights("written by another version of backbones")
        except BadWeights as error:
            raise BadWeights(
                f"{path}, by which a resume knows what the run began with, cannot be used:"
                f" {one_line(error)}; put it back, or {another_run(path.parent)}"
            ) from None
        images = ImageFingerprints(values["splits"], files)
        return cls(values["recipe"], values["data"], images, values["weights"])
