"""Multi-scale maps for detection and segmentation: a network's own, and a feature pyramid on them.

Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144. Here: section 3.

Shapes: N images of H x W px; a level of stride s is (N, channels, H/s, W/s), rounded by the
network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.features.taps import Taps
from backbones.features.twin import Versions, on_meta
from backbones.models import Row, build
from backbones.nn.images import check_images

# Two sides whose difference every total stride up to 128 px divides: the ratio of the differences
# is the stride, whatever the layers do at the edges.
STEP_PX = 128
FOREIGN_PX = 224  # side to look at a network whose own side is not known


def as_backbone(
    network: str | Row | nn.Module, out_strides: Sequence[int] = (4, 8, 16, 32)
) -> Backbone:
    """A network as the backbone of a detector or a segmenter: one map for each total stride.

    Args:
        network: a variant's name or a row, which is built with fresh weights and without its head;
            or a network, such as one of `create(..., weights=...)`, which is used as it is.
        out_strides: px of the image per position of the maps, ascending.

    Returns:
        A module from images to a list of maps, with `channels` and `strides` in the same order.
        A level is the output of the last layer of that stride in the network's chain: the blocks
        that its own forward and its `nn.Sequential` parts call one after the other.

    Raises:
        NotFound: no such variant; names the nearest.
        WrongUse: a stride that the network does not have; lists those that it has. Or a network
            whose shapes cannot be followed.

    Example:
        >>> backbone = as_backbone("vgg_tiny", out_strides=(4, 8))
        >>> backbone.channels
        (16, 32)
        >>> [tuple(maps.shape) for maps in backbone(torch.zeros(1, 3, 64, 96))]
        [(1, 16, 16, 24), (1, 32, 8, 12)]
    """
    named = not isinstance(network, nn.Module)
    model: Any = build(network) if not isinstance(network, nn.Module) else network
    levels = _levels(model)
    missing = [stride for stride in out_strides if stride not in levels]
    if missing or not out_strides or list(out_strides) != sorted(set(out_strides)):
        has = ", ".join(str(stride) for stride in sorted(levels))
        who = model.row.name if hasattr(model, "row") else type(model).__name__
        raise WrongUse(
            f"{who} has no maps of stride {', '.join(map(str, missing))} px; it has {has}"
            if missing
            else f"out_strides is {tuple(out_strides)}, expected ascending numbers of {has}"
        )
    if named:
        _behead(model)
    return Backbone(model, [levels[stride] for stride in out_strides])


@dataclass(frozen=True)
class Level:
    """A layer's output as seen on the meta device; its tap ("layer2", "squash@2"), and sizes."""

    point: str
    stride: int
    channels: int


class Backbone(nn.Module):
    """The maps of a network at some of its strides; made by `as_backbone`.

    Args:
        network: whose layers are run, as far as the last level.
        levels: in the order of the answer.

    Shapes: (N, C, H, W) -> a list of (N, channels, h, w), one a level.
    """

    def __init__(self, network: nn.Module, levels: Sequence[Level]) -> None:
        super().__init__()
        self.taps = Taps(network, [level.point for level in levels], _entry(network))
        self.training = network.training
        self.channels = tuple(level.channels for level in levels)
        self.strides = tuple(level.stride for level in levels)

    def extra_repr(self) -> str:
        return f"channels={self.channels}, strides={self.strides}"

    def forward(self, x: Tensor) -> list[Tensor]:
        network: Any = self.taps.model
        if _entry(network):
            check_images(x, network.row.name, network.in_channels, network.row.min_px)
        return list(self.taps(x).values())


class FeaturePyramid(nn.Module):
    """Strong maps at every scale: a path from the smallest map up, joined by the network's own.

    Args:
        backbone: its maps come in; a `Backbone`.
        maps: out, at every level.
        extra: one more level, every other position of the smallest one (footnote 2), for large
            anchors.

    Shapes: (N, C, H, W) -> a list of (N, maps, h, w), one a level, as large as the backbone's.

    Reference: section 3: 1x1 convolutions on the network's maps, nearest neighbours upwards, 3x3
    convolutions on the sums, no non-linearities.

    Deviation: the paper does not say how the convolutions begin; Glorot's uniform, biases zero.

    Example:
        >>> pyramid = FeaturePyramid(as_backbone("vgg_tiny"), maps=8)
        >>> pyramid.channels, pyramid.strides
        ((8, 8, 8, 8), (4, 8, 16, 32))
    """

    def __init__(self, backbone: Backbone, maps: int = 256, *, extra: bool = False) -> None:
        super().__init__()
        self.backbone, self.extra = backbone, extra
        self.lateral = nn.ModuleList(nn.Conv2d(c, maps, 1) for c in backbone.channels)
        self.output = nn.ModuleList(nn.Conv2d(maps, maps, 3, padding=1) for _ in self.lateral)
        more = (2 * backbone.strides[-1],) if extra else ()
        self.strides = (*backbone.strides, *more)
        self.channels = (maps,) * len(self.strides)
        for layer in (*self.lateral, *self.output):
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        own = [layer(f) for layer, f in zip(self.lateral, self.backbone(x), strict=True)]
        for finer in range(len(own) - 2, -1, -1):
            size = own[finer].shape[2:]
            own[finer] = own[finer] + F.interpolate(own[finer + 1], size=size, mode="nearest")
        levels = [layer(f) for layer, f in zip(self.output, own, strict=True)]
        return [*levels, F.max_pool2d(levels[-1], 1, stride=2)] if self.extra else levels


def _entry(network: nn.Module) -> str | None:
    """What to call: networks of this package have `features`, which leaves all heads out."""
    return "features" if hasattr(network, "row") and hasattr(network, "features") else None


def _levels(network: Any) -> dict[int, Level]:
    """The last layer of each stride, by what the shapes do when the image grows."""
    own = _entry(network)
    side = network.row.input_px if own else FOREIGN_PX
    smaller, larger = (_outputs(network, side + extra) for extra in (STEP_PX, 2 * STEP_PX))
    found: dict[int, Level] = {}
    for point, shape in smaller.items():
        grown = larger.get(point, ())
        if len(shape) != 4 or len(grown) != 4:
            continue
        height, width = (b - a for a, b in zip(shape[2:], grown[2:], strict=True))
        if height == width and height > 0 and STEP_PX % height == 0:
            found[STEP_PX // height] = Level(point, STEP_PX // height, shape[1])
    if not found:
        raise WrongUse(f"{type(network).__name__} has no maps that grow with the image")
    return found


def _outputs(network: Any, side: int) -> dict[str, tuple[int, ...]]:
    """Shapes of what the layers of the chain give for one image, in order, by tap."""
    twin: Any = on_meta(network).eval()
    entry = _entry(network)
    calls: dict[str, int] = {}
    seen: dict[str, tuple[int, ...]] = {}

    def look(path: str, layer: nn.Module, output: Any) -> None:
        calls[path] = calls.get(path, 0) + 1
        learned = bool(seen) or next(layer.parameters(), None) is not None
        if isinstance(output, Tensor) and learned:  # zeros around an image are not features yet
            seen[f"{path}@{calls[path]}"] = tuple(output.shape)

    for path, layer in _chain(twin):
        layer.register_forward_hook(lambda m, _, y, path=path: look(path, m, y))
    channels = network.in_channels if entry else _in_channels(network)
    try:
        with Versions():
            image = torch.empty(1, channels, side, side)
            (getattr(twin, entry) if entry else twin)(image)
    except Exception as error:
        raise WrongUse(
            f"{type(network).__name__} cannot be followed with an image of {side} px on the meta"
            f" device, expected a network for any size: {error}"
        ) from error
    # The only call of a layer needs no number.
    return {
        point.removesuffix("@1") if calls[point.rpartition("@")[0]] == 1 else point: shape
        for point, shape in seen.items()
    }


def _chain(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts that follow each other: a network's own, and those of its chains."""
    found = []
    for name, part in network.named_children():
        inner = _chain(part) if isinstance(part, nn.Sequential | nn.ModuleList) else []
        found += [(f"{name}.{below}", layer) for below, layer in inner]
        if not isinstance(part, nn.ModuleList):
            found.append((name, part))
    return found


def _in_channels(network: nn.Module) -> int:
    """Of the first convolution of a network that does not say."""
    convolutions = (part for part in network.modules() if isinstance(part, nn.Conv2d))
    first = next(convolutions, None)
    return first.in_channels if first is not None else 3


def _behead(network: Any) -> None:
    """Drop what the maps do not need, so that every parameter that is left gets a gradient."""
    used: set[str] = set()
    twin: Any = on_meta(network).eval()
    for name, part in twin.named_modules():
        part.register_forward_hook(lambda *_, name=name: used.add(name.split(".")[0]))
    with Versions():
        side = network.row.input_px
        twin.features(torch.empty(1, network.in_channels, side, side))
    for name in [name for name, _ in network.named_children() if name not in used]:
        delattr(network, name)
