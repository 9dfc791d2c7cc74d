"""Several networks as one, and the ways to reduce many answers to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbones.classifier.assembly import Member
from backbones.classifier.evaluation import Evaluation, evaluate, evaluate_together
from backbones.classifier.options import InferenceOptions
from backbones.data.source import ArrayImages, Split
from backbones.errors import BadData
from backbones.protocols.score import fuse, reduce
from backbones.protocols.table import Reduction, find_protocol
from backbones.spec import InputSpec

SPEC = InputSpec(size=4, resize=4)
REDUCTIONS: tuple[Reduction, ...] = ("mean_softmax", "mean_logits", "vote")


class Says(nn.Module):
    """Answers every image with the same scores, times its mean."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores))

    def forward(self, x: Tensor) -> Tensor:
        return self.scores * (3 + x.mean((1, 2, 3)))[:, None]


def member(network: nn.Module, classes: str = "abc", name: str = "one") -> Member:
    return Member(lambda: network, SPEC, tuple(classes), name)


@pytest.fixture
def images() -> Split:
    pixels = np.random.default_rng(4).integers(0, 256, (11, 5, 6, 3), dtype=np.uint8)
    return Split("val", tuple("abc"), np.arange(11) % 3, ArrayImages(pixels, "noise"))


def measured(members: list[Member], split: Split, reduction: Reduction, name: str) -> Evaluation:
    row = replace(find_protocol(name), reduction=reduction)
    return evaluate_together(members, split, InferenceOptions(row, workers=0))


def test_worked_by_hand() -> None:
    """Two views of one image, three classes; probabilities that a pencil can average."""
    views = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]]).log()
    torch.testing.assert_close(reduce(views).exp(), torch.tensor([[0.3, 0.25, 0.45]]))
    # geometric means: sqrt(.05) = .2236, sqrt(.06) = .2449, sqrt(.14) = .3742, of .8427
    found = reduce(views, "mean_logits").exp()[0]
    assert [round(value, 3) for value in found.tolist()] == [0.265, 0.291, 0.444]
    # one vote each for the first and the third; the mean probability prefers the third
    found = reduce(views, "vote").exp()[0]
    assert [round(value, 2) for value in found.tolist()] == [0.5, 0.0, 0.5]
    assert found.argsort(descending=True).tolist() == [2, 0, 1]


def test_more_votes_win_against_any_probability() -> None:
    views = torch.tensor([[[0.51, 0.49], [0.51, 0.49], [0.0001, 0.9999]]]).log()
    assert reduce(views).argmax() == 1
    assert reduce(views, "vote").argmax() == 0


def test_weights_count() -> None:
    views = torch.tensor([[[0.5, 0.5], [0.1, 0.9]]]).log()
    found = reduce(views, weights=torch.tensor([0.75, 0.25])).exp()
    torch.testing.assert_close(found, torch.tensor([[0.4, 0.6]]))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reduced_answers_are_probabilities_and_survive_fusing(reduction: Reduction) -> None:
    scores = 5 * torch.randn(6, 8, 4, generator=torch.Generator().manual_seed(1))
    at_once = reduce(scores, reduction)
    torch.testing.assert_close(at_once.exp().sum(1), torch.ones(6))
    halves = [reduce(scores[:, :4], reduction), reduce(scores[:, 4:], reduction)]
    torch.testing.assert_close(fuse(halves, reduction), at_once, rtol=1e-4, atol=1e-4)


def test_a_probability_too_small_for_float32_stays_comparable() -> None:
    scores = torch.tensor([[[0.0, -200.0, -210.0], [0.0, -210.0, -200.5]]])
    found = reduce(scores)[0]
    assert found[1] > found[2] > -300


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["single", "ten_crop"])
def test_an_ensemble_of_one_is_the_network(images: Split, reduction: Reduction, name: str) -> None:
    network = Says(0.3, 0.2, -0.1)
    alone = evaluate(network, images, SPEC, replace(find_protocol(name), reduction=reduction))
    one = measured([member(network)], images, reduction, name)
    assert one.report == alone.report
    thrice = measured([member(network)] * 3, images, reduction, name)
    assert thrice.report.confusion == alone.report.confusion
    assert thrice.report.loss == pytest.approx(alone.report.loss, rel=1e-5)
    assert thrice.num_passes == 3 * alone.num_passes


def test_two_networks_are_the_mean_of_their_probabilities(images: Split) -> None:
    networks = [Says(0.9, 0.1, -0.4), Says(-0.5, 0.8, 0.2)]
    found = measured([member(each) for each in networks], images, "mean_softmax", "single")
    pixels = torch.from_numpy(images.images.array).permute(0, 3, 1, 2).float()
    # 6 x 5 px: the resize to 4 px is the pipeline's; the answers go by its images
    from backbones.data.pipeline import Pipeline

    (batch,) = Pipeline(images, SPEC, batch_size=len(pixels), workers=0).epoch()
    with torch.no_grad():
        mean = sum(each(batch.images).softmax(1) for each in networks) / 2
    loss = nn.functional.nll_loss(mean.log(), torch.from_numpy(images.labels)).item()
    assert found.report.loss == pytest.approx(loss, rel=1e-5)


def test_networks_whose_classes_are_in_another_order_agree_by_name(images: Split) -> None:
    first, turned = Says(0.9, 0.1, -0.4), Says(-0.4, 0.9, 0.1)  # the same as c, a, b
    together = [member(first), member(turned, "cab", "turned")]
    found = measured(together, images, "mean_softmax", "single")
    alone = measured([member(first)], images, "mean_softmax", "single")
    assert found.report.confusion == alone.report.confusion
    assert found.report.loss == pytest.approx(alone.report.loss, rel=1e-6)


def test_networks_with_other_classes_do_not_answer_together(images: Split) -> None:
    members = [member(Says(0.0, 0.0, 0.0)), member(Says(0.0, 0.0, 0.0), "abd", "stranger")]
    with pytest.raises(BadData, match=r"stranger has 3 classes .* only here: 'd'; .*first: 'c'"):
        measured(members, images, "mean_softmax", "single")


def test_the_report_says_how_networks_were_fused_and_what_it_cost(images: Split) -> None:
    members = [member(Says(1.0, 0.0, 0.0), name="early"), member(Says(0.0, 1.0, 0.0), name="late")]
    found = measured(members, images, "vote", "ten_crop")
    assert "2, the most votes" in found.to_text()
    values = found.to_json()
    assert values["models"] == ["early", "late"]
    assert (values["views_per_image"], values["forward_passes"]) == (10, 2 * 10 * 11)
    assert values["images_per_second"] == pytest.approx(11 / found.seconds)
