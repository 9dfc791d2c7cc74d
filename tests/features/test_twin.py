"""The twin's shapes are the network's, and running it asks PyTorch for nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.features.twin import Versions, on_meta

CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "conv": nn.Conv2d(4, 6, 3),
    "conv, strided and padded": nn.Conv2d(4, 6, (5, 3), stride=(3, 2), padding=(2, 1)),
    "conv, dilated groups": nn.Conv2d(4, 6, 3, dilation=2, groups=2, bias=False),
    "conv, same": nn.Conv2d(4, 6, 3, padding="same"),
    "max pool": nn.MaxPool2d(2),
    "max pool, padded": nn.MaxPool2d(3, 2, padding=1),
    "max pool, rounded up": nn.MaxPool2d(3, 2, ceil_mode=True),
    "max pool, dilated": nn.MaxPool2d(3, 2, dilation=2),
    "max pool, short": lambda x: F.max_pool2d(x, 3),
    "average pool": nn.AvgPool2d(3, 2, padding=1),
    "adaptive": nn.AdaptiveAvgPool2d((2, 3)),
    "adaptive, half": nn.AdaptiveAvgPool2d((None, 3)),
    "connected": nn.Linear(15, 7),
    "norm": nn.BatchNorm2d(4),
    "dropout": nn.Dropout(),
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(inplace=True),
    "joined": lambda x: torch.cat((x, x + 1), 1),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("height", [11, 12])
def test_shapes_are_those_of_the_real_thing(name: str, height: int) -> None:
    call = CALLS[name]
    expected = call(torch.randn(2, 4, height, 15))
    twin = on_meta(call) if isinstance(call, nn.Module) else call
    with Versions():
        found = twin(torch.empty(2, 4, height, 15))
    assert found.is_meta
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 6, 3), nn.Conv2d(4, 6, 20), nn.Linear(14, 7), nn.MaxPool2d(99)]
)
def test_what_does_not_fit_fails_as_the_real_thing(layer: nn.Module) -> None:
    with pytest.raises(RuntimeError), Versions():
        on_meta(layer)(torch.empty(2, 4, 11, 15))


@pytest.mark.parametrize(
    ("call", "changes"),
    [
        (F.relu, False),
        (lambda x: F.relu(x, inplace=True), True),
        (torch.relu_, True),
        (lambda x: F.hardtanh(x, 0.0, 1.0), False),
        (lambda x: F.hardtanh(x, 0.0, 1.0, True), True),
        (lambda x: x.zero_(), True),
        (lambda x: x.fill_(1), True),
        (lambda x: x.add_(1), True),
        (lambda x: x.add_(torch.empty(2, 4, 5, 5)), True),
        (lambda x: x.view(-1).mul_(2), True),
        (lambda x: F.batch_norm(x, None, None, training=True), False),
    ],
)
def test_what_changes_in_place_is_known_by_its_version(
    call: Callable[[Tensor], Tensor], changes: bool
) -> None:
    with Versions():
        x = torch.empty(2, 4, 5, 5)
        before = x._version
        y = call(x)
    assert (x._version != before) == changes
    assert changes or y is not x


def test_a_copy_has_no_numbers_and_nobody_s_hooks() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    shared = nn.Sequential(model, model[0])
    model[0].register_forward_hook(lambda *_: pytest.fail("a hook of the network ran"))
    twin = on_meta(shared)
    assert all(tensor.is_meta for tensor in (*twin.parameters(), *twin.buffers()))
    assert twin[1] is twin[0][0]
    assert len(model[0]._forward_hooks) == 1
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    with Versions():
        twin[1](torch.empty(1, 1, 5, 5))


def test_a_first_tap_imports_no_symbolic_algebra() -> None:
    code = (
        "import sys, torch\n"
        "from backbones.features.taps import tap\n"
        "from backbones.models import build\n"
        "tap(build('resnet_tiny'), '10-d fc')(torch.zeros(2, 3, 32, 32))\n"
        "sys.exit('sympy' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
