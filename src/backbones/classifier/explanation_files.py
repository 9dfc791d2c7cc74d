"""Write explanations: an image each, a page of them, and the numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones.classifier.explained import Explanation
from backbones.classifier.prediction_files import free_name
from backbones.errors import WrongUse
from backbones.files import write_atomic
from backbones.language import said
from backbones.report.fonts import font_note
from backbones.report.heat_page import ExplainedImage, heat_page
from backbones.report.images import save_image
from backbones.text import to_json

__all__ = ["WrittenExplanations", "write_explanations"]

_PAGE_LIMIT = 100


@dataclass(frozen=True)
class WrittenExplanations:
    """What was written.

    Args:
        document: what `explain.json` holds: one row an image.
        failures: path and reason of what could not be read.
    """

    document: list[dict[str, Any]]
    failures: tuple[tuple[str, str], ...]


def write_explanations(explanations: Iterable[Explanation], folder: Path) -> WrittenExplanations:
    """Write a PNG for each image, `index.html` with the first 100, and `explain.json`.

    Args:
        explanations: of `explain`.
        folder: made where it does not exist.

    Raises:
        WrongUse: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUse(f"{folder} cannot be a folder for images: {error.strerror}") from None
    rows: list[dict[str, Any]] = []
    cells: list[ExplainedImage] = []
    names: set[str] = set()
    taken: set[str] = set()
    for each in explanations:
        rows.append({**each.to_json(), **_written(each, folder, taken)})
        names |= {guess.name for guess in (*each.predictions, *(m.guess for m in each.maps))}
        if len(cells) < _PAGE_LIMIT:
            cells.append(_cell(each))
    notes = [said("Point at a map, or tap it, to see the image below it.")]
    notes += [note for note in (font_note(sorted(names)),) if note]
    if len(rows) > _PAGE_LIMIT:
        notes.append(said("The page shows the first {shown:,} images.", shown=_PAGE_LIMIT))
    page = heat_page(cells, title=said("Explanations"), notes=notes)
    write_atomic(folder / "index.html", page.encode())
    text = to_json(rows, indent=1) + "\n"
    write_atomic(folder / "explain.json", text.encode())
    failures = tuple((row["path"], row["error"]) for row in rows if "error" in row)
    return WrittenExplanations(rows, failures)


def _written(each: Explanation, folder: Path, taken: set[str]) -> dict[str, str]:
    """Draw one, and say under which names."""
    if each.image is None:
        return {}
    name = free_name(each.path, taken, ".png")
    save_image(each.draw(), folder / name)
    sheet = each.draw_features()
    if sheet is None:
        return {"file": name}
    features = free_name(f"{Path(name).stem}-maps", taken, ".png")
    save_image(sheet, folder / features)
    return {"file": name, "feature_maps_file": features}


def _cell(each: Explanation) -> ExplainedImage:
    return ExplainedImage(
        each.path, each.note if each.image is not None else "",
        each.image, each.heat_maps(), each.guesses, each.error,
    )  # fmt: skip
