"""What makes a hundred networks pass in minutes: one thread, and quick shapes on meta."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _batch_norm_on_meta_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes and dependencies only: PyTorch's own takes milliseconds a layer to find them."""
    original = F.batch_norm

    def batch_norm(x: Tensor, *arguments: Any) -> Tensor:
        if not x.is_meta:
            return original(x, *arguments)
        _, _, weight, bias, *_ = arguments
        return x * weight[:, None, None] + bias[:, None, None]

    monkeypatch.setattr(F, "batch_norm", batch_norm)
