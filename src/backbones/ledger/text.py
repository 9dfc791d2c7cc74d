"""The ledger in Markdown: one row, and the page of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backbones.ledger.entry import Entry
from backbones.ledger.measured import Figure, Measured
from backbones.ledger.verdict import verdicts


def measured_text(entry: Entry, measured: Measured, chart: str = "measured.png") -> str:
    """A row with its figures beside what was printed.

    Args:
        entry: the row.
        measured: what was found.
        chart: address of its image.
    """
    lines = [f"## {entry.id}", "", f"*{entry.claim}* ({entry.source})", ""]
    if entry.shortened:
        lines += [f"Shortened: {entry.shortened}", ""]
    if measured.smoke:
        lines += ["**A smoke run: only the machinery was tried, the figures mean nothing.**", ""]
    lines += [
        "| network | top-1 error, mean ± sd | each run | test images a run | printed |",
        "|---|---|---|---|---|",
        *(_line(entry, figure) for figure in measured.figures),
        "",
        *(f"* {found.to_text()}" for found in verdicts(entry, measured)),
        *([""] if entry.expectations else []),
        f"![{entry.id}]({chart})",
        "",
        f"`{command(entry)}` on {measured.date}: {measured.machine.to_text()}."
        f" Training: {_minutes(measured)}.",
        *(["", measured.remark] if measured.remark else []),
    ]
    return "\n".join(lines) + "\n"


def page_text(entries: Sequence[Entry], found: Mapping[str, Measured], charts: str) -> str:
    """The page of the whole ledger.

    Args:
        entries: all rows.
        found: what was measured, by id.
        charts: folder of the images, relative to the page.
    """
    done = [entry for entry in entries if entry.id in found]
    left = [entry for entry in entries if entry.id not in found]
    lines = [
        "# The ledger",
        "",
        "Written by `make golden` from `src/backbones/ledger`. Every row is a claim of a paper or",
        "a tutorial; `backbones reproduce ID` tries it again. Errors are in percent of held-out",
        "images. A verdict is the 95 % interval of a difference (over seeds by Student's t, over",
        "test images paired where that is known, whichever is wider) held against the claim; where",
        "it fits both, the row is undecided, and so are networks that were trained once each.",
        "",
        "| row | claim | outcome |",
        "|---|---|---|",
        *(f"| [{e.id}](#{_anchor(e.id)}) | {e.claim} | {outcome(e, found[e.id])} |" for e in done),
        "",
    ]
    for entry in done:
        chart = f"{charts}/{file_name(entry.id)}.png"
        lines += [measured_text(entry, found[entry.id], chart)]
    lines += [
        "## Not run here",
        "",
        "These rows need ImageNet, CIFAR or more time than two cores give. The command runs them",
        "where the data lies.",
        "",
        "| row | claim | printed, top-1 error | command |",
        "|---|---|---|---|",
        *(f"| {e.id} | {e.claim} | {_all_printed(e)} | `{command(e)}` |" for e in left),
    ]
    return "\n".join(lines) + "\n"


def file_name(identifier: str) -> str:
    """A row's id as the stem of a file."""
    return identifier.replace("/", "-")


def command(entry: Entry) -> str:
    """What tries the row again."""
    named = entry.data in ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
    return f"backbones reproduce {entry.id}" + ("" if named else " --data FOLDER")


def outcome(entry: Entry, measured: Measured) -> str:
    """The verdicts in a word each, or the figures where nothing was expected of them."""
    words = [found.word for found in verdicts(entry, measured)]
    figures = [f"{figure.label} {figure.to_text()}" for figure in measured.figures]
    return ", ".join(words) if words else "; ".join(figures)


def printed_text(entry: Entry, label: str) -> str:
    """What others got where the row has this figure; empty where nothing was printed."""
    return "; ".join(
        f"{number.top1_error_percent:g} % ({number.on}, {number.where})"
        for number in entry.printed_for(label)
    )


def entry_text(entry: Entry) -> str:
    """A row before it is tried: the claim, and what will be trained and measured."""
    lines = [f"{entry.id}: {entry.claim}", f"source: {entry.source}", f"data: {entry.data}"]
    lines += [f"shortened: {entry.shortened}"] if entry.shortened else []
    for arm in entry.arms:
        start = f", layers from {arm.init_from}" if arm.init_from else ""
        made = f"recipe {arm.recipe}{start}" if arm.recipe else f"weights {arm.weights}"
        lines.append(f"{arm.name}: {arm.model or 'network of the ' + made.split()[0]}, {made}")
        lines += [f"  --set {setting}" for setting in arm.settings]
        for measure in arm.measures:
            lines.append(" ".join(["  protocol", measure.protocol, *measure.settings]))
        printed = [printed_text(entry, arm.label(measure)) for measure in arm.measures]
        lines += [f"  printed: {text}" for text in printed if text]
    for expected in entry.expectations:
        lines.append(f"expected: {expected.figure} {expected.is_} than {expected.than}")
    return "\n".join(lines)


def _line(entry: Entry, figure: Figure) -> str:
    each = ", ".join(f"{run.top1_error_percent:.2f}" for run in figure.runs)
    samples = sorted({run.num_samples for run in figure.runs})
    said = " to ".join(f"{n:,}" for n in (samples[:1] + samples[-1:])[: len(samples)])
    printed = printed_text(entry, figure.label)
    return f"| {figure.label} | {figure.to_text()} | {each} | {said} | {printed} |"


def _minutes(measured: Measured) -> str:
    return ", ".join(
        f"{name} {seconds / 60:.1f} min" for name, seconds in measured.train_seconds.items()
    )


def _all_printed(entry: Entry) -> str:
    return "; ".join(
        f"{arm.name} {number.top1_error_percent:g} % ({number.where})"
        for arm in entry.arms
        for number in arm.printed
    )


def _anchor(identifier: str) -> str:
    return identifier.replace("/", "")
