"""Compound scaling: the arithmetic is the network's own count, and budgets are met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import backbones
from backbones.errors import NotFound, WrongUse
from backbones.inspection.trace import count
from backbones.models import find_row, make
from backbones.models.efficientnet import ROWS, EfficientNet, EfficientNetRow
from backbones.scaling import Candidate, candidates, grid_search, largest_row, macs_of, scaled_row
from backbones.spec import InputSpec
from backbones.weights.bundle import bundle_of, read_bundle, write_bundle


def counted(row: EfficientNetRow, *sizes: int | None) -> int:
    with torch.device("meta"):
        return count(make(EfficientNet, row, *sizes)).macs


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_arithmetic_equals_the_claims(row: EfficientNetRow) -> None:
    assert {"macs": macs_of(row)}.items() <= {c.name: c.value for c in row.claims}.items()


@pytest.mark.parametrize(
    ("phi", "base", "sizes"),
    [
        (-7.7, "efficientnet_b0", (None, None)),
        (-1, "efficientnet_b0_same", (37, 1)),
        (0.5, "efficientnet_b0", (2, 4)),
        (2.25, "efficientnet_tiny", (None, None)),
    ],
)
def test_arithmetic_equals_tracing_at_any_phi(phi: float, base: str, sizes: Any) -> None:
    row = scaled_row(phi, base=base)
    assert macs_of(row, *sizes) == counted(row, *sizes)


def test_phi_0_is_the_base_and_the_paper_s_powers_are_kept() -> None:
    base: Any = find_row("efficientnet_b0")[1]
    zero, two = scaled_row(0), scaled_row(2)
    assert (zero.width, zero.depth, zero.input_px, zero.dropout) == (1.0, 1.0, 224, 0.2)
    assert (two.width, two.depth) == (pytest.approx(1.1**2), pytest.approx(1.2**2))
    assert two.input_px == round(224 * 1.15**2)
    assert two.deviations == base.deviations
    assert scaled_row(7).dropout == scaled_row(9).dropout == 0.5
    assert scaled_row(-3).dropout == 0.2


def test_work_never_falls_as_phi_grows() -> None:
    work = [macs_of(scaled_row(steps / 40)) for steps in range(-400, 401)]
    assert work == sorted(work)
    assert work[440] / work[400] == pytest.approx(2, rel=0.35), "phi = 1 about doubles B0"


@pytest.mark.parametrize("budget", [5e6, 100e6, 385_814_752, 1e9, 20e9])
def test_the_largest_network_fits_and_the_next_does_not(budget: float) -> None:
    row = largest_row(budget)
    phi = float(row.name.rpartition("_")[2])
    assert macs_of(row) <= budget < macs_of(scaled_row(phi + 0.001))


def test_the_classes_that_are_asked_for_are_counted() -> None:
    at_1000 = macs_of(find_row("efficientnet_b0")[1])  # type: ignore[arg-type]
    assert macs_of(largest_row(at_1000 - 1)) < at_1000
    assert largest_row(at_1000 - 990 * 1280, num_classes=10).name == "efficientnet_b0_phi_0"


@pytest.mark.parametrize("budget", [0, 1000, 1e15, float("nan")])
def test_a_budget_out_of_reach_is_refused_with_what_is_possible(budget: float) -> None:
    with pytest.raises(WrongUse, match=r"phi = -10 to 10 gives 3,371,744 to 270,114,364,560"):
        largest_row(budget)


def test_only_efficientnets_are_scaled() -> None:
    with pytest.raises(NotFound, match="vgg16 is no EfficientNet"):
        scaled_row(1, base="vgg16")
    with pytest.raises(WrongUse, match="above 0"):
        scaled_row(1, alpha=0)


def test_the_search_meets_the_papers_constraint_and_holds_its_answer() -> None:
    found = list(candidates())
    for one in found:
        assert abs(one.alpha * one.beta**2 * one.gamma**2 - 2) <= 0.1 + 1e-9
        assert min(one.alpha, one.beta, one.gamma) >= 1
        assert one.macs == macs_of(one.row)
    assert len({(one.alpha, one.beta, one.gamma) for one in found}) == len(found)
    assert (1.2, 1.1, 1.15) in {(one.alpha, one.beta, one.gamma) for one in found}
    # the corners: all of it into depth, or into width, or into resolution
    corners = {(2.0, 1.0, 1.0), (1.0, 1.4, 1.0), (1.0, 1.0, 1.4)}
    assert corners <= {(one.alpha, one.beta, one.gamma) for one in found}


def test_the_search_takes_the_highest_score() -> None:
    asked: list[EfficientNetRow] = []

    def score(row: EfficientNetRow) -> float:
        asked.append(row)
        return -abs(row.width - 1.2) - abs(row.input_px - 246) / 224

    best = grid_search(score)
    assert isinstance(best, Candidate)
    assert (best.beta, best.gamma) == (1.2, 1.1)
    assert best.alpha == 1.1, "the first of equals"
    assert len(asked) == len(list(candidates()))
    with pytest.raises(WrongUse, match="finer step"):
        grid_search(score, step=0.7)


def test_create_takes_a_budget_or_a_row() -> None:
    network: Any = backbones.create("efficientnet_tiny", max_macs=2e6, num_classes=3, seed=1)
    assert isinstance(network, EfficientNet)
    assert counted(network.row, 3) <= 2e6
    again: Any = backbones.create(network.row, num_classes=3, seed=1)
    assert again.row == network.row
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    with pytest.raises(WrongUse, match="name its variant"):
        backbones.create(network.row, max_macs=2e6)


def test_a_scaled_network_survives_a_bundle(tmp_path: Path) -> None:
    network: Any = backbones.create(scaled_row(0.731, base="efficientnet_tiny"), num_classes=2)
    px = network.row.input_px
    spec = InputSpec(px, px)
    path = tmp_path / "network.safetensors"
    write_bundle(path, bundle_of(network, classes=["a", "b"], spec=spec))
    again: Any = read_bundle(path).build()
    assert again.row == network.row
    assert again.row.width == pytest.approx(1.1**0.731)
    x = torch.randn(1, 3, px, px, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(again(x), network.eval()(x), rtol=1e-6, atol=1e-7)
