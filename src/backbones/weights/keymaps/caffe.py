"""The VGG authors' own networks, from Caffe: the first convolution sees blue, green, red."""

from __future__ import annotations

from backbones.weights.keymaps.rules import KeyMap, Rule, Turn

# Where the convolutions of each group stand in the sequence of layers (columns D and E).
VGG16_FEATURES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
VGG19_FEATURES = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34))
_FULLY_CONNECTED = (("fc6", 0), ("fc7", 3), ("fc8", 6))


def _layer_names(features: tuple[tuple[int, ...], ...]) -> tuple[Rule, ...]:
    """Caffe's own names of the layers, such as conv1_2 and fc6."""
    rules = []
    for group, places in enumerate(features, 1):
        for number, place in enumerate(places, 1):
            turn: Turn = "bgr" if place == 0 else ""
            theirs, ours = f"conv{group}_{number}", f"features.{place}"
            rules.append(Rule(f"{theirs}.weight", f"{ours}.weight", turn))
            rules.append(Rule(f"{theirs}.bias", f"{ours}.bias"))
    for layer, place in _FULLY_CONNECTED:
        rules.append(Rule(layer + ".{what}", f"classifier.{place}." + "{what}"))
    return tuple(rules)


KEYMAPS = (
    KeyMap(
        "caffe_vgg",
        "VGG 16 and 19 as jcjohnson/pytorch-vgg converted them",
        (
            Rule("features.0.weight", "features.0.weight", "bgr"),
            Rule("classifier.1.{what}", "classifier.0.{what}"),
            Rule("classifier.4.{what}", "classifier.3.{what}"),
        ),
    ),
    KeyMap("caffe_vgg16_layers", "VGG 16 under Caffe's names", _layer_names(VGG16_FEATURES)),
    KeyMap("caffe_vgg19_layers", "VGG 19 under Caffe's names", _layer_names(VGG19_FEATURES)),
)
