"""Out of memory is one line that says which batch would fit."""

from __future__ import annotations

import re

import pytest
import torch

from backbones.api.evaluation import evaluate
from backbones.api.training import train as begin_training
from backbones.errors import OutOfMemory, telling_of_memory
from backbones.footprint import room
from backbones.footprint.estimates import training_memory
from backbones.footprint.room import batch_advice
from backbones.models import build


def too_much(*_: object) -> torch.Tensor:
    return torch.empty(1 << 50, dtype=torch.uint8)  # PyTorch's own error, in its own words


def test_training_says_which_batch_fits(tmp_path, monkeypatch):
    monkeypatch.setattr("backbones.training.step._forward", too_much)
    run = begin_training(
        "digits",
        model="lenet5_tiny",
        settings=["batch_size=64", "device=cpu", "length=1steps"],
        out=tmp_path / "run",
    )
    with pytest.raises(OutOfMemory, match=r"--set batch_size=32, or smaller images") as caught:
        list(run)
    assert "\n" not in str(caught.value)


def test_a_resize_without_end_takes_no_more_memory_than_its_crop():
    found = evaluate("lenet5.digits", "digits", settings=["resize=[99999999]"], limit=4)
    assert found.report.num_samples == 4


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 568. PiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate"
            " memory: you tried to allocate 30064771072 bytes"
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_whoever_runs_out_of_memory_is_told_so(error):
    told = pytest.raises(OutOfMemory, match="more memory than there is; use less")
    with told, telling_of_memory(lambda: "use less"):
        raise error


def test_other_errors_stay_what_they_are():
    for error in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no")):
        same = pytest.raises(type(error), match=re.escape(str(error)))
        with same, telling_of_memory(lambda: "use less"):
            raise error


def test_the_batch_that_is_named_fits(monkeypatch):
    network = build("vgg_tiny", num_classes=3, seed=0)
    shape = (3, 32, 32)
    monkeypatch.setattr(room, "room_bytes", lambda device: 10_000_000)
    said = batch_advice(network, shape, 4096, "--set batch_size=", training=True)
    fits = int(re.search(r"--set batch_size=(\d+)", said)[1])
    assert training_memory(network, shape, batch=fits).peak <= 8_000_000
    assert training_memory(network, shape, batch=fits + 1).peak > 8_000_000
    monkeypatch.setattr(room, "room_bytes", lambda device: 10_000)
    assert "not even one image" in batch_advice(network, shape, 4096, "batch_size=")
