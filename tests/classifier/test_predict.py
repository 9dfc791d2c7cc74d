"""Predictions are what the network says, in input order, whatever else happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from backbones.classifier.archives import Waiting
from backbones.classifier.assembly import Member
from backbones.classifier.inference import Inference
from backbones.classifier.inputs import Inputs, find_inputs
from backbones.classifier.options import InferenceOptions
from backbones.classifier.predictions import KEPT_PX, Prediction, class_names, predictions_of
from backbones.classifier.source import Source, input_source
from backbones.data.pipeline import Pipeline
from backbones.data.source import FileImages, Split
from backbones.errors import BadData
from backbones.spec import InputSpec


def predict(
    network: nn.Module,
    inputs: Any,
    spec: InputSpec,
    classes: Sequence[str],
    *,
    top: int | None = 5,
    keep: bool = False,
    progress: Any = None,
    **options: Any,
) -> Iterator[Prediction]:
    """The one path, with a bare network."""
    source = inputs if isinstance(inputs, Source) else input_source(inputs)
    kept = InferenceOptions(kept_px=KEPT_PX if keep else None, **options)
    member = Member(lambda: network, spec, tuple(classes))
    answers = Inference([member], kept).answers(source, progress)
    return predictions_of(answers, class_names(classes, None), top)


GOOD = ("a/1.jpg", "a/2.png", "b/c/3.JPG")


def test_predictions_are_the_network_s_softmax(
    photos: Path, network: nn.Module, spec: InputSpec, classes: tuple[str, ...]
) -> None:
    found = list(predict(network, find_inputs([photos]), spec, classes, top=None))
    split = Split("x", classes, np.zeros(3, np.int64), FileImages(photos, GOOD))
    (batch,) = Pipeline(split, spec, batch_size=3).epoch()
    network.eval()
    with torch.no_grad():
        expected = network(batch.images).softmax(1)
    assert [Path(each.path).relative_to(photos).as_posix() for each in found[:3]] == list(GOOD)
    for each, row in zip(found, expected, strict=False):
        assert [guess.probability for guess in each.predictions] == pytest.approx(
            sorted(row.tolist(), reverse=True)
        )
        assert each.predictions[0].name == classes[int(row.argmax())]


def test_a_bad_file_is_an_error_in_its_place(
    photos: Path, network: nn.Module, spec: InputSpec, classes: tuple[str, ...]
) -> None:
    inputs = find_inputs([photos / "a" / "1.jpg", photos / "empty.jpg", photos / "a" / "2.png"])
    first, second, third = predict(network, inputs, spec, classes, top=2)
    assert (len(first.predictions), len(second.predictions), len(third.predictions)) == (2, 0, 2)
    assert (first.error, second.error, third.error) == (None, "the file is empty", None)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batch_size_and_workers_change_nothing(
    photos: Path,
    network: nn.Module,
    spec: InputSpec,
    classes: tuple[str, ...],
    batch_size: int,
    workers: int,
) -> None:
    many = [photos] * 5
    one = list(predict(network, find_inputs(many), spec, classes, batch_size=7, workers=2))
    other = list(
        predict(
            *(network, find_inputs(many), spec, classes), batch_size=batch_size, workers=workers
        )
    )
    assert [each.path for each in one] == [each.path for each in other]
    for left, right in zip(one, other, strict=True):
        assert left.error == right.error
        assert [g.name for g in left.predictions] == [g.name for g in right.predictions]
        assert [g.probability for g in left.predictions] == pytest.approx(
            [g.probability for g in right.predictions], rel=1e-5
        )


def test_the_caller_s_modes_are_untouched_between_predictions(
    photos: Path, network: nn.Module, spec: InputSpec, classes: tuple[str, ...]
) -> None:
    stream = predict(network, find_inputs([photos]), spec, classes, batch_size=1)
    next(stream)
    assert network.training
    assert torch.is_grad_enabled()
    stream.close()  # type: ignore[attr-defined]


def test_equal_probabilities_come_in_class_order(photos: Path, spec: InputSpec) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 1000))
    for weight in flat.parameters():
        nn.init.zeros_(weight)
    names = [str(place) for place in range(1000)]
    first = next(predict(flat, find_inputs([photos]), spec, names, top=None))
    assert [guess.name for guess in first.predictions] == names


def test_names_that_do_not_fit_the_network_are_bad_data(
    photos: Path, network: nn.Module, spec: InputSpec
) -> None:
    with pytest.raises(BadData, match="3 outputs and there are 2 class names"):
        next(predict(network, find_inputs([photos]), spec, ("cat", "dog")))


def test_images_are_kept_only_when_asked_for(
    photos: Path, network: nn.Module, spec: InputSpec, classes: tuple[str, ...]
) -> None:
    def first(keep: bool) -> Prediction:
        stream = predict(network, find_inputs([photos]), spec, classes, keep=keep)
        return next(stream)

    assert first(keep=False).image is None
    image = first(keep=True).image
    assert image is not None
    assert image.shape == (15, 22, 3)


def test_progress_counts_every_image(
    photos: Path, network: nn.Module, spec: InputSpec, classes: tuple[str, ...]
) -> None:
    calls: list[tuple[int, int]] = []
    stream = predict(
        *(network, find_inputs([photos]), spec, classes),
        batch_size=3,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert len(list(stream)) == 4
    assert calls == [(3, 4), (4, 4)]


def test_odd_and_broken_images_are_each_answered_or_explained(
    nasty_images: Path, network: nn.Module, spec: InputSpec, classes: tuple[str, ...]
) -> None:
    found = list(predict(network, find_inputs([nasty_images]), spec, classes))
    names = (nasty_images / "manifest.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(found) == len(names)
    for each in found:
        assert bool(each.predictions) != bool(each.error), each.path
        assert "\n" not in (each.error or "")
    assert 20 < sum(each.error is not None for each in found) < 120


@dataclass(frozen=True)
class Members:
    """An archive whose members are told one by one."""

    tell: Callable[[], Iterator[Waiting]]
    number: int

    def count(self) -> int:
        return self.number

    def images(self) -> Iterator[Waiting]:
        return self.tell()


def test_large_members_of_archives_do_not_pile_up(
    photos: Path,
    network: nn.Module,
    spec: InputSpec,
    classes: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backbones.classifier.preparing._AHEAD_BYTES", 150)
    data = (photos / "a" / "1.jpg").read_bytes()
    given = read = most = 0

    def take() -> bytes:
        nonlocal read
        read += 1
        return data

    def members() -> Iterator[Waiting]:
        nonlocal given, most
        for number in range(12):
            given += 1
            most = max(most, given - read)
            yield Waiting(str(number), take, num_bytes=100)

    listed = Inputs((Members(members, 12),))  # type: ignore[arg-type]
    found = list(predict(network, listed, spec, classes, workers=1, batch_size=12))
    assert [each.path for each in found] == [str(number) for number in range(12)]
    assert most <= 2
