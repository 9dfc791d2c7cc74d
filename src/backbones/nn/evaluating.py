"""Asking a network without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from backbones.errors import NotFinite

Network = Callable[[Tensor], Tensor]


class RuntimeNetwork(nn.Module):
    """A network that a runtime of its own computes, behind the signature of one of PyTorch's.

    Args:
        runtime: what computes it, by its package's name.
        precision: of its arithmetic, which cannot be chosen.
    """

    def __init__(self, runtime: str, precision: Literal["fp32", "int8"]) -> None:
        super().__init__()
        self.runtime, self.precision = runtime, precision


@contextmanager
def evaluating(
    network: nn.Module,
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    forward: Network | None = None,
) -> Iterator[Network]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in.

    Modules are remembered one by one, because a frozen part of a network that trains is in
    evaluation mode already and has to stay there.

    Args:
        network: any.
        precision: of its arithmetic; "bf16" uses autocast and leaves the weights alone, "int8" is
            what a `RuntimeNetwork` computes in by itself.
        forward: another way through its modules; itself where None.

    Yields:
        That way as a function from images to float32 scores; it takes the images to the
        device where the weights are, and raises NotFinite where a score is nan or infinite.
    """
    forward = forward or network
    training = [module for module in network.modules() if module.training]
    weight = next(network.parameters(), None)
    device = weight.device if weight is not None else torch.device("cpu")

    def scores(images: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits: Tensor = forward(images.to(device))
        return finite(logits.float())

    network.eval()
    try:
        # Not inference_mode: a network may keep what it computes here and train with it later.
        with torch.no_grad():
            yield scores
    finally:
        for module in training:
            module.training = True


def surrounding_precision(device: str) -> Literal["fp32", "bf16"]:
    """In which the code around computes on a kind of device, "cpu" or "cuda"."""
    return "bf16" if torch.is_autocast_enabled(device) else "fp32"


def finite(answers: Tensor) -> Tensor:
    """What a network answered, unless a part of it is no number.

    Shapes:
        answers (N, ...), a row an image.

    Raises:
        NotFinite: with the first row that holds nan or infinity; `naming` says which file it is.
    """
    good = torch.isfinite(answers)
    if not bool(good.all()):
        row = int((~good).flatten(1).any(1).int().argmax())
        value = float(answers.detach()[row][~good[row]][0])
        raise NotFinite(value, f"image {row + 1} of a batch of {len(answers)}", row)
    return answers


@contextmanager
def naming(names: Sequence[str]) -> Iterator[None]:
    """Say which file an answer belongs to that is no number.

    Args:
        names: of the images of the batch, a row each.

    Raises:
        NotFinite: the one that was raised in the block, with the file's name.
    """
    try:
        yield
    except NotFinite as error:
        raise NotFinite(error.found, names[error.row], error.row) from None
