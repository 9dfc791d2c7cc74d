"""Where the cells of a layer's map lie on what the network sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.nn.evaluating import evaluating
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec

# Divisible by every usual stride, 1 to 6, 8, 10, 12, 16, 20, 24 and 32: a map grows by a whole
# number of cells, wherever sizes are rounded.
_LARGER_PX = 480


def share_of(network: nn.Module, layer: str, spec: InputSpec) -> float:
    """How much of the image's side the cells of a layer's map take, around its middle.

    A padded network's cells cover the image: 7 of 32 px are 224 px. One without padding has
    cells in the middle only: those of LeNet-5's C3, 10 of 2 px, lie 6 px from each edge, since a
    unit's field has to fit in. How far apart they are is read from how the map grows with the
    image, on shapes alone.

    Args:
        network: any.
        layer: its module path.
        spec: names the size and channels of the images.

    Returns:
        1 where it cannot be told, as the papers have it: the map is spread over the whole image.

    Example:
        >>> from backbones.models import build
        >>> spec = InputSpec(32, 32, 1, (0.5,), (0.5,))
        >>> share_of(build("lenet5"), "c3", spec), share_of(build("resnet_tiny"), "layer2",
        ...     InputSpec(32, 32))
        (0.625, 1.0)
    """
    side = _map_side(network, layer, spec, spec.size)
    larger = _map_side(network, layer, spec, spec.size + _LARGER_PX)
    if side is None or larger is None or larger <= side:
        return 1.0
    return side * _LARGER_PX / (larger - side) / spec.size


class _Reached(Exception):
    """Ends a pass at the layer.

    Args:
        side: width of its map.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side


class _Anywhere(nn.Module):
    """A network, or else its features alone where it refuses images of another size."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        try:
            return self.network(x)
        except WrongUse:
            features: Any = self.network.features
            return features(x)


def _map_side(network: nn.Module, layer: str, spec: InputSpec, size: int) -> int | None:
    """The width of a layer's map of an image of `size` px; no numbers are computed."""

    def stop(_: nn.Module, __: Any, output: Any) -> None:
        raise _Reached(int(output.shape[-1]))

    whole = _Anywhere(network)
    state = {
        name: torch.empty_like(tensor, device="meta")
        for name, tensor in (*whole.named_parameters(), *whole.named_buffers())
    }
    handle = network.get_submodule(layer).register_forward_hook(stop)
    try:
        with torch.inference_mode(False), evaluating(network), ShapesOnly():
            image = torch.empty(1, spec.channels, size, size, device="meta")
            torch.func.functional_call(whole, state, (image,))
    except _Reached as reached:
        return reached.side
    except Exception:  # somebody's module may not run on shapes alone, and for any reason
        return None
    finally:
        handle.remove()
    return None
