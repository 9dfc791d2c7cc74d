"""Answers in a faster precision: checked on a sample, and exact where two classes are close."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import backbones
from backbones.classifier import checked
from backbones.classifier.assembly import Member
from backbones.classifier.checked import CheckedInference, inference_of
from backbones.classifier.options import InferenceOptions
from backbones.classifier.second_look import choose_second_look, near_ties
from backbones.classifier.source import source_of
from backbones.compute import Compute, choose_compute
from backbones.errors import WrongUse
from backbones.spec import InputSpec

SPEC = InputSpec(channels=1, size=64, mean=(0.0,), std=(1.0,), resize=64)
AUTO = Compute("cpu", "fp32", 1, "torch", faster="bf16")
EXACT = Compute("cpu", "fp32", 1, "torch")
NUM = 300


class Brightness(nn.Module):
    """Two classes by an image's mean; bf16 rounds it to 8 bits, which moves those near 0.5."""

    def __init__(self, scale: float = 50.0) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[scale], [-scale]]))
            self.layer.bias.copy_(torch.tensor([-scale / 2, scale / 2]))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layer(images.mean((2, 3)))
        return found


def pixels(count: int = NUM) -> np.ndarray:
    """Images of one grey each: many near the middle, where the two classes meet."""
    greys = np.random.default_rng(0).normal(127.5, 12, count).clip(0, 255).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 64, 64, 1)).copy()


def member(network: nn.Module | None = None) -> Member:
    made = network or Brightness()
    return Member(lambda: made, SPEC, ("bright", "dark"))


def answered(compute: Compute, network: nn.Module | None = None):
    inference = inference_of([member(network)], InferenceOptions(compute=compute), NUM)
    found = list(inference.answers(source_of(pixels())))
    scores = torch.stack([each.log_probabilities for each in found])
    return inference, found, scores


def test_few_or_small_images_are_answered_exactly() -> None:
    options = InferenceOptions(compute=AUTO)
    assert not isinstance(inference_of([member()], options, checked.FEWEST - 1), CheckedInference)
    assert isinstance(inference_of([member()], options, checked.FEWEST), CheckedInference)
    assert isinstance(inference_of([member()], options), CheckedInference)
    exact = InferenceOptions(compute=EXACT)
    assert not isinstance(inference_of([member()], exact), CheckedInference)


def test_close_answers_are_those_of_the_exact_network_to_the_last_bit() -> None:
    inference, found, scores = answered(AUTO)
    _, _, exact = answered(EXACT)
    assert [each.index for each in found] == list(range(NUM))
    second_look = inference.computed.second_look
    assert second_look is not None
    assert second_look.agreement.num_images == 60  # every fifth of 300
    again = torch.tensor([each.computed.again for each in found])
    assert 0 < int(again.sum()) < NUM / 2
    assert torch.equal(scores[again], exact[again])
    assert not torch.equal(scores[~again], exact[~again])
    assert {each.computed.compute.precision for each in found if each.computed.again} == {"fp32"}
    assert not near_ties(scores[~again], second_look.gap).any()
    assert inference.usual.compute.precision == "bf16"


def test_a_sample_knows_its_places_whatever_cannot_be_read() -> None:
    """Of the spread sample hardly one can be read: the first ones that can be are taken."""
    images: list[object] = [
        b"broken" if row % 5 == 0 else each for row, each in enumerate(pixels())
    ]
    options = InferenceOptions(compute=AUTO, batch_size=4)  # so that the sample takes several
    inference = inference_of([member()], options, NUM)
    assert isinstance(inference, CheckedInference)
    found = list(inference.answers(source_of(images)))
    exact = inference_of([member()], InferenceOptions(compute=EXACT), NUM)
    rows = [each.log_probabilities for each in exact.answers(source_of(images))]
    assert len(found) == NUM
    assert len(inference.sample) >= checked.SAMPLE
    for place, answer in zip(inference.sample.positions, inference.sample.exact, strict=True):
        torch.testing.assert_close(answer, rows[place], rtol=0, atol=1e-3)  # a grey level is 0.2


def test_agree_asks_for_more() -> None:
    _, usual, _ = answered(AUTO)
    wanted = Compute("cpu", "fp32", 1, "torch", faster="bf16", agree=0.99999)
    _, more, scores = answered(wanted)
    _, _, exact = answered(EXACT)
    assert sum(e.computed.again for e in more) > sum(e.computed.again for e in usual)
    assert torch.equal(scores.argmax(1), exact.argmax(1))


class Coarse(Brightness):
    """One that bf16 ruins: it looks at what comes after the eighth bit."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((2, 3))
        if torch.is_autocast_enabled("cpu"):
            mean = 1 - mean
        found: Tensor = self.layer(mean)
        return found


def test_a_network_that_the_precision_ruins_is_answered_exactly() -> None:
    inference, _, scores = answered(AUTO, Coarse())
    _, _, exact = answered(EXACT, Coarse())
    assert torch.equal(scores, exact)
    assert not inference.computed.second_look.is_enough
    assert inference.usual.compute.precision == "fp32"
    assert "all images are answered in fp32" in inference.computed.second_look.to_lines()[-1]


def test_answers_that_come_one_by_one_are_the_sample_until_there_are_enough() -> None:
    inference = inference_of([member()], InferenceOptions(compute=AUTO))
    blocks = list(source_of(list(pixels(checked.SAMPLE + 20))).blocks(1))
    prepared = [inference.prepare(block) for block in blocks]
    inference.answer(prepared[:3])
    inference.forget()  # as a server does with its test images
    for each in prepared[: checked.SAMPLE]:
        (answer,) = inference.answer([each])
        assert answer.computed.compute.precision == "fp32"
    assert inference.computed.second_look.agreement.num_images == checked.SAMPLE
    later = inference.answer(prepared[checked.SAMPLE :])
    assert "bf16" in {each.computed.compute.precision for each in later}


def test_the_gap_follows_from_what_was_measured() -> None:
    """Gaps evenly distributed, moved by known normal noise: the promise is held on new images."""
    generator = torch.Generator().manual_seed(0)

    def both(count: int) -> tuple[Tensor, Tensor]:
        gap = torch.rand(count, generator=generator) * 4
        moved = gap + 0.1 * torch.randn(count, generator=generator)
        return tuple(torch.stack([g / 2, -g / 2], 1).log_softmax(1) for g in (moved, gap))  # type: ignore[return-value]

    found = choose_second_look(*both(64), 0.999, 1.0)
    fast, exact = both(20_000)
    differ = fast.argmax(1) != exact.argmax(1)
    again = near_ties(fast, found.gap)
    assert float(differ.float().mean()) > 0.005
    assert float((differ & ~again).float().mean()) < 0.002
    assert found.expected >= 0.999
    assert 0.01 < float(again.float().mean()) < 0.15


def test_equal_answers_need_no_second_look() -> None:
    rows = torch.randn(64, 5, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    found = choose_second_look(rows, rows, None, 0.1)
    assert (found.agreement.same_first_class, found.gap, found.expected) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("agree", "precision", "said"),
    [(1.5, "auto", "from 0.5 to 1"), (0.99, "bf16", "omit one"), (0.99, "exact", "omit one")],
)
def test_a_share_that_cannot_be_asked_for(agree: float, precision: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        choose_compute("cpu", precision, agree=agree)


@pytest.fixture
def with_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with units for bf16, which PyTorch imitates where there are none."""
    monkeypatch.setattr("backbones.compute.has_bf16_units", lambda device="cpu": True)
    monkeypatch.setattr(checked, "FEWEST", 16)
    monkeypatch.setattr(checked, "SAMPLE", 8)
    monkeypatch.setattr(checked, "SMALLEST_BUILT", 1)
    monkeypatch.setattr("backbones.classifier.second_look.LEAST_SHARE", 0.0)  # of very few images
    monkeypatch.setattr("backbones.classifier.second_look.MOST_DIFFERENCE", 1.0)


@pytest.mark.usefixtures("with_units")
def test_every_result_says_how_it_was_computed(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 28, 28, 1), dtype=np.uint8)
    reader = backbones.open("lenet5.digits", device="cpu", engine="torch")
    assert repr(reader).endswith("on cpu in fp32 or bf16")
    found = reader.predict(images)
    lines = [each.to_json() for each in found]
    assert {each["engine"] for each in lines} == {"torch"}
    assert {each["precision"] for each in lines} <= {"fp32", "bf16"}
    assert {each["agreement"] for each in lines} == {lines[0]["agreement"]}
    assert all((each["num_rechecked"] == 1) == (each["precision"] == "fp32") for each in lines)
    target = tmp_path / "answers.csv"
    written = backbones.predict_files(reader, images, target)
    assert written.computed.agreement is not None
    header, first = target.read_text().splitlines()[:2]
    assert header.endswith(",precision")
    assert first.endswith(("fp32", "bf16"))


@pytest.mark.usefixtures("with_units")
def test_an_evaluation_prints_both_figures_on_the_sample(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in "012":
        (tmp_path / label).mkdir()
        for number in range(8):
            grey = rng.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(grey).save(tmp_path / label / f"{number}.png")
    found = backbones.evaluate("lenet5.digits", tmp_path, device="cpu", engine="torch")
    document = json.loads(json.dumps(found.to_json()))
    assert document["precision"] == "bf16"
    assert document["num_rechecked"] >= 0
    sampled = document["sampled"]
    assert sampled["num_images"] == 8
    low, high = sampled["top1_loss_interval_points"]
    assert low <= sampled["top1_loss_points"] <= high
    assert "95 % interval of the difference" in found.to_text()
    exact = backbones.evaluate("lenet5.digits", tmp_path, device="cpu", precision="exact")
    assert exact.to_json()["agreement"] is None
    assert exact.to_json()["num_rechecked"] == 0


@pytest.mark.usefixtures("with_units")
def test_beside_a_printed_figure_answers_are_exact(tmp_path: Path) -> None:
    from dataclasses import replace

    from PIL import Image

    from backbones.protocols.row import PrintedResult
    from backbones.protocols.table import find_protocol

    for label in "01":
        (tmp_path / label).mkdir()
        for number in range(8):
            Image.new("L", (28, 28), 10 * number).save(tmp_path / label / f"{number}.png")
    printed = PrintedResult("somebody's", "MNIST", 0.8, None, "Table 1")
    row = replace(find_protocol("single"), printed=(printed,))
    reader = backbones.open("lenet5.digits", device="cpu", engine="torch")
    assert reader.evaluate(tmp_path, protocol=row).compute.precision == "fp32"
    told = backbones.open("lenet5.digits", device="cpu", engine="torch", agree=0.9)
    assert told.evaluate(tmp_path, protocol=row).sampled is not None
