"""An evaluation's report as lines of text."""

from __future__ import annotations

from dataclasses import dataclass

from backbones.language import said
from backbones.metrics import ClassReport, Interval, Report
from backbones.protocols.row import Protocol
from backbones.units import human_seconds, text_columns

_ALL_CLASSES_UP_TO = 25
_WORST = 10
_SKIPPED_SHOWN = 10
_LABEL_COLUMNS = 19
_FUSED = {
    "mean_softmax": "the mean of their probabilities",
    "mean_logits": "the mean of their scores before the softmax",
    "vote": "the most votes",
}


@dataclass(frozen=True)
class ReportContext:
    """What a report says besides its numbers.

    Args:
        title: the first line.
        seconds: how long it took.
        classes_in_data: how many of the network's classes the data has.
        protocol: what was followed, with what its paper printed.
        models: the networks.
        views_per_image: how many views each of them was shown of an image.
        num_passes: views that went through the networks.
        selected: whether the images chose the weights.
        data: what was understood of the data; empty where nothing is.
        computed: lines on precision and engine.
    """

    title: str
    seconds: float
    classes_in_data: int
    protocol: Protocol
    models: tuple[str, ...]
    views_per_image: int
    num_passes: int
    selected: bool = False
    data: str = ""
    computed: tuple[str, ...] = ()


def evaluation_text(report: Report, context: ReportContext) -> str:
    """Error rates with intervals, what the paper printed, classes, and the files left out.

    Args:
        report: the numbers.
        context: the rest.
    """
    lines = [
        context.title,
        "",
        *_models_lines(context),
        *([_line(said("data"), context.data)] if context.data else []),
        *_work_lines(report, context),
        *([_line("", selected())] if context.selected else []),
        *_classes_lines(context.classes_in_data, len(report.per_class)),
        _line(said("top-1 error"), _rate(report.top1_error_percent, report.top1_interval_percent)),
    ]
    if len(report.per_class) > 5:  # with fewer, nothing can be missed
        five = _rate(report.top5_error_percent, report.top5_interval_percent)
        lines.append(_line(said("top-5 error"), five))
    lines += [
        _line(said("loss"), f"{report.loss:.4f}"),
        _line(said("calibration error"), f"{report.calibration_error:.4f}"),
        _line(said("macro F1"), f"{report.macro_f1:.4f}"),
        *_printed_lines(report, context),
        "",
        *_class_lines(report.per_class),
    ]
    if report.num_skipped:
        lines += ["", *_skipped_lines(report)]
    return "\n".join(lines)


def selected() -> str:
    """What is said where images chose the weights that they measure."""
    return said("these images chose the weights, which flatters every figure here")


def _line(label: str, text: str) -> str:
    return label + " " * (_LABEL_COLUMNS - text_columns(label)) + text


def _work_lines(report: Report, context: ReportContext) -> list[str]:
    speed = report.num_samples / max(context.seconds, 1e-9)
    images = said(
        "{count:,} in {time} ({speed} images/s)",
        count=report.num_samples,
        time=human_seconds(context.seconds),
        speed=f"{speed:{',.0f' if speed >= 10 else '.2g'}}",
    )
    views = said(
        "{views} an image; {passes:,} forward passes",
        views=context.views_per_image,
        passes=context.num_passes,
    )
    computed = [
        _line("" if place else said("computed"), line)
        for place, line in enumerate(context.computed)
    ]
    return [_line(said("images"), images), _line(said("views"), views), *computed]


def _models_lines(context: ReportContext) -> list[str]:
    if len(context.models) == 1:
        return []
    fused = said(_FUSED[context.protocol.reduction])
    return [
        _line(said("networks"), f"{len(context.models)}, {fused}"),
        *(_line("", name) for name in context.models),
    ]


def _printed_lines(report: Report, context: ReportContext) -> list[str]:
    """Ours as the first line of the paper's table."""
    if not context.protocol.printed:
        return []
    low, high = report.top1_interval_percent.low, report.top1_interval_percent.high
    low5, high5 = report.top5_interval_percent.low, report.top5_interval_percent.high
    note = said(
        "95 % intervals {low:.2f} to {high:.2f}, {low5:.2f} to {high5:.2f}",
        low=low,
        high=high,
        low5=low5,
        high5=high5,
    )
    ours = said("ours: {models}", models=" + ".join(context.models))
    rows: list[tuple[str, float | None, float | None, str]] = [
        (ours, report.top1_error_percent, report.top5_error_percent, note),
        *printed_rows(context.protocol),
    ]
    width = max(text_columns(row[0]) for row in rows)
    printed = said("printed under this protocol")
    padding = " " * (width - text_columns(printed))
    lines = ["", f"{printed}{padding}   top-1   top-5  {said('where')}"]
    for name, top1, top5, where in rows:
        padded = name + " " * (width - text_columns(name))
        lines.append(f"{padded}  {_percent(top1)}  {_percent(top5)}  {where}")
    return lines


def printed_rows(protocol: Protocol) -> list[tuple[str, float | None, float | None, str]]:
    """What the paper printed: (network, top-1 error, top-5 error, where)."""
    return [
        (
            each.network + (f" ({each.num_models} nets)" if each.num_models > 1 else ""),
            each.top1_error_percent,
            each.top5_error_percent,
            f"{each.data}; {protocol.source_of(each)}",
        )
        for each in protocol.printed
    ]


def _percent(value: float | None) -> str:
    return "    - " if value is None else f"{value:6.2f}"


def _classes_lines(in_data: int, in_network: int) -> list[str]:
    if in_data == in_network:
        return []
    text = said(
        "the data has {here:,} of the network's {all:,} classes; no images of the other {rest:,}",
        here=in_data,
        all=in_network,
        rest=in_network - in_data,
    )
    return [_line(said("classes"), text)]


def _rate(percent: float, interval: Interval) -> str:
    return said(
        "{percent:.2f} %  (95 % interval {low:.2f} to {high:.2f})",
        percent=percent,
        low=interval.low,
        high=interval.high,
    )


def _class_lines(rows: tuple[ClassReport, ...]) -> list[str]:
    shown = list(rows)
    header = said("class")
    if len(rows) > _ALL_CLASSES_UP_TO:
        # A class without an image is not bad at anything.
        shown = sorted((row for row in rows if row.support), key=lambda row: row.f1 or 0.0)
        shown = shown[:_WORST]
        header = said("the {count} worst classes", count=_WORST)
    width = max(text_columns(header), *(text_columns(row.name) for row in shown))
    heads = (said("precision"), said("recall"), "F1", said("images"))
    sides = (9, 6, 6, 8)
    titles = [" " * (w - text_columns(h)) + h for h, w in zip(heads, sides, strict=True)]
    lines = ["  ".join([header + " " * (width - text_columns(header)), *titles])]
    for row in shown:
        precision, recall, f1 = (_share(value) for value in (row.precision, row.recall, row.f1))
        name = row.name + " " * (width - text_columns(row.name))
        lines.append(f"{name}  {precision:>9}  {recall:>6}  {f1:>6}  {row.support:>8}")
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _skipped_lines(report: Report) -> list[str]:
    lines = [
        said("{count:,} could not be read and are not in these numbers:", count=report.num_skipped)
    ]
    lines += [f"  {each.name}: {each.reason}" for each in report.skipped[:_SKIPPED_SHOWN]]
    if report.num_skipped > _SKIPPED_SHOWN:
        lines.append("  " + said("and {count:,} more", count=report.num_skipped - _SKIPPED_SHOWN))
    return lines
