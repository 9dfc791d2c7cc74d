"""Records as lines of a run's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from backbones.text import to_json
from backbones.training.record import (
    CheckpointRecord,
    EndRecord,
    EpochRecord,
    EvaluationRecord,
    Record,
    StartRecord,
    StepRecord,
)


def lines_of(record: Record, every: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """A record's line for metrics.jsonl, for timing.jsonl, and its TensorBoard scalars."""
    match record:
        case StepRecord():
            if record.step % every or record.loss is None:
                return {}, {}, {}
            return (
                {
                    "record": "step",
                    "step": record.step,
                    "epoch": record.epoch,
                    "loss": record.loss,
                    "num_correct": record.num_correct,
                    "num_examples": record.num_examples,
                    "lr": record.lr,
                    **({} if record.grad_norm is None else {"grad_norm": record.grad_norm}),
                },
                {},
                {"step/loss": record.loss, "step/lr": record.lr},
            )
        case EpochRecord():
            values = asdict(record)
            del values["seconds"]
            rate = round(values.pop("images_per_second"), 2)
            return (
                {"record": "epoch", **values},
                _timing("epoch", record, images_per_second=rate, pictures_per_second=rate),
                {
                    "train/loss": record.loss,
                    "train/top1_error_percent": record.top1_error_percent,
                },
            )
        case EvaluationRecord():
            return (
                {
                    "record": "evaluation",
                    "step": record.step,
                    "epoch": record.epoch,
                    "best": record.best,
                    **record.metrics,
                },
                _timing("evaluation", record),
                {f"evaluation/{name}": value for name, value in record.metrics.items()},
            )
        case CheckpointRecord():
            return {}, _timing("checkpoint", record, num_bytes=record.num_bytes), {}
        case StartRecord() | EndRecord():
            return {}, {}, {}


def _timing(
    kind: str, record: EpochRecord | EvaluationRecord | CheckpointRecord, **more: float
) -> dict[str, Any]:
    return {"record": kind, "step": record.step, "seconds": round(record.seconds, 4), **more}


def as_line(values: Mapping[str, Any]) -> bytes:
    """One JSON line."""
    return (to_json(values) + "\n").encode()
