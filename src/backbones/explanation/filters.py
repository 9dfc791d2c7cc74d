"""The first layer's filters, and the maps of any layer, as they are."""

from __future__ import annotations

from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.explanation.layers import find_layer, watched
from backbones.nn.evaluating import finite


def first_filters(network: nn.Module) -> tuple[str, Tensor]:
    """The weights of the first convolution, in the order of the modules, that sees images.

    Args:
        network: any.

    Shapes: (maps, channels, kernel height, kernel width).

    Returns:
        the layer's module path, and a copy of its weights.

    Raises:
        WrongUse: the network has no convolution.

    Reference: Krizhevsky et al. (2012), figure 3; Zeiler & Fergus (2014), figure 5.

    Example:
        >>> from backbones.models import build
        >>> path, filters = first_filters(build("lenet5"))
        >>> path, tuple(filters.shape)
        ('c1', (6, 1, 5, 5))
    """
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            return path, layer.weight.detach().cpu().clone()
    raise WrongUse(f"{type(network).__name__} has no convolution, and so no filters to show")


def feature_maps(network: nn.Module, images: Tensor, layer: str | None = None) -> Tensor:
    """What a layer makes of images.

    Args:
        network: any; runs in evaluation mode, and is in its own mode afterwards.
        images: as the network wants them.
        layer: see `find_layer`.

    Shapes: (N, channels, H, W) -> (N, C, h, w).

    Raises:
        NotFound: no such layer.
        WrongUse: the layer gives no maps.

    Example:
        >>> import torch
        >>> from backbones.models import build
        >>> feature_maps(build("lenet5"), torch.zeros(1, 1, 32, 32), "c1").shape
        torch.Size([1, 6, 28, 28])
    """
    with watched(network, images, find_layer(network, layer)) as seen:
        return finite(seen.maps).cpu()
