"""The sum that many tutorials print as the size of a network, so that a learner finds it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from backbones.footprint.estimates import network_and_shape
from backbones.footprint.passes import run_pass
from backbones.nn.refusals import check_forward

MIB = 2**20


@dataclass(frozen=True)
class TorchsummaryTotal:
    """What "torchsummary" prints for one image, in MiB, which it calls MB.

    It is no memory that anything needs: it holds the output of every layer, in-place ones and
    those of whole blocks too, twice, as if none were given back and each had a gradient.

    Args:
        input_mib: the image.
        passes_mib: "Forward/backward pass size": outputs times two.
        params_mib: "Params size".
        pooling_mib: the share of `passes_mib` that pooling layers have. Code that calls pooling as
            a function hides it; `without_pooling` is what it prints.
    """

    input_mib: float
    passes_mib: float
    params_mib: float
    pooling_mib: float = 0.0

    @property
    def total_mib(self) -> float:
        """ "Estimated Total Size"."""
        return self.input_mib + self.passes_mib + self.params_mib

    def without_pooling(self) -> TorchsummaryTotal:
        """The sum for the same network with pooling called as a function.

        Example:
            >>> round(torchsummary_total("vgg19_bn_nobias").without_pooling().total_mib, 2)
            888.77
        """
        return replace(self, passes_mib=self.passes_mib - self.pooling_mib, pooling_mib=0.0)

    def to_json(self) -> dict[str, Any]:
        """The fields and the total."""
        return {**asdict(self), "total_mib": self.total_mib}

    def to_text(self) -> str:
        """One line, rounded as the tutorials have it."""
        return (
            f"torchsummary-style total (MiB): input {self.input_mib:.2f}, forward/backward pass"
            f" {self.passes_mib:.2f}, params {self.params_mib:.2f}, total {self.total_mib:.2f}"
        )


def torchsummary_total(
    model: nn.Module | str, input_shape: Sequence[int] | None = None
) -> TorchsummaryTotal:
    """Add up what the tutorials add up.

    Args:
        model: any module that takes one batch, or the name of a variant.
        input_shape: of one image; a network of this package knows its own.

    Raises:
        NotFound: no such variant.
        WrongUse: the module cannot run on such a batch without numbers.

    Deviation: parameters count once and whatever they are called, where torchsummary counts those
        of a layer that runs twice twice, and only what is called weight or bias.

    Example:
        >>> round(torchsummary_total("vgg16").total_mib, 2)
        747.15
    """
    network, shape = network_and_shape(model, input_shape)
    with hearing_outputs(network) as heard:
        run_pass(network, shape, 1, training=False)
    return add_up(network, shape, heard)


@dataclass(frozen=True)
class HeardOutput:
    """What came out of a layer or block.

    Args:
        pools: it is a max pooling layer's.
        num_values: of one image.
        printed: it stands in the tables that papers and lecture notes print: the output of a
            convolution, of a fully connected layer, or of a pooling that makes maps smaller.
    """

    pools: bool
    num_values: int
    printed: bool = False


def add_up(
    network: nn.Module, input_shape: Sequence[int], heard: Sequence[HeardOutput]
) -> TorchsummaryTotal:
    """The sum, from a pass that was heard.

    Args:
        network: that ran.
        input_shape: of one image.
        heard: what `hearing_outputs` gave.
    """
    return TorchsummaryTotal(
        4 * math.prod(input_shape) / MIB,
        2 * 4 * sum(output.num_values for output in heard) / MIB,
        4 * sum(parameter.numel() for parameter in network.parameters()) / MIB,
        2 * 4 * sum(output.num_values for output in heard if output.pools) / MIB,
    )


@contextmanager
def hearing_outputs(network: nn.Module) -> Iterator[list[HeardOutput]]:
    """Note how many numbers come out of every layer and block, each time that it runs."""
    heard: list[HeardOutput] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        pools = any(each.__module__ == nn.MaxPool2d.__module__ for each in type(module).__mro__)
        several = output if isinstance(output, list | tuple) else (output,)
        smaller = pools and inputs[0].shape != getattr(output, "shape", None)
        printed = smaller or isinstance(module, _ConvNd | nn.Linear)
        heard.extend(
            HeardOutput(pools, math.prod(tensor.shape[1:]), printed)
            for tensor in several
            if isinstance(tensor, Tensor)
        )

    check_forward(network)  # TorchScript has no hooks
    hooks = [
        module.register_forward_hook(hook)
        for module in network.modules()
        if module is not network and not isinstance(module, nn.Sequential | nn.ModuleList)
    ]
    try:
        yield heard
    finally:
        for registered in hooks:
            registered.remove()
