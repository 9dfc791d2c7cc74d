"""Tensors of the Open Inference Protocol: JSON, and the binary extension behind it."""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backbones.serving.refusals import Refusal

_DTYPES = {"UINT8": np.uint8, "FP32": np.float32}


@dataclass(frozen=True)
class Input:
    """A tensor that a client sent.

    Args:
        name: as the client calls it.
        datatype: "BYTES", "UINT8" or "FP32".
        shape: of the values.
        files: the elements of BYTES; empty for the others.
        values: of the others.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    files: tuple[bytes, ...] = ()
    values: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Wanted:
    """An output that a client wants.

    Args:
        name: of the output.
        binary: behind the JSON, and not in it.
        class_count: so many of the likeliest classes in place of values; 0 for values.
    """

    name: str
    binary: bool
    class_count: int


@dataclass(frozen=True)
class InferRequest:
    """What a client sent to be inferred.

    Args:
        id: that the response repeats.
        inputs: in order.
        outputs: that are wanted; empty for all.
        binary_outputs: whether those are sent in binary where `outputs` says nothing.
        timeout_ms: after which nobody wants the answer.
    """

    id: str | None
    inputs: tuple[Input, ...]
    outputs: tuple[Wanted, ...]
    binary_outputs: bool
    timeout_ms: float | None


def bad(message: str) -> Refusal:
    """A request that breaks the protocol."""
    return Refusal(400, message, "input")


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """A request out of its body.

    Args:
        body: JSON, and the binary tensors behind it.
        header_length: how much of it is JSON, as the header `Inference-Header-Content-Length`
            says; all where None.

    Raises:
        Refusal: it breaks the protocol.
    """
    if header_length is not None and not (
        header_length.isdecimal() and int(header_length) <= len(body)
    ):
        raise bad(f"Inference-Header-Content-Length is {header_length!r} of {len(body)} bytes")
    end = len(body) if header_length is None else int(header_length)
    try:
        said = json.loads(body[:end])
    except (ValueError, RecursionError) as error:
        raise bad(f"the request is no JSON: {error}") from None
    if not isinstance(said, dict) or not isinstance(said.get("inputs"), list):
        raise bad("the request has no list of inputs")
    parameters = _mapping(said.get("parameters", {}), "parameters")
    timeout_us = parameters.get("timeout")
    if timeout_us is not None and not (_is_number(timeout_us) and timeout_us > 0):
        raise bad(f"timeout is {timeout_us!r}, expected microseconds")
    blobs = _Blobs(memoryview(body)[end:])
    inputs = tuple(_input(_mapping(each, "an input"), blobs) for each in said["inputs"])
    blobs.check_end()
    binary = bool(parameters.get("binary_data_output", False))
    outputs = said.get("outputs", [])
    if not isinstance(outputs, list):
        raise bad("outputs is no list")
    return InferRequest(
        str(said["id"]) if "id" in said else None,
        inputs,
        tuple(_wanted(_mapping(each, "an output"), binary) for each in outputs),
        binary,
        None if timeout_us is None else timeout_us / 1000,
    )


class _Blobs:
    """The binary tensors behind the JSON, in order."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._place = data, 0

    def take(self, size: Any) -> bytes:
        """The next so many bytes.

        Raises:
            Refusal: there are fewer.
        """
        if not isinstance(size, int) or not 0 <= size <= len(self._data) - self._place:
            left = len(self._data) - self._place
            raise bad(f"binary_data_size is {size!r}, and {left} bytes are left")
        self._place += size
        return bytes(self._data[self._place - size : self._place])

    def check_end(self) -> None:
        """See that nothing is left.

        Raises:
            Refusal: something is.
        """
        if left := len(self._data) - self._place:
            raise bad(f"{left} bytes behind the JSON belong to no input")


def _input(said: dict[str, Any], blobs: _Blobs) -> Input:
    name, datatype, shape = said.get("name"), said.get("datatype"), said.get("shape")
    if not isinstance(name, str):
        raise bad("an input has no name")
    if not isinstance(shape, list) or not all(
        isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in shape
    ):
        raise bad(f"{name}: shape is {shape!r}, expected a list of numbers")
    if datatype != "BYTES" and datatype not in _DTYPES:
        raise bad(f"{name}: datatype is {datatype!r}, expected BYTES, UINT8 or FP32")
    count, sides = math.prod(shape), tuple(shape)
    parameters = _mapping(said.get("parameters", {}), f"{name}: parameters")
    if "binary_data_size" in parameters:
        blob = blobs.take(parameters["binary_data_size"])
        if datatype == "BYTES":
            return Input(name, datatype, sides, tuple(_elements(name, blob, count)))
        dtype = np.dtype(_DTYPES[datatype]).newbyteorder("<")
        if len(blob) != count * dtype.itemsize:
            raise bad(f"{name}: {len(blob)} bytes for {count} values of {datatype}")
        return Input(name, datatype, sides, (), np.frombuffer(blob, dtype).reshape(sides))
    if datatype == "BYTES":
        return Input(name, datatype, sides, tuple(_decoded(name, said.get("data"), count)))
    return Input(name, datatype, sides, (), _values(name, datatype, said.get("data"), sides))


def _elements(name: str, blob: bytes, count: int) -> Iterator[bytes]:
    """BYTES: each element behind its length, 4 bytes, little-endian."""
    place = 0
    for _ in range(count):
        if place + 4 > len(blob):
            raise bad(f"{name}: fewer elements than its shape says")
        (length,) = struct.unpack_from("<I", blob, place)
        place += 4
        if place + length > len(blob):
            raise bad(f"{name}: an element is longer than its tensor")
        yield blob[place : place + length]
        place += length
    if place != len(blob):
        raise bad(f"{name}: more bytes than its shape says")


def _decoded(name: str, data: Any, count: int) -> Iterator[bytes]:
    """BYTES in JSON, which cannot hold bytes: base64."""
    if not isinstance(data, list) or len(data) != count:
        raise bad(f"{name}: data is no flat list of {count} elements")
    for each in data:
        try:
            yield base64.b64decode(each, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise bad(f"{name}: an element is no base64, which JSON needs for bytes") from None


def _values(name: str, datatype: str, data: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    try:
        found = np.asarray(data, dtype=_DTYPES[datatype])
        return found.reshape(shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad(f"{name}: data is no {datatype} of shape {list(shape)}: {error}") from None


def _wanted(said: dict[str, Any], binary: bool) -> Wanted:
    parameters = _mapping(said.get("parameters", {}), "an output's parameters")
    count = parameters.get("classification", 0)
    if not isinstance(count, int) or count < 0:
        raise bad(f"classification is {count!r}, expected a number of classes")
    return Wanted(str(said.get("name")), bool(parameters.get("binary_data", binary)), count)


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise bad(f"{what}: expected an object")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Output:
    """A tensor for a client.

    Args:
        name: of the output.
        values: FP32; or the elements of BYTES, row by row.
        shape: of them.
        binary: behind the JSON, and not in it.
    """

    name: str
    values: npt.NDArray[np.float32] | Sequence[str]
    shape: tuple[int, ...]
    binary: bool

    def to_json(self) -> tuple[dict[str, Any], bytes]:
        """What stands in the JSON, and what behind it."""
        floats = isinstance(self.values, np.ndarray)
        said: dict[str, Any] = {
            "name": self.name,
            "datatype": "FP32" if floats else "BYTES",
            "shape": list(self.shape),
        }
        if not self.binary:
            flat = self.values.ravel().tolist() if floats else list(self.values)  # type: ignore[union-attr]
            return {**said, "data": flat}, b""
        blob = self._bytes()
        return {**said, "parameters": {"binary_data_size": len(blob)}}, blob

    def _bytes(self) -> bytes:
        if isinstance(self.values, np.ndarray):
            return self.values.astype("<f4").tobytes()
        texts = [each.encode() for each in self.values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def write_response(said: dict[str, Any], outputs: Sequence[Output]) -> tuple[bytes, int | None]:
    """The body of a response, and how much of it is JSON where tensors stand behind it."""
    pairs = [each.to_json() for each in outputs]
    text = json.dumps({**said, "outputs": [found for found, _ in pairs]}).encode()
    if not any(each.binary for each in outputs):
        return text, None
    return text + b"".join(blob for _, blob in pairs), len(text)
