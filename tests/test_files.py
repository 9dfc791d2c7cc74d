"""A file is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from backbones import files
from backbones.files import fill_atomic, write_atomic
from backbones.weights.atomic import atomic_save_safetensors

TENSORS = {"a": torch.arange(6.0).reshape(2, 3)}


def test_the_new_content_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file.bin"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["file.bin"]


def test_tensors_come_back_whatever_their_layout(tmp_path: Path) -> None:
    tensors = {
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "view": torch.arange(12.0).reshape(3, 4).T,
        "scalar": torch.tensor(7),
        "half": torch.ones(2, dtype=torch.bfloat16, requires_grad=True),
        "none": torch.empty(0, 3),
        "yes": torch.tensor([True, False]),
        "large": torch.tensor([2**40, -1]),
    }
    atomic_save_safetensors(tmp_path / "t.safetensors", tensors, {"said": "so"})
    with safe_open(tmp_path / "t.safetensors", framework="pt") as file:
        assert file.metadata() == {"said": "so"}
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor.detach())


def test_a_disk_that_fails_at_the_end_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomic(tmp_path / "file", b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/file'"):
        write_atomic(tmp_path / "file", b"new")
    with pytest.raises(OSError, match="No space"):
        atomic_save_safetensors(tmp_path / "file", TENSORS, {})
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_disk_that_is_full_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    """A process that may write 64 KiB a file, and tries to write 4 MiB."""
    path = tmp_path / "weights.safetensors"
    atomic_save_safetensors(path, TENSORS, {})
    before = path.read_bytes()
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from backbones.files import write_atomic\n"
        "from backbones.weights.atomic import atomic_save_safetensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "for write in (\n"
        "    lambda p: atomic_save_safetensors(p, {'a': torch.zeros(1024, 1024)}, {}),\n"
        "    lambda p: write_atomic(p, bytes(4 << 20)),\n"
        "):\n"
        "    try:\n"
        "        write(Path(sys.argv[1]))\n"
        "    except OSError as error:\n"
        "        continue\n"
        "    sys.exit('written')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="POSIX file modes")
def test_others_may_read_it_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "atomic", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_tensors_are_written_as_the_library_writes_them(tmp_path: Path) -> None:
    kinds = (torch.float64, torch.float16, torch.int8, torch.uint8, torch.float8_e4m3fn)
    tensors = {f"t{i}": torch.arange(3).to(kind) for i, kind in enumerate(kinds)}
    tensors["complex"] = torch.tensor([1 + 2j], dtype=torch.complex64)
    atomic_save_safetensors(tmp_path / "ours", tensors, {"key": "value"})
    save_file(tensors, tmp_path / "theirs", metadata={"key": "value"})
    ours, theirs = (_parts(tmp_path / name) for name in ("ours", "theirs"))
    assert ours == theirs


def _parts(path: Path) -> dict[str, object]:
    """The metadata of a safetensors file, and kind, shape and bytes of each tensor."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    assert begin % 8 == 0
    header = json.loads(data[8:begin])
    parts = {"metadata": header.pop("__metadata__")}
    for name, told in header.items():
        first, last = told.pop("data_offsets")
        parts[name] = (told, data[begin + first : begin + last])
    return parts


# --- what stands in the way ----------------------------------------------------------------------

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files")


@needs_posix
def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "target").write_bytes(b"old")
    (tmp_path / "second").symlink_to(Path("deep") / "target")
    (tmp_path / "link").symlink_to(tmp_path / "second")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert (tmp_path / "deep" / "target").read_bytes() == b"new"
    (tmp_path / "dangling").symlink_to("made")
    write_atomic(tmp_path / "dangling", b"new")
    assert (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "made").read_bytes() == b"new"


@needs_posix
def test_a_link_to_itself_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop") as raised:
        write_atomic(tmp_path / "loop", b"")
    assert raised.value.errno == errno.ELOOP


@needs_posix
def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_atomic(pipe, b"through" * 100_000)
    reader.join(10)
    assert read == [b"through" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@needs_posix
def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_READER_WAIT_S", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"nobody reads from this named pipe.*/pipe") as raised:
        write_atomic(tmp_path / "pipe", b"")
    assert raised.value.errno == errno.ENXIO


@needs_posix
def test_a_device_is_written_through() -> None:
    """As a user who may not make devices: the terminal of a pseudo one."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    write_atomic(Path(name), b"seen\n")
    assert os.read(master, 100) == b"seen\r\n"
    assert stat.S_ISCHR(os.stat(name).st_mode)
    for handle in (master, slave):
        os.close(handle)


@needs_posix
@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
def test_an_open_descriptor_is_written_at_its_place(tmp_path: Path) -> None:
    """As with `>> log`: opening /dev/stdout anew would write from the front of the file."""
    with (tmp_path / "log").open("wb") as log:
        log.write(b"before ")
        log.flush()
        write_atomic(Path(f"/dev/fd/{log.fileno()}"), b"after")
        atomic_save_safetensors(Path(f"/dev/fd/{log.fileno()}"), TENSORS, {})
    assert (tmp_path / "log").read_bytes().startswith(b"before after")
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


@needs_posix
def test_a_private_file_stays_private(tmp_path: Path) -> None:
    for mode in (0o600, 0o640, 0o755):
        (tmp_path / "file").write_bytes(b"old")
        (tmp_path / "file").chmod(mode)
        write_atomic(tmp_path / "file", b"new")
        atomic_save_safetensors(tmp_path / "file", TENSORS, {})
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("n" * 255), b"new")
    write_atomic(tmp_path / ("n" * 255), b"newer")
    assert [file.name for file in tmp_path.iterdir()] == ["n" * 255]
    with pytest.raises(OSError, match="n" * 256) as raised:
        write_atomic(tmp_path / ("n" * 256), b"")
    assert raised.value.errno == errno.ENAMETOOLONG


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name in ("folder", "file/below", "gone/below"):
        with pytest.raises(OSError, match=name) as raised:
            write_atomic(tmp_path / name, b"", parents=False)
        assert raised.value.filename == str(tmp_path / name)


def test_a_folder_that_was_moved_away_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "gone" / "file", b"", parents=False)
    with pytest.raises(FileNotFoundError):
        atomic_save_safetensors(tmp_path / "gone" / "file", TENSORS, {}, parents=False)
    assert not list(tmp_path.iterdir())


# --- kills ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("nameless", [True, False])
def test_a_kill_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:  # as on file systems that have no nameless files
        monkeypatch.setattr(files, "_nameless_file", lambda folder, mode: None)
    (tmp_path / "file").write_bytes(b"old")
    for operation in ("fsync", "replace"):
        child = os.fork()
        if child == 0:
            setattr(os, operation, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            write_atomic(tmp_path / "file", b"new")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        left = [file for file in tmp_path.iterdir() if file.name != "file"]
        assert len(left) == int(operation == "replace" or not nameless)
        assert (tmp_path / "file").read_bytes() == b"old"
        files._swept.clear()  # as a new process begins
        write_atomic(tmp_path / "other", b"")
        (tmp_path / "other").unlink()
        assert [file.name for file in tmp_path.iterdir()] == ["file"]


@needs_posix
@pytest.mark.parametrize("nameless", [True, False])
def test_what_another_is_writing_is_not_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool
) -> None:
    if not nameless:
        monkeypatch.setattr(files, "_nameless_file", lambda folder, mode: None)

    def fill(file: IO[bytes]) -> None:
        files._swept.clear()
        write_atomic(tmp_path / "other", b"other")
        file.write(b"slow")

    fill_atomic(tmp_path / "file", fill)
    assert (tmp_path / "file").read_bytes() == b"slow"
    assert (tmp_path / "other").read_bytes() == b"other"


@needs_posix
def test_a_system_that_cannot_name_its_nameless_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "old").write_bytes(b"a longer old content")
    (tmp_path / "old").chmod(0o600)
    for name in ("old", "new"):
        write_atomic(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["new", "old"]
    write_atomic(tmp_path / "new", b"again")
    assert (tmp_path / "new").read_bytes() == b"again"


@needs_posix
def test_a_file_that_is_mounted_by_itself_is_written_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    (tmp_path / "file").write_bytes(b"a longer old content")
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
