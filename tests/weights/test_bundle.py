"""A bundle says what it is, and a damaged or foreign file is refused with the reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from backbones.errors import BadWeights, NotFound, WrongUse
from backbones.models import build, find_row, make
from backbones.spec import InputSpec
from backbones.weights.bundle import (
    Bundle,
    bundle_of,
    read_bundle,
    read_bundle_header,
    write_bundle,
)
from backbones.weights.sealed import tensors_sha256

SPEC = InputSpec(size=32, resize=36)
CLASSES = ("cat", "dog", "猫头鹰")


@pytest.fixture
def bundle() -> Bundle:
    return bundle_of(
        build("vgg_tiny", num_classes=3, seed=0),
        classes=CLASSES,
        spec=SPEC,
        recipe={"optimizer": {"lr": 0.1}, "length": "10epochs"},
        metrics={"top1_error_percent": 12.5},
    )


@pytest.fixture
def path(bundle: Bundle, tmp_path: Path) -> Path:
    write_bundle(tmp_path / "best.safetensors", bundle)
    return tmp_path / "best.safetensors"


def test_all_that_was_bundled_comes_back(bundle: Bundle, path: Path) -> None:
    back = read_bundle(path)
    assert back == bundle
    assert back.classes == CLASSES
    assert back.spec == SPEC
    assert back.row["name"] == back.variant == "vgg_tiny"
    assert back.versions.keys() == {"backbones", "torch", "python"}
    assert back.state.keys() == bundle.state.keys()
    assert all(torch.equal(tensor, bundle.state[name]) for name, tensor in back.state.items())


def test_the_header_alone_has_everything_but_the_tensors(bundle: Bundle, path: Path) -> None:
    header = read_bundle_header(path)
    assert header == bundle
    assert header.state == {}
    with pytest.raises(BadWeights, match="header"):
        header.build()
    with pytest.raises(BadWeights, match="no tensors"):
        write_bundle(path, header)


def test_the_header_is_read_without_the_tensors(path: Path) -> None:
    """Tensors damaged in place: the header still answers, reading everything does not."""
    data = bytearray(path.read_bytes())
    data[-5] ^= 0xFF
    path.write_bytes(data)
    assert read_bundle_header(path).variant == "vgg_tiny"
    with pytest.raises(BadWeights, match="SHA-256"):
        read_bundle(path)


def test_a_row_changed_with_replace_comes_back_changed(tmp_path: Path) -> None:
    network_type, row = find_row("nin_cifar10")
    changed: Any = replace(row, second_pool="average", dropout_after=())  # type: ignore[type-var]
    model = make(network_type, changed, 4, 3)
    names = ("a", "b", "c", "d")
    write_bundle(tmp_path / "n.safetensors", bundle_of(model, classes=names, spec=SPEC))
    again: Any = read_bundle(tmp_path / "n.safetensors").build()
    assert again.row == changed
    assert isinstance(again.features.pool2, nn.AvgPool2d)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile imports old modules
def test_a_wrapped_network_is_unwrapped() -> None:
    model = build("lenet5_tiny", seed=0)
    parallel = nn.Module()
    parallel.module = model
    spec = InputSpec(16, 16, 1, (0.5,), (0.5,))
    names = [str(n) for n in range(10)]
    for wrapped in (parallel, torch.compile(model)):
        bundle = bundle_of(wrapped, classes=names, spec=spec)
        assert bundle.state.keys() == model.state_dict().keys()
        assert bundle.family == "lenet"


def test_what_does_not_belong_together_is_not_bundled() -> None:
    model = build("vgg_tiny", num_classes=3)
    with pytest.raises(WrongUse, match="2 class names for a network with 3"):
        bundle_of(model, classes=["a", "b"], spec=SPEC)
    with pytest.raises(WrongUse, match="1 channels to a network built for 3"):
        bundle_of(model, classes=CLASSES, spec=InputSpec(32, 32, 1, (0.5,), (0.5,)))
    with pytest.raises(WrongUse, match="no row"):
        bundle_of(nn.Linear(2, 3), classes=CLASSES, spec=SPEC)


def tamper(
    path: Path,
    values: Callable[[dict[str, Any]], None] = lambda values: None,
    state: Callable[[dict[str, Tensor]], None] = lambda state: None,
) -> None:
    """Write a bundle whose parts do not fit, with hashes that do."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["backbones"])["header"]
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    state(tensors)
    header["tensors_sha256"] = tensors_sha256(tensors)
    values(header)
    text = json.dumps(header, ensure_ascii=False, sort_keys=True)
    whole = {"header": header, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    written = json.dumps(whole, ensure_ascii=False, sort_keys=True)
    save_file(tensors, path, metadata={"backbones": written})


def test_equal_bundles_are_equal_files(tmp_path: Path) -> None:
    model = build("lenet5_tiny", seed=0)
    spec = InputSpec(16, 16, 1, (0.5,), (0.5,))
    files = []
    for number in range(6):
        write_bundle(
            path := tmp_path / str(number), bundle_of(model, classes="0123456789", spec=spec)
        )
        files.append(path.read_bytes())
    assert len(set(files)) == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (lambda v: v.update(classes=["cat"]), "1 class names for 3 classes"),
        (lambda v: v.update(num_classes=4), "3 class names for 4 classes"),
        (lambda v: v.update(num_classes="3"), "num_classes"),
        (lambda v: v.update(in_channels=1), "3 channels, the network 1"),
        (lambda v: v.update(variant=5), "variant"),
        (lambda v: v.update(classes=None), "classes"),
        (lambda v: v.update(format=99), "another version"),
        (lambda v: v.update(format=1.5), "another version"),
        (lambda v: v.pop("spec"), "another version"),
        (lambda v: v.update(surprise=1), "another version"),
        (lambda v: v.update(spec={"size": 3}), "InputSpec"),
        (lambda v: v["spec"].update(mean=5), "mean"),
        (lambda v: v["spec"].update(size=-5), "size -5"),
        (lambda v: v.update(spec=None), "InputSpec"),
        (lambda v: v.update(family="os"), "'os'"),
        (lambda v: v.update(row=[]), "row"),
        (lambda v: v["row"].pop("hidden"), "hidden"),
        (lambda v: v["row"].update(hidden=64), "shape"),
        (lambda v: v["row"].update(hidden="64"), "hidden"),
        (lambda v: v["row"].update(hidden=-64), "vgg_tiny"),
        (lambda v: v["row"].update(layers="8 M what"), "vgg_tiny"),
        (lambda v: v["row"].update(init="magic"), "init"),
        (lambda v: v["row"].update(batch_norm=False), "unknown"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    path: Path, values: Callable[[dict[str, Any]], None], reason: str
) -> None:
    tamper(path, values=values)
    with pytest.raises(BadWeights, match=reason) as caught:
        read_bundle(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (lambda s: s.pop("classifier.6.bias"), "missing .*classifier.6.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "unknown .*extra"),
        (lambda s: s.update({"classifier.6.bias": torch.zeros(4)}), r"shape \(4,\)"),
        (lambda s: s.update({"classifier.6.bias": torch.zeros(3).int()}), "type"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    path: Path, state: Callable[[dict[str, Tensor]], None], reason: str
) -> None:
    tamper(path, state=state)
    with pytest.raises(BadWeights, match=reason):
        read_bundle(path)


def test_a_bundle_from_before_provenance_is_read(path: Path) -> None:
    tamper(path, values=lambda v: v.pop("provenance"))
    assert read_bundle(path).provenance is None


def test_provenance_comes_back(bundle: Bundle, path: Path) -> None:
    write_bundle(path, replace(bundle, provenance={"weights": "vgg16.tv_in1k", "sha256": "0" * 64}))
    assert read_bundle(path).provenance == {"weights": "vgg16.tv_in1k", "sha256": "0" * 64}


def test_a_changed_header_is_noticed(path: Path) -> None:
    data = path.read_bytes().replace(b"top1_error_percent", b"top5_error_percent")
    path.write_bytes(data)
    for read in (read_bundle, read_bundle_header):
        with pytest.raises(BadWeights, match="header was changed"):
            read(path)


@pytest.mark.parametrize("keep", [0, 4, 8, 200, 3000, -1])
def test_a_truncated_file_is_refused(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadWeights, match="not a whole safetensors file"):
        read_bundle(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "plain.safetensors")
    with pytest.raises(BadWeights, match="without a description"):
        read_bundle(tmp_path / "plain.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is no tensor")
    with pytest.raises(BadWeights, match="safetensors"):
        read_bundle_header(tmp_path / "text.safetensors")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    for place in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(NotFound, match="there is no bundle"):
            read_bundle(place)


def test_the_hash_sees_names_types_shapes_and_contents() -> None:
    tensor = torch.zeros(4)
    variants: list[dict[str, Tensor]] = [
        {"a": tensor},
        {"b": tensor},
        {"a": tensor.int()},
        {"a": tensor.reshape(2, 2)},
        {"a": tensor + 1},
        {"a": tensor, "b": tensor},
    ]
    assert len({tensors_sha256(state) for state in variants}) == len(variants)
    assert tensors_sha256({"a": tensor, "b": tensor}) == tensors_sha256({"b": tensor, "a": tensor})


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_bundle_of_another_precision_answers_in_single(path: Path, kind: torch.dtype) -> None:
    bundle = read_bundle(path)
    state = {n: t.to(kind) if t.is_floating_point() else t for n, t in bundle.state.items()}
    write_bundle(path, replace(bundle, state=state))
    again = read_bundle(path)
    assert {t.dtype for t in again.state.values()} <= {torch.float32, torch.int64}
    with torch.inference_mode():
        size = again.spec.size
        assert again.build()(torch.zeros(1, again.in_channels, size, size)).isfinite().all()


def test_a_bundle_of_no_numbers_is_refused(path: Path) -> None:
    bundle = read_bundle(path)
    state = {**bundle.state, "classifier.6.bias": bundle.state["classifier.6.bias"] * float("nan")}
    write_bundle(path, replace(bundle, state=state))
    with pytest.raises(BadWeights, match=r"numbers of classifier\.6\.bias are not finite"):
        read_bundle(path)
