"""Weights that do not fit are told from those that do, and whose they are is said."""

from __future__ import annotations

import pytest
import torch

from backbones.errors import BadWeights
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights.adapt import load_adapted
from backbones.weights.convert import bundle_from
from backbones.weights.fit import shapes_of
from backbones.weights.keymaps import KEYMAPS
from backbones.weights.nearest import Nearest, nearest_variants

SPEC = InputSpec(32, 36)


@pytest.mark.parametrize(
    "name", ["lenet5", "lenet5_tiny", "vgg16", "vgg16_bn", "vgg_tiny", "nin_cifar10", "vgg11_lrn"]
)
def test_a_variant_is_recognised_by_its_tensors(name: str) -> None:
    with torch.device("meta"):
        shapes = shapes_of(build(name).state_dict())
        nearest = nearest_variants(shapes)
    assert name in nearest.variants
    assert nearest.exact


def test_another_head_is_no_obstacle_and_nonsense_fits_nothing() -> None:
    with torch.device("meta"):
        nearest = nearest_variants(shapes_of(build("vgg13", 7).state_dict()))
    assert nearest == Nearest(("vgg13",), ("classifier.6.bias", "classifier.6.weight"))
    assert not nearest.exact
    assert nearest_variants({"a": (3, 3), "b": (1000,)}) == Nearest()
    assert nearest_variants({}) == Nearest()


def test_the_error_lists_names_and_the_variant_that_fits() -> None:
    with torch.device("meta"):
        state = build("vgg16_bn").state_dict()
        with pytest.raises(BadWeights) as caught:
            load_adapted(build("vgg16"), state)
    said = str(caught.value)
    assert "these weights are not vgg16's" in said
    assert "tensors missing (" in said
    assert "unknown (" in said
    assert "more)" in said
    assert said.endswith("they would fit vgg16_bn")
    assert "\n" not in said


def test_shapes_that_differ_name_the_variant_that_fits() -> None:
    with torch.device("meta"):
        state = build("vgg16").state_dict()
        with pytest.raises(BadWeights, match=r"vgg16_1x1's: features\.14.* are nearest to vgg16"):
            load_adapted(build("vgg16_1x1"), {**state, "features.14.bias": torch.zeros(2)})


def test_a_bundle_of_foreign_weights() -> None:
    """Without batch counters, in half precision, for 7 classes and one channel."""
    network = build("vgg_tiny", 7, 1, seed=1).eval()
    state = {
        name: tensor.half()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    spec = InputSpec(32, 36, 1, (0.5,), (0.5,))
    bundle = bundle_from(state, "vgg_tiny", spec=spec, provenance={"file": "x.pth"})
    assert (bundle.num_classes, bundle.in_channels) == (7, 1)
    assert bundle.classes == tuple("0123456")
    assert bundle.provenance == {
        "file": "x.pth",
        "changes": ["numbers of float16 are turned to float32"],
    }
    image = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(bundle.build()(image), network(image), rtol=1e-2, atol=1e-2)


def test_a_bundle_says_what_does_not_fit() -> None:
    state = dict(build("vgg_tiny", 3, seed=1).state_dict())
    with pytest.raises(BadWeights, match="the weights have 3 outputs, expected 2"):
        bundle_from(state, "vgg_tiny", spec=SPEC, classes=("a", "b"))
    state["features.0.weight"] = torch.zeros(2, 3, 3, 3)
    with pytest.raises(BadWeights, match=r"features\.0\.weight is \(2, 3, 3, 3\), expected"):
        bundle_from(state, "vgg_tiny", spec=SPEC)


def test_a_named_map_is_used_even_where_names_fit_without_it() -> None:
    """Caffe's blue-first kernel has the same name and shape as ours."""
    network = build("vgg_tiny", 3, seed=1)
    theirs = KEYMAPS["caffe_vgg"].to_theirs(network.state_dict())
    bundle = bundle_from(theirs, "vgg_tiny", spec=SPEC, keymap="caffe_vgg")
    for name, tensor in network.state_dict().items():
        assert torch.equal(bundle.state[name], tensor), name


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "efficientnet_b0", "alexnet"])
def test_a_fine_tuned_network_is_recognised(name: str) -> None:
    with torch.device("meta"):
        nearest = nearest_variants(shapes_of(build(name, 2).state_dict()))
    assert name in nearest.variants
    assert not nearest.exact
