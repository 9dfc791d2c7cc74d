"""LiteRT's files, `.tflite`, for phones: one image of the network's size at a time.

The description lies where LiteRT's tools keep what belongs to a model: in a ZIP archive behind the
graph, which runtimes do not read.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from backbones.errors import BadWeights, MissingExtra
from backbones.exporting.description import ENTRIES_FILE, Description, archived_entries
from backbones.exporting.form import OUTPUTS, Deployable, Form
from backbones.exporting.program import quiet
from backbones.exporting.session import Array, Session
from backbones.files import write_atomic
from backbones.text import to_json

_GRAPH_MARK = slice(4, 8), b"TFL3"  # of FlatBuffers that are LiteRT's


class LiteRtModel:
    """A network as LiteRT's FlatBuffer.

    Args:
        data: the file's content.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    @classmethod
    def of(cls, program: ExportedProgram, form: Form) -> LiteRtModel:
        """Translate a graph, of which one image remains.

        Raises:
            MissingExtra: `litert_torch` is absent.
        """
        os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
        try:
            import litert_torch
        except ImportError:
            raise MissingExtra("litert_torch", "litert", "the format litert") from None
        (example,), _ = program.example_inputs
        network: Any = program.module()
        network.training = False  # it has no modes, and the converter asks for one
        with quiet():
            made = litert_torch.convert(network, (example[:1],))
        return cls(made.model_content())

    @classmethod
    def read(cls, path: Path) -> LiteRtModel:
        """Read a file.

        Raises:
            BadWeights: it is not a whole file of LiteRT.
        """
        data = path.read_bytes()
        place, mark = _GRAPH_MARK
        found = cls(data)
        try:
            if data[place] != mark:
                raise ValueError("another kind of file")
            found.session  # noqa: B018 - reads it
        except (ValueError, RuntimeError) as error:
            raise BadWeights(
                f"{path} is not a whole file of LiteRT ({' '.join(str(error).split())[:120]})"
            ) from error
        return found

    @property
    def entries(self) -> dict[str, str]:
        """Of the archive behind the graph."""
        return archived_entries(self._data) if zipfile.is_zipfile(io.BytesIO(self._data)) else {}

    def layers(self, network: Deployable) -> dict[str, str]:
        """None: LiteRT computes several layers as one, and keeps no values in between."""
        return {}

    def describe(self, description: Description) -> None:
        """Put a description behind the graph."""
        file = io.BytesIO(self._data)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(ENTRIES_FILE, to_json(description.to_entries()))
        self._data = file.getvalue()
        vars(self).pop("session", None)

    @cached_property
    def session(self) -> LiteRtSession:
        """LiteRT's interpreter."""
        return LiteRtSession(self._data)

    def sessions(self) -> tuple[Session, ...]:
        """LiteRT alone reads it."""
        return (self.session,)

    def save(self, path: Path) -> int:
        """Write the file, whole or not at all; gives its bytes."""
        write_atomic(path, self._data)
        return len(self._data)


class LiteRtSession:
    """A graph in LiteRT's interpreter, on the CPU, with as many threads as PyTorch has.

    Args:
        data: of the file.

    Raises:
        MissingExtra: `ai_edge_litert` is absent.
    """

    def __init__(self, data: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise MissingExtra("ai_edge_litert", "litert", "the format litert") from None
        interpreter = Interpreter(model_content=data, num_threads=torch.get_num_threads())
        self._network = interpreter.get_signature_runner()
        (self._input,) = self._network.get_input_details()
        self.runtime = f"litert {version('ai-edge-litert')}"

    def run(self, images: Array) -> dict[str, Array]:
        """One image after the other, which is what the graph takes."""
        found = [self._network(**{self._input: images[n : n + 1]}) for n in range(len(images))]
        return {
            name: np.concatenate([each[f"output_{place}"] for each in found])
            for place, name in enumerate(OUTPUTS[:2])
        }

    def values(self, images: Array, names: Sequence[str]) -> dict[str, Array]:
        return {}
