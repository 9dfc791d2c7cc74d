"""Asking a network without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

Network = Callable[[Tensor], Tensor]


@contextmanager
def evaluating(
    network: nn.Module, precision: Literal["fp32", "bf16"] = "fp32"
) -> Iterator[Network]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in.

    Modules are remembered one by one, because a frozen part of a network that trains is in
    evaluation mode already and has to stay there.

    Args:
        network: any.
        precision: of its arithmetic; "bf16" uses autocast and leaves the weights alone.

    Yields:
        The network as a function from pictures to float32 scores; it takes the pictures to the
        device where the weights are.
    """
    training = [module for module in network.modules() if module.training]
    weight = next(network.parameters(), None)
    device = weight.device if weight is not None else torch.device("cpu")

    def scores(pictures: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits: Tensor = network(pictures.to(device))
        return logits.float()

    network.eval()
    try:
        # Not inference_mode: a network may keep what it computes here and train with it later.
        with torch.no_grad():
            yield scores
    finally:
        for module in training:
            module.training = True
