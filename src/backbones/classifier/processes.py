"""One evaluation by several processes: each takes its share, and all know the whole answer."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch

from backbones.classifier.inference import Outputs
from backbones.metrics import Skipped
from backbones.ranks import Ranks


def gather(ranks: Ranks, answers: Outputs) -> Outputs:
    """The answers of all processes, in the order of the split, in every process.

    Exactly the images of the split are there: no share is padded, whatever their number.

    Args:
        ranks: the processes.
        answers: this one's, with the images' places in the whole split.
    """
    if ranks.alone:
        return answers
    rows = torch.from_numpy(np.ascontiguousarray(answers.log_probabilities, dtype=np.float32))
    told = ranks.rows([rows.shape[1], answers.num_passes, answers.num_rechecked])
    widths, passes, again = (list(map(int, column)) for column in zip(*told, strict=True))
    indices = torch.from_numpy(answers.indices.astype(np.int64))
    every = torch.cat(ranks.tensors(indices)).numpy()
    scores = torch.cat(ranks.tensors(rows.reshape(len(indices), max(widths)))).numpy()
    skipped = ranks.values([asdict(each) for each in answers.skipped])
    order = np.argsort(every, kind="stable")
    return Outputs(
        scores[order],
        every[order],
        tuple(Skipped(**each) for share in skipped for each in share),
        sum(passes),
        sum(again),
    )
