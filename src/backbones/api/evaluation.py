"""Measure a trained network as a paper would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from backbones.api.data import Progress, open_data, open_for
from backbones.api.weights import open_bundle
from backbones.data.source import DataSource, Split
from backbones.labels import Lang, shown
from backbones.protocols.run import Evaluation
from backbones.protocols.run import evaluate as evaluate_split
from backbones.report.confusion import Confusion, appearing, confusion_csv, draw_confusion
from backbones.training.checkpoint import fingerprint
from backbones.training.settings import read_recipe
from backbones.weights.atomic import write_atomic
from backbones.weights.bundle import Bundle

__all__ = ["evaluate", "pictures_to_measure", "write_evaluation"]


def evaluate(
    bundle: str | Path | Bundle,
    data: str | Path,
    *,
    protocol: str = "single",
    split: str | None = None,
    lang: Lang = "en",
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a trained network on a data set as a paper would.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights.
        data: a folder, a manifest or a set name. Of the data that it was trained on, only what
            was held out then is measured; of other data without a held-out part, everything.
        protocol: "single" or "ten_crop"; `backbones list protocols` shows all.
        split: "train", "val" or "test"; the held-out one where None.
        lang: of the class names in the report: "en", "zh" or "both". Classes that are in no label
            set (`backbones list labels`) are called what the bundle calls them.
        batch_size: pictures at a time.
        progress: called with (pictures done, pictures in all).

    Raises:
        NotFound: no such bundle, data or split.
        BadData: the classes of bundle and data differ (but of ImageNet's, by WordNet id, the data
            may have a part only), or no picture can be read.
        ProtocolError: no such protocol.
        WrongUse: no such language.
    """
    opened = open_bundle(bundle)
    names = shown(opened.classes, lang)
    found = evaluate_split(
        opened.build(),
        pictures_to_measure(opened, data, split),
        opened.spec,
        protocol,
        classes=opened.classes,
        batch_size=batch_size,
        progress=progress,
    )
    return found.named(names)


def pictures_to_measure(bundle: Bundle, data: str | Path, split: str | None) -> Split:
    """The split that an evaluation of a bundle on some data is about.

    Data that the bundle was trained on is split as it was then, so that only pictures that were
    held out count. Other data is taken whole, unless it has a "test" or "val" part of its own.

    Args:
        bundle: its recipe and the fingerprint of its training pictures decide.
        data: a folder, a manifest or a set name.
        split: asked for by name, or None.

    Raises:
        NotFound: no such data or split.
        BadData: it is no data set.
    """
    if bundle.recipe is not None:
        recipe = read_recipe(bundle.recipe, f"the recipe of {bundle.variant}")
        if _trained_on(bundle, open_for(recipe, data)):
            whole = open_for(recipe.model_copy(update={"limit": None}), data)
            return whole.split(split) if split else whole.held_out()
    source = open_data(data, val_fraction=0.0)
    if split:
        return source.split(split)
    return source.split("train") if set(source.splits) == {"train"} else source.held_out()


def _trained_on(bundle: Bundle, source: DataSource) -> bool:
    """Whether the source's training pictures are those that the bundle learned from."""
    if bundle.trained_on is None or "train" not in source.splits:
        return False
    found = fingerprint(source.splits["train"])
    return bundle.trained_on == {name: found.get(name) for name in bundle.trained_on}


def write_evaluation(found: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write the report as JSON and text, and the confusion matrix as picture and CSV.

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
        "evaluation.json": json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n",
        "evaluation.txt": found.to_text() + "\n",
        "confusion.csv": confusion_csv(confusion, names),
    }
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    picture = draw_confusion(confusion, names, folder / "confusion.png")
    return (*(folder / name for name in texts), picture)
