"""Every row of the table says what its publisher says."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from backbones import catalog
from backbones.errors import NotFound
from backbones.weights import table
from backbones.weights.keymaps import KEYMAPS

# timm's checkpoints of our networks that are left out, and why.
LEFT_OUT = {
    "resnet50.bamboo": "has no classifier",
    "efficientnet_b5.sw_in12k": "trained with batch norm's epsilon 1e-5, our B5 has 1e-3",
    "efficientnet_b5.sw_in12k_ft_in1k": "as efficientnet_b5.sw_in12k",
    "mobilenetv1_100.ra4_e3600_r224_in1k": "trained with symmetric padding, ours is TensorFlow's",
}
OURS = {  # timm's name of an architecture to our row
    **{f"vgg{depth}{bn}": f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")},
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    **{f"efficientnet_b{phi}": f"efficientnet_b{phi}" for phi in range(8)},
    **{f"tf_efficientnet_b{phi}": f"efficientnet_b{phi}_same" for phi in range(8)},
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "inception_resnet_v2": "inception_resnet_v2",
    "mobilenetv1_100": "mobilenet_v1_100",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv2_050": "mobilenet_v2_050",
    "mobilenetv2_140": "mobilenet_v2_140",
}
# torchvision remaps its normalisation to mean 0.5 and deviation 0.5 inside these networks.
REMAPPED = ("googlenet", "inception_v3")


def test_every_row_is_whole() -> None:
    for row in table.rows():
        assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", row.id), row.id
        assert row.url.startswith("https://") or not row.url
        assert row.file, row.id
        assert Path(row.stored_as).suffix in (".pth", ".th", ".safetensors"), row.id
        assert row.checksum is not None or row.url.startswith("https://huggingface.co/"), row.id
        assert row.keymap in ("", *KEYMAPS), row.id
        assert row.licence, row.id
        for result in row.results:
            assert 0.5 < result.top1_accuracy < 1
            assert result.top5_accuracy is None or result.top1_accuracy < result.top5_accuracy < 1
            assert result.resize_px >= result.size_px
        if row.results:
            assert row.results[0].size_px == row.spec.size, row.id
            assert row.results[0].resize_px == row.spec.resize, row.id


def test_a_hash_in_a_file_s_name_is_the_row_s() -> None:
    rows = [row for row in table.rows() if re.search(r"-[0-9a-f]{8}\.", row.file)]
    assert len(rows) > 90
    for row in rows:
        assert f"-{row.sha256[:8]}." in row.file


def test_every_row_names_a_variant() -> None:
    missing = {row.variant for row in table.rows()} - set(catalog.names())
    assert not missing


def test_an_unknown_id_is_told_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"Did you mean vgg16\.tv_in1k"):
        table.find("vgg16.tv_1k")
    with pytest.raises(NotFound, match="weights list"):
        table.find("qqqq")


def test_patterns() -> None:
    assert {row.variant for row in table.published_weights("vgg16")} == {"vgg16", "vgg16_bn"}
    assert [row.id for row in table.published_weights("*.tv2_in1k") if row.variant == "resnet50"]
    assert table.published_weights("nothing like that") == ()
    assert table.published_weights("") == table.rows()


def test_what_caffe_subtracts_in_blue_green_red_is_turned() -> None:
    spec = table.find("vgg16.caffe_in1k").spec
    red, green, blue = 200.0, 100.0, 50.0
    ours = (np.array([red, green, blue]) / 255 - spec.mean) / spec.std
    printed = np.array([blue, green, red]) - [103.939, 116.779, 123.68]
    assert ours[::-1] == pytest.approx(printed)


def test_the_table_needs_no_torch() -> None:
    code = (
        "import sys\nfrom backbones.weights import table\nassert table.rows()\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def enumerations(torchvision: ModuleType) -> list[object]:
    """Every published checkpoint of torchvision for a network that we have."""
    ours = {*OURS.values(), "alexnet", "googlenet"}
    models = torchvision.models
    return [
        (name, entry)
        for name in models.list_models(module=models)
        if name in ours
        for entry in models.get_model_weights(name)
    ]


def test_rows_are_what_torchvision_says(torchvision: ModuleType) -> None:
    ids = {"IMAGENET1K_V1": "tv_in1k", "IMAGENET1K_V2": "tv2_in1k"}
    seen = set()
    for name, entry in enumerations(torchvision):
        row = table.find(f"{name}.{ids.get(entry.name, 'tv_features')}")
        seen.add(row.id)
        preset, metrics = entry.transforms(), entry.meta["_metrics"]["ImageNet-1K"]
        assert (row.url, row.variant) == (entry.url, name)
        assert [row.spec.size] == preset.crop_size
        assert [row.spec.resize] == preset.resize_size
        assert row.spec.interpolation == preset.interpolation.value
        assert row.mib == entry.meta["_file_size"]
        if row.variant not in REMAPPED:
            assert row.spec.mean == tuple(preset.mean)
            assert row.spec.std == pytest.approx(tuple(preset.std))
        if math.isnan(metrics["acc@1"]):
            assert row.results == ()
        else:
            assert row.results[0].top1_accuracy == pytest.approx(metrics["acc@1"] / 100)
            assert row.results[0].top5_accuracy == pytest.approx(metrics["acc@5"] / 100)
        if name in catalog.names():
            assert catalog.facts(name).params == entry.meta["num_params"]
    assert {row.id for row in table.rows() if "pytorch.org" in row.url} == seen


@pytest.mark.parametrize("name", REMAPPED)
def test_the_remapping_inside_torchvision_s_networks(torchvision: ModuleType, name: str) -> None:
    import torch

    with torch.device("meta"):
        network = getattr(torchvision.models, name)(init_weights=False, transform_input=True)
    image = torch.rand(2, 3, 4, 4)
    entry = next(iter(torchvision.models.get_model_weights(name)))
    preset, spec = entry.transforms(), table.find(f"{name}.tv_in1k").spec
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (preset.mean, preset.std))
    theirs = network._transform_input((image - mean) / std)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (spec.mean, spec.std))
    torch.testing.assert_close((image - mean) / std, theirs)


def test_rows_are_what_timm_says(timm: ModuleType) -> None:
    tags = [tag for tag in timm.list_models(pretrained=True) if tag.split(".")[0] in OURS]
    assert len(tags) > 100
    assert set(LEFT_OUT) < set(tags)
    for tag in tags:
        architecture, _, kind = tag.partition(".")
        config = timm.get_pretrained_cfg(tag)
        if tag in LEFT_OUT:
            assert not table.is_known(tag)
            continue
        row = table.find(tag)
        without_heads = architecture == "inception_v3" and kind != "tv_in1k"
        assert row.variant == OURS[architecture] + "_noaux" * without_heads, tag
        if kind in ("tv_in1k", "tv2_in1k"):  # torchvision's file, and its own account of it
            assert config.url in (row.url, "") or architecture == "inception_v3", tag
            continue
        where = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors"
        assert row.url == (config.url or where), tag
        assert row.licence.lower() == config.license
        data = timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
        resize = timm.data.create_transform(**data).transforms[0]
        assert row.spec.resize == resize.size, tag
        assert row.spec.interpolation == resize.interpolation.value, tag
        assert (3, row.spec.size, row.spec.size) == data["input_size"], tag
        assert (row.spec.mean, row.spec.std) == (data["mean"], data["std"]), tag
