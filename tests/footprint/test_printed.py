"""`memory --explain`: the figures that are printed for VGG-16, added up anew."""

from __future__ import annotations

import backbones as package


def test_the_figures_of_vgg16_by_hand() -> None:
    convolutions = sum(
        channels * side * side * times
        for channels, side, times in (
            *((64, 224, 2), (128, 112, 2), (256, 56, 3), (512, 28, 3), (512, 14, 3)),
        )
    )
    poolings = sum(
        channels * side * side
        for channels, side in ((64, 112), (128, 56), (256, 28), (512, 14), (512, 7))
    )
    found = package.memory("vgg16")
    by_hand = 3 * 224 * 224 + convolutions + poolings + 4096 + 4096 + 1000
    assert found.figures.outputs_by_hand == by_hand == 15_237_608
    assert found.figures.parameters == 138_357_544
    assert found.figures.every_output * 4 * 2 / 2**20 == found.torchsummary.passes_mib
    lines = found.explain().splitlines()
    assert "outputs, by hand      15,237,608    58.1 MiB" in lines
    assert "torchsummary total                747.15 MiB" in lines
    assert "61.0 MB" in lines[-1]  # 4 * 15,237,608 bytes
    assert found.to_json()["printed"]["outputs_by_hand"] == by_hand
