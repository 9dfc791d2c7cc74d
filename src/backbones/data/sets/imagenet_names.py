"""Images of ImageNet in one folder, each named by its WordNet id: `n01440764_tench.JPEG`."""

from __future__ import annotations

import re
from pathlib import Path

from backbones.data.sets.listing import count_of, look, some
from backbones.data.sets.splitting import Holdout, assemble
from backbones.data.source import DataSource
from backbones.errors import BadData

LOOKS_LIKE = "one folder of images that begin with a WordNet id (n01440764_tench.JPEG)"

_NAME = re.compile(r"(?P<id>n\d{8})[._\s-].*")


def wordnet_id(name: str) -> str | None:
    """The WordNet id that a file's name begins with.

    Example:
        >>> wordnet_id("n01440764_tench.JPEG"), wordnet_id("n01440764.jpg"), wordnet_id("n0144.jpg")
        ('n01440764', 'n01440764', None)
    """
    match = _NAME.fullmatch(name)
    return match["id"] if match else None


def recognise(folder: Path) -> bool:
    """Whether most images begin with a WordNet id; one that does not is a mistake to be told."""
    names = look(folder).images
    return 2 * sum(wordnet_id(name) is not None for name in names) > len(names)


def read(folder: Path, holdout: Holdout) -> DataSource:
    """Read such a folder; classes are the WordNet ids, sorted. One image a class will do.

    Raises:
        BadData: an image without a WordNet id, or fewer than two classes.
    """
    held = look(folder)
    labels = {name: wordnet_id(name) for name in held.images}
    if nameless := [name for name, label in labels.items() if label is None]:
        raise BadData(
            f"{folder} has {count_of(len(nameless), 'image')} without a WordNet id in front"
            f" ({some(nameless)}), beside {len(labels) - len(nameless):,} with one; expected names"
            " such as n01440764_tench.JPEG: rename or remove them"
        )
    notes = []
    if held.others:
        what = count_of(len(held.others), "file")
        notes.append(f"{what} in ./ left out: not an image by its extension")
    rows = [(name, str(label)) for name, label in labels.items()]
    return assemble("imagenet names", folder, {"train": rows}, holdout, notes)
