"""Other formats than TIFF: every mode that can be written here, against what was written.

The encoders below write the bytes themselves, so that the expected pixels are known without any
library; where compression loses something, OpenCV reads the same file.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features

from backbones.data.decode import decode
from backbones.errors import BadImage

Array = npt.NDArray[np.generic]

HEIGHT, WIDTH = 37, 53
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
COLOUR = np.stack([ROWS * 6, COLUMNS * 4, (ROWS + COLUMNS) * 2], axis=-1).astype(np.uint8)
GREY = COLOUR[..., 0]
PALETTE = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)


def largest_difference(data: bytes, expected: Array) -> float:
    wanted = np.asarray(expected, dtype=float)
    if wanted.ndim == 2:
        wanted = np.repeat(wanted[..., None], 3, axis=2)
    pixels = decode(data)
    assert pixels.shape == wanted.shape
    return float(np.abs(pixels.astype(float) - wanted).max())


def on_white(colour: Array, alpha: Array, white: int = 255) -> Array:
    share = np.asarray(alpha, dtype=float)[..., None] / white
    return colour * share + 255 * (1 - share)


def few_bits(values: Array, bits: int) -> list[bytes]:
    """Rows of numbers of 1, 2, 4, 8 or (big-endian) 16 bits."""
    if bits == 16:
        return [row.astype(">u2").tobytes() for row in values]
    places = np.arange(bits - 1, -1, -1)
    return [np.packbits((row.reshape(-1, 1) >> places) & 1).tobytes() for row in values]


# --- PNG ----------------------------------------------------------------------------------------


def png(values: Array, bits: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + zlib.crc32(name + body).to_bytes(4)

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row for row in few_bits(values.reshape(HEIGHT, -1), bits))
    middle = b"".join(chunk(*each) for each in chunks)
    body = chunk(b"IHDR", header) + middle + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_grey_and_its_transparent_value(bits: int) -> None:
    white = 2**bits - 1
    values = GREY.astype(int) * white // 255
    grey = np.rint(values * 255.0 / white)
    assert largest_difference(png(values, bits, 0), grey) == 0
    for hidden in {0, 1, white // 3, white}:
        data = png(values, bits, 0, (b"tRNS", struct.pack(">H", hidden)))
        assert largest_difference(data, np.where(values == hidden, 255, grey)) == 0


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_png_palette_and_its_alphas(bits: int) -> None:
    number = 2**bits
    values = GREY.astype(int) * (number - 1) // 255
    palette = PALETTE[:number]
    colours = (b"PLTE", palette.tobytes())
    assert largest_difference(png(values, bits, 3, colours), palette[values]) == 0
    alpha = PALETTE[:number, 1]
    data = png(values, bits, 3, colours, (b"tRNS", alpha.tobytes()))
    assert largest_difference(data, on_white(palette, alpha)[values]) <= 1.01


@pytest.mark.parametrize("bits", [8, 16])
def test_png_colours_and_alphas(bits: int) -> None:
    white = 2**bits - 1
    values = COLOUR.astype(int) * (white // 255)
    assert largest_difference(png(values, bits, 2), COLOUR) == 0
    key = values[3, 5]
    data = png(values, bits, 2, (b"tRNS", struct.pack(">HHH", *map(int, key))))
    hit = (values == key).all(axis=-1, keepdims=True)
    assert largest_difference(data, np.where(hit, 255, COLOUR)) == 0
    alpha = np.random.default_rng(1).integers(0, white + 1, GREY.shape)
    # of 16 bits Pillow keeps the upper 8, in colour and in alpha
    expected = on_white(COLOUR, alpha, white)
    data = png(np.concatenate([values, alpha[..., None]], axis=-1), bits, 6)
    assert largest_difference(data, expected) <= 2
    data = png(np.stack([values[..., 0], alpha], axis=-1), bits, 4)
    assert largest_difference(data, expected[..., :1].repeat(3, axis=2)) <= 2


# --- PNM ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("white", [1, 15, 100, 255, 1000, 4095, 65535])
def test_pnm_is_scaled_by_its_white(white: int) -> None:
    kind = ">u2" if white > 255 else "u1"
    for magic, plain, values in ((5, 2, GREY), (6, 3, COLOUR)):
        deep = values.astype(int) * white // 255
        expected = deep * 255.0 / white
        head = f"{WIDTH} {HEIGHT}\n{white}\n".encode()
        data = b"P%d\n" % magic + head + deep.astype(kind).tobytes()
        assert largest_difference(data, expected) <= 1
        data = b"P%d\n" % plain + head + b" ".join(b"%d" % value for value in deep.ravel())
        assert largest_difference(data, expected) <= 1


def test_pbm_pfm_and_pam() -> None:
    bits = GREY > 100
    head = f"\n{WIDTH} {HEIGHT}\n".encode()
    assert largest_difference(b"P4" + head + np.packbits(~bits, axis=1).tobytes(), bits * 255) == 0
    upside_down = (GREY[::-1] / 255).astype("<f4")
    for sign, order in (("-", "<f4"), ("", ">f4")):
        data = b"Pf" + head + f"{sign}1.0\n".encode() + upside_down.astype(order).tobytes()
        assert largest_difference(data, GREY) == 0
    with pytest.raises(BadImage, match="PAM: convert"):
        decode(b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0")


# --- BMP ----------------------------------------------------------------------------------------


def bmp(
    bits: int, rows: list[bytes], *, masks: tuple[int, ...] = (), size: int = 40,
    palette: bytes = b"", compression: int = 0,
) -> bytes:  # fmt: skip
    body = b"".join(row + bytes(-len(row) % 4) for row in rows[::-1])
    compression = 3 if masks else compression
    if compression in (1, 2):
        body = rows[0]
    facts = (size, WIDTH, HEIGHT, 1, bits, compression, len(body), 2835, 2835, len(palette) // 4, 0)
    header = struct.pack("<IiiHHIIiiII", *facts)
    header += b"".join(mask.to_bytes(4, "little") for mask in masks)
    header = header.ljust(size, b"\0")
    start = 14 + len(header) + len(palette)
    whole = header + palette + body
    return b"BM" + struct.pack("<IHHI", 14 + len(whole), 0, 0, start) + whole


BLUE_FIRST = COLOUR[..., ::-1]


@pytest.mark.parametrize("alpha", [0, 128, 255])
@pytest.mark.parametrize("size", [40, 56, 108, 124])
def test_bmp_of_32_bits_is_transparent_only_where_it_says_so(alpha: int, size: int) -> None:
    full = np.full((HEIGHT, WIDTH, 1), alpha, np.uint8)
    rows = [row.tobytes() for row in np.concatenate([BLUE_FIRST, full], axis=-1)]
    colours = (0xFF0000, 0xFF00, 0xFF)
    assert largest_difference(bmp(32, rows, size=size), COLOUR) == 0
    assert largest_difference(bmp(32, rows, masks=colours, size=size), COLOUR) == 0
    if size == 40:
        return
    data = bmp(32, rows, masks=(*colours, 0xFF000000), size=size)
    expected = on_white(COLOUR, full[..., 0]) if alpha == 128 else COLOUR
    assert largest_difference(data, expected) <= 1


def test_bmp_of_16_and_24_bits() -> None:
    assert largest_difference(bmp(24, [row.tobytes() for row in BLUE_FIRST]), COLOUR) == 0
    five, six = (COLOUR >> 3).astype(np.uint16), (COLOUR >> 2).astype(np.uint16)
    short = five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]
    rows = [row.astype("<u2").tobytes() for row in short]
    assert largest_difference(bmp(16, rows), five * 255.0 / 31) <= 1
    full = five[..., 0] << 11 | six[..., 1] << 5 | five[..., 2]
    rows = [row.astype("<u2").tobytes() for row in full]
    expected = np.stack([five[..., 0] / 31, six[..., 1] / 63, five[..., 2] / 31], axis=-1) * 255
    assert largest_difference(bmp(16, rows, masks=(0xF800, 0x7E0, 0x1F)), expected) <= 1


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_palette(bits: int) -> None:
    values = GREY.astype(int) * (2**bits - 1) // 255
    palette = np.concatenate([PALETTE, PALETTE[:, :1]], axis=1)[: 2**bits]
    data = bmp(bits, few_bits(values, bits), palette=palette.tobytes())
    assert largest_difference(data, palette[values][..., 2::-1]) == 0


def test_bmp_rle() -> None:
    runs = b"".join(
        b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in GREY[::-1].tolist()
    )
    palette = np.concatenate([PALETTE, PALETTE[:, :1]], axis=1)
    data = bmp(8, [runs + b"\0\1"], palette=palette.tobytes(), compression=1)
    assert largest_difference(data, palette[GREY][..., 2::-1]) == 0


# --- TGA ----------------------------------------------------------------------------------------


def tga(
    bits: int, values: Array, attributes: int, kind: int = 2, footer: int | None = None
) -> bytes:
    head = bytes([0, 0, kind, 0, 0, 0, 0, 0])
    head += struct.pack("<HHHHBB", 0, 0, WIDTH, HEIGHT, bits, 0x20 | attributes)
    data = head + values.tobytes()
    if footer is None:
        return data
    extension = struct.pack("<H", 495) + bytes(492) + bytes([footer])
    return data + extension + struct.pack("<II", len(data), 0) + b"TRUEVISION-XFILE.\0"


@pytest.mark.parametrize("alpha", [0, 128, 255])
@pytest.mark.parametrize("attributes", [0, 8])
@pytest.mark.parametrize("footer", [None, 0, 1, 2, 3])
def test_tga_is_transparent_only_where_it_says_so(
    alpha: int, attributes: int, footer: int | None
) -> None:
    """1 and 2 in the footer say that the attribute bits are undefined."""
    full = np.full((HEIGHT, WIDTH, 1), alpha, np.uint8)
    values = np.concatenate([BLUE_FIRST, full], axis=-1)
    see_through = attributes == 8 and footer in (None, 3) and alpha == 128
    expected = on_white(COLOUR, full[..., 0]) if see_through else COLOUR
    assert largest_difference(tga(32, values, attributes, footer=footer), expected) <= 1


def test_other_tgas() -> None:
    assert largest_difference(tga(24, BLUE_FIRST, 0), COLOUR) == 0
    assert largest_difference(tga(8, GREY, 0, kind=3), GREY) == 0
    five = (COLOUR >> 3).astype(np.uint16)
    short = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2")
    assert largest_difference(tga(16, short, 0), five * 255.0 / 31) <= 1
    with pytest.raises(BadImage, match="multiplied by its alpha"):
        decode(tga(32, np.dstack([BLUE_FIRST, GREY]), 8, footer=4))


# --- PSD and icons ------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [None, 1, -1])
def test_a_stored_selection_of_a_psd_is_no_transparency(layers: int | None) -> None:
    """Only a negative number of layers says that the fourth channel is the image's own alpha."""
    alpha = np.full_like(GREY, 128)
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 4, HEIGHT, WIDTH, 8, 3)
    info = b"" if layers is None else struct.pack(">Ih", 2, layers)
    section = struct.pack(">I", len(info)) + info
    planes = np.concatenate([COLOUR.transpose(2, 0, 1), alpha[None]]).tobytes()
    data = header + bytes(8) + section + struct.pack(">H", 0) + planes
    expected = on_white(COLOUR, alpha) if layers == -1 else COLOUR
    assert largest_difference(data, expected) <= 1


@pytest.mark.parametrize("alpha", [0, 128])
def test_an_icon_whose_alpha_is_all_zeros_is_opaque(alpha: int) -> None:
    out = io.BytesIO()
    image = Image.fromarray(np.dstack([COLOUR[:32, :32], np.full((32, 32), alpha, np.uint8)]))
    image.save(out, "ICO", sizes=[(32, 32)], bitmap_format="bmp")
    expected = on_white(COLOUR[:32, :32], np.full((32, 32), alpha)) if alpha else COLOUR[:32, :32]
    assert largest_difference(out.getvalue(), expected) <= 1


# --- compressed with loss: OpenCV reads the same file -------------------------------------------


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def opencv(data: bytes) -> Array:
    cv2 = pytest.importorskip("cv2")
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return np.asarray(found)


@pytest.mark.parametrize(
    ("mode", "format", "options", "tolerance"),
    [
        ("L", "JPEG", {}, 1),
        ("RGB", "JPEG", {"subsampling": 0}, 3),
        ("RGB", "JPEG", {"subsampling": 0, "keep_rgb": True}, 1),
        ("RGB", "JPEG", {"subsampling": 0, "progressive": True}, 3),
        ("CMYK", "JPEG", {}, 3),
        ("RGB", "JPEG2000", {}, 0),
        ("L", "JPEG2000", {}, 0),
        ("RGB", "WEBP", {"quality": 80}, 3),
        ("RGB", "WEBP", {"lossless": True}, 0),
        ("RGB", "GIF", {}, 0),
    ],
)
def test_opencv_reads_the_same(
    mode: str, format: str, options: dict[str, object], tolerance: int
) -> None:
    if format in ("WEBP", "JPEG2000") and not features.check(
        {"WEBP": "webp"}.get(format, "jpg_2000")
    ):
        pytest.skip(f"this Pillow has no {format}")
    data = saved(Image.fromarray(COLOUR).convert(mode), format, **options)
    assert largest_difference(data, opencv(data)) <= tolerance


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_avif(mode: str) -> None:
    image = Image.fromarray(COLOUR).convert(mode)
    pixels = decode(saved(image, "AVIF", quality=100, subsampling="4:4:4"))
    assert np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"))).mean() <= 2
