"""The whole working life of a network, on images that come with scikit-learn."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.classifier.opening import open_classifier
from backbones.data.sets import open_data
from backbones.errors import WrongUse
from backbones.report.images import annotate, contact_sheet, save_image, to_image
from backbones.report.page import ShownImage, write_page
from backbones.workflows.beginning import begin_run
from backbones.workflows.request import TrainingRequest
from backbones.workflows.run import TrainingRun

_MARK = ".demo"
_IMAGES = 24
_WRONG = 6  # of them at most


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
        page: some test images with their answers, those that are wrong first.
        sheet: the same as one image.
        folder: the images themselves, as files to try `backbones predict` on.
        num_right, num_images: of all test images.
    """

    page: Path
    sheet: Path
    folder: Path
    num_right: int
    num_images: int


def predict_demo(out: Path) -> DemoImages:
    """Predict the test digits, write some of them as image files, and draw the answers.

    What is wrong comes first, then others from all over the test images.

    Args:
        out: the run folder of a finished demo.
    """
    test = open_data("digits").split("test")
    pixels = test.images.take(np.arange(len(test))).array  # type: ignore[union-attr]
    answers = open_classifier(out).predict(list(pixels), top=3)
    cells = [
        ShownImage(
            f"digit-{index:03d}.png",
            pixels[index],
            tuple((guess.name, guess.probability) for guess in answer.predictions),
            test.classes[test.labels[index]],
        )
        for index, answer in enumerate(answers)
    ]
    right: list[ShownImage] = []
    wrong: list[ShownImage] = []
    for cell in cells:
        (right if cell.predictions[0][0] == cell.true_name else wrong).append(cell)
    places = np.linspace(0, len(right) - 1, _IMAGES - len(wrong[:_WRONG])).astype(int)
    chosen = [*wrong[:_WRONG], *(right[place] for place in places)]
    folder = out / "images"
    folder.mkdir(exist_ok=True)
    images = [to_image(cell.image) for cell in chosen if cell.image is not None]
    for cell, image in zip(chosen, images, strict=True):
        image.convert("L").save(folder / cell.caption)
    note = f"{len(right)} of {len(cells)} test images are classified correctly;"
    note += f" {len(chosen)} of them here, those that are wrong first."
    page = write_page(chosen, out / "images.html", title="LeNet-5 reads digits", notes=(note,))
    tiles = [
        annotate(np.asarray(image), cell.predictions, true_name=cell.true_name)
        for cell, image in zip(chosen[:12], images, strict=False)
    ]
    sheet = out / "images.png"
    save_image(contact_sheet(tiles, columns=4), sheet)
    return DemoImages(page, sheet, folder, len(right), len(cells))
