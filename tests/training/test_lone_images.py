"""A batch of which bad files leave one image is no crash, and no lesson for batch norm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backbones.errors import TrainingStopped, WrongUse
from backbones.models import build
from backbones.spec import InputSpec
from backbones.training.checkpoint import read_checkpoint
from backbones.training.lone import learns_alone, refuse_batches_of_one
from backbones.training.record import EpochRecord, StepRecord


def test_a_batch_that_shrinks_to_one_image_is_left_out_and_counted(
    squares, recipe, train, tmp_path
):
    records = train(recipe("batch_size=2"), tmp_path / "run", data=squares(2, bad=(3,)))
    alone = [each for each in records if isinstance(each, StepRecord) and each.loss is None]
    assert len(alone) == 2  # one an epoch
    for each in alone:
        ((name, reason),) = each.bad
        assert name.startswith("squares#")
        assert name != "squares#3"
        assert "batch norm cannot learn from one image" in reason
    epochs = [each for each in records if isinstance(each, EpochRecord)]
    assert [(each.num_examples, each.num_skipped) for each in epochs] == [(20, 1), (20, 1)]


def test_lone_images_are_the_same_after_a_resume(squares, recipe, train, tmp_path):
    row = recipe("batch_size=2", "checkpoint_every=3steps")
    train(row, tmp_path / "whole", data=squares(2, bad=(3, 4)))
    train(
        row,
        tmp_path / "cut",
        data=squares(2, bad=(3, 4)),
        stop_when=lambda each: isinstance(each, StepRecord) and each.step == 13,
    )
    train(row, tmp_path / "cut", data=squares(2, bad=(3, 4)), resume=True)
    whole, cut = (
        read_checkpoint(tmp_path / name / "checkpoint.safetensors")[0] for name in ("whole", "cut")
    )
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (
        tmp_path / "cut/metrics.jsonl"
    ).read_bytes()


def test_where_every_image_is_alone_the_run_ends_and_says_so(squares, recipe, train, tmp_path):
    data = squares(2, count=2, bad=(1,))
    with pytest.raises(TrainingStopped, match="none of its 1 images could be read and learned"):
        train(recipe("batch_size=2"), tmp_path / "run", data=data)


def test_batches_that_are_meant_to_have_one_image_are_learned_from(
    squares, recipe, train, tmp_path
):
    records = train(recipe("batch_size=1", "length=1epochs"), tmp_path / "run", data=squares(1))
    steps = [each for each in records if isinstance(each, StepRecord)]
    assert len(steps) == 22
    assert all(each.num_examples == 1 for each in steps)


def test_a_network_without_batch_norm_learns_from_a_lone_image():
    assert learns_alone(build("lenet5", num_classes=2))
    assert not learns_alone(build("resnet_tiny", num_classes=2).train())
    frozen = build("resnet_tiny", num_classes=2).train()
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert learns_alone(frozen)


def test_batches_of_one_are_refused_where_batch_norm_would_see_one_place():
    model = build("resnet_tiny", num_classes=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WrongUse, match=r"batch_size=1 with input.size=8: .* larger input.size"):
        refuse_batches_of_one(model, InputSpec(size=8, resize=8))
    refuse_batches_of_one(model, InputSpec(size=64, resize=64))
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
