"""The decoded copy: the same pixels, rebuilt when it should be, never half a file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.data.augment import Augment
from backbones.data.cache import CacheForm, open_cache
from backbones.data.decoder_pool import DecoderPool
from backbones.data.pipeline import Pipeline
from backbones.data.source import FileImages, Split
from backbones.errors import BackbonesError
from backbones.spec import InputSpec

SPEC = InputSpec(size=48, resize=56)


@pytest.fixture
def images(tmp_path: Path) -> FileImages:
    """Ten JPEGs of different sizes; number 3 is broken."""
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    root.mkdir()
    names = tuple(f"{number}.jpg" for number in range(10))
    for number, name in enumerate(names):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        size = (40 + 17 * number, 200 - 15 * number)
        Image.fromarray(coarse).resize(size, 3).save(root / name, quality=90)
    (root / "3.jpg").write_bytes(b"\xff\xd8 broken")
    return FileImages(root, names)


def batches(
    images: FileImages,
    cache: Path | None,
    augment: Augment | None = None,
    calls: list[tuple[int, int]] | None = None,
) -> tuple[torch.Tensor, list[str]]:
    """All images of one epoch, and the names of bad files."""
    count = len(images)
    split = Split("train", ("a",), np.zeros(count, dtype=np.int64), images)
    pipeline = Pipeline(
        split,
        SPEC,
        batch_size=4,
        augment=augment,
        cache=cache,
        progress=None if calls is None else lambda done, total: calls.append((done, total)),
    )
    found = list(pipeline.epoch(0))
    pipeline.close()
    names = [f"{bad.name}: {bad.reason}" for batch in found for bad in batch.bad]
    return torch.cat([batch.images for batch in found]), names


@pytest.mark.parametrize(
    "augment",
    [None, Augment(resize=56, flip=0.5), Augment(resize=(56, 64), pca_colour=0.1), Augment()],
)
def test_images_from_the_cache_are_those_from_the_files(
    images: FileImages, tmp_path: Path, augment: Augment | None
) -> None:
    calls: list[tuple[int, int]] = []
    from_files, bad = batches(images, None, augment)
    for _ in range(2):  # built, then opened
        from_cache, cached_bad = batches(images, tmp_path / "cache", augment, calls)
        assert cached_bad == bad
        assert len(bad) == 1
        if augment is None or augment.resize is None:
            assert torch.equal(from_cache, from_files)
        else:  # training decodes large JPEGs small, the cache is made from the whole image
            assert (from_cache - from_files).abs().mean() < 0.1
    assert calls == [(number, 10) for number in range(1, 11)]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_boxes_from_the_cache_resemble_those_from_the_files(
    images: FileImages, tmp_path: Path
) -> None:
    augment = Augment(crop="random_resized", flip=0.5)
    from_files, _ = batches(images, None, augment)
    from_cache, _ = batches(images, tmp_path / "cache", augment)
    assert (from_cache - from_files).abs().mean() < 0.25


def test_a_changed_file_makes_the_cache_stale(images: FileImages, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before, _ = batches(images, cache)
    Image.new("RGB", (80, 80), "red").save(images.path(0))
    os.utime(images.path(1), ns=(1, 1))
    after, bad = batches(images, cache)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1:], after[1:])
    Image.new("RGB", (80, 80), "blue").save(images.path(3))
    repaired, bad = batches(images, cache)
    assert (len(repaired), bad) == (10, [])
    assert len(list(cache.iterdir())) == 1  # the stale ones were replaced


@pytest.mark.parametrize("damage", ["cut", "cut in the trailer", "empty", "index", "trailer"])
def test_a_damaged_cache_is_built_again(images: FileImages, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    expected, _ = batches(images, cache)
    (path,) = cache.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "cut in the trailer":
        data = data[:-3]
    elif damage == "empty":
        data = bytearray()
    elif damage == "index":
        data[-300] ^= 1
    else:
        data[-15] ^= 255
    path.write_bytes(data)
    calls: list[tuple[int, int]] = []
    found, _ = batches(images, cache, calls=calls)
    assert torch.equal(found, expected)
    assert len(calls) == 10


def test_a_flipped_byte_is_found_and_its_image_is_decoded_again(
    images: FileImages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty of twenty, anywhere in the file; the next run builds the cache again."""
    cache = tmp_path / "cache"
    expected, _ = batches(images, cache)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 20).tolist():
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        caplog.clear()
        found, _ = batches(images, cache)
        assert torch.equal(found, expected), place
        in_pixels = not path.exists()
        assert len(caplog.messages) == in_pixels
        assert not in_pixels or f"{path} is damaged" in caplog.messages[0]
        assert torch.equal(batches(images, cache)[0], expected)
        assert path.read_bytes() == whole


def test_a_cache_that_is_cut_while_it_is_read_ends_no_process(
    images: FileImages, tmp_path: Path
) -> None:
    """A map of it would: SIGBUS."""
    form = CacheForm(56, 3, "bilinear")
    cached = open_cache(tmp_path, "x", images, form, pool=DecoderPool(0))
    before = [cached.read(number, None, np.copy) for number in (0, 1, 2)]
    (path,) = tmp_path.glob("*.images")
    os.truncate(path, before[0].nbytes + 10)
    for number, pixels in enumerate(before):
        assert np.array_equal(cached.read(number, None, np.copy), pixels)
    assert not path.exists()


def test_an_edit_that_keeps_size_and_time_makes_the_cache_stale(
    images: FileImages, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = images.path(0)
    Image.new("RGB", (64, 64), "red").save(first.with_suffix(".bmp"))
    first.with_suffix(".bmp").replace(first)
    before, _ = batches(images, cache)
    facts = first.stat()
    data = bytearray(first.read_bytes())
    data[-3000:] = bytes(3000)
    first.write_bytes(data)
    os.utime(first, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (first.stat().st_size, first.stat().st_mtime_ns) == (facts.st_size, facts.st_mtime_ns)
    after, _ = batches(images, cache)
    assert not torch.equal(after[0], before[0])


def test_a_set_without_a_readable_image_can_be_cached(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    images = FileImages(tmp_path, ("a.jpg", "missing.jpg"))
    pool = DecoderPool(0)
    for _ in range(2):
        cached = open_cache(tmp_path, "x", images, CacheForm(56, 3, "bilinear"), pool=pool)
        assert sorted(cached.reasons) == [0, 1]


KILLED = """
import os, signal, sys
from pathlib import Path
from backbones.data.cache import CacheForm, open_cache
from backbones.data.decoder_pool import DecoderPool
from backbones.data.source import FileImages
root, cache = map(Path, sys.argv[1:])
names = tuple(f"{number}.jpg" for number in range(10))
def die(done, total):
    if done == 7:
        os.kill(os.getpid(), signal.SIGKILL)
open_cache(cache, "train", FileImages(root, names), CacheForm(56, 3, "bilinear"),
           pool=DecoderPool(1), progress=die)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_build_leaves_no_cache_and_its_rest_is_removed(
    images: FileImages, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(images.root), str(cache)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (rest,) = cache.iterdir()
    assert rest.name.startswith(".")
    long_ago = time.time() - 3600
    os.utime(rest, (long_ago, long_ago))
    found, _ = batches(images, cache)
    assert torch.equal(found, batches(images, None)[0])
    (path,) = cache.iterdir()
    assert path.suffix == ".images"


def test_a_full_disk_is_said_and_leaves_nothing(
    images: FileImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackbonesError, match="disk is full"):
        batches(images, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said(images: FileImages, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackbonesError, match="could not be written"):
        batches(images, tmp_path / "file" / "cache")
