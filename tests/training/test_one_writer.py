"""A run folder has one writer: whoever comes second is told so, and damages nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backbones.api.training import resume, resume_folds, train_folds
from backbones.api.training import train as begin_training
from backbones.errors import Busy, WrongUse
from backbones.training import lock
from backbones.training.checkpoint import fingerprint
from backbones.training.folder import RunFolder
from backbones.training.lock import NAME, FolderLock

SETTINGS = (
    *("limit=64", "batch_size=8", "length=5epochs", "checkpoint_every=2steps"),
    *("device=cpu", "workers=1"),
)
WRITER = """
import sys, backbones
backbones.train("digits", model="lenet5_tiny", settings=sys.argv[2:], out=sys.argv[1]).run()
"""


def pause_when(writer: subprocess.Popen[bytes], file: Path, lines: int) -> None:
    """Stop a process in the middle of its work, once a file has so many lines."""
    deadline = time.monotonic() + 300
    while not file.exists() or file.read_bytes().count(b"\n") < lines:
        assert writer.poll() is None, "it ended too soon"
        assert time.monotonic() < deadline, f"{file} never had {lines} lines"
        time.sleep(0.01)
    writer.send_signal(signal.SIGSTOP)
    assert os.waitid(os.P_PID, writer.pid, os.WSTOPPED | os.WNOWAIT) is not None


@pytest.mark.our_rounding
@pytest.mark.skipif(os.name != "posix", reason="needs SIGSTOP and SIGKILL")
def test_a_second_resume_is_refused_and_after_a_kill_it_goes_on(tmp_path):
    """Two processes that resumed one run each cut and wrote the other's metrics.jsonl."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    begin_training("digits", model="lenet5_tiny", settings=SETTINGS, out=whole).run()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, run, *SETTINGS],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with writer:
        try:
            pause_when(writer, run / "metrics.jsonl", lines=5)
            before = (run / "metrics.jsonl").read_bytes()
            with pytest.raises(Busy, match="wait until it ends or stop it") as caught:
                resume(run).run()
            assert f"{run} is being written by process {writer.pid} on " in str(caught.value)
            assert caught.value.exit_code == 1
            assert (run / "metrics.jsonl").read_bytes() == before
        finally:
            writer.kill()  # whoever is paused would be waited for without end
    assert (run / NAME).exists()  # and it keeps nobody out
    resume(run).run()
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert {file.name for file in run.iterdir()} == {file.name for file in whole.iterdir()}


def test_a_run_is_held_from_its_first_step_until_its_report_is_written(tmp_path):
    folder = tmp_path / "run"
    run = begin_training("digits", model="lenet5_tiny", smoke_run=True, out=folder)
    records = iter(run)
    next(records)
    note = json.loads((folder / NAME).read_text())
    assert note["pid"] == os.getpid()
    with pytest.raises(Busy, match=r"this same process .* one writer"):
        resume(folder)
    list(records)
    resume(folder)  # the file is still there, and holds nobody up


def test_who_resumed_first_writes_though_both_looked_before(tmp_path):
    folder = tmp_path / "run"
    for _ in begin_training("digits", model="lenet5_tiny", smoke_run=True, out=folder):
        pass
    before = (folder / "metrics.jsonl").read_bytes()
    one, other = resume(folder), resume(folder)
    records = iter(one)
    next(records)
    with pytest.raises(Busy):
        next(iter(other))
    list(records)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_run_that_was_broken_off_does_not_train_into_another_s_folder(tmp_path):
    """It began again at step 1, with weights that were not its first, over the other's files."""
    folder = tmp_path / "run"
    first = begin_training("digits", model="lenet5_tiny", smoke_run=True, out=folder)
    records = iter(first)
    next(records)
    records.close()
    shutil.rmtree(folder)
    second = begin_training("digits", model="lenet5_tiny", smoke_run=True, out=folder)
    finished = second.run()
    kept = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(WrongUse, match=r"iterated over already, .*backbones\.resume\("):
        first.run()
    assert second.run() is finished
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == kept


def test_two_that_begin_in_one_folder_do_not_mix_their_recipes(recipe, squares, tmp_path):
    data = fingerprint(squares(8).split)
    with FolderLock(tmp_path), pytest.raises(Busy):
        RunFolder.create(tmp_path, recipe=recipe(), data=data)
    assert not (tmp_path / "recipe.json").exists()
    first = RunFolder.create(tmp_path, recipe=recipe(), data=data)
    with RunFolder.create(tmp_path, recipe=recipe("seed=3"), data=data):
        pass
    with pytest.raises(WrongUse, match="another run began in"), first:
        pass
    assert RunFolder.open(tmp_path).recipe.seed == 3


def test_folds_have_one_writer_and_so_has_each_fold(tmp_path):
    training = train_folds(
        "digits", folds=2, settings=("model=lenet5_tiny",), smoke_run=True, out=tmp_path
    )
    runs = iter(training)
    records = iter(next(runs))
    next(records)
    with pytest.raises(Busy, match=f"{tmp_path.name} is being"):
        resume_folds(tmp_path)
    with pytest.raises(Busy, match="fold-1 is being"):
        resume(tmp_path / "fold-1")
    list(records)
    resume(tmp_path / "fold-1")
    for run in runs:
        list(run)
    assert resume_folds(tmp_path).kept == (1, 2)


def test_whoever_reads_needs_no_lock(recipe, train, tmp_path):
    row = recipe()
    train(row, tmp_path)
    left_over = tmp_path / ".best.safetensors.x.tmp"
    left_over.touch()
    with FolderLock(tmp_path):
        assert RunFolder.open(tmp_path).recipe == row
        assert left_over.exists()  # it may be the writer's
    with RunFolder.open(tmp_path):
        assert not left_over.exists()


@pytest.mark.skipif(os.name != "posix", reason="replaces flock")
def test_a_file_system_without_locks_is_named_once_and_trained_on(
    recipe, train, tmp_path, monkeypatch, caplog
):
    def flock(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    lock._tell_unlocked.cache_clear()
    train(recipe(), tmp_path / "one")
    train(recipe(), tmp_path / "two")
    assert [each.getMessage().partition(" (")[0] for each in caplog.records] == [
        "note: this file system has no locks"
    ]
    assert (tmp_path / "two" / "checkpoint.safetensors").exists()
