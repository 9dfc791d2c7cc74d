"""One of several processes' part of a training step: its copy of the network, its rows of a batch.

The gradients of all copies are added up by PyTorch's DistributedDataParallel (Li et al. 2020,
PyTorch Distributed, VLDB 13), so that they are those of the whole batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from backbones.nn.auxiliary import WithAuxiliary
from backbones.ranks import Ranks


@dataclass(frozen=True)
class WholeBatch:
    """What all processes have of one batch together.

    Args:
        rank: of this process.
        counts: images that could be read, of each process.
        weight: what the sum of the images' losses is divided by.
        bad: (file, reason) of the others, in the order of the batch.
    """

    rank: int
    counts: tuple[int, ...]
    weight: float
    bad: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """Images that could be read."""
        return sum(self.counts)

    @contextmanager
    def sampled_as_one(self) -> Iterator[None]:
        """Inside, dropout leaves out of this process's rows what one process would leave out."""
        if len(self.counts) == 1:
            yield
            return
        with _RowsOf(sum(self.counts[: self.rank]), self.counts[self.rank], self.count):
            yield


class _RowsOf(TorchFunctionMode):
    """Dropout and DropPath sample for the whole batch, and take this process's rows of it."""

    def __init__(self, before: int, count: int, total: int) -> None:
        super().__init__()
        self._rows, self._count, self._total = slice(before, before + count), count, total

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is F.dropout:
            return self._dropout(*args, **given)
        if func is Tensor.bernoulli_ and len(args[0]) == self._count:
            sampled = self._whole(args[0]).bernoulli_(*args[1:], **given)
            return args[0].copy_(sampled[self._rows])
        return func(*args, **given)

    def _whole(self, rows: Tensor) -> Tensor:
        """Room for the whole batch, laid out as its rows are."""
        order = torch.contiguous_format
        if rows.dim() == 4 and rows.is_contiguous(memory_format=torch.channels_last):
            order = torch.channels_last
        shape = (self._total, *rows.shape[1:])
        return torch.empty(shape, dtype=rows.dtype, device=rows.device, memory_format=order)

    def _dropout(
        self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0 or len(input) != self._count:
            return F.dropout(input, p, training, inplace)
        kept = F.dropout(self._whole(input).fill_(1), p)[self._rows]
        return input.mul_(kept) if inplace else input * kept


class _Part(nn.Module):
    """A network that takes part in the sum of gradients also where it is shown no images."""

    def __init__(self, network: Callable[[Tensor], Any], *, always: bool) -> None:
        super().__init__()
        self.network, self.always = network, always

    def forward(self, images: Tensor) -> Tensor | WithAuxiliary:
        if len(images) or self.always:
            answer: Tensor | WithAuxiliary = self.network(images)
            return answer
        weights = [each.flatten()[:1] for each in self.parameters() if each.requires_grad]
        return torch.cat([each.float() for each in weights]).sum()[None, None][:0]


def replicate(
    network: Callable[[Tensor], Any], ranks: Ranks, device: torch.device, *, synced: bool
) -> DistributedDataParallel:
    """The network as one of several processes trains it; all call this.

    A process without images hangs zeros on every parameter. Where batch norm is shared, it goes
    through the network with none instead, for the others wait for it there.

    Args:
        network: with what is frozen frozen; or its compiled form.
        ranks: the processes.
        device: where the network is.
        synced: batch norm is shared.
    """
    # of kernels with one channel, whose strides mean nothing
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    part = _Part(network, always=False)
    replica = DistributedDataParallel(part, process_group=ranks.device_group(device))
    # Buckets are laid out anew after the first gradients have come, in the order of their coming:
    # here rather than in the first step, or a resumed run would add up in another order.
    replica(torch.empty(0, device=device)).sum().backward()
    replica.zero_grad(set_to_none=True)
    part.always = synced
    return replica
