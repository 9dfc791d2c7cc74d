"""Other libraries, imported for comparison only: this is the one place that knows how.

torchvision's wheel carries compiled operators that do not load beside a torch built for another
device; its Python part then fails while it describes those operators. Classification networks,
transforms and data sets use none of them, so while torchvision is imported here, descriptions of
operators that are absent are skipped.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch


def import_torchvision() -> ModuleType:
    """torchvision with its models and transforms.

    Raises:
        ImportError: it is not installed.
    """
    with _absent_operators_skipped():
        torchvision = importlib.import_module("torchvision")
        importlib.import_module("torchvision.transforms")
        importlib.import_module("torchvision.models")
    return torchvision


def import_timm() -> ModuleType:
    """timm, which imports torchvision itself.

    Raises:
        ImportError: it is not installed.
    """
    import_torchvision()
    return importlib.import_module("timm")


@contextmanager
def _absent_operators_skipped() -> Iterator[None]:
    original = torch.library.register_fake

    def tolerant(*arguments: Any, **options: Any) -> Callable[[Any], Any]:
        describe = original(*arguments, **options)

        def register(function: Any) -> Any:
            try:
                return describe(function)
            except RuntimeError as error:
                if "does not exist" not in str(error):
                    raise
                return function

        return register

    torch.library.register_fake = tolerant
    try:
        yield
    finally:
        torch.library.register_fake = original
