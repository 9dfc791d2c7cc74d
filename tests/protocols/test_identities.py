"""What must hold for every network and every image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.classifier.evaluation import evaluate, quick_answers, quick_figures
from backbones.compute import choose_compute
from backbones.data.pipeline import Pipeline
from backbones.data.source import ArrayImages, Split
from backbones.errors import BadData
from backbones.metrics import Report
from backbones.protocols.score import reduce
from backbones.protocols.table import PROTOCOLS, Protocol, ShorterSide, find_protocol
from backbones.protocols.viewing import mirror, view_boxes
from backbones.spec import InputSpec


def small(row: Protocol) -> Protocol:
    """The row for a network that sees 16 px instead of 224; two scales and 3 x 3 crops at most."""
    sides = tuple(
        replace(
            side,
            px=None if side.px is None else round(side.px * 16 / 224),
            plus=round(side.plus * 16 / 224),
        )
        for side in row.resize[:2]
    )
    return replace(row, resize=sides, grid=3)


SMALL_ROWS = [small(row) for row in PROTOCOLS]


def kind(row: Protocol) -> tuple[object, ...]:
    return row.region, row.views, row.mirrored, row.scoring, len(row.resize)


# One of each kind: rows that differ in their scales only are not run twice.
DIFFERENT_ROWS = [
    row
    for place, row in enumerate(SMALL_ROWS)
    if not any(kind(row) == kind(other) for other in SMALL_ROWS[:place])
]


def same(one: Report, other: Report) -> bool:
    """Counts are equal; what comes out of the network's sums, to rounding."""
    assert one.confusion == other.confusion
    assert one.top5_error_percent == other.top5_error_percent
    assert one.skipped == other.skipped
    for name in ("loss", "brier", "calibration_error"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5)
    return True


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(2))


def answers(network: nn.Module, images: Tensor, protocol: str, size: int) -> Tensor:
    row = find_protocol(protocol)
    boxes = view_boxes(row.views, *images.shape[:-3:-1], size)
    cut = [images[..., y : y + high, x : x + wide] for x, y, wide, high in boxes]
    cut += [mirror(view) for view in cut] if row.mirrored else []
    return reduce(torch.stack([network(view) for view in cut], dim=1))


def test_single_equals_a_plain_loop(network: nn.Module, split: Split, spec: InputSpec) -> None:
    report = evaluate(network, split, spec, batch_size=37).report
    network.eval()
    (batch,) = Pipeline(split, spec, batch_size=37).epoch()
    with torch.no_grad():
        logits = network(batch.images)
    labels = torch.from_numpy(split.labels)
    assert report.top1_error_percent == pytest.approx(
        100 * (logits.argmax(1) != labels).double().mean().item()
    )
    assert report.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)


def test_ten_crop_equals_ten_crops_cut_by_hand(
    network: nn.Module, split: Split, spec: InputSpec
) -> None:
    report = evaluate(network, split, spec, "ten_crop", batch_size=10).report
    network.eval()
    square = replace(spec, size=spec.resize)
    (batch,) = Pipeline(split, square, batch_size=37).epoch()
    whole, probabilities = batch.images, torch.zeros(37, 7)
    with torch.no_grad():
        for top, left in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
            crop = whole[:, :, top : top + 16, left : left + 16]
            probabilities += network(crop).softmax(1) + network(crop.flip(3)).softmax(1)
    labels = torch.from_numpy(split.labels)
    loss = F.nll_loss((probabilities / 10).log(), labels).item()
    assert report.loss == pytest.approx(loss, rel=1e-5)


def test_ten_crop_of_an_image_of_the_crop_s_size_is_the_mean_of_it_and_its_mirror_image(
    network: nn.Module,
) -> None:
    network.eval()
    images = noise(5, 3, 16, 16)
    with torch.no_grad():
        plain, flipped = network(images).softmax(1), network(mirror(images)).softmax(1)
        found = answers(network, images, "ten_crop", 16).exp()
    torch.testing.assert_close(found, (plain + flipped) / 2)


def test_mirrored_twice_equals_once(network: nn.Module) -> None:
    network.eval()
    images = noise(4, 3, 20, 20)
    assert torch.equal(mirror(mirror(images)), images)
    with torch.no_grad():
        once = answers(network, images, "ten_crop", 16)
        twice = answers(network, mirror(images), "ten_crop", 16)
    torch.testing.assert_close(once, twice)


def test_one_view_is_the_network_itself(network: nn.Module) -> None:
    network.eval()
    images = noise(4, 3, 16, 16)
    with torch.no_grad():
        found, expected = answers(network, images, "single", 16), network(images).log_softmax(1)
    # in the precision of float32: images lie otherwise in memory, and kernels are chosen by that
    torch.testing.assert_close(found, expected)


def test_a_scale_given_twice_equals_once(network: nn.Module, split: Split, spec: InputSpec) -> None:
    row = find_protocol("ten_crop")
    twice = replace(row, resize=(ShorterSide(), ShorterSide(px=spec.resize)))
    assert same(
        evaluate(network, split, spec, row).report, evaluate(network, split, spec, twice).report
    )


def test_two_scales_are_the_mean_over_both(
    network: nn.Module, split: Split, spec: InputSpec
) -> None:
    row = replace(find_protocol("single"), resize=(ShorterSide(plus=-2), ShorterSide(plus=3)))
    report = evaluate(network, split, spec, row).report
    network.eval()
    probabilities = torch.zeros(37, 7)
    for resize in (18, 23):
        (batch,) = Pipeline(split, replace(spec, resize=resize), batch_size=37).epoch()
        with torch.no_grad():
            probabilities += network(batch.images).softmax(1) / 2
    loss = F.nll_loss(probabilities.log(), torch.from_numpy(split.labels)).item()
    assert report.loss == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("protocol", DIFFERENT_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batch_size_and_workers_change_nothing(
    network: nn.Module, split: Split, spec: InputSpec, protocol: Protocol, batch_size: int
) -> None:
    whole = evaluate(network, split, spec, protocol, batch_size=37, workers=0).report
    parts = evaluate(network, split, spec, protocol, batch_size=batch_size, workers=3).report
    assert same(whole, parts)
    assert parts.num_samples == 37


@pytest.mark.parametrize("protocol", DIFFERENT_ROWS, ids=lambda row: row.name)
def test_the_order_of_images_changes_nothing(
    network: nn.Module, split: Split, spec: InputSpec, protocol: Protocol
) -> None:
    order = np.random.default_rng(1).permutation(37)
    assert same(
        evaluate(network, split, spec, protocol, batch_size=8).report,
        evaluate(network, split.take(order), spec, protocol, batch_size=8).report,
    )


@pytest.mark.parametrize("protocol", DIFFERENT_ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_files_that_do_not_decode_are_listed_and_never_counted(
    network: nn.Module, file_split: Split, spec: InputSpec, protocol: Protocol, batch_size: int
) -> None:
    found = evaluate(network, file_split, spec, protocol, batch_size=batch_size)
    assert found.report.num_samples == sum(map(sum, found.report.confusion)) == 7
    assert [bad.name for bad in found.report.skipped] == ["3.png", "7.png"]
    values = found.to_json()
    assert (values["protocol"], values["num_samples"], values["num_skipped"]) == (
        protocol.name,
        7,
        2,
    )
    assert "2 could not be read" in found.to_text()
    readable = file_split.take([0, 1, 2, 4, 5, 6, 8])
    other = evaluate(network, readable, spec, protocol).report
    assert other.confusion == found.report.confusion


def test_nothing_readable_is_bad_data(
    network: nn.Module, file_split: Split, spec: InputSpec
) -> None:
    with pytest.raises(BadData, match="no image"):
        evaluate(network, file_split.take([3, 7]), spec)


def test_classes_in_another_order_are_matched_by_name(
    network: nn.Module, split: Split, spec: InputSpec
) -> None:
    names = tuple("gfedcba")
    renamed = Split("test", names, 6 - split.labels, split.images)
    assert same(
        evaluate(network, split, spec).report,
        evaluate(network, renamed, spec, classes=split.classes).report,
    )


def test_classes_without_images_change_no_figure_but_are_told(
    network: nn.Module, split: Split, spec: InputSpec
) -> None:
    """Two classes' images among seven, and the same as a set that knows of these two alone."""
    some = split.take(np.flatnonzero(np.isin(split.labels, [2, 5])))
    alone = Split("test", ("f", "c"), np.where(some.labels == 5, 0, 1), some.images)
    whole = evaluate(network, some, spec)
    part = evaluate(network, alone, spec, classes=split.classes)
    assert part.classes_in_data == whole.classes_in_data == 2
    assert same(part.report, whole.report)
    defined = [each.f1 for each in part.report.per_class if each.support]
    assert len(defined) == 2
    assert part.report.macro_f1 == sum(filter(None, defined)) / 2
    assert "2 of the network's 7 classes; no images of the other 5" in part.to_text()


def test_class_lists_that_differ_are_shown(
    network: nn.Module, split: Split, spec: InputSpec
) -> None:
    with pytest.raises(BadData, match="only in the data: 'g'; only in the network: 'x'"):
        evaluate(network, split, spec, classes=tuple("abcdefx"))
    with pytest.raises(BadData, match="'a' more than once"):
        evaluate(network, split, spec, classes=tuple("abcdefa"))


def test_a_network_with_other_outputs_is_bad_data(split: Split, spec: InputSpec) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    with pytest.raises(BadData, match="4 outputs"):
        evaluate(other, split, spec)


def test_every_module_s_mode_is_restored(network: nn.Module, split: Split, spec: InputSpec) -> None:
    network.get_submodule("norm").eval()  # a frozen part of a network that trains
    before = [module.training for module in network.modules()]
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    evaluate(network, split, spec)
    assert [module.training for module in network.modules()] == before
    assert any(before)
    assert not all(before)
    for name, value in network.named_buffers():
        assert torch.equal(value, buffers[name])
    assert torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error(split: Split, spec: InputSpec) -> None:
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(3, 7)).train()
    with pytest.raises(RuntimeError):
        evaluate(wrong, split, spec)
    assert wrong.training


def test_what_a_run_watches_is_the_same_as_single(
    network: nn.Module, file_split: Split, spec: InputSpec
) -> None:
    report = evaluate(network, file_split, spec).report
    pipeline = Pipeline(file_split, spec, batch_size=4)
    for _ in range(2):  # the pipeline can be used again
        quick = quick_figures(quick_answers(network, pipeline), file_split)
        assert quick["top1_error_percent"] == report.top1_error_percent
        assert quick["loss"] == pytest.approx(report.loss, rel=1e-6)
        assert (quick["num_samples"], quick["num_skipped"]) == (7, 2)
    pipeline.close()


def test_progress_ends_at_all_images(
    network: nn.Module, file_split: Split, spec: InputSpec
) -> None:
    calls: list[tuple[int, int]] = []
    evaluate(
        *(network, file_split, spec),
        batch_size=2,
        progress=lambda done, total: calls.append((done, total)),
    )
    # a file that cannot be read is done with the images around it, and shrinks no batch
    assert calls == [(2, 9), (5, 9), (7, 9), (8, 9), (9, 9)]


def test_bf16_is_close_to_fp32(network: nn.Module, split: Split, spec: InputSpec) -> None:
    exact = evaluate(network, split, spec)
    rounded = evaluate(network, split, spec, compute=choose_compute("cpu", "bf16"))
    assert rounded.report.loss == pytest.approx(exact.report.loss, rel=0.05)
    assert rounded.report.loss != exact.report.loss
    assert rounded.to_json()["precision"] == "bf16"


def test_grey_images_fit_a_grey_network() -> None:
    generator = np.random.default_rng(0)
    images = ArrayImages(generator.integers(0, 256, (6, 8, 8, 1), dtype=np.uint8), "grey")
    split = Split("test", ("x", "y"), np.array([0, 1] * 3), images)
    grey = InputSpec(size=10, resize=8, channels=1, mean=(0.5,), std=(0.5,))
    network = nn.Sequential(nn.Flatten(), nn.Linear(100, 2))
    assert evaluate(network, split, grey).report.num_samples == 6


def test_view_boxes_touch_all_four_corners() -> None:
    boxes = view_boxes("corners_and_centre", 256, 256, 224)
    assert [(box.left, box.top) for box in boxes] == [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)]
