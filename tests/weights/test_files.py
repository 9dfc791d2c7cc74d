"""Foreign weight files: what they hold is read, what they would run is not."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from backbones.errors import BadWeights, NotFound
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights.bundle import bundle_of, write_bundle
from backbones.weights.files import read_state

STATE = {"conv.weight": torch.arange(4.0), "conv.bias": torch.ones(1)}


def equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[k], expected[k]) for k in found
    )


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".tar", ".bin", ".ckpt"])
@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3, "best_prec1": 91.5},
        {"model": STATE, "optimizer": {"lr": 0.1}},
        {"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}},
    ],
    ids=["plain", "state_dict", "model", "module."],
)
def test_tensors_are_found_wherever_scripts_put_them(
    tmp_path: Path, suffix: str, content: dict[str, Any]
) -> None:
    torch.save(content, tmp_path / f"weights{suffix}")
    assert equal(read_state(tmp_path / f"weights{suffix}"), STATE)


def test_the_format_before_pytorch_1_6_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert equal(read_state(tmp_path / "old.pth"), STATE)


def test_safetensors_and_bundles_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "plain.safetensors")
    assert equal(read_state(str(tmp_path / "plain.safetensors")), STATE)
    model = build("lenet5_tiny", num_classes=2)
    spec = InputSpec(16, 16, 1, (0.5,), (0.5,))
    write_bundle(tmp_path / "b.safetensors", bundle_of(model, classes=("a", "b"), spec=spec))
    assert equal(read_state(tmp_path / "b.safetensors"), model.state_dict())


def test_arrays_are_read_under_short_names(tmp_path: Path) -> None:
    arrays = {"a/a/kernel:0": np.arange(6.0).reshape(2, 3), "b/bias": np.zeros(2, np.float32)}
    np.savez(tmp_path / "w.npz", **arrays)
    state = read_state(tmp_path / "w.npz")
    assert state["a/kernel"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state.keys() == {"a/kernel", "b/bias"}
    save_file(
        {name.replace("b/", "c/c/"): t for name, t in state.items()}, tmp_path / "w.safetensors"
    )
    assert read_state(tmp_path / "w.safetensors").keys() == {"a/kernel", "c/bias"}


def test_objects_among_arrays_are_refused_and_run_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    np.savez(tmp_path / "evil.npz", a=np.array([Evil(trap)], dtype=object))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Evil(trap)))
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "cut.npz", a=np.zeros(300))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:400])
    np.savez(tmp_path / "words.npz", a=np.array(["word"]))
    for path in sorted(tmp_path.glob("*.npz")):
        with pytest.raises(BadWeights, match=f"{path.name} holds no plain arrays") as caught:
            read_state(path)
        assert "\n" not in str(caught.value)
    assert not trap.exists()


def test_only_a_common_prefix_is_removed(tmp_path: Path) -> None:
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    torch.save(mixed, tmp_path / "mixed.pth")
    assert read_state(tmp_path / "mixed.pth").keys() == mixed.keys()


class Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("how", ["torch", "torch old", "pickle"])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path: Path, how: str) -> None:
    trap, path = tmp_path / "trap", tmp_path / "evil.pth"
    content = {"state_dict": {**STATE, "evil": Evil(trap)}}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(BadWeights, match="not run") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Evil(trap)))  # the trap works where pickles are run
    assert trap.exists()


@pytest.mark.parametrize("keep", [0, 10, 100, -10])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    save_file(STATE, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.pth", tmp_path / "w.safetensors"):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(BadWeights, match=path.name):
            read_state(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([torch.zeros(1)], "a list"),
        ({}, "a dict, expected tensors"),
        ({"lr": 0.1, "a": torch.zeros(1)}, "'lr'"),
        (torch.zeros(3), "a Tensor"),
    ],
)
def test_a_file_without_a_state_is_refused(tmp_path: Path, content: Any, reason: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=reason):
        read_state(tmp_path / "w.pth")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(BadWeights, match=r"ends in \.jpg"):
        read_state(tmp_path / "photo.jpg")
    (tmp_path / "page.pth").write_text("<html>Not Found</html>")
    with pytest.raises(BadWeights, match=r"page\.pth"):
        read_state(tmp_path / "page.pth")
    with pytest.raises(NotFound):
        read_state(tmp_path / "none.pth")


def test_real_checkpoints_are_read(test_data: Path) -> None:
    files = sorted((test_data / "weights").rglob("*.th")) + sorted(
        (test_data / "weights").rglob("*.pth")
    )
    assert files
    for path in files:
        state = read_state(path)
        assert not any(name.startswith("module.") for name in state), path
        assert all(tensor.numel() for tensor in state.values())
