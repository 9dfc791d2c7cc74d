"""Measure a trained network as a paper would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from backbones.compute import Precision
from backbones.data.sets import open_data
from backbones.data.source import DataSource, Split
from backbones.errors import WrongUse
from backbones.files import expanded
from backbones.labels import Lang, shown
from backbones.progress import Progress
from backbones.protocols.answering import Asking
from backbones.protocols.classes import column_order
from backbones.protocols.own import apply_settings, load_protocol
from backbones.protocols.processes import together
from backbones.protocols.run import Evaluation, Member, evaluate_together
from backbones.protocols.table import Protocol
from backbones.training.checkpoint import fingerprint
from backbones.training.data import open_for
from backbones.training.folds import all_networks
from backbones.training.settings import read_recipe
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle
from backbones.workflows.evaluated import was_chosen_by

__all__ = ["evaluate"]


def evaluate(
    bundle: str | Path | Bundle | Sequence[str | Path | Bundle],
    data: str | Path,
    *,
    protocol: str | Path | Protocol = "single",
    settings: Sequence[str] = (),
    split: str | None = None,
    lang: Lang = "en",
    batch_size: int = 64,
    precision: Precision = "fp32",
    names: Sequence[str] | None = None,
    limit: int | None = None,
    layout: str | None = None,
    label_pattern: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a trained network, or several as one, on a data set as a paper would.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights; several of these answer
            together, as the protocol's `reduction` says. They need the same classes, in any order.
            The folder of `train --folds` stands for all its runs.
        data: a folder, a manifest or a set name. Of the data that it was trained on, only what
            was held out then is measured; of other data without a held-out part, everything.
        protocol: a row's name (`backbones evaluate --protocol list` shows all), a row, or a file
            with the fields of one.
        settings: fields of the protocol to set anew, `field=value` each.
        split: "train", "val" or "test"; the held-out one where None.
        lang: of the class names in the report: "en", "zh" or "both". Classes that are in no label
            set (`backbones list labels`) are called what the bundle calls them.
        batch_size: pictures at a time, of the size that the network sees.
        precision: "fp32" is exact; "bf16" is faster on processors with bf16 units.
        names: what the report calls the networks; as they were given where None.
        layout, label_pattern: as of `open_data`; where both are None, what the bundle was trained
            with counts.
        limit: measure only so many pictures, evenly spread over the split; all where None.
        progress: called with (pictures done, pictures in all).

    Raises:
        NotFound: no such bundle, data or split.
        BadData: the data has a class that the bundle does not know (it may have a part of the
            bundle's classes only), or no picture can be read.
        ProtocolError: no such protocol, or one that does not fit the network.
        WrongUse: no such language, no bundle, or bundles that hold out different pictures.
    """
    row = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    row = apply_settings(row, settings)
    bundles = all_networks(bundle)
    opened = [open_bundle(each) for each in bundles]
    called = names or [_called(*pair) for pair in zip(bundles, opened, strict=True)]
    members = [
        Member(each.build, each.spec, each.classes, name)
        for each, name in zip(opened, called, strict=True)
    ]
    shown(opened[0].classes, lang)  # a language that is none is told before any work
    reading = _Reading(layout, label_pattern)
    source, pictures = _pictures_for_all(opened, called, _Wanted(data, split, reading))
    with together() as (rank, _):
        found = evaluate_together(
            members,
            _spread(pictures, limit),
            Asking(row, batch_size, precision),
            progress=progress if rank == 0 else None,
        )
    return replace(
        found.named(shown(opened[0].classes, lang)),
        selected_on_this_split=any(was_chosen_by(each, pictures) for each in opened),
        data=f"{source.summary()}; measured: {pictures.name}",
    )


def _spread(split: Split, limit: int | None) -> Split:
    """So many of a split's pictures, evenly spread."""
    if limit is None or limit >= len(split):
        return split
    return split.take([place * len(split) // limit for place in range(limit)])


def _called(where: str | Path | Bundle, bundle: Bundle) -> str:
    return bundle.variant if isinstance(where, Bundle) else str(where)


class _Reading(NamedTuple):
    """Where the labels come from, as far as it was said."""

    layout: str | None
    label_pattern: str | None


class _Wanted(NamedTuple):
    """What to measure on: the data, its split, and how it is to be read."""

    data: str | Path
    split: str | None
    reading: _Reading


def _pictures_for_all(
    bundles: Sequence[Bundle], names: Sequence[str], wanted: _Wanted
) -> tuple[DataSource, Split]:
    """The data, and the pictures of it that none of several bundles has learned from."""
    for name, each in zip(names, bundles, strict=True):
        column_order(each.classes, bundles[0].classes, name)
    (source, first), *others = (_pictures_to_measure(each, wanted) for each in bundles)
    data, known = wanted.data, fingerprint(first)
    for name, (_, other) in zip(names[1:], others, strict=True):
        if fingerprint(other) != known and _are_folds(bundles):
            raise WrongUse(
                f"each fold held out other pictures of {data}, so there are none that are new to"
                f" all; what each made of its own is in {Path(name).parent / 'folds.json'}. Give"
                " data that no fold has seen"
            )
        if fingerprint(other) != known:
            raise WrongUse(
                f"{names[0]} and {name} did not hold out the same pictures of {data}, so there is"
                " no fair set for both; name one with --split, or give data that is new to both"
            )
    return source, first


def _are_folds(bundles: Sequence[Bundle]) -> bool:
    return all(each.recipe is not None and each.recipe.get("fold") for each in bundles)


def _pictures_to_measure(bundle: Bundle, wanted: _Wanted) -> tuple[DataSource, Split]:
    """The data and the split of it that an evaluation of a bundle is about.

    Data that the bundle was trained on is split as it was then, so that only pictures that were
    held out count. Other data is taken whole, unless it has a "test" or "val" part of its own.

    Args:
        bundle: its recipe and the fingerprint of its training pictures decide.
        wanted: the data, the split that is asked for by name, and how the data is to be read.

    Raises:
        NotFound: no such data or split.
        BadData: it is no data set.
    """
    data, split, reading = wanted
    if bundle.recipe is not None:
        # a recipe of before there was this part held no such pictures out
        fields = {"test_fraction": 0.0, **bundle.recipe}
        recipe = read_recipe(fields, f"the recipe of {bundle.variant}")
        if any(reading):
            recipe = recipe.model_copy(update=reading._asdict())
        elif expanded(data).is_dir():
            reading = _Reading(recipe.layout, recipe.label_pattern)
        else:  # a set or a table of another place says itself how it is read
            recipe = recipe.model_copy(update=_Reading(None, None)._asdict())
        if _trained_on(bundle, open_for(recipe, data)):
            whole = open_for(recipe.model_copy(update={"limit": None}), data)
            return whole, whole.split(split) if split else whole.held_out()
    source = open_data(data, val_fraction=0.0, **reading._asdict())
    if split:
        return source, source.split(split)
    alone = set(source.splits) == {"train"}
    return source, source.split("train") if alone else source.held_out()


def _trained_on(bundle: Bundle, source: DataSource) -> bool:
    """Whether the source's training pictures are those that the bundle learned from."""
    if bundle.trained_on is None or "train" not in source.splits:
        return False
    found = fingerprint(source.splits["train"])
    known = {name: value for name, value in bundle.trained_on.items() if name != "chosen_by"}
    return known == {name: found.get(name) for name in known}
