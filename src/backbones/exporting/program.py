"""From a network to a graph that PyTorch can save, and other formats are made of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config

from backbones.errors import WrongUse
from backbones.exporting.form import Deployable, Form
from backbones.spec import InputSpec

_CONFIG: Any = _config


def program_of(network: Deployable, spec: InputSpec) -> ExportedProgram:
    """Trace a network with its preprocessing.

    Args:
        network: in evaluation mode.
        spec: of its input.

    Raises:
        WrongUse: a free height and width were asked for, and the network computes its padding from
            the size.
    """
    form = network.form
    free = dict.fromkeys(form.free_dimensions, Dim.DYNAMIC)
    try:
        # Else a graph that has seen many places refuses sizes that have one.
        with quiet(), _CONFIG.patch(backed_size_oblivious=True):
            return torch.export.export(
                network, (_example(spec, form),), dynamic_shapes=(free,), strict=False
            )
    except Exception as error:
        if not form.dense:
            raise
        raise WrongUse(
            "this network cannot be exported with a free height and width, for it asks for its"
            f" maps' sizes ({' '.join(str(error).split())[:120]}); omit --dense"
        ) from error


def layers_of(program: ExportedProgram, network: Deployable) -> dict[str, str]:
    """The value that is each layer's answer: module path -> value, in the order of computation.

    Layers are modules without parts; what runs twice counts where it ends.
    """
    layers = {path for path, module in network.named_modules() if not any(module.children())}
    last: dict[str, str] = {}
    for node in program.graph.nodes:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if stack and stack[-1][0] in layers:
            last.pop(stack[-1][0], None)
            last[stack[-1][0]] = node.name
    return last


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn of their own future, which no user can change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _example(spec: InputSpec, form: Form) -> Tensor:
    """An input whose sides are all different, and none is 1, which PyTorch would take apart."""
    size = spec.size
    if form.layout == "image":
        height, width = (2 * size, 2 * size + 32) if form.dense else (size + 11, size + 38)
        return torch.zeros(2, height, width, spec.channels, dtype=torch.uint8)
    sides = (2 * size, 2 * size + 32) if form.dense else (size, size)
    dtype = torch.uint8 if form.dtype == "uint8" else torch.float32
    return torch.zeros(2, spec.channels, *sides, dtype=dtype)
