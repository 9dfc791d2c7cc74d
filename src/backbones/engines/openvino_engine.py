"""OpenVINO: a network is converted once, and compiled for each size of image that it sees.

The precision is always set: left alone, OpenVINO takes bf16 where the processor has units for it.
"""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from backbones.compute import Compute
from backbones.engines.kept import kept_model
from backbones.engines.sizes import BySize, own_error
from backbones.nn.evaluating import evaluating, finite

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class Program:
    """A network as programs of OpenVINO, one for each size of image; see `Engine.build`."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._model: Any = None
        self._programs = BySize()
        self._lock = Lock()

    def __call__(self, network: nn.Module, images: Tensor) -> Tensor:
        rows = images.permute(0, 2, 3, 1).contiguous()
        with self._lock:  # one answer at a time: all cores work on it
            program = self._programs.program_for(images, lambda: self._built(network, images))
            found = program(rows.numpy(), share_inputs=True)[0]
        return finite(torch.from_numpy(found))

    def _built(self, network: nn.Module, images: Tensor) -> Any:
        if self._model is None:
            self._model = kept_model(network, lambda: converted(network, images))
        return _compiled(self._model, tuple(images.shape[1:]), self._compute)


def converted(network: nn.Module, images: Tensor) -> Any:
    """The network's graph of OpenVINO: images in, logits out; it shares the network's weights.

    `openvino.convert_model` would do the same and report to its makers that it did, unless the
    user has forbidden it; its parts report nothing.

    Args:
        network: in any mode; it is traced in evaluation mode.
        images: (N, C, H, W), normalised; an example.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with evaluating(network), own_error(network, images), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, about sizes that are numbers in the graph
        decoder = TorchScriptPythonDecoder(network, example_input=(images[:1].contiguous(),))
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))


def _compiled(model: Any, size: tuple[int, ...], compute: Compute) -> Any:
    """A program for images (N, H, W, C) of one size."""
    import openvino
    from openvino.preprocess import PrePostProcessor

    sized = model.clone()
    sized.reshape([-1, *size])
    prepared = PrePostProcessor(sized)
    prepared.input().tensor().set_layout(openvino.Layout("NHWC"))
    prepared.input().model().set_layout(openvino.Layout("NCHW"))
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[compute.precision],
        "EXECUTION_MODE_HINT": "ACCURACY" if compute.precision == "fp32" else "PERFORMANCE",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": compute.threads,
    }
    return openvino.Core().compile_model(prepared.build(), "CPU", settings)
