"""AlexNet's two towers side by side: a chain whose convolutions see half of the maps below.

Where two convolutions of a chain have two groups, the halves of all maps are drawn apart, each with
what it reads: its own half, or both where a layer sees all maps below (Krizhevsky et al. 2012,
Figure 2: the third convolution and the fully connected layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backbones.report.drawing.steps import DrawingStep

_SPLIT = " g2"


def has_towers(steps: Sequence[DrawingStep]) -> bool:
    """Whether a network is a chain with two towers."""
    is_chain = all(step.inputs == ((step.index - 1,) if step.index else ()) for step in steps)
    return is_chain and sum(step.title.endswith(_SPLIT) for step in steps) > 1


def in_towers(steps: Sequence[DrawingStep]) -> tuple[DrawingStep, ...]:
    """The steps with each layer between input and answer in two halves; others as they are.

    Local response normalisation, which the paper's figure does not draw, goes into the box of the
    layer before it.
    """
    if not has_towers(steps):
        return tuple(steps)
    found = [steps[0]]
    below: tuple[int, ...] = (0,)
    for step in steps[1:-1]:
        if step.kind == "norm" and len(below) == 2:
            for place in below:
                found[place] = replace(found[place], after=(*found[place].after, step.title))
            continue
        crosses = step.kind in ("convolution", "linear") and not step.title.endswith(_SPLIT)
        halves = tuple(len(found) + tower for tower in (0, 1))
        for tower, index in enumerate(halves):
            reads = below if crosses or len(below) == 1 else (below[tower],)
            shape = (step.shape[0] // 2, *step.shape[1:])
            title = step.title.removesuffix(_SPLIT)
            found.append(replace(step, index=index, inputs=reads, shape=shape, title=title))
        below = halves
    found.append(replace(steps[-1], index=len(found), inputs=below))
    return tuple(found)
