"""Several processes train what one process trains."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.ranks import ALONE, Ranks
from backbones.training.checkpoint import read_checkpoint

pytestmark = pytest.mark.our_rounding
SCRIPT = Path(__file__).with_name("shared_runs.py")
spec = importlib.util.spec_from_file_location("shared_runs", SCRIPT)
assert spec is not None
assert spec.loader is not None
shared_runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared_runs)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which three processes, two of them, and one have done everything."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "images").mkdir()
    numbers = np.random.default_rng(4)
    for place in range(48):
        pixels = numbers.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        pixels[8:24, 8:24, place % 3] += 100
        Image.fromarray(pixels).save(folder / "images" / f"{place:02d}.png")
    for broken in (1, 30):
        (folder / "images" / f"{broken:02d}.png").write_bytes(b"nothing")
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "3", SCRIPT, folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for case, settings in [*shared_runs.CASES.items(), ("norm", shared_runs.NORM)]:
        shared_runs.run(ALONE, folder, f"{case}-1", *settings)
    return folder


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_alike(one: Path, other: Path, *, rel: float = 1e-5) -> None:
    """Every loss and rate is the same within a tolerance, and everything that is counted."""
    ours, theirs = metrics(one), metrics(other)
    assert len(ours) == len(theirs) > 0
    for mine, their in zip(ours, theirs, strict=True):
        assert their.pop("record") == mine.pop("record")
        their.pop("best", None), mine.pop("best", None)  # of losses that differ in the last bits
        assert their == pytest.approx(mine, rel=rel), mine["step"]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("case", shared_runs.CASES)
def test_losses_are_those_of_one_process(out, case, size):
    assert_alike(out / f"{case}-1", out / f"{case}-{size}")
    length = 15 if shared_runs.SHORT in shared_runs.CASES[case] else 50
    assert metrics(out / f"{case}-{size}")[-1]["step"] == length


def test_the_last_batch_is_as_short_as_for_one_process_and_bad_files_are_told(out):
    epoch, *_ = (row for row in metrics(out / "lenet-3") if row["record"] == "epoch")
    assert (epoch["num_examples"], epoch["num_skipped"]) == (46, 2)


@pytest.mark.parametrize("size", [2, 3])
def test_shared_batch_norm_has_the_gradient_of_the_whole_batch(out, size):
    """After one step, before rounding has met a ReLU, weights and averages are one process's."""
    one, other = (
        read_checkpoint(out / f"norm-{n}" / "checkpoint.safetensors")[0] for n in (1, size)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_a_resume_by_as_many_processes_is_exact(out):
    (whole, facts), (cut, cut_facts) = (
        read_checkpoint(out / name / "checkpoint.safetensors") for name in ("whole", "cut")
    )
    assert whole.keys() == cut.keys()
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())
    assert facts["schedule"] == cut_facts["schedule"]
    assert facts["step"] == cut_facts["step"] == 18
    assert (out / "whole" / "metrics.jsonl").read_bytes() == (
        out / "cut" / "metrics.jsonl"
    ).read_bytes()


def test_a_resume_by_more_processes_goes_on_with_the_same_images(out):
    assert_alike(out / "lenet-1", out / "other")
    assert json.loads((out / "other" / "run.json").read_text())["processes"] == 3  # began as


def test_all_stop_at_the_step_at_which_one_was_asked(out):
    said = {(out / f"asked-{rank}.txt").read_text() for rank in range(3)}
    (sentence,) = said
    assert re.match(r"Interrupted: stopped by SIGTERM after step 5 of 50", sentence)
    _, facts = read_checkpoint(out / "asked" / "checkpoint.safetensors")
    assert facts["step"] == 5


def test_all_stop_where_the_loss_is_not_finite(out):
    said = [(out / f"diverged-{rank}.txt").read_text() for rank in range(3)]
    assert all(each.startswith("Diverged: step ") for each in said)
    assert len({each.split(" (epoch")[0] for each in said}) == 1


def test_every_image_is_evaluated_once_also_where_there_are_fewer_than_processes(out):
    found = [json.loads((out / f"evaluated-{rank}.json").read_text()) for rank in range(3)]
    for each in found:
        assert (each["all"]["num_samples"], each["all"]["num_skipped"]) == (46, 2)
        assert (each["few"]["num_samples"], each["few"]["num_skipped"]) == (1, 1)
        assert each["all"]["confusion"] == found[0]["all"]["confusion"]


@pytest.mark.parametrize("count", [48, 2])
def test_features_are_one_process_s_in_one_file(out, count):
    shared_runs.written(out, "1.npz")
    with np.load(out / f"{count}-1.npz") as one, np.load(out / f"{count}-3.npz") as three:
        assert len(one["paths"]) + len(one["unreadable"]) == count
        for name in ("paths", "unreadable", "reasons"):
            assert one[name].tolist() == three[name].tolist()
        np.testing.assert_allclose(three["features"], one["features"], rtol=1e-4, atol=1e-5)


def test_a_process_that_does_not_answer_is_named(out):
    for rank in range(2):
        said = (out / f"hung-{rank}.txt").read_text()
        assert said.startswith("ProcessLost: the process of rank 2 (of 3) did not answer for 2 s")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", range(16))
def test_shares_cover_a_batch_once_and_leave_no_image_alone_if_they_can(count, size):
    shares = [list(range(count))[Ranks(rank, size).share(count)] for rank in range(size)]
    assert [place for share in shares for place in share] == list(range(count))
    alone = [share for share in shares if len(share) == 1]
    assert not alone or count == 1 or count >= 2 * size
    assert shares[0] != [] or count == 0
