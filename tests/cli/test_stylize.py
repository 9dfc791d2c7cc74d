"""`backbones stylize`: an image in another one's style, and what becomes of mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones import StyleSettings, stylize
from backbones.errors import BadImage, NotFound, WrongUse
from backbones.features.style import StyleStep
from backbones.report.images import save_image
from backbones.workflows import stylization
from backbones.workflows.stylization import choose_weights


def facts(path: Path) -> tuple[str | None, tuple[int, int]]:
    with Image.open(path) as image:
        return image.format, image.size


@pytest.fixture
def two(photos: Path) -> tuple[Path, Path]:
    return photos / "disc" / "00.jpg", photos / "cross" / "00.jpg"


def test_it_writes_an_image_and_says_what_it_read(
    backbones, trained: Path, two: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "painted.png"
    options = ("--weights", trained, "--size", "48", "--steps", "4", "-o", out)
    answer = backbones("stylize", *two, *options)
    assert answer.code == 0, answer.err
    assert facts(out) == ("PNG", (48, 40))
    assert "relu1_1, relu2_1" in answer.err
    assert "48x40 px" in answer.err
    layers = ("--content-layers", "relu2_1", "--style-layers", "conv1_1,conv2_1")
    answer = backbones("stylize", *two, *options, *layers, "--optimizer", "adam")
    assert answer.code == 0, answer.err
    assert "conv1_1, conv2_1" in answer.err


def test_the_api_lowers_the_loss_and_tells_every_step(
    trained: Path, two: tuple[Path, Path]
) -> None:
    steps: list[StyleStep] = []
    done = stylize(
        *two, trained, settings=StyleSettings(steps=6), size_px=40, progress=steps.append
    )
    assert len(steps) == done.steps == 6
    assert done.loss == steps[-1].loss < steps[0].loss
    assert done.image.dtype == np.uint8
    assert done.image.shape == (33, 40, 3)
    assert not done.interrupted


def test_an_interrupt_keeps_the_best_image(
    backbones,
    trained: Path,
    two: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(step: StyleStep) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    # 256 px have a pyramid, so that the interrupt comes while the image is small
    settings = StyleSettings(steps=6)
    done = stylize(*two, trained, settings=settings, size_px=256, progress=stop)
    assert (done.interrupted, done.steps) == (True, 2)
    assert done.image.shape == (213, 256, 3)
    monkeypatch.setattr("backbones.api.stylization.stylize", lambda *_, **__: done)
    out = tmp_path / "half.jpg"
    answer = backbones("stylize", *two, "-o", out, "--weights", trained)
    assert answer.code == 130
    assert "interrupted after 2 of 300 steps" in answer.err
    assert facts(out) == ("JPEG", (256, 213))


def test_an_interrupt_before_the_first_step_is_an_interrupt(
    trained: Path, two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stylization, "restyle", nothing)
    with pytest.raises(KeyboardInterrupt):
        stylize(*two, trained, size_px=40)


def test_mistakes_get_one_line(
    backbones,
    trained: Path,
    photos: Path,
    two: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "empty"))
    out = ("-o", tmp_path / "a.png")
    weights = ("--weights", trained)
    for arguments, code, said in (
        ((*two, "-o", tmp_path / "a.txt", *weights), 2, "ends in '.txt', expected one of .png"),
        ((*two, "-o", tmp_path / "none" / "a.png", *weights), 2, "there is no folder"),
        ((*two, *out, *weights, "--style-layers", "relu9_1"), 2, "has no layer 'relu9_1'"),
        ((*two, *out, *weights, "--steps", "0"), 2, "steps is 0, expected at least 1"),
        ((*two, *out, *weights, "--size", "8"), 2, "size_px is 8, expected at least 32"),
        ((*two, *out, *weights, "--model", "vgg16"), 2, "exclude each other"),
        ((*two, *out, "--model", "vg16"), 2, "vgg16"),
        ((*two, *out, "--model", "vgg16"), 2, "`backbones weights get vgg16."),
        ((*two, *out), 2, "`backbones weights get vgg19.tv_in1k`"),
        ((photos / "disc" / "broken.jpg", two[1], *out, *weights), 1, "broken.jpg: "),
        ((tmp_path / "no.jpg", two[1], *out, *weights), 1, "no.jpg: "),
    ):
        answer = backbones("stylize", *arguments)
        assert answer.code == code, (arguments, answer)
        assert said in answer.err
        assert answer.err.count("\n") == 1
    assert not (tmp_path / "a.png").exists()


def test_mistakes_in_python() -> None:
    with pytest.raises(WrongUse, match=r"expected uint8 \(H, W, 3\)"):
        stylize(np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3), np.uint8), "lenet5.digits")
    with pytest.raises(NotFound, match="Did you mean vgg19"):
        choose_weights("vgg_19")
    with pytest.raises(BadImage, match=r"nowhere\.png"):
        stylize("nowhere.png", "nowhere.png", "lenet5.digits")


def test_images_are_written_in_the_format_of_their_name(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    for ending, found in (("png", "PNG"), ("JPG", "JPEG"), ("webp", "WEBP")):
        save_image(Image.fromarray(image), tmp_path / f"a.{ending}")
        assert facts(tmp_path / f"a.{ending}") == (found, (7, 9))
    with Image.open(tmp_path / "a.png") as back:
        assert np.array_equal(np.asarray(back), image)


def test_a_grey_network_paints_too() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    settings = StyleSettings(("c3",), ("c1", "c3"), steps=2)
    assert stylize(*noise, "lenet5.digits", settings=settings, size_px=32).steps == 2


def test_mobilenet_of_imagenet_paints(
    test_data: Path, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The published weights, found in the store without being named."""
    from backbones.weights.managing import import_weights

    monkeypatch.setenv("BACKBONES_CACHE", str(tmp_path / "cache"))
    import_weights(test_data / "weights" / "mobilenetv1_075_keras_imagenet-cdf2aa61.pth")
    assert choose_weights() == "mobilenet_v1_075.keras_in1k"
    images = [test_data / "style" / name for name in ("tubingen.jpg", "starry_night.jpg")]
    losses: list[float] = []
    stylize(
        *images,
        settings=StyleSettings(steps=8),
        size_px=96,
        progress=lambda step: losses.append(step.loss),
    )
    assert losses[-1] < 0.5 * losses[0]
