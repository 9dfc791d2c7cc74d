"""From views to class scores, and from the scores of many views to one answer a picture."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from backbones.nn.evaluating import Network


def score_crops(network: Network, views: Iterable[Tensor]) -> Tensor:
    """Run the network on every view by itself, one view of the whole batch at a time.

    Shapes:
        V tensors (N, C, S, S) -> (N, V, K).
    """
    return torch.stack([network(view) for view in views], dim=1)


def mean_softmax(scores: Tensor) -> Tensor:
    """Average the class probabilities over all views; the answer is in natural logarithms.

    Taken on logarithms throughout, so that a probability too small for float32 stays comparable.

    Shapes:
        scores (N, V, K) -> log-probabilities (N, K).

    Example:
        >>> scores = torch.log(torch.tensor([[[0.2, 0.8], [0.6, 0.4]]]))
        >>> [round(value, 4) for value in mean_softmax(scores).exp()[0].tolist()]
        [0.4, 0.6]
    """
    each = torch.log_softmax(scores, dim=-1)
    return torch.logsumexp(each, dim=1) - math.log(scores.shape[1])
