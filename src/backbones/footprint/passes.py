"""One inference pass, or one training step, of any module, for its `Ledger`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import BackbonesError, WrongUse, nearest
from backbones.footprint.attention import attention_as_on_cpu
from backbones.footprint.liveness import Follow, Ledger, when_alone
from backbones.footprint.stand_ins import stand_ins
from backbones.nn.auxiliary import WithAuxiliary, total_loss
from backbones.nn.held import in_mode, tensors_in
from backbones.nn.refusals import check_forward, refusal

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Course:
    """What a pass does to memory.

    Args:
        ledger: what was taken and given back, parameters and buffers left out.
        input_bytes: of the images, and of their labels where it trains.
        gradients: bytes of each gradient at the end, in the order of the parameters.
    """

    ledger: Ledger
    input_bytes: int
    gradients: tuple[int, ...] = ()

    @property
    def gradient_bytes(self) -> int:
        """Of all gradients together."""
        return sum(self.gradients)


def run_pass(
    model: nn.Module,
    input_shape: tuple[int, ...],
    batch: int,
    *,
    training: bool,
    precision: Precision = "fp32",
) -> Course:
    """Send a batch through a module, and back where it trains, without any numbers.

    Weights, buffers, gradients, modes and random states are afterwards as they were.

    Args:
        model: any module that takes one batch of floating-point tensors.
        input_shape: of one image, such as (3, 224, 224).
        batch: images, at least 1.
        training: a whole training step instead of an evaluation without gradients.
        precision: "bf16" is autocast around the forward pass, on the CPU, as training does it.

    Raises:
        WrongUse: a batch below 1, no such precision, or the module cannot run on such a batch.
    """
    _check(input_shape, batch, precision)
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    check_forward(model)
    when_alone()  # finds something out, and nothing may be watching then
    modules = dict(model.named_modules())
    try:
        with (
            in_mode(model, modules, training),
            _nothing_else_moves(),
            _without_numbers(precision) as (follow, cast),
        ):
            return _run(modules, (batch, *input_shape), follow, cast, training)
    except BackbonesError:
        raise
    except Exception as error:  # a module's own code may raise anything
        advice = "give the shape of one image as the module expects it, or a larger batch"
        raise refusal(model, error, (batch, *input_shape), advice) from error


def _check(input_shape: tuple[int, ...], batch: int, precision: str) -> None:
    if batch < 1 or any(side < 1 for side in input_shape):
        raise WrongUse(
            f"a batch of {batch} images of {input_shape} has nothing in it; expected numbers"
            " from 1 upwards"
        )
    if precision not in get_args(Precision):
        raise WrongUse(
            f"no precision {precision!r}; expected fp32 or bf16." + nearest(precision, ["bf16"])
        )


@contextmanager
def _nothing_else_moves() -> Iterator[None]:
    """No cycle is collected at an accidental moment, and torch's generator stays where it is."""
    collecting, state = gc.isenabled(), torch.get_rng_state()
    gc.disable()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if collecting:
            gc.enable()


@contextmanager
def _without_numbers(
    precision: Precision,
) -> Iterator[tuple[Follow, Callable[[], AbstractContextManager[Any]]]]:
    """The mode that follows, and what to run the forward pass in.

    Autocast asks for a tensor's device, and knows no "meta": there, tensors say "cpu", which takes
    longer.
    """
    if precision == "fp32":
        yield Follow("meta"), nullcontext
        return
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        yield Follow("cpu"), partial(torch.autocast, "cpu", torch.bfloat16)


def _run(
    modules: Mapping[str, nn.Module],
    shape: tuple[int, ...],
    follow: Follow,
    cast: Callable[[], AbstractContextManager[Any]],
    training: bool,
) -> Course:
    with ExitStack() as stack:
        stack.enter_context(attention_as_on_cpu())
        own = stack.enter_context(stand_ins(modules, follow))
        stack.enter_context(torch.set_grad_enabled(training))
        stack.enter_context(follow)
        dtype = next((t.dtype for t in own if t.is_floating_point()), torch.float32)
        x = torch.empty(shape, dtype=dtype)
        labels = torch.empty(shape[0], dtype=torch.int64) if training else None
        input_bytes = sum(follow.ledger.changes)
        with cast():
            output = modules[""](x)
        follow.ledger.mark("forward")
        if labels is None:
            return Course(follow.ledger, input_bytes)
        follow.place = "loss"
        loss = _loss(output, labels)
        follow.ledger.mark("loss")
        follow.backward = True
        loss.backward()  # type: ignore[no-untyped-call]
        follow.ledger.mark("backward")
        gradients = [tensor.grad.nbytes for tensor in own if tensor.grad is not None]
    return Course(follow.ledger, input_bytes, tuple(gradients))


def _loss(output: Any, labels: Tensor) -> Tensor:
    """Cross entropy of everything that looks like logits, the mean of everything else."""
    if isinstance(output, WithAuxiliary):
        return total_loss(output, lambda logits: _loss(logits, labels))
    losses = [
        F.cross_entropy(tensor.float(), labels)
        if tensor.dim() == 2 and len(tensor) == len(labels)
        else tensor.float().mean()
        for tensor in tensors_in(output)
        if tensor.requires_grad
    ]
    if not losses:
        if next(tensors_in(output), None) is None:
            raise WrongUse(
                f"forward returns {type(output).__name__} without a tensor that can be found in it;"
                " wrap it in a module whose forward(x) returns a tensor, or tensors in a list, a"
                " tuple, a dictionary or a data class"
            )
        raise WrongUse(
            "nothing that the module answers depends on a parameter that trains; expected at"
            " least one with requires_grad"
        )
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total
