"""A classifier: what it opens, what it takes, and that every verb goes one way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import backbones
from backbones.classifier.assembly import Member
from backbones.classifier.classifier import Classifier
from backbones.classifier.inference import Inference, run_inference
from backbones.classifier.options import InferenceOptions
from backbones.classifier.preparing import geometry_of
from backbones.classifier.source import source_of, split_source
from backbones.compute import choose_compute
from backbones.data.source import FileImages, Split
from backbones.errors import OutOfMemory, WrongUse
from backbones.models import build
from backbones.protocols.table import PROTOCOLS, find_protocol
from backbones.spec import InputSpec

CPU = choose_compute("cpu")
SPEC = InputSpec(size=32, resize=40)
CLASSES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine photos of four sizes, one of them broken."""
    path = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(3)
    for place in range(9):
        shape = [(48, 64, 3), (64, 48, 3), (50, 50, 3), (70, 44)][place % 4]
        pixels = generator.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{place}.png")
    (path / "4.png").write_bytes(b"\x89PNG broken")
    return path


@pytest.fixture(scope="module")
def member() -> Member:
    network = build("vgg_tiny", seed=1).eval()
    return Member(lambda: network, SPEC, CLASSES)


def split_of(folder: Path) -> Split:
    names = tuple(sorted(path.name for path in folder.iterdir()))
    return Split("test", CLASSES, np.zeros(len(names), np.int64), FileImages(folder, names))


@pytest.mark.parametrize("row", PROTOCOLS, ids=lambda row: row.name)
def test_predict_and_evaluate_see_the_same_to_the_last_bit(row, folder, member) -> None:
    sides = tuple(type(side)(px=36 + 4 * place) for place, side in enumerate(row.resize[:2]))
    small = type(row)(**{**vars(row), "resize": sides, "grid": min(row.grid, 2)})
    options = InferenceOptions(small, batch_size=4, compute=CPU, workers=2)
    measured = run_inference([member], split_source(split_of(folder)), options)
    found = Classifier((member,), CPU).stream(folder, options, top=None)
    for index, each in enumerate(found):
        if each.error is not None:
            assert [Path(bad.name).name for bad in measured.skipped] == [Path(each.path).name]
            continue
        place = measured.indices.tolist().index(index)
        shares = torch.from_numpy(measured.log_probabilities[place]).exp()
        said = {guess.name: guess.probability for guess in each.predictions}
        assert [said[name] for name in CLASSES] == shares.tolist()


def test_what_people_have_in_hand_gives_the_answers_of_the_file(folder) -> None:
    reader = backbones.open("lenet5.digits", device="cpu")
    path = folder / "0.png"
    pixels = np.asarray(Image.open(path))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    kinds = [path, str(path), Image.open(path), pixels, tensor, path.read_bytes()]
    (expected,) = reader.predict(path)
    for each in kinds:
        (found,) = reader.predict(each)
        assert found.predictions == expected.predictions
    together = reader.predict(kinds)
    assert [each.path for each in together][2:] == [str(path), "image 2", "image 3", "image 4"]
    for each in together:
        assert [guess.name for guess in each.predictions] == [
            guess.name for guess in expected.predictions
        ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "expected uint8"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), "expected uint8"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (3.5, "came as float"),
    ],
)
def test_what_is_no_image_is_one_line(given, message) -> None:
    with pytest.raises(WrongUse, match=message):
        backbones.open("lenet5.digits", device="cpu").predict(given)


def test_predictions_print_convert_and_are_made_once(folder) -> None:
    found = backbones.open("lenet5.digits", device="cpu").predict(folder, top=2)
    assert "cannot be read" in repr(found)
    assert "<table>" in found._repr_html_()
    rows = json.loads(found.json())
    assert [row["path"] for row in rows] == [each.path for each in found]
    assert len(rows[0]["predictions"]) == 2
    assert found[0] is found[0]
    assert [each.path for each in found[1:3]] == [row["path"] for row in rows[1:3]]


def test_an_image_is_decoded_once_for_all_that_see_the_same(folder, monkeypatch) -> None:
    from backbones.classifier import source

    count = 0
    decode = source.decode_then

    def counted(data, use):
        nonlocal count
        count += 1
        return decode(data, use)

    monkeypatch.setattr(source, "decode_then", counted)
    networks = [build("vgg_tiny", seed=seed).eval() for seed in range(3)]
    specs = [SPEC, InputSpec(size=32, resize=40, mean=(0.5,) * 3), InputSpec(size=32, resize=36)]
    members = [
        Member(lambda network=network: network, spec, CLASSES, str(spec))
        for network, spec in zip(networks, specs, strict=True)
    ]
    assert len({geometry_of(spec) for spec in specs}) == 2
    options = InferenceOptions(find_protocol("ten_crop"), compute=CPU, kept_px=640, workers=0)
    answers = list(Inference(members, options).answers(source_of(folder)))
    assert count == len(answers) == 9
    assert answers[0].image is not None


def test_a_batch_that_does_not_fit_is_tried_in_halves(folder, member) -> None:
    network = member.build()
    seen: list[int] = []

    class Small(torch.nn.Module):
        def __init__(self, most: int) -> None:
            super().__init__()
            self.inner, self.most = network, most

        def forward(self, x):
            if len(x) > self.most:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            seen.append(len(x))
            return self.inner(x)

    def run(most: int):
        small = Small(most)
        alone = Member(lambda: small, SPEC, CLASSES)
        options = InferenceOptions(batch_size=8, compute=CPU, workers=0)
        return run_inference([alone], split_source(split_of(folder)), options)

    assert len(run(3).indices) == 8
    assert max(seen) == 2
    with pytest.raises(OutOfMemory, match="more memory than there is"):
        run(0)


def test_it_says_what_it_is(tmp_path) -> None:
    reader = backbones.open("lenet5.digits", device="cpu", precision="exact")
    assert repr(reader) == "lenet5.digits: lenet5, 10 classes, 32 px grey, on cpu in fp32"
    assert repr(reader) in reader._repr_html_()
    two = backbones.open(["lenet5.digits", "lenet5.digits"], device="cpu")
    assert "2 networks as one (lenet5)" in repr(two)
    with pytest.raises(WrongUse, match="cannot explain as one"):
        two.explain(tmp_path)


def test_a_device_that_is_not_there_is_one_line() -> None:
    with pytest.raises(WrongUse, match="use auto or one of"):
        backbones.open("lenet5.digits", device="cuda:7")
    with pytest.raises(WrongUse, match="expected auto, cpu"):
        backbones.open("lenet5.digits", device="tpu")


def test_results_record_device_and_precision() -> None:
    found = backbones.evaluate("lenet5.digits", "digits", limit=8, device="cpu", threads=1)
    said = found.to_json()
    assert (said["device"], said["precision"], said["threads"]) == ("cpu", "fp32", 1)
