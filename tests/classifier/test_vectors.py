"""Features are what the layer gives, one row an image, whatever else lies in the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from backbones.classifier import vectors
from backbones.classifier.assembly import Member
from backbones.classifier.inputs import Inputs, find_inputs
from backbones.classifier.options import InferenceOptions
from backbones.classifier.source import input_source
from backbones.classifier.vectors import Features, check_target, usual_tap, write_features
from backbones.compute import choose_compute
from backbones.data.pipeline import Pipeline
from backbones.data.source import FileImages, Split
from backbones.engines import find_engine
from backbones.errors import MissingExtra, NotFound, WrongUse
from backbones.models import build
from backbones.spec import InputSpec

GOOD = ("a/1.jpg", "a/2.png", "b/c/3.JPG")
SPEC = InputSpec(size=32, resize=36)


def extract_features(
    network: nn.Module,
    inputs: Inputs,
    layer: str,
    *,
    spec: InputSpec = SPEC,
    pool: bool = True,
    progress: Any = None,
    **options: Any,
) -> Iterator[Features]:
    member = Member(lambda: network, spec, ())
    source = input_source(inputs)
    kept = InferenceOptions(**options)
    return vectors.extract_features(member, source, layer, kept, pool=pool, progress=progress)


@pytest.fixture
def vgg() -> Any:
    return build("vgg_tiny", seed=0).train()


def as_seen(photos: Path) -> torch.Tensor:
    split = Split("x", ("one",), np.zeros(3, np.int64), FileImages(photos, GOOD))
    (batch,) = Pipeline(split, SPEC, batch_size=3).epoch()
    return batch.images


def test_rows_are_what_the_layer_gives_in_evaluation(photos: Path, vgg: Any) -> None:
    inputs = find_inputs([photos / name for name in GOOD])
    vectors = list(extract_features(vgg, inputs, "relu3_1"))
    maps = list(extract_features(vgg, inputs, "relu3_1", pool=False))
    assert vgg.training, "its mode is not restored"
    with torch.no_grad():
        expected = vgg.eval().features[:11](as_seen(photos)).numpy()
    for image, vector, whole in zip(expected, vectors, maps, strict=True):
        np.testing.assert_allclose(whole.values, image, atol=1e-6)
        np.testing.assert_allclose(vector.values, image.mean((1, 2)), atol=1e-6)
    assert [Path(row.path).name for row in vectors] == [Path(name).name for name in GOOD]


def test_the_usual_tap_is_what_the_last_layer_sees(photos: Path, vgg: Any) -> None:
    assert usual_tap(vgg, SPEC) == "into:classifier.6"
    inputs = find_inputs([photos / name for name in GOOD])
    rows = np.stack([row.values for row in extract_features(vgg, inputs, "into:fc8")])
    assert rows.shape == (3, 32)
    with torch.no_grad():
        logits = vgg.eval()(as_seen(photos))
        assert torch.allclose(vgg.classifier[6](torch.from_numpy(rows)), logits, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (2, 2), (100, 4)])
def test_batches_and_workers_change_nothing_and_bad_files_stay_in_place(
    photos: Path, vgg: Any, batch_size: int, workers: int
) -> None:
    inputs = find_inputs([photos / "a" / "1.jpg", photos / "empty.jpg", photos / "a" / "2.png"])
    seen: list[tuple[int, int]] = []
    rows = list(
        extract_features(
            vgg,
            inputs,
            "pool5",
            batch_size=batch_size,
            workers=workers,
            progress=lambda *done: seen.append(done),
        )
    )
    one, bad, two = rows
    assert (bad.values, bad.error) == (None, "the file is empty")
    alone = [next(extract_features(vgg, find_inputs([r.path]), "pool5")) for r in (one, two)]
    for row, expected in zip((one, two), alone, strict=True):
        # a sum in another order: fp32 has 1.2e-7
        np.testing.assert_allclose(row.values, expected.values, rtol=1e-5, atol=1e-6)
    assert seen[-1] == (3, 3)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_an_unknown_layer_is_told_before_any_image_is_read(photos: Path, vgg: Any) -> None:
    with pytest.raises(NotFound, match=r"no layer 'pool6'.*pool5"):
        extract_features(vgg, find_inputs([photos]), "pool6")


def rows(count: int = 3) -> Iterator[Features]:
    for number in range(count):
        values = None if number == 1 else np.full(4, number, np.float32)
        yield Features(f"image {number}.jpg", values, "the file is empty" if number == 1 else None)


def test_npz_holds_names_values_and_reasons(tmp_path: Path) -> None:
    written = write_features(rows(), tmp_path / "out.npz", named={"tap": "relu4_2"})
    assert (written.num_images, written.failures) == (
        3,
        (("image 1.jpg", "the file is empty"),),
    )
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert found["paths"].tolist() == ["image 0.jpg", "image 2.jpg"]
        assert found["features"].tolist() == [[0] * 4, [2] * 4]
        assert found["features"].dtype == np.float32
        assert found["unreadable"].tolist() == ["image 1.jpg"]
        assert found["reasons"].tolist() == ["the file is empty"]
        assert str(found["tap"]) == "relu4_2"


def test_parquet_has_a_row_an_image(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    written = write_features(rows(2500), tmp_path / "out.parquet", named={"tap": "fc7"})
    assert written.num_images == 2500
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.schema.metadata == {b"tap": b"fc7"}
    found = table.to_pylist()
    assert len(found) == 2500
    assert found[1] == {"path": "image 1.jpg", "features": None, "error": "the file is empty"}
    assert found[2499] == {"path": "image 2499.jpg", "features": [2499.0] * 4, "error": None}


def test_nothing_readable_still_gives_a_file(tmp_path: Path) -> None:
    nothing = [Features("a.jpg", None, "the file is empty")]
    write_features(nothing, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert len(found["features"]) == len(found["paths"]) == 0
        assert found["unreadable"].tolist() == ["a.jpg"]


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    target = tmp_path / f"out{suffix}"
    target.write_bytes(b"old")

    def broken() -> Iterator[Features]:
        yield from rows(2000)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_features(broken(), target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongUse, match=r"suffix '.csv', expected .npz or .parquet"):
        check_target(tmp_path / "out.csv", vectors=True)
    with pytest.raises(WrongUse, match="maps do not fit"):
        check_target(tmp_path / "out.parquet", vectors=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'classic-backbones\[parquet\]'"):
        check_target(tmp_path / "out.parquet", vectors=True)


def test_a_network_of_somebody_else(photos: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)
    )
    spec = InputSpec(size=12, resize=14)
    name = usual_tap(model, spec)
    (row, *_) = extract_features(model, find_inputs([photos / GOOD[0]]), name, spec=spec)
    assert name == "into:3"
    assert row.values is not None
    assert row.values.shape == (5,)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_every_engine_gives_the_same_features(photos: Path, vgg: Any, name: str) -> None:
    if not find_engine(name).is_here:
        pytest.skip(f"{name} is an extra")
    inputs = find_inputs([photos / each for each in GOOD])
    compute = choose_compute("cpu", "exact", threads=1, engine=name)
    for layer in ("relu3_1", "into:fc8"):
        ours = list(extract_features(vgg, inputs, layer))
        theirs = list(extract_features(vgg, inputs, layer, compute=compute))
        for one, other in zip(ours, theirs, strict=True):
            scale = np.abs(one.values).max()
            np.testing.assert_allclose(other.values, one.values, rtol=0, atol=1e-4 * scale)
        assert {each.computed.compute.engine for each in theirs} == {name}
    with pytest.raises(WrongUse, match="did not run relu3_1@2"):
        list(extract_features(vgg, inputs, "relu3_1@2", compute=compute))
