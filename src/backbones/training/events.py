"""TensorBoard event files, written straight, without TensorBoard.

The format is TFRecord (length, masked checksum, bytes, masked checksum) around a protocol-buffer
`Event`; a scalar needs five fields of it. No thread and no buffer of their own: what is written
can be forced to the disk and cut back to a checkpoint like any other file of a run.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping


def _crc_table() -> tuple[int, ...]:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4), one byte at a time, reflected."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """The CRC-32C checksum.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    """TFRecord's rotated checksum, so that records of records still check."""
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protocol-buffer field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _record(event: bytes) -> bytes:
    """One TFRecord."""
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


def file_header(wall_time: float) -> bytes:
    """The first record of an event file.

    Args:
        wall_time: seconds since 1970.
    """
    return _record(struct.pack("<Bd", 0x09, wall_time) + _field(3, b"brain.Event:2"))


def scalars(values: Mapping[str, float], *, step: int, wall_time: float) -> bytes:
    """A record with one scalar for each name.

    Args:
        values: by tag, such as "train/loss".
        step: optimiser steps done.
        wall_time: seconds since 1970.
    """
    summary = b"".join(
        _field(1, _field(1, tag.encode()) + struct.pack("<Bf", 0x15, value))
        for tag, value in values.items()
    )
    head = struct.pack("<Bd", 0x09, wall_time) + b"\x10" + _varint(step)
    return _record(head + _field(5, summary))
