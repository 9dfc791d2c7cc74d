"""Reading the head of a classifier, which sees maps of one size, as layers for maps of any size.

A head is a chain: pooling, flattening, fully connected layers, and what acts on each number by
itself. PyTorch's symbolic tracing shows the chain, whichever modules or functions it is written
with, and each link has one reading:

* an average over the whole map is an average over a window of the size that the map has at the
  training size, moved by one place at a time; a pooling inside a window moves by one place too,
  and what follows it looks at places that lie as far apart as the pooling's stride;
* the fully connected layer behind a c x h x w map is a convolution with an h x w kernel, every
  further one a 1x1 convolution;
* dropout and activations are what they are, and what needs a vector gets the vector of each place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.models.lenet import RBF, ScaledTanh

Pair = tuple[int, int]
Kind = Literal["each", "conv", "adaptive", "pool", "flatten", "linear", "vector"]

_EACH = (
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Tanh, nn.Sigmoid),
    *(nn.Hardswish, nn.Dropout, nn.Dropout2d, nn.BatchNorm2d, nn.AlphaDropout, ScaledTanh),
)
_VECTOR = (nn.BatchNorm1d, nn.LayerNorm, nn.Softmax, nn.LogSoftmax, RBF)
_EACH_FUNCTIONS = {F.relu, torch.relu, F.relu6, F.silu, F.gelu, F.hardswish, torch.tanh, F.tanh}
_EACH_METHODS = {"relu", "relu_", "tanh", "sigmoid", "contiguous"}
_POOLS = (nn.AvgPool2d, nn.MaxPool2d)
_READABLE = (
    "pooling, averages over the map, flattening, fully connected layers, dropout, activations"
)


@dataclass(frozen=True)
class Link:
    """One link of a head's chain.

    Args:
        said: how to call it in a message: a module path, or a function.
        kind: how it is read.
        act: what it does to a tensor, where that stays.
        layer: the module, where it is one.
        size: "adaptive": of the map that it makes.
    """

    said: str
    kind: Kind
    act: Callable[[Tensor], Tensor] | None = None
    layer: nn.Module | None = None
    size: tuple[int | None, int | None] = (1, 1)


@dataclass(frozen=True)
class HeadLayer:
    """One layer of a dense head.

    Args:
        said: which link it is, and how it was read.
        act: (N, c, h, w) -> (N, c', h', w').
    """

    said: str
    act: Callable[[Tensor], Tensor]


class HeadTracer(fx.Tracer):  # type: ignore[misc, unused-ignore]
    """Symbolic tracing of a method, which looks into all modules but those that have a reading."""

    def __init__(self, method: str = "forward") -> None:
        super().__init__()
        self.traced_func_name = method

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, (*_EACH, *_VECTOR, nn.Linear, nn.Conv2d, nn.AdaptiveAvgPool2d))
        return known or bool(super().is_leaf_module(m, module_qualified_name))


def chain_of(graph: fx.Graph) -> list[fx.Node]:
    """The operations before the output that nothing else uses, back to the first that joins two.

    Raises:
        WrongUse: the output is not one tensor.
    """
    node = graph.output_node().args[0]
    if not isinstance(node, fx.Node):
        raise WrongUse("dense needs a network that answers with one tensor of logits")
    chain: list[fx.Node] = []
    while isinstance(node, fx.Node) and node.op != "placeholder" and _is_single(node):
        chain.append(node)
        node = node.args[0]
    return chain[::-1]


def _is_single(node: fx.Node) -> bool:
    """Whether an operation has one input, and nobody but the next one uses its output."""
    users = [user for user in node.users if not is_size(user)]
    first = node.args[0] if node.args else None
    return len(users) == 1 and isinstance(first, fx.Node)


def is_size(node: fx.Node) -> bool:
    """Whether a node is about shapes only: x.size(0), x.shape[0]."""
    if node.op == "call_method":
        return node.target in ("size", "dim")
    if node.op != "call_function":
        return False
    named = getattr(node.target, "__name__", "")
    return named == "getattr" or (named == "getitem" and _is_a_size(node.args[0]))


def _is_a_size(node: object) -> bool:
    return isinstance(node, fx.Node) and is_size(node)


def link_of(node: fx.Node, network: nn.Module) -> Link | None:
    """Read an operation; None where it has no reading."""
    if node.op == "call_module":
        return _link_of_module(str(node.target), network.get_submodule(str(node.target)))
    said = str(node.target) if node.op == "call_method" else node.name
    given = [arg for arg in node.args[1:] if not _is_a_size(arg)]
    if node.target in (torch.flatten, "flatten"):
        return Link(said, "flatten") if (given or [node.kwargs.get("start_dim")])[0] == 1 else None
    if node.target in ("view", "reshape", torch.reshape):
        last = given[-1] if given else None
        return Link(said, "flatten") if _rest(last) == -1 and len(given) <= 2 else None
    if node.target in (torch.mean, "mean"):
        return _link_of_mean(said, given, node.kwargs)
    if node.target is F.adaptive_avg_pool2d:
        return Link(said, "adaptive", size=_sizes((given or [node.kwargs["output_size"]])[0]))
    if node.target is F.dropout:
        p: Any = (given or [node.kwargs.get("p", 0.5)])[0]
        return Link(said, "each", lambda x: F.dropout(x, p, network.training))
    if node.target in _EACH_FUNCTIONS:
        function: Any = node.target
        kwargs = dict(node.kwargs)
        return Link(said, "each", lambda x: function(x, **kwargs)) if not given else None
    if node.target in _EACH_METHODS and not given:
        method = str(node.target)
        return Link(said, "each", lambda x: getattr(x, method)())
    return None


def _link_of_module(path: str, layer: nn.Module) -> Link | None:
    if isinstance(layer, _EACH):
        return Link(path, "each", layer, layer)
    if type(layer) in _VECTOR:  # and not what others derive for maps
        return Link(path, "vector", layer, layer)
    if isinstance(layer, nn.Linear):
        return Link(path, "linear", None, layer)
    if isinstance(layer, nn.Flatten):
        return Link(path, "flatten") if layer.start_dim == 1 and layer.end_dim == -1 else None
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return Link(path, "adaptive", size=_sizes(layer.output_size))
    if isinstance(layer, _POOLS) and _pair(layer.padding) == (0, 0):
        dilated = isinstance(layer, nn.MaxPool2d) and _pair(layer.dilation) != (1, 1)
        return None if dilated else Link(path, "pool", None, layer)
    if isinstance(layer, nn.Conv2d) and _is_plain(layer):
        return Link(path, "conv", layer, layer)
    return None


def _is_plain(layer: nn.Conv2d) -> bool:
    """A convolution that sees nothing but the map: its border is that of the map."""
    ones = _pair(layer.stride) == _pair(layer.dilation) == (1, 1)
    return type(layer) is nn.Conv2d and ones and layer.padding in ("valid", (0, 0))


def _link_of_mean(said: str, given: Sequence[Any], kwargs: Any) -> Link | None:
    dims = (*given, kwargs.get("dim"))[0]
    keepdim = (*given[1:], kwargs.get("keepdim", False))[0]
    if not isinstance(dims, Sequence) or {dim % 4 for dim in dims} != {2, 3}:
        return None
    return Link(said, "adaptive" if keepdim else "flatten", size=(1, 1), act=_averaged)


def _averaged(x: Tensor) -> Tensor:
    """Marks a flattening that averages; it is read as a window and never called."""
    return x.mean(dim=(2, 3))


def _rest(value: Any) -> Any:
    return value[-1] if isinstance(value, tuple | list) and value else value


def _pair(value: Any) -> Pair:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _sizes(value: Any) -> tuple[int | None, int | None]:
    return (value, value) if value is None or isinstance(value, int) else (value[0], value[1])


class HeadReader:
    """Reads a chain link by link, and remembers what one window of the map has become.

    Args:
        maps: channels, height and width of the map that the head sees at the training size.
        who: the network, for messages.
        input_px: px, the training size, for messages.
    """

    def __init__(self, maps: tuple[int, int, int], who: str, input_px: int) -> None:
        self._channels, self._size = maps[0], (maps[1], maps[2])
        self._who, self._input_px = who, input_px
        self._spacing: Pair = (1, 1)  # how far apart the window's places lie in the dense map
        self._is_flat = False

    def read(self, links: Sequence[Link]) -> tuple[HeadLayer, ...]:
        """The dense head.

        Raises:
            WrongUse: the links do not lead from maps of that size to one vector of logits.
        """
        steps = [step for link in links for step in self._read(link)]
        if not self._is_flat or self._size != (1, 1):
            raise WrongUse(
                f"dense cannot read the head of {self._who}: it ends in maps of"
                f" {self._size[0]}x{self._size[1]} at {self._input_px} px, expected one vector"
            )
        return tuple(steps)

    def _read(self, link: Link) -> list[HeadLayer]:
        if link.kind == "each":
            assert link.act is not None
            return [HeadLayer(link.said, link.act)]
        if link.kind == "flatten":
            pooled = self._adaptive(Link(link.said, "adaptive")) if link.act else []
            self._is_flat = True
            return pooled
        if link.kind == "adaptive":
            return self._adaptive(link)
        if link.kind == "pool":
            layer: Any = link.layer
            kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
            return self._pool(link, kernel, stride, maximum=isinstance(layer, nn.MaxPool2d))
        if link.kind == "conv":
            return self._convolution(link)
        if link.kind == "linear":
            return self._linear(link)
        return self._vector(link)

    def _adaptive(self, link: Link) -> list[HeadLayer]:
        size = self._size
        wanted = (link.size[0] or size[0], link.size[1] or size[1])
        if wanted == size:
            return [HeadLayer(f"{link.said}: leaves the map alone", _same)]
        if any(have % want for have, want in zip(size, wanted, strict=True)):
            self._refuse(link, f"makes {wanted[0]}x{wanted[1]} of {size[0]}x{size[1]} maps")
        kernel = (size[0] // wanted[0], size[1] // wanted[1])
        return self._pool(link, kernel, kernel, maximum=False)

    def _pool(self, link: Link, kernel: Pair, stride: Pair, *, maximum: bool) -> list[HeadLayer]:
        if self._is_flat or self._spacing != (1, 1):
            self._refuse(link, "pools what was pooled or flattened before")
        left = [have - side for have, side in zip(self._size, kernel, strict=True)]
        if any(rest < 0 or rest % step for rest, step in zip(left, stride, strict=True)):
            self._refuse(link, f"does not divide a map of {self._size[0]}x{self._size[1]} evenly")
        made = (left[0] // stride[0] + 1, left[1] // stride[1] + 1)
        self._spacing = (
            stride[0] if made[0] > 1 else 1,
            stride[1] if made[1] > 1 else 1,
        )
        self._size = made
        kind = "maximum" if maximum else "average"
        pool = F.max_pool2d if maximum else F.avg_pool2d
        said = f"{link.said}: {kind} over a moving {kernel[0]}x{kernel[1]} window"
        return [HeadLayer(said, lambda x: pool(x, kernel, stride=1))]

    def _convolution(self, link: Link) -> list[HeadLayer]:
        layer: Any = link.layer
        kernel = _pair(layer.kernel_size)
        if self._is_flat or (kernel != (1, 1) and self._spacing != (1, 1)):
            self._refuse(link, "convolves what was pooled or flattened before")
        self._size = (self._size[0] - kernel[0] + 1, self._size[1] - kernel[1] + 1)
        self._channels = layer.out_channels
        if min(self._size) < 1:
            self._refuse(link, "has a kernel larger than the map")
        return [HeadLayer(link.said, layer)]

    def _linear(self, link: Link) -> list[HeadLayer]:
        layer: Any = link.layer
        channels, (height, width) = self._channels, self._size
        if not self._is_flat or layer.in_features != channels * height * width:
            self._refuse(
                link,
                f"takes {layer.in_features} numbers, but the map has {channels}x{height}x{width}",
            )
        shape, spacing = (layer.out_features, channels, height, width), self._spacing
        self._channels, self._size, self._spacing = layer.out_features, (1, 1), (1, 1)

        def convolve(x: Tensor) -> Tensor:
            return F.conv2d(x, layer.weight.view(shape), layer.bias, dilation=spacing)

        return [HeadLayer(f"{link.said}: {height}x{width} convolution", convolve)]

    def _vector(self, link: Link) -> list[HeadLayer]:
        layer: Any = link.layer
        if not self._is_flat or self._size != (1, 1):
            self._refuse(link, "needs vectors, but maps were not flattened before")
        if isinstance(layer, RBF):
            self._channels = len(layer.codes)

        def at_each_place(x: Tensor) -> Tensor:
            vectors = x.permute(0, 2, 3, 1)
            answer: Tensor = layer(vectors.flatten(0, 2))
            return answer.view(*vectors.shape[:3], -1).permute(0, 3, 1, 2)

        return [HeadLayer(f"{link.said}: at each place", at_each_place)]

    def _refuse(self, link: Link, why: str) -> None:
        raise WrongUse(
            f"dense cannot read {link.said} of {self._who} at {self._input_px} px: it {why};"
            " give the size that the network was trained at as input_px"
        )


def unreadable(node: fx.Node, network: nn.Module, who: str) -> WrongUse:
    """The complaint about an operation that has no reading."""
    what = str(node.target)
    if node.op == "call_module":
        what = f"{node.target} ({type(network.get_submodule(what)).__name__})"
    return WrongUse(f"dense cannot read {what} in the head of {who}: expected {_READABLE}")


def _same(x: Tensor) -> Tensor:
    return x
