"""The same evaluation by three processes, by two of them, and by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EVALUATE = """
import json, sys
from dataclasses import replace
import numpy as np
import torch
import torch.distributed as dist
from pathlib import Path
from backbones.data.source import FileImages, Split
from backbones.models import build
from backbones.classifier.evaluation import evaluate
from backbones.protocols.table import ShorterSide, find_protocol
from backbones.spec import InputSpec

torch.set_num_threads(1)
rank, folder, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
names = tuple(f"{place:02d}.png" for place in range(17))
split = Split("val", tuple("abcdefghij"), np.arange(17) % 10, FileImages(Path(folder), names))
network, spec = build("vgg_tiny", seed=2), InputSpec(size=32, resize=32)
for world in range(3, rank, -1):  # the third process leaves after the first of these
    if world > 1:
        meeting = f"file://{out}/meet{world}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    documents = []
    for name in ("ten_crop", "vgg/dense_multiscale"):
        row = replace(find_protocol(name), resize=(ShorterSide(px=40), ShorterSide(px=32)))
        found = evaluate(network, split, spec, row, batch_size=4, workers=0)
        documents.append({**found.to_json(), "seconds": 0, "images_per_second": 0})
    Path(out, f"{world}-{rank}.json").write_text(json.dumps(documents))
    if world > 1:
        dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventeen images, two of which are broken."""
    import numpy as np
    from PIL import Image

    path = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(6)
    for place in range(17):
        size = (36 + place % 3, 44 - place % 4, 3)
        image = Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8))
        image.save(path / f"{place:02d}.png")
    for broken in (5, 16):
        (path / f"{broken:02d}.png").write_bytes(b"nothing")
    return path


@pytest.mark.slow
def test_one_two_and_three_processes_count_every_image_once(folder: Path, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", EVALUATE, str(rank), folder, tmp_path],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(3)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    found: dict[int, list[list[dict]]] = {
        world: [
            json.loads((tmp_path / f"{world}-{rank}.json").read_text()) for rank in range(world)
        ]
        for world in (1, 2, 3)
    }
    for protocol in (0, 1):
        alone = found[1][0][protocol]
        assert (alone["num_samples"], alone["num_skipped"]) == (15, 2)
        for each in (answers[protocol] for world in found.values() for answers in world):
            skipped = sorted(bad["name"] for bad in each["skipped"])
            assert skipped == ["05.png", "16.png"]
            assert each["forward_passes"] == alone["forward_passes"]
            assert each["confusion"] == alone["confusion"]
            assert each["loss"] == pytest.approx(alone["loss"], rel=1e-5)
