"""The files of a playground: small, and only of networks that they compute."""

from __future__ import annotations

from dataclasses import replace

import pytest

import backbones
from backbones.errors import BadWeights, WrongUse
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle, bundle_of, write_bundle
from backbones.weights.opening import open_bundle


def test_pages_are_small_and_those_of_the_package_are_the_default(tmp_path) -> None:
    written = backbones.write_playground(tmp_path / "new")
    assert [page.name for page in written] == [
        "index.html",
        "lenet5.fashion.html",
        "lenet5_1998.digits.html",
    ]
    assert max(page.stat().st_size for page in written) <= 300_000
    again = backbones.write_playground(tmp_path / "new", ["lenet5.fashion"])
    assert '"name": "lenet5.fashion"' in again[0].read_text(encoding="utf-8")


def test_what_the_page_cannot_compute_is_refused(tmp_path) -> None:
    def refusal(bundle: Bundle, error: type[Exception] = WrongUse) -> str:
        write_bundle(tmp_path / "x.safetensors", bundle)
        with pytest.raises(error) as caught:
            backbones.write_playground(tmp_path / "out", [tmp_path / "x.safetensors"])
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    good = open_bundle("lenet5.digits")
    vgg = bundle_of(backbones.create("vgg_tiny"), classes="abcdefghij", spec=InputSpec(32, 32))
    assert "is a vgg_tiny; the playground computes LeNet-5" in refusal(vgg)
    near = replace(good, spec=replace(good.spec, interpolation="nearest"))
    assert "bilinear and bicubic only" in refusal(near)
    state = {key: tensor.clone() for key, tensor in good.state.items()}
    state["c5.weight"][0], state["f6.weight"][:, 0] = 1e9, 0.0
    assert "rounding the weights" in refusal(replace(good, state=state), BadWeights)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(WrongUse, match="no page of a playground"):
        backbones.write_playground(tmp_path)
