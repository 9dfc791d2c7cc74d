"""The whole working life of a network, on images that come with scikit-learn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backbones.classifier.opening import open_classifier
from backbones.classifier.predictions import Prediction
from backbones.data.sets import open_data
from backbones.errors import WrongUse
from backbones.report.images import annotate, contact_sheet, save_image
from backbones.report.page import ShownImage, write_page
from backbones.workflows.beginning import begin_run
from backbones.workflows.request import TrainingRequest
from backbones.workflows.run import TrainingRun

_MARK = ".demo"
_IMAGES = 24
_SCALE = 16


def start_demo(out: Path) -> TrainingRun:
    """Train LeNet-5 on the embedded digits; iterate to do it.

    Args:
        out: the run folder. An earlier demo in it is replaced; anything else is not touched.

    Raises:
        WrongUse: the folder holds something that is no demo.
    """
    if out.exists() and any(out.iterdir()):
        if not (out / _MARK).is_file():
            raise WrongUse(f"{out} holds something that is no demo; choose another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).write_text("made by `backbones demo`, which replaces this folder\n")
    return begin_run(TrainingRequest("digits", recipe="digits").chosen(), "digits", out)


@dataclass(frozen=True)
class DemoImages:
    """What the demo predicted.

    Args:
        page: all images with their answers.
        sheet: the same as one image.
        folder: the images themselves, as files to try `backbones predict` on.
        num_right: of `num_images`.
    """

    page: Path
    sheet: Path
    folder: Path
    num_right: int
    num_images: int


def predict_demo(out: Path) -> DemoImages:
    """Write some test digits as image files, predict them, and draw the answers.

    Args:
        out: the run folder of a finished demo.
    """
    folder = out / "images"
    names = dict(_write_images(folder))
    predictions = open_classifier(out).predict(folder, top=3, keep_images=True)
    shown = [_shown(each, names[Path(each.path).name]) for each in predictions]
    right = sum(cell.predictions[0][0] == cell.true_name for cell in shown)
    page = write_page(
        shown,
        out / "images.html",
        title="LeNet-5 reads digits",
        notes=(f"{right} of {len(shown)} test images are classified correctly.",),
    )
    tiles = [
        annotate(cell.image, cell.predictions, true_name=cell.true_name)
        for cell in shown[:12]
        if cell.image is not None
    ]
    sheet = out / "images.png"
    save_image(contact_sheet(tiles, columns=4), sheet)
    return DemoImages(page, sheet, folder, right, len(shown))


def _write_images(folder: Path) -> Iterator[tuple[str, str]]:
    """Test digits as PNG files, sixteen times as large; yields (file name, true class)."""
    test = open_data("digits").split("test")
    folder.mkdir(exist_ok=True)
    for index in np.linspace(0, len(test) - 1, _IMAGES).astype(int):
        pixels = test.images.take(np.array([index])).array[0, :, :, 0]  # type: ignore[union-attr]
        name = f"digit-{index:03d}.png"
        large = Image.fromarray(pixels).resize(
            (pixels.shape[1] * _SCALE, pixels.shape[0] * _SCALE), Image.Resampling.BICUBIC
        )
        large.save(folder / name)
        yield name, test.classes[test.labels[index]]


def _shown(each: Prediction, true_name: str) -> ShownImage:
    guesses = tuple((guess.name, guess.probability) for guess in each.predictions)
    return ShownImage(Path(each.path).name, each.image, guesses, true_name, each.error)
