"""Networks by their names: variants, those of bundles, and what other people's code makes."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from backbones import catalog
from backbones.errors import BackbonesError, NotFound, WrongUse, nearest
from backbones.inspection.summary import Inspection
from backbones.inspection.summary import inspect as inspect_module
from backbones.models import build
from backbones.nn.meta import ShapesOnly
from backbones.nn.refusals import place_of
from backbones.weights.bundle import Bundle
from backbones.weights.opening import header_of, is_id


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
