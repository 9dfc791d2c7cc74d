"""Find a layer by name, and watch what it gives while a network answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.nn.auxiliary import WithAuxiliary, main_logits
from backbones.nn.evaluating import evaluating, finite
from backbones.nn.naming import module_path


def find_layer(network: nn.Module, name: str | None = None) -> str:
    """The module path of a layer.

    Args:
        network: any.
        name: a module path, or what the paper calls the layer; the one that the family declares
            for class-activation maps (`cam_layer`) where None.

    Raises:
        NotFound: no such layer; names the nearest.
        WrongUse: no name, and the network declares no layer.

    Example:
        >>> from backbones.models import build
        >>> find_layer(build("lenet5")), find_layer(build("vgg_tiny"), "maxpool 5")
        ('c3', 'features.19')
    """
    own: Any = network
    if name is None:
        declared = getattr(own, "cam_layer", None)
        if not isinstance(declared, str):
            raise WrongUse(
                f"{type(network).__name__} does not say which layer its maps are taken from; name"
                f" one, such as {_last_of(network)!r}"
            )
        name = declared
    return module_path(network, name)


def _last_of(network: nn.Module) -> str:
    """A layer to propose: the last convolution."""
    paths = [path for path, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    return paths[-1] if paths else "features"


@dataclass(frozen=True)
class Watched:
    """What one pass gave.

    Args:
        maps: of the layer, in its last call; a leaf of the graph where gradients are wanted.
        logits: of the main head.

    Shapes: maps (N, C, h, w), logits (N, classes).
    """

    maps: Tensor
    logits: Tensor


@contextmanager
def watched(
    network: nn.Module, images: Tensor, layer: str, *, gradients: bool = False
) -> Iterator[Watched]:
    """Run a network in evaluation mode and keep what a layer gives; every mode is as it was after.

    The layer's maps are kept as they are at its end, even if what follows changes them in place.
    A graph is built from there on only: what comes before costs no more than a plain answer, and
    no parameter is touched.

    Args:
        network: any whose answer is a tensor of logits.
        images: (N, channels, H, W).
        layer: its module path.
        gradients: build the graph from the layer to the logits.

    Raises:
        WrongUse: the layer does not run, or gives no maps (N, C, h, w); or the network's answer is
            no (N, classes).
        NotFinite: the answer to an image is no number.
    """
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> Tensor | None:
        _check_maps(layer, output)
        # A copy: whoever else holds the output (a shortcut, an in-place ReLU) may change it.
        maps: Tensor = output.detach().clone()
        kept[:] = [maps]
        if not gradients:
            return None
        torch.set_grad_enabled(True)
        return maps.requires_grad_().clone()

    handle = network.get_submodule(layer).register_forward_hook(keep)
    weight = next(network.parameters(), None)
    device = images.device if weight is None else weight.device
    try:
        # What `inference_mode` makes cannot be differentiated.
        with torch.inference_mode(False), evaluating(network):
            answer = network(images.to(device))
            if not kept:
                raise WrongUse(
                    f"the layer {layer} does not run when the network answers; choose another"
                )
            yield Watched(kept[0], _logits(answer))
    finally:
        handle.remove()


def _check_maps(layer: str, output: Any) -> None:
    if not isinstance(output, Tensor) or output.dim() != 4:
        what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise WrongUse(
            f"the layer {layer} gives {what}, expected maps (N, C, h, w); choose a layer before"
            " the maps are flattened"
        )


def _logits(answer: Any) -> Tensor:
    if isinstance(answer, WithAuxiliary):
        answer = main_logits(answer)
    if not isinstance(answer, Tensor) or answer.dim() != 2:
        what = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise WrongUse(f"the network answers {what}, expected logits (N, classes)")
    return finite(answer)
