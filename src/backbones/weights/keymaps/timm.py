"""timm's names, where they are not torchvision's."""

from __future__ import annotations

from backbones.weights.keymaps.rules import KeyMap, Rule

# Blocks in each stage of MobileNet v2 (Table 2 of arXiv:1801.04381).
_MOBILENET_V2_STAGES = (1, 2, 3, 4, 3, 3, 1)


def _efficientnet() -> tuple[Rule, ...]:
    """Stages 1 to 7 of MBConv blocks; those of the first stage have no expansion."""
    first, ours_first = "blocks.0.{i}", "features.1.{i}.block"
    block, ours = "blocks.{s}.{i}", "features.{s+1}.{i}.block"
    return (
        Rule("conv_stem.{what}", "features.0.0.{what}"),
        Rule("bn1.{what}", "features.0.1.{what}"),
        Rule(first + ".conv_dw.{what}", ours_first + ".0.0.{what}"),
        Rule(first + ".bn1.{what}", ours_first + ".0.1.{what}"),
        Rule(first + ".se.conv_reduce.{what}", ours_first + ".1.fc1.{what}"),
        Rule(first + ".se.conv_expand.{what}", ours_first + ".1.fc2.{what}"),
        Rule(first + ".conv_pw.{what}", ours_first + ".2.0.{what}"),
        Rule(first + ".bn2.{what}", ours_first + ".2.1.{what}"),
        Rule(block + ".conv_pw.{what}", ours + ".0.0.{what}"),
        Rule(block + ".bn1.{what}", ours + ".0.1.{what}"),
        Rule(block + ".conv_dw.{what}", ours + ".1.0.{what}"),
        Rule(block + ".bn2.{what}", ours + ".1.1.{what}"),
        Rule(block + ".se.conv_reduce.{what}", ours + ".2.fc1.{what}"),
        Rule(block + ".se.conv_expand.{what}", ours + ".2.fc2.{what}"),
        Rule(block + ".conv_pwl.{what}", ours + ".3.0.{what}"),
        Rule(block + ".bn3.{what}", ours + ".3.1.{what}"),
        Rule("conv_head.{what}", "features.8.0.{what}"),
        Rule("bn2.{what}", "features.8.1.{what}"),
        Rule("classifier.{what}", "classifier.1.{what}"),
    )


def _mobilenet_v2() -> tuple[Rule, ...]:
    """timm counts stages and blocks, torchvision counts blocks from 1 to 17."""
    rules = [
        Rule("conv_stem.{what}", "features.0.0.{what}"),
        Rule("bn1.{what}", "features.0.1.{what}"),
        Rule("blocks.0.0.conv_dw.{what}", "features.1.conv.0.0.{what}"),
        Rule("blocks.0.0.bn1.{what}", "features.1.conv.0.1.{what}"),
        Rule("blocks.0.0.conv_pw.{what}", "features.1.conv.1.{what}"),
        Rule("blocks.0.0.bn2.{what}", "features.1.conv.2.{what}"),
        Rule("conv_head.{what}", "features.18.0.{what}"),
        Rule("bn2.{what}", "features.18.1.{what}"),
        Rule("classifier.{what}", "classifier.1.{what}"),
    ]
    places = [
        (stage, block) for stage, count in enumerate(_MOBILENET_V2_STAGES) for block in range(count)
    ]
    for number, (stage, block) in enumerate(places, 1):
        if stage > 0:
            theirs, ours = f"blocks.{stage}.{block}", f"features.{number}.conv"
            rules += [
                Rule(theirs + ".conv_pw.{what}", ours + ".0.0.{what}"),
                Rule(theirs + ".bn1.{what}", ours + ".0.1.{what}"),
                Rule(theirs + ".conv_dw.{what}", ours + ".1.0.{what}"),
                Rule(theirs + ".bn2.{what}", ours + ".1.1.{what}"),
                Rule(theirs + ".conv_pwl.{what}", ours + ".2.{what}"),
                Rule(theirs + ".bn3.{what}", ours + ".3.{what}"),
            ]
    return tuple(rules)


KEYMAPS = (
    KeyMap(
        "timm_vgg",
        "timm's VGGs, whose fully connected layers are convolutions",
        (
            Rule("pre_logits.fc1.weight", "classifier.0.weight", "oihw"),
            Rule("pre_logits.fc1.bias", "classifier.0.bias"),
            Rule("pre_logits.fc2.weight", "classifier.3.weight", "oi11"),
            Rule("pre_logits.fc2.bias", "classifier.3.bias"),
            Rule("head.fc.{what}", "classifier.6.{what}"),
        ),
    ),
    KeyMap("timm_efficientnet", "timm's EfficientNets of either padding", _efficientnet()),
    KeyMap("timm_mobilenet_v2", "timm's MobileNet v2", _mobilenet_v2()),
)
