"""Look inside networks: ours, those of bundles, and everybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from backbones.footprint.estimates import Optimizer
from backbones.footprint.memory import Memory, memory_of
from backbones.footprint.passes import Precision
from backbones.inspection.summary import Inspection, own_shape
from backbones.workflows.networks import find_network, made_once, with_inspection

__all__ = ["Inspection", "Memory", "inspect", "inspect_with_memory", "memory", "paint_field"]


def inspect(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    functions: bool = False,
) -> Inspection:
    """Look at a network without computing: shapes, parameters, MACs, receptive fields.

    The network's weights, buffers and modes are as they were afterwards.

    Args:
        model: any module that takes one tensor, or a name; see `find_network`.
        input_shape: (channels, height, width) of an image; the network's own where None, and
            (3, 224, 224) for modules of others.
        batch: images, at least 1; MACs and bytes are for all of them.
        functions: list functions outside layers too, such as the sum of a residual block.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: a shape or batch that cannot be, or images that the network does not take.

    Example:
        >>> found = inspect("vgg16")
        >>> found.macs, found.layer("conv5_3").field.spans[0].size
        (15470264320, 196)
    """
    return with_inspection(model, input_shape, batch=batch, functions=functions)[1]


def memory(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int | None = None,
    optimizer: Optimizer = "sgd_momentum",
    precision: Precision = "fp32",
    budget: int | None = None,
) -> Memory:
    """What an evaluation and a training step of a network need, by what is alive at once.

    Counted is what PyTorch allocates for the network; scratch space inside operators is not.

    Args:
        model: any module that takes one tensor, or a name; see `find_network`.
        input_shape: (channels, height, width) of an image; the network's own where None, and
            (3, 224, 224) for modules of others.
        batch: images; where None, 1 in evaluation and 32 in training.
        optimizer: "sgd", "sgd_momentum", "adam", "adamw", "rmsprop" or "rmsprop_momentum".
        precision: "fp32", or "bf16" for autocast.
        budget: bytes to find the largest batch for.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: images or a batch that the network does not take; an unknown optimizer.

    Example:
        >>> found = memory("lenet5", batch=2)
        >>> found.training.gradients == 4 * 61_706
        True
    """
    network: Any = model if isinstance(model, nn.Module) else find_network(model)
    shape = tuple(input_shape) if input_shape is not None else own_shape(network)
    return memory_of(
        network, shape, batch=batch, optimizer=optimizer, precision=precision, budget=budget
    )


def inspect_with_memory(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int | None = None,
    functions: bool = False,
) -> tuple[Inspection, Memory]:
    """`inspect` and `memory` of a network that is made once; arguments and errors as of these."""
    network = model if isinstance(model, nn.Module) else made_once(model)
    found = inspect(network, input_shape, batch=batch or 1, functions=functions)
    return found, memory(network, found.input, batch=batch)


def paint_field(
    found: Inspection, unit: tuple[str, int, int], image: str | Path, out: str | Path
) -> Path:
    """Paint on an image which pixels a unit sees.

    Args:
        found: of the network.
        unit: (layer, row, column); the layer by module path or the paper's name.
        image: a file.
        out: where the painted image goes; its suffix says in which format.

    Raises:
        NotFound: no such layer or image.
        BadImage: the image cannot be decoded.
        WrongUse: no such unit, its field is unknown, or no such format.
    """
    from backbones.data.decode import read_image
    from backbones.report.field import paint_field as paint
    from backbones.report.images import check_image_path, save_image

    target = Path(out)
    check_image_path(target)
    box = found.sees(*unit)
    layer, row, column = unit
    label = f"{found.name}: unit ({row}, {column}) of {layer}"
    page = paint(read_image(Path(image)), (found.input[1], found.input[2]), box, label)
    return save_image(page, target)
