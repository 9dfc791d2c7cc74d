"""A data check, and what was packed, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backbones.data.findings import Check
from backbones.data.sets.listing import count_of
from backbones.data.shards.manifest import Manifest
from backbones.data.stores import plain
from backbones.units import human_bytes

_SHOWN = 10


def check_text(found: Check) -> str:
    """What was found, the problems first.

    Args:
        found: what `check` returned.
    """
    verdict = "no problems" if found.ok else "needs mending: " + "; ".join(found.problems)
    lines = [
        f"{found.where} ({found.kind}): {verdict}",
        "",
        f"images   {found.files:,}, {found.readable:,} of them readable",
        *_class_lines(found),
        *_size_lines(found),
        f"formats    {_counts(found.formats.items())}",
        f"modes      {_counts(found.modes.items())}",
    ]
    if found.remarks:
        lines += ["", *(f"note: {remark}" for remark in found.remarks)]
    lines += _listing("cannot be decoded", [f"{u.path}: {u.reason}" for u in found.unreadable])
    lines += _listing(
        "under two labels", [" = ".join(conflict.paths) for conflict in found.conflicts]
    )
    lines += _listing(
        "in train and in another split",
        [
            f"{', '.join(leak.train)} {'~' if leak.near else '='} {', '.join(leak.held_out)}"
            for leak in found.leaks
        ],
    )
    lines += _listing(
        "wrong extension",
        [f"{w.path}: holds {w.format}, named {w.extension}" for w in found.wrong_extensions],
    )
    lines += _listing("equal images", [" = ".join(group) for group in found.exact_duplicates])
    lines += _listing("one colour", found.blank)
    lines += _listing("nearly black", found.nearly_black)
    lines += _listing("far smaller than the others", found.small)
    lines += _listing("over three times as long as wide", found.elongated)
    lines += _listing("look the same", [" ~ ".join(group) for group in found.near_duplicates])
    return "\n".join(lines)


def _class_lines(found: Check) -> list[str]:
    lines = []
    for split, classes in found.splits.items():
        shown = sorted(classes.items(), key=lambda row: -row[1])
        text = ", ".join(f"{name} {number:,}" for name, number in shown[:_SHOWN])
        more = f" and {len(shown) - _SHOWN} more classes" if len(shown) > _SHOWN else ""
        lines.append(f"{split:<10} {sum(classes.values()):,}: {text}{more}")
    return lines


def _size_lines(found: Check) -> list[str]:
    if found.sizes is None:
        return []
    width, height = found.sizes.width, found.sizes.height
    return [
        f"sizes      {width.min} to {width.max} px wide (median {width.median:g}),"
        f" {height.min} to {height.max} px high (median {height.median:g})"
    ]


def _counts(rows: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in rows) or "none"


def _listing(title: str, rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    more = [f"  and {len(rows) - _SHOWN} more (--json lists all)"] if len(rows) > _SHOWN else []
    return ["", f"{title}:", *(f"  {row}" for row in rows[:_SHOWN]), *more]


def packed_text(out: str, packed: Manifest) -> str:
    """What was written, the images that were left out behind it.

    Args:
        out: where.
        packed: what `pack_data` returned.
    """
    size = human_bytes(sum(each.bytes for each in packed.shards))
    splits: dict[str, int] = {}
    for each in packed.shards:
        splits[each.split] = splits.get(each.split, 0) + each.images
    said = ", ".join(f"{name} {images:,}" for name, images in splits.items())
    shards = count_of(len(packed.shards), f"{packed.format} shard")
    lines = [f"{plain(out)}: {shards}, {size}; {len(packed.classes):,} classes; {said}"]
    lines += _listing("left out", [f"{name}: {reason}" for name, reason in packed.left_out])
    return "\n".join(lines)
