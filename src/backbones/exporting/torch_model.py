"""PyTorch's own archives of a graph, `.pt2`.

PyTorch promises neither that another version reads them, nor that reading one runs no code that
somebody has put into it. So what is read here is what was just written, or what the user trusts.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from backbones.errors import BadWeights
from backbones.exporting.description import ENTRIES_FILE, Description, archived_entries
from backbones.exporting.form import OUTPUTS, Deployable, Form
from backbones.exporting.program import layers_of, quiet
from backbones.exporting.session import Array, Session
from backbones.files import write_atomic
from backbones.text import to_json


class TorchModel:
    """A network as an archive of `torch.export`.

    Args:
        data: the file's content.
        program: what it was made from.
    """

    def __init__(self, data: bytes, program: ExportedProgram | None = None) -> None:
        self._data, self._program = data, program

    @classmethod
    def of(cls, program: ExportedProgram, form: Form) -> TorchModel:
        """Save a graph."""
        return cls(_saved(program, {}), program)

    @classmethod
    def read(cls, path: Path) -> TorchModel:
        """Read a file, but not yet its graph.

        Raises:
            BadWeights: it is no archive.
        """
        found = cls(path.read_bytes())
        if not zipfile.is_zipfile(io.BytesIO(found._data)):
            raise BadWeights(f"{path} is not a whole archive of torch.export")
        return found

    @property
    def entries(self) -> dict[str, str]:
        """The archive's extra file; without running anything in it."""
        return archived_entries(self._data)

    def layers(self, network: Deployable) -> dict[str, str]:
        """Values have the names of the graph's nodes."""
        return {} if self._program is None else layers_of(self._program, network)

    def describe(self, description: Description) -> None:
        """Put a description inside."""
        assert self._program is not None
        self._data = _saved(self._program, description.to_entries())
        vars(self).pop("session", None)

    @cached_property
    def session(self) -> TorchSession:
        """PyTorch, from the archive as it was written."""
        with quiet():
            return TorchSession(torch.export.load(io.BytesIO(self._data)))

    def sessions(self) -> tuple[Session, ...]:
        """PyTorch alone reads it."""
        return (self.session,)

    def save(self, path: Path) -> int:
        """Write the file, whole or not at all; gives its bytes."""
        write_atomic(path, self._data)
        return len(self._data)


class TorchSession:
    """A graph in PyTorch, on the CPU."""

    def __init__(self, program: ExportedProgram) -> None:
        self._module: Any = program.module()
        self.runtime = f"torch.export {torch.__version__.partition('+')[0]}"

    def run(self, images: Array) -> dict[str, Array]:
        with torch.no_grad():
            found = self._module(torch.from_numpy(images))
        return {name: each.numpy() for name, each in zip(OUTPUTS, found, strict=False)}

    def values(self, images: Array, names: Sequence[str]) -> dict[str, Array]:
        keeper = _Keeper(self._module, set(names))
        with torch.no_grad():
            keeper.run(torch.from_numpy(images))
        return keeper.kept


class _Keeper(fx.Interpreter):
    """Runs a graph node by node and keeps what some of them give."""

    def __init__(self, module: Any, names: set[str]) -> None:
        super().__init__(module)
        self._names = names
        self.kept: dict[str, Array] = {}

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        if n.name in self._names and isinstance(found, Tensor):
            self.kept[n.name] = found.numpy().copy()  # a ReLU in place would change it
        return found


def _saved(program: ExportedProgram, entries: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with quiet():
        torch.export.save(program, file, extra_files={ENTRIES_FILE: to_json(entries)})
    return file.getvalue()
