"""The label sets, and what a network's classes are called in a language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal, get_args

from backbones.errors import NotFound, WrongUse, nearest

Lang = Literal["en", "zh", "both"]
LANGUAGES: tuple[Lang, ...] = get_args(Lang)

# The set's name as `open_data` knows it, and what it is.
_SUMMARIES = {
    "imagenet": "ILSVRC 2012, by WordNet id",
    "mnist": "the ten digits",
    "fashion-mnist": "Zalando's ten kinds of clothing",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100, its fine classes",
}


@dataclass(frozen=True)
class Label:
    """One class.

    Args:
        id: what data and bundles call it: a WordNet id, or a word of the set's own files.
        en: in English; a qualifier in brackets tells two of one name apart.
        zh: in Chinese, as mainland China writes it.
    """

    id: str
    en: str
    zh: str

    def shown(self, lang: Lang) -> str:
        """The name in a language, or in both.

        Example:
            >>> Label("n01440764", "tench", "丁鲷").shown("both")
            'tench 丁鲷'
        """
        return {"en": self.en, "zh": self.zh, "both": f"{self.en} {self.zh}"}[lang]


@dataclass(frozen=True)
class LabelSet:
    """The classes of one data set, in the order of its labels.

    Args:
        name: of the data set.
        summary: what it is, in a few words.
        labels: one a class.
    """

    name: str
    summary: str
    labels: tuple[Label, ...]
    by_id: dict[str, Label] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {label.id: label for label in self.labels})

    def __len__(self) -> int:
        return len(self.labels)

    def find(self, text: str) -> tuple[tuple[int, Label], ...]:
        """The classes in whose id or names a text occurs, each with its place in the set.

        Raises:
            NotFound: there is none; names the nearest.

        Example:
            >>> [(place, label.zh) for place, label in label_set("imagenet").find("crane")]
            [(134, '鹤'), (517, '起重机')]
        """
        wanted = text.strip().casefold()
        rows = tuple(
            (place, label)
            for place, label in enumerate(self.labels)
            if any(wanted in name.casefold() for name in (label.id, label.en, label.zh))
        )
        if not rows:
            known = [name for label in self.labels for name in (label.en, label.zh)]
            raise NotFound(f"{self.name} has no class like {text!r}." + nearest(text, known))
        return rows


def label_sets() -> tuple[LabelSet, ...]:
    """All sets."""
    return tuple(map(_read, _SUMMARIES))


def label_set(name: str) -> LabelSet:
    """The set of a name.

    Raises:
        NotFound: there is none; names the nearest.

    Example:
        >>> label_set("imagenet").labels[0]
        Label(id='n01440764', en='tench', zh='丁鲷')
    """
    if name not in _SUMMARIES:
        raise NotFound(
            f"there are no class names of {name!r}; there are those of {', '.join(_SUMMARIES)}."
            + nearest(name, _SUMMARIES)
        )
    return _read(name)


def labels_of(classes: Sequence[str]) -> LabelSet | None:
    """The set in which every one of a network's class names is an id, or None.

    A part of ImageNet will do, since nothing else is called by a WordNet id. Of the other sets it
    must be all: a network that tells `mouse` from `keyboard` need not know CIFAR-100's rodent.

    Example:
        >>> found = labels_of(["n01440764", "n03126707"])
        >>> found and found.name, labels_of(["cat", "dog"])
        ('imagenet', None)
    """
    if not classes:
        return None
    wanted = set(classes)
    for each in label_sets():
        part = each.name == "imagenet" and each.by_id.keys() >= wanted
        if part or each.by_id.keys() == wanted:
            return each
    return None


def shown(classes: Sequence[str], lang: Lang) -> tuple[str, ...]:
    """What to call a network's classes; those that are in no set are called what they are.

    Raises:
        WrongUse: no such language.

    Example:
        >>> shown(["n01440764", "n02012849"], "zh"), shown(["tabby"], "zh")
        (('丁鲷', '鹤'), ('tabby',))
    """
    if lang not in LANGUAGES:
        raise WrongUse(
            f"there are no class names in {lang!r}; expected {', '.join(LANGUAGES)}."
            + nearest(lang, LANGUAGES)
        )
    found = labels_of(classes)
    if found is None:
        return tuple(classes)
    return tuple(found.by_id[name].shown(lang) for name in classes)


@cache
def _read(name: str) -> LabelSet:
    file = resources.files("backbones.labels") / f"{name.replace('-', '_')}.tsv"
    _, *rows = file.read_text(encoding="utf-8").splitlines()
    labels = tuple(Label(*row.split("\t")) for row in rows)
    return LabelSet(name, _SUMMARIES[name], labels)
