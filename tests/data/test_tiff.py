"""TIFFs of every kind that tifffile writes come out as what was written, or are refused."""

from __future__ import annotations

import io
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from backbones.data import tiff
from backbones.data.decode import decode
from backbones.errors import BadImage

Array = npt.NDArray[np.generic]

ROWS, COLUMNS = np.mgrid[0:37, 0:53]
COLOUR = np.stack([ROWS * 6, COLUMNS * 4, (ROWS + COLUMNS) * 2], axis=-1).astype(np.uint8)
GREY = COLOUR[..., 0]
WHITES = {"uint8": 255, "uint16": 65535, "float32": 1}


@pytest.fixture(scope="module")
def tifffile() -> ModuleType:
    pytest.importorskip("imagecodecs")
    return pytest.importorskip("tifffile")


def written(tifffile: ModuleType, values: Array, **options: object) -> bytes:
    file = io.BytesIO()
    if options.get("planarconfig") == "separate":
        values = np.ascontiguousarray(values.transpose(2, 0, 1))
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def patched(data: bytes, tag: int, *, value: int | None = None, to: int | None = None) -> bytes:
    """The same file with another value in one entry, or with the entry under another tag."""
    (entry,) = (each for each in tiff.directory(data)[0] if each.tag == tag)
    order = tiff.byte_order(data)
    if value is not None:
        return data[: entry.at] + value.to_bytes(entry.size, order) + data[entry.at + entry.size :]
    assert to is not None
    at = entry.at - 8  # the tag stands before type and count, where the value fits the entry
    assert data[at : at + 2] == tag.to_bytes(2, order)
    return data[:at] + to.to_bytes(2, order) + data[at + 2 :]


def largest_difference(data: bytes, expected: npt.NDArray[np.floating] | Array) -> float:
    expected = np.asarray(expected, dtype=float)
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    return float(np.abs(decode(data).astype(float) - expected).max())


def scaled(values: Array, kind: str) -> Array:
    return (values.astype(float) / 255 * WHITES[kind]).astype(kind)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_min_is_white_is_no_negative_at_any_depth(
    tifffile: ModuleType, byteorder: str, compression: str | None, kind: str, photometric: str
) -> None:
    values = scaled(GREY, kind)
    expected = GREY if photometric == "minisblack" else 255 - GREY
    options = {"photometric": photometric, "compression": compression, "byteorder": byteorder}
    for predictor in (False, True) if compression in ("zlib", "lzw") else (False,):
        options["predictor"] = predictor  # the horizontal one, or that of floats
        data = written(tifffile, values, **options)
        if kind == "float32" and compression and byteorder == ">":
            with pytest.raises(BadImage, match=r"floating-point.*decodes wrongly"):
                decode(data)
            continue
        assert largest_difference(data, expected) <= (0 if kind == "uint8" else 1)


@pytest.mark.parametrize("bits", [2, 4, 12])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_packed_bits_are_scaled_by_what_the_file_declares(
    tifffile: ModuleType, bits: int, photometric: str
) -> None:
    white = 2**bits - 1
    values = (GREY.astype(int) * white // 255).astype(np.uint16 if bits > 8 else np.uint8)
    data = written(tifffile, values, photometric=photometric, bitspersample=bits, byteorder="<")
    grey = np.rint(values * 255.0 / white)
    assert largest_difference(data, grey if photometric == "minisblack" else 255 - grey) == 0


@pytest.mark.parametrize("bits", [10, 14])
def test_packed_bits_that_are_not_read_are_named(tifffile: ModuleType, bits: int) -> None:
    data = written(tifffile, GREY.astype(np.uint16), photometric="minisblack", bitspersample=bits)
    with pytest.raises(BadImage, match=f"unsigned {bits}-bit numbers, which is not read"):
        decode(data)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("extra", ["", "unspecified", "assocalpha", "unassalpha", "undeclared"])
def test_planes_and_fourth_channels_of_rgb(
    tifffile: ModuleType,
    byteorder: str,
    compression: str | None,
    planes: str,
    kind: str,
    tile: tuple[int, int] | None,
    extra: str,
) -> None:
    """Right, or refused: 16-bit planes came out as other colours, infrared as transparency."""
    half = WHITES[kind] // 2
    values = scaled(COLOUR, kind)
    if extra == "assocalpha":
        values = (values * 0.5).astype(kind)
    options: dict[str, object] = {"planarconfig": planes, "tile": tile, "byteorder": byteorder}
    if extra:
        alpha = np.full((*values.shape[:2], 1), half, dtype=kind)
        values = np.concatenate([values, alpha], axis=-1)
        options["extrasamples"] = ["unspecified" if extra == "undeclared" else extra]
    data = written(tifffile, values, photometric="rgb", compression=compression, **options)
    if extra == "undeclared":
        data = patched(data, 338, to=65000)
    refused = planes == "separate" and (
        extra == "undeclared"
        or (not compression and (kind == "uint16" or extra in ("unspecified", "assocalpha")))
    )
    if refused:
        with pytest.raises(BadImage, match="in separate planes"):
            decode(data)
        return
    see_through = extra in ("assocalpha", "unassalpha")
    expected = COLOUR * 0.5 + 127.5 if see_through else COLOUR
    assert largest_difference(data, expected) <= (3 if see_through else 1)


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_extra_bands_are_left_out_or_counted(
    tifffile: ModuleType, compression: str | None, number: int
) -> None:
    bands = np.repeat(GREY[..., None], number, axis=2)
    data = written(
        *(tifffile, np.concatenate([COLOUR, bands], axis=-1)),
        photometric="rgb",
        extrasamples=["unspecified"] * number,
        compression=compression,
    )
    if number == 4:
        with pytest.raises(BadImage, match=r"7 channels \(RGB\).* only 1, 3 or 4 channels"):
            decode(data)
    else:
        assert largest_difference(data, COLOUR) == 0


@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_grey_with_a_second_channel(tifffile: ModuleType, extra: str, planes: str) -> None:
    body = GREY // 2 if extra == "assocalpha" else GREY
    data = written(
        *(tifffile, np.stack([body, np.full_like(GREY, 127)], axis=-1)),
        photometric="minisblack",
        extrasamples=[extra],
        planarconfig=planes,
    )
    if planes == "separate":
        with pytest.raises(BadImage, match="2 channels in separate planes"):
            decode(data)
        return
    expected = GREY if extra == "unspecified" else GREY * 0.5 + 127.5
    assert largest_difference(data, expected) <= 3


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_cmyk(tifffile: ModuleType, compression: str | None, kind: str) -> None:
    black = np.full((*GREY.shape, 1), 30, np.uint8)
    values = scaled(np.concatenate([255 - COLOUR, black], axis=-1), kind)
    data = written(tifffile, values, photometric="separated", compression=compression)
    assert largest_difference(data, COLOUR * (225 / 255)) <= 2
    with pytest.raises(BadImage, match="inks that are not cyan"):
        decode(patched(patched(data, 284, to=332), 332, value=2))


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_palette(tifffile: ModuleType, compression: str | None) -> None:
    palette = np.random.default_rng(0).integers(0, 65536, (3, 256), dtype=np.uint16)
    data = written(tifffile, GREY, photometric="palette", colormap=palette, compression=compression)
    assert largest_difference(data, (palette >> 8).T[GREY]) <= 1


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_inside_is_what_tifffile_reads(
    tifffile: ModuleType, tile: tuple[int, int] | None, photometric: str
) -> None:
    data = written(tifffile, COLOUR, photometric=photometric, compression="jpeg", tile=tile)
    # the upsampling of chroma is the reader's choice: at the wraps of colour it differs
    apart = np.abs(decode(data).astype(int) - tifffile.imread(io.BytesIO(data)))
    assert np.median(apart) <= 1
    assert apart.mean() <= 3


def test_lab_is_near_another_library(tifffile: ModuleType) -> None:
    cv2 = pytest.importorskip("cv2")
    # colours well inside of what RGB can show: at its edge every library clips in its own way
    light = np.linspace(90, 200, GREY.size).reshape(GREY.shape).astype(np.uint8)
    a, b = ((ROWS - 18) // 2).astype(np.int8), ((COLUMNS - 26) // 2).astype(np.int8)
    lab = np.stack([light, a.view(np.uint8), b.view(np.uint8)], axis=-1)
    values = np.stack([light / 255 * 100, a, b], axis=-1).astype(np.float32)
    expected = cv2.cvtColor(values, cv2.COLOR_Lab2RGB) * 255
    # Pillow's library interpolates in a table of 8 bits; a wrong sign is off by tens
    assert largest_difference(written(tifffile, lab, photometric="cielab"), expected) <= 6
    planes = written(tifffile, lab, photometric="cielab", planarconfig="separate")
    with pytest.raises(BadImage, match="in separate planes"):
        decode(planes)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "uint32", "float16", "float64"])
def test_numbers_without_a_defined_white_are_refused(tifffile: ModuleType, kind: str) -> None:
    data = written(tifffile, (GREY // 2).astype(kind), photometric="minisblack")
    word = {"i": "signed", "u": "unsigned", "f": "floating-point"}[np.dtype(kind).kind]
    with pytest.raises(BadImage, match=f" {word} {np.dtype(kind).itemsize * 8}-bit numbers"):
        decode(data)


def test_what_is_not_said_or_not_read_is_named(tifffile: ModuleType) -> None:
    data = written(tifffile, GREY, photometric="minisblack")
    cases = {
        "does not say whether 0 is black": patched(data, 262, to=65000),
        "a camera's raw file": patched(data, 262, value=32803),
        "ICC L.a.b": patched(data, 262, value=9),
        "photometric interpretation 77": patched(data, 262, value=77),
        r"2 channels \(min-is-black\)": patched(data, 277, value=2),
    }
    for reason, file in cases.items():
        with pytest.raises(BadImage, match=reason):
            decode(file)


def test_a_thumbnail_in_front_is_not_taken_for_the_image(tifffile: ModuleType) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as out:
        out.write(GREY[::4, ::4], subfiletype=1, photometric="minisblack")
        out.write(GREY, photometric="minisblack")
    with pytest.raises(BadImage, match="a thumbnail of another"):
        decode(file.getvalue())
    alone = written(tifffile, GREY, photometric="minisblack", subfiletype=1)
    assert largest_difference(alone, GREY) == 0


def test_big_tiff(tifffile: ModuleType) -> None:
    assert (
        largest_difference(written(tifffile, COLOUR, bigtiff=True, photometric="rgb"), COLOUR) == 0
    )
    wide = GREY.astype(np.uint16) * 257
    data = written(tifffile, wide, bigtiff=True, photometric="miniswhite", byteorder="<")
    assert largest_difference(data, 255 - GREY) == 0
