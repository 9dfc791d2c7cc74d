"""The engines, one row each, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from backbones.compute import Compute, Precision, has_bf16_units, instruction_set
from backbones.errors import MissingExtra, WrongUse
from backbones.nn.evaluating import Network, RuntimeNetwork

SMALLEST_BUILT = 64  # px
FEWEST_BUILT = 64  # images

Program = Callable[[nn.Module, Tensor], Tensor]
"""From a network and images to logits; what it builds is of the first network that it is given."""

_PROGRAMS: WeakKeyDictionary[nn.Module, dict[Any, Program]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Engine:
    """A way to compute a network; a row of the table.

    Args:
        name: what `--engine` takes.
        distribution: the package that it is, whose version is recorded.
        needs: the packages that it imports.
        extra: of this package, that installs it; None where it is always there.
        devices: kinds of devices that it computes on.
        precisions: that it computes in; bf16 only where the device has units for it, int8 only
            networks that were quantised.
        compiled: whether it builds a program of its own for each network, which takes time.
        files_only: whether it computes nothing but the files that `backbones export` left for it.
        summary: one line.
        limits: what it can't do.
    """

    name: str
    distribution: str
    needs: tuple[str, ...]
    extra: str | None
    devices: tuple[str, ...]
    precisions: tuple[Precision, ...]
    compiled: bool
    summary: str
    limits: str
    files_only: bool = False

    @property
    def version(self) -> str | None:
        """Of the installed package; None where there is none."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            return None

    @property
    def is_here(self) -> bool:
        """Whether its packages can be imported."""
        return all(find_spec(each) is not None for each in self.needs)

    def build(self, network: nn.Module, compute: Compute) -> Network:
        """A function from images to logits.

        Args:
            network: in any mode; it is computed in evaluation mode, and left as it is.
            compute: device, precision and threads.

        Returns:
            Takes float32 images (N, C, H, W), normalised, and gives float32 logits, (N, K) or
            maps of them (N, K, h, w). It raises NotFinite where one is nan or infinite.

        Raises:
            MissingExtra: the package isn't installed.
            WrongUse: it computes exported files only.
        """
        if not self.is_here:
            raise self.missing()
        if self.files_only and not isinstance(network, RuntimeNetwork):
            raise WrongUse(f"engine {self.name} computes exported files only; omit --engine")
        built = _PROGRAMS.setdefault(network, {})
        key = (compute, _state_of(network) if self.compiled else ())
        if key not in built:
            for old in [each for each in built if each[1] != key[1] or len(built) > 1]:
                del built[old]  # of weights that have changed, or of another engine
            name = "torch" if isinstance(network, RuntimeNetwork) else self.name
            module = import_module(f"backbones.engines.{name}_engine")
            built[key] = module.Program(compute)
        return partial(built[key], network)

    def missing(self) -> MissingExtra:
        """The error where a package isn't installed."""
        absent = next(each for each in self.needs if find_spec(each) is None)
        return MissingExtra(absent, str(self.extra), f"the engine {self.name}")

    def refusal(self, compute: Compute) -> str | None:
        """Why it can't compute this way here; None where it can."""
        if compute.kind not in self.devices:
            return f"engine {self.name} computes on {', '.join(self.devices)}, not {compute.device}"
        if compute.precision not in self.precisions:
            return (
                f"engine {self.name} computes in {', '.join(self.precisions)},"
                f" not {compute.precision}"
            )
        if self.compiled and compute.precision == "bf16" and not has_bf16_units(compute.device):
            return (
                f"engine {self.name} computes bf16 only where there are units for it, and this"
                f" processor has {instruction_set()}; use --precision fp32"
            )
        return None


ENGINES = (
    Engine(
        "openvino",
        distribution="openvino",
        needs=("openvino",),
        extra="engines",
        devices=("cpu",),
        precisions=("fp32", "bf16", "int8"),
        compiled=True,
        summary="The fastest on a CPU. It never reports anything to anybody.",
        limits="CPU only here; a network is converted first, which takes a second or a few; int8"
        " needs one that `backbones quantize` left.",
    ),
    Engine(
        "onnxruntime",
        distribution="onnxruntime",
        needs=("onnxruntime", "onnx", "onnxscript"),
        extra="onnx",
        devices=("cpu",),
        precisions=("fp32",),
        compiled=True,
        summary="fp32 on a CPU where there is no OpenVINO.",
        limits="fp32 only; a network is exported first, which takes some seconds.",
    ),
    Engine(
        "torch",
        distribution="torch",
        needs=("torch",),
        extra=None,
        devices=("cpu", "cuda", "mps"),
        precisions=("fp32", "bf16"),
        compiled=False,
        summary="PyTorch, operation by operation: always there, on every device.",
        limits="On a CPU slower than the others.",
    ),
    Engine(
        "ai-edge-litert",
        distribution="ai-edge-litert",
        needs=("ai_edge_litert",),
        extra="litert",
        devices=("cpu",),
        precisions=("fp32",),
        compiled=False,
        summary="The interpreter of phones, for files of `export --to litert`.",
        limits="It computes nothing else, one image at a time; an environment of its own.",
        files_only=True,
    ),
)


def find_engine(name: str) -> Engine:
    """The row of that name.

    Raises:
        WrongUse: there is none.
    """
    for each in ENGINES:
        if each.name == name:
            return each
    names = ", ".join(["auto", *(each.name for each in ENGINES)])
    raise WrongUse(f"engine is {name!r}, expected one of {names}")


def choose_engine(compute: Compute, input_px: int, num_images: int | None) -> Engine:
    """The engine that `auto` takes: the first of the table that is here and can do it.

    To build a program takes a second or a few, so that few images, or small ones, are answered by
    torch before it would be ready.

    Args:
        compute: device, precision and threads.
        input_px: side of the square that the network sees, px.
        num_images: to answer; None for no end of them.
    """
    few = num_images is not None and num_images < FEWEST_BUILT
    for each in ENGINES:
        if each.compiled and (few or input_px < SMALLEST_BUILT):
            continue
        if each.is_here and each.refusal(compute) is None:
            return each
    return find_engine("torch")


def settled(compute: Compute, input_px: int, num_images: int | None = None) -> Compute:
    """The same with its engine chosen, where that was left open.

    An engine that can't compute in a faster precision leaves that out.

    Args:
        compute: as `choose_compute` makes it.
        input_px, num_images: as of `choose_engine`.

    Raises:
        WrongUse: the engine that was asked for can't compute this way; says why.
        MissingExtra: its package isn't installed.
    """
    if compute.engine == "auto":
        engine = choose_engine(compute, input_px, num_images)
    else:
        engine = find_engine(compute.engine)
        if (reason := engine.refusal(compute)) is not None:
            raise WrongUse(reason)
        if not engine.is_here:
            raise engine.missing()
    faster = None if engine.refusal(compute.fast) else compute.faster
    return replace(compute, engine=engine.name, faster=faster)


def _state_of(network: nn.Module) -> tuple[tuple[int, int], ...]:
    """Where the weights are and how often each was written, which changes when they do."""
    return tuple((each.data_ptr(), each._version) for each in network.state_dict().values())
