"""Networks of keras.applications: kernels lie channels last. Names are `layer/kernel` and so on."""

from __future__ import annotations

from backbones.weights.keymaps.caffe import VGG16_FEATURES, VGG19_FEATURES
from backbones.weights.keymaps.rules import KeyMap, Rule, Turn

# Blocks in each stage of MobileNet v1 (Table 1 of arXiv:1704.04861), as timm counts them.
_MOBILENET_V1_STAGES = (1, 2, 2, 6, 2)


def _batch_norm(theirs: str, ours: str) -> tuple[Rule, ...]:
    return (
        Rule(f"{theirs}/gamma", f"{ours}.weight"),
        Rule(f"{theirs}/beta", f"{ours}.bias"),
        Rule(f"{theirs}/moving_mean", f"{ours}.running_mean"),
        Rule(f"{theirs}/moving_variance", f"{ours}.running_var"),
    )


def _mobilenet_v1() -> tuple[Rule, ...]:
    """Keras counts the 13 blocks, timm stages and blocks in them."""
    rules = [
        Rule("conv1/kernel", "conv_stem.weight", "hwio"),
        *_batch_norm("conv1_bn", "bn1"),
        Rule("conv_preds/kernel", "classifier.weight", "11io"),
        Rule("conv_preds/bias", "classifier.bias"),
    ]
    places = [
        (stage, block) for stage, count in enumerate(_MOBILENET_V1_STAGES) for block in range(count)
    ]
    for number, (stage, block) in enumerate(places, 1):
        ours = f"blocks.{stage}.{block}"
        rules += [
            Rule(f"conv_dw_{number}/depthwise_kernel", f"{ours}.conv_dw.weight", "hwc1"),
            *_batch_norm(f"conv_dw_{number}_bn", f"{ours}.bn1"),
            Rule(f"conv_pw_{number}/kernel", f"{ours}.conv_pw.weight", "hwio"),
            *_batch_norm(f"conv_pw_{number}_bn", f"{ours}.bn2"),
        ]
    return tuple(rules)


def _vgg(features: tuple[tuple[int, ...], ...]) -> tuple[Rule, ...]:
    """From Caffe as well, so the first convolution sees blue, green, red."""
    rules = []
    for group, places in enumerate(features, 1):
        for number, place in enumerate(places, 1):
            turn: Turn = "hwio_bgr" if place == 0 else "hwio"
            layer = f"block{group}_conv{number}"
            rules.append(Rule(f"{layer}/kernel", f"features.{place}.weight", turn))
            rules.append(Rule(f"{layer}/bias", f"features.{place}.bias"))
    rules += [
        Rule("fc1/kernel", "classifier.0.weight", "hwc_o"),
        Rule("fc1/bias", "classifier.0.bias"),
        Rule("fc2/kernel", "classifier.3.weight", "io"),
        Rule("fc2/bias", "classifier.3.bias"),
        Rule("predictions/kernel", "classifier.6.weight", "io"),
        Rule("predictions/bias", "classifier.6.bias"),
    ]
    return tuple(rules)


KEYMAPS = (
    KeyMap("keras_mobilenet_v1", "Keras' MobileNet v1 of any width", _mobilenet_v1()),
    KeyMap("keras_vgg16", "Keras' VGG 16", _vgg(VGG16_FEATURES)),
    KeyMap("keras_vgg19", "Keras' VGG 19", _vgg(VGG19_FEATURES)),
)
