"""The pages' worth of an evaluation's images: their pixels, answers and heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backbones.classifier.classifier import Classifier
from backbones.classifier.evaluated import EvaluatedImages
from backbones.classifier.predictions import KEPT_PX
from backbones.classifier.source import split_source
from backbones.classifier.thumbnails import thumbnails
from backbones.data.render import Pixels
from backbones.language import said
from backbones.report.mistakes_page import ClassRow, Mistake, mistakes_page
from backbones.report.page import ShownImage

_CELLS = 24  # worst mistakes, and as many of the least certain
_STRIP = 6  # images of a class
_STRIP_PX = 176  # twice what is shown
_CLASSES = 100  # rows; of more classes those with the most mistakes
_TOP = 3


@dataclass(frozen=True)
class MistakesPage:
    """Draws an evaluation's images.

    Args:
        images: with truth and answers.
        names: of the classes, in their order.
        explainer: adds heat maps of the worst mistakes; None for none.
    """

    images: EvaluatedImages
    names: Sequence[str]
    explainer: Classifier | None = None

    def html(self, notes: Sequence[str]) -> str:
        """The page.

        Args:
            notes: sentences below its title.

        Raises:
            WrongUse: several networks cannot explain as one.
        """
        worst = self.images.worst(_CELLS)
        unsure = [p for p in self.images.least_certain(2 * _CELLS) if p not in set(worst)][:_CELLS]
        rows = self._class_numbers()
        strips = {number: self.images.hardest_of(number, _STRIP) for number in rows}
        small = self._shown([place for strip in strips.values() for place in strip], _STRIP_PX)
        large = self._shown([*worst, *unsure], KEPT_PX)
        wrong = int(np.count_nonzero(self.images.predicted != self.images.true))
        present = len(np.unique(self.images.true))
        more = said(
            "Of {all:,} classes, the {shown} with the most mistakes have a row.",
            all=present,
            shown=len(rows),
        )
        return mistakes_page(
            [self._mistake(place, large[place]) for place in worst],
            [Mistake(large[place]) for place in unsure],
            [self._class_row(number, [small[p] for p in strips[number]]) for number in rows],
            title=said(
                "{wrong:,} of {all:,} images are classified wrongly",
                wrong=wrong,
                all=len(self.images),
            ),
            notes=[*notes, *([more] if len(rows) < present else [])],
        )

    def _class_numbers(self) -> list[int]:
        """The classes that get a row: those with images, or of too many the most mistaken."""
        wrong = self.images.predicted != self.images.true
        mistakes = np.bincount(self.images.true[wrong], minlength=len(self.names))
        present = np.unique(self.images.true)
        chosen = present[np.argsort(-mistakes[present], kind="stable")[:_CLASSES]]
        return sorted(chosen.tolist())

    def _class_row(self, number: int, shown: Sequence[ShownImage]) -> ClassRow:
        called = self.images.predicted[self.images.true == number]
        counts = np.bincount(called, minlength=len(self.names))
        others = [n for n in np.argsort(-counts, kind="stable").tolist() if n != number]
        taken = [(self.names[n], int(counts[n])) for n in others[:_TOP] if counts[n]]
        return ClassRow(
            self.names[number], len(called), int(counts[number]), tuple(taken), tuple(shown)
        )

    def _mistake(self, place: int, shown: ShownImage) -> Mistake:
        if self.explainer is None:
            return Mistake(shown)
        classes = (int(self.images.predicted[place]), int(self.images.true[place]))
        source = split_source(self.images.split.take([place]))
        [found] = self.explainer.explain(source, target=classes)
        return Mistake(replace(shown, image=found.image), found.heat_maps())

    def _shown(self, places: Sequence[int], longer_px: int) -> dict[int, ShownImage]:
        """Images with their answers, by place; each is decoded once."""
        once = list(dict.fromkeys(places))
        pixels = thumbnails(self.images.split, once, longer_px)
        return {place: self._cell(place, each) for place, each in zip(once, pixels, strict=True)}

    def _cell(self, place: int, pixels: Pixels | str) -> ShownImage:
        found = self.images.likeliest(place, min(_TOP, len(self.names)))
        return ShownImage(
            self.images.split.images.name(place),
            None if isinstance(pixels, str) else pixels,
            tuple((self.names[number], probability) for number, probability in found),
            self.names[int(self.images.true[place])],
            pixels if isinstance(pixels, str) else None,
        )
