"""OpenVINO folders: `model.xml` and `model.bin`, with Model API's account of the network inside."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram

from backbones.errors import BadWeights, MissingExtra
from backbones.exporting.description import Description
from backbones.exporting.form import Deployable, Form
from backbones.exporting.session import Array, Session

if TYPE_CHECKING:
    from backbones.exporting.onnx_model import OnnxModel

try:
    import openvino
except ImportError:
    raise MissingExtra("openvino", "export", "the format openvino") from None

GRAPH, NUMBERS = "model.xml", "model.bin"
_OURS, _MODEL_API = "backbones", "model_info"


class OpenVinoModel:
    """A network as OpenVINO's intermediate representation.

    Args:
        graph: an `openvino.Model`.
        origin: the ONNX that it was translated from, whose names its values keep.

    What is put in `beside` is written into the folder too: for people, by file name.
    """

    def __init__(self, graph: Any, origin: OnnxModel | None = None) -> None:
        self.graph, self.origin = graph, origin
        self.beside: dict[str, bytes] = {}

    @classmethod
    def of(cls, program: ExportedProgram, form: Form) -> OpenVinoModel:
        """Translate a graph, by way of ONNX, whose resize it shares."""
        from backbones.exporting.onnx_model import OnnxModel

        origin = OnnxModel.of(program, form)
        graph = read_graph(origin.data)
        layout = "NHWC" if form.layout == "image" else "NCHW"
        graph.inputs[0].get_node().set_layout(openvino.Layout(layout))
        return cls(graph, origin)

    @classmethod
    def read(cls, path: Path) -> OpenVinoModel:
        """Read a folder.

        Raises:
            BadWeights: it does not hold a whole graph.
        """
        return cls(read_graph(path / GRAPH))

    @property
    def entries(self) -> dict[str, str]:
        """What `describe` has written."""
        if not self.graph.has_rt_info([_OURS]):
            return {}
        return {name: value.astype(str) for name, value in self.graph.rt_info[_OURS].items()}

    def layers(self, network: Deployable) -> dict[str, str]:
        """Values have the names that they had in ONNX."""
        return {} if self.origin is None else self.origin.layers(network)

    def describe(self, description: Description) -> None:
        """Put a description in the place of these, and what Model API reads beside them."""
        for name, text in description.to_entries().items():
            self.graph.set_rt_info(text, [_OURS, name])
        for name, text in description.model_api_entries().items():
            self.graph.set_rt_info(text, [_MODEL_API, name])

    @cached_property
    def session(self) -> OpenVinoSession:
        """OpenVINO."""
        return OpenVinoSession(self.graph)

    def sessions(self) -> tuple[Session, ...]:
        """OpenVINO alone reads it."""
        return (self.session,)

    def write_graph(self, folder: Path) -> int:
        """Write the two files of the graph into a folder; gives their bytes."""
        openvino.save_model(self.graph, folder / GRAPH, compress_to_fp16=False)
        return sum((folder / name).stat().st_size for name in (GRAPH, NUMBERS))

    def num_bytes(self) -> int:
        """How large the graph's files are."""
        with tempfile.TemporaryDirectory() as folder:
            return self.write_graph(Path(folder))

    def save(self, path: Path) -> int:
        """Write the folder, whole or not at all; gives the bytes of the graph's files."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".backbones-", dir=path.parent) as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()
            num_bytes = self.write_graph(new)
            for name, data in self.beside.items():
                (new / name).write_bytes(data)
            if path.exists():
                shutil.move(path, old)
            new.replace(path)
        return num_bytes


class OpenVinoSession:
    """A network in OpenVINO, on the CPU in single precision, with as many threads as PyTorch has.

    Without the hint a machine with bf16 units answers in bf16.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._compiled = _compiled(graph)
        self.runtime = f"openvino {openvino.__version__.partition('-')[0]}"

    def run(self, images: Array) -> dict[str, Array]:
        return _asked(self._compiled, images)

    def values(self, images: Array, names: Sequence[str]) -> dict[str, Array]:
        wider = self._graph.clone()
        there = {name for each in wider.get_ops() for out in each.outputs() for name in out.names}
        outputs = {name for output in wider.outputs for name in output.names}
        wider.add_outputs([name for name in names if name in there - outputs])
        found = _asked(_compiled(wider), images)
        return {name: found[name] for name in names if name in found}


def read_graph(source: bytes | Path, numbers: bytes = b"") -> Any:
    """A graph of a file, or of the bytes of one.

    Args:
        source: a file, the bytes of an ONNX file, or those of `model.xml`.
        numbers: the bytes of `model.bin` that belong to `model.xml`.

    Raises:
        BadWeights: it is not a whole graph.
    """
    try:
        if isinstance(source, bytes):
            return openvino.Core().read_model(model=source, weights=numbers)
        return openvino.Core().read_model(source)
    except RuntimeError as error:
        called = "the graph" if isinstance(source, bytes) else source
        raise BadWeights(
            f"{called} cannot be read by OpenVINO ({' '.join(str(error).split())[:160]})"
        ) from error


def _compiled(graph: Any) -> Any:
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return openvino.Core().compile_model(graph, "CPU", hints)


def _asked(compiled: Any, images: Array) -> dict[str, Array]:
    found = compiled([images])
    return {name: found[output] for output in compiled.outputs for name in output.names}
