"""Class-activation maps: a class's share in the last maps of a network.

Reference:
    CAM: Zhou, Khosla, Lapedriza, Oliva & Torralba (2016), Learning Deep Features for Discriminative
    Localization, arXiv:1512.04150, section 2. Grad-CAM: Selvaraju, Cogswell, Das, Vedantam, Parikh
    & Batra (2017), Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization, arXiv:1610.02391, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.explanation.layers import Watched, find_layer, watched
from backbones.explanation.maps import Maps, Targets, chosen

_TOLERANCE = 1e-3  # of the largest logit; float32 sums in another order differ by 1e-6


def grad_cam(
    network: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    layer: str | None = None,
    positive: bool = True,
) -> Maps:
    """Grad-CAM: the maps of a layer, each weighed by the mean gradient of the class's logit.

    Works for every network whose answer depends on maps. Neither its mode nor its gradients nor
    its parameters change.

    Args:
        network: any.
        images: as the network wants them.
        targets: classes, see `Targets`; the likeliest of each image where None.
        layer: see `find_layer`; the one that the family declares where None.
        positive: keep what speaks for the class only (equation 2); else the sum as it is.

    Shapes: images (N, channels, H, W); the layer's maps (N, C, h, w) -> values (N, K, h, w).

    Raises:
        NotFound: no such layer or class.
        WrongUse: the layer gives no maps, or nothing of it reaches the answer.

    Reference: Selvaraju et al. (2017), equations 1 and 2.

    Example:
        >>> from backbones.models import build
        >>> grad_cam(build("lenet5", seed=0), torch.zeros(2, 1, 32, 32), [3, 8]).values.shape
        torch.Size([2, 2, 10, 10])
    """
    path = find_layer(network, layer)
    with watched(network, images, path, gradients=True) as seen, torch.enable_grad():
        classes = chosen(targets, seen.logits)
        weights = [each.mean(dim=(2, 3)) for each in _gradients(seen, classes, path)]
    return _weighed(seen, classes, torch.stack(weights, dim=1), positive)


def cam(
    network: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    layer: str | None = None,
    positive: bool = False,
) -> Maps:
    """CAM: the averaged maps of a layer, each weighed by its weight in the class's logit.

    For networks whose logits are a weighted sum of the maps' averages, or the averages themselves
    (Network in Network). This is checked with the images at hand. A map's mean, plus the class's
    bias, is the logit.

    Args:
        network: any.
        images: as the network wants them.
        targets: classes, see `Targets`; the likeliest of each image where None.
        layer: see `find_layer`; the one that the family declares where None.
        positive: keep what speaks for the class only.

    Shapes: images (N, channels, H, W); the layer's maps (N, C, h, w) -> values (N, K, h, w).

    Raises:
        NotFound: no such layer or class.
        WrongUse: the network's logits are no weighted sum of the layer's averages.

    Reference: Zhou et al. (2016), equations 1 and 2.

    Example:
        >>> from backbones.models import build
        >>> found = cam(build("resnet_tiny", seed=0), torch.ones(1, 3, 64, 64))
        >>> found.values.shape
        torch.Size([1, 1, 8, 8])
    """
    path = find_layer(network, layer)
    with watched(network, images, path) as seen:
        classes = chosen(targets, seen.logits)
        weights = _class_weights(network, seen)
        if weights is None:
            raise WrongUse(
                f"CAM needs logits that are a weighted sum of the averaged maps of {path}, and"
                f" those of {type(network).__name__} are not; use grad_cam"
            )
        return _weighed(seen, classes, weights[classes], positive)


def _gradients(seen: Watched, classes: Tensor, path: str) -> Iterator[Tensor]:
    """Of each wanted class's logits by the maps; images do not mix in evaluation mode."""
    if not seen.logits.requires_grad:
        raise WrongUse(f"nothing of the layer {path} reaches the answer; choose another layer")
    last = classes.shape[1] - 1
    for place, each in enumerate(classes.T):
        score = seen.logits.gather(1, each[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, seen.maps, retain_graph=place < last)
        yield gradient


def _weighed(seen: Watched, classes: Tensor, weights: Tensor, positive: bool) -> Maps:
    """The sum of the maps (N, C, h, w), weighed by (N, K, C)."""
    with torch.no_grad():
        values = torch.einsum("nkc,nchw->nkhw", weights.float(), seen.maps.detach().float())
        return Maps(values.relu() if positive else values, classes, seen.logits.detach())


def _class_weights(network: nn.Module, seen: Watched) -> Tensor | None:
    """(classes, C): with these weights the averages give the logits; None where none do."""
    averages, logits = seen.maps.float().mean(dim=(2, 3)), seen.logits.float()
    num_maps, num_classes = averages.shape[1], logits.shape[1]
    limit = _TOLERANCE * max(1.0, float(logits.abs().max()))
    for weight, bias in _linear_layers(network):
        if weight.shape == (num_classes, num_maps):
            offset = 0.0 if bias is None else bias.float()
            answered = averages @ weight.float().T + offset
            if float((answered - logits).abs().max()) <= limit:
                return weight
    if num_maps == num_classes and float((averages - logits).abs().max()) <= limit:
        return torch.eye(num_classes, device=averages.device)
    return None


def _linear_layers(network: nn.Module) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Weights (out, in) and biases of the fully connected layers and 1x1 convolutions, last first.

    A 1x1 convolution before the average is the same as a fully connected layer after it.
    """
    for layer in reversed(list(network.modules())):
        if isinstance(layer, nn.Linear):
            yield layer.weight, layer.bias
        elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.groups == 1:
            yield layer.weight.flatten(1), layer.bias
