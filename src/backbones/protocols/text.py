"""An evaluation's report as lines of text."""

from __future__ import annotations

from backbones.metrics import ClassReport, Interval, Report
from backbones.units import human_seconds, text_columns

_ALL_CLASSES_UP_TO = 25
_WORST = 10
_SKIPPED_SHOWN = 10


def evaluation_text(report: Report, *, title: str, seconds: float, classes_in_data: int) -> str:
    """Error rates with intervals, calibration, classes, and the files that were left out.

    Args:
        report: the numbers.
        title: the first line.
        seconds: how long it took.
        classes_in_data: how many of the network's classes the data has.
    """
    lines = [
        title,
        "",
        f"pictures           {report.num_samples:,} in {human_seconds(seconds)}",
        *_classes_lines(classes_in_data, len(report.per_class)),
        f"top-1 error        {_rate(report.top1_error_percent, report.top1_interval_percent)}",
    ]
    if len(report.per_class) > 5:  # with fewer, nothing can be missed
        lines.append(
            f"top-5 error        {_rate(report.top5_error_percent, report.top5_interval_percent)}"
        )
    lines += [
        f"loss               {report.loss:.4f}",
        f"calibration error  {report.calibration_error:.4f}",
        f"macro F1           {report.macro_f1:.4f}",
        "",
        *_class_lines(report.per_class),
    ]
    if report.num_skipped:
        lines += ["", *_skipped_lines(report)]
    return "\n".join(lines)


def _classes_lines(in_data: int, in_network: int) -> list[str]:
    if in_data == in_network:
        return []
    return [f"classes            the data has {in_data:,} of the network's {in_network:,} classes"]


def _rate(percent: float, interval: Interval) -> str:
    return f"{percent:.2f} %  (95 % interval {interval.low:.2f} to {interval.high:.2f})"


def _class_lines(rows: tuple[ClassReport, ...]) -> list[str]:
    shown = list(rows)
    header = "class"
    if len(rows) > _ALL_CLASSES_UP_TO:
        # A class without a picture is not bad at anything.
        shown = sorted((row for row in rows if row.support), key=lambda row: row.f1 or 0.0)
        shown = shown[:_WORST]
        header = f"the {_WORST} worst classes"
    width = max(len(header), *(text_columns(row.name) for row in shown))
    lines = [f"{header:<{width}}  precision  recall      F1  pictures"]
    for row in shown:
        precision, recall, f1 = (_share(value) for value in (row.precision, row.recall, row.f1))
        name = row.name + " " * (width - text_columns(row.name))
        lines.append(f"{name}  {precision:>9}  {recall:>6}  {f1:>6}  {row.support:>8}")
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _skipped_lines(report: Report) -> list[str]:
    lines = [f"{report.num_skipped} could not be read and are not in these numbers:"]
    lines += [f"  {each.name}: {each.reason}" for each in report.skipped[:_SKIPPED_SHOWN]]
    if report.num_skipped > _SKIPPED_SHOWN:
        lines.append(f"  and {report.num_skipped - _SKIPPED_SHOWN} more")
    return lines
