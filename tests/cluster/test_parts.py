"""A list of shards becomes as many parts, whoever works on them and whatever is in them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

import backbones
from backbones import Classifier
from backbones.classifier.inputs import find_inputs
from backbones.cluster.claims import Claims
from backbones.cluster.job import Asked, Job
from backbones.cluster.parts import Manifest, Worker, count_rows, write_part
from backbones.cluster.store import Store
from backbones.errors import BadData, NotFound, WrongUse

NUM_SHARDS, ROWS = 4, 20  # of the fixture
Noise = Callable[[int], bytes]
WriteTar = Callable[[Path, dict[str, bytes]], None]


def job_of(classifier: Classifier, shards: Path, format: str = "jsonl") -> Job:
    listed = tuple(find_inputs([f"{shards}/*.tar"]).shards(1024))
    return Job(classifier, Asked(format, backbones.load_protocol("single")), listed)


@pytest.fixture(scope="module")
def parts(digits: Classifier, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one undisturbed worker leaves, as JSON lines."""
    out = tmp_path_factory.mktemp("undisturbed")
    manifest = backbones.predict_parts(digits, f"{shards}/*.tar", out, format="jsonl")
    assert manifest is not None
    assert (manifest.shards, manifest.rows, manifest.errors) == (NUM_SHARDS, ROWS, 1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_parts_hold_what_one_file_would(digits: Classifier, shards: Path, parts: Path) -> None:
    whole = parts / "whole"
    backbones.predict_files(digits, [f"{shards}/*.tar"], whole, format="jsonl")
    assert b"".join(contents(parts)[name] for name in sorted(contents(parts))) == whole.read_bytes()
    whole.unlink()
    said = json.loads((parts / "manifest.json").read_text())
    assert (said["shards"], said["rows"], said["errors"]) == (NUM_SHARDS, ROWS, 1)
    assert not list((parts / "claims").iterdir())


def test_two_workers_divide_the_work(
    digits: Classifier, shards: Path, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, store = job_of(digits, shards), Store(str(tmp_path))
    written: list[int] = []
    monkeypatch.setattr(
        "backbones.cluster.parts.write_part",
        lambda job, store, number: written.append(number) or write_part(job, store, number),
    )
    one, other = Worker(job, store).run(), Worker(job, store).run()
    with Claims(store).first(["part-00000.jsonl"]) as held:  # a third one has the first shard
        counts = [next(worker) for worker in (one, other, one, other, one)]
        assert held
    assert counts == [0, 0, 1, 1, 2]  # the other finds what it wanted done meanwhile
    assert [*one][-1] == [*other][-1] == NUM_SHARDS
    assert sorted(written) == list(range(NUM_SHARDS))
    assert contents(tmp_path) == contents(parts)


def test_shares_need_nobody(digits: Classifier, shards: Path, parts: Path, tmp_path: Path) -> None:
    named = f"{shards}/*.tar"
    first = backbones.predict_parts(digits, named, tmp_path, format="jsonl", share=(1, 3))
    assert first is None
    assert sorted(contents(tmp_path)) == ["part-00000.jsonl", "part-00003.jsonl"]
    second = backbones.predict_parts(digits, named, tmp_path, format="jsonl", share=(3, 3))
    last = backbones.predict_parts(digits, named, tmp_path, format="jsonl", share=(2, 3))
    assert second is None
    assert isinstance(last, Manifest)
    assert contents(tmp_path) == contents(parts)
    with pytest.raises(WrongUse, match="share is 4/3, expected 1/3 to 3/3"):
        backbones.predict_parts(digits, named, tmp_path, format="jsonl", share=(4, 3))


def test_of_two_who_answer_a_shard_one_part_stays(
    digits: Classifier, shards: Path, tmp_path: Path
) -> None:
    job, store = job_of(digits, shards), Store(str(tmp_path))
    assert write_part(job, store, 0)
    before = (tmp_path / "part-00000.jsonl").stat()
    assert not write_part(job, store, 0)
    after = (tmp_path / "part-00000.jsonl").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": "ten_crop"}, "its protocol is"),
        ({"format": "csv"}, "its format is jsonl, and now csv"),
        ({"top": 3}, "its top is 5, and now 3"),
        ({"batch_size": 2}, "its batch size is none, and now 2"),
        ({"shards": "0.tar"}, "its number of shards is 4, and now 1"),
        ({"shards": "?.[!x]ar"}, None),
        ({"other_weights": True}, "its weights is"),
        ({"engine": "onnxruntime"}, "its engine is torch, and now onnxruntime"),
    ],
)
def test_another_command_is_refused(
    digits: Classifier, shards: Path, parts: Path, change: dict[str, object], said: str | None
) -> None:
    asked = {"format": "jsonl", **change}
    named = shards / str(asked.pop("shards", "*.tar"))
    if asked.pop("other_weights", None):
        (bundle,) = digits.bundles
        moved = {name: tensor + 1 for name, tensor in bundle.state.items()}
        digits = replace(digits, bundles=(replace(bundle, state=moved),))
    if engine := asked.pop("engine", None):
        digits = replace(digits, compute=replace(digits.compute, engine=str(engine)))
    before = contents(parts)
    if said is None:  # the same files by another pattern are the same command
        assert backbones.predict_parts(digits, named, parts, **asked)  # type: ignore[arg-type]
    else:
        with pytest.raises(WrongUse, match="holds the parts of another command") as refused:
            backbones.predict_parts(digits, named, parts, **asked)  # type: ignore[arg-type]
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
    assert contents(parts) == before


def test_a_folder_is_cut_into_lists(
    digits: Classifier, noise: Noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        (photos / f"{number}.png").write_bytes(noise(number))
    monkeypatch.setattr("backbones.api.prediction.IMAGES_IN_A_SHARD", 2)
    manifest = backbones.predict_parts(digits, photos, tmp_path / "parts", format="csv")
    assert manifest is not None
    assert [part.rows for part in manifest.parts] == [2, 2, 1]
    assert manifest.parts[0].images == f"{photos}/0.png to {photos}/1.png"
    (tmp_path / "parts" / "job.json").write_text("{}")
    with pytest.raises(BadData, match="is not as it was written"):
        backbones.predict_parts(digits, photos, tmp_path / "parts", format="csv")


def test_a_shard_that_is_gone_is_no_part(
    digits: Classifier, noise: Noise, write_tar: WriteTar, tmp_path: Path
) -> None:
    write_tar(tmp_path / "0.tar", {"0.png": noise(0)})
    job, store = job_of(digits, tmp_path), Store(str(tmp_path / "parts"))
    (tmp_path / "0.tar").unlink()
    with pytest.raises(BadData, match=r"0\.tar was there when the work began"):
        list(Worker(job, store).run())
    assert not contents(tmp_path / "parts")
    assert not list((tmp_path / "parts" / "claims").iterdir())  # given back at once


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_parts_have_the_same_columns(
    digits: Classifier, noise: Noise, write_tar: WriteTar, tmp_path: Path, format: str
) -> None:
    """Also one without a readable image, and one that is damaged as a whole."""
    write_tar(tmp_path / "0.tar", {"0.png": noise(0), "1.png": noise(1)})
    write_tar(tmp_path / "1.tar", {"0.png": b"no image"})
    (tmp_path / "2.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:700])
    out = tmp_path / "parts"
    listed = [tmp_path / f"{number}.tar" for number in range(3)]
    manifest = backbones.predict_parts(digits, listed, out, format=format, lang="zh")
    assert manifest is not None
    assert [(part.rows, part.errors) for part in manifest.parts] == [(2, 0), (1, 1), (1, 1)]
    files = sorted(out.glob("part-*"))
    if format == "parquet":
        schemas = [parquet.read_schema(path) for path in files]
        assert schemas[0] == schemas[1] == schemas[2]
    if format == "csv":
        headers = [next(csv.reader(path.read_text().splitlines())) for path in files]
        assert headers[0] == headers[1] == headers[2]
        assert len(headers[0]) == 2 + 2 * 5


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_rows_are_counted_whatever_a_file_is_called(
    digits: Classifier, noise: Noise, tmp_path: Path, format: str
) -> None:
    odd = ["a\nb.png", 'a"predictions": [.png', "a,b.png", os.fsdecode(b"caf\xe9.png")]
    for name in odd:
        (tmp_path / name).write_bytes(noise(0))
    (tmp_path / 'z"predictions": [.png').write_bytes(b"no image")
    manifest = backbones.predict_parts(digits, tmp_path, tmp_path / "parts", format=format)
    assert manifest is not None
    assert (manifest.rows, manifest.errors) == (5, 1)


def test_images_of_a_parquet_table_are_answered(
    digits: Classifier, noise: Noise, tmp_path: Path
) -> None:
    cells = [{"bytes": noise(number), "path": f"{number}.png"} for number in range(3)]
    cells.append({"bytes": None, "path": "3.png"})
    parquet.write_table(
        pyarrow.table({"image": cells, "label": [0, 1, 0, 1]}), tmp_path / "t.parquet"
    )
    found = digits.predict(tmp_path / "t.parquet")
    assert [each.path for each in found] == [f"{tmp_path}/t.parquet#{row}" for row in range(4)]
    assert [each.predictions for each in found][:3] == [
        each.predictions for each in digits.predict([noise(number) for number in range(3)])
    ]
    assert found[3].error == "the table holds no bytes for it"
    manifest = backbones.predict_parts(digits, tmp_path, tmp_path / "parts", format="csv")
    assert manifest is not None
    assert (manifest.shards, manifest.rows, manifest.errors) == (1, 4, 1)


def test_count_rows_of_nothing() -> None:
    assert count_rows("part-00000.jsonl", b"") == (0, 0)


def test_parts_at_an_address(digits: Classifier, shards: Path, parts: Path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.put(f"{shards}/", "/shards/", recursive=True)
    named, out = "memory://shards/*.tar", "memory://answers/of-shards"
    manifest = backbones.predict_parts(digits, named, out, format="jsonl")
    assert manifest is not None
    assert manifest.parts[0].images == "memory://shards/0.tar"
    for name, here in contents(parts).items():
        there = files.cat(f"/answers/of-shards/{name}")
        assert there == here.replace(f"{shards}/".encode(), b"memory://shards/")
    assert not [path for path in files.find("/answers") if "claims" in path]
    again = backbones.predict_parts(digits, "memory://shards/{0..3}.tar", out, format="jsonl")
    assert again == manifest


def test_a_list_in_braces_and_an_image_at_an_address(
    digits: Classifier, shards: Path, noise: Noise
) -> None:
    import fsspec

    found = find_inputs([f"{shards}/{{0..2}}.tar"])
    assert found.names == tuple(f"{shards}/{number}.tar" for number in range(3))
    with fsspec.open("memory://one/image.png", "wb") as file:
        file.write(noise(0))
    (answer,) = digits.predict("memory://one/image.png")
    assert answer.path == "memory://one/image.png"
    assert answer.predictions == digits.predict(noise(0))[0].predictions
    with pytest.raises(NotFound, match="holds no shards"):
        digits.predict("memory://nothing")


def test_an_open_classifier_cannot_travel(digits: Classifier, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="each machine of a cluster opens the classifier by itself"):
        backbones.predict_parts(digits, shards, tmp_path / "parts", cluster="ray")


def test_standard_input_cannot_be_divided(noise: Noise) -> None:
    inputs = find_inputs(["-"], stdin=io.BytesIO(noise(0)))
    with pytest.raises(WrongUse, match="cannot be divided"):
        list(inputs.shards(2))
