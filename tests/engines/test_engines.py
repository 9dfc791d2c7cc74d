"""Every engine gives the answers of PyTorch, says what it is, and reports to nobody."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from backbones import Classifier
from backbones.compute import Compute, choose_compute
from backbones.engines import find_engine, settled, table
from backbones.errors import MissingExtra, NotFinite, WrongUse
from backbones.features.dense import dense
from backbones.models import build

CPU = Compute("cpu", "fp32", 1)
# One rounding of fp32 is 6e-8 of a value; sums of a few thousand terms in another order differ by
# some hundred of these at most.
RELATIVE = 1e-4


def random_images(count: int, side: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    images = torch.randn(count, 3, side, side, generator=generator)
    return images.contiguous(memory_format=torch.channels_last)


def settled_network(name: str) -> nn.Module:
    """With statistics of batch norm that are not those of a fresh network."""
    network = build(name, seed=0).train()
    with torch.no_grad():
        network(random_images(8))
    return network.eval()


def assert_close(found: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= RELATIVE * scale


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("openvino", "vgg_tiny"),
        ("openvino", "resnet_tiny"),
        ("openvino", "densenet_tiny"),
        ("openvino", "efficientnet_tiny"),
        ("onnxruntime", "efficientnet_tiny"),  # an export takes seconds: one stands for all
    ],
)
def test_logits_are_those_of_torch(engine: str, name: str) -> None:
    network = settled_network(name)
    answer = find_engine(engine).build(network, CPU)
    for count in (1, 2, 5):
        images = random_images(count)
        with torch.no_grad():
            assert_close(answer(images), network(images))


def test_training_goes_on_as_it_was() -> None:
    network = settled_network("resnet_tiny").train()
    find_engine("openvino").build(network, CPU)(random_images(2))
    assert all(module.training for module in network.modules())


def test_programs_are_of_the_weights_of_now() -> None:
    network, images = settled_network("vgg_tiny"), random_images(2)
    engine = find_engine("openvino")
    first = engine.build(network, CPU)
    assert engine.build(network, CPU).func is first.func  # type: ignore[attr-defined]
    before = first(images)
    with torch.no_grad():
        next(network.parameters()).mul_(2)
    second = engine.build(network, CPU)
    assert second.func is not first.func  # type: ignore[attr-defined]
    with torch.no_grad():
        assert_close(second(images), network(images))
    assert float((second(images) - before).abs().max()) > RELATIVE


def test_programs_are_forgotten_with_their_network() -> None:
    network = settled_network("vgg_tiny")
    find_engine("openvino").build(network, CPU)(random_images(1))
    assert network in table._PROGRAMS
    held = len(table._PROGRAMS)
    del network
    gc.collect()
    assert len(table._PROGRAMS) < held


def test_few_sizes_are_kept() -> None:
    from backbones.engines.sizes import SIZES_KEPT

    network = dense(settled_network("vgg_tiny"), 64)
    program = find_engine("openvino").build(network, CPU)
    for side in range(64, 64 + 32 * (SIZES_KEPT + 2), 32):
        images = random_images(1, side)
        with torch.no_grad():
            assert_close(program(images), network(images))
    assert len(program.func._programs) == SIZES_KEPT  # type: ignore[attr-defined]


def test_an_answer_that_is_no_number_is_an_error() -> None:
    network = settled_network("vgg_tiny")
    with torch.no_grad():
        list(network.parameters())[-1].fill_(torch.nan)
    with pytest.raises(NotFinite):
        find_engine("openvino").build(network, CPU)(random_images(2))


def test_openvino_reports_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own converter does, unless the user has forbidden it."""
    telemetry = pytest.importorskip("openvino_telemetry")

    def refuse(*args: object, **others: object) -> None:
        raise AssertionError("something was about to be reported")

    for name in ("__init__", "send_event", "start_session", "send_error"):
        monkeypatch.setattr(telemetry.Telemetry, name, refuse)
    find_engine("openvino").build(settled_network("vgg_tiny"), CPU)(random_images(1))


def test_auto_takes_what_is_ready_first() -> None:
    open_ = choose_compute("cpu", engine="auto")
    assert open_.to_json()["engine_version"] is None
    assert settled(open_, 224).engine == "openvino"
    assert settled(open_, 224, num_images=3).engine == "torch"
    assert settled(open_, 28).engine == "torch"


def test_auto_does_without_what_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    there = table.find_spec
    monkeypatch.setattr(table, "find_spec", lambda name: None if name[0] == "o" else there(name))
    compute = choose_compute("cpu", engine="auto")
    assert settled(compute, 224).engine == "torch"
    with pytest.raises(MissingExtra, match=r"classic-backbones\[engines\]"):
        settled(choose_compute("cpu", engine="openvino"), 224)


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        (Compute("cuda", "fp32", 1, "openvino"), "computes on cpu, not cuda"),
        (Compute("cpu", "bf16", 1, "onnxruntime"), "computes in fp32, not bf16"),
        (Compute("cpu", "fp32", 1, "tvm"), "expected one of auto, openvino"),
    ],
)
def test_what_an_engine_cannot_do_is_said(compute: Compute, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        settled(compute, 224)


def test_bf16_wants_units_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "has_bf16_units", lambda device: False)
    with pytest.raises(WrongUse, match="only where there are units"):
        settled(Compute("cpu", "bf16", 1, "openvino"), 224)


@pytest.mark.parametrize("protocol", ["single", "ten_crop", "vgg/dense"])
def test_protocols_give_the_same_through_an_engine(protocol: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(3):
        pixels = generator.integers(0, 256, (80 + 9 * number, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    member = Classifier((_member("vgg_tiny"),), choose_compute("cpu", threads=1, engine="torch"))
    answers = [
        [[guess.probability for guess in each.predictions] for each in found]
        for found in (
            member.predict(tmp_path, protocol=protocol, top=None),
            Classifier(member.members, Compute("cpu", "fp32", 1, "openvino")).predict(
                tmp_path, protocol=protocol, top=None
            ),
        )
    ]
    assert np.allclose(answers[0], answers[1], atol=1e-5)


def _member(name: str) -> object:
    from backbones.classifier.assembly import Member
    from backbones.spec import InputSpec

    network = settled_network(name)
    return Member(lambda: network, InputSpec(size=64, resize=72), tuple("abcdefghij"))


def test_imports_are_late() -> None:
    """A verb that needs no engine does not wait for one."""
    import subprocess

    code = "import sys, backbones.cli.predict, backbones.api.prediction;" + (
        "sys.exit(any(name.startswith(('openvino', 'onnx')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
