"""A network's graph of OpenVINO: its layers, and which of them are in int8."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openvino._offline_transformations import apply_moc_transformations

_WITH_WEIGHTS = ("Convolution", "GroupConvolution", "MatMul")
_INT8 = ("i8", "u8")


def folded(graph: Any) -> Any:
    """The same with constants computed and operations fused, as OpenVINO's own converter does it.

    Quantisation knows biases and activations only in that form. `openvino.convert_model` would do
    it too, and report to its makers that it did.

    Args:
        graph: an `openvino.Model`, which is left as it is.
    """
    fused = graph.clone()
    apply_moc_transformations(fused, cf=True)
    return fused


def layers_of(graph: Any, fused: Any) -> dict[str, str]:
    """The network's layers that have weights: name of the operation -> module path, in order.

    Args:
        graph: as it was translated.
        fused: the same `folded`, whose operations these are; it has lost some names of weights,
            and renames operations that were joined.
    """
    known = {node.get_friendly_name(): path for node, path in _named(graph)}
    known |= {node.get_friendly_name(): path for node, path in _named(fused)}
    there = [node.get_friendly_name() for node in _with_weights(fused)]
    return {name: known[name] for name in there if name in known}


def _named(graph: Any) -> Iterator[tuple[Any, str]]:
    """Operations with the module path that the name of their weights tells."""
    for node in _with_weights(graph):
        for origin in _above(node.input_value(1).get_node()):
            name = origin.get_friendly_name()
            if origin.get_type_name() == "Constant" and name.endswith(".weight"):
                yield node, name.removeprefix("network.").removesuffix(".weight")
                break


def layers_in_int8(graph: Any) -> set[str]:
    """The operations whose weights are in int8, by name."""
    return {
        node.get_friendly_name()
        for node in _with_weights(graph)
        if any(map(_is_int8, _above(node.input_value(1).get_node())))
    }


def preparing_of(graph: Any) -> list[str]:
    """The operations that resize and crop, by name; none where the graph is given squares."""
    pixels = [each for each in graph.outputs if "pixels" in each.names]
    return [
        node.get_friendly_name()
        for output in pixels
        for node in _above(output.get_node())
        if node.get_type_name() not in ("Constant", "Parameter", "Result")
    ]


def _with_weights(graph: Any) -> Iterator[Any]:
    for node in graph.get_ordered_ops():
        if node.get_type_name() in _WITH_WEIGHTS:
            yield node


def _above(node: Any) -> Iterator[Any]:
    """A node and all that it is computed from, each once."""
    waiting, seen = [node], set()
    while waiting:
        each = waiting.pop()
        if each.get_friendly_name() in seen:
            continue
        seen.add(each.get_friendly_name())
        yield each
        waiting += [value.get_node() for value in each.input_values()]


def _is_int8(node: Any) -> bool:
    kind = node.get_type_name()
    if kind == "Constant":
        return node.get_element_type().get_type_name() in _INT8
    return bool(kind == "FakeQuantize")
