"""A network's drawing on the page: what of it is a layer, and the numbers of one."""

from __future__ import annotations

import math

import pytest

import backbones
from backbones.serving.drawing import drawing_of


@pytest.mark.parametrize("variant", ["vgg_tiny", "googlenet_tiny", "densenet_tiny"])
def test_boxes_are_layers_with_maps_and_lie_on_the_drawing(variant: str) -> None:
    network = backbones.create(variant)
    found = backbones.inspect(network)
    drawn = drawing_of(network, found)
    assert "<svg" in drawn["svg"]
    assert len({each["layer"] for each in drawn["boxes"]}) > 5
    for each in drawn["boxes"]:
        assert len(found.layer(each["layer"]).output) == 3
        left, top, width, height = each["box"]
        assert 0 <= left < left + width <= drawn["size"][0]
        assert 0 <= top < top + height <= drawn["size"][1]


def test_a_layer_s_formula_is_its_number_of_parameters(serving, bundle) -> None:
    ask = serving({"tiny": str(bundle), "two": ["lenet5.digits", "lenet5.digits"]})
    listed = ask("GET", "/layers").json()["layers"]
    for each in listed:
        parts = filter(None, each["formula"].split(" + "))
        assert sum(math.prod(map(int, part.split("×"))) for part in parts) == each["params"]
    pressed = {each["layer"] for each in ask("GET", "/drawing").json()["boxes"]}
    assert pressed
    assert pressed <= {each["layer"] for each in listed}
    told = ask("GET", "/drawing?model=two")
    assert told.status_code == 400
    assert "several networks" in told.json()["error"]
