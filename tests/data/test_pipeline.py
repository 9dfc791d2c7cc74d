"""Batches: the same whatever prepares them, with the pixels that evaluation promises."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.data.augment import Augment, erased_box, framing_of, sample_params
from backbones.data.pipeline import Batch, Pipeline
from backbones.data.source import ArrayImages, FileImages, Images, Split
from backbones.errors import WrongUse
from backbones.spec import InputSpec

SPEC = InputSpec(size=24, resize=28)
GREY = InputSpec(size=24, resize=28, channels=1, mean=(0.3,), std=(0.5,))
AUGMENTS = {
    "evaluate": None,
    "pad and crop": Augment(pad=4, flip=0.5),
    "resize and crop": Augment(resize=28, flip=0.5, pca_colour=0.1, erase=0.5),
    "centre": Augment(resize=28, crop="centre"),
    "jitter": Augment(resize=(26, 60), flip=0.5),
    "random resized": Augment(crop="random_resized", flip=0.5, erase=0.5),
}


def split_of(images: Images, name: str = "train") -> Split:
    labels = np.arange(len(images), dtype=np.int64) % 3
    return Split(name, ("a", "b", "c"), labels, images)


@pytest.fixture(scope="module")
def array() -> np.ndarray:
    """37 RGB images of 40 x 32."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (37, 8, 10, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((40, 32), 3)) for each in coarse])


@pytest.fixture(scope="module")
def folder(array: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> FileImages:
    """The same images as PNG files."""
    root = tmp_path_factory.mktemp("images")
    names = tuple(f"{number:02d}.png" for number in range(len(array)))
    for name, pixels in zip(names, array, strict=True):
        Image.fromarray(pixels).save(root / name)
    return FileImages(root, names)


def all_of(pipeline: Pipeline, epoch: int = 0, start: int = 0) -> list[Batch]:
    batches = list(pipeline.epoch(epoch, start=start))
    pipeline.close()
    return batches


def joined(batches: list[Batch]) -> tuple[torch.Tensor, list[int]]:
    images = torch.cat([batch.images for batch in batches])
    return images, np.concatenate([batch.indices for batch in batches]).tolist()


@pytest.mark.parametrize("name", AUGMENTS)
def test_workers_and_batch_size_change_nothing(folder: FileImages, name: str) -> None:
    split, augment = split_of(folder), AUGMENTS[name]
    reference, order = joined(
        all_of(Pipeline(split, SPEC, batch_size=37, augment=augment, seed=5, workers=0), 2)
    )
    for batch_size, workers in ((8, 1), (3, 3), (16, 2)):
        pipeline = Pipeline(
            split, SPEC, batch_size=batch_size, augment=augment, seed=5, workers=workers
        )
        images, found = joined(all_of(pipeline, 2))
        assert found == order[: len(found)]
        assert torch.equal(images, reference[: len(found)])


@pytest.mark.parametrize("name", AUGMENTS)
def test_memory_and_files_give_the_same_images(
    array: np.ndarray, folder: FileImages, name: str
) -> None:
    batches = [
        joined(all_of(Pipeline(split_of(images), SPEC, batch_size=8, augment=AUGMENTS[name])))
        for images in (ArrayImages(array, "made"), folder)
    ]
    assert batches[0][1] == batches[1][1]
    assert torch.equal(batches[0][0], batches[1][0])


@pytest.mark.parametrize("name", ["pad and crop", "jitter"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_resuming_in_the_middle_gives_the_same_batches(
    array: np.ndarray, folder: FileImages, name: str, in_memory: bool
) -> None:
    split = split_of(ArrayImages(array, "made") if in_memory else folder)
    pipeline = Pipeline(split, SPEC, batch_size=8, augment=AUGMENTS[name])
    whole = list(pipeline.epoch(1))
    rest = list(pipeline.epoch(1, start=3))
    assert len(whole) - 3 == len(rest) == pipeline.steps_per_epoch - 3
    for first, second in zip(whole[3:], rest, strict=True):
        assert torch.equal(first.images, second.images)
        assert first.indices.tolist() == second.indices.tolist()
    assert list(pipeline.epoch(1, start=pipeline.steps_per_epoch)) == []
    with pytest.raises(WrongUse, match="expected 0 to 5"):
        pipeline.epoch(1, start=6)
    pipeline.close()


def test_epochs_differ_and_return() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 24, 24, 1), dtype=np.uint8)
    pipeline = Pipeline(
        split_of(ArrayImages(pixels, "made")), GREY, batch_size=40, augment=Augment(pad=3)
    )
    first, second, again = (next(iter(pipeline.epoch(epoch))) for epoch in (0, 1, 0))
    assert first.indices.tolist() != second.indices.tolist()
    assert torch.equal(first.images, again.images)


def test_a_crop_and_a_flip_are_what_plain_numpy_makes(array: np.ndarray) -> None:
    augment = Augment(pad=4, flip=0.5, pca_colour=0.1)
    pipeline = Pipeline(
        split_of(ArrayImages(array, "made")), SPEC, batch_size=9, augment=augment, seed=3
    )
    flips = 0
    for batch in pipeline.epoch(2):
        params = sample_params(augment, 3, 2, batch.indices)
        for row, index in enumerate(batch.indices.tolist()):
            left, top, _, _ = framing_of(augment, params, row, 40, 32, 24).window
            expected = np.zeros((24, 24, 3))
            for y in range(24):
                for x in range(24):
                    if 0 <= top + y < 32 and 0 <= left + x < 40:
                        expected[y, x] = array[index, top + y, left + x]
            if params.flip[row]:
                expected = expected[:, ::-1]
                flips += 1
            expected = ((expected + params.colour[row]) / 255 - SPEC.mean) / SPEC.std
            found = batch.images[row].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-5)
        assert batch.labels.tolist() == (batch.indices % 3).tolist()
    assert 5 < flips < 32


def test_an_erased_rectangle_has_the_mean_colour(array: np.ndarray) -> None:
    augment = Augment(crop="centre", erase=1.0)
    plain = Augment(crop="centre")
    split = split_of(ArrayImages(array, "made"))
    erased, whole = (
        next(iter(Pipeline(split, SPEC, batch_size=37, augment=each).epoch(0)))
        for each in (augment, plain)
    )
    params = sample_params(augment, 0, 0, erased.indices)
    for row in range(37):
        box = erased_box(params, row, 24)
        mask = torch.zeros(24, 24, dtype=torch.bool)
        mask[box.top : box.top + box.height, box.left : box.left + box.width] = True
        assert erased.images[row][:, mask].abs().max() == 0
        assert torch.equal(erased.images[row][:, ~mask], whole.images[row][:, ~mask])


def test_batches_are_channels_last_float_and_int64(folder: FileImages) -> None:
    batch = next(iter(Pipeline(split_of(folder), SPEC, batch_size=8).epoch()))
    assert batch.images.shape == (8, 3, 24, 24)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels.dtype == torch.int64
    assert batch.indices.tolist() == list(range(8))


# --- evaluation pixels --------------------------------------------------------------------------


def pillow_reference(path: Path, spec: InputSpec) -> np.ndarray:
    """Resize and centre crop as torchvision does it, written with Pillow alone."""
    from PIL import ImageOps

    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB" if spec.channels == 3 else "L")
    width, height = image.size
    if width <= height:
        size = (spec.resize, int(spec.resize * height / width))
    else:
        size = (int(spec.resize * width / height), spec.resize)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - spec.size) / 2.0) for side in size)
    image = image.crop((left, top, left + spec.size, top + spec.size))
    return np.asarray(image, dtype=np.float64).reshape(spec.size, spec.size, spec.channels)


def levels(image: torch.Tensor, spec: InputSpec) -> np.ndarray:
    """A normalised image back on the scale 0..255."""
    values: np.ndarray = image.permute(1, 2, 0).numpy() * np.array(spec.std) + np.array(spec.mean)
    return values * 255


def assert_faithful(images: FileImages, spec: InputSpec) -> None:
    means = []
    for batch in all_of(Pipeline(split_of(images), spec, batch_size=16)):
        assert not batch.bad
        for image, index in zip(batch.images, batch.indices.tolist(), strict=True):
            reference = pillow_reference(images.path(index), spec)
            difference = np.abs(levels(image, spec) - reference)
            assert difference.max() < 2.01
            means.append(difference.mean())
    assert np.mean(means) <= 0.01


def test_evaluation_of_photos_is_pillows_within_two_levels(photographs: Path) -> None:
    names = tuple(sorted(path.name for path in photographs.glob("*.JPEG"))[:40])
    assert len(names) == 40
    assert_faithful(FileImages(photographs, names), InputSpec(size=224, resize=256))


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_of_made_jpegs_is_pillows_within_two_levels(
    tmp_path: Path, channels: int
) -> None:
    rng = np.random.default_rng(0)
    names = []
    for number, size in enumerate([(300, 200), (211, 347), (97, 80), (640, 333), (64, 64)]):
        coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        names.append(f"{number}.jpg")
        Image.fromarray(coarse).resize(size, 3).save(tmp_path / names[-1], quality=90)
    spec = InputSpec(
        size=72, resize=80, channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels
    )
    assert_faithful(FileImages(tmp_path, tuple(names)), spec)


def test_grey_images_are_repeated_for_a_network_that_takes_colour(array: np.ndarray) -> None:
    grey = np.ascontiguousarray(array[:, :, :, :1])
    images, _ = joined(all_of(Pipeline(split_of(ArrayImages(grey, "made")), SPEC, batch_size=10)))
    expected, _ = joined(
        all_of(Pipeline(split_of(ArrayImages(grey.repeat(3, 3), "made")), SPEC, batch_size=10))
    )
    assert torch.equal(images, expected)


def test_colour_in_memory_becomes_grey_by_pillows_formula(
    array: np.ndarray, folder: FileImages
) -> None:
    found, expected = (
        joined(all_of(Pipeline(split_of(images), GREY, batch_size=10)))[0]
        for images in (ArrayImages(array, "made"), folder)
    )
    assert torch.equal(found, expected)


def test_small_images_resized_a_batch_at_a_time_are_the_same(
    array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_of(ArrayImages(array, "made"))
    up_front, _ = joined(all_of(Pipeline(split, SPEC, batch_size=10)))
    monkeypatch.setattr("backbones.data.memory._KEEP_RESIZED_BYTES", 0)
    by_batch, _ = joined(all_of(Pipeline(split, SPEC, batch_size=10)))
    assert torch.equal(up_front, by_batch)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", [*AUGMENTS, "distort"])
def test_images_finished_one_by_one_are_the_same(
    array: np.ndarray, monkeypatch: pytest.MonkeyPatch, name: str, channels: int
) -> None:
    distort = Augment(crop="centre", flip=0.5, jitter=0.4, rand_ops=2)
    augment = distort if name == "distort" else AUGMENTS[name]
    kept = np.ascontiguousarray(array[:, :, :, :channels])
    split = split_of(ArrayImages(kept.copy(), "made"))
    together, _ = joined(all_of(Pipeline(split, SPEC, batch_size=8, augment=augment)))
    monkeypatch.setattr("backbones.data.finish._LARGE_IMAGE", 0)
    one_by_one, _ = joined(all_of(Pipeline(split, SPEC, batch_size=8, augment=augment)))
    # four units in the last place of a float32 between 1 and 2: sums may be fused at the end of a
    # row and not in it, which depends on the width of the processor's registers
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=4 * 2**-23)
    assert isinstance(split.images, ArrayImages)
    np.testing.assert_array_equal(split.images.array, kept)


def test_a_read_only_array_is_left_alone(array: np.ndarray) -> None:
    frozen = array.copy()
    frozen.flags.writeable = False
    for augment in AUGMENTS.values():
        all_of(Pipeline(split_of(ArrayImages(frozen, "made")), SPEC, batch_size=8, augment=augment))
        thawed = array.copy()
        all_of(Pipeline(split_of(ArrayImages(thawed, "made")), SPEC, batch_size=8, augment=augment))
        np.testing.assert_array_equal(thawed, array)


# --- large photos in training -------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_decoded_small_looks_the_same(tmp_path: Path, orientation: int) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((1500, 1000), 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "jpeg.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "jpeg.jpg") as file:
        upright = file.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else file.copy()
    upright.save(tmp_path / "whole.png")
    for augment in (Augment(crop="random_resized", flip=0.5), Augment(resize=(32, 64))):
        images = [
            joined(
                all_of(
                    Pipeline(
                        split_of(FileImages(tmp_path, (name,) * 12)),
                        SPEC,
                        batch_size=4,
                        augment=augment,
                    )
                )
            )[0]
            for name in ("jpeg.jpg", "whole.png")
        ]
        difference = (images[0] - images[1]).abs() * 0.225 * 255
        assert 0 < difference.mean() < 2.5


# --- bad files ----------------------------------------------------------------------------------


@pytest.fixture
def spoilt(array: np.ndarray, tmp_path: Path) -> FileImages:
    """Twelve files; 2, 4, 5, 6, 7 and 11 are broken or missing."""
    names = tuple(f"{number:02d}.png" for number in range(12))
    for number, name in enumerate(names):
        if number in (2, 4, 5, 6):
            (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\nnot an image")
        elif number not in (7, 11):
            Image.fromarray(array[number]).save(tmp_path / name)
    return FileImages(tmp_path, names)


def test_bad_files_are_named_and_missing_and_shift_nothing(spoilt: FileImages) -> None:
    batches = all_of(Pipeline(split_of(spoilt), SPEC, batch_size=4, workers=2))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 3], [], [8, 9, 10]]
    assert [len(batch.images) for batch in batches] == [3, 0, 3]
    assert batches[1].images.shape == (0, 3, 24, 24)
    assert [[bad.name for bad in batch.bad] for batch in batches] == [
        ["02.png"],
        ["04.png", "05.png", "06.png", "07.png"],
        ["11.png"],
    ]
    assert all(bad.reason and "\n" not in bad.reason for batch in batches for bad in batch.bad)
    assert batches[2].labels.tolist() == [2, 0, 1]


def test_a_training_batch_misses_its_bad_files_only(spoilt: FileImages) -> None:
    pipeline = Pipeline(split_of(spoilt), SPEC, batch_size=4, augment=Augment(resize=28))
    batches = all_of(pipeline)
    assert len(batches) == pipeline.steps_per_epoch == 3
    assert sorted(joined(batches)[1]) == [0, 1, 3, 8, 9, 10]
    assert sum(len(batch.bad) for batch in batches) == 6


def test_a_mistake_in_the_code_is_not_taken_for_a_bad_file(
    folder: FileImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("backbones.data.pipeline.render", broken)
    for workers in (0, 2):
        pipeline = Pipeline(split_of(folder), SPEC, batch_size=8, workers=workers)
        with pytest.raises(ZeroDivisionError, match="a mistake"):
            next(iter(pipeline.epoch()))
        pipeline.close()


# --- counting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "batch_size", "train_sizes", "evaluation_sizes"),
    [
        (9, 4, [4, 4], [4, 4, 1]),
        (10, 4, [4, 4, 2], [4, 4, 2]),
        (8, 4, [4, 4], [4, 4]),
        (1, 4, [1], [1]),
        (3, 1, [1, 1, 1], [1, 1, 1]),
        (0, 4, [], []),
    ],
)
def test_one_image_left_over_is_dropped_in_training(
    array: np.ndarray,
    count: int,
    batch_size: int,
    train_sizes: list[int],
    evaluation_sizes: list[int],
) -> None:
    split = split_of(ArrayImages(array[:count], "made"))
    for augment, sizes in ((Augment(), train_sizes), (None, evaluation_sizes)):
        pipeline = Pipeline(split, SPEC, batch_size=batch_size, augment=augment)
        assert pipeline.steps_per_epoch == len(sizes)
        assert [len(batch.images) for batch in pipeline.epoch()] == sizes


def test_wrong_use_is_refused(array: np.ndarray) -> None:
    split = split_of(ArrayImages(array, "made"))
    with pytest.raises(WrongUse, match="at least 1"):
        Pipeline(split, SPEC, batch_size=0)
    with pytest.raises(WrongUse, match="takes grey"):
        Pipeline(split, GREY, batch_size=4, augment=Augment(pca_colour=0.1))
    with pytest.raises(WrongUse, match="at least 0"):
        Pipeline(split, SPEC, batch_size=4, workers=-1)


# --- threads ------------------------------------------------------------------------------------


def test_the_training_thread_and_later_threads_keep_their_cores(folder: FileImages) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pipeline = Pipeline(split_of(folder), SPEC, batch_size=8, workers=2)
        batches = iter(pipeline.epoch())
        next(batches)
        assert torch.get_num_threads() == 3
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [3]
        inside = pipeline._ready()[0].submit(torch.get_num_threads).result()
        assert inside == 1
        pipeline.close()
    finally:
        torch.set_num_threads(before)


def test_an_epoch_may_be_left_early_and_threads_end(folder: FileImages) -> None:
    before = set(threading.enumerate())
    pipeline = Pipeline(split_of(folder), SPEC, batch_size=2, workers=3)
    for _ in range(3):
        batches = pipeline.epoch()
        first = next(batches)
        batches.close()
        assert first.indices.tolist() == [0, 1]
    pipeline.close()
    assert set(threading.enumerate()) <= before
    assert len(all_of(pipeline)) == pipeline.steps_per_epoch
