"""Whatever runs is counted, or is told as not counted; what cannot be followed says why."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.footprint.estimates import inference_memory, training_memory
from backbones.inspection.summary import Inspection, inspect

STEM = 8 * 8 * 8 * 27  # the stem's multiply-accumulates on an image of 3x8x8


class Net(nn.Module):
    """A convolution, and a function of its maps and of parameters."""

    def __init__(self, then: Callable[..., Any], *weights: tuple[int, ...], **parts: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.weights = nn.ParameterList([nn.Parameter(torch.rand(shape)) for shape in weights])
        self.parts = nn.ModuleDict(parts)
        self.then = then

    def forward(self, x: Tensor) -> Any:
        return self.then(self.stem(x), *self.weights, *self.parts.values())


def looked(then: Callable[..., Any], *weights: tuple[int, ...], **parts: Any) -> Inspection:
    return inspect(Net(then, *weights, **parts), (3, 8, 8))


def tokens(y: Tensor) -> Tensor:
    return y.flatten(2).transpose(1, 2)


def cells(y: Tensor, lstm: Any, gru: Any) -> Tensor:
    h = c = torch.zeros(len(y), 16, device=y.device)
    for column in range(8):
        h, c = lstm(y.mean(2)[..., column], (h, c))
        h = gru(h, h)
    return h


@pytest.mark.parametrize(
    ("net", "macs"),
    [
        (Net(lambda y: torch.einsum("nci,ncj->nij", y.flatten(2), y.flatten(2))), 64 * 64 * 8),
        (Net(lambda y, w: tokens(y) @ w, (8, 5)), 64 * 8 * 5),
        (Net(lambda y, w: tokens(y) @ w.T, (5, 8)), 64 * 8 * 5),
        (Net(lambda y, w: torch.linalg.matmul(tokens(y), w), (8, 5)), 64 * 8 * 5),
        (Net(lambda y, w: torch.ops.aten.conv2d(y, w), (4, 8, 3, 3)), 36 * 4 * 72),
        (Net(lambda y, a, b: F.linear(tokens(y), a @ b), (4, 2), (2, 8)), 64 * 32 + 4 * 2 * 8),
        (Net(cells, lstm=nn.LSTMCell(8, 16), gru=nn.GRUCell(16, 16)), 8 * 16 * (4 * 24 + 3 * 32)),
        (Net(lambda y, rnn: rnn(y.mean(3).permute(2, 0, 1)), rnn=nn.GRU(8, 5)), 8 * 15 * 13),
        (Net(lambda y, w: torch.vmap(lambda a: a.flatten(1).T @ w)(y), (8, 4)), 64 * 8 * 4),
        (Net(lambda y: torch.mv(y[0].flatten(1), y[0, 0].flatten())), 8 * 64),
    ],
)
def test_products_are_counted_by_whatever_name_they_are_called(net: Net, macs: int) -> None:
    found = inspect(net, (3, 8, 8))
    assert found.macs == STEM + macs
    assert not found.not_counted


def grid(y: Tensor) -> Tensor:
    return F.grid_sample(y, torch.zeros(1, 4, 4, 2, device=y.device), align_corners=False)


@torch.library.custom_op("backbones_test::blur", mutates_args=())
def blur(x: Tensor) -> Tensor:
    return x * 1


@blur.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize(
    ("then", "op"),
    [
        (lambda y: torch.fft.fft2(y).real, "fft_fft2"),
        (lambda y: grid(grid(y)), "grid_sample"),
        (lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"), "interpolate"),
        (lambda y: torch.zeros_like(y).scatter_add(1, y.long() * 0, y), "scatter_add"),
        (lambda y: torch.linalg.inv(y), "linalg_inv"),
        (blur, "backbones_test.blur"),
    ],
)
def test_what_is_not_known_is_listed_and_not_zero_in_silence(then: Any, op: str) -> None:
    found = looked(then)
    assert found.macs == STEM
    (one,) = found.not_counted
    assert (one.op, one.times, one.layer) == (op, 2 if op == "grid_sample" else 1, "")
    assert any(op in note and "not counted" in note for note in found.notes)
    assert found.to_json()["not_counted"] == [{"op": op, "times": one.times, "layer": ""}]


def test_the_part_that_calls_it_is_named() -> None:
    found = inspect(nn.Sequential(nn.Conv2d(3, 3, 1), Net(grid)), (3, 8, 8))
    assert [one.layer for one in found.not_counted] == ["1"]


@pytest.mark.parametrize(
    "then",
    [
        lambda y: torch.cat([y.relu() * 2 - y.amax(1, keepdim=True), y.flip(3)], 1).reshape(1, -1),
        lambda y: F.pixel_shuffle(F.group_norm(y, 2), 2).softmax(1)[..., ::2].unbind(1),
        lambda y: F.interpolate(F.unfold(y, 3).sort(2)[0], scale_factor=2.0).mean(),
        lambda y: y.gather(1, y.argmax(1, keepdim=True)).where(y > 0, 0.0),
    ],
)
def test_what_multiplies_nothing_is_not_listed(then: Any) -> None:
    assert looked(then).not_counted == ()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_operators_of_torchscript_functions_are_heard(tmp_path: Any) -> None:
    scripted = torch.jit.CompilationUnit(
        "def f(x: Tensor, w: Tensor):\n    return torch.relu(torch.conv2d(x, w))\n"
    ).f
    assert looked(scripted, (4, 8, 3, 3)).macs == STEM + 36 * 4 * 72


def through_numpy(y: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(torch.from_numpy(np.asarray(y.detach()) * 2), w)


def test_a_way_through_numpy_is_followed_and_its_field_is_not_known() -> None:
    found = looked(through_numpy, (4, 8, 3, 3))
    assert found.macs == STEM + 36 * 4 * 72
    assert found.layers[-1].field is None
    assert "receptive field" in found.missing[1]
    assert any("another image may take another path" in note for note in found.notes)
    with pytest.raises(WrongUse, match=r"looks at numbers at .*test_not_counted.py:\d+ `return F"):
        inference_memory(Net(through_numpy, (4, 8, 3, 3)), (3, 8, 8))


def test_attention_is_counted_where_numbers_are_computed_too() -> None:
    """PyTorch's own counter leaves the CPU's fused attention out."""

    def attend(y: Tensor) -> Tensor:
        if y.mean() > 1e9:  # numbers are needed
            return y
        return F.scaled_dot_product_attention(tokens(y), tokens(y), tokens(y))

    assert looked(attend).macs == STEM + 2 * 64 * 64 * 8


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(nn.Conv2d(3, 8, 3), torch.ones(1, 3, 8, 8))


class Takes(nn.Module):
    """Modules that take something else: their `forward` is set."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.table = nn.Embedding(10, 4)
        self.forward = forward.__get__(self)  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (scripted, "a TorchScript module, which hides its layers; give the Python module"),
        (lambda: nn.Sequential(nn.ReLU(), scripted()), "its part 1 is a TorchScript module"),
        (lambda: Takes(lambda self, a, b: self.stem(a)), r"takes \(a, b\).*self.net\(x, b\)"),
        (lambda: Takes(lambda self, x, *, mask: self.stem(x)), r"takes \(x, mask\)"),
        (lambda: Takes(lambda self: 1), r"takes \(\)"),
        (
            lambda: Takes(lambda self, b: self.stem(b["image"])),
            r"takes \(b\), and failed at",
        ),
        (lambda: Takes(lambda self, b: self.stem(b.pixels)), "no attribute 'pixels'"),
        (lambda: Takes(lambda self, ids: self.table(ids)), "whole numbers, such as ids"),
        (lambda: Takes(lambda self, x: {}["k"]), r"test_not_counted.py:\d+ .*KeyError: 'k'"),
    ],
)
def test_modules_that_take_something_else_are_told_in_one_line(make: Any, told: str) -> None:
    for verb in (inspect, inference_memory, training_memory):
        with pytest.raises(WrongUse, match=told) as caught:
            verb(make(), (3, 8, 8))
        assert "\n" not in str(caught.value)
        assert "give another with --input" not in str(caught.value)


def test_a_shape_is_blamed_where_it_is_at_fault() -> None:
    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[-1] == 224
            return x

    for module in (nn.Conv2d(1, 8, 3), nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), Picky()):
        with pytest.raises(WrongUse, match=r"does not take images of shape 3x8x8: .*another with"):
            inspect(module, (3, 8, 8))


def test_an_answer_in_which_no_tensor_is_found_is_told() -> None:
    with pytest.raises(WrongUse, match="forward returns set without a tensor"):
        training_memory(Net(lambda y: {y}), (3, 8, 8))
