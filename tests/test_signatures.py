"""What a file is instead: told by its content, in words that say what to do."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

from backbones.signatures import HEAD_BYTES, what_is

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def brand(major: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(others)
    return (len(body) + 4).to_bytes(4, "big") + body + b"\0\0\0\x08free"


def written(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, format)
    return file.getvalue()


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"content")
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, weight=np.zeros(3))
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def checkpoint(zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), file)
    return file.getvalue()


CASES = {
    "a Git LFS pointer: run `git lfs pull`": [LFS],
    "a git-annex pointer": [b"/annex/objects/MD5E-s1--0.jpg\n", b"../.git/annex/objects/aa/bb"],
    "a DVC pointer": [b"outs:\n- md5: 0123\n  size: 12\n  path: a.jpg\n"],
    "metadata that macOS puts beside": [b"\0\x05\x16\x07\0\x02\0\0Mac OS X        "],
    "text in base64": [b"data:image/jpeg;base64,/9j/4AAQ", b"/9j/4AAQSkZJRg", b"iVBORw0KGgoAAAA"],
    "an HTML page": [
        b"<!DOCTYPE html><html>",
        b"\xef\xbb\xbf\r\n <!-- a --> <!-- b --><HTML lang=en>",
        b"<head><title>Sign in",
    ],
    "an SVG drawing": [b"<svg xmlns='x'>", b"<?xml version='1.0'?>\n<!-- x -->\n<svg>"],
    "an XML error message": [b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'],
    "an XML document": [b'<?xml version="1.0"?><annotation/>'],
    "a PDF document": [b"%PDF-1.7\n", b"\n\n%PDF-1.4"],
    "a PostScript document": [b"%!PS-Adobe-3.0 EPSF-3.0\n"],
    "a PyTorch checkpoint": [checkpoint(True), checkpoint(False)],
    "a NumPy .npz file": [npz()],
    "a NumPy .npy array": [npy()],
    "a safetensors file": [save({"a": np.zeros(3)})],
    "an HDF5 file": [b"\x89HDF\r\n\x1a\n\0\0\0"],
    "an Office document": [zipped("[Content_Types].xml")],
    "a ZIP archive: unpack": [zipped("photos/a.jpg")],
    "a tar archive: unpack": [tar()],
    "a gzip file: unpack": [gzip.compress(b"a", mtime=0)],
    "HEIC, as iPhones store photos: convert": [brand(b"heic", b"mif1", b"heic"), brand(b"heix")],
    "HEIC: convert": [brand(b"mif1", b"mif1", b"heic")],
    "an AVIF image": [brand(b"avif", b"mif1"), brand(b"mif1", b"mif1", b"avif"), written("AVIF")],
    "a camera's raw file": [b"II*\0\x10\0\0\0CR\x02\0", brand(b"crx "), b"FUJIFILMCCD-RAW 0201"],
    "JPEG XL": [b"\xff\x0a\x01\x02", b"\0\0\0\x0cJXL \r\n\x87\n"],
    "OpenEXR": [b"v/1\x01\x02\0\0\0"],
    "DICOM": [bytes(128) + b"DICM\x02\0"],
    "a NIfTI volume": [(348).to_bytes(4, "little") + bytes(340) + b"n+1\0"],
    "a video: take single frames": [
        *(brand(b"isom", b"mp41"), brand(b"qt  "), b"RIFF\x10\0\0\0AVI LIST", b"\x1aE\xdf\xa3\x01"),
    ],
    "a JPEG image": [written("JPEG")],
    "a PNG image": [written("PNG")],
    "a TIFF image": [written("TIFF"), b"MM\0+\0\x08\0\0"],
    "a WebP image": [written("WEBP")],
    "nothing but zeros": [bytes(1), bytes(100_000)],
    "a file that begins with zeros": [bytes(512) + b"JFIF"],
    "an empty file": [b""],
    'JSON that begins with \'{"message": "Not found"': [b'{"message":  \n "Not found"}'],
    "a text that begins with 'Not Found'": [b"Not Found\n", "\ufeffNot Found".encode("utf-16-le")],
}


@pytest.mark.parametrize(
    ("words", "head"), [(words, head) for words, heads in CASES.items() for head in heads]
)
def test_what_a_file_is(words: str, head: bytes) -> None:
    assert (what_is(head) or "").startswith(words)
    assert what_is(head[:HEAD_BYTES]) == what_is(head)


def test_a_torchscript_file_is_torchs() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch deprecate it
        assert what_is(script()) == "a PyTorch checkpoint"


def test_a_character_cut_at_the_end_of_the_head_is_still_text() -> None:
    text = ("一" * 3000).encode()
    assert what_is(text[:4096]) == f"a text that begins with {'一' * 60!r}"


@pytest.mark.parametrize("head", [b"\x93\x13\x07\xfe", b"\x01\x02\x03", b"  \n", b"a\x00b"])
def test_what_is_not_known_is_not_guessed(head: bytes) -> None:
    assert what_is(head) is None


@given(st.binary(max_size=600))
def test_any_bytes_give_one_printable_line_or_nothing(head: bytes) -> None:
    words = what_is(head)
    assert words is None or (words.isprintable() and 0 < len(words) < 200)


@pytest.mark.parametrize(
    "head", [b"<!-- a -->" * 100_000, b"<?xml" + b"<" * 10**6, b" " * 10**6, b"<!--" * 10**5]
)
def test_no_file_makes_the_table_slow(head: bytes) -> None:
    start = time.process_time()
    what_is(head)
    assert time.process_time() - start < 20  # milliseconds; what tries every pair takes minutes


def test_json_of_an_error_is_quoted_on_one_line() -> None:
    words = what_is(json.dumps({"message": "x" * 500}, indent=2).encode())
    assert words is not None
    assert len(words) < 100
