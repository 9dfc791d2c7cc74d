"""The table of formats that networks are exported to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from torch.export import ExportedProgram

from backbones.errors import NotFound, WrongUse, nearest
from backbones.exporting.description import Description
from backbones.exporting.form import Deployable, Form
from backbones.exporting.session import Session
from backbones.weights.sealed import GRAPH_KEY, begins_as


class Model(Protocol):
    """A network in a format."""

    @property
    def entries(self) -> dict[str, str]:
        """The description that is inside, as `Description.to_entries` wrote it; or nothing."""

    def layers(self, network: Deployable) -> dict[str, str]:
        """The value that is each layer's answer: module path -> value, in order."""

    def describe(self, description: Description) -> None:
        """Put a description inside."""

    @property
    def session(self) -> Session:
        """The format's own runtime."""

    def sessions(self) -> Sequence[Session]:
        """Every runtime that reads the format."""

    def save(self, path: Path) -> int:
        """Write it, whole or not at all; gives the bytes."""


@dataclass(frozen=True)
class Target:
    """A format.

    Args:
        name: what `--to` calls it.
        summary: what it is, in a few words.
        suffix: of its files; empty where it is a folder.
        home: the module and the class that are it.
        runtime: the package that answers when a file is opened as a bundle.
        runs_code: whether reading a file can run what somebody has put into it.
        fixed: whether its graphs take one image of one size at a time.
    """

    name: str
    summary: str
    suffix: str
    home: str
    runtime: str
    runs_code: bool = False
    fixed: bool = False

    def make(self, program: ExportedProgram, form: Form) -> Model:
        """A graph in this format.

        Raises:
            MissingExtra: a library is absent.
        """
        model: Model = self._kind().of(program, form)
        return model

    def read(self, path: Path) -> Model:
        """A file or folder of this format.

        Raises:
            MissingExtra: a library is absent.
            BadWeights: the file is damaged.
        """
        model: Model = self._kind().read(path)
        return model

    def refuse_form(self, form: Form) -> None:
        """Tell before any work that the format has no such graphs.

        Raises:
            WrongUse: the height and width are free, and the format's are fixed.
        """
        if self.fixed and (form.dense or form.layout == "image"):
            raise WrongUse(
                f"{self.name} takes crops of one size, made outside; add --layout tensor"
                + (" and omit --dense" if form.dense else "")
            )

    def refuse_place(self, out: Path) -> None:
        """Tell before any work that something cannot be written.

        Raises:
            WrongUse: the name does not suit the format, something else is there, or nothing can
                be written there.
        """
        if self.suffix and (out.suffix != self.suffix or out.is_dir()):
            raise WrongUse(
                f"{self.name} writes a file that ends in {self.suffix}; name one, not {out}"
            )
        if not self.suffix and out.suffix in (".xml", ".bin", ".onnx", ".pt2", ".tflite"):
            raise WrongUse(f"{self.name} writes a folder with two files; name one, not {out}")
        taken = not self.suffix and out.exists() and target_of(out) is not self
        if taken and not (out.is_dir() and not any(out.iterdir())):
            raise WrongUse(f"{out} is there and holds something else; name a new folder")
        folder = next(each for each in out.absolute().parents if each.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise WrongUse(f"{out} cannot be written: {folder} is no folder that you may write to")

    def _kind(self) -> Any:
        module, _, name = self.home.partition(":")
        return getattr(import_module(f"backbones.exporting.{module}"), name)


SUFFIX = ".safetensors"
"""Of a graph in one file, which bundles have too."""

TARGETS = (
    Target(
        "onnx",
        "one file for ONNX Runtime, OpenVINO, TensorRT",
        ".onnx",
        "onnx_model:OnnxModel",
        "onnxruntime",
    ),
    Target("openvino", "a folder for OpenVINO", "", "openvino_model:OpenVinoModel", "openvino"),
    Target("pt2", "one file for PyTorch", ".pt2", "torch_model:TorchModel", "torch", True),
    Target(
        "litert",
        "one file for phones",
        ".tflite",
        "litert_model:LiteRtModel",
        "ai-edge-litert",
        fixed=True,
    ),
    Target(
        "safetensors",
        "one file of this package, with OpenVINO's graph inside",
        SUFFIX,
        "sealed_model:SealedModel",
        "openvino",
    ),
)

GRAPH = "model.xml"
"""The file that tells a folder of OpenVINO."""


def find_target(name: str) -> Target:
    """The format of a name.

    Raises:
        NotFound: there is none; names all.
    """
    for each in TARGETS:
        if each.name == name:
            return each
    names = [each.name for each in TARGETS]
    raise NotFound(f"--to is {name!r}, expected one of {', '.join(names)}." + nearest(name, names))


def target_of(path: Path) -> Target | None:
    """The format of a file or folder, by its name; None where it is no exported network."""
    if path.is_dir():
        return find_target("openvino") if (path / GRAPH).is_file() else None
    if path.suffix == SUFFIX and path.is_file() and not begins_as(path, GRAPH_KEY):
        return None  # a bundle, or somebody's weights
    return next((each for each in TARGETS if each.suffix and each.suffix == path.suffix), None)


def read_exported(path: Path) -> tuple[Model, Description]:
    """An exported network with what it says about itself.

    Raises:
        NotFound: there is none.
        MissingExtra: a library is absent.
        BadWeights: it is damaged, or was not exported by this package.
    """
    target = target_of(path)
    if target is None or not path.exists():
        raise NotFound(
            f"{path} is no exported network; expected a file that ends in"
            f" {' or '.join(each.suffix for each in TARGETS if each.suffix)}, or a folder with"
            f" {GRAPH}"
        )
    model = target.read(path)
    return model, Description.from_entries(model.entries, path)
