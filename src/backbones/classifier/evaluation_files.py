"""What an evaluation leaves: its report, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backbones.classifier.evaluation import Evaluation
from backbones.files import write_atomic
from backbones.report.confusion import Confusion, appearing, confusion_csv, draw_confusion
from backbones.text import raw_bytes, to_json


def write_evaluation(found: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write the report as JSON and text, and the confusion matrix as image and CSV.

    Where the data has a part of the network's classes only, the matrix has those that appear.

    Args:
        found: what `evaluate` returned.
        folder: made where it does not exist.

    Returns:
        the files that were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: Sequence[str] = [row.name for row in found.report.per_class]
    confusion: Confusion = found.report.confusion
    if found.classes_in_data < len(names):
        confusion, names = appearing(confusion, names)
    texts = {
        "evaluation.json": to_json(found.to_json(), indent=2) + "\n",
        "evaluation.txt": found.to_text() + "\n",
        "confusion.csv": confusion_csv(confusion, names),
    }
    for name, text in texts.items():
        write_atomic(folder / name, raw_bytes(text))
    image = draw_confusion(confusion, names, folder / "confusion.png")
    return (*(folder / name for name in texts), image)
