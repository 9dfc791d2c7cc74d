"""Staged training: some layers of a trained network become the first weights of another one."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from backbones.errors import RecipeError, nearest
from backbones.nn.naming import paper_names
from backbones.training.optim import head_name


@dataclass(frozen=True)
class CopiedLayer:
    """What became of one layer of the new network.

    Args:
        name: as the paper calls it, or its module path.
        shape: of its largest parameter, such as "64x3x3x3".
        taken: whether its weights come from the other network.
        note: why not; empty where they do.
    """

    name: str
    shape: str
    taken: bool
    note: str = ""


def transplant(
    source: nn.Module,
    network: nn.Module,
    layers: Sequence[str] = (),
    *,
    same_classes: bool = True,
) -> tuple[CopiedLayer, ...]:
    """Copy layers that two networks share: those with one name and one shape.

    A layer is called as in the paper, so that conv3_1 of VGG's net A is conv3_1 of net D although
    their modules are numbered otherwise; where the paper has no name, by its module path.

    Args:
        source: trained; stays as it is.
        network: gets the copies; the other layers stay as they are.
        layers: patterns over names, such as conv1_1 or fc*; empty = every layer.
        same_classes: whether both name the same classes in the same order; if not, the layer that
            names them stays fresh.

    Returns:
        every layer of `network` that has parameters or buffers, in its order; then each pattern
        that means none of them.

    Raises:
        RecipeError: nothing could be copied.

    Reference: Simonyan & Zisserman (2015), Very Deep Convolutional Networks, section 3.1.

    Example:
        >>> old = nn.Sequential(nn.Linear(2, 3))
        >>> new = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> [(layer.name, layer.taken, layer.note) for layer in transplant(old, new)]
        [('0', True, ''), ('1', False, 'the other network has none')]
    """
    theirs, ours = _named_layers(source), _named_layers(network)
    head = None if same_classes else network.get_submodule(head_name(network))
    table = tuple(
        _take(name, module, theirs.get(name), _refusal(name, layers, module is head))
        for name, module in ours.items()
    )
    table += tuple(
        CopiedLayer(pattern, "", False, "there is no such layer." + nearest(pattern, ours))
        for pattern in layers
        if not fnmatch.filter(ours, pattern)
    )
    if not any(layer.taken for layer in table):
        raise RecipeError(
            "init_from: the two networks share no layer of one name and shape"
            + (f" among {', '.join(layers)}" if layers else "")
        )
    return table


def _refusal(name: str, layers: Sequence[str], is_foreign_head: bool) -> str:
    """Why a layer stays fresh whatever the other network has; empty where it may be taken."""
    if layers and not any(fnmatch.fnmatchcase(name, pattern) for pattern in layers):
        return "not asked for"
    return "the other network names other classes" if is_foreign_head else ""


def _named_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Modules with parameters or buffers of their own, by the paper's name."""
    names = paper_names(network)
    return {
        names.get(path, path): module
        for path, module in network.named_modules()
        if _own(module) and path
    }


def _own(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's own tensors, without those of its parts."""
    parameters = module.named_parameters(recurse=False)
    return {**dict(parameters), **dict(module.named_buffers(recurse=False))}


def _take(name: str, module: nn.Module, other: nn.Module | None, refusal: str) -> CopiedLayer:
    own = _own(module)
    shape = _shape(own)
    if refusal:
        return CopiedLayer(name, shape, False, refusal)
    if other is None:
        return CopiedLayer(name, shape, False, "the other network has none")
    given = _own(other)
    if {key: value.shape for key, value in own.items()} != {
        key: value.shape for key, value in given.items()
    }:
        there = "other tensors" if own.keys() != given.keys() else _shape(given)
        return CopiedLayer(name, shape, False, f"{there} in the other network")
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(given[key])
    return CopiedLayer(name, shape, True)


def _shape(tensors: dict[str, torch.Tensor]) -> str:
    largest = max(tensors.values(), key=lambda tensor: tensor.numel())
    return "x".join(str(side) for side in largest.shape)
