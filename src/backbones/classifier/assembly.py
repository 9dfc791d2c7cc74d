"""From scores of views to one answer an image, in the order of the images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backbones.classifier.packing import Part
from backbones.classifier.preparing import Prepared, WholeImages, geometry_of
from backbones.classifier.second_look import Computed
from backbones.data.render import Pixels
from backbones.protocols.classes import column_order
from backbones.protocols.row import Protocol
from backbones.protocols.score import fuse, reduce
from backbones.protocols.viewing import View
from backbones.spec import InputSpec

Plan = tuple[View, ...]


@dataclass(frozen=True)
class Member:
    """One of the networks that answer together.

    Args:
        build: gives the network, logits out.
        spec: how images become what it sees.
        classes: its class names in the order of its outputs.
        name: what reports and messages call it.
        cuts: whether it is an exported graph that takes whole images and cuts the square itself.
    """

    build: Callable[[], nn.Module]
    spec: InputSpec
    classes: tuple[str, ...]
    name: str = "network"
    cuts: bool = False

    def geometry(self, protocol: Protocol) -> InputSpec:
        """What decides which pixels are cut for it: networks that share it share the cuts."""
        found = geometry_of(self.spec)
        return WholeImages(**vars(found)) if self.cuts and protocol.name == "single" else found


@dataclass(frozen=True)
class Answer:
    """What the networks say about one image.

    Args:
        index: its position in the source.
        name: what the source calls it.
        log_probabilities: (K,), in the first network's order; None where there is an error.
        error: why the image could not be read.
        image: its pixels, reduced, where they were asked for; uint8 (H, W, C).
        computed: how; None where nothing was.
    """

    index: int
    name: str
    log_probabilities: Tensor | None = None
    error: str | None = None
    image: Pixels | None = field(default=None, repr=False)
    computed: Computed | None = field(default=None, repr=False)


@dataclass
class _Block:
    """A block some of whose views have been scored."""

    prepared: Prepared
    parts_left: int
    sums: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    places: dict[tuple[int, int], int] = field(default_factory=dict)
    answers: Tensor | None = None

    def add(self, member: int, view: int, scores: Tensor, places: int) -> None:
        key = (member, view)
        self.sums[key] = self.sums[key] + scores if key in self.sums else scores
        self.places[key] = self.places.get(key, 0) + places
        self.parts_left -= 1

    def scores(self, member: int, plan: Plan) -> Tensor:
        """(n, V, K) of a member, in the plan's order."""
        keys = [(member, view) for view in range(len(plan))]
        return torch.stack([self.sums[key] / self.places[key] for key in keys], dim=1)


class Assembly:
    """From scores of views to one answer an image, handed out in the order of the images."""

    def __init__(
        self, members: Sequence[Member], protocol: Protocol, computed: Computed | None = None
    ) -> None:
        first = members[0].classes
        self._geometries = [each.geometry(protocol) for each in members]
        self._orders = [column_order(each.classes, first, each.name) for each in members]
        self._reduction = protocol.reduction
        self._computed = computed
        self._blocks: dict[int, _Block] = {}
        self._next_block = self._next_index = 0

    def add(self, number: int, prepared: Prepared, num_parts: int) -> None:
        """A block that was prepared; its parts are scored so many times in all."""
        self._blocks[number] = _Block(prepared, num_parts)

    def names(self, parts: Sequence[Part]) -> list[str]:
        """Of the image of each row of a batch."""
        return [name for part in parts for name in self._blocks[part.block].prepared.names]

    def scored(self, member: int, parts: Sequence[Part], sums: Tensor, places: int) -> None:
        """Scores (N, K) of a batch, added up over places."""
        rows = torch.split(sums.cpu(), [len(part.pixels) for part in parts])
        for part, scores in zip(parts, rows, strict=True):
            self._blocks[part.block].add(member, part.view, scores, places)

    def reduce(self, parts: Sequence[Part]) -> None:
        """Answer those images of a batch whose views all have scores now, many at once."""
        alike: dict[tuple[tuple[int, int], ...], list[_Block]] = defaultdict(list)
        for number in dict.fromkeys(part.block for part in parts):
            block = self._blocks[number]
            if not block.parts_left:
                plans = (block.prepared.cuts[each].plan for each in self._geometries)
                alike[tuple((len(p), sum(view.dense for view in p)) for p in plans)].append(block)
        for blocks in alike.values():
            rows = torch.split(self._answers(blocks), [len(block.prepared) for block in blocks])
            for block, answers in zip(blocks, rows, strict=True):
                block.answers = answers
                block.sums.clear()

    def _answers(self, blocks: Sequence[_Block]) -> Tensor:
        """Log-probabilities (n, K) of blocks with equal numbers of views."""
        each = []
        for member, (geometry, order) in enumerate(
            zip(self._geometries, self._orders, strict=True)
        ):
            plan = blocks[0].prepared.cuts[geometry].plan
            scores = torch.cat([block.scores(member, plan) for block in blocks])
            each.append(reduce(scores, self._reduction, view_weights(plan))[:, order])
        return fuse(each, self._reduction)

    def fused(self, scores: Sequence[Tensor]) -> Tensor:
        """Log-probabilities (N, K) of scores (N, K) that each network gave to one view."""
        one = torch.ones(1)
        each = [
            reduce(rows[:, None], self._reduction, one)[:, order]
            for rows, order in zip(scores, self._orders, strict=True)
        ]
        return fuse(each, self._reduction)

    def ready(self) -> Iterator[Answer]:
        """The answers that are next in order."""
        while (block := self._blocks.get(self._next_block)) is not None:
            prepared = block.prepared
            if prepared.error is None and block.answers is None:
                return
            del self._blocks[self._next_block]
            self._next_block += 1
            for row, name in enumerate(prepared.names):
                yield Answer(
                    self._next_index,
                    name,
                    None if block.answers is None else block.answers[row],
                    prepared.error,
                    prepared.images[row] if prepared.images else None,
                    None if prepared.error else self._computed,
                )
                self._next_index += 1


def view_weights(plan: Plan) -> Tensor:
    """How much each view counts: whole images and crops the same, where there are both.

    Reference: Simonyan & Zisserman (2014), section 3.2 and Table 5, averages the outputs of the
        two.
    """
    num_dense = sum(view.dense for view in plan)
    kinds = {True: num_dense, False: len(plan) - num_dense}
    num_kinds = sum(count > 0 for count in kinds.values())
    return torch.tensor([1 / (kinds[view.dense] * num_kinds) for view in plan])
