"""Networks this small run fastest on one thread; a cache of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where weights of the test are kept."""
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"
