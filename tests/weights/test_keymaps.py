"""Key maps lead there and back, and the numbers mean the same on both sides."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import BadWeights
from backbones.models import build
from backbones.weights.files import read_state
from backbones.weights.fit import read_as
from backbones.weights.keymaps import KEYMAPS
from backbones.weights.keymaps.rules import _TURNS, KeyMap, Rule

# A shape of theirs for each turn; the map that "hwc_o" and "oihw" speak of is 7 x 7.
SHAPES = {
    "": (2, 3),
    "bgr": (4, 3, 3, 3),
    "hwio": (3, 3, 5, 4),
    "hwio_bgr": (3, 3, 3, 4),
    "hwc1": (3, 3, 5, 1),
    "11io": (1, 1, 5, 4),
    "io": (5, 4),
    "hwc_o": (7 * 7 * 2, 4),
    "oihw": (4, 2, 7, 7),
    "oi11": (4, 5, 1, 1),
}


def numbered(*shape: int) -> Tensor:
    return torch.arange(float(np.prod(shape))).reshape(shape)


def test_every_turn_leads_there_and_back() -> None:
    assert SHAPES.keys() == _TURNS.keys()
    for turn, (there, back) in _TURNS.items():
        theirs = numbered(*SHAPES[turn])
        assert torch.equal(back(there(theirs)), theirs), turn
        assert there(theirs).shape == there(back(there(theirs))).shape


def test_a_kernel_of_channels_last_convolves_alike() -> None:
    image, kernel = torch.randn(1, 5, 6, 3), torch.randn(3, 3, 3, 4)  # NHWC, HWIO
    direct = torch.zeros(1, 3, 4, 4)
    for row in range(3):
        for column in range(4):
            window = image[0, row : row + 3, column : column + 3]
            direct[0, row, column] = torch.einsum("hwi,hwio->o", window, kernel)
    ours = F.conv2d(image.permute(0, 3, 1, 2), _TURNS["hwio"][0](kernel))
    torch.testing.assert_close(ours.permute(0, 2, 3, 1), direct)
    blue_first = F.conv2d(image.permute(0, 3, 1, 2).flip(1), _TURNS["hwio_bgr"][0](kernel))
    torch.testing.assert_close(blue_first.permute(0, 2, 3, 1), direct)


def test_a_depthwise_kernel_of_channels_last_convolves_alike() -> None:
    image, kernel = torch.randn(5, 6, 4), torch.randn(3, 3, 4, 1)  # HWC, HWC1
    direct = torch.stack(
        [
            torch.stack(
                [(image[r : r + 3, c : c + 3] * kernel[..., 0]).sum((0, 1)) for c in range(4)]
            )
            for r in range(3)
        ]
    )
    ours = F.conv2d(image.permute(2, 0, 1)[None], _TURNS["hwc1"][0](kernel), groups=4)
    torch.testing.assert_close(ours[0].permute(1, 2, 0), direct)


def test_fully_connected_layers_see_the_same_map() -> None:
    features = torch.randn(2, 3, 7, 7)
    kernel = torch.randn(7 * 7 * 3, 5)
    channels_last = features.permute(0, 2, 3, 1).flatten(1) @ kernel
    torch.testing.assert_close(features.flatten(1) @ _TURNS["hwc_o"][0](kernel).t(), channels_last)
    convolution = torch.randn(5, 3, 7, 7)
    torch.testing.assert_close(
        features.flatten(1) @ _TURNS["oihw"][0](convolution).t(),
        F.conv2d(features, convolution).flatten(1),
    )


def test_patterns() -> None:
    keymap = KeyMap(
        "k",
        "",
        (
            Rule("stem.{what}", "features.0.{what}"),
            Rule("s.{s}.b.{b}.{rest}", "features.{s+1}.{b}.{rest}"),
        ),
    )
    assert keymap.our_name("s.0.b.12.conv.weight") == "features.1.12.conv.weight"
    assert keymap.their_name("features.1.12.conv.weight") == "s.0.b.12.conv.weight"
    assert keymap.our_name("stem.weight") == "features.0.weight"
    assert keymap.their_name("features.0.weight") == "stem.weight"
    assert keymap.our_name("stemxweight") == "stemxweight"  # the dot is a dot
    assert keymap.their_name("features.0.1.conv.weight") == "features.0.1.conv.weight"


def meta_state(make: object, **arguments: object) -> dict[str, Tensor]:
    with torch.device("meta"):
        return make(**arguments).state_dict()


def there_and_back(keymap: KeyMap, theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> None:
    """The map leads from one network's names and shapes to the other's, and back."""
    moved = keymap.to_ours(theirs)
    shapes = [{n: tuple(t.shape) for n, t in s.items()} for s in (moved, ours, theirs)]
    assert shapes[0] == shapes[1]
    back = {n: tuple(t.shape) for n, t in keymap.to_theirs(moved).items()}
    assert back == shapes[2]


@pytest.mark.parametrize("phi", range(8))
def test_names_of_timm_s_efficientnets(timm: ModuleType, torchvision: ModuleType, phi: int) -> None:
    name = f"efficientnet_b{phi}"
    ours = meta_state(getattr(torchvision.models, name))
    for theirs in (name, f"tf_{name}"):
        there_and_back(
            KEYMAPS["timm_efficientnet"], meta_state(timm.create_model, model_name=theirs), ours
        )


@pytest.mark.parametrize(
    ("theirs", "ours", "keymap"),
    [
        ("efficientnet_b0", "efficientnet_b0", "timm_efficientnet"),
        ("mobilenetv2_100", "mobilenet_v2", "timm_mobilenet_v2"),
    ],
)
def test_timm_s_weights_answer_alike_in_torchvision_s_network(
    timm: ModuleType, torchvision: ModuleType, theirs: str, ours: str, keymap: str
) -> None:
    torch.manual_seed(0)
    one = timm.create_model(theirs).eval()
    shake(one)
    other = getattr(torchvision.models, ours)().eval()
    other.load_state_dict(KEYMAPS[keymap].to_ours(one.state_dict()), strict=True)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(other(image), one(image), rtol=1e-4, atol=1e-5)


def shake(network: nn.Module) -> None:
    """Statistics and scales that differ from one another, so that a wrong name shows."""
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
        elif name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5)


def test_timm_s_vgg_answers_alike_in_ours(timm: ModuleType) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("vgg11", num_classes=10).eval()
    with torch.device("meta"):
        ours = build("vgg11", 10).eval()
    reading = read_as(ours.state_dict(), theirs.state_dict())
    assert reading.keymap == "timm_vgg"
    state = reading.state
    ours.load_state_dict(state, strict=True, assign=True)
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(image), theirs(image), rtol=1e-4, atol=1e-5)
    back = KEYMAPS["timm_vgg"].to_theirs(state)
    assert all(torch.equal(tensor, back[name]) for name, tensor in theirs.state_dict().items())


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn", "vgg16", "vgg19_bn"])
def test_names_of_timm_s_vggs(timm: ModuleType, name: str) -> None:
    there_and_back(
        KEYMAPS["timm_vgg"],
        meta_state(timm.create_model, model_name=name),
        meta_state(build, name=name),
    )


def test_densenet_s_old_names(torchvision: ModuleType) -> None:
    ours = meta_state(torchvision.models.densenet121)
    keymap = KEYMAPS["torchvision_densenet"]
    old = keymap.to_theirs(ours)
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert "features.denseblock4.denselayer16.conv.2.weight" in old
    assert "features.transition1.norm.weight" in old
    there_and_back(keymap, old, ours)
    assert keymap.to_ours(ours).keys() == ours.keys()  # a file with today's names fits too


def test_auxiliary_heads_are_left_out_where_the_network_has_none(torchvision: ModuleType) -> None:
    models = torchvision.models
    file = meta_state(models.googlenet, init_weights=False, aux_logits=True)
    plain = meta_state(models.googlenet, init_weights=False, aux_logits=False)
    for network, number in ((plain, 0), (file, 2)):
        reading = read_as(network, file, "auxiliary_heads")
        assert reading.keymap == "auxiliary_heads"
        state = reading.state
        assert state.keys() == network.keys()
        assert len({n.partition(".")[0] for n in state if n.startswith("aux")}) == number


@pytest.mark.parametrize("depth", [16, 19])
def test_caffe_s_vgg(depth: int) -> None:
    ours = meta_state(build, name=f"vgg{depth}")
    for name in (f"caffe_vgg{depth}_layers", "caffe_vgg", f"keras_vgg{depth}"):
        theirs = KEYMAPS[name].to_theirs(ours)
        there_and_back(KEYMAPS[name], theirs, ours)
        if not name.startswith("keras"):
            assert read_as(ours, theirs).keymap == name
    layers = KEYMAPS[f"caffe_vgg{depth}_layers"].to_theirs(ours)
    assert {"conv1_1.weight", "conv5_3.bias", "fc6.weight", "fc8.bias"} < layers.keys()
    assert len(layers) == 2 * depth
    keras = KEYMAPS[f"keras_vgg{depth}"].to_theirs(ours)
    assert tuple(keras["block1_conv1/kernel"].shape) == (3, 3, 3, 64)
    assert tuple(keras["fc1/kernel"].shape) == (25088, 4096)
    assert "predictions/bias" in keras


def test_blue_green_red_is_turned_once() -> None:
    network = build("vgg_tiny", seed=0).eval()
    theirs = KEYMAPS["caffe_vgg"].to_theirs(network.state_dict())
    image = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(
        F.conv2d(image.flip(1), theirs["features.0.weight"], padding=1),
        F.conv2d(image, network.features[0].weight, padding=1),
    )
    again = KEYMAPS["caffe_vgg"].to_ours(theirs)
    assert torch.equal(again["features.0.weight"], network.features[0].weight)


def test_keras_mobilenet_from_an_npz(tmp_path: Path) -> None:
    """Laid out as Keras does and written as NumPy does, weights come back bit for bit."""
    network = build("mobilenet_v1_075", seed=0)
    shake(network)
    ours = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    keymap = KEYMAPS["keras_mobilenet_v1"]
    theirs = keymap.to_theirs(ours)
    assert tuple(theirs["conv1/kernel"].shape) == (3, 3, 3, 24)
    assert tuple(theirs["conv_dw_1/depthwise_kernel"].shape) == (3, 3, 24, 1)
    assert tuple(theirs["conv_pw_13/kernel"].shape) == (1, 1, 768, 768)
    assert tuple(theirs["conv_preds/kernel"].shape) == (1, 1, 768, 1000)
    assert {"conv_pw_13_bn/moving_variance", "conv1_bn/gamma", "conv_preds/bias"} < theirs.keys()
    assert not any("." in name for name in theirs)
    arrays = {f"{n.split('/')[0]}/{n}:0": t.numpy() for n, t in theirs.items()}
    np.savez(tmp_path / "keras.npz", **arrays)
    reading = read_as(ours, read_state(tmp_path / "keras.npz"))
    assert reading.keymap == "keras_mobilenet_v1"
    state = reading.state
    assert state.keys() == ours.keys()
    assert all(torch.equal(state[name], ours[name]) for name in ours)


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_akamaster_s_resnets(depth: int) -> None:
    ours = meta_state(build, name=f"resnet{depth}_cifar")
    theirs = KEYMAPS["akamaster_resnet"].to_theirs(ours)
    assert tuple(theirs["linear.weight"].shape) == (10, 64)
    assert {"conv1.weight", "layer1.0.conv1.weight", "linear.bias"} < theirs.keys()
    assert sum(name.endswith(".weight") and t.dim() > 1 for name, t in theirs.items()) == depth
    there_and_back(KEYMAPS["akamaster_resnet"], theirs, ours)
    assert read_as(ours, theirs).keymap == "akamaster_resnet"


def test_no_two_maps_claim_the_same_file(timm: ModuleType) -> None:
    """Where the map has to be found by the names, only one may fit."""
    for network in ("vgg16", "vgg19"):
        ours = meta_state(build, name=network)
        for keymap in KEYMAPS.values():
            theirs = keymap.to_theirs(ours)
            fitting = [
                other.name
                for other in KEYMAPS.values()
                if {other.our_name(name) for name in theirs} == ours.keys()
            ]
            assert theirs.keys() == ours.keys() or fitting == [keymap.name]


def test_a_tensor_of_other_dimensions_is_refused() -> None:
    own = meta_state(build, name="vgg16")
    wrong = {**KEYMAPS["keras_vgg16"].to_theirs(own), "fc2/kernel": torch.zeros(3)}
    wrong["block1_conv1/kernel"] = torch.zeros(3)
    with pytest.raises(BadWeights, match="these weights are not Keras' VGG 16"):
        read_as(own, wrong, "keras_vgg16")
