"""A classifier that reads images larger than it was trained for, place by place.

The fully connected layers of a trained network are convolutions of a map that happens to have one
place. Read so, the same weights give a map of class scores for a larger image, at the price of
one pass: what the image's crops share is computed once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from backbones.errors import WrongUse
from backbones.features.dense_head import (
    HeadReader,
    HeadTracer,
    Link,
    chain_of,
    is_size,
    link_of,
    unreadable,
)
from backbones.nn.meta import ShapesOnly

_USUAL_PX = 224


def dense(model: nn.Module, input_px: int | None = None) -> Dense:
    """Read a network's head as convolutions, so that larger images give maps of class scores.

    The weights are shared with `model`, not copied: training one trains the other.

    Args:
        model: a network of this package; or any other that PyTorch can trace symbolically and that
            ends in pooling, flattening and fully connected layers, such as torchvision's. Of the
            latter, a choice that is made by asking for the mode keeps the present mode's answer.
        input_px: px, side of the images that the network was trained on. Where None, the row's
            own `input_px`; for other networks what timm says in `pretrained_cfg`, or else 224.

    Returns:
        The network in the mode that `model` is in. Auxiliary heads are left out in training, too.

    Raises:
        WrongUse: a layer of the head has no such reading, or does not fit `input_px`.

    Example:
        >>> from backbones.models import build
        >>> reader = dense(build("vgg_tiny", seed=0).eval())
        >>> reader(torch.zeros(1, 3, 96, 64)).shape
        torch.Size([1, 10, 3, 2])

    Reference: Simonyan & Zisserman (2014), Very Deep Convolutional Networks, section 3.2; before,
        Sermanet et al. (2013), OverFeat, section 3.5; and LeCun et al. (1998), Gradient-Based
        Learning Applied to Document Recognition, section VII, where LeNet-5 reads words this way.
    """
    return Dense(model, input_px)


class Dense(nn.Module):
    """A network whose head is read as convolutions; see `dense`.

    At the training size the answer is the plain network's, one place high and wide. In a larger
    image, place (i, j) is the head's answer to the window of the feature map that begins there,
    whatever the network. It is the plain network's answer to the crop of the image there only
    where no layer pads (LeNet-5): elsewhere a crop's border sees padding, and the inside of a
    larger image sees its neighbours.

    It exports with a free height and width: `backbones export --dense`, or by hand
    `torch.export.export(..., strict=False)` with an example of at least 2x2 places, for PyTorch
    takes a side of 1 apart.

    Args:
        model, input_px: see `dense`.

    Shapes: (N, in_channels, H, W) with H, W >= input_px -> (N, num_classes, h, w), where h and w
        are those of the feature map, less those at input_px, plus one: VGG at 384 px gives 6x6.

    Raises:
        WrongUse: see `dense`; and when called, for images below the training size.
    """

    def __init__(self, model: nn.Module, input_px: int | None = None) -> None:
        super().__init__()
        self.network: Any = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        self.training = model.training
        self._who = getattr(getattr(model, "row", None), "name", type(model).__name__)
        self.input_px = input_px or _training_px(self.network)
        self._is_own = all(hasattr(self.network, part) for part in ("row", "features", "head"))
        traced = _traced(self.network, self._who, "head" if self._is_own else "forward")
        self._body = traced
        links = _cut_head(traced, self.network, self._who)
        maps = self._maps_at(self.input_px)
        if maps[1:] == (1, 1) and (pool := _cut_pool(traced, self.network)):
            links, maps = [pool, *links], self._maps_at(self.input_px)
        twice = self._maps_at(2 * self.input_px)
        if twice[1] <= maps[1] or twice[2] <= maps[2]:
            raise WrongUse(
                f"dense cannot read the head of {self._who}: something that has no reading comes"
                " between the pooling and the fully connected layers"
            )
        self.window = maps[1:]
        self._steps = HeadReader(maps, self._who, self.input_px).read(links)

    def features(self, x: Tensor) -> Tensor:
        """Images -> the map that the head sees, (N, maps, h, w)."""
        maps: Tensor = self.network.features(x) if self._is_own else x
        if any(node.op.startswith("call_") for node in self._body.nodes):
            maps = fx.Interpreter(self.network, graph=self._body).run(maps)
        return maps

    def head(self, f: Tensor) -> Tensor:
        """(N, maps, h, w) -> (N, num_classes, h - window + 1, w - window + 1)."""
        for step in self._steps:
            f = step.act(f)
        return f

    def forward(self, x: Tensor) -> Tensor:
        # Side by side, not with min(): an export with a free height and width would tie them.
        self._check(x)
        f = self.features(x)
        if f.shape[2] < self.window[0] or f.shape[3] < self.window[1]:
            raise self._too_small(x)
        return self.head(f)

    def _check(self, x: Tensor) -> None:
        channels = getattr(self.network, "in_channels", None)
        if x.dim() != 4 or (channels is not None and x.shape[1] != channels):
            raise WrongUse(
                f"dense({self._who}) got a tensor of shape {tuple(x.shape)}, expected a batch"
                f" (N, {channels or 'C'}, H, W)"
            )
        smallest = getattr(getattr(self.network, "row", None), "min_px", 1)
        if x.shape[2] < smallest or x.shape[3] < smallest:
            raise self._too_small(x)

    def _too_small(self, x: Tensor) -> WrongUse:
        return WrongUse(
            f"dense({self._who}) got images of {x.shape[2]}x{x.shape[3]} px, expected at least"
            f" {self.input_px}x{self.input_px}, the size that it was trained at; resize them"
        )

    def _maps_at(self, px: int) -> tuple[int, int, int]:
        """Channels, height and width that the head sees, found without computing anything."""
        channels = getattr(self.network, "in_channels", None) or _first_channels(self.network)
        own = (*self.network.named_parameters(), *self.network.named_buffers())
        state = {
            f"dense.network.{name}": torch.empty_like(tensor, device="meta") for name, tensor in own
        }
        with torch.no_grad(), ShapesOnly():
            image = torch.empty(2, channels, px, px, device="meta")
            try:
                maps = torch.func.functional_call(_Features(self), state, (image,))
            except RuntimeError as error:
                raise WrongUse(
                    f"{self._who} cannot see images of {px}x{px} px; give"
                    " the size that it was trained at as input_px"
                ) from error
        if maps.dim() != 4:
            raise WrongUse(f"dense cannot read {self._who}: its head does not begin with a map")
        return maps.shape[1], maps.shape[2], maps.shape[3]

    def extra_repr(self) -> str:
        read = (f"  {step.said}" for step in self._steps)
        return "\n".join((f"input_px={self.input_px}, head read as:", *read))


class _Features(nn.Module):
    """The features alone as a module, which `functional_call` wants."""

    def __init__(self, reader: Dense) -> None:
        super().__init__()
        self.dense = reader

    def forward(self, x: Tensor) -> Tensor:
        return self.dense.features(x)


def _traced(network: nn.Module, who: str, method: str) -> fx.Graph:
    try:
        return HeadTracer(method).trace(network)
    except Exception as error:  # a network's own code runs with symbols, and may raise anything
        reason = " ".join(str(error).split())[:120]
        raise WrongUse(
            f"dense cannot follow {method} of {who} ({reason}): expected one that asks for no"
            " values and shapes; or a network of this package"
        ) from error


def _cut_head(graph: fx.Graph, network: nn.Module, who: str) -> list[Link]:
    """Take the readable end off a graph; its output becomes the map that this end sees.

    Poolings with a window of their own stay: they are layers of the map, as in VGG's last stage.
    """
    links: list[Link] = []
    for node in reversed(chain_of(graph)):
        link = link_of(node, network)
        if link is None or link.kind == "pool":
            if not any(found.kind == "flatten" for found in links):
                raise unreadable(node, network, who)
            break
        links.insert(0, link)
        _cut(graph, node)
    return links


def _cut_pool(graph: fx.Graph, network: nn.Module) -> Link | None:
    """Take a pooling off whose window turned out to be the whole map."""
    last = chain_of(graph)[-1:]
    link = link_of(last[0], network) if last else None
    if link is None or link.kind != "pool":
        return None
    _cut(graph, last[0])
    return link


def _cut(graph: fx.Graph, node: fx.Node) -> None:
    """Let a graph end before its last operation."""
    graph.output_node().args = (node.args[0],)
    for unused in (node, *reversed([each for each in graph.nodes if is_size(each)])):
        if not unused.users:
            graph.erase_node(unused)


def _training_px(network: nn.Module) -> int:
    row: Any = getattr(network, "row", None)
    if row is not None and hasattr(row, "input_px"):
        return int(row.input_px)
    settings: Any = getattr(network, "pretrained_cfg", None) or {}
    return int(settings.get("input_size", (3, _USUAL_PX, _USUAL_PX))[-1])


def _first_channels(network: nn.Module) -> int:
    convolutions = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first = next(convolutions, None)
    return 3 if first is None else first.in_channels
