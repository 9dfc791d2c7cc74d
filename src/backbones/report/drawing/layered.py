"""A layered layout for a graph without cycles, after Sugiyama, Tagawa & Toda (1981).

Nodes get ranks along the flow (the longest way from a source); connections that pass a rank get a
place of their own in it; the order within ranks is chosen for few crossings; and places across the
flow are chosen so that ways are straight, without anything touching. "Along" is the direction of
the flow and "across" the other one, so that a drawing may run to the right or downwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

_SWEEPS = 8
_LANE = 4.0  # half the room across that a passing connection gets


@dataclass(frozen=True)
class Room:
    """What a node needs.

    Args:
        length: along the flow.
        before, after: across the flow, on either side of its middle.
    """

    length: float
    before: float
    after: float


@dataclass(frozen=True)
class Placement:
    """Where everything went.

    Args:
        along, across: of each node's middle.
        ranks: of each node.
        spans: (begin, end) along the flow of each rank.
        routes: for each connection, the (along, across) of its passing places, in order.
    """

    along: tuple[float, ...]
    across: tuple[float, ...]
    ranks: tuple[int, ...]
    spans: tuple[tuple[float, float], ...]
    routes: dict[tuple[int, int], tuple[tuple[float, float], ...]]


def place(
    rooms: Sequence[Room],
    edges: Sequence[tuple[int, int]],
    *,
    gap_along: float,
    gap_across: float,
) -> Placement:
    """Lay out a graph.

    Args:
        rooms: of the nodes.
        edges: (from, to); every node's number is greater than those that it depends on.
        gap_along: between ranks.
        gap_across: between neighbours in a rank.

    Example:
        >>> rooms = [Room(2, 1, 1)] * 4
        >>> found = place(rooms, [(0, 1), (0, 2), (1, 3), (2, 3)], gap_along=3, gap_across=2)
        >>> found.along, found.across
        ((1.0, 6.0, 6.0, 11.0), (0.0, -2.0, 2.0, 0.0))
    """
    ranks = _ranks(len(rooms), edges)
    layers, chains, links = _with_passages(ranks, edges)
    all_rooms = [*rooms, *([Room(0.0, _LANE, _LANE)] * (sum(map(len, layers)) - len(rooms)))]
    layers = _few_crossings(layers, links)
    across = _straightened(layers, links, all_rooms, gap_across, len(rooms))
    spans: list[tuple[float, float]] = []
    begin = 0.0
    for layer in layers:
        length = max(all_rooms[node].length for node in layer)
        spans.append((begin, begin + length))
        begin += length + gap_along
    middles = [(a + b) / 2 for a, b in spans]
    routes = {
        edge: tuple((middles[ranks[edge[0]] + 1 + i], across[n]) for i, n in enumerate(chain))
        for edge, chain in chains.items()
    }
    return Placement(
        tuple(middles[ranks[node]] for node in range(len(rooms))),
        tuple(across[: len(rooms)]),
        tuple(ranks),
        tuple(spans),
        routes,
    )


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    ranks = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        ranks[target] = max(ranks[target], ranks[source] + 1)
    return ranks


Links = list[tuple[int, int]]


def _with_passages(
    ranks: Sequence[int], edges: Sequence[tuple[int, int]]
) -> tuple[list[list[int]], dict[tuple[int, int], list[int]], Links]:
    """The nodes of each rank, passing places included; those of each connection; the links.

    Connections from one node share their passing places: they run together until they part.
    """
    layers: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
    for node, rank in enumerate(ranks):
        layers[rank].append(node)
    number = len(ranks)
    passages: dict[int, list[int]] = {}
    chains: dict[tuple[int, int], list[int]] = {}
    links: dict[tuple[int, int], None] = {}
    for edge in edges:
        source, target = edge
        shared = passages.setdefault(source, [])
        between = ranks[target] - ranks[source] - 1
        while len(shared) < between:
            layers[ranks[source] + 1 + len(shared)].append(number)
            shared.append(number)
            number += 1
        chains[edge] = shared[:between]
        links |= dict.fromkeys(pairwise([source, *chains[edge], target]))
    return layers, chains, list(links)


def _neighbours(links: Links, backwards: bool) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for source, target in links:
        key, other = (target, source) if backwards else (source, target)
        found.setdefault(key, []).append(other)
    return found


def _few_crossings(layers: list[list[int]], links: Links) -> list[list[int]]:
    """Sort each rank by the mean place of its neighbours, to and fro; keep the best of all."""
    layers = _in_order_of_visit(layers, links)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        backwards = sweep % 2 == 0
        neighbours = _neighbours(links, backwards)
        order = range(1, len(layers)) if backwards else range(len(layers) - 2, -1, -1)
        for number in order:
            other = layers[number - 1 if backwards else number + 1]
            where = {node: float(place) for place, node in enumerate(other)}
            own = {node: float(place) for place, node in enumerate(layers[number])}
            means = {
                node: (
                    sum(where[n] for n in neighbours[node]) / len(neighbours[node])
                    if node in neighbours
                    else own[node]
                )
                for node in layers[number]
            }
            layers[number].sort(key=lambda node: (means[node], own[node]))
        crossings = _crossings(layers, links)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _in_order_of_visit(layers: list[list[int]], links: Links) -> list[list[int]]:
    """Depth first from the sources: branches lie side by side in the order of the code."""
    readers = _neighbours(links, backwards=False)
    seen: dict[int, int] = {}
    for root in (node for layer in layers for node in layer):
        stack = [root]
        while stack:
            node = stack.pop()
            if node not in seen:
                seen[node] = len(seen)
                stack += reversed(readers.get(node, []))
    return [sorted(layer, key=lambda node: seen[node]) for layer in layers]


def _crossings(layers: Sequence[Sequence[int]], links: Links) -> int:
    """How many pairs of links cross between neighbouring ranks."""
    where = {node: place for layer in layers for place, node in enumerate(layer)}
    rank = {node: number for number, layer in enumerate(layers) for node in layer}
    between: list[list[tuple[int, int]]] = [[] for _ in layers]
    for source, target in links:
        between[rank[source]].append((where[source], where[target]))
    total = 0
    for pairs in between:
        pairs.sort()
        ends = [end for _, end in pairs]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _straightened(
    layers: Sequence[Sequence[int]],
    links: Links,
    rooms: Sequence[Room],
    gap: float,
    num_real: int,
) -> list[float]:
    """Places across the flow: each node near its neighbours, none nearer to another than allowed.

    What follows one another without a fork or a join is one lane, and straight. Lanes begin as
    tight as they fit, and then move towards their neighbours as far as there is room.
    """
    lane_of = _lanes(layers, links, len(rooms), num_real)
    bounds = _bounds(layers, lane_of, rooms, gap)
    order = _sorted(bounds, sorted(set(lane_of)))
    if order is None:  # lanes that change sides cannot be straight
        lane_of = list(range(len(rooms)))
        bounds = _bounds(layers, lane_of, rooms, gap)
        order = _sorted(bounds, lane_of) or lane_of
    across = _tight(order, bounds)
    pulls: dict[int, list[int]] = {lane: [] for lane in order}
    for source, target in links:
        a, b = lane_of[source], lane_of[target]
        if a != b:
            pulls[a].append(b)
            pulls[b].append(a)
    below: dict[int, list[tuple[int, float]]] = {lane: [] for lane in order}
    above: dict[int, list[tuple[int, float]]] = {lane: [] for lane in order}
    for (a, b), distance in bounds.items():
        below[b].append((a, distance))
        above[a].append((b, distance))
    for sweep in range(2 * _SWEEPS):
        for lane in order if sweep % 2 else reversed(order):
            if not pulls[lane]:
                continue
            wanted = sum(across[other] for other in pulls[lane]) / len(pulls[lane])
            least = max([across[o] + d for o, d in below[lane]], default=-math.inf)
            most = min([across[o] - d for o, d in above[lane]], default=math.inf)
            across[lane] = min(max(wanted, least), most)
    middle = across[lane_of[layers[0][0]]]
    return [round(across[lane] - middle, 3) + 0.0 for lane in lane_of]


def _lanes(layers: Sequence[Sequence[int]], links: Links, count: int, num_real: int) -> list[int]:
    """For each node, the first of those that follow one another without a fork or a join.

    Passing places of one node, whose numbers begin at `num_real`, are one lane wherever they fork.
    """
    readers, sources = _neighbours(links, backwards=False), _neighbours(links, backwards=True)
    lane = list(range(count))
    for node in (node for layer in layers for node in layer):
        before = sources.get(node, [])
        passes = node >= num_real and before[0] >= num_real
        if len(before) == 1 and (passes or len(readers[before[0]]) == 1):
            lane[node] = lane[before[0]]
    return lane


Bounds = dict[tuple[int, int], float]


def _bounds(
    layers: Sequence[Sequence[int]], lane_of: Sequence[int], rooms: Sequence[Room], gap: float
) -> Bounds:
    """Pairs of lanes that lie side by side somewhere, and their least distance."""
    found: Bounds = {}
    for layer in layers:
        for a, b in pairwise(layer):
            pair = (lane_of[a], lane_of[b])
            distance = rooms[a].after + gap + rooms[b].before
            found[pair] = max(found.get(pair, 0.0), distance)
    return found


def _sorted(bounds: Bounds, lanes: Sequence[int]) -> list[int] | None:
    """The lanes from one side to the other; None where two of them change sides."""
    sorter: TopologicalSorter[int] = TopologicalSorter({lane: [] for lane in lanes})
    for a, b in bounds:
        sorter.add(b, a)
    try:
        return list(sorter.static_order())
    except CycleError:
        return None


def _tight(order: Sequence[int], bounds: Bounds) -> dict[int, float]:
    """As near to one side as can be, and as near to the other; the middle of both."""
    first = dict.fromkeys(order, 0.0)
    for lane in order:
        for (a, b), distance in bounds.items():
            if b == lane:
                first[b] = max(first[b], first[a] + distance)
    last = dict.fromkeys(order, max(first.values()))
    for lane in reversed(order):
        for (a, b), distance in bounds.items():
            if a == lane:
                last[a] = min(last[a], last[b] - distance)
    return {lane: (first[lane] + last[lane]) / 2 for lane in order}
