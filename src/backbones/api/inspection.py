"""Look inside networks: ours, those of bundles, and everybody else's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from backbones import catalog
from backbones.errors import BackbonesError, NotFound, WrongUse, nearest
from backbones.inspection.classic import ClassicSum, add_up, hearing_outputs
from backbones.inspection.memory import (
    InferenceMemory,
    Optimizer,
    TrainingMemory,
    inference_memory,
    largest_batch,
    training_memory,
)
from backbones.inspection.passes import Precision
from backbones.inspection.summary import Inspection, own_shape
from backbones.inspection.summary import inspect as inspect_module
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.nn.refusals import place_of
from backbones.units import human_bytes
from backbones.weights.bundle import Bundle
from backbones.weights.opening import header_of, is_id

__all__ = ["Inspection", "Memory", "find_network", "inspect", "memory", "paint_field"]


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
        input_shape: (channels, height, width) of a picture; the network's own where None, and
            (3, 224, 224) for modules of others.
        batch: pictures, at least 1; MACs and bytes are for all of them.
        functions: list functions outside layers too, such as the sum of a residual block.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: a shape or batch that cannot be, or pictures that the network does not take.

    Example:
        >>> found = inspect("vgg16")
        >>> found.macs, found.layer("conv5_3").field.spans[0].size
        (15470264320, 196)
    """
    return with_inspection(model, input_shape, batch=batch, functions=functions)[1]


def with_inspection(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    functions: bool = False,
) -> tuple[nn.Module, Inspection]:
    """The network too, which has numbers where shapes were not enough; see `inspect`.

    Raises:
        NotFound, WrongUse: see `inspect`.
    """
    network = model if isinstance(model, nn.Module) else find_network(model)
    made = not isinstance(model, nn.Module) and _is_maker(str(model))
    try:
        found = inspect_module(network, input_shape, batch=batch, functions=functions)
        if not (made and found.missing):
            return network, found
    except WrongUse:
        if not made:
            raise
    # It may look at numbers, while it is made or run, so that shapes alone are not enough.
    network = _made_by(str(model), with_numbers=True)
    return network, inspect_module(network, input_shape, batch=batch, functions=functions)


@dataclass(frozen=True)
class Memory:
    """What a network needs.

    Args:
        evaluation, training: at their fullest moments.
        largest: (for evaluation, for training) the largest batches within the budget; None where
            there was none.
        budget: bytes.
        classic: the sum that tutorials print.
    """

    evaluation: InferenceMemory
    training: TrainingMemory
    largest: tuple[int, int] | None
    budget: int | None
    classic: ClassicSum

    def to_json(self) -> dict[str, Any]:
        """One dictionary, in bytes but for the classic sum."""
        return {
            "evaluation": self.evaluation.to_json(),
            "training": self.training.to_json(),
            "budget": self.budget,
            "largest_batch": None
            if self.largest is None
            else {"evaluation": self.largest[0], "training": self.largest[1]},
            "classic": self.classic.to_json(),
        }

    def to_text(self) -> str:
        """Short tables for people."""
        parts = [self.evaluation.to_text(), self.training.to_text()]
        if self.largest is not None and self.budget is not None:
            parts.append(
                f"largest batch in {human_bytes(self.budget)}: {self.largest[0]} in evaluation,"
                f" {self.largest[1]} in training"
            )
        return "\n\n".join([*parts, self.classic.to_text()])


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
        input_shape: (channels, height, width) of a picture; the network's own where None, and
            (3, 224, 224) for modules of others.
        batch: pictures; where None, 1 in evaluation and 32 in training.
        optimizer: "sgd", "sgd_momentum", "adam", "adamw", "rmsprop" or "rmsprop_momentum".
        precision: "fp32", or "bf16" for autocast.
        budget: bytes to find the largest batch for.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: pictures or a batch that the network does not take; an unknown optimizer.

    Example:
        >>> found = memory("lenet5", batch=2)
        >>> found.training.gradients == 4 * 61_706
        True
    """
    network: Any = model if isinstance(model, nn.Module) else find_network(model)
    shape = tuple(input_shape) if input_shape is not None else own_shape(network)
    largest = None
    if budget is not None:
        sizes = [
            largest_batch(
                network, shape, budget, training=training, optimizer=optimizer, precision=precision
            )
            for training in (False, True)
        ]
        largest = (sizes[0], sizes[1])
    with hearing_outputs(network) as heard:
        evaluation = inference_memory(network, shape, batch=batch or 1, precision=precision)
    return Memory(
        evaluation,
        training_memory(
            network, shape, batch=batch or 32, optimizer=optimizer, precision=precision
        ),
        largest,
        budget,
        add_up(network, shape, heard),
    )


def paint_field(
    found: Inspection, unit: tuple[str, int, int], picture: str | Path, out: str | Path
) -> Path:
    """Paint on a picture which pixels a unit sees.

    Args:
        found: of the network.
        unit: (layer, row, column); the layer by module path or the paper's name.
        picture: a file.
        out: where the painted picture goes; its suffix says in which format.

    Raises:
        NotFound: no such layer or picture.
        BadImage: the picture cannot be decoded.
        WrongUse: no such unit, its field is unknown, or no such format.
    """
    from backbones.data.decode import read_picture
    from backbones.report.field import paint_field as paint
    from backbones.report.pictures import FORMATS, save_image

    target = Path(out)
    if target.suffix.lower() not in FORMATS:
        raise WrongUse(f"{target} ends in {target.suffix!r}, expected one of {', '.join(FORMATS)}")
    box = found.sees(*unit)
    layer, row, column = unit
    label = f"{found.name}: unit ({row}, {column}) of {layer}"
    page = paint(read_picture(Path(picture)), (found.input[1], found.input[2]), box, label)
    return save_image(page, target)


def find_network(name: str | Path, *, with_numbers: bool = False) -> nn.Module:
    """A network by its name, with shapes and no numbers.

    Args:
        name: of a variant; a bundle, run folder or id of weights; or a function or class that
            makes a module, behind a colon: "nets/mine.py:build", "torchvision.models:resnet18".
        with_numbers: make one that can compute. Its weights are fresh, a bundle's too.

    Raises:
        NotFound: no such variant, file or function.
        WrongUse: what is called does not make a module, or fails.
        BadWeights: a file that is not a bundle.
    """
    text = str(name)
    if _is_maker(text):
        return _made_by(text, with_numbers=with_numbers)
    path = Path(text)
    if path.suffix == ".py":
        raise WrongUse(
            f"{text} is a Python file: name the function or class in it that makes the network,"
            f" behind a colon, such as {text}:build"
        )
    # Whose name is a variant's need not be looked for in the table of weights, which takes 50 ms.
    named = text in catalog.names() and not path.exists()
    if not named and (is_id(text) or path.exists() or path.suffix == ".safetensors"):
        known = header_of(path)
        variant: str = known.variant
        classes: int | None = None
        channels: int | None = None
        if isinstance(known, Bundle):
            classes, channels = known.num_classes, known.in_channels
    else:
        variant, classes, channels = catalog.facts(text).name, None, None
    with nullcontext() if with_numbers else ShapesOnly():
        return build(variant, classes, channels, seed=0)


def made_once(name: str | Path) -> nn.Module | str | Path:
    """What `inspect` and `memory` can both be given, without making the network twice.

    A function that makes a module stays a name: what it makes may have to look at numbers.

    Raises:
        NotFound, BadWeights: as `find_network`.
    """
    return name if _is_maker(str(name)) else find_network(name)


def _is_maker(text: str) -> bool:
    return ":" in text and not Path(text).exists()


def _made_by(text: str, *, with_numbers: bool = False) -> nn.Module:
    where, _, function = text.rpartition(":")
    maker = _function(_module(where), where, function)
    try:
        network = maker() if with_numbers and callable(maker) else _on_meta(maker)
    except BackbonesError:
        raise
    except Exception as error:
        raise _failed(text, error) from error
    if not isinstance(network, nn.Module):
        raise WrongUse(
            f"{text} gave {type(network).__name__}, expected an nn.Module, or a function without"
            " arguments that makes one"
        )
    return network


def _failed(what: str, error: Exception) -> WrongUse:
    return WrongUse(f"{what} failed{place_of(error)}: {type(error).__name__}: {error}")


def _on_meta(maker: Any) -> Any:
    if isinstance(maker, nn.Module) or not callable(maker):
        return maker
    try:
        with ShapesOnly():
            return maker()
    except (NotImplementedError, RuntimeError):  # it looks at numbers while it is made
        return maker()


def _module(where: str) -> ModuleType:
    path = Path(where)
    if path.suffix != ".py":
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise NotFound(
                f"there is no module {error.name!r}: expected FILE.py:FUNCTION or"
                " PACKAGE.MODULE:FUNCTION"
            ) from error
        except Exception as error:  # such as a library that does not fit this PyTorch
            raise _failed(where, error) from error
    if not path.is_file():
        raise NotFound(f"there is no file {where}: expected FILE.py:FUNCTION")
    return _run_file(path.resolve(), path.stat().st_mtime_ns, where)


@cache  # what it registers with PyTorch can be registered once
def _run_file(path: Path, _mtime_ns: int, where: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None, "a .py file has one"
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _failed(where, error) from error
    finally:
        sys.path.pop(0)
    return module


def _function(module: ModuleType, where: str, name: str) -> Callable[[], Any]:
    found = getattr(module, name, None)
    if found is None:
        known = [n for n in vars(module) if not n.startswith("_")]
        raise NotFound(f"{where} has no {name!r}.{nearest(name, known)}")
    return found  # type: ignore[no-any-return]
