"""Checkpoints that keep torchvision's names but for a few."""

from __future__ import annotations

from backbones.weights.keymaps.rules import KeyMap, Rule

KEYMAPS = (
    KeyMap(
        "torchvision_densenet",
        "torchvision's DenseNet files, written before a dot was forbidden in a module's name",
        (
            Rule("{rest}.denselayer{l}.norm.{n}.{what}", "{rest}.denselayer{l}.norm{n}.{what}"),
            Rule("{rest}.denselayer{l}.conv.{n}.{what}", "{rest}.denselayer{l}.conv{n}.{what}"),
        ),
    ),
    KeyMap(
        "auxiliary_heads",
        "GoogLeNet and Inception v3, where the file or the network has no auxiliary heads",
        optional=("aux1.", "aux2.", "AuxLogits."),
    ),
    KeyMap(
        "akamaster_resnet",
        "the CIFAR ResNets of akamaster/pytorch_resnet_cifar10",
        (Rule("linear.{what}", "fc.{what}"),),
    ),
)
