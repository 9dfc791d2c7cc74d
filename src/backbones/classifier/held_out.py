"""Which images an evaluation is fair on: those that no network has learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.classifier.assembly import Member
from backbones.data.sets import open_data
from backbones.data.source import DataSource, Split
from backbones.errors import WrongUse
from backbones.files import expanded
from backbones.protocols.classes import column_order
from backbones.training.checkpoint import file_names_digest, fingerprint
from backbones.training.data import open_for
from backbones.training.settings import read_recipe
from backbones.weights.bundle import Bundle


@dataclass(frozen=True)
class Wanted:
    """What to measure on.

    Args:
        data: a folder, a manifest or a set name.
        split: its name; the held-out one where None.
        layout, label_pattern: where the labels come from, as far as it was said.
    """

    data: str | Path
    split: str | None = None
    layout: str | None = None
    label_pattern: str | None = None

    @property
    def reading(self) -> dict[str, str | None]:
        """How the labels are to be read, as fields of a recipe."""
        return {"layout": self.layout, "label_pattern": self.label_pattern}


def images_for_all(
    bundles: Sequence[Bundle], members: Sequence[Member], wanted: Wanted
) -> tuple[DataSource, Split]:
    """The data, and the images of it that none of several networks has learned from.

    Args:
        bundles: what is known of each network's training.
        members: the networks; they are named in messages.
        wanted: the data.

    Raises:
        NotFound: no such data or split.
        BadData: it is no data set, or the networks' classes differ.
        WrongUse: the networks hold out different images of it.
    """
    for each in members:
        column_order(each.classes, members[0].classes, each.name)
    (source, first), *others = (_images_to_measure(each, wanted) for each in bundles)
    data, known = wanted.data, fingerprint(first)
    for member, (_, other) in zip(members[1:], others, strict=True):
        if fingerprint(other) == known:
            continue
        if all(each.recipe is not None and each.recipe.get("fold") for each in bundles):
            raise WrongUse(
                f"each fold held out other images of {data}, so there are none that are new to"
                f" all; what each made of its own is in {Path(member.name).parent / 'folds.json'}."
                " Give data that no fold has seen"
            )
        raise WrongUse(
            f"{members[0].name} and {member.name} did not hold out the same images of {data}, so"
            " there is no fair set for both; name one with --split, or give data that is new to"
            " both"
        )
    return source, first


def was_chosen_by(bundle: Bundle, split: Split) -> bool:
    """Whether a bundle's weights are the ones that did best on these very images."""
    digest = (bundle.trained_on or {}).get("chosen_by")
    if digest is None:
        return False
    limited = bundle.recipe is not None and bundle.recipe.get("limit") is not None
    return digest == file_names_digest(split) or (limited and split.name == "val")


def spread(split: Split, limit: int | None) -> Split:
    """So many of a split's images, evenly spread."""
    if limit is None or limit >= len(split):
        return split
    return split.take([place * len(split) // limit for place in range(limit)])


def _images_to_measure(bundle: Bundle, wanted: Wanted) -> tuple[DataSource, Split]:
    """The data and the split of it that an evaluation of a bundle is about.

    Data that the bundle was trained on is split as it was then, so that only images that were
    held out count. Other data is taken whole, unless it has a "test" or "val" part of its own.
    """
    data, split, reading = wanted.data, wanted.split, wanted.reading
    if bundle.recipe is not None:
        # a recipe of before there was this part held no such images out
        fields = {"test_fraction": 0.0, **bundle.recipe}
        recipe = read_recipe(fields, f"the recipe of {bundle.variant}")
        if any(reading.values()):
            recipe = recipe.model_copy(update=reading)
        elif expanded(data).is_dir():
            reading = {"layout": recipe.layout, "label_pattern": recipe.label_pattern}
        else:  # a set or a table of another place says itself how it is read
            recipe = recipe.model_copy(update=dict.fromkeys(reading))
        if _trained_on(bundle, open_for(recipe, data)):
            whole = open_for(recipe.model_copy(update={"limit": None}), data)
            return whole, whole.split(split) if split else whole.held_out()
    source = open_data(
        data,
        val_fraction=0.0,
        layout=reading["layout"],
        label_pattern=reading["label_pattern"],
    )
    if split:
        return source, source.split(split)
    alone = set(source.splits) == {"train"}
    return source, source.split("train") if alone else source.held_out()


def _trained_on(bundle: Bundle, source: DataSource) -> bool:
    """Whether the source's training images are those that the bundle learned from."""
    if bundle.trained_on is None or "train" not in source.splits:
        return False
    found = fingerprint(source.splits["train"])
    known = {name: value for name, value in bundle.trained_on.items() if name != "chosen_by"}
    return known == {name: found.get(name) for name in known}
