"""From views to class scores, and from the scores of many views to one answer an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from backbones.protocols.row import Reduction

# The share of a vote that the mean probability has, so that it decides between equal votes and
# nothing else: it takes 4,096 votes before one of them weighs less.
_TIE = 2.0**-12


def score_dense(maps: Tensor) -> tuple[Tensor, int]:
    """A dense network's maps of scores, added up over their places.

    Added and not averaged, so that an image that was scored in parts counts each place once.

    Shapes:
        maps (N, K, h, w) -> (N, K), and the number of places, h x w.
    """
    return maps.sum(dim=(2, 3)), maps.shape[2] * maps.shape[3]


def reduce(
    scores: Tensor, reduction: Reduction = "mean_softmax", weights: Tensor | None = None
) -> Tensor:
    """One answer an image, as natural logarithms of class probabilities.

    Probabilities are averaged as logarithms throughout, so that one too small for float32 stays
    comparable.

    Args:
        scores: of all views.
        reduction: "mean_softmax", "mean_logits", or "vote": each view for its best class, and
            the mean probability where votes are equal.
        weights: of the views, (V,), adding up to 1; all equal where None.

    Shapes:
        scores (N, V, K) -> log-probabilities (N, K).

    Example:
        >>> scores = torch.log(torch.tensor([[[0.2, 0.8], [0.6, 0.4], [0.6, 0.4]]]))
        >>> [round(value, 4) for value in reduce(scores).exp()[0].tolist()]
        [0.4667, 0.5333]
        >>> reduce(scores, "vote").argmax().item()
        0
    """
    if weights is None:
        weights = torch.full((scores.shape[1],), 1 / scores.shape[1])
    shares = weights.to(scores)[None, :, None]
    if reduction == "mean_logits":
        return torch.log_softmax((scores * shares).sum(dim=1), dim=-1)
    each = torch.log_softmax(scores, dim=-1)
    mean = torch.logsumexp(each + shares.log(), dim=1)
    if reduction == "mean_softmax":
        return mean
    best = torch.nn.functional.one_hot(scores.argmax(dim=-1), scores.shape[-1])
    votes = (best * shares).sum(dim=1)
    return torch.logaddexp(votes.log() + math.log1p(-_TIE), mean + math.log(_TIE))


def fuse(answers: Sequence[Tensor], reduction: Reduction = "mean_softmax") -> Tensor:
    """One answer of several networks, each of which has reduced its views in the same way.

    The softmax of a mean of logits is that of a mean of log-probabilities, so nothing is lost; and
    shares of votes are averaged like probabilities.

    Shapes:
        M tensors (N, K) -> (N, K).
    """
    if len(answers) == 1:
        return answers[0]
    stacked = torch.stack(list(answers), dim=1)
    return reduce(stacked, "mean_logits" if reduction == "mean_logits" else "mean_softmax")
