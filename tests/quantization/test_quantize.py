"""A network in int8: what it is fitted to, what it is judged by, and when it is not written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import backbones
from backbones.classifier.held_out import Wanted
from backbones.errors import (
    BackbonesError,
    BadData,
    BadWeights,
    MissingExtra,
    NotFound,
    QuantizationRefused,
    WrongUse,
)
from backbones.exporting.form import Deployable, Form
from backbones.exporting.program import program_of
from backbones.quantization.images import choose_parts
from backbones.quantization.result import QuantizationOptions, Quantized
from backbones.weights.bundle import Bundle
from tests.cli import conftest as cli

pytest.importorskip("nncf")

from backbones.exporting.openvino_model import OpenVinoModel
from backbones.exporting.sealed_model import SealedModel
from backbones.quantization import graph as graphs
from backbones.quantization import judging, nncf_calls, quantize

TENSOR = Form("tensor", "float32")
command = cli.backbones
LAYERS = ["c1", "c3", "c5", "f6", "output"]


@pytest.fixture(scope="module")
def lenet() -> Bundle:
    return backbones.read_bundle(backbones.shipped_weights()["lenet5.digits"])


@pytest.fixture(scope="module")
def translated(lenet: Bundle) -> OpenVinoModel:
    """The network in fp32; translating takes seconds."""
    network = Deployable(lenet.build(), lenet.spec, TENSOR).eval()
    return OpenVinoModel.of(program_of(network, lenet.spec), TENSOR)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch, translated: OpenVinoModel) -> None:
    """The network is translated once for all tests, and timed briefly."""
    monkeypatch.setattr(quantize, "OpenVinoModel", _Translated(translated))
    monkeypatch.setattr(quantize, "program_of", lambda *_: None)
    monkeypatch.setattr(judging, "_ROUNDS", 1)


class _Translated:
    def __init__(self, model: OpenVinoModel) -> None:
        self._model = model

    def of(self, *_: object) -> OpenVinoModel:
        return self._model

    def __call__(self, graph: object) -> OpenVinoModel:
        return OpenVinoModel(graph)


@pytest.fixture(scope="module")
def stages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def small(
    lenet: Bundle,
    translated: OpenVinoModel,
    stages: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Quantized]:
    """LeNet-5 in int8, in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "OpenVinoModel", _Translated(translated))
        patch.setattr(quantize, "program_of", lambda *_: None)
        patch.setattr(judging, "_ROUNDS", 1)
        yield backbones.quantize(
            lenet,
            "digits",
            tmp_path_factory.mktemp("quantized") / "small",
            num_images=64,
            max_loss=5,  # another processor rounds otherwise
            staged=lambda stage, done, total: stages.append(stage),
        )


# --- what is left ---------------------------------------------------------------------------------


def test_the_folder_holds_the_graph_and_its_card(small: Quantized, stages: list[str]) -> None:
    names = sorted(each.name for each in small.file.iterdir())
    assert names == ["card.json", "card.md", "model.bin", "model.xml"]
    assert [each.name for each in small.file.parent.iterdir()] == ["small"]
    card = json.loads((small.file / "card.json").read_text())
    assert card == small.card.to_json()
    assert card["bytes_int8"] < card["bytes_fp32"] / 2
    assert (card["num_layers"], card["layers_kept"], card["accuracy_control"]) == (5, [], False)
    assert card["calibration"] == {"num_images": 64, "seed": 0, "part": "train"}
    assert (card["judged_on"], card["num_images"]) == ("val", 143)
    assert card["agreement"] > 0.97
    assert card["versions"]["nncf"]
    low, high = card["top1_loss_interval_points"]
    assert low < card["top1_loss_points"] < high
    page = (small.file / "card.md").read_text()
    assert "143 images of val" in page
    assert list(dict.fromkeys(stages)) == ["translating", "calibrating", "judging"]


def test_every_verb_opens_it_and_says_int8(small: Quantized, lenet: Bundle) -> None:
    opened = backbones.open(small.file)
    assert (opened.compute.precision, opened.compute.engine) == ("int8", "openvino")
    found = opened.evaluate("digits", split="val")
    said = found.to_json()
    assert (said["precision"], said["engine"]) == ("int8", "openvino")
    assert said["engine_version"] == small.card.to_json()["versions"]["openvino"]
    loss = small.card.judged.loss
    assert found.report.top1_error_percent == pytest.approx(100 * (1 - loss.faster))
    exact = backbones.evaluate(lenet, "digits", split="val", device="cpu", engine="torch")
    assert exact.report.top1_error_percent == pytest.approx(100 * (1 - loss.exact))
    assert found.report.loss != exact.report.loss  # it is another arithmetic


def test_its_precision_cannot_be_chosen(small: Quantized, lenet: Bundle) -> None:
    assert backbones.open(small.file, precision="int8").compute.precision == "int8"
    for precision in ("fp32", "exact", "bf16"):
        with pytest.raises(WrongUse, match=f"answers in int8; omit --precision {precision}"):
            backbones.open(small.file, precision=precision)
    with pytest.raises(WrongUse, match="run `backbones quantize BUNDLE DATA -o OUT` first"):
        backbones.open(lenet, precision="int8")
    with pytest.raises(WrongUse, match="answer in fp32 and int8"):
        backbones.open([small.file, lenet])


def test_what_is_in_int8_is_read_from_the_graph(small: Quantized, translated) -> None:
    layers = graphs.layers_of(translated.graph, graphs.folded(translated.graph))
    assert list(layers.values()) == LAYERS
    assert graphs.layers_in_int8(OpenVinoModel.read(small.file).graph) == layers.keys()
    assert graphs.layers_in_int8(graphs.folded(translated.graph)) == set()


def test_verify_tells_how_far_it_is_from_pytorch(small: Quantized) -> None:
    found = backbones.verify_export(small.file)
    said = found.to_json()
    assert said["precision"] == "int8"
    assert said["max_abs_diff"] > 1e-3
    assert said["quantization"] == small.card.to_json()
    assert "in int8, held against PyTorch" in found.to_text()
    assert "on 143 images of val: top-1 accuracy" in found.to_text()


def test_one_file_holds_the_same_and_knows_when_it_was_changed(small, lenet, tmp_path) -> None:
    path = tmp_path / "small.safetensors"
    num_bytes = SealedModel(OpenVinoModel.read(small.file).graph).save(path)
    assert num_bytes == path.stat().st_size < small.card.bytes_fp32 / 2
    digits = [np.full((28, 28), level, np.uint8) for level in (0, 90, 255)]
    one, other = (backbones.open(each) for each in (path, small.file))
    assert [each.predictions for each in one.predict(digits)] == [
        each.predictions for each in other.predict(digits)
    ]
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadWeights, match=r"small\.safetensors: the tensors were changed"):
        backbones.open(path)


# --- which images ---------------------------------------------------------------------------------


def test_the_parts_are_those_of_the_training(lenet: Bundle) -> None:
    parts, again, other = (choose_parts(lenet, Wanted("digits"), 50, seed) for seed in (0, 0, 1))
    whole = backbones.open_data("digits", val_fraction=0.1).splits
    names = [_names(each) for each in (parts.calibration, parts.validation)]
    assert names[0] < _names(whole["train"])
    assert names[0].isdisjoint(names[1] | _names(whole["test"]))
    assert names[0] == _names(again.calibration) != _names(other.calibration)
    assert np.bincount(parts.calibration.labels, minlength=10).tolist() == [5] * 10
    assert parts.validation.name == "val"


def test_other_data_is_divided(lenet: Bundle, tmp_path: Path) -> None:
    folder = _digits(tmp_path, classes="37", count=20)
    parts = choose_parts(replace(lenet, recipe=None), Wanted(folder), None, 0)
    names = [_names(each) for each in (parts.calibration, parts.validation)]
    assert list(map(len, names)) == [10, 10]
    assert names[0].isdisjoint(names[1])
    assert set(parts.validation.labels.tolist()) == {3, 7}


def _names(split: Any) -> set[str]:
    return {split.images.name(place) for place in range(len(split))}


def _digits(folder: Path, classes: str, count: int) -> Path:
    for number in range(count):
        path = folder / classes[number % len(classes)] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((28, 28), number, np.uint8)).save(path)
    return folder


# --- accuracy that is lost ------------------------------------------------------------------------


def _spoilt(graph: Any) -> Any:
    """A graph whose answer is the first class, whatever it sees."""
    from openvino import opset15 as op

    last = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Add"][-1]
    bias = op.constant(np.eye(1, 10, dtype=np.float32) * 1e4)
    last.input(1).replace_source_output(bias.output(0))
    return graph


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch, small: Quantized) -> list[str]:
    """Which of NNCF's ways are spoilt: "plain", "controlled"."""
    ways: list[str] = []

    def spoilt(graph: Any, calibration: Any, control: Any = None) -> Any:
        if ("controlled" if control else "plain") in ways:
            return _spoilt(OpenVinoModel.read(small.file).graph)
        return nncf_calls.quantized(graph, calibration, control)

    monkeypatch.setattr(quantize, "quantized", spoilt)
    return ways


def test_accuracy_control_follows_where_int8_loses_too_much(
    once, losses: list[str], lenet: Bundle, tmp_path: Path
) -> None:
    losses[:] = ["plain"]
    done = backbones.quantize(lenet, "digits", tmp_path / "small", num_images=30, max_loss=3)
    assert done.card.accuracy_control
    assert done.card.judged.loss.points <= 3
    assert "which also chose the layers kept" in done.to_text()


def test_a_network_that_loses_too_much_is_not_written(
    once, losses: list[str], lenet: Bundle, translated, tmp_path: Path, monkeypatch
) -> None:
    losses[:] = ["plain", "controlled"]
    names = list(graphs.layers_of(translated.graph, graphs.folded(translated.graph)))
    in_int8 = iter([set(names), set(names[1:])])  # the second time without the first layer
    monkeypatch.setattr(quantize, "layers_in_int8", lambda _: next(in_int8))
    with pytest.raises(QuantizationRefused, match=r"points .* hurt most in fp32 \(c1\)"):
        backbones.quantize(lenet, "digits", tmp_path / "small", num_images=30)
    assert list(tmp_path.iterdir()) == []


def test_what_one_image_is_worth_may_be_lost() -> None:
    judged = judging.Judged(
        judging.agreement_of(np.eye(2)[[0] * 50], np.eye(2)[[0] * 50]),
        judging.accuracy_loss(np.eye(2)[[0, 1]], np.eye(2)[[0, 1]], np.array([0, 1])),
    )
    made = quantize._Made(None, judged, 5, (), False)  # type: ignore[arg-type]
    assert quantize._allowed(made, QuantizationOptions()) == 2
    assert quantize._allowed(made, QuantizationOptions(max_loss_points=5)) == 5
    assert quantize._allowed(made, QuantizationOptions(max_loss_points=0)) == 0


def test_a_network_that_nncf_cannot_do_is_told_in_one_line(
    once, lenet: Bundle, tmp_path: Path, monkeypatch
) -> None:
    import nncf

    def fail(*_: object, **__: object) -> None:
        raise nncf.UnsupportedModelError("no such\noperation")

    monkeypatch.setattr(nncf, "quantize", fail)
    with pytest.raises(QuantizationRefused, match=r"cannot quantise .* \(no such operation\)"):
        backbones.quantize(lenet, "digits", tmp_path / "small", num_images=30)
    assert list(tmp_path.iterdir()) == []


# --- the command line -----------------------------------------------------------------------------


def test_the_command_writes_one_file_and_prints_its_card(
    once, command, lenet: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "small.safetensors"
    words = ("lenet5.digits", "digits", "-o", path, "--images", "30", "--max-loss", "5")
    answer = command("quantize", *words, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert (said["file"], said["bytes"]) == (str(path), path.stat().st_size)
    assert said["allowed_loss_points"] == 5
    assert list(tmp_path.iterdir()) == [path]
    assert [line for line in answer.err.splitlines() if "wrote" in line]
    answer = command("evaluate", path, "digits", "--split", "val", "--json")
    found = json.loads(answer.out)
    assert found["precision"] == "int8"
    assert found["top1_error_percent"] == pytest.approx(100 * (1 - said["top1_accuracy"]))
    for mistaken, said in (
        (("show", path), "is a network in int8, which answers"),
        (("evaluate", "lenet5.digits", "digits", "--precision", "int8"), "run `backbones quantize"),
    ):
        answer = command(*mistaken)
        assert len(answer.err.splitlines()) == 1
        assert said in answer.err
    answer = command("quantize", *words)
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "is there already" in answer.err


def test_a_refusal_is_one_line_and_exit_code_1(once, losses, command, tmp_path: Path) -> None:
    losses[:] = ["plain", "controlled"]
    words = ("lenet5.digits", "digits", "-o", tmp_path / "small", "--images", "30")
    answer = command("quantize", *words, "--quiet")
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert "points of top-1 accuracy are lost" in answer.err
    assert list(tmp_path.iterdir()) == []


# --- nobody is told -------------------------------------------------------------------------------

_SPY = """
import sys
import numpy as np
import openvino, openvino_telemetry
from openvino import opset15 as op

class Spy:
    def __init__(self, *_, **__): print("told")
    def __getattr__(self, name): print("told"); return lambda *_, **__: None

openvino_telemetry.Telemetry = Spy
from backbones.quantization.nncf_calls import Calibration, quantized

image = op.parameter([1, 3, 8, 8], np.float32)
weights = op.constant(np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32))
answer = op.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1])
graph = openvino.Model([answer], [image], "one")
items = [(np.ones((1, 3, 8, 8), np.float32), 0)] * 2
made = quantized(graph, Calibration(items, []))
print(sorted({node.get_type_name() for node in made.get_ops()}))
assert sys.modules["openvino_telemetry"] is openvino_telemetry
sys.modules["nncf"].telemetry.decorator.telemetry = Spy()  # as it is where others imported NNCF
quantized(graph, Calibration(items, []))
"""


def test_nncf_reports_to_nobody_and_prints_nothing() -> None:
    """Left alone it reports every call to its makers, unless the user has forbidden it."""
    pytest.importorskip("openvino_telemetry")
    command = [sys.executable, "-W", "ignore", "-c", _SPY]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "FakeQuantize" in found.stdout.splitlines()[0]
    assert found.stdout.splitlines()[1:] == ["told"]  # the spy itself was made
    assert found.stderr == ""


# --- wrong use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"out": "taken"}, WrongUse, "is there already"),
        ({"out": "taken/x"}, WrongUse, "cannot be written"),
        ({"out": "x.onnx"}, WrongUse, "a folder with two files"),
        ({"bundle": "other.onnx"}, WrongUse, "is an exported or quantised network"),
        ({"bundle": "nothing"}, NotFound, "no bundle"),
        ({"num_images": 4000}, WrongUse, r"1,295 images to calibrate on, and 4,000 were asked for"),
        ({"num_images": 0}, WrongUse, "expected at least 1"),
        ({"max_loss": -1}, WrongUse, "expected 0 to 100 points"),
        ({"data": "one.csv"}, WrongUse, "of one class"),
        ({"data": "unlabelled"}, BackbonesError, "no class|label"),
        ({"data": "strange"}, BadData, "only in the data"),
    ],
)
def test_wrong_use_is_told_before_any_work(
    lenet, tmp_path, monkeypatch, options, error, said
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file", encoding="utf-8")
    Path("other.onnx").write_bytes(b"")
    Path("strange").mkdir()
    images = sorted(_digits(Path("strange"), "xy", 8).rglob("*.png"))
    rows = [f"{path},{place % 2},train" for place, path in enumerate(images[:6])]
    rows += [f"{path},1,val" for path in images[6:]]
    Path("one.csv").write_text("\n".join(["path,label,split", *rows]), encoding="utf-8")
    Path("unlabelled").mkdir()
    for place in range(3):
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(f"unlabelled/{place}.png")
    before = sorted(tmp_path.rglob("*"))
    wanted = {"bundle": lenet, "data": "digits", "out": "small"} | options
    with pytest.raises(error, match=said) as caught:
        backbones.quantize(**wanted)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_library_is_told_with_its_extra(lenet, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(nncf_calls, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"nncf, .* 'classic-backbones\[quantize\]'"):
        backbones.quantize(lenet, "digits", tmp_path / "small")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "openvino"}, "name them with --data DATA, or run `backbones quantize"),
        ({"to": "onnx", "data": "digits"}, "say --to openvino"),
        ({"to": "openvino", "data": "digits", "dense": True}, "exported in fp32 only"),
        ({"precision": "fp32", "data": "digits"}, "belongs to --precision int8"),
        ({"precision": "bf16"}, "exported in fp32 or int8"),
    ],
)
def test_export_in_int8_needs_images_and_openvino(lenet, tmp_path, options, said) -> None:
    wanted = {"precision": "int8"} | options
    with pytest.raises(WrongUse, match=said):
        backbones.export(lenet, tmp_path / "small", **wanted)
    assert list(tmp_path.iterdir()) == []


def test_without_openvino_too_it_is_the_extra_that_brings_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "backbones.quantization.quantize", None)  # needs OpenVINO
    monkeypatch.setattr(nncf_calls, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"classic-backbones\[quantize\]"):
        backbones.quantize("lenet5.digits", "digits", tmp_path / "small")
    assert not (tmp_path / "small").exists()
