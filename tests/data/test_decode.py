"""Every image comes out right or as `BadImage`; the fast path's pixels are Pillow's."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
import threading
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from backbones.data import decode as decoding
from backbones.data import pixels as meaning
from backbones.data.decode import MAX_PIXELS, decode, image_facts, read_image
from backbones.data.jpeg_header import read_jpeg_header, tiff_orientation
from backbones.errors import BadImage

ORIENTATION = 0x0112


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def photo(width: int = 97, height: int = 61, seed: int = 0) -> Image.Image:
    """A smooth coloured image without any symmetry."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(params=["simplejpeg", "Pillow alone"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test with the fast path and without it."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(decoding, "_simplejpeg", lambda: None)
    return str(request.param)


# --- the nasty set ------------------------------------------------------------------------------

NASTY_RUN = """
import json, sys, warnings
from pathlib import Path
from backbones.data.decode import read_image
from backbones.errors import BadImage
warnings.simplefilter("error")
root, answers = Path(sys.argv[1]), {}
for name in json.load(sys.stdin):
    try:
        answers[name] = read_image(root / name).shape
    except BadImage as error:
        answers[name] = str(error)
    except BaseException as error:
        answers[name] = {"crash": repr(error)}
try:
    # not ru_maxrss, which remembers the parent that this process was forked from
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
except OSError:
    peak = 0.0
print(json.dumps([answers, peak]))
"""

# Floats from -3.14 to 3.14: Pillow clips them to black and white; here they are refused.
NO_DEFINED_WHITE = {"tiff_odd/10ct_32bit_128.tiff"}


def reference(path: Path) -> Image.Image | None:
    """Pillow's own upright image, or None where Pillow refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                image.load()
                return ImageOps.exif_transpose(image)
        except Exception:
            return None


@pytest.fixture(scope="module")
def nasty(nasty_images: Path) -> tuple[Path, dict[str, object], float]:
    """The folder, each file's outcome in a process of its own, and that process's peak in MiB."""
    root = nasty_images
    with (root / "manifest.csv").open(encoding="utf-8") as lines:
        names = [row["path"] for row in csv.DictReader(lines)]
    run = subprocess.run(
        [sys.executable, "-c", NASTY_RUN, str(root)],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    answers, peak = json.loads(run.stdout)
    return root, answers, peak


def test_nasty_images_neither_crash_nor_fill_the_memory(
    nasty: tuple[Path, dict[str, object], float],
) -> None:
    _, answers, peak_mib = nasty
    kinds = Counter(
        {list: "right", str: "quarantined", dict: "crashed"}[type(answer)]
        for answer in answers.values()
    )
    print(f"nasty: {dict(kinds)}, peak {peak_mib:.0f} MiB")
    assert kinds["crashed"] == 0
    assert kinds.total() >= 100
    # 158 and 52 with Pillow 13; a build without WebP, AVIF or JPEG 2000 quarantines more
    assert kinds["right"] >= 0.6 * kinds.total()
    assert peak_mib < 1024


def test_nasty_verdicts_and_pixels_are_pillows(
    nasty: tuple[Path, dict[str, object], float],
) -> None:
    root, answers, _ = nasty
    compared = 0
    for name, answer in answers.items():
        expected = reference(root / name)
        if name in NO_DEFINED_WHITE:
            assert "no defined white" in str(answer)
            continue
        assert (expected is not None) == isinstance(answer, list), (name, answer)
        if expected is None:
            assert "\n" not in str(answer)
            assert len(str(answer)) > 5
            continue
        assert answer == [expected.height, expected.width, 3], name
        if expected.mode in ("RGB", "L", "1", "CMYK") and not expected.has_transparency_data:
            pixels = read_image(root / name)
            assert np.array_equal(pixels, np.asarray(expected.convert("RGB"))), name
            compared += 1
    assert compared > len(answers) / 3


# --- JPEG ---------------------------------------------------------------------------------------


def test_fast_path_gives_pillows_pixels_on_photos(photographs: Path) -> None:
    pytest.importorskip("simplejpeg")
    largest, total, count = 0, 0.0, 0
    for path in sorted(photographs.iterdir()):
        expected = reference(path)
        if expected is None:
            continue
        apart = np.abs(read_image(path).astype(int) - np.asarray(expected.convert("RGB")))
        largest, total, count = max(largest, int(apart.max())), total + apart.mean(), count + 1
    print(f"simplejpeg - Pillow over {count} photos: max {largest}, mean {total / count:.5f}")
    assert count >= 100
    # 0 and 0 where both carry libjpeg-turbo 3; another libjpeg may round differently
    assert largest <= 2
    assert total / count <= 0.01


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_usual_jpeg_takes_the_fast_path(subsampling: int, progressive: bool) -> None:
    pytest.importorskip("simplejpeg")
    data = encoded(photo(), "JPEG", subsampling=subsampling, progressive=progressive)
    header = read_jpeg_header(data)
    assert header is not None
    assert header.plain
    assert decoding._decode_fast(data, header, None) is not None


@pytest.mark.parametrize(
    ("shorter_px", "shape"),
    [(None, (400, 600)), (201, (400, 600)), (200, (200, 300)), (100, (100, 150)), (1, (50, 75))],
)
def test_scaled_jpeg_keeps_the_shorter_side(
    either_path: str, shorter_px: int | None, shape: tuple[int, int]
) -> None:
    data = encoded(photo(600, 400), "JPEG")
    assert decode(data, shorter_px=shorter_px).shape == (*shape, 3)


def test_scaled_fast_path_is_near_pillows_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    data = encoded(photo(611, 403), "JPEG", quality=95)
    for shorter_px in (200, 100, 50):
        fast = decode(data, shorter_px=shorter_px).astype(int)
        with monkeypatch.context() as without:
            without.setattr(decoding, "_simplejpeg", lambda: None)
            slow = decode(data, shorter_px=shorter_px)
        assert fast.shape == slow.shape
        assert np.abs(fast - slow).max() <= 2


def test_only_jpegs_are_scaled() -> None:
    assert decode(encoded(photo(64, 48), "PNG"), shorter_px=4).shape == (48, 64, 3)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("shorter_px", [None, 8])
def test_truncated_jpeg_is_refused(either_path: str, share: float, shorter_px: int | None) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    data = encoded(noise, "JPEG", quality=90)
    with pytest.raises(BadImage, match="truncated"):
        decode(data[: int(len(data) * share)], shorter_px=shorter_px)


def test_cmyk_jpeg_is_inverted_as_adobe_stores_it() -> None:
    data = encoded(photo().convert("CMYK"), "JPEG", quality=95)
    pixels = decode(data)
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert np.abs(pixels.astype(int) - np.asarray(photo())).mean() < 12


def test_grey_jpeg_has_three_equal_channels(either_path: str) -> None:
    pixels = decode(encoded(photo().convert("L"), "JPEG"))
    assert pixels.shape == (61, 97, 3)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()


# --- orientation --------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(either_path: str, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(photo(), format, exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize("order", ["little", "big"])
def test_orientation_in_xmp_counts_where_exif_has_none(order: str, either_path: str) -> None:
    text = b'<x tiff:Orientation="6"/>' if order == "little" else b"<tiff:Orientation>6<"
    data = encoded(photo(), "JPEG", xmp=text)
    assert decode(data).shape == (97, 61, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    assert decode(encoded(photo(), "JPEG", xmp=text, exif=exif)).shape == (61, 97, 3)


def test_orientation_that_does_not_exist_is_upright(either_path: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    assert decode(encoded(photo(), "JPEG", exif=exif)).shape == (61, 97, 3)


@given(st.binary(max_size=200))
def test_header_of_any_bytes_raises_nothing(data: bytes) -> None:
    read_jpeg_header(b"\xff\xd8" + data)
    read_jpeg_header(b"\xff\xd8\xff\xe1\x00\x60Exif\x00\x00" + data)
    assert 0 <= tiff_orientation(b"MM\x00\x2a\x00\x00\x00\x08" + data) <= 8


# --- other modes --------------------------------------------------------------------------------


def test_16_bit_greys_are_scaled_not_clipped() -> None:
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    for format in ("PNG", "TIFF", "PPM"):
        pixels = decode(encoded(Image.fromarray(values), format))
        assert pixels[0, :, 0].tolist() == [0, 1, 128, 255], format
        assert pixels.shape == (1, 4, 3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.0, 255.0], [0, 100, 255])],
)
def test_floats_are_taken_as_0_to_1_or_0_to_255(values: list[float], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert decode(data)[0, :, 2].tolist() == expected


@pytest.mark.parametrize("worst", [-1.0, 256.0, float("nan"), float("inf")])
def test_floats_without_a_white_are_refused(worst: float) -> None:
    data = encoded(Image.fromarray(np.array([[0.0, worst]], dtype=np.float32)), "TIFF")
    with pytest.raises(BadImage, match="no defined white"):
        decode(data)


def test_32_bit_integers_beyond_16_bits_are_refused() -> None:
    data = encoded(Image.fromarray(np.array([[0, 70000]], dtype=np.int32)), "TIFF")
    with pytest.raises(BadImage, match="no defined white"):
        decode(data)


def test_transparency_is_laid_on_white() -> None:
    colour = Image.new("RGBA", (3, 1), (200, 0, 0, 255))
    colour.putpixel((1, 0), (0, 0, 0, 0))
    colour.putpixel((2, 0), (0, 0, 0, 128))
    assert decode(encoded(colour, "PNG")).tolist() == [
        [[200, 0, 0], [255, 255, 255], [127, 127, 127]]
    ]
    grey = Image.new("LA", (1, 1), (0, 0))
    assert decode(encoded(grey, "PNG")).tolist() == [[[255, 255, 255]]]


def test_palette_with_transparent_entry_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    data = encoded(image, "PNG", transparency=0)
    assert decode(data).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert decode(encoded(image, "PNG")).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_transparent_value_of_16_bit_grey_is_white() -> None:
    image = Image.fromarray(np.array([[0, 1000, 65535]], dtype=np.uint16))
    data = encoded(image, "PNG", transparency=0)
    assert decode(data)[0, :, 0].tolist() == [255, 4, 255]


def test_one_bit_and_lab() -> None:
    bits = Image.fromarray(np.array([[True, False]]))
    assert decode(encoded(bits, "PNG")).tolist() == [[[255, 255, 255], [0, 0, 0]]]
    red = Image.new("LAB", (1, 1), (255, 128, 128))
    assert decode(encoded(red, "TIFF")).min() >= 240


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert decode(data)[0, 0].tolist() == [255, 0, 0], format


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16", "F"])
def test_strips_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "I;16":
        values = np.random.default_rng(1).integers(0, 65536, (61, 97), dtype=np.uint16)
        image = Image.fromarray(values)
    else:
        image = photo().convert(mode)
    if mode == "RGBA":
        image.putalpha(photo(seed=1).convert("L"))
    data = encoded(image, "TIFF" if mode == "F" else "PNG")
    whole = decode(data)
    monkeypatch.setattr(meaning, "_STRIP_PIXELS", 500)
    assert np.array_equal(decode(data), whole)


# --- refusals -----------------------------------------------------------------------------------


def test_content_decides_not_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photo(), "PNG"))
    assert np.array_equal(read_image(path), np.asarray(photo()))
    assert image_facts(path.read_bytes()) == ("PNG", "RGB", 97, 61)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\x93\x13\x07\xfe", "not an image in any format that is read here"),
        (b"<html>not found</html>", "an HTML page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript document"),
        (b"\xff\xd8\xff", "a JPEG image whose header is damaged or cut off"),
        (bytes(5000), "nothing but zeros"),
    ],
)
def test_what_is_no_image(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage, match=reason):
        decode(data)
    with pytest.raises(BadImage, match=reason):
        image_facts(data)


def test_missing_file_and_folder_are_bad_images(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="cannot be read: No such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(BadImage, match="a folder, not a regular file"):
        read_image(tmp_path)


def test_too_many_pixels_are_refused_by_the_header(
    either_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 97 * 61 - 1)
    for format in ("JPEG", "PNG"):
        with pytest.raises(BadImage, match="97 x 61 pixels are more than"):
            decode(encoded(photo(), format))


@pytest.mark.parametrize(
    "raised",
    [
        *(ValueError("a\nb"), TypeError(), IndexError("x"), SyntaxError("x")),
        *(NotImplementedError("x"), MemoryError(), RecursionError("x"), AttributeError("x")),
    ],
)
def test_whatever_a_decoder_raises_is_a_bad_image(
    raised: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(BadImage, match=type(raised).__name__) as caught:
        decode(b"GIF89a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_damaged_bytes_are_decoded_or_refused(format: str) -> None:
    whole = encoded(photo(), format)
    rng = random.Random(format)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            pixels = decode(bytes(data))
        except BadImage:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


# --- warnings -----------------------------------------------------------------------------------


def test_decoder_threads_swallow_their_own_warnings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """`warnings.catch_warnings` around a decoder silences or restores other threads' filters."""
    data = encoded(photo(), "PNG")
    original = Image.open

    def noisy(*args: object, **options: object) -> Image.Image:
        warnings.warn("corrupt EXIF", UserWarning, stacklevel=1)
        return original(*args, **options)

    monkeypatch.setattr(Image, "open", noisy)
    failures: list[BaseException] = []

    def decode_many() -> None:
        try:
            for _ in range(100):
                decode(data)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=decode_many) for _ in range(4)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for i in range(50):
            warnings.warn(f"mine {i}", UserWarning, stacklevel=1)
        for thread in threads:
            thread.join()
    assert not failures
    assert [str(each.message) for each in seen] == [f"mine {i}" for i in range(50)]


def test_pillow_is_left_as_it_was() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    decode(encoded(photo(), "PNG"))
    with pytest.raises(BadImage):
        decode(encoded(photo(), "PNG")[:60])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert limit == Image.MAX_IMAGE_PIXELS
