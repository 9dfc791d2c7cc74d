"""How far one image is from another, in the eyes of a network.

Content is what deep layers see where they see it; style is which of a layer's maps occur together,
wherever that is. Both are read at taps, from images in 0..1 that are normalised as the weights in
use want it.

Gatys, Ecker & Bethge, Image Style Transfer Using Convolutional Neural Networks, CVPR 2016, section
2; Johnson, Alahi & Fei-Fei, Perceptual Losses for Real-Time Style Transfer, ECCV 2016, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.features.taps import tap
from backbones.spec import InputSpec

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode L


def perceptual_loss(
    network: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    targets: Tensor,
    spec: InputSpec | None = None,
) -> Tensor:
    """How different two batches of images look to a network.

    The mean squared difference at each layer, averaged over the layers. Gradients flow to
    `images` and to the network's weights; freeze those, and call `network.eval()`, where the loss
    trains something else.

    Args:
        network: any module; see `tap`.
        layers: names of the points, such as "relu2_2".
        images, targets: colours in 0..1; see `normalised`.
        spec: how the network's weights want their images; ImageNet's mean and standard deviation
            where None.

    Shapes: (N, C, H, W), twice -> ().

    Raises:
        NotFound: the network has no such layer; names the nearest.
        WrongUse: no layers, or images of different shapes.

    Example:
        >>> from backbones.models import build
        >>> network = build("vgg_tiny", seed=0).eval()
        >>> image = torch.rand(1, 3, 32, 32)
        >>> perceptual_loss(network, ["relu2_1"], image, image).item()
        0.0

    Reference: Johnson et al. (2016), section 3.2, "feature reconstruction loss".
    """
    if images.shape != targets.shape:
        raise WrongUse(
            f"perceptual_loss got images {tuple(images.shape)} and targets"
            f" {tuple(targets.shape)}; expected equal shapes, so resize one of them"
        )
    taps = tap(network, layers)
    found, wanted = taps(normalised(images, spec)), taps(normalised(targets, spec))
    each = [F.mse_loss(found[name], wanted[name]) for name in wanted]
    return torch.stack(each).mean()


def normalised(images: Tensor, spec: InputSpec | None = None) -> Tensor:
    """What a network's weights want to see: (x - mean) / std, colours greyed for a grey network.

    Args:
        images: colours in 0..1.
        spec: of the weights; ImageNet's mean and standard deviation where None.

    Shapes: (N, 3 or spec.channels, H, W) -> (N, spec.channels, H, W).

    Raises:
        WrongUse: another number of channels.

    Example:
        >>> normalised(torch.full((1, 1, 1, 1), 0.75), InputSpec(32, 32, 1, (0.5,), (0.25,))).item()
        1.0
    """
    spec = spec or InputSpec(224, 256)
    if images.dim() == 4 and images.shape[1] == 3 and spec.channels == 1:
        images = (images * images.new_tensor(_GREY).view(3, 1, 1)).sum(1, keepdim=True)
    if images.dim() != 4 or images.shape[1] != spec.channels:
        raise WrongUse(
            f"got images of shape {tuple(images.shape)}, expected (N, {spec.channels}, H, W)"
            " with colours in 0..1"
        )
    mean, std = (images.new_tensor(each).view(-1, 1, 1) for each in (spec.mean, spec.std))
    return (images - mean) / std


def gram(maps: Tensor) -> Tensor:
    """Which maps are active together: the mean over all places of the product of every two maps.

    Shapes: (N, C, H, W) -> (N, C, C).

    Deviation: the paper sums over the M places, and divides the loss by M^2; the mean lets images
        of different sizes be compared.

    Example:
        >>> gram(torch.tensor([1.0, 2.0, 0.0, 3.0]).view(1, 2, 1, 2)).tolist()
        [[[2.5, 3.0], [3.0, 4.5]]]
    """
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def style_loss(maps: Tensor, target: Tensor) -> Tensor:
    """How far a layer's Gram matrix is from another one's: sum (G - A)^2 / (4 C^2).

    Args:
        maps: of a layer.
        target: `gram` of the same layer for the image whose style is wanted.

    Shapes: (N, C, H, W), (N or 1, C, C) -> (), the mean over the batch.

    Reference: Gatys et al. (2016), equation 4.
    """
    difference = gram(maps) - target
    return difference.square().sum(dim=(1, 2)).mean() / (4 * maps.shape[1] ** 2)


def total_variation(images: Tensor) -> Tensor:
    """How rough images are: the absolute differences of neighbours, a pixel and channel.

    Shapes: (N, C, H, W) -> ().

    Reference: Johnson et al. (2016), section 3.2, after Mahendran & Vedaldi (2015) with beta = 1.

    Example:
        >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).item()  # 2 steps, 4 pixels
        0.5
    """
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().sum()
    across = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().sum()
    return (down + across) / images.numel()
