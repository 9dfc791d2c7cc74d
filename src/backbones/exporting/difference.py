"""Where in a network a runtime's answer leaves PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from backbones.exporting.form import Deployable
from backbones.exporting.parity import TOLERANCE
from backbones.exporting.session import Array, Session

_INSIDE = 10 * TOLERANCE
"""Inside a network differences are larger, by the values that cancel out later."""


def first_layer_that_differs(
    session: Session, network: Deployable, layers: Mapping[str, str], fed: Array
) -> str | None:
    """The first layer, in the order of computation, that a runtime answers differently.

    Args:
        session: the runtime.
        network: what was exported.
        layers: module path -> the graph's value, as `program.layers_of` says.
        fed: a batch for the graph.

    Returns:
        The module's path and kind; None where all that the runtime has kept agree.
    """
    expected = _answers(network, torch.from_numpy(fed))
    found = session.values(fed, list(layers.values()))
    for path, value in layers.items():
        if value not in found or path not in expected:
            continue  # fused with a later layer
        ours, theirs = expected[path].numpy(), found[value]
        if ours.shape == theirs.shape and not _close(ours, theirs):
            kind = type(network.get_submodule(path)).__name__
            return f"{path.removeprefix('network.')} ({kind})"
    return None


def _close(ours: Array, theirs: Array) -> bool:
    apart = np.abs(ours.astype(np.float64) - theirs).max(initial=0)
    return bool(apart <= _INSIDE * max(np.abs(ours).max(initial=0), 1e-30))


def _answers(network: Deployable, images: Tensor) -> dict[str, Tensor]:
    """What each layer gives in PyTorch."""
    found: dict[str, Tensor] = {}

    def keep(path: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, __: object, answer: object) -> None:
            if isinstance(answer, Tensor):
                found[path] = answer.detach().clone()  # a ReLU in place would change it

        return module.register_forward_hook(hook)

    handles = [keep(path, each) for path, each in network.named_modules() if path]
    try:
        with torch.no_grad():
            network(images)
    finally:
        for each in handles:
            each.remove()
    return found
