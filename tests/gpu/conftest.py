"""Every test here needs a GPU."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU, and PyTorch finds none")
    return torch.device("cuda")
