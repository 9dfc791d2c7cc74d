"""A run that was interrupted anywhere ends in the same bits as one that was not."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.data.source import ArrayImages, Split
from backbones.errors import BadData, BadWeights, Interrupted, NotFound, TrainingStopped, WrongUse
from backbones.training.checkpoint import read_checkpoint
from backbones.training.folder import RunFolder
from backbones.training.record import CheckpointRecord, EvaluationRecord, StartRecord, StepRecord
from backbones.weights.bundle import read_bundle

PLATEAU = ("schedule.kind=plateau", "schedule.patience=0", "schedule.gamma=0.5")
WAYS = {
    "sgd": ("optimizer.momentum=0.9", "optimizer.nesterov=true"),
    "fused": ("optimizer.fused=true", "channels_last=true", "schedule.kind=cosine"),
    "adam, average": ("optimizer.kind=adam", "optimizer.lr=0.003", "ema=0.9"),
    "adamw, warm-up": ("optimizer.kind=adamw", "optimizer.lr=0.003", "schedule.warmup=5steps"),
    "rmsprop": ("optimizer.kind=rmsprop", "optimizer.lr=0.001", "clip_norm=0.5"),
    "tensorflow's rmsprop": ("optimizer.kind=rmsprop_tf", "optimizer.eps=1", "clip_norm=0.5"),
    "mixup and cutmix": ("mixup=0.2", "cutmix=1", "label_smoothing=0.1", "accumulate=2"),
    "polyak": ("polyak_from=5steps", "schedule.kind=poly", "schedule.power=0.5"),
    "piecewise": (
        "schedule.kind=piecewise",
        "schedule.milestones=2steps,7steps",
        "schedule.factors=[0.5,0.1]",
    ),
    "plateau": (*PLATEAU, "schedule.threshold=0.5"),
    "plateau on the loss, average": (*PLATEAU, "schedule.monitor=loss", "ema=0.5"),
    "step": ("schedule.kind=step", "schedule.every=4steps"),
    "milestones": ("schedule.kind=multistep", "schedule.milestones=4steps,3epochs"),
    "parts": (
        "accumulate=3",
        'parts=[{"match": "old", "lr_scale": 0.1}]',
        "class_weights=balanced",
    ),
    "frozen": ("freeze=features", "optimizer.weight_decay=0.01"),
    "bf16": ("precision=bf16", "channels_last=true", "optimizer.kind=adam", "optimizer.lr=0.003"),
}


def assert_same(one: Path, other: Path) -> None:
    """Weights, optimiser, average, schedule, sums, metrics and bundles, to the bit."""
    tensors, facts = read_checkpoint(one / "checkpoint.safetensors")
    others, other_facts = read_checkpoint(other / "checkpoint.safetensors")
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    lengths, other_lengths = facts.pop("positions"), other_facts.pop("positions")
    assert lengths[0] == other_lengths[0]
    assert facts == other_facts
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = read_bundle(one / name), read_bundle(other / name)
        assert ours == theirs
        assert all(torch.equal(ours.state[key], theirs.state[key]) for key in ours.state)


@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS.keys())
def test_four_epochs_are_two_and_a_half_resumed(recipe, train, tmp_path, settings):
    row = recipe("length=4epochs", "checkpoint_every=2steps", *settings)
    train(row, tmp_path / "whole")
    train(row, tmp_path / "cut", stop_when=lambda r: isinstance(r, StepRecord) and r.step == 8)
    _, facts = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert facts["step"] == 6
    begun = train(row, tmp_path / "cut", resume=True)[0]
    assert isinstance(begun, StartRecord)
    assert begun.step == 6
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_two_threads_end_in_the_same_bits_too(recipe, train, tmp_path):
    torch.set_num_threads(2)  # the folder's fixture sets it back
    row = recipe("length=1epochs", "checkpoint_every=1steps", "optimizer.momentum=0.9")
    train(row, tmp_path / "whole")
    train(row, tmp_path / "cut", stop_when=lambda r: isinstance(r, StepRecord) and r.step == 2)
    train(row, tmp_path / "cut", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_resume_in_the_middle_of_an_epoch_keeps_its_sums(recipe, train, tmp_path):
    row = recipe("checkpoint_every=1steps")
    train(row, tmp_path / "whole")
    train(row, tmp_path / "cut", stop_when=lambda r: isinstance(r, StepRecord) and r.step == 3)
    _, facts = read_checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
    assert facts["sums"]["num_examples"] == 16
    train(row, tmp_path / "cut", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_the_plateau_of_the_matrix_really_drops(recipe, train, tmp_path):
    """Otherwise the rows above would prove nothing about it."""
    row = recipe("length=4epochs", *WAYS["plateau"])
    records = train(row, tmp_path / "run")
    rates = {record.lr for record in records if isinstance(record, StepRecord)}
    assert len(rates) > 1


def test_a_checkpoint_that_is_gone_is_no_beginning(recipe, train, tmp_path):
    """The run had got to step 6; it went on from step 0 without a word of what was lost."""
    train(recipe(), tmp_path / "run")
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(BadData, match=r"checkpoint.safetensors is gone, .* put it back"):
        train(recipe(), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_without_a_checkpoint_the_run_begins_again(recipe, train, tmp_path):
    row = recipe()
    train(row, tmp_path / "whole")
    train(row, tmp_path / "cut", stop_when=lambda r: isinstance(r, StepRecord) and r.step == 2)
    begun = train(row, tmp_path / "cut", resume=True)[0]
    assert "begins again" in begun.notes[0]
    assert_same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("epochs", [2, 1], ids=["on the way", "the last one"])
def test_an_evaluation_that_a_signal_broke_off_is_done_by_the_resume(
    recipe, train, squares, tmp_path, monkeypatch, epochs
):
    """It is not waited for, and the run ends as if nobody had asked."""
    row = recipe(f"length={epochs}epochs", "checkpoint_every=100steps", *WAYS["plateau"])
    train(row, tmp_path / "whole")
    data = squares(row.batch_size)

    def asked(network):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal should have broken this off")

    monkeypatch.setattr(data, "evaluate", asked)
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 3"):
        train(row, tmp_path / "cut", data=data)
    train(row, tmp_path / "cut", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_finished_run_says_so_and_stays_as_it_is(recipe, train, tmp_path):
    row = recipe()
    train(row, tmp_path / "run")

    def contents():
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if path.name != "writer.lock"}

    before = contents()
    records = train(row, tmp_path / "run", resume=True)
    assert len(records) == 1
    assert "the run is finished: all 6 steps are done" in records[0].notes[0]
    assert before == contents()


def test_another_recipe_is_refused_with_the_difference(recipe, train, tmp_path):
    train(recipe(), tmp_path / "run")
    with pytest.raises(WrongUse, match=re.escape("optimizer.lr 0.05 -> 0.1")):
        train(recipe("optimizer.lr=0.1"), tmp_path / "run", resume=True)
    train(recipe("workers=3", "checkpoint_every=1steps"), tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: Split("train", ("blue", "green", "rot"), s.labels, s.images),
            "gone: red; new: rot",
        ),
        (
            lambda s: Split("train", ("green", "blue", "red"), s.labels, s.images),
            "order of classes",
        ),
        (lambda s: s.take(np.arange(20)), "22 training images then, 20 now"),
        (lambda s: Split("train", s.classes, s.labels[::-1].copy(), s.images), "or other labels"),
        (
            lambda s: Split("train", s.classes, s.labels, ArrayImages(s.images.array ^ 1, "x")),
            "but others",
        ),
    ],
)
def test_other_data_is_refused_with_the_difference(
    squares, recipe, train, tmp_path, change, message
):
    train(recipe(), tmp_path / "run")
    data = squares(8)
    data.split = change(data.split)
    with pytest.raises(WrongUse, match=message):
        train(recipe(), tmp_path / "run", resume=True, data=data)


def test_a_folder_with_a_run_is_not_overwritten(recipe, train, tmp_path):
    train(recipe(), tmp_path / "run")
    with pytest.raises(WrongUse, match="holds a run already"):
        train(recipe(), tmp_path / "run")


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(NotFound, match="holds no run"):
        RunFolder.open(tmp_path)


def test_metrics_that_somebody_shortened_are_noticed(recipe, train, tmp_path):
    row = recipe()
    train(row, tmp_path / "run", stop_when=lambda r: isinstance(r, StepRecord) and r.step == 5)
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(BadData, match="shorter than its checkpoint"):
        train(row, tmp_path / "run", resume=True)


@pytest.mark.parametrize("damage", [b"", b"\x80\x04cos\nsystem\n", b"half"])
def test_a_damaged_checkpoint_is_an_error_of_one_line(recipe, train, tmp_path, damage):
    row = recipe()
    train(row, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.safetensors").write_bytes(damage)
    with pytest.raises(BadWeights, match=r"not a whole safetensors file.*--weights") as caught:
        train(row, tmp_path / "run", resume=True)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed(recipe, train, tmp_path):
    """22 of 24 were taken, and the run ended in other weights without a word."""
    train(recipe("optimizer.kind=adam", "ema=0.9"), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    good = path.read_bytes()
    header = 8 + int.from_bytes(good[:8], "little")
    chance = random.Random(5)
    places = [
        *range(8),  # the header's length
        *chance.sample(range(8, header), 60),
        *chance.sample(range(header, len(good)), 30),
        *range(len(good) - 8, len(good)),
    ]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << chance.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(BadWeights, match=r"checkpoint\.safetensors cannot be gone on from"):
            read_checkpoint(path)
    for length in (0, 7, header, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(BadWeights):
            read_checkpoint(path)
    path.write_bytes(good)
    read_checkpoint(path)


def test_a_number_written_in_another_way_is_another_file(recipe, train, tmp_path):
    """1e-08 and 1E-08 are one number, and a flipped bit all the same."""
    train(recipe(), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    assert path.read_bytes().count(b"1e-08") == 1
    path.write_bytes(path.read_bytes().replace(b"1e-08", b"1E-08"))
    with pytest.raises(BadWeights, match="header was changed"):
        read_checkpoint(path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_leaves_the_last_good_checkpoint(recipe, train, tmp_path):
    """A limit on the size of files stands in for the disk: writing fails in the middle."""
    row = recipe("length=3epochs")
    train(row, tmp_path / "whole")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(record):
        if isinstance(record, CheckpointRecord):
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        return False

    try:
        with pytest.raises(TrainingStopped, match=r"cannot be written .*--resume") as caught:
            train(row, tmp_path / "full", stop_when=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    _, facts = read_checkpoint(tmp_path / "full" / "checkpoint.safetensors")
    assert facts["step"] == 3
    assert not list((tmp_path / "full").glob(".*.tmp"))
    train(row, tmp_path / "full", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "full")


KILLED = """
import os, sys
sys.path.insert(0, {tests!r})
import torch
from pathlib import Path
from conftest import Squares
from backbones.models import build
from backbones.training.checkpoint import fingerprint
from backbones.training.loop import fit
from backbones.training.folder import RunFolder
from backbones.training.settings import load_recipe
torch.set_num_threads(1)
torch.optim.SGD([torch.zeros(1)])  # imports what takes PyTorch two seconds

def train():
    out, row, data = Path({out!r}), load_recipe({recipe!r}), Squares(8)
    known = (out / "run.json").exists()
    run = RunFolder.open(out) if known else RunFolder.create(
        out, recipe=row, data=fingerprint(data.split))
    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=row.seed)
    with run:
        for record in fit(model, row, data, evaluate=data.evaluate, run=run, resume=known):
            print(type(record).__name__, flush=True)

for _ in sys.stdin:  # each line is a process of its own, with PyTorch imported already
    child = os.fork()
    if child == 0:
        train()
        os._exit(0)
    print("process", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def ending(parent: subprocess.Popen[str], patience: int, wait_s: float) -> int:
    """How a process ends that is killed so long after so many records."""
    assert parent.stdin is not None
    assert parent.stdout is not None
    print(file=parent.stdin, flush=True)
    child, seen = 0, 0
    for line in parent.stdout:
        match line.split():
            case ["process", number]:
                child = int(number)
            case ["ended", code]:
                return int(code)
            case _:
                seen += 1
        if child and seen >= patience:
            time.sleep(wait_s)
            os.kill(child, signal.SIGKILL)
            patience = 10_000
    raise AssertionError("the parent ended")


@pytest.mark.our_rounding
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_run_killed_at_random_ends_in_the_same_bits(recipe, train, tmp_path):
    """Killed at random moments after random numbers of records, five times, until it is done."""
    row = recipe(
        "length=6epochs", "checkpoint_every=2steps", "optimizer.kind=adam", "ema=0.9", *PLATEAU
    )
    train(row, tmp_path / "whole")
    (tmp_path / "row.json").write_text(json.dumps(row.to_json()))
    out = tmp_path / "killed"
    code = KILLED.format(
        tests=str(Path(__file__).parent), out=str(out), recipe=str(tmp_path / "row.json")
    )
    chance = random.Random(3)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as parent:
        for _ in range(5):
            code_of_one = ending(parent, chance.randrange(1, 10), chance.uniform(0, 0.01))
            assert code_of_one == -signal.SIGKILL
        assert ending(parent, 10_000, 0) == 0
        parent.stdin.close()
    assert_same(tmp_path / "whole", out)
    assert not list(out.glob(".*.tmp"))


def test_evaluation_records_say_which_was_best(recipe, train, tmp_path):
    records = train(recipe("length=4epochs"), tmp_path / "run")
    lowest = (float("inf"), float("inf"))
    for record in records:
        if isinstance(record, EvaluationRecord):
            rank = (record.metrics["top1_error_percent"], record.metrics["loss"])
            assert record.best == (rank < lowest)
            lowest = min(lowest, rank)
