"""Other libraries as oracles; their fixtures are in `tests/conftest.py`."""

from __future__ import annotations

import pytest

from backbones.speed import keep_large_buffers


@pytest.fixture(scope="session", autouse=True)
def _large_buffers() -> None:
    """Large networks come and go here; without it half of the time goes into page faults."""
    keep_large_buffers()
