"""Plan a training on several GPUs before there are any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from backbones.footprint.estimates import Optimizer
from backbones.footprint.passes import Precision
from backbones.workflows.planning import Hardware, TrainingPlan, plan_training

__all__ = ["Hardware", "TrainingPlan", "plan"]

_A100 = Hardware()


def plan(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    gpus: int = 1,
    batch: int = 256,
    hardware: Hardware = _A100,
    optimizer: Optimizer = "sgd_momentum",
    precision: Precision = "fp32",
) -> TrainingPlan:
    """Predict how long a training step on several GPUs takes, and the memory that each needs.

    The step is that of `torchrun --nproc-per-node N -m backbones train`: each GPU computes its part
    of the batch, and gradients are added up by a ring while the backward pass goes on. Nothing is
    computed but the network's shapes; `TrainingPlan.to_text` shows each formula and its source.

    Args:
        model: any module that takes one tensor, or a name, as of `inspect`.
        input_shape: (channels, height, width) of an image; the network's own where None.
        gpus: devices.
        batch: images in one step of all of them.
        hardware: the devices' peak, the share of it that is reached, and the link between them; an
            NVIDIA A100's where nothing is said.
        optimizer, precision: as of `memory`.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: fewer images than GPUs, figures that cannot be, or images that the network does
            not take.

    Example:
        >>> found = plan("vgg16", gpus=8, batch=256)
        >>> found.gradient_bytes == 4 * 138_357_544, found.images_per_gpu
        (True, 32)
    """
    return plan_training(
        model, input_shape, (batch, gpus), hardware, optimizer=optimizer, precision=precision
    )
