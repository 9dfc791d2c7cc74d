"""LeNet-5's own layers against plain NumPy transcriptions of the paper, forward and gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.inspection.trace import count, trace
from backbones.models import build, find_row, make
from backbones.models.lenet import RBF, TABLE_I, Subsampling, TableConv2d, class_codes

# Table I by column, as the paper's text describes it: which maps of S2 each map of C3 sees.
CONNECTED = [
    *([i, (i + 1) % 6, (i + 2) % 6] for i in range(6)),  # contiguous triples
    *([i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6] for i in range(6)),  # contiguous fours
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]),  # discontinuous fours
    [0, 1, 2, 3, 4, 5],
]


def squash(a: np.ndarray) -> np.ndarray:
    return 1.7159 * np.tanh(2 / 3 * a)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(size=shape)


def difference(module: nn.Module, x: np.ndarray, tensor: Tensor, at: tuple[int, ...]) -> float:
    """A central difference of the sum of squares of the output, along one element."""
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            tensor[at] += step
            values.append(module(torch.tensor(x)).square().sum().item())
            tensor[at] -= step
    return (values[0] - values[1]) / 2e-5


def check_gradients(module: nn.Module, x: np.ndarray) -> None:
    module(torch.tensor(x)).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        for flat in (0, parameter.numel() // 2, parameter.numel() - 1):
            at = tuple(int(i) for i in np.unravel_index(flat, tuple(parameter.shape)))
            expected = difference(module, x, parameter, at)
            assert parameter.grad[at].item() == pytest.approx(expected, rel=1e-6), (name, at)


def test_table_i_is_the_papers() -> None:
    rows = [line.split() for line in TABLE_I.strip().splitlines()]
    found = [[i for i in range(6) if rows[i][column] == "X"] for column in range(16)]
    assert found == [sorted(maps) for maps in CONNECTED]


def test_c3_convolves_as_table_i_says() -> None:
    c3 = TableConv2d(TABLE_I).double()
    x = numbers(2, 6, 14, 14)
    weight, bias = c3.weight.detach().numpy(), c3.bias.detach().numpy()
    assert weight.shape == (60, 5, 5)
    expected = np.zeros((2, 16, 10, 10))
    number = 0
    for out, maps in enumerate(CONNECTED):
        expected[:, out] = bias[out]
        for into in sorted(maps):
            for row in range(10):
                for column in range(10):
                    window = x[:, into, row : row + 5, column : column + 5]
                    expected[:, out, row, column] += (window * weight[number]).sum(axis=(1, 2))
            number += 1
    np.testing.assert_allclose(c3(torch.tensor(x)).detach().numpy(), expected, atol=1e-12)
    check_gradients(c3, x)


def test_a_map_of_c3_does_not_see_the_others() -> None:
    c3 = TableConv2d(TABLE_I)
    x = torch.zeros(1, 6, 14, 14, requires_grad=True)
    c3(x)[0, 6].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum(dim=(0, 2, 3)) > 0
    assert seen.tolist() == [True, True, True, True, False, False]


def test_subsampling_sums_scales_shifts_and_squashes() -> None:
    layer = Subsampling(3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))
        layer.bias.copy_(torch.tensor([0.5, 0.0, -0.5]))
    x = numbers(2, 3, 6, 4)
    total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    coefficient = np.array([0.1, -0.2, 0.3])[:, None, None]
    shift = np.array([0.5, 0.0, -0.5])[:, None, None]
    expected = squash(coefficient * total + shift)
    np.testing.assert_allclose(layer(torch.tensor(x)).detach().numpy(), expected, atol=1e-12)
    check_gradients(layer, x)


def test_the_output_is_minus_the_squared_distance_to_the_code() -> None:
    rbf = RBF(12).double()
    x = numbers(3, 84)
    expected = [[-sum((x[n] - rbf.codes[c].numpy()) ** 2) for c in range(12)] for n in range(3)]
    np.testing.assert_allclose(rbf(torch.tensor(x)).numpy(), expected, rtol=1e-12)
    tensor = torch.tensor(x, requires_grad=True)
    rbf(tensor)[:, 7].sum().backward()
    assert tensor.grad is not None
    np.testing.assert_allclose(tensor.grad.numpy(), -2 * (x - rbf.codes[7].numpy()), rtol=1e-12)
    assert not list(rbf.parameters()), "the codes are fixed"


def test_a_code_is_its_own_class() -> None:
    rbf = RBF(200)
    assert rbf(rbf.codes).argmax(dim=1).tolist() == list(range(200))
    assert set(rbf.codes.unique().tolist()) == {-1.0, 1.0}


def test_codes_do_not_depend_on_how_many_there_are() -> None:
    assert class_codes(40)[:12] == class_codes(12)


def test_the_code_of_one_is_a_one() -> None:
    """Figure 3 read row by row, so that the transcription cannot be transposed unnoticed."""
    rows = np.array(class_codes(10)[1]).reshape(12, 7)
    assert (rows[:9, 3:5] == 1).all()
    assert (rows[9, 1:] == 1).all()
    assert (rows[10:] == -1).all()


def test_connections_follow_from_the_layers() -> None:
    """Section II.B, layer by layer."""
    printed = {
        "c1": 122_304,
        "s2": 5_880,
        "c3": 151_600,
        "s4": 2_000,
        "c5": 48_120,
        "f6": 10_164,
        "output": 840,
    }
    found = {layer.name: layer.connections for layer in trace("lenet5_1998") if layer.connections}
    assert found == printed
    assert count("lenet5_1998").connections == 340_908
    # More maps in C1 are more connections: nothing of this is a stored number.
    network_type, row = find_row("lenet5")
    wider: Any = replace(row, maps=(7, 16, 120))  # type: ignore[type-var]
    more = count(make(network_type, wider)).connections - count("lenet5").connections
    assert more == 28 * 28 * 26 + 16 * 100 * 25


def test_the_original_starts_as_appendix_a_says() -> None:
    model: Any = build("lenet5_1998", in_channels=3, seed=0)
    bounds = {
        "c1": 2.4 / 75,
        "s2": 2.4 / 4,
        "s4": 2.4 / 4,
        "c5": 2.4 / 400,
        "f6": 2.4 / 120,
    }
    for name, bound in bounds.items():
        for parameter in model.get_submodule(name).parameters():
            assert parameter.abs().max() <= bound
            assert parameter.abs().max() > 0.5 * bound, "far from the bound"
    place = 0
    for maps in CONNECTED:
        part = model.c3.weight[place : place + len(maps)].detach()
        bound = 2.4 / (25 * len(maps))
        assert 0.9 * bound < part.abs().max() <= bound
        place += len(maps)


def test_the_whole_original_is_the_composition_of_its_layers() -> None:
    model: Any = build("lenet5_1998", seed=4).double()
    x = torch.tensor(numbers(2, 1, 32, 32))
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    f6 = squash(squash(_c5(model, x)) @ state["f6.weight"].T + state["f6.bias"])
    expected = -((f6[:, None] - state["output.codes"]) ** 2).sum(axis=2)
    np.testing.assert_allclose(model(x).detach().numpy(), expected, atol=1e-9)


def _c5(model: Any, x: Tensor) -> np.ndarray:
    """C1 to C5 before squashing, squashing after each layer, in NumPy but for the convolutions."""
    with torch.no_grad():
        c1 = squash(model.c1(x).numpy())
        s2 = model.s2(torch.tensor(c1))  # squashed inside, tested above
        c3 = squash(model.c3(s2).numpy())
        s4 = model.s4(torch.tensor(c3)).numpy().reshape(len(x), -1)
    weight, bias = model.c5.weight.detach().numpy(), model.c5.bias.detach().numpy()
    product: np.ndarray = s4 @ weight.reshape(120, -1).T + bias
    return product
