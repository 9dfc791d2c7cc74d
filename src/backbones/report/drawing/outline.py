"""The outline of a figure: stages, the sections of which they consist, and what repeats.

The steps that every path from input to output passes are the trunk. Between two of them lies a
section: parallel towers, a residual branch, a dense block. Sections and single steps are grouped
into the network's stages, and within a stage what follows several times in a row is folded into
one with a count, as papers' tables do ("× 6").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from backbones.report.drawing.steps import DrawingStep

_RUN_OF_LAYERS = 5  # so many equal layers without parts are folded too


@dataclass(frozen=True)
class Section:
    """Steps between two steps of the trunk, and the second of these.

    Args:
        source: index of the step that all branches start from; -1 for the network's input.
        inner: the steps between, in the order of execution.
        join: where the branches meet.
        projection: what the first of several sections has in place of this one's identity, such as
            "1×1/2"; "" where that is the same.
        is_padded: an identity comes from fewer maps than it leads to, and zeros stand for the new
            ones: option A of ResNet.
    """

    source: int
    inner: tuple[DrawingStep, ...]
    join: DrawingStep
    projection: str = ""
    is_padded: bool = False

    @property
    def steps(self) -> tuple[DrawingStep, ...]:
        return (*self.inner, self.join)

    @property
    def is_around(self) -> bool:
        """A branch without any layer leads from the source to the join: an identity shortcut."""
        return self.source in self.join.inputs


@dataclass(frozen=True)
class DenseOutline:
    """A dense block: layers of which each reads the source and all layers before it.

    Args:
        source: as in `Section`.
        layers: the steps of each layer, its concatenation left out.
        join: the concatenation of everything.
    """

    source: int
    layers: tuple[tuple[DrawingStep, ...], ...]
    join: DrawingStep

    @property
    def steps(self) -> tuple[DrawingStep, ...]:
        return (*(step for layer in self.layers for step in layer), self.join)


@dataclass(frozen=True)
class Repeat:
    """The same elements several times in a row; the last time stands for all.

    Args:
        count: how often.
        elements: of the last time.
        note: how the first time differs; "" where it does not.
        steps: all of them, of all times.
    """

    count: int
    elements: tuple[Element, ...]
    note: str
    steps: tuple[DrawingStep, ...]


Element = DrawingStep | Section | DenseOutline | Repeat


@dataclass(frozen=True)
class StageOutline:
    """A stage of the network.

    Args:
        title: the paper's name, or a module path; "" where there is none.
        elements: in the order of execution.
    """

    title: str
    elements: tuple[Element, ...]


def outline(
    steps: Sequence[DrawingStep],
    kinds: Mapping[str, str],
    stages: Sequence[tuple[str, str]] = (),
    *,
    fold: bool = True,
) -> tuple[StageOutline, ...]:
    """Group steps into stages, sections and repeats.

    Args:
        steps: of `steps_of`.
        kinds: module path -> class.
        stages: (title, module path) of the end of each stage; the first parts of the module paths
            decide where there are none.
        fold: repeats are folded, and dense blocks drawn as such.
    """
    elements = trunk(steps, fold=fold)
    groups = _by_ends(elements, stages) if stages else _by_parts(elements)
    return tuple(
        StageOutline(title, tuple(_folded(members, "", kinds)) if fold else members)
        for title, members in groups
    )


def steps_in(element: Element) -> tuple[DrawingStep, ...]:
    """All steps of an element, those of all repeats included."""
    return (element,) if isinstance(element, DrawingStep) else element.steps


def trunk(steps: Sequence[DrawingStep], *, fold: bool = True) -> tuple[Element, ...]:
    """Cut a network where every path passes.

    In the order of execution, a step lies on the trunk where no connection passes over it.
    """
    reach = 0
    last_reader = {source: step.index for step in steps for source in step.inputs}
    cuts: list[int] = []
    for step in steps:
        if reach <= step.index and (step.inputs or step.index == 0):
            cuts.append(step.index)
        reach = max(reach, last_reader.get(step.index, step.index))
    elements: list[Element] = []
    before = -1
    for cut in cuts:
        inner = tuple(steps[before + 1 : cut])
        section = Section(before, inner, steps[cut])
        if section.is_around and section.join.kind == "add" and before >= 0:
            padded = steps[before].shape[0] < section.join.shape[0]
            section = replace(section, is_padded=padded)
        if not inner and len(steps[cut].inputs) <= 1:
            elements.append(steps[cut])
        else:
            elements.append((_dense(section) if fold else None) or section)
        before = cut
    return tuple(elements)


def _dense(section: Section) -> DenseOutline | None:
    """The section as a dense block, if it is one."""
    if section.join.kind != "concat" or not section.is_around:
        return None
    prefix = common_path(step.module for step in section.inner)
    layers: list[tuple[DrawingStep, ...]] = []
    for _, group in groupby(section.inner, lambda step: _part_after(step.module, prefix)):
        layers.append(tuple(group))
    known = {section.source}
    for layer in layers:
        inside = {step.index for step in layer}
        if {source for step in layer for source in step.inputs} - inside != known:
            return None
        known.add(layer[-1].index)
    if len(layers) < 2 or set(section.join.inputs) != known:
        return None
    bare = tuple(tuple(s for s in layer if s.kind != "concat") for layer in layers)
    return DenseOutline(section.source, bare, section.join) if all(bare) else None


def common_path(paths: Iterable[str]) -> str:
    """The longest module path that all of `paths` begin with.

    Example:
        >>> common_path(["a.b.c", "a.b.d"]), common_path(["a", "b"])
        ('a.b', '')
    """
    parts = [path.split(".") for path in paths]
    if not parts:
        return ""
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared)


def _part_after(path: str, prefix: str) -> str:
    """The next part of a module path below `prefix`; "" where there is none."""
    if prefix and path != prefix and not path.startswith(f"{prefix}."):
        return ""
    rest = path[len(prefix) :].lstrip(".")
    return rest.split(".")[0]


def _home(element: Element) -> str:
    return common_path(step.module for step in steps_in(element))


def _by_ends(
    elements: Sequence[Element], stages: Sequence[tuple[str, str]]
) -> list[tuple[str, tuple[Element, ...]]]:
    """Cut after the last element that belongs to each stage's module."""
    groups: list[tuple[str, tuple[Element, ...]]] = []
    begin = 0
    for title, path in stages:
        inside = [
            number
            for number, element in enumerate(elements)
            if number >= begin and any(_is_in(module, path) for module in _paths(element))
        ]
        if inside:
            groups.append((title, tuple(elements[begin : inside[-1] + 1])))
            begin = inside[-1] + 1
    if begin < len(elements):
        groups.append(("", tuple(elements[begin:])))
    first_title, first = groups[0]
    if len(first) > 1 and isinstance(first[0], DrawingStep) and first[0].kind == "input":
        groups[:1] = [("", first[:1]), (first_title, first[1:])]
    return groups


def _paths(element: Element) -> set[str]:
    return {module for step in steps_in(element) for module in step.modules}


def _is_in(module: str, path: str) -> bool:
    return module == path or module.startswith(f"{path}.")


def _by_parts(elements: Sequence[Element]) -> list[tuple[str, tuple[Element, ...]]]:
    """Group by the first part of the module path; parts that only have numbers are one group."""
    return [
        (part, tuple(group))
        for part, group in groupby(elements, lambda element: _named_part(_home(element)))
    ]


def _named_part(path: str) -> str:
    part = _part_after(path, "")
    return "" if part.isdigit() else part


def _folded(elements: Sequence[Element], prefix: str, kinds: Mapping[str, str]) -> list[Element]:
    """Fold what repeats among the children of the module `prefix`, and inside them."""
    children = [
        (part, tuple(group))
        for part, group in groupby(elements, lambda e: _part_after(_home(e), prefix))
    ]
    if len(children) == 1 and not children[0][0]:
        return list(elements)
    found: list[Element] = []
    place = 0
    while place < len(children):
        length = _run(children[place:], prefix, kinds)
        run = children[place : place + length]
        part, members = run[-1]
        path = f"{prefix}.{part}" if prefix else part
        inside = _folded(members, path, kinds) if part else list(members)
        if length > 1:
            every = tuple(step for _, group in run for e in group for step in steps_in(e))
            note = _difference(run[0][1], members)
            seen = tuple(_with_projection(inside, run[0][1]))
            found.append(Repeat(length, seen, note, every))
        else:
            found += inside
        place += length
    return found


def _run(
    children: Sequence[tuple[str, tuple[Element, ...]]], prefix: str, kinds: Mapping[str, str]
) -> int:
    """How many children from the first on are the same again and again.

    They have one class and one shape of output. From the second on they are equal step by step;
    the first may differ (a stride, a projection) where they are numbered and not named.
    """
    part, first = children[0]
    if not part:
        return 1
    kind = kinds.get(f"{prefix}.{part}" if prefix else part, "")
    typical: tuple[str, ...] | None = None
    count = 1
    for other, members in children[1:]:
        path = f"{prefix}.{other}" if prefix else other
        if not other or kinds.get(path, "") != kind or _shape(members) != _shape(first):
            break
        if typical is None:
            typical = _signature(members)
            numbered = part.isdigit() and other.isdigit()
            if not (typical == _signature(first) or (numbered and _is_like(first, members))):
                break
        elif _signature(members) != typical:
            break
        count += 1
    layers = len(first) == 1 and isinstance(first[0], DrawingStep)
    return 1 if layers and count < _RUN_OF_LAYERS else count


def _shape(elements: Sequence[Element]) -> tuple[int, ...]:
    return steps_in(elements[-1])[-1].shape


def _signature(elements: Sequence[Element]) -> tuple[str, ...]:
    return tuple(f"{step.kind} {step.title} {step.shape}" for e in elements for step in steps_in(e))


def _is_like(first: Sequence[Element], typical: Sequence[Element]) -> bool:
    """Whether most of the kinds of layers of one are also in the other."""
    kinds = [Counter(s.kind for e in es for s in steps_in(e)) for es in (first, typical)]
    return (kinds[0] & kinds[1]).total() >= 0.6 * max(count.total() for count in kinds)


def _difference(first: Sequence[Element], typical: Sequence[Element]) -> str:
    """What the first time has that the others have not."""
    shortcut = tuple(step for element in first for step in shortcut_of(element))
    mine = [s for e in first for s in steps_in(e) if s not in shortcut]
    theirs = [s for e in typical for s in steps_in(e)]
    known = Counter(_layer(step) for step in theirs)
    windows = {(step.title.split("/")[0], step.shape[:1]) for step in theirs}
    told = []
    for step in mine:
        if known[_layer(step)]:
            known[_layer(step)] -= 1
        elif step.kind in ("convolution", "depthwise", "pooling", "linear"):
            same_maps = (step.title.split("/")[0], step.shape[:1]) in windows
            told.append(step.title if same_maps else f"{step.title} {step.shape[0]}")
    around = [any(isinstance(e, Section) and e.is_around for e in es) for es in (first, typical)]
    if around == [False, True] and not shortcut:
        told.append("no shortcut")
    return f"first: {', '.join(dict.fromkeys(told))}" if told else ""


def _with_projection(typical: Sequence[Element], first: Sequence[Element]) -> Iterator[Element]:
    """What stands for all times, with the layers that the first one's shortcuts have."""
    for number, element in enumerate(typical):
        instead = _instead_of_identity(first[number]) if number < len(first) else ""
        if instead and isinstance(element, Section) and element.is_around:
            element = replace(element, projection=instead)
        yield element


def _instead_of_identity(element: Element) -> str:
    if isinstance(element, Section) and element.is_padded:
        return "zeros for new maps"
    return " · ".join(step.title for step in shortcut_of(element))


def shortcut_of(element: Element) -> tuple[DrawingStep, ...]:
    """The layers on the shorter of two ways to a sum: a projection, in the words of ResNet."""
    if not isinstance(element, Section) or element.join.kind != "add" or element.is_around:
        return ()
    steps = {step.index: step for step in element.inner}
    ways: list[list[DrawingStep]] = []
    for end in element.join.inputs:
        way: list[DrawingStep] = []
        while end in steps:
            way.append(steps[end])
            end = steps[end].inputs[0]
        ways.append(way)
    shortest = min(ways, key=len, default=[])
    return tuple(shortest) if len(shortest) < max(map(len, ways), default=0) else ()


def _layer(step: DrawingStep) -> tuple[str, tuple[int, ...]]:
    """A layer as two times are compared: its window and its maps."""
    return step.title, step.shape[:1]
