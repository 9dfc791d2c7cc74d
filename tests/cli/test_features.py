"""`backbones features`: from a folder, an archive or a run to a file of rows."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def test_a_folder_becomes_a_file_of_rows(backbones, trained: Path, photos: Path, tmp_path) -> None:
    answer = backbones("features", trained, photos, "--out", tmp_path / "out.npz")
    assert answer.code == 0
    assert "wrote 80 rows to" in answer.err
    assert "1 of 81 images could not be read" in answer.err
    found = load(tmp_path / "out.npz")
    assert found["features"].shape == (80, 32)
    assert np.isfinite(found["features"]).all()
    assert [Path(path).name for path in found["unreadable"]] == ["broken.jpg"]
    assert (str(found["variant"]), str(found["tap"])) == ("vgg_tiny", "into:classifier.6")
    # The rows tell the shapes apart: each image's nearest other one is of its kind.
    rows = found["features"]
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2) + 1e9 * np.eye(len(rows))
    kinds = np.array([Path(path).parent.name for path in found["paths"]])
    assert (kinds[apart.argmin(1)] == kinds).mean() > 0.8  # 0.99 to 1 over five seeds


def test_maps_of_a_named_layer_from_an_archive(
    backbones, trained: Path, photos: Path, tmp_path
) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.write(photos / "disc" / "00.jpg", "inside/one.jpg")
    arguments = ("features", trained, tmp_path / "some.zip", "--layer", "Relu3_1", "--no-pool")
    assert backbones(*arguments, "--out", tmp_path / "maps.npz").code == 0
    maps = load(tmp_path / "maps.npz")
    assert maps["paths"].tolist() == [f"{tmp_path}/some.zip/inside/one.jpg"]
    assert maps["features"].shape[1] == 16
    assert maps["features"].ndim == 4
    assert backbones(*arguments[:-1], "--out", tmp_path / "rows.npz").code == 0
    rows = load(tmp_path / "rows.npz")["features"]
    np.testing.assert_allclose(rows, maps["features"].mean((2, 3)), atol=1e-5)


def test_parquet(backbones, trained: Path, photos: Path, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    out = tmp_path / "out.parquet"
    assert backbones("features", trained, photos / "disc", "--out", out).code == 0
    table = parquet.read_table(out).to_pylist()
    assert len(table) == 41
    assert [row["path"] for row in table if row["features"] is None] == [
        str(photos / "disc" / "broken.jpg")
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--layer", "relu3_2"), "no layer 'relu3_2'"),
        (("--out", "rows.csv"), "expected .npz or .parquet"),
        (("--out", "rows.parquet", "--no-pool"), "maps do not fit"),
        (("--layer", "relu3_1@2"), "did not run relu3_1@2"),
    ],
)
def test_a_wrong_word_is_one_line(backbones, trained, photos, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    answer = backbones("features", trained, photos, *words)
    assert answer.code == 2
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())


def test_nothing_readable_is_a_failure(backbones, trained: Path, photos: Path, tmp_path) -> None:
    broken = photos / "disc" / "broken.jpg"
    assert backbones("features", trained, broken, "--out", tmp_path / "out.npz").code == 1
    assert backbones("features", trained, tmp_path / "none", "--out", "x.npz").code == 2
