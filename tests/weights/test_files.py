"""Foreign weight files: what they hold is read, what they would run is not."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from backbones.errors import BadWeights, NotFound
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights import table
from backbones.weights.bundle import bundle_of, write_bundle
from backbones.weights.files import read_state

STATE = {"conv.weight": torch.arange(4.0), "conv.bias": torch.ones(1)}


def equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[k], expected[k]) for k in found
    )


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".th", ".tar", ".bin", ".ckpt"])
@pytest.mark.parametrize(
    ("content", "before"),
    [
        (STATE, ""),
        ({"state_dict": STATE, "epoch": 3, "best_prec1": 91.5}, "state_dict."),
        ({"model": STATE, "optimizer": {"lr": 0.1}}, "model."),
        ({"state_dict": {f"module.{n}": t for n, t in STATE.items()}}, "state_dict.module."),
    ],
    ids=["plain", "state_dict", "model", "module."],
)
def test_tensors_are_found_wherever_scripts_put_them(
    tmp_path: Path, suffix: str, content: dict[str, Any], before: str
) -> None:
    torch.save(content, tmp_path / f"weights{suffix}")
    found = read_state(tmp_path / f"weights{suffix}")
    assert equal(found, {before + name: tensor for name, tensor in STATE.items()})
    if before:
        assert equal(read_state(tmp_path / f"weights{suffix}", entry=before), STATE)


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
        with pytest.raises(BadWeights, match=path.name) as caught:
            read_state(path)
        assert "\n" not in str(caught.value)
    assert not trap.exists()


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
        ({}, "no tensors by name, but nothing"),
        ({"lr": 0.1, "epoch": 3}, "no tensors by name, but lr, epoch"),
        (torch.zeros(3), "a Tensor"),
    ],
)
def test_a_file_without_a_state_is_refused(tmp_path: Path, content: Any, reason: str) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=reason):
        read_state(tmp_path / "w.pth")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + b"x" * 600)
    with pytest.raises(BadWeights, match=r"photo\.jpg is a JPEG image; expected a weight file"):
        read_state(tmp_path / "photo.jpg")
    (tmp_path / "page.pth").write_text("<html>Not Found</html>")
    with pytest.raises(BadWeights, match=r"page\.pth"):
        read_state(tmp_path / "page.pth")
    with pytest.raises(NotFound):
        read_state(tmp_path / "none.pth")


NAMES = [
    "argparse.Namespace",
    "os.system",
    "pathlib.PosixPath",
    "torchvision.models.resnet.ResNet",
    "omegaconf.dictconfig.DictConfig",
    "\x1b[31mred.\x1b[0mname",
]


def strange_pickles(folder: Path) -> list[Path]:
    """Files that PyTorch's unpickler refuses, each in its own words."""
    torch.save(STATE, folder / "good.pth")
    good = (folder / "good.pth").read_bytes()
    torch.save(STATE, folder / "old.pth", _use_new_zipfile_serialization=False)
    old = (folder / "old.pth").read_bytes()
    files = {f"cut{n}.pth": good[:n] for n in (1, 30, 300, 700, len(good) - 5)}
    files |= {f"cut{n}.old.pth": old[:n] for n in (1, 15, 60, 200, len(old) - 3)}
    for number, name in enumerate(NAMES):
        module, _, kind = name.rpartition(".")
        old_global = f"\x80\x02c{module}\n{kind}\n)R.".encode("latin-1")
        files[f"global{number}.pth"] = old_global
        files[f"inst{number}.pth"] = f"\x80\x02(i{module}\n{kind}\n.".encode("latin-1")
        stacked = pickle.dumps({"weights": None, "args": (module, kind)}, 4)
        files[f"stacked{number}.pth"] = stacked[:-1].replace(b"\x86", b"\x93") + b"."
        with zipfile.ZipFile(folder / f"zip{number}.pth", "w") as archive:
            archive.writestr("a/data.pkl", old_global)
            archive.writestr("a/version", "3\n")
    files |= {f"deep{p}.pth": bytes([0x80, p]) + b"]" * 5000 + b"a" * 4999 + b"." for p in (2, 4)}
    files["persistent.pth"] = b"\x80\x02Pyou have two options\n."
    files["junk.pth"] = b"\x80\x04\x95" + bytes(range(256)) * 4
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "packed.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}." + bytes(10_000))
    (folder / "good.pth").unlink()
    (folder / "old.pth").unlink()
    return sorted(folder.iterdir())


def test_the_advice_to_run_a_pickle_never_reaches_anybody(tmp_path: Path) -> None:
    for path in strange_pickles(tmp_path):
        with pytest.raises(BadWeights) as caught:
            read_state(path)
        said = str(caught.value)
        assert path.name in said
        assert said.isprintable(), said
        for word in ("weights_only", "weights only", "two options", "likely succeed", "allowlist"):
            assert word not in said.lower(), said


@pytest.mark.parametrize("name", NAMES[:-1])
def test_an_object_beside_the_weights_is_named_with_the_line_that_saves_tensors(
    tmp_path: Path, name: str
) -> None:
    strange_pickles(tmp_path)
    number = NAMES.index(name)
    for kind in ("global", "inst", "zip"):
        with pytest.raises(BadWeights, match="which is not run") as caught:
            read_state(tmp_path / f"{kind}{number}.pth")
        assert f"holds {name} " in str(caught.value)
        assert "torch.save(model.state_dict()" in str(caught.value)


def test_a_whole_pickled_network_is_called_that(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "net.pth")
    with pytest.raises(BadWeights, match=r"whole pickled network, torch\.nn\.modules"):
        read_state(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        ("b.npz", b"<!DOCTYPE html><html><title>Sign in</title>", "an HTML page"),
        ("c.pth", b'{"error": "not found"}', "JSON"),
        ("d.bin", b"", "an empty file"),
        ("e.pt", bytes(5000), "nothing but zeros"),
        ("f.pth", b"\x89HDF\r\n\x1a\n" + bytes(range(200)) * 4, "HDF5"),
        ("g.pth", b"GGUF\x03" + bytes(range(200)) * 4, "GGUF"),
        ("h.pth", b"\x1f\x8b\x08" + bytes(range(200)), "gzip"),
        ("i.ckpt", bytes(range(5, 200)) * 9, "in no format that is known"),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadWeights, match=f"{name} is .*{reason}") as caught:
        read_state(tmp_path / name)
    assert "expected a weight file" in str(caught.value)


def test_a_torchscript_program_is_called_that(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.pt", "w") as archive:
        for name in ("s/data.pkl", "s/constants.pkl", "s/code/__torch__.py"):
            archive.writestr(name, b"\x80\x02}.")
    with pytest.raises(BadWeights, match=r'TorchScript.*torch\.jit\.load\("s\.pt"\)\.state_dict'):
        read_state(tmp_path / "s.pt")
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("net.pth", b"")
    with pytest.raises(BadWeights, match="ZIP archive: unpack it first"):
        read_state(tmp_path / "z.pth")


def test_a_cut_file_is_called_cut_with_both_lengths_where_they_are_known(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "net.pth")
    data = (tmp_path / "net.pth").read_bytes()
    row = table.find("resnet20_cifar.akamaster_cifar10")
    for name, said in (("net.pth", ""), (row.file, f"of {row.num_bytes:,}")):
        (tmp_path / name).write_bytes(data[:500])
        with pytest.raises(BadWeights, match=f"{name} is cut off: it has 500 bytes.*{said}"):
            read_state(tmp_path / name)
    save_file({"a": torch.zeros(100)}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    for keep in (20, 200):
        (tmp_path / "w.safetensors").write_bytes(whole[:keep])
        with pytest.raises(BadWeights, match=f"is cut off: it has {keep} bytes of [0-9]+"):
            read_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize("keep", [40, 300, 500])
def test_a_cut_file_of_the_format_before_pytorch_1_6_is_called_cut(
    tmp_path: Path, keep: int
) -> None:
    state = build("vgg_tiny", 2).state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "old.pth").write_bytes((tmp_path / "old.pth").read_bytes()[:keep])
    with pytest.raises(BadWeights, match=r"old\.pth is cut off: fetch it again"):
        read_state(tmp_path / "old.pth")


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_the_index_of_weights_in_several_files_is_called_that(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"model.{kind}.index.json"
    files = {f"layer.{n}.weight": f"model-0000{n}-of-00002.{kind}" for n in (2, 1)}
    path.write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": files}))
    with pytest.raises(BadWeights, match=rf"index .*several files \(model-00001-of-00002\.{kind} "):
        read_state(path)


@pytest.mark.parametrize("name", ["w.npy", "w.pkl", "w.pth"])
def test_a_pickled_dictionary_of_arrays_is_called_that_and_not_run(
    tmp_path: Path, name: str
) -> None:
    arrays = {key: tensor.numpy() for key, tensor in STATE.items()}
    if name == "w.npy":
        np.save(tmp_path / name, arrays, allow_pickle=True)  # type: ignore[arg-type]
    else:
        (tmp_path / name).write_bytes(pickle.dumps(arrays))
    with pytest.raises(BadWeights, match=r"pickled dictionary of NumPy's arrays.*numpy\.savez"):
        read_state(tmp_path / name)


def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.bin")
    np.savez(tmp_path / "w.npz", **{name: t.numpy() for name, t in STATE.items()})
    (tmp_path / "w.npz").rename(tmp_path / "w.pth")
    torch.save(STATE, tmp_path / "w.model")
    for name in ("w.bin", "w.pth", "w.model"):
        assert equal(read_state(tmp_path / name), STATE)


def hostile_arrays(folder: Path) -> dict[str, str]:
    """`.npz` files that no reader should take -> what is said."""
    np.savez_compressed(folder / "ok.npz", a=np.zeros(3, "f4"))
    good = (folder / "ok.npz").read_bytes()
    central = good.find(b"PK\1\2")
    encrypted, method = bytearray(good), bytearray(good)
    encrypted[6] |= 1
    encrypted[central + 8] |= 1
    method[8] = method[central + 10] = 99
    (folder / "encrypted.npz").write_bytes(encrypted)
    (folder / "method.npz").write_bytes(method)
    head = b"\x93NUMPY\x01\x00v\0"
    claims = {"huge": "(1000000000000,)", "overflow": f"({10**30},)", "deep": "(" * 60 + ")" * 60}
    for name, shape in claims.items():
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
        with zipfile.ZipFile(folder / f"{name}.npz", "w") as archive:
            archive.writestr("a.npy", head + text.ljust(117) + b"\n")
    damaged = bytearray(good)
    damaged[-140] ^= 0xFF
    (folder / "damaged.npz").write_bytes(damaged)
    return {
        "encrypted.npz": "encrypted",
        "method.npz": "packed by method 99",
        "huge.npz": "claims 4,000,000,000,000 bytes and has 0",
        "overflow.npz": "claims 4,0",
        "deep.npz": "damaged",
        "damaged.npz": "damaged",
    }


def test_arrays_of_every_evil_kind_are_one_line(tmp_path: Path) -> None:
    for name, reason in hostile_arrays(tmp_path).items():
        with pytest.raises(BadWeights, match=f"{name} holds no plain arrays.*{reason}") as caught:
            read_state(tmp_path / name)
        assert str(caught.value).isprintable()


def test_gigabytes_of_zeros_are_not_unpacked(tmp_path: Path) -> None:
    """The size that the archive claims is looked at before anything is unpacked."""
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1000, "f4"))
    data = bytearray((tmp_path / "bomb.npz").read_bytes())
    central = data.find(b"PK\1\2")
    data[central + 24 : central + 28] = (3 << 30).to_bytes(4, "little")
    (tmp_path / "bomb.npz").write_bytes(data)
    with pytest.raises(BadWeights, match="unpacks to 3,221,225,472 bytes"):
        read_state(tmp_path / "bomb.npz")


def test_a_tensor_larger_than_what_is_stored_for_it_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**12)}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="a is larger than what is stored for it"):
        read_state(tmp_path / "w.pth")
    torch.save({"a": torch.zeros(2, 2).to_sparse()}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="a is "):
        read_state(tmp_path / "w.pth")


def test_a_dictionary_that_holds_itself_is_read_once(tmp_path: Path) -> None:
    content: dict[str, Any] = dict(STATE)
    content["again"] = content
    torch.save(content, tmp_path / "w.pth")
    assert equal(read_state(tmp_path / "w.pth"), STATE)
