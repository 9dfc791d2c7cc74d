"""Look at a whole data set before it is trusted: what it holds, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backbones.data.alike import equal_groups, near_groups
from backbones.data.examine import Examined, examine_all, examine_records
from backbones.data.findings import (
    DARK,
    Check,
    Conflict,
    Leak,
    Sizes,
    Spread,
    Unreadable,
    WrongExtension,
)
from backbones.data.sets import open_data
from backbones.data.sets.listing import count_of, walk_images
from backbones.data.sets.splitting import ordered
from backbones.data.shards.manifest import changed_shards
from backbones.data.source import ArrayImages, DataSource, FileImages, Images
from backbones.errors import BadData
from backbones.files import expanded
from backbones.progress import Progress

SMALLEST_FOR_NEAR_PX = 64
"""Images with a shorter side below this are compared exactly only: two digits look alike."""

LARGE_IMBALANCE = 10.0

SMALL = 0.1
"""Of the median's pixels: what has fewer is listed."""

ELONGATED = 3.0
"""Longer side over the shorter one: what has more loses most of itself in a square."""

_SUFFIXES = {
    "JPEG": ".jpg .jpeg .jpe .jfif",
    "MPO": ".jpg .jpeg .jpe .mpo",
    "PNG": ".png .apng",
    "TIFF": ".tif .tiff",
    "BMP": ".bmp .dib",
    "DIB": ".bmp .dib",
    "AVIF": ".avif .heif",
    "JPEG2000": ".jp2 .j2k .jpx",
    "PPM": ".ppm .pgm .pbm .pnm",
}


@dataclass(frozen=True)
class _Item:
    """One image of one split."""

    split: str
    label: str
    name: str


def check_data(
    where: str | Path,
    *,
    layout: str | None = None,
    label_pattern: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Check:
    """Decode every image of a set once, and compare all with all.

    A folder without labels that `open_data` understands is looked at as well, and that is a
    problem: nothing can be trained on it.

    Args:
        where: whatever `open_data` opens, or any folder with images.
        layout, label_pattern: as of `open_data`.
        workers: how many processes decode; all cores by default.
        progress: called with (done, total) as images are looked at.

    Raises:
        NotFound: no such name or path.
        BadData: there is no image at all.
    """
    try:
        # nothing is sampled here: the splits are those that the set brings along
        source = open_data(where, val_fraction=0.0, layout=layout, label_pattern=label_pattern)
    except BadData as error:
        root = expanded(where)
        paths = walk_images(root)[0] if root.is_dir() else []
        if not paths:
            raise
        items = [_Item("", "", path) for path in paths]
        found = examine_all([root / path for path in paths], workers=workers, progress=progress)
        return _report(str(where), "images", items, found, [f"no labels: {error}"], [])
    items, found = _look_at(source, workers, progress)
    problems = changed_shards(where) if source.kind in ("tar", "parquet") else []
    return _report(source.where, source.kind, items, found, problems, list(source.notes))


def _look_at(
    source: DataSource, workers: int | None, progress: Progress | None
) -> tuple[list[_Item], list[Examined]]:
    items: list[_Item] = []
    found: list[Examined] = []
    total = sum(map(len, source.splits.values()))
    for split in source.splits.values():
        labels = [split.classes[label] for label in split.labels]
        names = [split.images.name(i) for i in range(len(split))]
        items.extend(
            _Item(split.name, label, name) for label, name in zip(labels, names, strict=True)
        )
        found.extend(_examined(split.images, workers, _shifted(progress, len(found), total)))
    for name, reason in source.damaged:
        items.append(_Item("", "", name))
        found.append(Examined(reason=reason))
    return items, found


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def _examined(images: Images, workers: int | None, progress: Progress | None) -> list[Examined]:
    if isinstance(images, FileImages):
        paths = [images.path(i) for i in range(len(images))]
        return examine_all(paths, workers=workers, progress=progress)
    if not isinstance(images, ArrayImages):
        return list(examine_records(images, workers, progress))
    height, width, channels = images.array.shape[1:]
    mode = "RGB" if channels == 3 else "L"
    same = Examined(format="array", mode=mode, width=width, height=height)
    rows = np.ascontiguousarray(images.array).reshape(len(images), -1)
    found = [
        replace(
            same,
            sha256=hashlib.sha256(row.data).hexdigest(),
            blank=bool((row.reshape(-1, channels) == row[:channels]).all()),
            brightest=int(row.max()),
        )
        for row in rows
    ]
    if progress is not None:
        progress(len(found), len(found))
    return found


def _report(
    where: str,
    kind: str,
    items: Sequence[_Item],
    found: Sequence[Examined],
    problems: list[str],
    remarks: list[str],
) -> Check:
    readable = [i for i, each in enumerate(found) if not each.reason]
    exact = equal_groups((each.sha256 or i) for i, each in enumerate(found))
    near = _near(found, readable)
    counts = _labels_of(items)
    splits = dict.fromkeys(item.split for item in items if item.split)
    result = Check(
        where=where,
        kind=kind,
        ok=False,
        problems=(),
        remarks=(),
        files=len(items),
        readable=len(readable),
        unreadable=tuple(
            Unreadable(item.name, each.reason)
            for item, each in zip(items, found, strict=True)
            if each.reason
        ),
        classes=counts,
        splits={
            split: _labels_of([item for item in items if item.split == split]) for split in splits
        },
        imbalance=max(counts.values()) / min(counts.values()) if len(counts) > 1 else 0.0,
        sizes=_sizes([found[i] for i in readable]),
        formats=_counted(each.format for each in found),
        modes=_counted(found[i].mode for i in readable),
        wrong_extensions=tuple(_wrong_extensions(items, found)),
        exact_duplicates=_named(exact, items),
        near_duplicates=_named(near, items),
        blank=tuple(items[i].name for i in readable if found[i].blank),
        nearly_black=tuple(
            items[i].name for i in readable if found[i].brightest <= DARK and not found[i].blank
        ),
        small=tuple(items[i].name for i in _small(found, readable)),
        elongated=tuple(items[i].name for i in readable if _ratio(found[i]) > ELONGATED),
        leaks=tuple(_leaks(exact, near, items)),
        conflicts=tuple(_conflicts(exact, items)),
    )
    return _judged(result, problems, remarks)


def _near(found: Sequence[Examined], readable: Sequence[int]) -> list[list[int]]:
    """Groups of near copies; of equal files the first one stands for all."""
    seen: set[str] = set()
    chosen: list[int] = []
    for i in readable:
        each = found[i]
        small = min(each.width, each.height) < SMALLEST_FOR_NEAR_PX
        if not small and each.thumbnail and each.sha256 not in seen:
            seen.add(each.sha256)
            chosen.append(i)
    if not chosen:
        return []
    thumbnails = np.stack([found[i].grey() for i in chosen])
    groups = near_groups([found[i].brightness for i in chosen], thumbnails)
    return [[chosen[i] for i in group] for group in groups]


def _small(found: Sequence[Examined], readable: Sequence[int]) -> list[int]:
    if not readable:
        return []
    pixels = {i: found[i].width * found[i].height for i in readable}
    limit = SMALL * float(np.median(list(pixels.values())))
    return sorted((i for i in readable if pixels[i] < limit), key=pixels.__getitem__)


def _ratio(image: Examined) -> float:
    return max(image.width, image.height) / max(1, min(image.width, image.height))


def _wrong_extensions(
    items: Sequence[_Item], found: Sequence[Examined]
) -> Iterable[WrongExtension]:
    for item, each in zip(items, found, strict=True):
        if not each.format or each.format == "array":
            continue
        suffix = Path(item.name).suffix.lower()
        if suffix not in _SUFFIXES.get(each.format, "." + each.format.lower()).split():
            yield WrongExtension(item.name, suffix, each.format)


def _leaks(exact: list[list[int]], near: list[list[int]], items: Sequence[_Item]) -> Iterable[Leak]:
    for groups, is_near in ((exact, False), (near, True)):
        for group in groups:
            train = tuple(items[i].name for i in group if items[i].split == "train")
            others = tuple(items[i].name for i in group if items[i].split not in ("", "train"))
            if train and others:
                yield Leak(train, others, is_near)


def _conflicts(exact: list[list[int]], items: Sequence[_Item]) -> Iterable[Conflict]:
    for group in exact:
        labels = sorted({items[i].label for i in group if items[i].label})
        if len(labels) > 1:
            yield Conflict(tuple(items[i].name for i in group), tuple(labels))


def _judged(result: Check, problems: list[str], remarks: list[str]) -> Check:
    """Say in sentences what the figures mean."""
    if number := len(result.unreadable):
        problems.append(f"{count_of(number, 'image')} cannot be decoded")
    if number := len(result.conflicts):
        problems.append(f"{count_of(number, 'image')} under two labels")
    if number := len(result.leaks):
        problems.append(f"{count_of(number, 'image')} of train again in another split")
    if number := len(result.wrong_extensions):
        remarks.append(f"{count_of(number, 'wrong extension')}: the content decides")
    if number := len(result.exact_duplicates):
        remarks.append(f"{count_of(number, 'group')} of equal images")
    if number := len(result.near_duplicates):
        remarks.append(f"{count_of(number, 'group')} of images that look the same")
    if number := len(result.blank):
        remarks.append(f"{count_of(number, 'image')} of one colour")
    if number := len(result.nearly_black):
        remarks.append(
            f"{count_of(number, 'image')} nearly black: were 10 to 14 bits stored as if 16?"
        )
    if number := len(result.small):
        remarks.append(f"{count_of(number, 'image')} far smaller than the others")
    if number := len(result.elongated):
        remarks.append(f"{count_of(number, 'image')} over three times as long as wide")
    if list(result.splits) == ["train"] and (result.exact_duplicates or result.near_duplicates):
        remarks.append("a val split made from it may hold copies of training images")
    if result.imbalance >= LARGE_IMBALANCE:
        remarks.append(f"the largest class has {result.imbalance:.0f} times the smallest's images")
    return replace(result, ok=not problems, problems=tuple(problems), remarks=tuple(remarks))


def _sizes(readable: Sequence[Examined]) -> Sizes | None:
    if not readable:
        return None
    width, height = (
        Spread(min(side), float(np.median(side)), max(side))
        for side in ([each.width for each in readable], [each.height for each in readable])
    )
    return Sizes(width, height)


def _labels_of(items: Sequence[_Item]) -> dict[str, int]:
    counts = Counter(item.label for item in items if item.label)
    return {label: counts[label] for label in ordered(counts)}


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(word or "unknown" for word in words).most_common())


def _named(groups: list[list[int]], items: Sequence[_Item]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(items[i].name for i in group) for group in groups)
