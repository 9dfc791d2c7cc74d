"""Other libraries as oracles; tests skip where they are not installed (extra `peers`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from backbones.speed import keep_large_buffers


@pytest.fixture(scope="session", autouse=True)
def _large_buffers() -> None:
    """Large networks come and go here; without it half of the time goes into page faults."""
    keep_large_buffers()


@pytest.fixture(scope="session")
def peers() -> ModuleType:
    """`benchmarks/peers.py`, which knows how to import them."""
    path = Path(__file__).parents[2] / "benchmarks" / "peers.py"
    spec = importlib.util.spec_from_file_location("backbones_peers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def torchvision(peers: ModuleType) -> ModuleType:
    try:
        return peers.import_torchvision()
    except ImportError as error:
        pytest.skip(f"torchvision: {error}")


@pytest.fixture(scope="session")
def timm(peers: ModuleType) -> ModuleType:
    try:
        return peers.import_timm()
    except ImportError as error:
        pytest.skip(f"timm: {error}")
