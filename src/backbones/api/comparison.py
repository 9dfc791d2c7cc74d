"""Networks side by side: what they cost, what was published, how fast they are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack, get_args

from torch import nn

from backbones.compute import AnswerChoice, choose_compute
from backbones.engines import settled
from backbones.errors import WrongUse
from backbones.progress import Progress
from backbones.report.compared import Accuracy, MeasuredSpeed
from backbones.report.comparison import Comparison
from backbones.workflows.comparison import entries_of, look_at, take_turns

__all__ = ["compare"]


def compare(
    models: Sequence[nn.Module | str | Path] | nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    measure: bool = True,
    accuracy: Accuracy = "torchvision",
    progress: Progress | None = None,
    **compute: Unpack[AnswerChoice],
) -> Comparison:
    """Put networks side by side: size, cost, published accuracy, speed on this machine.

    Args:
        models: modules that take one tensor, or names: variants, patterns of them ("vgg*"), ids of
            published weights, bundles, "FILE.py:FUNCTION".
        input_shape: (channels, height, width) of an image; each network's own where None.
        batch: images, at least 1; MACs, activations and times are for all of them.
        measure: time forward passes, in rounds in which all networks take turns; they are made
            one at a time, so that memory holds only the largest.
        accuracy: whose weights the published accuracy is of. "torchvision": of one series, trained
            on ImageNet alone (for CIFAR-10 akamaster's), so that networks and not training are
            compared; "paper": what each paper printed for one network by its own protocol;
            "best": the highest, whatever images and recipe it took. Ids of weights bring their
            own.
        device, precision, threads, engine: as of `choose_compute`, to measure with; "auto" is
            torch, for others have to build a program of each network first.
        progress: called with (passes timed, passes in all), a pass a network and round.

    Raises:
        NotFound: no such variant, file or function, or nothing fits a pattern.
        WrongUse: no networks, no such choice of accuracy, a device that is not there, or a shape
            that a network does not take.

    Example:
        >>> found = compare(["lenet5", "vgg16"], measure=False)
        >>> [(row.name, row.params) for row in found.rows]
        [('lenet5', 61706), ('vgg16', 138357544)]
    """
    entries = entries_of([models] if isinstance(models, nn.Module | str | Path) else models)
    if not entries:
        raise WrongUse("nothing to compare: name at least one network")
    if accuracy not in get_args(Accuracy):
        raise WrongUse(f"accuracy is {accuracy!r}, expected torchvision, paper or best")
    chosen = choose_compute(**compute) if measure else None
    rows = [look_at(entry, input_shape, batch, accuracy) for entry in entries]
    if chosen is None:
        return Comparison(tuple(rows), batch, accuracy)
    chosen = settled(chosen.exact, min(row.input[-1] for row in rows), num_images=1)
    times = take_turns(entries, [(batch, *row.input) for row in rows], chosen, progress)
    rows = [
        replace(row, measured=MeasuredSpeed(batch, tuple(rounds)))
        for row, rounds in zip(rows, times, strict=True)
    ]
    how = (chosen.device, chosen.threads, chosen.precision, chosen.engine)
    return Comparison(tuple(rows), batch, accuracy, *how)
