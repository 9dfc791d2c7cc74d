"""ONNX Runtime, in fp32."""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from backbones.compute import Compute
from backbones.engines.sizes import BySize, own_error
from backbones.nn.evaluating import evaluating, finite


class Program:
    """A network as sessions of ONNX Runtime, one for each size of image; see `Engine.build`."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._sessions = BySize()
        self._lock = Lock()

    def __call__(self, network: nn.Module, images: Tensor) -> Tensor:
        pixels = images.contiguous()
        with self._lock:
            session = self._sessions.program_for(
                images, lambda: _session(_exported(network, pixels), self._compute)
            )
            found = session.run(None, {"images": pixels.numpy()})[0]
        return finite(torch.from_numpy(found))


def _exported(network: nn.Module, images: Tensor) -> bytes:
    """An ONNX graph of the network, for any number of images of this size."""
    example = images[:1].repeat(2, 1, 1, 1)  # an export takes a size of 1 for a constant
    with evaluating(network), own_error(network, images), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            verbose=False,
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def _session(graph: bytes, compute: Compute) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = compute.threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
