"""What a training step on several GPUs takes, on paper."""

from __future__ import annotations

import json

import pytest

from backbones import Hardware, memory, plan
from backbones.errors import WrongUse


def test_the_figures_are_those_of_the_formulas_by_hand() -> None:
    hardware = Hardware(tflops=10.0, utilisation=0.5, bandwidth_gb=2.0)
    found = plan("vgg16", gpus=4, batch=256, hardware=hardware)
    forward = 2 * 15_470_264_320 * 64 / 5e12
    whole = 2 * 3 / 4 * 4 * 138_357_544 / 2e9
    last = 2 * 3 / 4 * 25 * 2**20 / 2e9
    assert found.forward_s == pytest.approx(forward)
    assert found.backward_s == pytest.approx(2 * forward)
    assert found.waiting_s == pytest.approx(max(whole - 2 * forward, last))
    assert found.step_s == pytest.approx(3 * forward + max(whole - 2 * forward, last))
    assert found.images_per_second == pytest.approx(256 / found.step_s)
    alone = memory("vgg16", batch=64).training
    assert found.memory_bytes == alone.peak + 4 * 138_357_544


def test_a_slow_link_is_waited_for_and_one_gpu_waits_for_nothing() -> None:
    slow = plan("alexnet", gpus=8, batch=8 * 16, hardware=Hardware(bandwidth_gb=1.0))
    assert slow.waiting_s > slow.backward_s
    assert slow.efficiency < 0.5
    alone = plan("alexnet", gpus=1, batch=16)
    assert (alone.waiting_s, alone.efficiency, alone.bucket_bytes) == (0, 1, 0)


def test_the_peak_follows_the_precision() -> None:
    peaks = [plan("lenet5", precision=each).hardware.tflops for each in ("fp32", "bf16")]
    assert peaks == [19.5, 312.0]


def test_more_gpus_than_images_and_impossible_hardware_are_refused() -> None:
    with pytest.raises(WrongUse, match="a batch of 4 cannot be shared by 8 GPUs"):
        plan("lenet5", gpus=8, batch=4)
    for wrong in ({"utilisation": 1.5}, {"bandwidth_gb": 0.0}, {"tflops": -1.0}):
        with pytest.raises(WrongUse):
            Hardware(**wrong)


def test_the_command_shows_formulas_or_json(backbones) -> None:
    text = backbones("plan", "resnet18", "--gpus", "2", "--batch", "64").out
    assert "2 (N - 1) / N x gradients / bandwidth" in text
    assert "Patarasu & Yuan (2009)" in text
    asked = ("plan", "resnet18", "--gpus", "2", "--batch", "64", "--bandwidth", "12.5", "--json")
    found = json.loads(backbones(*asked).out)
    assert found["bandwidth_gb_per_s"] == 12.5
    assert found["images_per_gpu"] == 32
