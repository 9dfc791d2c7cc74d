"""A graph of OpenVINO in one file that knows when it was changed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from backbones.errors import BadWeights
from backbones.exporting.openvino_model import GRAPH, NUMBERS, OpenVinoModel, read_graph
from backbones.weights.sealed import GRAPH_KEY, read_sealed, write_sealed

_FORMAT = 1


class SealedModel(OpenVinoModel):
    """A safetensors file with the bytes of `model.xml` and `model.bin`, and their SHA-256."""

    @classmethod
    def read(cls, path: Path) -> SealedModel:
        """Read a file.

        Raises:
            BadWeights: it is not whole, was changed, or is of another version.
        """
        try:
            values, files = read_sealed(path, GRAPH_KEY)
        except BadWeights as error:
            raise BadWeights(f"{path}: {error}") from error
        if values.get("format") != _FORMAT:
            raise BadWeights(f"{path} is not of format {_FORMAT}; written by another version")
        graph, numbers = (files[name].numpy().tobytes() for name in (GRAPH, NUMBERS))
        return cls(read_graph(graph, numbers))

    def save(self, path: Path) -> int:
        """Write the file, whole or not at all; gives its bytes."""
        with tempfile.TemporaryDirectory() as folder:
            self.write_graph(Path(folder))
            files = {
                name: torch.from_numpy(np.fromfile(Path(folder) / name, np.uint8))
                for name in (GRAPH, NUMBERS)
            }
        write_sealed(path, GRAPH_KEY, {"format": _FORMAT}, files)
        return path.stat().st_size
