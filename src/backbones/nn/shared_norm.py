"""Batch normalisation over a batch that several processes have parts of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SharedBatchNorm2d(nn.BatchNorm2d):
    """What `torch.nn.SyncBatchNorm` is on GPUs, for processors: that one refuses them.

    In training the mean and the variance are those of all processes' images; every process has to
    call it, also one without images. Evaluation is that of `torch.nn.BatchNorm2d`.

    Args:
        norm: whose weights and running averages it takes over, not as copies.
        total: the sum of all processes' tensors, through which gradients go.
    """

    def __init__(self, norm: nn.BatchNorm2d, total: Callable[[Tensor], Tensor]) -> None:
        super().__init__(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training = norm.training
        self._total = total  # a function, which copies of a network share

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        with torch.autocast(input.device.type, enabled=False):
            return self._normalised(input.float()).to(input.dtype)

    def _normalised(self, x: Tensor) -> Tensor:
        places = x.new_full((1,), x.numel() / x.shape[1])
        sums = self._total(torch.cat([x.sum((0, 2, 3)), places]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean[:, None, None]
        variance = self._total(centred.square().sum((0, 2, 3))) / count
        self._follow(mean.detach(), variance.detach(), count)
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        shift = self.bias[:, None, None] if self.affine else 0.0
        return centred * scale[:, None, None] + shift

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running averages, the variance's without its bias."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked or 1)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), share)


class _Summed(torch.autograd.Function):
    """The sum of all processes' tensors; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        summed = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(summed, group=group)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Summed.apply(gradients[0], ctx.group), None  # type: ignore[no-untyped-call]


def share_norms(model: nn.Module, device: torch.device, group: dist.ProcessGroup | None) -> None:
    """Let a network's batch normalisation see what all processes have of a batch.

    Args:
        model: changed in place; names of weights and averages stay.
        device: where it trains: on GPUs by `torch.nn.SyncBatchNorm`.
        group: of the processes; what `SyncBatchNorm` uses is the default one.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return

    def total(tensor: Tensor) -> Tensor:
        summed: Tensor = _Summed.apply(tensor, group)  # type: ignore[no-untyped-call]
        return summed

    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, SharedBatchNorm2d(child, total))
