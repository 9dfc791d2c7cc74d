"""A layer's settings in a few words, as papers write them: "7x7/2 pad 3"."""

from __future__ import annotations

from typing import Any

from torch import nn


def layer_detail(layer: nn.Module) -> str:
    """Kernel, stride and what else is not PyTorch's default, as papers write it: "7x7/2 pad 3"."""
    kernel: Any = getattr(layer, "kernel_size", None)
    if kernel is None or callable(kernel):
        return ""
    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    words = ["x".join(map(str, sides))]
    stride: Any = getattr(layer, "stride", 1) or kernel
    if _told(stride, 1):
        words[0] += f"/{_told(stride, 1)}"
    words += [f"pad {_told(layer.padding, 0)}"] if _told(getattr(layer, "padding", 0), 0) else []
    dilation: Any = getattr(layer, "dilation", 1)
    words += [f"dilation {_told(dilation, 1)}"] if _told(dilation, 1) else []
    groups: Any = getattr(layer, "groups", 1)
    words += [f"groups {groups}"] if groups != 1 else []
    words += ["ceil"] if getattr(layer, "ceil_mode", False) else []
    return " ".join(words)


def _told(value: Any, default: int) -> str:
    """A setting of one or several sides in one word; nothing where it is the default."""
    sides = value if isinstance(value, tuple | list) else (value,)
    if all(side == default for side in sides):
        return ""
    return str(sides[0]) if len(set(sides)) == 1 else "x".join(map(str, sides))
