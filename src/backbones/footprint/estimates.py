"""How much memory an evaluation and a training step need, of any module, at any batch size.

Counted is what PyTorch allocates for the network: weights, gradients, the optimiser's state, the
batch, and every result for as long as something holds it. Not counted is what comes on top: scratch
space inside an operator (oneDNN's and cuDNN's copies in another layout), what an allocator rounds
up or keeps for later, the libraries, batches that wait in a data pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, count, pairwise
from math import isqrt
from typing import Any, Literal, get_args

from torch import nn

from backbones.errors import WrongUse, nearest
from backbones.footprint.passes import Course, Precision, run_pass
from backbones.models import find_row, make
from backbones.nn.held import own_tensors
from backbones.nn.meta import ShapesOnly
from backbones.text import preformatted
from backbones.units import human_bytes

Optimizer = Literal["sgd", "sgd_momentum", "adam", "adamw", "rmsprop", "rmsprop_momentum"]

# Tensors as large as the parameter that an optimiser keeps for each, and numbers of 4 bytes.
_STATE: dict[str, tuple[int, int]] = {
    "sgd": (0, 0),
    "sgd_momentum": (1, 0),
    "adam": (2, 1),
    "adamw": (2, 1),
    "rmsprop": (1, 1),
    "rmsprop_momentum": (2, 1),
}


@dataclass(frozen=True)
class InferenceMemory:
    """What one evaluation of a batch needs, in bytes; the parts add up to the peak.

    Args:
        batch: images.
        parameters, buffers: of the module, shared ones once.
        images: the batch itself, which the caller holds.
        activations: all other results that are alive at the fullest moment.
        peak: everything at that moment.
        layer: module path of the layer that ran then.
    """

    batch: int
    parameters: int
    buffers: int
    images: int
    activations: int
    peak: int
    layer: str

    def to_json(self) -> dict[str, Any]:
        """The fields, under their names; `images` also as `pictures`, as it was called before."""
        return {**asdict(self), "pictures": self.images}

    def to_text(self) -> str:
        """A short table for people."""
        return _table(
            f"inference, batch {self.batch}",
            [
                ("parameters and buffers", self.parameters + self.buffers, ""),
                ("images", self.images, ""),
                ("largest live activations", self.activations, f"in {self.layer}"),
                ("peak", self.peak, ""),
            ],
        )

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())


@dataclass(frozen=True)
class TrainingMemory:
    """What one training step needs, in bytes.

    The parts do not add up to the peak: activations go while gradients come.

    Args:
        batch: images.
        optimizer, precision: as asked for.
        parameters, buffers: of the module, shared ones once.
        images: the batch and its labels.
        activations: kept for the backward pass, and the answer, when the loss is known.
        gradients: of all parameters that train, when the backward pass ends.
        optimizer_state: between steps.
        peak: the most that is alive at once in forward pass, loss, backward pass and step.
        fullest: when that is, such as "backward, in convolution_backward".
    """

    batch: int
    optimizer: str
    precision: str
    parameters: int
    buffers: int
    images: int
    activations: int
    gradients: int
    optimizer_state: int
    peak: int
    fullest: str

    def to_json(self) -> dict[str, Any]:
        """The fields, under their names; `images` also as `pictures`, as it was called before."""
        return {**asdict(self), "pictures": self.images}

    def to_text(self) -> str:
        """A short table for people."""
        return _table(
            f"training, batch {self.batch}, {self.optimizer}, {self.precision}",
            [
                ("parameters and buffers", self.parameters + self.buffers, ""),
                ("images and labels", self.images, ""),
                ("activations kept for backward", self.activations, ""),
                ("gradients", self.gradients, ""),
                ("optimizer state", self.optimizer_state, ""),
                ("peak", self.peak, f"in {self.fullest}"),
            ],
        )

    def _repr_html_(self) -> str:
        return preformatted(self.to_text())


def inference_memory(
    model: nn.Module | str,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    precision: Precision = "fp32",
) -> InferenceMemory:
    """What an evaluation without gradients needs at its fullest moment.

    Args:
        model: any module that takes one batch, or the name of a variant.
        input_shape: of one image; a network of this package knows its own.
        batch: images.
        precision: "bf16" is autocast on the CPU; it takes a few times longer to work out.

    Raises:
        NotFound: no such variant.
        WrongUse: the module cannot run on such a batch without numbers.

    Example:
        >>> memory = inference_memory("vgg16")
        >>> memory.layer, memory.activations == 2 * 64 * 224 * 224 * 4
        ('features.2', True)
    """
    network, shape = network_and_shape(model, input_shape)
    course = run_pass(network, shape, batch, training=False, precision=precision)
    live = list(accumulate(course.ledger.changes))
    fullest = max(range(len(live)), key=live.__getitem__)
    parameters, buffers = _own_bytes(network)
    return InferenceMemory(
        batch=batch,
        parameters=parameters,
        buffers=buffers,
        images=course.input_bytes,
        activations=live[fullest] - course.input_bytes,
        peak=parameters + buffers + live[fullest],
        layer=course.ledger.places[fullest],
    )


def training_memory(
    model: nn.Module | str,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 32,
    optimizer: Optimizer = "sgd_momentum",
    precision: Precision = "fp32",
) -> TrainingMemory:
    """What a training step needs, forward, loss, backward and optimiser, once training is going.

    Args:
        model: any module that takes one batch, or the name of a variant. Parameters that do not
            require gradients get none.
        input_shape: of one image; a network of this package knows its own.
        batch: images; batch normalisation needs 2.
        optimizer: of `torch.optim`, fused where `backbones train` fuses it.
        precision: "bf16" is autocast around the forward pass, as `backbones train` does it on the
            CPU; it takes a few times longer to work out.

    Raises:
        NotFound: no such variant.
        WrongUse: no such optimiser, or the module cannot run on such a batch without numbers.

    Example:
        >>> memory = training_memory("vgg16", batch=64, optimizer="adam")
        >>> memory.gradients == memory.parameters == 4 * 138_357_544
        True
    """
    network, shape = network_and_shape(model, input_shape)
    _check_optimizer(optimizer)
    course = run_pass(network, shape, batch, training=True, precision=precision)
    live = list(accumulate(course.ledger.changes))
    fullest = max(range(len(live)), key=live.__getitem__)
    parameters, buffers = _own_bytes(network)
    in_step = live[course.ledger.marks["backward"] - 1] + _step_bytes(optimizer, course)
    state = _state_bytes(optimizer, course)
    return TrainingMemory(
        batch=batch,
        optimizer=optimizer,
        precision=precision,
        parameters=parameters,
        buffers=buffers,
        images=course.input_bytes,
        activations=live[course.ledger.marks["loss"] - 1] - course.input_bytes,
        gradients=course.gradient_bytes,
        optimizer_state=state,
        peak=parameters + buffers + state + max(live[fullest], in_step),
        fullest=_when(course, fullest) if live[fullest] >= in_step else "the optimizer's step",
    )


def largest_batch(
    model: nn.Module | str,
    input_shape: Sequence[int] | None,
    budget_bytes: int,
    *,
    training: bool = True,
    optimizer: Optimizer = "sgd_momentum",
    precision: Precision = "fp32",
) -> int:
    """The largest batch whose peak is within a budget; 0 where none is.

    Leave room for what is not counted; see the head of this module.

    Args:
        model, input_shape, optimizer, precision: as `training_memory` has them.
        budget_bytes: for everything that is counted.
        training: a training step; else an evaluation.

    Raises:
        NotFound: no such variant.
        WrongUse: no such optimiser, or the module cannot run without numbers.

    Example:
        >>> largest_batch("resnet50", None, 8 * 2**30)
        96
    """
    network, shape = network_and_shape(model, input_shape)
    _check_optimizer(optimizer)

    def fits(batch: int) -> bool:
        try:
            if training:
                needs = training_memory(
                    network, shape, batch=batch, optimizer=optimizer, precision=precision
                ).peak
            else:
                needs = inference_memory(network, shape, batch=batch, precision=precision).peak
        except WrongUse:
            if batch == 1:  # which batch normalisation refuses to train on
                return False
            raise
        return needs <= budget_bytes

    known = _prime_batch(network, shape)
    course = run_pass(network, shape, known, training=training, precision=precision)
    state = _state_bytes(optimizer, course) if training else 0
    return _largest(fits, _estimate(course, known, budget_bytes - sum(_own_bytes(network)) - state))


def _largest(fits: Callable[[int], bool], estimate: int) -> int:
    """The largest number that fits, 0 where none does; a good estimate spares questions."""
    fitting, too_large = (estimate, estimate + 1) if estimate and fits(estimate) else (0, estimate)
    if fitting == estimate:
        too_large = estimate + 1
        while fits(too_large):
            fitting, too_large = too_large, 2 * too_large
    while too_large - fitting > 1:
        middle = (fitting + too_large) // 2
        fitting, too_large = (middle, too_large) if fits(middle) else (fitting, middle)
    return fitting


def _prime_batch(network: nn.Module, input_shape: Sequence[int]) -> int:
    """A prime batch size that divides the size of nothing in the module."""
    sizes = [tensor.numel() for tensor in (*network.parameters(), *network.buffers())]
    sizes += input_shape
    return next(
        number
        for number in count(101, 2)
        if all(number % divisor for divisor in range(3, isqrt(number) + 1, 2))
        and all(size % number for size in sizes if size)
    )


def _estimate(course: Course, batch: int, room: int) -> int:
    """The batch at which a moment of this course first fills the room.

    What is divisible by this batch's prime size belongs to its images, the rest to all alike.
    """
    shared = accumulate(0 if change % batch == 0 else change for change in course.ledger.changes)
    each = accumulate(
        change // batch if change % batch == 0 else 0 for change in course.ledger.changes
    )
    return max(0, min((room - s) // e for s, e in zip(shared, each, strict=True) if e > 0))


def network_and_shape(
    model: nn.Module | str, input_shape: Sequence[int] | None
) -> tuple[nn.Module, tuple[int, ...]]:
    """The module, and the shape of one image."""
    if isinstance(model, str):
        with ShapesOnly():
            model = make(*find_row(model))
    if input_shape is not None:
        return model, tuple(input_shape)
    known: Any = model
    try:
        return model, (known.in_channels, known.row.input_px, known.row.input_px)
    except AttributeError:
        raise WrongUse(
            f"{type(model).__name__} does not say which images it takes; give the shape of one,"
            " such as (3, 224, 224)"
        ) from None


def _own_bytes(network: nn.Module) -> tuple[int, int]:
    """Of parameters and of buffers."""
    parameters, buffers = own_tensors(dict(network.named_modules()))
    return (
        sum(tensor.numel() * tensor.element_size() for tensor in parameters.values()),
        sum(tensor.numel() * tensor.element_size() for tensor in buffers.values()),
    )


def _check_optimizer(optimizer: str) -> None:
    if optimizer not in _STATE:
        known = get_args(Optimizer)
        raise WrongUse(
            f"no optimizer {optimizer!r}; expected one of {', '.join(known)}."
            + nearest(optimizer, known)
        )


def _state_bytes(optimizer: str, course: Course) -> int:
    """What the optimiser keeps between steps."""
    tensors, numbers = _STATE[optimizer]
    return tensors * course.gradient_bytes + 4 * numbers * len(course.gradients)


def _step_bytes(optimizer: str, course: Course) -> int:
    """What the step itself takes for a while.

    The fused optimisers take nothing. RMSprop, which PyTorch does not fuse, goes from parameter to
    parameter with a decayed gradient and a root, and holds the last root until the next one is
    there.
    """
    if not optimizer.startswith("rmsprop"):
        return 0
    sizes = (0, *course.gradients)
    return max((before + 2 * here for before, here in pairwise(sizes)), default=0)


def _when(course: Course, event: int) -> str:
    place = course.ledger.places[event]
    for phase in ("forward", "loss"):
        if event < course.ledger.marks[phase]:
            return f"{phase}, in {place}" if place != phase else phase
    return f"backward, in {place}"


def _table(title: str, rows: Sequence[tuple[str, int, str]]) -> str:
    """A line a row: name, bytes for people, remark."""
    lines = [title]
    lines += [
        f"  {name:<30} {human_bytes(size):>10}  {remark}".rstrip() for name, size, remark in rows
    ]
    return "\n".join(lines)
