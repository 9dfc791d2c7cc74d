"""TensorBoard records as bytes, so that a run can write them like its other growing files.

tensorboardX's own writer keeps a thread and a queue; what is in them when a run is killed, or after
its last checkpoint, could not be cut back. Its message types and checksums are used all the same.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping


def file_header(wall_time: float) -> bytes:
    """The first record of an event file.

    Args:
        wall_time: seconds since 1970.
    """
    from tensorboardX.proto.event_pb2 import Event

    return _record(Event(wall_time=wall_time, file_version="brain.Event:2").SerializeToString())


def scalars(values: Mapping[str, float], *, step: int, wall_time: float) -> bytes:
    """A record with one scalar for each name.

    Args:
        values: by tag, such as "train/loss".
        step: optimiser steps done.
        wall_time: seconds since 1970.
    """
    from tensorboardX.proto.event_pb2 import Event

    event = Event(wall_time=wall_time, step=step)
    for tag, value in values.items():
        event.summary.value.add(tag=tag, simple_value=value)
    return _record(event.SerializeToString())


def _record(event: bytes) -> bytes:
    """One TFRecord: length, its checksum, the bytes, their checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(event))
    checks = (struct.pack("<I", masked_crc32c(part)) for part in (length, event))
    return length + next(checks) + event + next(checks)
