"""Local response normalisation against the printed formula, forward and gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from backbones.nn.lrn import LocalResponseNorm


def printed_formula(a: np.ndarray, n: int, k: float, alpha: float, beta: float) -> np.ndarray:
    maps = a.shape[1]
    b = np.empty_like(a)
    for i in range(maps):
        first, last = max(0, i - n // 2), min(maps - 1, i + n // 2)
        total = (a[:, first : last + 1] ** 2).sum(axis=1)
        b[:, i] = a[:, i] / (k + alpha * total) ** beta
    return b


@pytest.mark.parametrize(
    ("n", "k", "alpha", "beta"), [(5, 2.0, 1e-4, 0.75), (3, 1.0, 0.3, 0.5), (5, 2.0, 0.7, 0.75)]
)
def test_lrn_is_the_printed_formula(n: int, k: float, alpha: float, beta: float) -> None:
    a = np.random.Generator(np.random.PCG64(0)).normal(size=(2, 8, 3, 3)) * 5
    layer = LocalResponseNorm(n, k=k, alpha=alpha, beta=beta)
    expected = printed_formula(a, n, k, alpha, beta)
    np.testing.assert_allclose(layer(torch.tensor(a)).numpy(), expected, rtol=1e-12)


def test_the_gradient_is_the_formulas() -> None:
    a = np.random.Generator(np.random.PCG64(1)).normal(size=(1, 6, 1, 2))
    tensor = torch.tensor(a, requires_grad=True)
    LocalResponseNorm(alpha=0.5)(tensor).square().sum().backward()
    assert tensor.grad is not None
    for at in np.ndindex(*a.shape):
        sides = []
        for step in (1e-6, -1e-6):
            moved = a.copy()
            moved[at] += step
            sides.append((printed_formula(moved, 5, 2.0, 0.5, 0.75) ** 2).sum())
        assert tensor.grad[at].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-6)


def test_pytorchs_own_layer_needs_alpha_times_n() -> None:
    """PyTorch divides alpha by n; taking the printed 1e-4 for it is a known trap."""
    x = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0)).mul(50)
    ours = LocalResponseNorm()(x)
    assert torch.allclose(ours, nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(x))
    assert not torch.allclose(ours, nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0)(x))
