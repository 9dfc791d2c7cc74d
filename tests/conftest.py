"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real pictures and weights; tests that need it skip on a machine without it."""
    folder = Path(os.environ.get("BACKBONES_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "nasty" / "manifest.csv").is_file():
        message = "no real test data: set BACKBONES_TEST_DATA to its folder"
        if os.environ.get("BACKBONES_REQUIRE_DATA"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
