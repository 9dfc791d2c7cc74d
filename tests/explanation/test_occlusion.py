"""Occlusion: the closed form of a linear network, and what must not matter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.explanation import Occluder, occlusion
from backbones.models import build


def linear(channels: int, height: int, width: int, classes: int) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(channels * height * width, classes))


@pytest.mark.parametrize(("patch", "stride"), [(1, 1), (3, 3), (3, 2), (4, 1), (7, 7)])
@pytest.mark.parametrize("fill", [0.0, -1.5])
def test_a_linear_network_loses_what_the_square_covers(
    patch: int, stride: int, fill: float
) -> None:
    height, width = 7, 9
    network = linear(2, height, width, 3)
    x = torch.randn(2, 2, height, width)
    classes = [2, 0]
    found = occlusion(
        network, x, classes, occluder=Occluder(patch, stride, fill), score="logit", batch_size=5
    ).values
    # Covering the square R takes sum over R of w (x - fill) from the logit.
    weight = network[2].weight.detach().reshape(3, 2, height, width)[classes]
    worth = (weight[None] * (x - fill)[:, None]).sum(dim=2)  # (N, K, H, W)
    total, times = torch.zeros_like(worth), torch.zeros(height, width)
    tops = sorted({*range(0, height - patch, stride), height - patch})
    lefts = sorted({*range(0, width - patch, stride), width - patch})
    for top in tops:
        for left in lefts:
            rows, columns = slice(top, top + patch), slice(left, left + patch)
            total[..., rows, columns] += worth[..., rows, columns].sum(dim=(2, 3), keepdim=True)
            times[rows, columns] += 1
    torch.testing.assert_close(found, total / times, rtol=1e-4, atol=1e-5)


def test_the_size_of_the_batch_changes_nothing_and_progress_counts() -> None:
    network = build("vgg_tiny", seed=0).train()
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    calls: list[tuple[int, int]] = []
    square = Occluder(patch_px=16, stride_px=8)
    one = occlusion(network, x, occluder=square, batch_size=1)
    many = occlusion(
        *(network, x),
        occluder=square,
        batch_size=7,
        progress=lambda done, total: calls.append((done, total)),
    )
    torch.testing.assert_close(one.values, many.values, rtol=1e-4, atol=1e-6)
    assert calls == [(7, 27), (14, 27), (21, 27), (27, 27)]
    assert network.training
    assert torch.equal(one.targets, one.logits.argmax(1, keepdim=True))


def test_probabilities_are_what_is_lost_by_default() -> None:
    network = linear(1, 4, 4, 3)
    x = torch.randn(1, 1, 4, 4)
    network.eval()

    def probabilities(image: Tensor) -> Tensor:
        with torch.no_grad():
            return network(image).softmax(1)

    found = occlusion(network, x, [1], occluder=Occluder(patch_px=4)).values
    expected = probabilities(x)[0, 1] - probabilities(torch.zeros_like(x))[0, 1]
    torch.testing.assert_close(found, expected.expand(1, 1, 4, 4))


@pytest.mark.parametrize(
    ("patch", "stride", "said"),
    [(0, None, "patch_px is 0"), (9, None, "larger than the image of 8x8"), (2, 3, "between")],
)
def test_squares_that_cannot_be(patch: int, stride: int | None, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        occlusion(linear(1, 8, 8, 2), torch.zeros(1, 1, 8, 8), occluder=Occluder(patch, stride))
