"""The true reason why a file is no image, and no word on standard error; metadata is no reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.data import tiff
from backbones.data.decode import decode, image_facts
from backbones.data.examine import examine
from backbones.data.png import without_metadata
from backbones.errors import BadImage

PHOTO = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)


def encoded(format: str, pixels: np.ndarray = PHOTO, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    sum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum)


def with_chunk(extra: bytes, *, last: bool = False) -> bytes:
    """A PNG with one more chunk behind its header, or before its end."""
    whole = encoded("PNG")
    at = len(whole) - 12 if last else 33
    return whole[:at] + extra + whole[at:]


LARGE = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"parameters\0\0" + LARGE),
        chunk(b"iTXt", b"parameters\0\1\0\0\0" + LARGE),
        chunk(b"iCCP", b"profile\0\0" + LARGE),
        chunk(b"iCCP", b"profile\0\0" + b"not zlib"),
        chunk(b"tEXt", b"Comment\0fine", crc=1),
        chunk(b"zTXt", b"Comment\0\7"),
    ],
    ids=["zTXt", "iTXt", "iCCP", "broken iCCP", "wrong CRC", "unknown compression"],
)
def test_png_is_not_refused_for_its_texts_and_profiles(extra: bytes, last: bool) -> None:
    data = with_chunk(extra, last=last)
    assert np.array_equal(decode(data), PHOTO)
    assert image_facts(data) == ("PNG", "RGB", 13, 9)


def test_png_without_its_texts_is_still_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    turned = np.rot90(PHOTO, -1)
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    for orientation in (chunk(b"eXIf", body), chunk(b"iTXt", xmp)):
        data = with_chunk(orientation + chunk(b"zTXt", b"parameters\0\0" + LARGE))
        assert np.array_equal(decode(data), turned)


def test_truncated_png_with_texts_keeps_its_own_reason() -> None:
    data = with_chunk(chunk(b"zTXt", b"parameters\0\0" + LARGE))
    with pytest.raises(BadImage, match="truncated"):
        decode(data[:-40])
    with pytest.raises(BadImage, match="truncated"):
        decode(encoded("PNG")[:-40])
    assert without_metadata(encoded("JPEG")) is None
    assert without_metadata(encoded("PNG")) is None


NOISE = """
import sys, threading, warnings
from pathlib import Path
from PIL import Image
from backbones.data.decode import decode
from backbones.errors import BadImage
data = Path(sys.argv[1]).read_bytes()
def decode_many():
    for _ in range(20):
        try:
            decode(data)
        except BadImage as error:
            answers.add(str(error))
answers = set()
threads = [threading.Thread(target=decode_many) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(answers, flush=True)
print("after", file=sys.stderr, flush=True)
try:
    Image.open(sys.argv[1]).load()
except OSError:
    pass
"""


def test_libtiff_does_not_write_to_standard_error(tmp_path: Path) -> None:
    """Hundreds of its lines stood around the ones that mattered, from every verb."""
    data = bytearray(encoded("TIFF", np.tile(PHOTO, (9, 9, 1)), compression="tiff_lzw"))
    start = next(e.at for e in tiff.directory(bytes(data))[0] if e.tag == 273)
    offset = int.from_bytes(data[start : start + 4], "little")
    data[offset : offset + 200] = bytes([255]) * 200
    path = tmp_path / "damaged.tif"
    path.write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", NOISE, str(path)], capture_output=True, text=True, check=True
    )
    assert "damaged, cut off or of a compression that is not read (tiff_lzw)" in run.stdout
    if tiff._libtiff() is None:
        pytest.skip("this build of Pillow hides libtiff")
    before, after = run.stderr.split("after\n")
    assert before == ""
    assert "code" in after  # other users of Pillow are told as ever


def test_pillow_does_not_log_what_is_told_as_the_reason(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    header = b"II*\0\x08\0\0\0"
    tags = {256: 4, 257: 4, 258: 8, 262: 1, 277: 13, 273: 8, 279: 16}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = header + struct.pack("<H", len(tags)) + entries + bytes(4) + bytes(300)
    with pytest.raises(BadImage, match=r"13 channels .* only 1, 3 or 4"):
        decode(data)
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_every_reader_gives_the_same_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    reason = "a Git LFS pointer: run `git lfs pull` to fetch it"
    assert examine(path).reason == reason
    for read in (decode, image_facts):
        with pytest.raises(BadImage) as caught:
            read(path.read_bytes())
        assert str(caught.value) == reason


def test_jpeg_whose_rest_is_zeros_is_not_taken_for_whole() -> None:
    """Its rows below the break came out grey, without a word."""
    whole = encoded("JPEG", np.tile(PHOTO, (9, 9, 1)))
    broken = whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)
    for data in (broken, encoded("JPEG", progressive=True)[:-90] + bytes(90)):
        with pytest.raises(BadImage, match="ends in zeros"):
            decode(data)
    assert decode(whole + bytes(5000)).shape == (81, 117, 3)  # padding behind the end is none


def test_tiff_with_a_cut_directory_is_called_damaged() -> None:
    for length in (12, 30, 60):
        with pytest.raises(BadImage, match="a TIFF image whose header is damaged or cut off"):
            decode(encoded("TIFF")[:length])
