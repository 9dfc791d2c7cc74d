"""Networks side by side: what they cost, what was published, how fast they are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from backbones import catalog
from backbones.compute import Compute
from backbones.engines import find_engine
from backbones.errors import WrongUse
from backbones.inspection.trace import last_field
from backbones.nn.evaluating import evaluating
from backbones.progress import Progress
from backbones.protocols.papers.networks import printed_for
from backbones.report.compared import Accuracy, Compared
from backbones.spec import Family
from backbones.speed import keep_large_buffers, time_passes
from backbones.weights import table
from backbones.weights.table import Published
from backbones.workflows.networks import find_network, with_inspection

_ROUNDS = 3
_LABELS = {"ILSVRC-2012": "imagenet", "CIFAR-10": "cifar10", "MNIST": "mnist"}
_SERIES = (".tv_in1k", ".akamaster_cifar10")  # whose weights have a training in common


@dataclass(frozen=True)
class ComparedNetwork:
    """One network that was asked for.

    Args:
        name: that it is listed by.
        source: what to look at: a module, or what `find_network` understands.
        weights: whose published results are its own.
        family: where it is a variant of ours.
    """

    name: str
    source: nn.Module | str
    weights: tuple[table.WeightsRow, ...] = ()
    family: Family | None = None


def entries_of(models: Sequence[nn.Module | str | Path]) -> list[ComparedNetwork]:
    found: dict[str, ComparedNetwork] = {}
    for model in models:
        if isinstance(model, nn.Module):
            name = _called(model)
            number = sum(known.partition(" #")[0] == name for known in found)
            found[f"{name} #{number + 1}" if number else name] = _entry(name, model)
            continue
        text = str(model)
        pattern = catalog.is_pattern(text) and ":" not in text and not Path(text).exists()
        for name in catalog.matching(text) if pattern else (text,):
            found.setdefault(name, _entry(name, name))
    return [replace(entry, name=name) for name, entry in found.items()]


def _called(model: nn.Module) -> str:
    row = getattr(model, "row", None)
    return str(getattr(row, "name", type(model).__name__))


def _entry(name: str, source: nn.Module | str) -> ComparedNetwork:
    if isinstance(source, nn.Module):
        return ComparedNetwork(name, source)
    if table.is_known(name):
        row = table.find(name)
        return ComparedNetwork(name, row.variant, (row,), catalog.resolve(row.variant)[0])
    if name in catalog.names():
        return ComparedNetwork(name, name, table.of_variant(name), catalog.resolve(name)[0])
    return ComparedNetwork(name, source)


def look_at(
    entry: ComparedNetwork, input_shape: Sequence[int] | None, batch: int, accuracy: Accuracy
) -> Compared:
    try:
        _, seen = with_inspection(entry.source, input_shape, batch=batch)
    except WrongUse as error:
        if type(error) is not WrongUse:
            raise
        raise WrongUse(f"{entry.name}: {error}") from error
    weights, published, labels = _published(entry, accuracy, seen.input[-1])
    sizes, sees_all = last_field(seen.layers) or (None, False)
    return Compared(
        entry.name,
        entry.family.title if entry.family else "",
        entry.family.citation.year if entry.family else None,
        seen.params,
        seen.macs,
        seen.input,
        seen.depth,
        sizes,
        sees_all,
        seen.activation_bytes,
        published,
        weights,
        labels,
        elsewhere=published is None
        and (any(w.results for w in entry.weights) or printed_for(entry.name) is not None),
    )


def _published(
    entry: ComparedNetwork, accuracy: Accuracy, size_px: int
) -> tuple[str | None, Published | None, str | None]:
    """The weights, their accuracy and what they tell apart; a paper's accuracy has no weights."""
    own = len(entry.weights) == 1 and entry.weights[0].id == entry.name
    if accuracy == "paper" and not own:
        return None, *_as_printed(entry.name)
    taken = [w for w in entry.weights if own or accuracy == "best" or w.id.endswith(_SERIES)]
    found = table.best_result(taken, size_px)
    return (found[0].id, found[1], found[0].labels) if found else (None, None, None)


def _as_printed(variant: str) -> tuple[Published | None, str | None]:
    """What a paper printed, and on which labels."""
    found = printed_for(variant)
    if found is None:
        return None, None
    protocol, result = found
    px = catalog.facts(variant).input_px
    top1, top5 = result.top1_error_percent, result.top5_error_percent
    assert top1 is not None, variant
    published = Published(
        px,
        protocol.resize[0].px or px,
        round(1 - top1 / 100, 5),
        None if top5 is None else round(1 - top5 / 100, 5),
        f"{result.data}, {protocol.summary}",
        f"{result.paper or protocol.citation.authors}, {result.where}",
    )
    return published, _LABELS[result.data.split(" ")[0]]


def take_turns(
    entries: Sequence[ComparedNetwork],
    shapes: Sequence[tuple[int, ...]],
    compute: Compute,
    progress: Progress | None,
) -> list[list[float]]:
    """Seconds of a pass in each round, for each network.

    Whatever else the machine does then meets all networks alike.
    """
    if compute.kind == "cpu":
        keep_large_buffers()
    taken: list[list[float]] = [[] for _ in entries]
    total = len(entries) * _ROUNDS
    for number in range(total):
        if progress is not None:
            progress(number, total)
        place = number % len(entries)
        with compute.running():
            taken[place].append(_time(entries[place], shapes[place], compute))
    if progress is not None:
        progress(total, total)
    return taken


def _time(entry: ComparedNetwork, shape: tuple[int, ...], compute: Compute) -> float:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    network = _made(entry, compute)
    where = next(network.parameters(), images).device
    if where.type == "meta":
        raise WrongUse(f"{entry.name} has shapes and no numbers: nothing to time; measure=False")
    images = images.to(where)
    if compute.engine != "torch":
        program = find_engine(compute.engine).build(network, compute)
        return time_passes(lambda: program(images), where.type)
    bf16 = torch.autocast(where.type, torch.bfloat16, enabled=compute.precision == "bf16")
    with evaluating(network), bf16:  # whatever it gives: not every network has scores alone
        return time_passes(lambda: network(images), where.type)


def _made(entry: ComparedNetwork, compute: Compute) -> nn.Module:
    """One that can compute; a module that was given is used as it is, where it is."""
    if isinstance(entry.source, nn.Module):
        return entry.source
    with torch.random.fork_rng(devices=[]):  # those of others sample from the global generator
        return compute.place(find_network(entry.source, with_numbers=True))
