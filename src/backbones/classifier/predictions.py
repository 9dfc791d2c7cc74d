"""What a classifier says about images: names with probabilities."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch

from backbones.classifier.assembly import Answer
from backbones.classifier.second_look import Computed
from backbones.errors import WrongUse
from backbones.text import shown, to_json

KEPT_PX = 640
"""As large as an annotated copy of an image is drawn."""

_SHOWN = 20  # predictions in a printed or displayed list


@dataclass(frozen=True)
class Guess:
    """One answer.

    Args:
        name: of the class, as it is shown.
        probability: between 0 and 1.
        id: what the network calls the class, where that is not its `name`.
    """

    name: str
    probability: float
    id: str | None = None

    @property
    def class_name(self) -> str:
        """What the network calls the class."""
        return self.name if self.id is None else self.id

    def to_json(self) -> dict[str, Any]:
        """`name`, `id` where it is another, and `probability` with six significant digits."""
        own = {} if self.id is None else {"id": self.id}
        return {"name": self.name, **own, "probability": float(f"{self.probability:.6g}")}


@dataclass(frozen=True)
class Prediction:
    """What the network says about one image.

    Args:
        path: as the input named it; in an archive, the archive's path and the member's name.
        predictions: the likeliest classes, best first; empty where there is an error.
        error: why the image could not be read, or None.
        image: the decoded pixels, where they were asked for; uint8 (H, W, 3), reduced to a
            longer side of at most 640 px.
        computed: how it was answered; None where there is an error.
    """

    path: str
    predictions: tuple[Guess, ...] = ()
    error: str | None = None
    image: npt.NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    computed: Computed | None = field(default=None, repr=False, compare=False)

    @property
    def class_name(self) -> str | None:
        """What the network calls the likeliest class; None where there is an error."""
        return self.predictions[0].class_name if self.predictions else None

    def to_json(self) -> dict[str, Any]:
        """`path`, and `error` or `predictions` with what `Computed.to_json` says.

        A prediction has an `id` beside a name that is not the network's.
        """
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        how = {} if self.computed is None else self.computed.to_json()
        guesses = [guess.to_json() for guess in self.predictions]
        return {"path": self.path, "predictions": guesses, **how}

    def __str__(self) -> str:
        if self.error is not None:
            return f"{shown(self.path)}: cannot be read: {shown(self.error)}"
        said = (f"{shown(each.name)} {100 * each.probability:.1f} %" for each in self.predictions)
        return f"{shown(self.path)}: {', '.join(said)}"


class Predictions(Sequence[Prediction]):
    """The predictions of a call, made as they are asked for, and kept.

    It can be iterated over more than once, indexed, printed, written as JSON or a data frame, and
    shows itself in a notebook. Iterating over it hands each prediction out as soon as it is there.

    Args:
        stream: gives them in the order of the images.
    """

    def __init__(self, stream: Iterator[Prediction]) -> None:
        self._stream = stream
        self._made: list[Prediction] = []

    def __iter__(self) -> Iterator[Prediction]:
        place = 0
        while place < len(self._made) or self._more():
            yield self._made[place]
            place += 1

    def _more(self) -> bool:
        following = next(self._stream, None)
        if following is not None:
            self._made.append(following)
        return following is not None

    def _all(self) -> list[Prediction]:
        while self._more():
            pass
        return self._made

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> list[Prediction]: ...

    def __getitem__(self, index: int | slice) -> Prediction | list[Prediction]:
        return self._all()[index]

    def json(self) -> str:
        """A JSON array with what `backbones predict --format json` writes a line each."""
        return to_json([each.to_json() for each in self])

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with a row an image: `path`, `error`, `name_1`, `probability_1` ...

        Raises:
            WrongUse: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            raise WrongUse(
                "a data frame needs pandas, which is not installed: pip install pandas"
            ) from None
        return pandas.DataFrame(
            {
                "path": each.path,
                "error": each.error,
                **{
                    f"{what}_{place}": value
                    for place, guess in enumerate(each.predictions, 1)
                    for what, value in (("name", guess.name), ("probability", guess.probability))
                },
            }
            for each in self
        )

    def __repr__(self) -> str:
        lines = [str(each) for each in self[:_SHOWN]]
        if len(self) > _SHOWN:
            lines.append(f"... and {len(self) - _SHOWN} more")
        return "\n".join(lines) or "no predictions"

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{html.escape(shown(each.path))}</td>"
            f"<td>{html.escape(str(each).partition(': ')[2])}</td></tr>"
            for each in self[:_SHOWN]
        ]
        more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        return f"<table>{''.join(rows)}</table>{more}"


def predictions_of(
    answers: Iterable[Answer], names: Sequence[tuple[str, str | None]], top: int | None
) -> Iterator[Prediction]:
    """The likeliest classes of each answer.

    Args:
        answers: in order.
        names: what `class_names` gave.
        top: classes an image, best first; None gives all.
    """
    for each in answers:
        if each.log_probabilities is None:
            yield Prediction(each.name, error=each.error)
            continue
        (guesses,) = best_guesses(each.log_probabilities.exp()[None], names, top)
        yield Prediction(each.name, guesses, image=each.image, computed=each.computed)


def class_names(
    classes: Sequence[str], names: Sequence[str] | None
) -> tuple[tuple[str, str | None], ...]:
    """Each class's name to show, and its id where that is another."""
    pairs = zip(classes, classes if names is None else names, strict=True)
    return tuple((shown, None if shown == name else name) for name, shown in pairs)


def best_guesses(
    probabilities: torch.Tensor, names: Sequence[tuple[str, str | None]], top: int | None
) -> Iterator[tuple[Guess, ...]]:
    """The likeliest classes of every image, best first.

    Args:
        probabilities: of the classes.
        names: what `class_names` gave.
        top: answers an image; None gives all.

    Shapes:
        probabilities (N, K), K names.
    """
    # A stable sort gives equal probabilities in class order, as `metrics.ranks` places them.
    order = torch.argsort(probabilities, dim=1, descending=True, stable=True)
    for row, best in zip(probabilities, order[:, :top], strict=True):
        answers = ((*names[i], float(row[i])) for i in best.tolist())
        yield tuple(Guess(name, share, own) for name, own, share in answers)
