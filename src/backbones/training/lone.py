"""Batches of one image, from which batch norm cannot learn."""

from __future__ import annotations

import torch
from torch import nn

# The base class of all forms of batch norm is private; SyncBatchNorm and lazy ones are among them.
from torch.nn.modules.batchnorm import _BatchNorm

from backbones.data.pipeline import BadFile, Batch
from backbones.errors import WrongUse
from backbones.nn.evaluating import evaluating
from backbones.spec import InputSpec

_ALONE = (
    "left alone in its batch by files that cannot be read; batch norm cannot learn from one image"
)


def learns_alone(model: nn.Module) -> bool:
    """Whether nothing in a network that trains normalises over the batch."""
    return not any(isinstance(each, _BatchNorm) and each.training for each in model.modules())


def without_lone(batch: Batch, batch_size: int, model: nn.Module, name: str) -> Batch:
    """The batch; an empty one where a single image is left that the network cannot learn from.

    What is left depends on the files alone, so a resumed run leaves out the same images.

    Args:
        batch: what could be read of one.
        batch_size: as the recipe has it; batches of 1 are meant to be.
        model: in training mode, but for what is frozen.
        name: of the first image of the batch.
    """
    if len(batch.labels) != 1 or batch_size == 1 or learns_alone(model):
        return batch
    alone = BadFile(name, _ALONE)
    return Batch(batch.images[:0], batch.labels[:0], batch.indices[:0], (*batch.bad, alone))


def refuse_batches_of_one(model: nn.Module, spec: InputSpec) -> None:
    """Stop before a run whose every batch has one image, where batch norm sees one place of it.

    Args:
        model: any; it stays as it is.
        spec: what it will see.

    Raises:
        WrongUse: a batch norm would have one number a channel.
    """
    single: list[str] = []
    handles = [
        layer.register_forward_pre_hook(
            lambda _, given, path=path: single.append(path) if given[0][:, 0].numel() == 1 else None
        )
        for path, layer in model.named_modules()
        if isinstance(layer, _BatchNorm) and layer.training
    ]
    try:
        with evaluating(model) as scored:
            scored(torch.zeros(1, spec.channels, spec.size, spec.size))
    finally:
        for handle in handles:
            handle.remove()
    if single:
        raise WrongUse(
            f"batch_size=1 with input.size={spec.size}: the batch norm {single[0]} would see one"
            " number a channel, which it cannot learn from; use batch_size=2 or more, or a larger"
            " input.size"
        )
