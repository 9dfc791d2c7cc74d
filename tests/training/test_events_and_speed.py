"""TensorBoard files against another reader; the allocator switch in a process of its own."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
import torch

from backbones import compute
from backbones.errors import WrongUse
from backbones.training import events


def test_another_reader_finds_the_scalars():
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    data = events.file_header(1.5) + events.scalars(
        {"train/loss": 0.25, "学习率": 3e-5}, step=300, wall_time=2.5
    )
    found, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        found.append(event_pb2.Event.FromString(data[place + 12 : place + 12 + length]))
        place += 16 + length
    header, event = found
    assert header.file_version == "brain.Event:2"
    assert event.step == 300
    assert event.wall_time == 2.5
    values = {value.tag: value.simple_value for value in event.summary.value}
    assert values == {"train/loss": 0.25, "学习率": pytest.approx(3e-5)}


def test_the_bytes_are_those_that_tensorboardx_writes(tmp_path):
    writer_module = pytest.importorskip("tensorboardX.record_writer")
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    event = event_pb2.Event(wall_time=2.5, step=300)
    event.summary.value.add(tag="loss", simple_value=0.25)
    writer = writer_module.RecordWriter(str(tmp_path / "events"))
    writer.write(event.SerializeToString())
    writer.close()
    ours = events.scalars({"loss": 0.25}, step=300, wall_time=2.5)
    assert (tmp_path / "events").read_bytes() == ours


def page_faults(setting: str) -> tuple[str, int]:
    """Page faults of 20 tensors of 64 MB, one after the other, in a fresh process."""
    code = (
        "import resource, torch; from backbones.speed import keep_large_buffers as k\n"
        "print(k())\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): torch.ones(1 << 24)\n"
        "before = faults()\n"
        "for _ in range(20): torch.ones(1 << 24)\n"
        "print(faults() - before)"
    )
    environment = {"BACKBONES_MALLOPT": setting, "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_large_buffers_are_kept_unless_switched_off():
    kept, faults = page_faults("1")
    if kept != "True":
        pytest.skip("not glibc")
    refused, more_faults = page_faults("0")
    assert refused == "False"
    assert faults * 2 < more_faults  # a heap in pieces may need a few new ones at first


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(WrongUse, match=r"cuda is not available here.*cpu"):
        compute.choose_device("cuda")
    assert compute.training_precision("mps", macs_per_step=None) == "fp32"
