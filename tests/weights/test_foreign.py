"""Weights of other people: wrapped, renamed, with things beside them, without a head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from backbones.errors import BadWeights, WrongUse
from backbones.models import build
from backbones.spec import InputSpec
from backbones.weights.adapt import load_adapted
from backbones.weights.convert import bundle_from
from backbones.weights.files import read_state
from backbones.weights.nearest import nearest_variants
from backbones.weights.opening import open_bundle

SPEC = InputSpec(32, 36)


def made(seed: int = 1, classes: int = 3) -> dict[str, Tensor]:
    return dict(build("resnet_tiny", classes, seed=seed).state_dict())


def under(before: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {before + name: tensor for name, tensor in state.items()}


def converted(tmp_path: Path, content: Any, **options: Any) -> tuple[dict[str, Tensor], str]:
    """What becomes of a file, and all that was said about it."""
    torch.save(content, tmp_path / "w.pth")
    entry = options.pop("entry", "")
    state = read_state(tmp_path / "w.pth", entry=entry)
    bundle = bundle_from(state, options.pop("variant", "resnet_tiny"), spec=SPEC, **options)
    return bundle.state, "; ".join((bundle.provenance or {}).get("changes", ()))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(
    "before",
    [
        "module.",
        "_orig_mod.",
        "model.",
        "net.",
        "backbone.",
        "encoder.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model.backbone._orig_mod.",
        "_model.net.1.",
        "my_own_wrapper.inner.",
    ],
)
@pytest.mark.parametrize("wrapper", ["", "state_dict", "model", "trainer state"])
def test_a_prefix_in_any_nesting_is_taken_off(tmp_path: Path, before: str, wrapper: str) -> None:
    state = under(before, made())
    content = {wrapper: state, "epoch": 3, "optimizer": {"state": {}}} if wrapper else state
    found, said = converted(tmp_path, content)
    assert_same(found, made())
    if before != "module.":
        assert before.rstrip(".") in said


def test_what_lies_beside_the_network_is_left_out_and_told(tmp_path: Path) -> None:
    content = {
        **under("module.", made()),
        "n_averaged": torch.tensor(3),
        "criterion.weight": torch.ones(3),
        "0.mean": torch.zeros(3),
    }
    found, said = converted(tmp_path, content)
    assert_same(found, made())
    assert "0.mean, criterion.weight, n_averaged: beside the network, left out" in said
    inside = {**made(), "loss_fn.weight": torch.ones(3), "layer1.0.conv1.total_ops": torch.ones(1)}
    found, said = converted(tmp_path, {"state_dict": inside, "optimizer": {"exp": made(2)}})
    assert_same(found, made())
    assert "layer1.0.conv1.total_ops, loss_fn.weight: no part of the network" in said
    assert "optimizer.exp" in said


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("model", "model_ema"), "model_ema"),
        (("state_dict", "state_dict_ema"), "state_dict_ema"),
        (("student", "teacher"), "teacher"),
        (("encoder_q", "encoder_k"), "encoder_q"),
        (("model", "momentum_encoder"), "model"),
        (("model", "something"), "model"),
    ],
)
def test_of_several_copies_the_one_to_use_is_taken_and_told(
    tmp_path: Path, names: tuple[str, str], taken: str
) -> None:
    content = {name: made(seed) for seed, name in enumerate(names)}
    found, said = converted(tmp_path, content)
    assert_same(found, content[taken])
    assert taken in said
    (other,) = set(names) - {taken}
    assert other in said
    assert_same(converted(tmp_path, content, entry=other)[0], content[other])


def test_of_copies_that_nothing_tells_apart_somebody_has_to_choose(tmp_path: Path) -> None:
    content = {"net_a": made(1), "net_b": made(2)}
    with pytest.raises(WrongUse, match=r"2 times, below 'net_a' and 'net_b': .* --entry NAME"):
        converted(tmp_path, content)
    assert_same(converted(tmp_path, content, entry="net_b")[0], made(2))
    with pytest.raises(WrongUse, match="expected one of net_a, net_b"):
        converted(tmp_path, content, entry="net_c")
    assert_same(converted(tmp_path, {"net_a": made(1), "net_b": made(1)})[0], made(1))


@pytest.mark.parametrize("layer", ["fc.1", "last_linear", "head", "classifier.0", "linear"])
def test_a_head_under_another_name_is_the_head(tmp_path: Path, layer: str) -> None:
    content = {name.replace("fc.", f"{layer}."): t for name, t in made().items()}
    found, said = converted(tmp_path, content)
    assert_same(found, made())
    if layer != "linear":  # a key map knows this one
        assert f"{layer}: taken for the head, fc" in said


def trunk() -> dict[str, Tensor]:
    return {name: tensor for name, tensor in made().items() if not name.startswith("fc.")}


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"fc.0.weight": torch.ones(8, 64), "fc.2.weight": torch.ones(3, 8)},
        {"head.weight": torch.ones(3, 7), "head.bias": torch.ones(3)},
    ],
    ids=["none", "two layers", "other features"],
)
def test_without_a_usable_head_training_starts_afresh_and_answers_are_refused(
    tmp_path: Path, head: dict[str, Tensor]
) -> None:
    torch.save({**trunk(), **head}, tmp_path / "w.pth")
    network = build("resnet_tiny", 2, seed=7)
    fresh = network.state_dict()["fc.weight"].clone()
    changes = load_adapted(network, read_state(tmp_path / "w.pth"))
    assert "fc: not in the file, so it starts afresh" in changes
    assert torch.equal(network.state_dict()["fc.weight"], fresh)
    assert torch.equal(network.state_dict()["conv1.weight"], trunk()["conv1.weight"])
    with pytest.raises(BadWeights, match=r"no head for resnet_tiny.*backbones train DATA"):
        converted(tmp_path, {**trunk(), **head})


def test_a_part_that_was_saved_by_itself_is_a_trunk() -> None:
    state = build("vgg_tiny", seed=1).features.state_dict()
    network = build("vgg_tiny", 2, seed=7)
    changes = load_adapted(network, state)
    assert "taken for the part 'features' alone" in changes
    assert torch.equal(network.state_dict()["features.0.weight"], state["0.weight"])


def test_a_tensor_missing_inside_is_no_missing_head() -> None:
    state = made()
    del state["layer2.0.conv2.weight"], state["fc.weight"]
    with pytest.raises(BadWeights, match=r"2 tensors missing .*layer2\.0\.conv2"):
        load_adapted(build("resnet_tiny", 3), state)
    state = {**made(), "attention.weight": torch.ones(3)}
    with pytest.raises(BadWeights, match=r"1 unknown \(attention\.weight\)"):
        load_adapted(build("resnet_tiny", 3), state)


def test_vgg_with_a_replaced_head_is_not_taken_for_another_variant() -> None:
    with torch.device("meta"):
        state = build("vgg16_bn").state_dict()
        last = {n: state.pop(n) for n in ("classifier.6.weight", "classifier.6.bias")}
        state["classifier.6.1.weight"] = last["classifier.6.weight"][:5]
        state["classifier.6.1.bias"] = last["classifier.6.bias"][:5]
    nearest = nearest_variants({f"module.{n}": tuple(t.shape) for n, t in state.items()})
    assert nearest.variants == ("vgg16_bn",)


def test_auxiliary_heads_that_a_network_has_not_are_left_out() -> None:
    with torch.device("meta"):
        state = build("googlenet_aux", 5).state_dict()
        changes = load_adapted(build("googlenet", 5), state)
    assert changes == ("aux1, aux2: auxiliary heads that this network does not have, left out",)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_turned_and_told(tmp_path: Path, kind: torch.dtype) -> None:
    content = {n: t.to(kind) if t.is_floating_point() else t for n, t in made().items()}
    found, said = converted(tmp_path, content)
    assert {t.dtype for t in found.values()} == {torch.float32, torch.int64}
    assert f"{str(kind).removeprefix('torch.')} are turned to float32" in said
    assert torch.equal(found["fc.weight"], content["fc.weight"].float())


def test_numbers_too_large_for_single_precision_are_refused(tmp_path: Path) -> None:
    content = {**made(), "fc.bias": torch.full((3,), 1e300, dtype=torch.float64)}
    with pytest.raises(BadWeights, match=r"3 of 3 numbers of fc\.bias are not finite"):
        converted(tmp_path, content)
    content["fc.bias"] = torch.ones(3, dtype=torch.int8)
    with pytest.raises(BadWeights, match=r"fc\.bias has the type torch\.int8"):
        converted(tmp_path, content)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_unless_told(tmp_path: Path, value: float) -> None:
    content = made()
    content["conv1.weight"][0, 0, 0, 0] = value
    with pytest.raises(BadWeights, match=r"1 of 1,176 numbers of conv1\.weight are not finite"):
        converted(tmp_path, content)
    with pytest.raises(BadWeights, match="not finite"):
        load_adapted(build("resnet_tiny", 3), content)
    assert (
        not converted(tmp_path, content, allow_non_finite=True)[0]["conv1.weight"].isfinite().all()
    )


def test_one_channel_is_told_and_the_input_is_grey(tmp_path: Path) -> None:
    content = dict(build("resnet_tiny", 3, 1, seed=1).state_dict())
    torch.save(content, tmp_path / "w.pth")
    bundle = bundle_from(read_state(tmp_path / "w.pth"), "resnet_tiny", spec=SPEC)
    assert (bundle.in_channels, bundle.spec.channels, bundle.spec.size) == (1, 1, 32)
    assert "made for 1 channels" in (bundle.provenance or {})["changes"][0]
    content = dict(build("resnet_tiny", 3, 5, seed=1).state_dict())
    with pytest.raises(BadWeights, match="for 5 channels; images here have 1 or 3"):
        bundle_from(content, "resnet_tiny", spec=SPEC)


def test_numbers_of_numpy_beside_the_weights_do_not_matter(tmp_path: Path) -> None:
    content = {
        "state_dict": made(),
        "best": np.float64(0.5),
        "curve": np.zeros(3),
        "n": np.int64(1),
    }
    assert_same(converted(tmp_path, content)[0], made())


def test_a_compiled_network_wrapped_twice_is_read(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Identity(), nn.DataParallel(build("resnet_tiny", 3, seed=1)))
    assert_same(converted(tmp_path, network.state_dict())[0], made())


def test_a_variance_below_zero_is_refused(tmp_path: Path) -> None:
    """Its square root is not a number, and so would be every answer."""
    state = build("resnet_tiny", 3).state_dict()
    name = next(name for name in state if name.endswith("running_var"))
    state[name] = state[name] - 2
    with pytest.raises(BadWeights, match=rf"{re.escape(name)} goes down to -1, and a variance is"):
        converted(tmp_path, state)


def test_the_line_that_makes_a_bundle_does_not_write_over_the_weights(tmp_path: Path) -> None:
    save_file(build("vgg_tiny", 2).state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(BadWeights, match=r"-o net-bundle\.safetensors` makes a bundle"):
        open_bundle(tmp_path / "net.safetensors")
