"""`torchrun -m backbones train`: one folder and one voice, also when a process is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.training.checkpoint import read_checkpoint

pytestmark = pytest.mark.our_rounding
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
SETTINGS = ("length=150steps", "checkpoint_every=10steps", "evaluate_every=75steps", "workers=0")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torchrun") / "photos"
    numbers = np.random.default_rng(0)
    for place in range(40):
        path = folder / ("train", "val")[place % 5 == 0] / "ab"[place % 2] / f"{place:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = numbers.integers(0, 200, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels + 50 * (place % 2)).save(path)
    return folder


def of_rank(agent: int, rank: int) -> int:
    """The process of a rank, of those that torchrun started."""
    for children in Path(f"/proc/{agent}/task").glob("*/children"):
        for pid in children.read_text().split():
            if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return int(pid)
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_a_killed_process_ends_all_with_a_sentence_and_a_restart_goes_on(photos, tmp_path):
    run = tmp_path / "run"
    settings = [word for each in SETTINGS for word in ("--set", each)]
    command = ["train", photos, "--model", "lenet5_tiny", "--recipe", "scratch", "--out", run]
    size = ["--image-size", "16", "--batch-size", "6", "--set", "input.resize=16"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen(
        [*TORCHRUN, "--max-restarts", "1", "-m", "backbones", *command, *size, *settings],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run / "checkpoint.safetensors").exists():
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.02)
    os.kill(of_rank(started.pid, 0), signal.SIGKILL)
    out, err = started.communicate(timeout=240)
    assert started.returncode == 0, err
    lines = err.splitlines()
    (sentence,) = (line for line in lines if line.startswith("error:"))
    assert "the process of rank 0 (of 2) ended or was killed; step " in sentence
    assert f"is saved; go on with: backbones train --resume {run}" in sentence
    assert sum("resumed at step" in line for line in lines) == 1
    assert sum(line.startswith("bundle: ") for line in lines) == 1
    assert not [line for line in lines if "Traceback" in line]
    assert out.count("accuracy") == 1
    _, facts = read_checkpoint(run / "checkpoint.safetensors")
    assert facts["step"] == 150
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    numbers = [row["step"] for row in steps if row["record"] == "step"]
    assert numbers == sorted(set(numbers))


def test_other_verbs_are_not_done_twice(photos):
    environment = {**os.environ, "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    command = [sys.executable, "-m", "backbones", "predict", "lenet5.digits", photos]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: 2 processes were started, and predict is for one: start it without torchrun"
        " (with it: train, evaluate, features)\n"
    )
