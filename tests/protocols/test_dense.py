"""Whole images: what must hold between a dense pass, its crops and its scales."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from backbones.classifier import inference, packing
from backbones.classifier.assembly import Member
from backbones.classifier.inference import Outputs, run_inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.packing import Packer, Part
from backbones.classifier.source import split_source
from backbones.data.finish import normalised
from backbones.data.source import ArrayImages, FileImages, Split
from backbones.errors import ProtocolError
from backbones.features.dense import dense
from backbones.models import build
from backbones.protocols.row import Protocol, ShorterSide
from backbones.protocols.table import find_protocol
from backbones.protocols.viewing import views
from backbones.spec import InputSpec

SPEC = InputSpec(size=32, resize=32)
PLAIN = replace(find_protocol("vgg/dense"), mirrored=False)


@pytest.fixture(scope="module")
def vgg() -> nn.Module:
    return build("vgg_tiny", seed=3).eval()


@pytest.fixture
def photos(tmp_path: Path) -> Split:
    """Seven files of five sizes."""
    generator = np.random.default_rng(5)
    sizes = [(40, 50), (50, 40), (40, 50), (64, 64), (33, 90), (40, 50), (90, 70)]
    for place, size in enumerate(sizes):
        pixels = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{place}.png")
    names = tuple(f"{place}.png" for place in range(7))
    classes = tuple(map(str, range(10)))
    return Split("val", classes, np.arange(7), FileImages(tmp_path, names))


def squares(side: int, count: int = 5) -> Split:
    pixels = np.random.default_rng(8).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    classes = tuple(map(str, range(10)))
    return Split("val", classes, np.arange(count), ArrayImages(pixels, "noise"))


def answer(network: nn.Module, split: Split, spec: InputSpec, options: InferenceOptions) -> Outputs:
    return run_inference(
        [Member(lambda: network, spec, split.classes)], split_source(split), options
    )


def said(network: nn.Module, split: Split, row: Protocol, batch_size: int = 4) -> torch.Tensor:
    found = answer(network, split, SPEC, InferenceOptions(row, batch_size, workers=0))
    assert found.indices.tolist() == list(range(len(split)))
    return torch.from_numpy(found.log_probabilities).exp()


def normal(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(each)[:, None, None] for each in (SPEC.mean, SPEC.std))
    return ((pixels.float() / 255 - mean) / std)[None]


def test_dense_at_the_training_size_is_the_plain_network(vgg: nn.Module) -> None:
    split = squares(32)
    plain = said(vgg, split, find_protocol("single"))
    torch.testing.assert_close(said(vgg, split, PLAIN), plain)


def test_a_scale_given_twice_is_the_scale_once(vgg: nn.Module, photos: Split) -> None:
    row = replace(find_protocol("vgg/dense"), resize=(ShorterSide(px=48),))
    twice = replace(row, resize=(ShorterSide(px=48), ShorterSide(plus=16)))
    torch.testing.assert_close(said(vgg, photos, row), said(vgg, photos, twice))


def test_mirrored_is_the_mean_with_the_mirror_image(vgg: nn.Module) -> None:
    split = squares(40)
    flipped = replace(split, images=ArrayImages(split.images.array[:, :, ::-1], "noise"))
    row = replace(PLAIN, resize=(ShorterSide(px=40),))
    mean = (said(vgg, split, row) + said(vgg, flipped, row)) / 2
    torch.testing.assert_close(said(vgg, split, replace(row, mirrored=True)), mean)
    both = replace(row, mirrored=True)
    torch.testing.assert_close(said(vgg, split, both), said(vgg, flipped, both))


def test_vgg_s_multiscale_is_the_mean_softmax_of_averaged_maps(
    vgg: nn.Module, photos: Split
) -> None:
    sides = (ShorterSide(px=32), ShorterSide(px=48), ShorterSide(px=64))
    row = replace(find_protocol("vgg/dense_multiscale"), resize=sides)
    found, reader = said(vgg, photos, row), dense(vgg, 32)
    for place, name in enumerate(photos.images.paths):
        image = Image.open(photos.images.root / name)
        seen = [*views(row, image, spec=SPEC)]
        assert len(seen) == 6
        with torch.no_grad():
            each = [reader(normal(view)).mean((2, 3)).softmax(1) for view in seen]
        torch.testing.assert_close(found[place], torch.cat(each).mean(0))


def test_dense_and_multicrop_count_the_same(vgg: nn.Module, photos: Split) -> None:
    sides = (ShorterSide(px=40), ShorterSide(px=48))
    both = replace(find_protocol("vgg/dense_and_multicrop"), resize=sides, grid=3)
    crops = replace(find_protocol("vgg/multicrop"), resize=sides, grid=3)
    whole = replace(find_protocol("vgg/dense_multiscale"), resize=sides)
    mean = (said(vgg, photos, crops) + said(vgg, photos, whole)) / 2
    torch.testing.assert_close(said(vgg, photos, both), mean)


@pytest.mark.parametrize("name", ["vgg/dense_multiscale", "vgg/multicrop", "googlenet/144_crop"])
def test_batches_across_images_of_different_sizes_change_nothing(
    vgg: nn.Module, photos: Split, name: str
) -> None:
    row = replace(find_protocol(name), resize=(ShorterSide(px=40), ShorterSide(px=36)))
    alone = [said(vgg, photos.take([place]), row, 1) for place in range(7)]
    torch.testing.assert_close(said(vgg, photos, row, 16), torch.cat(alone))


def test_views_of_different_images_share_batches() -> None:
    packer, sizes = Packer(4 * 8 * 8), []
    for image in range(6):
        for number in range(3):
            part = Part(image, number, np.zeros((1, 8, 8, 3), np.uint8), dense=False, geometry=SPEC)
            sizes += [len(batch) for batch in packer.add(part)]
    assert sizes + [len(batch) for batch in packer.rest()] == [4, 4, 4, 4, 2]


def test_what_waits_is_bounded_however_many_sizes_there_are() -> None:
    packer, held, given = Packer(1000), 0, 0
    for width in range(10, 400):
        part = Part(width, 0, np.zeros((1, 10, width, 1), np.uint8), dense=True, geometry=SPEC)
        batches = list(packer.add(part))
        given += sum(map(len, batches))
        held += 10 * width - sum(p.pixels.size for batch in batches for p in batch)
        assert held <= 4000
    assert given + sum(map(len, packer.rest())) == 390


def test_a_batch_is_normalised_as_the_input_spec_says() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    batch = normalised(pixels[None], SPEC)
    torch.testing.assert_close(batch, normal(torch.from_numpy(pixels).permute(2, 0, 1)))


class Unpadded(nn.Module):
    """Nothing pads, so that tiles see what the whole image shows there; 64 px, stride 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 32, stride=32)
        self.fc = nn.Linear(4 * 2 * 2, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.fc(torch.flatten(torch.relu(self.conv(x)), 1))
        return answers


def test_an_image_larger_than_the_limit_is_scored_in_tiles_with_the_same_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    network, spec = Unpadded().eval(), InputSpec(size=64, resize=300)
    pixels = np.random.default_rng(2).integers(0, 256, (1, 300, 410, 3), dtype=np.uint8)
    split = Split("val", tuple("abcdefghij"), np.array([0]), ArrayImages(pixels, "noise"))
    options = InferenceOptions(replace(PLAIN, resize=(ShorterSide(),)), 4, workers=0)
    whole = answer(network, split, spec, options)
    monkeypatch.setattr(inference, "tiles", lambda w, h, size: packing.tiles(w, h, size, 120 * 120))
    parts = answer(network, split, spec, options)
    assert (whole.num_passes, parts.num_passes > 4) == (1, True)
    np.testing.assert_allclose(parts.log_probabilities, whole.log_probabilities, rtol=1e-5)


def test_a_network_that_cannot_be_read_densely_says_so(photos: Split) -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * 32 * 32, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * torch.as_tensor(self.fc(x.flatten(1)))

    with pytest.raises(ProtocolError, match="choose a protocol of crops"):
        answer(Doubled(), photos, SPEC, InferenceOptions(PLAIN))


def test_a_scale_below_the_training_size_is_one_line(vgg: nn.Module, photos: Split) -> None:
    row = replace(PLAIN, resize=(ShorterSide(px=16),))
    with pytest.raises(ProtocolError, match="expected at least 32x32"):
        said(vgg, photos, row)
