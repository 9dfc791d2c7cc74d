"""Parts of a network, and the optimiser that moves them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from backbones.errors import RecipeError, nearest
from backbones.footprint.estimates import Optimizer as Kept
from backbones.training.recipe import Optimizer, ParameterGroup, Recipe
from backbones.training.rmsprop import TensorFlowRMSprop

_NORMS = (
    nn.modules.batchnorm._NormBase,  # the only name that covers them all
    nn.GroupNorm,
    nn.LayerNorm,
)
FUSED_KINDS = frozenset({"sgd", "adam", "adamw"})  # torch has no fused RMSprop


def tensor_names(model: nn.Module) -> tuple[str, ...]:
    """The names of all parameters and buffers."""
    return tuple(name for name, _ in [*model.named_parameters(), *model.named_buffers()])


def head_name(model: nn.Module) -> str:
    """The module that names the classes: the owner of the last parameter.

    Example:
        >>> head_name(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(4, 2)))
        '2'
    """
    *_, (last, _) = model.named_parameters()
    return last.rpartition(".")[0]


def matching(model: nn.Module, match: str) -> frozenset[str]:
    """The parameters and buffers that a word or pattern of a recipe means.

    Args:
        match: `head`, `old` (all but the head), `norm` (normalisation layers), `all`, a module, or
            a pattern over names.

    Raises:
        RecipeError: nothing matches; names the modules there are.
    """
    names = tensor_names(model)
    head = head_name(model)
    in_head = {name for name in names if name.rpartition(".")[0] == head}
    if match == "head":
        return frozenset(in_head)
    if match == "old":
        return frozenset(names) - in_head
    if match == "norm":
        norms = {path for path, module in model.named_modules() if isinstance(module, _NORMS)}
        return frozenset(name for name in names if name.rpartition(".")[0] in norms)
    if match == "all":
        return frozenset(names)
    found = frozenset(
        name for name in names if name.startswith(match + ".") or fnmatch.fnmatchcase(name, match)
    )
    if not found:
        modules = dict.fromkeys(name.split(".")[0] for name in names)
        raise RecipeError(
            f"no parameter matches {match!r}; expected head, old, norm, a pattern such as"
            f" *.bias, or a module: {', '.join(modules)}." + nearest(match, [*names, *modules])
        )
    return found


@dataclass(frozen=True)
class Frozen:
    """What does not move.

    Args:
        names: of the parameters and buffers.
        modules: those all of whose own parameters and buffers are frozen; they stay in
            evaluation mode, since batch norm would move its buffers otherwise.
    """

    names: frozenset[str]
    modules: tuple[nn.Module, ...]


def freeze(model: nn.Module, matches: Iterable[str]) -> Frozen:
    """Take parts out of training: no gradient, and no running statistics either.

    Raises:
        RecipeError: a match that means nothing, or nothing is left to train.
    """
    names = frozenset().union(*(matching(model, match) for match in matches))
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError("freeze leaves nothing to train; freeze fewer parts")
    modules = []
    for path, module in model.named_modules():
        own = [
            f"{path}.{name}" if path else name
            for name, _ in [
                *module.named_parameters(recurse=False),
                *module.named_buffers(recurse=False),
            ]
        ]
        if own and names.issuperset(own):
            modules.append(module)
    return Frozen(names, tuple(modules))


def kept_by(optimizer: Optimizer) -> Kept:
    """The optimiser as `footprint` calls it, by what it keeps for each parameter."""
    if optimizer.kind in ("adam", "adamw"):
        return "adam"
    if optimizer.kind == "sgd":
        return "sgd_momentum" if optimizer.momentum else "sgd"
    return "rmsprop_momentum" if optimizer.momentum else "rmsprop"


def train_mode(model: nn.Module, frozen: Frozen) -> None:
    """Training mode for everything but the frozen modules."""
    model.train()
    for module in frozen.modules:
        module.eval()


def lr_scales(model: nn.Module, parts: Iterable[ParameterGroup]) -> dict[str, float]:
    """The factor on each parameter's learning rate; the first part that matches counts."""
    scales: dict[str, float] = {}
    for part in parts:
        for name in matching(model, part.match):
            scales.setdefault(name, part.lr_scale)
    return {name: scales.get(name, 1.0) for name, _ in model.named_parameters()}


def weight_decays(model: nn.Module, row: Optimizer) -> dict[str, float]:
    """Each parameter's weight decay, by its place in a normalisation layer or as a bias."""
    decays: dict[str, float] = {}
    for path, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if isinstance(module, _NORMS):
                decays_here = row.decay_norm
            else:
                decays_here = row.decay_bias or name != "bias"
            decays[f"{path}.{name}" if path else name] = row.weight_decay if decays_here else 0.0
    return decays


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Trainable parameters, one group for each learning rate and weight decay.

    Returns:
        Groups as torch's optimisers take them, each with the learning rate `lr` before the
        schedule, again as `base_lr`, which the schedule multiplies.
    """
    scales = lr_scales(model, recipe.parts)
    decays = weight_decays(model, recipe.optimizer)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((scales[name], decays[name]), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.optimizer.lr * scale,
            "base_lr": recipe.optimizer.lr * scale,
            "weight_decay": decay,
        }
        for (scale, decay), parameters in groups.items()
    ]


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over the parameters that are not frozen.

    Raises:
        RecipeError: `fused` is asked of an optimiser that has no fused form.
    """
    row = recipe.optimizer
    groups = parameter_groups(model, recipe)
    if row.fused is True and row.kind not in FUSED_KINDS:
        raise RecipeError(f"optimizer.fused is true, but torch has no fused {row.kind}; use auto")
    fused = row.kind in FUSED_KINDS if row.fused == "auto" else row.fused
    match row.kind:
        case "sgd":
            return torch.optim.SGD(
                groups, lr=row.lr, momentum=row.momentum, nesterov=row.nesterov, fused=fused
            )
        case "adam":
            return torch.optim.Adam(groups, lr=row.lr, betas=row.betas, eps=row.eps, fused=fused)
        case "adamw":
            return torch.optim.AdamW(groups, lr=row.lr, betas=row.betas, eps=row.eps, fused=fused)
        case "rmsprop":
            return torch.optim.RMSprop(
                groups, lr=row.lr, alpha=row.alpha, eps=row.eps, momentum=row.momentum
            )
        case "rmsprop_tf":
            return TensorFlowRMSprop(
                groups, lr=row.lr, alpha=row.alpha, eps=row.eps, momentum=row.momentum
            )


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Multiply every group's base learning rate by `factor`; returns the largest."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return float(max(group["lr"] for group in optimizer.param_groups))


def class_weight_tensor(
    choice: str | Mapping[str, float], classes: tuple[str, ...], labels: torch.Tensor
) -> torch.Tensor | None:
    """The weight of each class in the loss.

    Args:
        choice: "none", "balanced", or weights by class name; 1 where a class is not named.
        classes: names in the order of the labels.
        labels: int64 (N,), of the training images.

    Returns:
        fp32 (number of classes,), or None for equal weights. Balanced weights are
        N / (classes that occur * images of the class), so that their mean over images is 1.

    Raises:
        RecipeError: a weight for a class that the data does not have.

    Example:
        >>> class_weight_tensor("balanced", ("cat", "dog"), torch.tensor([0, 0, 0, 1]))
        tensor([0.6667, 2.0000])
    """
    if choice == "none":
        return None
    if isinstance(choice, str):
        counts = torch.bincount(labels, minlength=len(classes)).double()
        weights = len(labels) / (counts * int((counts > 0).sum()))
        return torch.where(counts > 0, weights, 0.0).float()
    for name in choice:
        if name not in classes:
            raise RecipeError(
                f"class_weights names {name!r}, which is no class of the data."
                + nearest(name, classes)
            )
    return torch.tensor([choice.get(name, 1.0) for name in classes], dtype=torch.float32)
