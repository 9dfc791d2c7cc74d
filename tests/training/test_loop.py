"""The loop is plain torch, and says what it does."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from backbones import signals
from backbones.errors import Interrupted, TrainingStopped
from backbones.models import build
from backbones.training.checkpoint import fingerprint, read_checkpoint
from backbones.training.folder import RunFolder
from backbones.training.loop import fit
from backbones.training.record import (
    CheckpointRecord,
    EpochRecord,
    EvaluationRecord,
    StartRecord,
    StepRecord,
)
from backbones.training.step import step_seed
from backbones.weights.bundle import read_bundle


def model_of(path: Path) -> dict[str, torch.Tensor]:
    tensors, _ = read_checkpoint(path / "checkpoint.safetensors")
    return {
        name.removeprefix("model."): tensor
        for name, tensor in tensors.items()
        if name.startswith("model.")
    }


def test_it_is_fifteen_lines_of_plain_torch_to_the_bit(squares, recipe, train, tmp_path):
    settings = ("optimizer.nesterov=true", "optimizer.weight_decay=0.01", "optimizer.fused=false")
    train(recipe(*settings, "label_smoothing=0.1"), tmp_path / "run")

    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01
    )
    data, step = squares(8), 0
    for epoch in range(2):
        model.train()
        for batch in data.epoch(epoch):
            torch.manual_seed(step_seed(0, step))
            logits = model(batch.images.contiguous())
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1

    ours = model_of(tmp_path / "run")
    assert ours.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(ours[name], tensor), name


def test_it_learns(recipe, train, tmp_path):
    settings = ("length=40epochs", "optimizer.kind=adam", "optimizer.lr=0.003")
    records = train(recipe(*settings, "evaluate_every=20epochs"), tmp_path / "run")
    evaluations = [record for record in records if isinstance(record, EvaluationRecord)]
    # 0 % for each of five seeds; whoever guesses is wrong on 67 %
    assert evaluations[-1].metrics["top1_error_percent"] <= 20


def test_records_come_in_the_order_of_events(recipe, train, tmp_path):
    records = train(recipe(), tmp_path / "run")
    epoch = [StepRecord] * 3 + [EpochRecord, EvaluationRecord, CheckpointRecord]
    assert [type(record) for record in records] == [StartRecord, *epoch, *epoch]
    steps = [record for record in records if isinstance(record, StepRecord)]
    assert [record.step for record in steps] == [1, 2, 3, 4, 5, 6]
    assert [record.num_examples for record in steps] == [8, 8, 6, 8, 8, 6]
    first = next(record for record in records if isinstance(record, EpochRecord))
    weighted = sum(record.loss * record.num_examples for record in steps[:3])
    assert first.loss == pytest.approx(weighted / 22, rel=1e-12)
    assert first.top1_error_percent == pytest.approx(
        100 - 100 * sum(record.num_correct for record in steps[:3]) / 22
    )


def test_the_folder_holds_what_it_promises(recipe, train, tmp_path):
    run = tmp_path / "run"
    records = train(recipe(), run)
    evaluations = [record for record in records if isinstance(record, EvaluationRecord)]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["record"] for line in lines].count("step") == 6
    found = [line for line in lines if line["record"] == "evaluation"]
    assert [line["loss"] for line in found] == [record.metrics["loss"] for record in evaluations]
    assert not any("seconds" in line for line in lines)
    bundle = read_bundle(run / "last.safetensors")
    assert bundle.classes == ("blue", "green", "red")
    assert bundle.metrics["loss"] == evaluations[-1].metrics["loss"]
    assert bundle.recipe == recipe().to_json()
    for name, tensor in model_of(run).items():
        assert torch.equal(bundle.state[name], tensor), name
    best = min(evaluations, key=lambda e: (e.metrics["top1_error_percent"], e.metrics["loss"]))
    assert read_bundle(run / "best.safetensors").metrics["step"] == best.step


def test_the_last_step_of_a_length_inside_an_epoch_is_evaluated_and_saved(recipe, train, tmp_path):
    records = train(recipe("length=4steps"), tmp_path / "run")
    assert [type(record) for record in records[-4:]] == [
        StepRecord,
        EpochRecord,
        EvaluationRecord,
        CheckpointRecord,
    ]
    assert records[-3].num_examples == 8


def keep_evaluating(model: nn.Module) -> None:
    """Stay in evaluation mode, whatever the loop asks for."""
    model.train = lambda mode=True: nn.Module.train(model, False)  # type: ignore[method-assign]


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_accumulated_parts_give_the_gradient_of_the_whole_batch(squares, recipe, tmp_path, parts):
    """Batch norm in evaluation mode and no dropout, so that parts cannot differ by them."""
    grads = []
    settings = ("length=1steps", "batch_size=22", 'class_weights={"red": 3.0}')
    for accumulate in (1, parts):
        row = recipe(*settings, f"accumulate={accumulate}")
        row = row.model_copy(update={"label_smoothing": 0.1})
        model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
        keep_evaluating(model)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        data = squares(22)
        folder = RunFolder.create(
            tmp_path / str(accumulate), recipe=row, data=fingerprint(data.split)
        )
        with folder:
            list(fit(model, row, data, evaluate=None, run=folder))
        after = [parameter.detach() for parameter in model.parameters()]
        grads.append([a - b for a, b in zip(after, before, strict=True)])
    assert max(float(grad.abs().max()) for grad in grads[0]) > 1e-3
    for whole, accumulated in zip(*grads, strict=True):
        torch.testing.assert_close(whole, accumulated, rtol=1e-4, atol=1e-7)


def test_frozen_means_byte_equal_parameters_and_buffers(recipe, train, tmp_path):
    start = build("vgg_tiny", num_classes=3, in_channels=3, seed=0).state_dict()
    train(recipe("freeze=features", "optimizer.weight_decay=0.1", "ema=0.9"), tmp_path / "run")
    after = model_of(tmp_path / "run")
    frozen = [name for name in start if name.startswith("features.")]
    assert any("running_mean" in name for name in frozen)
    assert any("num_batches_tracked" in name for name in frozen)
    for name in frozen:
        assert torch.equal(start[name], after[name]), name
    moved = [name for name in start if not torch.equal(start[name], after[name])]
    assert "classifier.0.weight" in moved


def test_a_clipped_gradient_has_at_most_that_norm(recipe, train, tmp_path):
    settings = ("optimizer.momentum=0", "length=1steps", "clip_norm=0.001", "optimizer.lr=1")
    records = train(recipe(*settings), tmp_path / "run")
    start = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    after = model_of(tmp_path / "run")
    moved = sum(
        float(((after[name] - parameter.detach()) ** 2).sum())
        for name, parameter in start.named_parameters()
    )
    assert math.sqrt(moved) == pytest.approx(0.001, rel=1e-2)
    assert records[1].grad_norm > 0.001


def test_an_empty_batch_passes_without_a_trace(squares, recipe, train, tmp_path):
    """A batch whose files are all bad counts as a step, so that a resume finds its place."""
    data = squares(1, count=4, bad=(0, 1, 2))
    row = recipe("length=1epochs", "batch_size=1", "freeze=features")
    records = train(row, tmp_path / "run", data=data)
    steps = [record for record in records if isinstance(record, StepRecord)]
    assert [record.num_examples for record in steps].count(0) == 3
    assert [record.loss for record in steps].count(None) == 3


def test_an_epoch_of_bad_files_stops(squares, recipe, train, tmp_path):
    data = squares(8, bad=tuple(range(22)))
    with pytest.raises(TrainingStopped, match=r"none of its .* could be read"):
        train(recipe(), tmp_path / "run", data=data)


def test_a_loss_that_is_not_finite_names_step_and_files_and_what_to_try(
    squares, recipe, train, tmp_path
):
    data = squares(8)
    whole = data.epoch

    def poisoned(epoch=0, *, start=0):
        for batch in whole(epoch, start=start):
            if epoch == 1:
                batch.images[0, 0, 0, 0] = math.nan
            yield batch

    data.epoch = poisoned
    with pytest.raises(TrainingStopped) as caught:
        train(recipe(), tmp_path / "run", data=data)
    message = str(caught.value)
    assert message.startswith("step 4 (epoch 2): the loss is nan")
    assert "squares#" in message
    assert "optimizer.lr" in message
    assert "clip_norm" in message
    assert "\n" not in message
    tensors = model_of(tmp_path / "run")
    assert all(bool(torch.isfinite(tensor.float()).all()) for tensor in tensors.values())


@pytest.mark.usefixtures("hang_up_counts")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_says_how_to_go_on(recipe, train, tmp_path, number, monkeypatch):
    monkeypatch.setattr(signals, "ECHO_S", 600.0)  # however long this process waits between two
    before = signal.getsignal(number)

    def ask(record):
        if isinstance(record, StepRecord) and record.step == 2:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # `timeout` sends its signal twice
        return False

    with pytest.raises(Interrupted, match=f"backbones train --resume {tmp_path / 'run'}") as caught:
        train(recipe(), tmp_path / "run", stop_when=ask)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    _, facts = read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    assert facts["step"] == 2


def test_the_average_is_what_is_evaluated_and_kept(recipe, train, tmp_path):
    """Against the recurrence written out over the weights of every step."""
    history = []
    settings = ("ema=0.5", "checkpoint_every=1steps", "evaluate_every=1epochs", "length=1epochs")

    def remember(record):
        if isinstance(record, CheckpointRecord):
            history.append(model_of(tmp_path / "run"))
        return False

    train(recipe(*settings), tmp_path / "run", stop_when=remember)
    name = "classifier.0.weight"
    expected = build("vgg_tiny", num_classes=3, in_channels=3, seed=0).state_dict()[name].double()
    for step, weights in enumerate(history):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weights[name].double()
    bundle = read_bundle(tmp_path / "run" / "last.safetensors")
    torch.testing.assert_close(bundle.state[name].double(), expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(bundle.state[name], history[-1][name])
    buffer = next(name for name in history[-1] if name.endswith("running_var"))
    assert torch.equal(bundle.state[buffer], history[-1][buffer])


def test_without_selection_best_is_the_last(squares, recipe, tmp_path):
    """Choosing by the images of the final test would flatter the choice."""
    row, data = recipe("length=3epochs"), squares(8)
    model = build("vgg_tiny", num_classes=3, in_channels=3, seed=0)
    errors = iter([10.0, 20.0, 30.0])
    with RunFolder.create(tmp_path, recipe=row, data=fingerprint(data.split)) as run:
        list(
            fit(
                model,
                row,
                data,
                evaluate=lambda _: {"top1_error_percent": next(errors), "loss": 1.0},
                run=run,
                select=False,
            )
        )
    best = read_bundle(tmp_path / "best.safetensors")
    assert best.metrics["top1_error_percent"] == 30.0
    assert best.trained_on is not None
    assert best.trained_on["num_pictures"] == 22


def test_weights_whose_answers_are_no_numbers_are_never_the_best(squares, recipe, tmp_path):
    data, losses = squares(8), iter([math.nan, 0.5, math.inf])
    row = recipe("length=3epochs")
    run = RunFolder.create(tmp_path / "run", recipe=row, data=fingerprint(data.split))

    def evaluate(_: nn.Module) -> dict[str, float]:
        loss = next(losses)
        return {"top1_error_percent": math.nan if math.isnan(loss) else 50.0, "loss": loss}

    with run:
        records = list(fit(build("vgg_tiny", num_classes=3), row, data, evaluate=evaluate, run=run))
    best = [each.best for each in records if isinstance(each, EvaluationRecord)]
    assert best == [False, True, False]
    assert read_bundle(tmp_path / "run" / "best.safetensors").metrics["epoch"] == 2
