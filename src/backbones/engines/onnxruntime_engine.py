"""ONNX Runtime, in fp32."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from backbones.compute import Compute
from backbones.nn.evaluating import evaluating, finite

SIZES_KEPT = 4
"""Sessions that are kept; one more size of image takes the place of the oldest."""


class Program:
    """A network as sessions of ONNX Runtime, one for each size of image; see `Engine.build`."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._sessions: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = Lock()

    def __call__(self, network: nn.Module, images: Tensor) -> Tensor:
        pixels = images.contiguous()
        with self._lock:
            found = self._session_for(network, pixels).run(None, {"images": pixels.numpy()})[0]
        return finite(torch.from_numpy(found))

    def _session_for(self, network: nn.Module, images: Tensor) -> Any:
        """The session for images of this size, of any number."""
        size = tuple(images.shape[1:])
        if size not in self._sessions:
            while len(self._sessions) >= SIZES_KEPT:
                self._sessions.popitem(last=False)
            self._sessions[size] = _session(_exported(network, images), self._compute)
        self._sessions.move_to_end(size)
        return self._sessions[size]


def _exported(network: nn.Module, images: Tensor) -> bytes:
    """An ONNX graph of the network, for any number of images of this size."""
    example = images[:1].repeat(2, 1, 1, 1)  # an export takes a size of 1 for a constant
    with evaluating(network), warnings.catch_warnings():
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
