"""Twenty workers are killed at random moments, and every image has exactly one row."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import backbones
from backbones import Classifier

SHARDS, IMAGES, KILLS = 60, 3, 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the workers are forked")
def test_every_image_has_one_row_after_twenty_kills(
    digits: Classifier,
    noise: Callable[[int], bytes],
    write_tar: Callable[[Path, dict[str, bytes]], None],
    tmp_path: Path,
) -> None:
    shards, out, calm = (tmp_path / name for name in ("shards", "out", "calm"))
    shards.mkdir()
    images = {f"{number}.png": noise(number) for number in range(IMAGES - 1)}
    for shard in range(SHARDS):
        write_tar(shards / f"{shard:03d}.tar", {**images, "broken.png": b"no image"})
    program = Path(__file__).with_name("killed_workers.py")
    done = subprocess.run(
        [sys.executable, program, shards, out, str(KILLS)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(KILLS), "0", "0"], done.stderr
    assert "kill 19: 60 parts" not in done.stderr  # there was work for all of them
    manifest = backbones.predict_parts(digits, f"{shards}/*.tar", calm, format="csv")
    assert manifest is not None
    assert (manifest.shards, manifest.rows, manifest.errors) == (SHARDS, SHARDS * IMAGES, SHARDS)
    rows: Counter[str] = Counter()
    for part in sorted(out.glob("part-*")):
        assert part.read_bytes() == (calm / part.name).read_bytes()
        rows.update(row["path"] for row in csv.DictReader(part.read_text().splitlines()))
    assert len(rows) == SHARDS * IMAGES
    assert set(rows.values()) == {1}
    assert (out / "manifest.json").read_bytes() == (calm / "manifest.json").read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "claims",
        "job.json",
        "manifest.json",
        *sorted(path.name for path in calm.glob("part-*")),
    ]
    assert list((out / "claims").iterdir()) == []
