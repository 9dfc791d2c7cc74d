"""Networks that have shapes and no numbers: building and running one takes milliseconds and no
memory, because nothing is computed but shapes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor, torch.arange}
_FILLED = {torch.zeros, torch.ones}
# Numbers that are sampled or written into a tensor. Some of `nn.init` name the tensor.
_FILLERS = {
    *(Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_),
    *(nn.init.uniform_, nn.init.normal_, nn.init.constant_),
    *(nn.init.kaiming_uniform_, nn.init.kaiming_normal_),
}
# What leaves the shape of its first argument alone. On the meta device PyTorch finds that out in
# Python, operator by operator, and takes longer over it than over everything else.
_SAME_SHAPE = {
    *(F.batch_norm, F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6),
    *(F.hardtanh, F.silu, F.dropout, torch.sigmoid, Tensor.sigmoid, F.hardswish, F.hardsigmoid),
    *(F.local_response_norm, torch.tanh, Tensor.tanh, F.gelu, F.leaky_relu, F.elu, F.softmax),
    *(F.layer_norm, F.group_norm, F.instance_norm, F.dropout2d, torch.square, Tensor.square),
}


@contextmanager
def without_collecting() -> Iterator[None]:
    """Python does not look for garbage in cycles meanwhile.

    Thousands of small objects are made here, and kept: looking through them again and again takes
    as long as making them.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that intercepts operators, and spares the import of PyTorch's compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch asks; any answer but its own spares more than a second."""
        return False


class ShapesOnly(TorchFunctionMode):
    """Inside, tensors are made on the meta device, nothing is filled, and only shapes follow.

    Modes belong to a thread: others go on computing.

    Example:
        >>> with ShapesOnly():
        ...     layer = torch.nn.Linear(4096, 4096)
        >>> layer.weight.is_meta
        True
    """

    def __enter__(self) -> ShapesOnly:
        self._pause = without_collecting()
        self._pause.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._pause.__exit__(None, None, None)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _FILLERS:
            return args[0] if args else given["tensor"]
        if func in _SAME_SHAPE and args and args[0].is_meta:
            in_place = given.get("inplace") or func.__name__.endswith("_")
            return args[0] if in_place else args[0].detach()
        if func in _SHAPES:
            found = _SHAPES[func](*args, **given)
            if found is not None:
                return found
        elif func in _MAKERS and given.get("device") is None:
            given = {**given, "device": "meta"}
            func = torch.empty if func in _FILLED else func
        return func(*args, **given)


def has_shape_rule(func: Callable[..., Any]) -> bool:
    """Whether `ShapesOnly` knows what this function of PyTorch does to shapes."""
    return func in _SAME_SHAPE or func in _SHAPES


# Each of these gives what PyTorch would, or None where the case is unusual or wrong: then PyTorch
# is asked, and says itself what is wrong.


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    if not all(tensor.is_meta for tensor in tensors):
        return None
    shape = list(tensors[0].shape)
    others = [list(tensor.shape) for tensor in tensors[1:]]
    shape[dim] += sum(other[dim] for other in others)
    for other in others:
        other[dim] = shape[dim]
    return _like(tensors[0], shape) if all(other == shape for other in others) else None


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor | None:
    """A 2-D convolution's output."""
    if isinstance(padding, str) or not x.is_meta or x.ndim != 4:
        return None
    batch, channels, *sides = x.shape
    if channels != weight.shape[1] * groups:
        return None
    found = [
        (side + 2 * pad - gap * (kernel - 1) - 1) // step + 1
        for side, pad, gap, kernel, step in zip(
            sides, _pair(padding), _pair(dilation), weight.shape[2:], _pair(stride), strict=True
        )
    ]
    return _like(x, [batch, weight.shape[0], *found]) if min(found) > 0 else None


def _pooled(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    if return_indices or not x.is_meta or x.ndim != 4:
        return None
    found = []
    for side, kernel, step, pad, gap in zip(
        x.shape[2:],
        *map(_pair, (kernel_size, stride or kernel_size, padding, dilation)),
        strict=True,
    ):
        room = side + 2 * pad - gap * (kernel - 1) - 1
        count = (room + (step - 1) * ceil_mode) // step + 1
        # A window that begins behind the image and its border at the low side does not count.
        count -= ceil_mode and (count - 1) * step >= side + pad
        if room < 0 or count < 1 or 2 * pad > kernel:
            return None
        found.append(count)
    return _like(x, [*x.shape[:2], *found])


def _average_pooled(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    return _pooled(x, kernel_size, stride, padding, 1, ceil_mode)


def _mean(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor | None:
    if not x.is_meta or dim is None:
        return None
    gone = {d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim)}
    sides = enumerate(x.shape)
    return _like(x, [1 if d in gone else side for d, side in sides if keepdim or d not in gone])


def _fully_connected(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    if not x.is_meta or x.shape[-1] != weight.shape[1]:
        return None
    return _like(x, [*x.shape[:-1], weight.shape[0]])


def _averaged(x: Tensor, output_size: Any) -> Tensor | None:
    if not x.is_meta or x.ndim != 4 or (not isinstance(output_size, int) and None in output_size):
        return None
    return _like(x, [*x.shape[:2], *_pair(output_size)])


def _elementwise(x: Any, other: Any, *, alpha: float = 1) -> Tensor | None:
    """A sum or product with a number, or with a tensor that fits in without widening the first."""
    if not isinstance(x, Tensor) or not x.is_meta or not x.is_floating_point():
        return None
    if isinstance(other, int | float):
        return _like(x, x.shape)
    if not isinstance(other, Tensor) or other.dtype != x.dtype or other.ndim > x.ndim:
        return None
    sides = zip(reversed(x.shape), reversed(other.shape), strict=False)
    if any(b not in (1, a) for a, b in sides):
        return None
    return _like(x, x.shape)


def _elementwise_in_place(x: Any, other: Any, *, alpha: float = 1) -> Tensor | None:
    return None if _elementwise(x, other) is None else x


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _like(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, device="meta")


_SHAPES: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    torch.cat: _joined,
    torch.conv2d: _convolved,
    F.linear: _fully_connected,
    F.max_pool2d: _pooled,
    F.avg_pool2d: _average_pooled,
    **dict.fromkeys((torch.mean, Tensor.mean), _mean),
    F.adaptive_avg_pool2d: _averaged,
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__), _elementwise),
    **dict.fromkeys((Tensor.add_, Tensor.__iadd__, Tensor.mul_), _elementwise_in_place),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__), _elementwise),
}
