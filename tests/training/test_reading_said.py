"""How the data is to be read, as it is said in Python: kept in the recipe, and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backbones import find_learning_rate, resume, train, train_folds
from backbones.errors import BadData

TINY = {"model": "lenet5_tiny", "settings": ["limit=8", "input.size=16", "input.resize=none"]}


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """Images whose first words are the names of cameras, which are no classes unless told."""
    folder = tmp_path / "data"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for name in (f"{camera}_{i}.png" for camera in ("IMG", "DSC") for i in range(6)):
        Image.fromarray(noise.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "reading",
    [{"layout": "flat-folder"}, {"label_pattern": "^(IMG|DSC)_"}],
    ids=["layout", "label pattern"],
)
def test_what_is_said_of_the_data_is_kept_and_taken_up(
    cameras: Path, tmp_path: Path, reading: dict[str, Any]
) -> None:
    with pytest.raises(BadData, match="--label-pattern"):
        train(cameras, smoke_run=True, **TINY)
    run = train(cameras, out=tmp_path / "run", smoke_run=True, **TINY, **reading)
    run.run()
    assert {field: getattr(run.recipe, field) for field in reading} == reading
    again = resume(tmp_path / "run")
    assert {field: getattr(again.recipe, field) for field in reading} == reading


@pytest.mark.parametrize("verb", [find_learning_rate, train_folds])
def test_the_other_verbs_take_the_layout(
    cameras: Path, tmp_path: Path, verb: Callable[..., Any]
) -> None:
    options = (
        {"steps": 10} if verb is find_learning_rate else {"folds": 2, "out": tmp_path / "folds"}
    )
    found = verb(cameras, layout="flat-folder", **options, **TINY)
    assert found.recipe.layout == "flat-folder"
