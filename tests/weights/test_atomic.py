"""A file is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from backbones.weights.atomic import atomic_save_safetensors, write_atomic

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
    with pytest.raises(OSError, match="No space"):
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
        "from backbones.weights.atomic import atomic_save_safetensors, write_atomic\n"
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
