"""What an evaluation leaves: its report, the confusion matrix, every answer, and the mistakes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from backbones.classifier.classifier import Classifier
from backbones.classifier.evaluated import EvaluatedImages
from backbones.classifier.evaluation import Evaluation
from backbones.classifier.mistakes import MistakesPage
from backbones.files import write_atomic
from backbones.metrics import Skipped
from backbones.report.confusion import Confusion, appearing, confusion_csv, draw_confusion
from backbones.report.fonts import font_note
from backbones.text import raw_bytes, to_json

_COLUMNS_UP_TO = 120  # classes; of more, each image has its likeliest five
_LIKELIEST = 5


def write_evaluation(
    found: Evaluation, folder: Path, *, explainer: Classifier | None = None
) -> tuple[Path, ...]:
    """Write what was found, for reading and for looking.

    * `evaluation.json` and `evaluation.txt`: the report.
    * `confusion.csv` and `confusion.png`: where the data has a part of the network's classes only,
      the matrix has those that appear.
    * `answers.csv`: one row an image with the columns path, error, label, predicted, correct,
      true_rank and true_probability, then `probability_NAME` of every class; with more than 120
      classes name_1, probability_1 to name_5, probability_5.
    * `mistakes.html`: the worst mistakes, the least certain images, and one row a class.

    Args:
        found: what `evaluate` returned.
        folder: made where it does not exist.
        explainer: the classifier, for heat maps of the worst mistakes; None for none.

    Returns:
        the files that were written.

    Raises:
        WrongUse: several networks cannot explain as one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names: Sequence[str] = [row.name for row in found.report.per_class]
    texts = {
        "evaluation.json": to_json(found.to_json(), indent=2) + "\n",
        "evaluation.txt": found.to_text() + "\n",
        **_of_images(found, names, explainer),
    }
    confusion: Confusion = found.report.confusion
    if found.classes_in_data < len(names):
        confusion, names = appearing(confusion, names)
    texts["confusion.csv"] = confusion_csv(confusion, names)
    for name, text in texts.items():
        write_atomic(folder / name, raw_bytes(text))
    image = draw_confusion(confusion, names, folder / "confusion.png")
    return (*(folder / name for name in texts), image)


def _of_images(
    found: Evaluation, names: Sequence[str], explainer: Classifier | None
) -> dict[str, str]:
    if found.images is None:
        return {}
    notes = [f"{' + '.join(found.models)}, {found.protocol.name}, {found.images.split.name}"]
    notes += [note for note in (font_note(list(names)),) if note]
    return {
        "answers.csv": answers_csv(found.images, names, found.report.skipped),
        "mistakes.html": MistakesPage(found.images, names, explainer).html(notes),
    }


def answers_csv(
    images: EvaluatedImages, names: Sequence[str], skipped: Sequence[Skipped] = ()
) -> str:
    """One row an image, as `write_evaluation` says; those that could not be read come last.

    Args:
        images: with truth and answers.
        names: of the classes, in their order.
        skipped: images that could not be read.
    """
    dense = len(names) <= _COLUMNS_UP_TO
    likeliest = [f"{what}_{i + 1}" for i in range(_LIKELIEST) for what in ("name", "probability")]
    header = ["path", "error", "label", "predicted", "correct", "true_rank", "true_probability"]
    header += [f"probability_{name}" for name in names] if dense else likeliest
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    for place in range(len(images)):
        shares = images.probabilities(place)
        true, predicted = int(images.true[place]), int(images.predicted[place])
        row = [images.split.images.name(place), "", names[true], names[predicted]]
        row += [str(int(true == predicted)), str(images.true_ranks[place]), _number(shares[true])]
        if dense:
            row += map(_number, shares)
        else:
            for number, share in images.likeliest(place, _LIKELIEST):
                row += [names[number], _number(share)]
        table.writerow(row)
    empty = [""] * (len(header) - 2)
    table.writerows([each.name, each.reason, *empty] for each in skipped)
    return text.getvalue()


def _number(share: float) -> str:
    """Nine significant digits, from which a float32 is read back exactly."""
    return f"{share:.9g}"
