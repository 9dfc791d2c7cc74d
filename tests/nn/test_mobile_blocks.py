"""What MobileNet and EfficientNet are made of, beside a second transcription in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.nn.drop_path import DropPath
from backbones.nn.padding import SamePadConv2d, padded_conv, same_padding
from backbones.nn.squeeze_excite import SqueezeExcite
from backbones.nn.widths import round_width


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def same_convolution(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's definition, place by place: pixels outside the image are zero.

    Place i looks at rows i * stride - before ... + kernel, where `before` is half, rounded down,
    of what the last place reaches beyond the image.
    """
    (_, height, width), (maps, _, kernel, _) = x.shape, weight.shape
    rows, columns = -(-height // stride), -(-width // stride)
    above = max((rows - 1) * stride + kernel - height, 0) // 2
    left = max((columns - 1) * stride + kernel - width, 0) // 2
    out = np.zeros((maps, rows, columns))
    for place in np.ndindex(maps, rows, columns):
        for dy, dx in np.ndindex(kernel, kernel):
            y, z = place[1] * stride - above + dy, place[2] * stride - left + dx
            if 0 <= y < height and 0 <= z < width:
                out[place] += (x[:, y, z] * weight[place[0], :, dy, dx]).sum()
    return out


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (8, 7), (1, 2), (9, 6)])
def test_same_padding_is_tensorflows(kernel: int, stride: int, size: tuple[int, int]) -> None:
    layer = SamePadConv2d(2, 3, kernel, stride, bias=False)
    x = noise(1, 2, *size)
    expected = same_convolution(x[0].numpy(), layer.weight.detach().numpy(), stride)
    with torch.no_grad():
        torch.testing.assert_close(
            layer(x)[0].double(), torch.from_numpy(expected), atol=1e-5, rtol=0
        )


def test_same_padding_differs_from_symmetric_where_a_side_is_even() -> None:
    for side, equal in ((8, False), (7, True)):
        same, symmetric = (padded_conv(1, 1, 3, how, stride=2) for how in ("same", "symmetric"))
        symmetric.load_state_dict(same.state_dict())
        x = noise(1, 1, side, side)
        with torch.no_grad():
            assert same(x).shape == symmetric(x).shape
            assert torch.allclose(same(x), symmetric(x)) == equal


def test_the_first_tensorflow_example_of_same_padding() -> None:
    assert same_padding(13, 6, 5) == (1, 2)  # 13 wide, filter 6, stride 5, in TensorFlow's guide


def test_padding_is_not_copied_for_at_stride_1() -> None:
    assert type(padded_conv(4, 4, 5, "same", groups=4)) is nn.Conv2d
    assert type(padded_conv(4, 4, 5, "same", stride=2)) is SamePadConv2d


def test_squeeze_excite_is_a_gate_a_map() -> None:
    layer = SqueezeExcite(6, 2)
    x = noise(3, 6, 4, 5)
    w1, b1, w2, b2 = (p.detach().numpy().astype(np.float64) for p in layer.parameters())
    mean = x.numpy().astype(np.float64).mean(axis=(2, 3))
    hidden = mean @ w1[:, :, 0, 0].T + b1
    hidden = hidden / (1 + np.exp(-hidden))  # SiLU
    gate = 1 / (1 + np.exp(-(hidden @ w2[:, :, 0, 0].T + b2)))
    with torch.no_grad():
        found = layer(x).double()
    torch.testing.assert_close(found, x.double() * torch.from_numpy(gate)[..., None, None])


def test_drop_path_leaves_an_image_out_as_a_whole_and_keeps_the_mean() -> None:
    layer = DropPath(0.25).train()
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 1, 3)
    found = layer(x)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (found.flatten(1) == found[:, :1, 0, 0]).all(), "an image keeps all or nothing"
    assert found.mean().item() == pytest.approx(1.0, abs=4 * (0.25 / 0.75 / 4000) ** 0.5)


def test_drop_path_does_nothing_at_evaluation_or_with_no_chance() -> None:
    x = noise(4, 2, 3, 3)
    before = torch.get_rng_state()
    assert DropPath(0.5).eval()(x) is x
    assert DropPath(0.0).train()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("asked", "rounded"),
    [
        (1, 8),  # at least the divisor
        (32 * 1.4, 48),  # 44.8 is nearer to 48
        (16 * 1.1, 16),
        (8.88, 8),  # 90.1 % of it
        (8.9, 16),  # 8 would be 89.9 %
        (320 * 1.8, 576),
    ],
)
def test_widths_are_multiples_of_8_and_lose_at_most_a_tenth(asked: float, rounded: int) -> None:
    assert round_width(asked) == rounded
