"""How a map lies on an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backbones.errors import WrongUse
from backbones.explanation.maps import chosen, spread

RNG = np.random.default_rng(5)


def test_a_map_as_large_as_the_image_stays_as_it_is() -> None:
    values = RNG.normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_allclose(spread(values, (0, 0, 7, 5), 7, 5), values, rtol=1e-6)


def test_a_map_lies_where_the_network_looked_and_nowhere_else() -> None:
    laid = spread(np.ones((3, 3), np.float32), (10, 2, 20, 20), 40, 24)
    assert laid.shape == (24, 40)
    seen = ~np.isnan(laid)
    assert seen[2:22, 10:30].all()
    assert seen.sum() == 400
    assert (laid[seen] == 1).all()


def test_what_lies_beyond_the_image_is_cut_off() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    laid = spread(values, (-2, -2, 8, 8), 4, 4)
    whole = spread(values, (0, 0, 8, 8), 8, 8)
    np.testing.assert_allclose(laid, whole[2:6, 2:6])


def test_it_is_interpolated_as_torch_does() -> None:
    values = RNG.normal(size=(7, 7)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=(50, 64), mode="bilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(spread(values, (0, 0, 64, 50), 64, 50), expected, atol=1e-5)


def test_mirroring_first_or_last_is_the_same() -> None:
    values = RNG.normal(size=(7, 6)).astype(np.float32)
    box = (4.5, -3.0, 31.0, 36.0)
    np.testing.assert_allclose(
        spread(values[:, ::-1], box, 40, 30), spread(values, box, 40, 30)[:, ::-1], atol=1e-6
    )


@pytest.mark.parametrize("targets", [[3], [-1], [], torch.zeros(3, 2), torch.zeros(2, 2, 2)])
def test_classes_that_cannot_be(targets) -> None:
    with pytest.raises(WrongUse, match=r"no class|targets has the shape"):
        chosen(targets, torch.zeros(2, 3))
