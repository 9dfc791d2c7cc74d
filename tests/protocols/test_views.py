"""How many views there are, and where they lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.classifier.packing import tiles
from backbones.data.geometry import Box
from backbones.errors import BadImage, ProtocolError
from backbones.protocols import views
from backbones.protocols.table import PROTOCOLS, ShorterSide, find_protocol
from backbones.protocols.viewing import cut_views, plan
from backbones.spec import InputSpec


def ramp(height: int, width: int) -> np.ndarray:
    """An image in which every pixel says where it is (up to 255 x 255)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, y * 0], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("protocol", "count"),
    [
        *(("single", 1), ("ten_crop", 10), ("alexnet/ten_crop", 10), ("vgg/dense", 2)),
        *(("vgg/dense_multiscale", 6), ("vgg/multicrop", 150), ("vgg/dense_and_multicrop", 156)),
        *(("googlenet/10_crop", 10), ("googlenet/144_crop", 144), ("inception_v3/12_crop", 12)),
        *(("inception_v3/144_crop", 144), ("resnet/dense_multiscale", 10), ("cifar/whole", 1)),
    ],
)
@pytest.mark.parametrize("size", [(375, 500), (500, 333), (260, 260)])
def test_the_papers_numbers_of_views(protocol: str, count: int, size: tuple[int, int]) -> None:
    found = [tuple(view.shape) for view in views(protocol, torch.zeros(3, *size))]
    assert len(found) == count
    if find_protocol(protocol).scoring == "crops":
        assert set(found) == {(3, 224, 224)}


def test_144_crops_are_of_four_scales_three_squares_six_views_and_two_ways() -> None:
    found = plan(find_protocol("googlenet/144_crop"), 500, 375)
    assert sorted({min(view.resized) for view in found}) == [256, 288, 320, 352]
    at_256 = [view for view in found if view.resized == (341, 256) and not view.mirrored]
    squares = [view.box for view in at_256 if view.shrunk_px == 224]
    assert squares == [Box(0, 0, 256, 256), Box(42, 0, 256, 256), Box(85, 0, 256, 256)]
    first = [view.box[:2] for view in at_256[:5]]
    assert first == [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)]
    assert sum(view.mirrored for view in found) == 72
    upright = plan(find_protocol("googlenet/144_crop"), 375, 500)
    assert [view.box.top for view in upright if view.shrunk_px and not view.mirrored][:3] == [
        *(0, 42, 85)
    ]


def test_a_grid_reaches_from_edge_to_edge_of_the_uncropped_image() -> None:
    found = plan(find_protocol("vgg/multicrop"), 512, 384)
    at_384 = [view.box for view in found if view.resized == (512, 384) and not view.mirrored]
    assert sorted({box.left for box in at_384}) == [0, 72, 144, 216, 288]
    assert sorted({box.top for box in at_384}) == [0, 40, 80, 120, 160]
    assert len(set(at_384)) == 25


def test_googlenet_s_scales_are_those_multiples_of_224_that_other_sides_take_too() -> None:
    printed = [side.px for side in find_protocol("googlenet/144_crop").resize]
    followed = find_protocol("inception_v3/144_crop").resize
    assert [side.length_px(0, 224) for side in followed] == printed
    assert [side.length_px(0, 299) for side in followed] == [342, 384, 427, 470]


def test_views_show_the_pixels_that_they_say() -> None:
    row = replace(find_protocol("ten_crop"), resize=(ShorterSide(px=100),))
    image, spec = ramp(100, 140), InputSpec(size=80, resize=100)
    found = [view.permute(1, 2, 0).numpy() for view in views(row, image, spec=spec)]
    assert [tuple(view[0, 0, :2]) for view in found[:5]] == [
        *((0, 20), (0, 40), (20, 20), (20, 40), (10, 30))
    ]
    for plain, flipped in zip(found[:5], found[5:], strict=True):
        assert np.array_equal(plain, flipped[:, ::-1])


@pytest.mark.parametrize("protocol", ["googlenet/144_crop", "vgg/multicrop", "single"])
def test_an_image_is_the_same_from_pillow_numpy_and_tensors(protocol: str) -> None:
    row = replace(find_protocol(protocol), resize=(ShorterSide(px=40),))
    spec = InputSpec(size=32, resize=40)
    pixels = np.random.default_rng(3).integers(0, 256, (50, 61, 3), dtype=np.uint8)
    ways = [pixels, Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)]
    first, *others = ([*views(row, way, spec=spec)] for way in ways)
    for other in others:
        assert all(torch.equal(*pair) for pair in zip(first, other, strict=True))
    floats = [*views(row, torch.from_numpy(pixels).permute(2, 0, 1).float(), spec=spec)]
    for whole, rounded in zip(floats, first, strict=True):
        assert (whole - rounded.float()).abs().max() <= 2  # the bytes are rounded twice


def test_small_images_have_a_black_border_in_one_view_alike_for_bytes_and_floats() -> None:
    spec, row = InputSpec(size=32, resize=28), find_protocol("lenet/whole")
    pixels = np.full((28, 28, 1), 255, dtype=np.uint8)
    (view,) = views(row, pixels, spec=spec)
    (other,) = views(row, torch.from_numpy(pixels).permute(2, 0, 1).float(), spec=spec)
    assert view.shape == (1, 32, 32)
    assert view[0, :2].sum() == view[0, :, -2:].sum() == 0
    assert torch.equal(view.float(), other)


def test_the_whole_image_of_cifar_is_not_cropped_where_weights_resize_before_a_crop() -> None:
    (view,) = plan(find_protocol("cifar/whole"), 32, 32, InputSpec(size=32, resize=36))
    assert (view.resized, view.box) == ((32, 32), Box(0, 0, 32, 32))


@pytest.mark.parametrize("row", PROTOCOLS, ids=lambda row: row.name)
def test_views_lie_within_the_image(row) -> None:
    for view in plan(row, 640, 333):
        assert view.box.left >= 0
        assert view.box.top >= 0
        assert view.box.left + view.box.width <= view.resized[0]
        assert view.box.top + view.box.height <= view.resized[1]


def test_an_image_that_a_protocol_would_blow_up_is_a_bad_image() -> None:
    pixels = np.zeros((1, 1, 200, 3), dtype=np.uint8)
    spec = InputSpec(size=224, resize=224)
    wanted = plan(replace(find_protocol("vgg/dense"), resize=(ShorterSide(px=640),)), 200, 1, spec)
    with pytest.raises(BadImage, match="200 x 1 px would be 128000 x 640 px"):
        list(cut_views(pixels, wanted, spec))


def test_something_that_is_no_image_is_refused() -> None:
    with pytest.raises(ProtocolError, match="expected a Pillow image"):
        list(views("single", np.zeros((4, 4, 3))))


@pytest.mark.parametrize(
    "size", [(4000, 3000), (3000, 4000), (20000, 224), (300, 9000), (1300, 1300)]
)
def test_tiles_have_every_place_of_the_map_exactly_once(size: tuple[int, int]) -> None:
    width, height = size
    seen: dict[tuple[int, int], int] = {}
    for box in tiles(width, height, 224):
        assert box.width * box.height <= 2**20
        assert box.left + box.width <= width
        assert box.top + box.height <= height
        for y in range((box.height - 224) // 32 + 1):
            for x in range((box.width - 224) // 32 + 1):
                place = (box.top // 32 + y, box.left // 32 + x)
                seen[place] = seen.get(place, 0) + 1
    assert set(seen.values()) == {1}
    assert len(seen) == ((height - 224) // 32 + 1) * ((width - 224) // 32 + 1)
