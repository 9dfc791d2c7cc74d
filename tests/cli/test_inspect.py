"""`backbones inspect`, as scripts and people use it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

NETS = '''
import torch
from torch import nn
from torch.nn import functional as F


class Odd(nn.Module):
    """Functions outside layers, and a parameter that belongs to no layer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.scale = nn.Parameter(torch.ones(4, 1, 1), requires_grad=False)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.weight, stride=2) * self.scale)
        return self.head(x.mean((2, 3)))


class Looks(nn.Module):
    """Its way depends on the numbers that it sees."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return y if y.mean().item() > 1e9 else y.relu()


def odd():
    return Odd()


def looks():
    return Looks()


def traced():
    return nn.Sequential(torch.jit.trace(nn.Conv2d(3, 4, 3), torch.ones(1, 3, 8, 8)), nn.ReLU())


def wrong():
    return 7


def broken():
    raise KeyError("stem")
'''


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(NETS, encoding="utf-8")
    return path


def test_json_has_the_names_that_scripts_rely_on(backbones) -> None:
    answer = backbones("inspect", "vgg16", "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert (found["name"], found["input"]) == ("vgg16", [3, 224, 224])
    assert (found["params"], found["macs"]) == (138_357_544, 15_470_264_320)
    layers = {layer["paper_name"]: layer for layer in found["layers"]}
    conv = layers["conv3_3"]
    assert (conv["name"], conv["type"], conv["output_shape"]) == (
        "features.14",
        "Conv2d",
        [256, 56, 56],
    )
    assert (conv["params"], conv["macs"]) == (590_080, 1_849_688_064)
    assert (conv["receptive_field"], conv["jump"], conv["start"]) == ([40, 40], [4, 4], [2.0, 2.0])
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]
    assert sum(stage["params"] for stage in found["stages"]) == found["params"]
    assert any("15.3 G" in note and "convolutions only (15.35 G" in note for note in found["notes"])


def test_text_csv_and_markdown_tell_the_same(backbones) -> None:
    text = backbones("inspect", "vgg16").out
    assert "conv3_3" in text
    assert "1,849,688,064" in text
    assert "FlopCounterMode" in text
    rows = list(csv.DictReader(io.StringIO(backbones("inspect", "vgg16", "--csv").out)))
    assert [row["receptive_field_height"] for row in rows if row["paper_name"] == "pool5"] == [
        "212"
    ]
    table = backbones("inspect", "vgg16", "--markdown").out
    assert "| features.14 | conv3_3 | Conv2d | 3x3 pad 1 | 256x56x56 | 590,080 |" in table
    assert backbones("inspect", "vgg16", "--csv", "--json").code == 2


def test_input_batch_and_depth(backbones) -> None:
    one = json.loads(backbones("inspect", "resnet18", "--json").out)
    four = json.loads(backbones("inspect", "resnet18", "--batch", "4", "--json").out)
    assert four["macs"] == 4 * one["macs"]
    assert four["activation_bytes"] == 4 * one["activation_bytes"]
    wide = json.loads(backbones("inspect", "resnet18", "--input", "3,224,448", "--json").out)
    assert wide["layers"][0]["output_shape"] == [64, 112, 224]
    folded = json.loads(backbones("inspect", "resnet18", "--depth", "1", "--json").out)["layers"]
    assert [row["name"] for row in folded if row["name"].startswith("layer")] == [
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    ]
    assert sum(row["macs"] for row in folded) == one["macs"]


def test_functions_outside_layers(backbones) -> None:
    plain = json.loads(backbones("inspect", "resnet_tiny", "--json").out)["layers"]
    every = json.loads(backbones("inspect", "resnet_tiny", "--functions", "--json").out)["layers"]
    assert not any(":" in row["name"] for row in plain)
    assert "layer1.0:add" in [row["name"] for row in every]


def test_a_network_of_ones_own(backbones, nets: Path) -> None:
    found = json.loads(
        backbones("inspect", f"{nets}:odd", "--input", "3,9,9", "--json", "--functions").out
    )
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert (found["params"], found["trainable"]) == (4 * 27 + 4 + 10, 4 * 27 + 10)
    assert layers[":conv2d"]["macs"] == 4 * 4 * 4 * 27
    assert (layers[":conv2d"]["params"], layers[":mul"]["params"]) == (4 * 27, 4)
    assert found["training_only_params"] == found["idle_params"] == 0
    assert layers[":conv2d"]["receptive_field"] == [3, 3]
    assert layers["head"]["receptive_field"] == [9, 9]
    assert found["macs"] == 4 * 4 * 4 * 27 + 8


def test_what_needs_numbers_gets_them_and_says_so(backbones, nets: Path) -> None:
    found = json.loads(backbones("inspect", f"{nets}:looks", "--input", "3,9,9", "--json").out)
    assert found["macs"] == 4 * 49 * 27
    assert "numbers were computed" in found["notes"][0]


@pytest.mark.our_rounding
@pytest.mark.parametrize("verb", ["inspect", "memory", "draw"])
def test_what_hides_its_layers_is_told(backbones, nets: Path, recwarn, verb: str) -> None:
    out = ["-o", nets.with_suffix(".svg")] if verb == "draw" else []
    answer = backbones(verb, f"{nets}:traced", "--input", "3,8,8", *out)
    recwarn.clear()  # torch warns that this form is old
    assert answer.code == 2
    assert "its part 0 is a TorchScript module" in answer.err
    assert answer.err.count("\n") == 1


def test_what_needs_numbers_can_be_drawn(backbones, nets: Path, tmp_path: Path) -> None:
    out = tmp_path / "looks.svg"
    assert backbones("draw", f"{nets}:looks", "--input", "3,9,9", "-o", out).code == 0
    assert out.exists()


def test_a_file_of_networks_is_run_once(backbones, nets: Path) -> None:
    """Whatever it registers with PyTorch can be registered only once."""
    register = 'assert not hasattr(torch, "seen_once"), "run twice"\ntorch.seen_once = 1\n'
    nets.write_text(NETS + register, encoding="utf-8")
    assert backbones("inspect", f"{nets}:looks", "--input", "3,9,9").code == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("vg16", "Did you mean vgg16"),
        ("{nets}:od", "Did you mean odd"),
        ("{nets}:wrong", "gave int, expected an nn.Module"),
        ("{nets}:broken", 'nets.py:50 `raise KeyError("stem")`: KeyError'),
        ("nothing.py:build", "there is no file nothing.py"),
        ("nothing_at_all:build", "there is no module"),
    ],
)
def test_unknown_networks(backbones, nets: Path, name: str, told: str) -> None:
    answer = backbones("inspect", name.format(nets=nets))
    assert answer.code == 2
    assert told in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "3,224"], "expected"),
        (["--input", "three"], "expected C,H,W"),
        (["--input", "3,16,16"], "expected at least 32x32"),
        (["--input", "0,224,224"], "at least 1"),
        (["--at", "conv9,1,1"], "Did you mean conv"),
        (["--at", "conv5_3"], "expected LAYER,Y,X"),
        (["--layer", "conv5_3"], "add --at Y,X"),
        (["--at", "conv5_3,99,0"], "its map has 14"),
        (["--draw", "x.jpg"], "--at LAYER,Y,X"),
    ],
)
def test_wrong_use(backbones, arguments: list[str], told: str) -> None:
    answer = backbones("inspect", "vgg16", *arguments)
    assert answer.code == 2
    assert told in answer.err
    assert answer.err.count("\n") == 1


def test_what_a_unit_sees(backbones, tmp_path: Path) -> None:
    answer = backbones("inspect", "vgg16", "--at", "conv5_3,7,7")
    assert "rows 22 to 217 and columns 22 to 217" in answer.out
    corner = json.loads(backbones("inspect", "vgg16", "--layer=conv5_3", "--at=0,0", "--json").out)
    assert (corner["top"], corner["left"], corner["bottom"], corner["right"]) == (0, 0, 106, 106)
    photo, out = tmp_path / "photo.png", tmp_path / "new" / "seen.png"
    Image.new("RGB", (300, 260), (200, 80, 40)).save(photo)
    answer = backbones("inspect", "vgg16", "--at", "conv3_3,28,28", "--draw", photo, "-o", out)
    assert answer.code == 0
    with Image.open(out) as image:
        pixels = image.convert("RGB")
    top, bottom = 2 * (28 * 4 + 2 - 20), 2 * (28 * 4 + 2 + 20)  # the image is doubled
    assert pixels.getpixel((top + 10, bottom - 10)) == (200, 80, 40)
    assert pixels.getpixel((top - 5, bottom + 5)) == (70, 28, 14)
    assert (
        backbones("inspect", "vgg16", "--at", "conv3_3,0,0", "--draw", photo, "-o", "x.txt").code
        == 2
    )
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    answer = backbones("inspect", "vgg16", "--at", "conv3_3,0,0", "--draw", broken, "-o", out)
    assert answer.code == 1
    assert answer.err.count("\n") == 1


def test_memory_of_a_network(backbones, nets: Path) -> None:
    answer = backbones("memory", "vgg16", "--batch", "2", "--budget", "4GiB", "--json")
    assert answer.code == 0
    found = json.loads(answer.out)
    assert found["training"]["gradients"] == 4 * 138_357_544
    assert found["training"]["optimizer_state"] == 4 * 138_357_544
    assert found["evaluation"]["activations"] == 2 * 2 * 64 * 224 * 224 * 4
    assert found["largest_batch"]["evaluation"] > found["largest_batch"]["training"] > 0
    plain = json.loads(backbones("memory", "vgg16", "--optimizer", "sgd", "--json").out)
    assert plain["training"]["optimizer_state"] == 0
    text = backbones("inspect", "vgg16", "--memory", "--depth", "1").out
    for figure in ("0.57", "218.78", "527.79", "747.15"):
        assert figure in text, "the tutorials' sum"
    assert backbones("memory", f"{nets}:odd", "--input", "3,9,9").code == 0
    assert backbones("memory", "vgg16", "--budget", "8 x").code == 2
    assert "is not a size" in backbones("memory", "vgg16", "--budget", "8 x").err
    assert backbones("memory", "vgg16", "--optimizer", "sdg").code == 2
    small = json.loads(backbones("memory", "vgg16", "--budget", "1MB", "--json").out)
    assert small["largest_batch"] == {"evaluation": 0, "training": 0}


def test_sums_by_hand_are_told_and_refuses_what_they_do_not_go_with(backbones) -> None:
    answer = backbones("inspect", "lenet5", "--explain", "--explain-field")
    assert answer.code == 0
    assert "5*5*1*6 + 6 = 156" in answer.out
    assert "r = 1 + (5-1)*1 = 5" in answer.out
    answer = backbones("inspect", "lenet5", "--explain", "--explain-field", "--json")
    found = json.loads(answer.out)
    assert found["formulas"][0]["params"] == 156
    assert found["field_steps"][0]["formula"] == "r = 1 + (5-1)*1 = 5"
    answer = backbones("inspect", "lenet5", "--explain", "--csv")
    assert answer.code == 2
    assert "--explain" in answer.err


def test_memory_explains_its_figures(backbones) -> None:
    answer = backbones("memory", "lenet5", "--explain")
    assert answer.code == 0
    assert "lenet5: which figure is which" in answer.out
    assert "note:" not in answer.out
