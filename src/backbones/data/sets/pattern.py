"""A regular expression says which part of an image's path is its class."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from backbones.data.sets.class_folders import split_folders
from backbones.data.sets.evidence import belongs_to_images
from backbones.data.sets.listing import count_of, some, walk_images
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.source import DataSource
from backbones.errors import BadData, WrongUse


def reader(pattern: str) -> Callable[[Path, Holdout], DataSource]:
    """What reads a folder by a label pattern.

    Args:
        pattern: looked for in each path below the folder, with forward slashes; its first group
            is the class. Folders `train`, `val` and `test` are the splits, where there is `train`.

    Raises:
        WrongUse: it is no regular expression, or has no group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise WrongUse(f"the label pattern {pattern!r} is no regular expression: {error}") from None
    if not compiled.groups:
        raise WrongUse(
            f"the label pattern {pattern!r} has no group; put the part that is the class in"
            " parentheses, such as (cat|dog)"
        )
    return lambda folder, holdout: _read(compiled, folder, holdout)


def _read(pattern: re.Pattern[str], folder: Path, holdout: Holdout) -> DataSource:
    paths = walk_images(folder)[0]
    splits = split_folders(folder)
    places = {place: split for split, place in splits.items()} if "train" in splits else {}
    listed: dict[str, list[tuple[str, str]]] = {}
    strange: dict[str, list[str]] = {}
    for path in paths:
        split = places.get(path.split("/")[0], "train") if "/" in path else "train"
        found = pattern.search(path)
        if found and found[1]:
            listed.setdefault(split, []).append((path, found[1]))
        else:
            strange.setdefault(split, []).append(path)
    notes = [f"classes are what {pattern.pattern!r} finds in the paths"]
    if "test" in strange and "test" not in listed:  # a competition's, without labels
        notes.append(f"{splits['test']}/ is left out: the label pattern fits none of its paths")
        del strange["test"]
    strange, beside = _without_what_belongs(strange)
    if beside:
        notes.append(f"{count_of(beside, 'image')} left out in folders of masks and their like")
    if wrong := [path for each in strange.values() for path in each]:
        raise BadData(
            f"the label pattern {pattern.pattern!r} finds no class in"
            f" {count_of(len(wrong), 'path')} of {len(paths):,} below {folder} ({some(wrong)})"
        )
    order = [split for split in ("train", "val", "test") if split in listed]
    return assemble(
        "label pattern", folder, {split: listed[split] for split in order}, holdout, notes
    )


def _without_what_belongs(strange: dict[str, list[str]]) -> tuple[dict[str, list[str]], int]:
    """The paths that are no masks or other companions of images, and how many those are."""
    kept = {
        split: [path for path in paths if not belongs_to_images(path.split("/")[:-1])]
        for split, paths in strange.items()
    }
    return kept, sum(map(len, strange.values())) - sum(map(len, kept.values()))
