"""Where and how a network is computed: one value, chosen in one place.

Every verb that computes takes `device`, `precision` and `threads`, makes one `Compute` of them,
and records it with its results. Of these only `precision` changes an answer by more than the last
bits: bf16 rounds intermediate values to 8 significant bits; weights always stay fp32.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import Literal, TypedDict, TypeVar, get_args

import torch
from torch import nn

from backbones.errors import WrongUse
from backbones.launch import launch

Precision = Literal["fp32", "bf16", "int8"]
PrecisionChoice = Literal["auto", "exact", "fp32", "bf16", "int8"]

# Multiply-accumulates of one forward pass of a batch below which a CPU stays in fp32: bf16 gains
# nothing at 13 million (LeNet-5, batch 32), 1.1 times at 53, 1.2 at 213, 1.5 at 445, 2 at 1,780
# (two AMX cores; `benchmarks/training.py --crossover` measures it elsewhere).
MACS_WORTH_BF16 = 100_000_000

_DEVICE = re.compile(r"(auto|cpu|mps|cuda(?::\d+)?)")
_AMPERE = 8  # the compute capability of the first GPUs that multiply bf16

Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """Where and how a network is computed, with nothing left open; `choose_compute` makes one.

    Args:
        device: "cpu", "mps", "cuda" or "cuda:1".
        precision: of the arithmetic: "fp32", or "bf16" products with fp32 weights; "int8" is what
            networks answer in that `backbones quantize` left.
        threads: of one operation on the CPU.
        engine: what computes answers, a row of `backbones engines`; "auto" until the network is
            known. Whatever needs gradients is computed by torch.
        faster: a precision that many images may be answered in, as far as its answers agree with
            those in `precision`; see `backbones.classifier.checked`. None for none.
        agree: the share of images whose first class must be the same then; None leaves it open.
    """

    device: str
    precision: Precision
    threads: int
    engine: str = "torch"
    faster: Precision | None = None
    agree: float | None = None

    @property
    def exact(self) -> Compute:
        """The same without a faster precision."""
        return replace(self, faster=None)

    @property
    def fast(self) -> Compute:
        """The same in the faster precision, or as it is where there is none."""
        return replace(self, precision=self.faster or self.precision, faster=None)

    @property
    def kind(self) -> str:
        """The device without its number: "cpu", "mps" or "cuda"."""
        return self.device.partition(":")[0]

    def place(self, network: Net) -> Net:
        """Move a network to the device."""
        return network.to(self.device)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, PyTorch computes this way; afterwards as before.

        With fp32 a GPU multiplies in fp32 and not in TF32, which has 11 significant bits.
        """
        before = torch.get_num_threads()
        cudnn = torch.backends.cudnn
        tf32, matmul = cudnn.allow_tf32, torch.get_float32_matmul_precision()
        torch.set_num_threads(self.threads)
        if self.kind == "cuda" and self.precision == "fp32":
            cudnn.allow_tf32 = False
            torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_num_threads(before)
            cudnn.allow_tf32 = tf32
            torch.set_float32_matmul_precision(matmul)

    def to_json(self) -> dict[str, str | int | None]:
        """What every result records: the device, the number format, the engine, the processor."""
        return {
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "engine": self.engine,
            "engine_version": None if self.engine == "auto" else _version(self.engine),
            "instruction_set": instruction_set(),
        }


class ComputeChoice(TypedDict, total=False):
    """What a verb is told about computing, as keywords of `choose_compute`."""

    device: str
    precision: str
    threads: int | None


class AnswerChoice(ComputeChoice, total=False):
    """The same of a verb that only answers, which other engines than torch can do."""

    engine: str


class CheckedChoice(AnswerChoice, total=False):
    """The same of a verb that names classes, which can be compared with exact ones."""

    agree: float | None


def choose_compute(
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    engine: str = "torch",
    agree: float | None = None,
) -> Compute:
    """How to compute answers here.

    Args:
        device: "auto" takes the fastest there is; "cpu", "mps", "cuda", or "cuda:1" for the second
            GPU.
        precision: "fp32" and "exact" are the same, and their answers need no proof; "bf16" is
            faster on devices with units for it. "auto" is fp32, which verbs that answer many images
            leave for bf16 on such devices, as far as the answers agree.
        threads: of one operation on the CPU; as PyTorch has it where None.
        engine: what computes answers; see `backbones.engines`.
        agree: with "auto", the share of images whose first class must be that of fp32.

    Raises:
        WrongUse: no such choice, or the device is not there or cannot do it.

    Example:
        >>> chosen = choose_compute("cpu", "exact", threads=1)
        >>> chosen.device, chosen.precision, chosen.threads
        ('cpu', 'fp32', 1)
    """
    place = choose_device(device)
    if precision not in get_args(PrecisionChoice):
        raise WrongUse(
            f"precision is {precision!r}, expected one of {', '.join(get_args(PrecisionChoice))}"
        )
    if threads is not None and threads < 1:
        raise WrongUse(f"threads is {threads}, expected at least 1")
    if precision == "int8":
        raise WrongUse(
            "int8 is for networks that were quantised: run `backbones quantize BUNDLE DATA -o OUT`"
            " first, and name OUT"
        )
    if precision == "bf16":
        refuse_slow_bf16(place)
    refuse_agree(agree, precision)
    chosen: Precision = "bf16" if precision == "bf16" else "fp32"
    faster: Precision | None = (
        "bf16" if precision == "auto" and agree != 1 and has_bf16_units(place) else None
    )
    num_threads = torch.get_num_threads() if threads is None else threads
    return Compute(place, chosen, num_threads, engine, faster, agree)


def refuse_agree(agree: float | None, precision: str) -> None:
    """A share that can't be asked for.

    Raises:
        WrongUse: this is one.
    """
    if agree is None:
        return
    if not 0.5 <= agree <= 1:
        raise WrongUse(f"agree is {agree:g}, expected a share from 0.5 to 1, such as 0.999")
    if precision != "auto":
        raise WrongUse(
            f"agree is for precision auto, and precision is {precision}, whose answers are given"
            " as they are; omit one of the two"
        )


def choose_device(wanted: str = "auto") -> str:
    """The device to work on: the one asked for, or the fastest there is.

    Raises:
        WrongUse: no such device, or not here; says what there is.
    """
    there = devices()
    if launch().local_size > 1 and there[0] == "cuda" and wanted in ("auto", "cuda"):
        return _own_gpu(there)
    if wanted == "auto":
        return there[0]
    if not _DEVICE.fullmatch(wanted):
        raise WrongUse(f"device is {wanted!r}, expected auto, cpu, cuda, cuda:1 or mps")
    if wanted not in there and f"{wanted}:0" not in there:
        raise WrongUse(
            f"device {wanted} is not available here; use auto or one of: {', '.join(there)}"
        )
    return wanted


def _own_gpu(there: Sequence[str]) -> str:
    """Of several processes on this machine, each has a GPU."""
    started = launch()
    own = f"cuda:{started.local_rank}"
    if own not in there:
        raise WrongUse(
            f"{started.local_size} processes were started on this machine, and its GPUs are"
            f" {', '.join(there[1:])}: start one process a GPU (torchrun --nproc-per-node"
            f" {len([each for each in there if each.startswith('cuda:')])}), or use device cpu"
        )
    return own


def shared_device(device: str) -> str:
    """What a recipe of several processes calls the device: each puts in its own number."""
    return device.partition(":")[0] if launch().local_size > 1 else device


def devices() -> tuple[str, ...]:
    """The devices of this machine, the fastest first.

    Example:
        >>> devices()[-1]
        'cpu'
    """
    found = []
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def has_bf16_units(device: str = "cpu") -> bool:
    """Whether the device multiplies bf16 matrices in hardware (AVX512-BF16, AMX, Ampere on)."""
    if device.startswith("cuda"):
        return torch.cuda.is_available() and (
            torch.cuda.get_device_capability(torch.device(device))[0] >= _AMPERE
        )
    if device == "mps":
        return False
    flags = _cpu_flags()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def instruction_set() -> str:
    """The widest units of the CPU for products of matrices, or its architecture's name."""
    flags = _cpu_flags()
    names = ("amx_int8", "amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")
    return next((name for name in names if name in flags), platform.machine())


def refuse_slow_bf16(device: str) -> None:
    """A GPU without units for bf16 imitates them, many times slower than fp32.

    Raises:
        WrongUse: this is one.
    """
    if device.startswith("cuda") and not has_bf16_units(device):
        raise WrongUse(f"{device} has no units for bf16 (Ampere and later have); use fp32")


@cache
def _version(package: str) -> str:
    """Read once: that takes milliseconds, and a server says it with every answer."""
    return metadata.version(package)


@cache
def _cpu_flags() -> frozenset[str]:
    """The processor's feature flags as Linux lists them; empty on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("flags"):
                    return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return frozenset()


def training_precision(device: str, *, macs_per_step: int | None) -> Literal["fp32", "bf16"]:
    """The number format to train in where the recipe leaves it open.

    bf16 where the device has units for it, except for steps so small that the time goes into
    starting operations: below `MACS_WORTH_BF16` a CPU stays in fp32.

    Args:
        device: to train on.
        macs_per_step: multiply-accumulates of one forward pass of the whole batch; None where
            nobody counted them, which is taken as large.
    """
    if not has_bf16_units(device):
        return "fp32"
    if device == "cpu" and macs_per_step is not None and macs_per_step < MACS_WORTH_BF16:
        return "fp32"
    return "bf16"
