"""The label comes from the class name, never from an index that may shift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backbones.data.source import Split
from backbones.errors import BadData
from backbones.text import same_name


def match_classes(split: Split, classes: Sequence[str]) -> Split:
    """The split with its labels counted in the network's classes.

    Data may have only some of a network's classes, as ImageNet-A has: the others have no images.

    Args:
        split: images whose classes may be listed in another order.
        classes: the network's class names, in the order of its outputs.

    Raises:
        BadData: a name is unknown or there twice; the message shows the difference.
    """
    if split.classes == tuple(classes):
        return split
    for owner, names in (("the network", classes), ("the data", split.classes)):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise BadData(f"{owner} has the class {twice[0]!r} more than once; names must differ")
    place = {same_name(name): index for index, name in enumerate(classes)}
    unknown = [name for name in split.classes if same_name(name) not in place]
    known = set(map(same_name, split.classes))
    missing = [name for name in classes if same_name(name) not in known]
    if unknown:
        raise BadData(
            f"the data's {len(split.classes)} classes are not the network's {len(classes)}:"
            f" {_listed('only in the data', unknown)}; {_listed('only in the network', missing)}."
            " Use data with the same class names, or train a network on this data"
        )
    moved = np.array([place[same_name(name)] for name in split.classes], dtype=np.int64)
    return replace(split, classes=tuple(classes), labels=moved[split.labels])


def column_order(classes: Sequence[str], reference: Sequence[str], who: str) -> list[int]:
    """Which of a network's outputs stand for the classes of another network, in their order.

    Args:
        classes: of the network whose outputs are put in order.
        reference: of the network whose order counts.
        who: the first, for messages.

    Raises:
        BadData: the two do not know the same classes.

    Example:
        >>> column_order(("dog", "cat"), ("cat", "dog"), "a network")
        [1, 0]
    """
    if tuple(classes) == tuple(reference):
        return list(range(len(classes)))
    extra = [name for name in classes if name not in set(reference)]
    missing = [name for name in reference if name not in set(classes)]
    if extra or missing or len(classes) != len(reference):
        raise BadData(
            f"{who} has {len(classes)} classes that are not the first network's {len(reference)}:"
            f" {_listed('only here', extra)}; {_listed('only in the first', missing)}."
            " Only networks with the same classes can answer together"
        )
    place = {name: index for index, name in enumerate(classes)}
    return [place[name] for name in reference]


def _listed(where: str, names: Sequence[str], *, limit: int = 8) -> str:
    if not names:
        return f"{where}: none"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{where}: {', '.join(map(repr, names[:limit]))}{more}"
