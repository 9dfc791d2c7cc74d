"""What a training step on several GPUs will take, on paper: time and memory, by formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from backbones.errors import WrongUse
from backbones.footprint.estimates import Optimizer, TrainingMemory, training_memory
from backbones.footprint.passes import Precision
from backbones.inspection.summary import own_shape
from backbones.text import preformatted
from backbones.units import human_bytes, human_count
from backbones.workflows.networks import with_inspection

_BUCKET_BYTES = 25 * 2**20  # of DistributedDataParallel: what is sent at once
_PEAK_TFLOPS = {"fp32": 19.5, "bf16": 312.0}  # of an NVIDIA A100, by its data sheet


@dataclass(frozen=True)
class Hardware:
    """What a step is planned for.

    Args:
        tflops: of one device at its best, 10^12 floating-point operations a second; None takes an
            NVIDIA A100's by its data sheet: 19.5 in fp32 (no TF32), 312 in bf16.
        utilisation: the share of it that convolutions reach; 0.3 is an assumption, to be replaced
            by a measured step: 6 x MACs x images / (seconds x peak).
        bandwidth_gb: 10^9 bytes a second from one device to the next, in one direction: 300 is an
            A100's NVLink, 25 about PCIe 4.0 x16, 12.5 Ethernet of 100 Gbit/s.
    """

    tflops: float | None = None
    utilisation: float = 0.3
    bandwidth_gb: float = 300.0

    def __post_init__(self) -> None:
        if self.tflops is not None and self.tflops <= 0:
            raise WrongUse(f"the peak is {self.tflops:g} TFLOP/s, expected a number above 0")
        if not 0 < self.utilisation <= 1:
            raise WrongUse(f"utilisation is {self.utilisation:g}, expected a share, such as 0.4")
        if self.bandwidth_gb <= 0:
            raise WrongUse(f"bandwidth is {self.bandwidth_gb:g} GB/s, expected a number above 0")


@dataclass(frozen=True)
class TrainingPlan:
    """A training step of a network on several devices, as formulas predict it.

    Args:
        name: of the network.
        gpus: devices, each with its own process.
        batch: images of all devices together.
        macs: of one image, forward.
        gradient_bytes: fp32, of all parameters.
        hardware: what it is planned for, with nothing left open.
        memory: of the device with the most images, without the buckets.
    """

    name: str
    gpus: int
    batch: int
    macs: int
    gradient_bytes: int
    hardware: Hardware
    memory: TrainingMemory = field(repr=False)

    @property
    def images_per_gpu(self) -> int:
        """Of the device that has the most."""
        return -(-self.batch // self.gpus)

    @property
    def forward_s(self) -> float:
        """Two operations for a multiply-accumulate."""
        assert self.hardware.tflops is not None
        reached = self.hardware.tflops * 1e12 * self.hardware.utilisation
        return 2 * self.macs * self.images_per_gpu / reached

    @property
    def backward_s(self) -> float:
        """The gradients of the inputs and those of the weights cost a forward pass each."""
        return 2 * self.forward_s

    def all_reduce_s(self, num_bytes: float) -> float:
        """By a ring: each device sends 2 (N - 1) / N of the bytes (Patarasu & Yuan 2009)."""
        sent = 2 * (self.gpus - 1) / self.gpus * num_bytes
        return sent / (self.hardware.bandwidth_gb * 1e9)

    @property
    def waiting_s(self) -> float:
        """Sums of gradients that the backward pass does not hide (Li et al. 2020)."""
        last = self.all_reduce_s(min(self.gradient_bytes, _BUCKET_BYTES))
        return max(self.all_reduce_s(self.gradient_bytes) - self.backward_s, last)

    @property
    def step_s(self) -> float:
        """Forward, backward, and what has to be waited for."""
        return self.forward_s + self.backward_s + self.waiting_s

    @property
    def images_per_second(self) -> float:
        """Of all devices."""
        return self.batch / self.step_s

    @property
    def efficiency(self) -> float:
        """What the devices reach of as many times the pace of one with as many images each."""
        return (self.forward_s + self.backward_s) / self.step_s

    @property
    def bucket_bytes(self) -> int:
        """What gradients are copied into to be sent; a process alone needs none."""
        return self.gradient_bytes if self.gpus > 1 else 0

    @property
    def memory_bytes(self) -> int:
        """At the fullest moment, for the device with the most images."""
        return self.memory.peak + self.bucket_bytes

    def to_json(self) -> dict[str, Any]:
        """The figures, under their names."""
        return {
            "model": self.name,
            "gpus": self.gpus,
            "batch": self.batch,
            "images_per_gpu": self.images_per_gpu,
            "macs": self.macs,
            "gradient_bytes": self.gradient_bytes,
            "precision": self.memory.precision,
            "optimizer": self.memory.optimizer,
            "peak_tflops": self.hardware.tflops,
            "utilisation": self.hardware.utilisation,
            "bandwidth_gb_per_s": self.hardware.bandwidth_gb,
            "forward_s": self.forward_s,
            "backward_s": self.backward_s,
            "all_reduce_s": self.all_reduce_s(self.gradient_bytes),
            "waiting_s": self.waiting_s,
            "step_s": self.step_s,
            "images_per_second": self.images_per_second,
            "efficiency": self.efficiency,
            "memory_per_gpu_bytes": self.memory_bytes,
            "bucket_bytes": self.bucket_bytes,
        }

    def to_text(self) -> str:
        """The figures, each with its formula, its numbers and where the formula is from."""
        hardware, memory, gpus = self.hardware, self.memory, self.gpus
        share, tflops = self.images_per_gpu, hardware.tflops
        size, whole = human_bytes(self.gradient_bytes), self.all_reduce_s(self.gradient_bytes)
        lines = [
            f"{self.name}, {gpus} GPUs, batch {self.batch}: {share} images a GPU, in"
            f" {memory.precision}",
            "",
            f"forward       {_ms(self.forward_s)}  2 x MACs x images / (peak x utilisation)",
            f"              = 2 x {human_count(self.macs)} x {share}"
            f" / ({tflops:g} TFLOP/s x {hardware.utilisation:g})",
            f"backward      {_ms(self.backward_s)}  2 x forward: gradients of inputs and weights",
            f"all-reduce    {_ms(whole)}  2 (N - 1) / N x gradients / bandwidth",
            f"              = 2 x {gpus - 1} / {gpus} x {size} / {hardware.bandwidth_gb:g} GB/s",
            f"not hidden    {_ms(self.waiting_s)}  max(all-reduce - backward, that of the last"
            f" {_BUCKET_BYTES >> 20} MiB)",
            f"step          {_ms(self.step_s)}  forward + backward + not hidden",
            f"images/s      {self.images_per_second:>10,.0f}  batch / step",
            f"efficiency    {100 * self.efficiency:>8.1f} %  (forward + backward) / step",
            f"memory        {human_bytes(self.memory_bytes):>10}  a GPU:"
            f" {human_bytes(memory.peak)} (backbones memory, {memory.optimizer})"
            f" + {human_bytes(self.bucket_bytes)} of buckets",
            "",
            "ring all-reduce: Patarasu & Yuan (2009), J. Parallel Distrib. Comput. 69;",
            "sent while the backward pass goes on, in buckets: Li et al. (2020), PyTorch"
            " Distributed, VLDB 13.",
            "Not counted: reading and decoding, the optimizer's step, latency, batch norm's sums.",
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())


def plan_training(
    model: nn.Module | str | Path,
    input_shape: Sequence[int] | None,
    shared: tuple[int, int],
    hardware: Hardware,
    *,
    optimizer: Optimizer,
    precision: Precision,
) -> TrainingPlan:
    """Plan a step; arguments and errors as of `backbones.plan`.

    Args:
        shared: the batch, and the devices that share it.
    """
    batch, gpus = shared
    if gpus < 1:
        raise WrongUse(f"{gpus} GPUs, expected 1 or more")
    if batch < gpus:
        raise WrongUse(f"a batch of {batch} cannot be shared by {gpus} GPUs: use {gpus} or more")
    network, found = with_inspection(model, input_shape)
    shape = tuple(input_shape) if input_shape is not None else own_shape(network)
    needs = training_memory(
        network, shape, batch=-(-batch // gpus), optimizer=optimizer, precision=precision
    )
    if hardware.tflops is None:
        hardware = replace(hardware, tflops=_PEAK_TFLOPS[precision])
    return TrainingPlan(found.name, gpus, batch, found.macs, needs.gradients, hardware, needs)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:>7.2f} ms"
