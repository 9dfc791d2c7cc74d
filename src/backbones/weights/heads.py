"""The last layer of foreign weights: under another name, in another form, or not there."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from backbones.weights.fit import say_names

# What other libraries call the layer that gives the logits.
_NAMES = ("fc", "linear", "last_linear", "classifier", "head", "heads", "logits", "output", "out")


def with_head(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], heads: set[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """Give the file's head the network's name for it, or leave it out where its form is another.

    A head that is one layer like the network's own (`fc.1` of an `nn.Sequential` with a dropout,
    `last_linear`) is that layer. Several layers, or one that sees other features, are not.

    Args:
        state: the file's tensors under our names.
        own: the network's.
        heads: names of those that depend on the number of classes.

    Returns:
        the tensors, and a sentence for what was done.
    """
    extra = state.keys() - own.keys()
    layers = {name.rpartition(".")[0] for name in heads - state.keys()}
    area = {name.partition(".")[0] for name in heads}
    theirs = {name for name in extra if name.partition(".")[0] in area | set(_NAMES)}
    if not layers or not theirs:
        return dict(state), []
    rest = {name: tensor for name, tensor in state.items() if name not in theirs}
    found = {name.rpartition(".")[0] for name in theirs}
    (layer, *several), (their_layer, *others) = sorted(layers), sorted(found)
    moved = {f"{layer}.{n.rpartition('.')[2]}": state[n] for n in theirs}
    expected = {name for name in heads if name.startswith(f"{layer}.")}
    if not several and not others and moved.keys() == expected and _alike(moved, own):
        return rest | moved, [f"{their_layer}: taken for the head, {layer}"]
    return rest, [f"{say_names(theirs)}: a head of another form, left out"]


def _alike(moved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Whether layers see the same features, whatever the number of classes."""
    return all(tensor.shape[1:] == own[name].shape[1:] for name, tensor in moved.items())
