"""ONNX files: one file with everything inside, for ONNX Runtime, OpenVINO and many others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from backbones.errors import BadWeights, MissingExtra, WrongUse
from backbones.exporting.description import Description
from backbones.exporting.form import INPUT, Deployable, Form
from backbones.exporting.openvino_model import OpenVinoSession, read_graph
from backbones.exporting.program import layers_of, quiet
from backbones.exporting.session import Array, Session
from backbones.files import write_atomic

try:
    import onnxruntime
except ImportError:
    raise MissingExtra("onnxruntime", "export", "the format onnx") from None

_MOST_BYTES = 2**31 - 1  # of one protobuf message
_ERRORS_ONLY = 3


class OnnxModel:
    """A network as ONNX.

    Args:
        data: the file's content.
        program: what it was made from.
    """

    def __init__(self, data: bytes, program: ExportedProgram | None = None) -> None:
        self.data, self._program = data, program

    @classmethod
    def of(cls, program: ExportedProgram, form: Form) -> OnnxModel:
        """Translate a graph.

        Raises:
            MissingExtra: `onnxscript` is absent.
            WrongUse: its weights are more than one file can hold.
        """
        _onnx()
        num_bytes = sum(each.nbytes for each in program.state_dict.values())
        if num_bytes > _MOST_BYTES:
            raise WrongUse(
                f"the weights take {num_bytes:,} bytes and an ONNX file holds {_MOST_BYTES:,};"
                " use --to pt2"
            )
        with quiet():
            made = torch.onnx.export(
                program,
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=[INPUT],
                output_names=list(form.outputs),
            )
        assert made is not None  # with dynamo there is one
        return cls(made.model_proto.SerializeToString(), made.exported_program)

    @classmethod
    def read(cls, path: Path) -> OnnxModel:
        """Read a file.

        Raises:
            BadWeights: it is not a whole ONNX file.
        """
        found = cls(path.read_bytes())
        try:
            found.session  # noqa: B018 - reads it
        except Exception as error:  # of ONNX Runtime's own kinds
            raise BadWeights(
                f"{path} is not a whole ONNX file ({' '.join(str(error).split())[:120]})"
            ) from error
        return found

    @property
    def entries(self) -> dict[str, str]:
        """Its `metadata_props`."""
        return self.session.entries

    def layers(self, network: Deployable) -> dict[str, str]:
        """Values have the names that the exporter gave them."""
        return {} if self._program is None else layers_of(self._program, network)

    def describe(self, description: Description) -> None:
        """Put a description in the place of these."""
        onnx = _onnx()
        proto = onnx.load_from_string(self.data)
        onnx.helper.set_model_props(proto, description.to_entries())
        self.data = proto.SerializeToString()
        vars(self).pop("session", None)

    @cached_property
    def session(self) -> OnnxSession:
        """ONNX Runtime."""
        return OnnxSession(self.data)

    def sessions(self) -> tuple[Session, ...]:
        """ONNX Runtime, and OpenVINO, which reads the same file."""
        return self.session, OpenVinoSession(read_graph(self.data))

    def save(self, path: Path) -> int:
        """Write the file, whole or not at all; gives its bytes."""
        write_atomic(path, self.data)
        return len(self.data)


class OnnxSession:
    """A network in ONNX Runtime, on the CPU, with as many threads as PyTorch has.

    Args:
        data: of the file.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._session = data, _started(data)
        self.runtime = f"onnxruntime {onnxruntime.__version__}"

    @property
    def entries(self) -> dict[str, str]:
        """The file's `metadata_props`."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, images: Array) -> dict[str, Array]:
        names = [each.name for each in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, self._fed(images)), strict=True))

    def values(self, images: Array, names: Sequence[str]) -> dict[str, Array]:
        onnx = _onnx()
        proto = onnx.load_from_string(self._data)
        there = {name for node in proto.graph.node for name in node.output}
        wanted = [name for name in names if name in there]
        del proto.graph.output[:]
        proto.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, wanted))
        found = _started(proto.SerializeToString()).run(wanted, self._fed(images))
        return dict(zip(wanted, found, strict=True))

    def _fed(self, images: Array) -> dict[str, Array]:
        return {self._session.get_inputs()[0].name: images}


def _started(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _onnx() -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise MissingExtra(error.name or "onnx", "export", "the format onnx") from None
    return onnx
