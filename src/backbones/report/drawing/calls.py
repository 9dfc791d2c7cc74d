"""What a call of a function is in a figure: its kind, and the words on its box."""

from __future__ import annotations

from typing import Any, Literal

from backbones.inspection.graph import Node

Kind = Literal[
    "input",
    "convolution",
    "depthwise",
    "pooling",
    "linear",
    "norm",
    "activation",
    "softmax",
    "gate",
    "attention",
    "add",
    "concat",
    "other",
]

CONVOLUTIONS = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
}
POOLINGS = {
    "max_pool2d": "max",
    "avg_pool2d": "avg",
    "adaptive_avg_pool2d": "avg",
    "adaptive_max_pool2d": "max",
    "lp_pool2d": "lp",
    "mean": "avg",
}
NORMS = {
    "batch_norm": "BN",
    "layer_norm": "LN",
    "group_norm": "GN",
    "instance_norm": "IN",
    "rms_norm": "RMS",
    "local_response_norm": "LRN",
}
ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "hardtanh": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "mish": "Mish",
    "hardswish": "h-swish",
    "hardsigmoid": "h-sigmoid",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softplus": "softplus",
    "softmax": "softmax",
    "log_softmax": "log-softmax",
}
ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
JOINS: dict[str, tuple[Kind, str]] = {
    "add": ("add", "+"),
    "sub": ("add", "+"),
    "cat": ("concat", "concat"),
    "concat": ("concat", "concat"),
    "concatenate": ("concat", "concat"),
    "stack": ("concat", "concat"),
    "mul": ("other", "×"),
}
# What leaves the numbers as they are, or only scales them: no figure draws it.
UNSEEN = {
    *("flatten", "view", "reshape", "permute", "transpose", "getitem", "squeeze", "unsqueeze"),
    *("dropout", "pad", "contiguous", "clone", "detach", "expand", "expand_as", "to", "chunk"),
    *("div", "mul", "add", "sub", "float", "type_as", "movedim", "swapaxes", "size", "t", "T"),
    *("stochastic_depth", "unbind", "split", "setitem", "identity", "truediv", "unflatten"),
    *("roll", "feature_alpha_dropout", "alpha_dropout", "dropout2d", "__get__", "get"),
}
MAIN = {*CONVOLUTIONS, "linear", *ATTENTION}


def rank(node: Node) -> int:
    """Which call of a module says best what the module is."""
    for rank, ops in enumerate((MAIN, POOLINGS, NORMS, ACTIVATIONS)):
        if node.op in ops:
            return rank
    return 4


def named(node: Node, num_inputs: int) -> tuple[Kind, str]:
    """The kind of a call, and what to write on it."""
    op = node.op
    if op == "input":
        return "input", "input"
    if op in CONVOLUTIONS:
        return _convolution(node)
    if op == "linear":
        return "linear", "fc"
    if op in POOLINGS:
        return "pooling", _pooling(node)
    if op in NORMS:
        return "norm", NORMS[op]
    if op in ACTIVATIONS:
        return "activation", ACTIVATIONS[op]
    if op in ATTENTION:
        return "attention", "attention"
    if num_inputs > 1 and op in JOINS:
        return JOINS[op]
    return "other", op


def _argument(node: Node, place: int, name: str, default: Any = None) -> Any:
    """An argument of a call, given by place or by name."""
    given, named = node.call
    if name in named:
        return named[name]
    return given[place] if len(given) > place else default


def input_shape(node: Node) -> tuple[int, ...]:
    return tuple(_argument(node, 0, "input", ()))


def _convolution(node: Node) -> tuple[Kind, str]:
    weight = tuple(_argument(node, 1, "weight", ()))
    stride = _one_or_many(_argument(node, 3, "stride", 1))
    dilated = _argument(node, 5, "dilation", 1)
    groups = _argument(node, 6, "groups", 1)
    if "transpose" in node.op:
        dilated, groups = 1, 1  # their arguments have another order
    sides = "×".join(map(str, weight[2:]))
    title = sides + (f"/{stride}" if stride != "1" else "")
    if _one_or_many(dilated) != "1":
        title += f" d{_one_or_many(dilated)}"
    if isinstance(groups, int) and groups > 1:
        if weight[1] == 1:
            return "depthwise", title
        if groups == weight[0]:  # each map has maps of its own below, as Table I of LeNet-5 says
            return "convolution", f"{title}, {weight[1]} maps each"
        return "convolution", f"{title} g{groups}"
    return "convolution", title if sides else "conv"


def _pooling(node: Node) -> str:
    word = POOLINGS[node.op]
    if node.op == "mean" or (node.op.startswith("adaptive") and side_of(node.shape) == 1):
        return f"global {word}"
    size = _argument(node, 1, "output_size" if node.op.startswith("adaptive") else "kernel_size")
    if size is None:
        return word
    sides = "×".join(map(str, size if isinstance(size, tuple) else (size, size)))
    if node.op.startswith("adaptive"):
        return f"{word} to {sides}"
    stride = _argument(node, 2, "stride")
    step = _one_or_many(size if stride in (None, ()) else stride)
    return f"{word} {sides}" + (f"/{step}" if step != "1" else "")


def _one_or_many(value: Any) -> str:
    """One number where all are equal; "2,1" otherwise."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return str(values[0]) if len(set(values)) == 1 else ",".join(map(str, values))


def side_of(shape: tuple[int, ...]) -> int:
    return max(shape[2:], default=1)
