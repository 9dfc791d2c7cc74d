"""The sums of an inspection as people do them by hand: parameters, MACs, receptive fields."""

from __future__ import annotations

from collections.abc import Sequence

from backbones.inspection.network_summary import NetworkSummary
from backbones.inspection.recurrence import FieldStep
from backbones.units import aligned

_COUNTS = """\
parameters: kernel rows * columns * input channels (of one group) * output channels + one bias a
channel; fully connected: inputs * outputs + biases; norms: a scale + a shift a channel.
MACs: the same without biases, * rows * columns of the output; norms, activations, pooling: none."""

_FIELDS = """\
r: px that one unit sees; j (jump): px between the fields of neighbours.
k: kernel, s: stride, p: padding, d: dilation. Each line: r = r + (k-1)*d*j, then j = j*s, with r
and j of the input on the right. A layer with k=1 s=1, a norm or an activation changes neither and
is left out. What reads a whole map (flatten, global average) is a window of all its units."""


def explain_counts(found: NetworkSummary) -> str:
    """Each layer's formula for parameters and MACs, then the sums over stages."""
    rows = found.formulas()
    named = [(row["paper_name"] or row["name"], row) for row in rows]
    width = max((len(name) for name, _ in named), default=0)
    lines = [f"{found.name}: input {'x'.join(map(str, found.input))}, batch {found.batch}", ""]
    for name, row in named:
        said = [
            f"{what}{row[f'{key}_formula']}"
            for what, key in (("parameters  ", "params"), ("MACs        ", "macs"))
            if row[key]
        ]
        lines += [f"{name:{width}}  {said[0]}", *(f"{'':{width}}  {part}" for part in said[1:])]
    return "\n".join([*lines, "", *_sums(found), "", _COUNTS])


def _sums(found: NetworkSummary) -> list[str]:
    params = [(f"{stage.params:,}", stage.name) for stage in found.stages if stage.params]
    if found.training_only_params:
        params.append((f"{found.training_only_params:,}", "not run in evaluation"))
    macs = [(f"{stage.macs:,}", stage.name) for stage in found.stages if stage.macs]
    return [_sum("parameters", params, found.params), _sum("MACs", macs, found.macs)]


def _sum(what: str, terms: Sequence[tuple[str, str]], total: int) -> str:
    written = " + ".join(f"{number} ({name})" for number, name in terms)
    return f"{what}: {written} = {total:,}"


def explain_fields(found: NetworkSummary) -> str:
    """The recurrence, line by line; rows and columns apart only where they differ."""
    axes = sorted({step.axis for step in found.field_steps})
    tables = {axis: [s for s in found.field_steps if s.axis == axis] for axis in axes}
    told = {axis: _table(found, steps) for axis, steps in tables.items()}
    lines = [f"{found.name}: input {'x'.join(map(str, found.input))}"]
    for axis in axes:
        if axis and told[axis] == told[0]:
            continue
        alike = all(told[other] == told[0] for other in axes)
        title = "" if alike else ("rows", "columns", "depth")[axis]
        lines += ["", *([title] if title else []), *told[axis]]
    missing = [f"missing: {column}" for column in found.missing if "field" in column]
    return "\n".join([*lines, *missing, "", _FIELDS])


def _table(found: NetworkSummary, steps: Sequence[FieldStep]) -> list[str]:
    """One line a step; where a step does not follow the one above it, what it reads is named."""
    rows, above = [("input", "", "", "r = 1", "j = 1")], "input"
    for step in steps:
        follows = step.sources == (above,) or step.rule == "joined"
        reads = "" if follows else f"of {_named(found, step.sources[0])}"
        rows.append((_named(found, step.name), reads, *step.to_text()))
        above = step.name
    branches = any(row[1] for row in rows)
    columns = range(5) if branches else (0, 2, 3, 4)
    headings = ("layer", "reads", "window", "receptive field", "jump")
    return aligned([headings[i] for i in columns], [[row[i] for i in columns] for row in rows])


def _named(found: NetworkSummary, name: str) -> str:
    path, colon, function = name.partition(":")
    return found.paper_names.get(path, path) + (colon if path else "") + function
