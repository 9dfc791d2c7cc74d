"""Networks side by side: what they cost, what was published, how fast they are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

from backbones import catalog
from backbones.api.inspection import Inspection, find_network, inspect
from backbones.errors import WrongUse
from backbones.inspection.trace import last_field
from backbones.nn.evaluating import evaluating
from backbones.progress import Progress
from backbones.report.comparison import Accuracy, Compared, Comparison, Measured
from backbones.speed import choose_device, keep_large_buffers, time_passes
from backbones.weights import table

__all__ = ["Accuracy", "Compared", "Comparison", "Measured", "compare"]

_ROUNDS = 3
_SERIES = (".tv_in1k", ".akamaster_cifar10")  # whose weights have a training in common


def compare(
    models: Sequence[nn.Module | str | Path] | nn.Module | str | Path,
    input_shape: Sequence[int] | None = None,
    *,
    batch: int = 1,
    measure: bool = True,
    accuracy: Accuracy = "torchvision",
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu",
    progress: Progress | None = None,
) -> Comparison:
    """Put networks side by side: size, cost, published accuracy, speed on this machine.

    Args:
        models: modules that take one tensor, or names: variants, patterns of them ("vgg*"), ids of
            published weights, bundles, "FILE.py:FUNCTION".
        input_shape: (channels, height, width) of a picture; each network's own where None.
        batch: pictures, at least 1; MACs, activations and times are for all of them.
        measure: time forward passes, in rounds in which all networks take turns; they are made
            one at a time, so that memory holds only the largest.
        accuracy: whose weights the published accuracy is of. "torchvision": of one series, trained
            on ImageNet alone (for CIFAR-10 akamaster's), so that networks and not training are
            compared; "best": the highest, whatever images and recipe it took. Ids of weights bring
            their own.
        device: to measure on.
        progress: hears (passes timed, passes in all), a pass a network and round.

    Raises:
        NotFound: no such variant, file or function, or nothing fits a pattern.
        WrongUse: no networks, no such choice of accuracy, a device that is not there, or a shape
            that a network does not take.

    Example:
        >>> found = compare(["lenet5", "vgg16"], measure=False)
        >>> [(row.name, row.params) for row in found.rows]
        [('lenet5', 61706), ('vgg16', 138357544)]
    """
    entries = _entries([models] if isinstance(models, nn.Module | str | Path) else models)
    if not entries:
        raise WrongUse("nothing to compare: name at least one network")
    if accuracy not in get_args(Accuracy):
        raise WrongUse(f"accuracy is {accuracy!r}, expected torchvision or best")
    place = choose_device(device) if measure else "cpu"
    rows = [_look(entry, input_shape, batch, accuracy) for entry in entries]
    if not measure:
        return Comparison(tuple(rows), batch, accuracy)
    times = _take_turns(entries, [(batch, *row.input) for row in rows], place, progress)
    rows = [
        replace(row, measured=Measured(batch, tuple(rounds)))
        for row, rounds in zip(rows, times, strict=True)
    ]
    return Comparison(tuple(rows), batch, accuracy, place, torch.get_num_threads())


@dataclass(frozen=True)
class _Entry:
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
    family: catalog.Family | None = None


def _entries(models: Sequence[nn.Module | str | Path]) -> list[_Entry]:
    found: dict[str, _Entry] = {}
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


def _entry(name: str, source: nn.Module | str) -> _Entry:
    if isinstance(source, nn.Module):
        return _Entry(name, source)
    if table.is_known(name):
        row = table.find(name)
        return _Entry(name, row.variant, (row,), catalog.resolve(row.variant)[0])
    if name in catalog.names():
        return _Entry(name, name, table.of_variant(name), catalog.resolve(name)[0])
    return _Entry(name, source)


def _look(
    entry: _Entry, input_shape: Sequence[int] | None, batch: int, accuracy: Accuracy
) -> Compared:
    try:
        seen: Inspection = inspect(entry.source, input_shape, batch=batch)
    except WrongUse as error:
        if type(error) is not WrongUse:
            raise
        raise WrongUse(f"{entry.name}: {error}") from error
    own = len(entry.weights) == 1 and entry.weights[0].id == entry.name
    taken = [w for w in entry.weights if own or accuracy == "best" or w.id.endswith(_SERIES)]
    weights, published = table.best_result(taken, seen.input[-1]) or (None, None)
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
        weights.id if weights else None,
        weights.labels if weights else None,
        elsewhere=weights is None and any(w.results for w in entry.weights),
    )


def _take_turns(
    entries: Sequence[_Entry],
    shapes: Sequence[tuple[int, ...]],
    device: str,
    progress: Progress | None,
) -> list[list[float]]:
    """Seconds of a pass in each round, for each network.

    Whatever else the machine does then meets all networks alike.
    """
    keep_large_buffers()
    taken: list[list[float]] = [[] for _ in entries]
    total = len(entries) * _ROUNDS
    for number in range(total):
        if progress is not None:
            progress(number, total)
        place = number % len(entries)
        taken[place].append(_time(entries[place], shapes[place], device))
    if progress is not None:
        progress(total, total)
    return taken


def _time(entry: _Entry, shape: tuple[int, ...], device: str) -> float:
    pictures = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    network = _made(entry, device)
    where = next(network.parameters(), pictures).device
    if where.type == "meta":
        raise WrongUse(f"{entry.name} has shapes and no numbers: nothing to time; measure=False")
    pictures = pictures.to(where)
    with evaluating(network):
        return time_passes(lambda: network(pictures), where.type)


def _made(entry: _Entry, device: str) -> nn.Module:
    """One that can compute; a module that was given is used as it is, where it is."""
    if isinstance(entry.source, nn.Module):
        return entry.source
    with torch.random.fork_rng(devices=[]):  # those of others draw from the global generator
        return find_network(entry.source, with_numbers=True).to(device)
