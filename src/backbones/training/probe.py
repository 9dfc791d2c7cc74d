"""A linear probe: multinomial logistic regression on what a trained trunk makes of images.

It is convex: whatever order the images come in, there is one best head for each penalty, and
L-BFGS finds it. All that is drawn are the parts of the cross-validation, by the recipe's seed.

Reference: Alain & Bengio (2016), Understanding intermediate layers using linear classifier probes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.features.twin import last_layer, on_meta
from backbones.nn.meta import ShapesOnly
from backbones.spec import InputSpec
from backbones.training.recipe import Probe

_ENOUGH = 5000  # training images of which one held-out part tells penalties apart
_WORSE = 2  # penalties in a row that raise the loss, after which none below them is tried
_STEPS = 500
_LITTLE = 16_000_000  # numbers; 8 million take 4.3 s with one thread, 5.6 s with two
_ROUGHLY, _EXACTLY = (1e-4, 1e-6), (1e-7, 1e-12)  # tolerances of the gradient, of a change


@dataclass(frozen=True)
class FittedProbe:
    """A head, and how it was found.

    Args:
        weight: float32 (K, D), for features as they are: the standardisation is folded in.
        bias: float32 (K,).
        penalty: that was chosen.
        losses: cross-validated loss by penalty, of those that were tried.
        accuracy: cross-validated, at the chosen penalty, as a fraction.
        num_images, num_views: that it was fitted to.
    """

    weight: Tensor
    bias: Tensor
    penalty: float
    losses: dict[float, float]
    accuracy: float
    num_images: int
    num_views: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the weights."""
        return {
            "num_features": self.weight.shape[1],
            "num_images": self.num_images,
            "num_views": self.num_views,
            "penalty": self.penalty,
            "losses": {f"{penalty:g}": loss for penalty, loss in self.losses.items()},
            "accuracy": self.accuracy,
        }

    def describe(self) -> str:
        """One sentence for people."""
        views = f" in {self.num_views} views each" if self.num_views > 1 else ""
        return (
            f"probe: logistic regression on {self.weight.shape[1]:,} features of"
            f" {self.num_images:,} images{views}, penalty {self.penalty:g} chosen by"
            f" cross-validation (loss {self.losses[self.penalty]:.4f},"
            f" accuracy {self.accuracy:.4f})"
        )


@dataclass(frozen=True)
class ProbeData:
    """What a probe is fitted to.

    Args:
        features: of N images in V views, D numbers each.
        labels: below the number of classes K.
        parts: the part of the cross-validation that each image is in, 1 to P.
        class_weights: of each class in the loss; None for equal ones.
        num_classes: K.

    Shapes: features float32 (N, V, D), labels int64 (N,), parts int64 (N,), class_weights (K,).
    """

    features: Tensor
    labels: Tensor
    parts: npt.NDArray[np.int64]
    class_weights: Tensor | None
    num_classes: int


def fit_probe(data: ProbeData, options: Probe) -> FittedProbe:
    """Choose the penalty by cross-validation, then fit to all images.

    The views of an image are in one part, and all of them are answered when it is held out.
    Features are standardised by the mean and deviation over all images; a feature that never
    changes counts for nothing.

    Args:
        data: features and labels.
        options: the penalties.
    """
    mean, scale = _moments(data.features)
    standardised = (data.features.double() - mean) / scale
    with _few_threads(standardised):
        losses, accuracies = _cross_validated(standardised, data, options.penalties)
        penalty = min(losses, key=lambda each: (losses[each], -each))
        head = _solved(standardised, data, penalty, None, _EXACTLY)
    weight = head[:, :-1] / scale
    bias = head[:, -1] - weight @ mean
    return FittedProbe(
        weight=weight.float(),
        bias=bias.float(),
        penalty=penalty,
        losses=losses,
        accuracy=accuracies[penalty],
        num_images=len(data.labels),
        num_views=data.features.shape[1],
    )


@contextmanager
def _few_threads(features: Tensor) -> Iterator[None]:
    """One thread where there is little to compute.

    Between two steps SciPy's threads wait for PyTorch's: 490 rows of 768 features take 1.9 s on two
    cores with two threads, and 0.2 s with one.
    """
    before = torch.get_num_threads()
    if features.numel() < _LITTLE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """float64 mean and standard deviation of each feature; infinite where it never changes."""
    rows = features.flatten(0, 1).double()
    mean, deviation = rows.mean(0), rows.std(0, correction=0)
    still = deviation <= 1e-6 * (1 + mean.abs())
    return mean, deviation.masked_fill(still, float("inf"))


def _cross_validated(
    features: Tensor, data: ProbeData, penalties: Sequence[float]
) -> tuple[dict[float, float], dict[float, float]]:
    """Mean loss and accuracy on held-out images by penalty, from the largest one down.

    The loss over the penalties has one valley: past its bottom no more are tried.
    """
    losses: dict[float, float] = {}
    accuracies: dict[float, float] = {}
    parts = [_Part(features, data, held) for held in _held_out(data.parts)]
    num_images = sum(part.num_images for part in parts)
    for penalty in sorted(set(penalties), reverse=True):
        found = [part.measured(penalty) for part in parts]
        losses[penalty] = sum(loss for loss, _ in found) / num_images
        accuracies[penalty] = sum(right for _, right in found) / num_images
        latest = list(losses.values())
        if len(latest) > _WORSE and min(latest[-_WORSE:]) > min(latest):
            break
    return losses, accuracies


def _held_out(parts: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.bool_]]:
    """The images of each part in turn; of the first one alone where images are many."""
    numbers = np.unique(parts)
    for number in numbers[:1] if len(parts) > _ENOUGH else numbers:
        yield parts == number


class _Part:
    """One part of the cross-validation: what is learned from without it, penalty by penalty.

    Args:
        features: standardised, float64 (N, V, D).
        data: the labels.
        held: which images are held out, (N,).
    """

    def __init__(self, features: Tensor, data: ProbeData, held: npt.NDArray[np.bool_]) -> None:
        out = torch.from_numpy(held)
        self._features, self._labels = features[out], data.labels[out]
        self._learned = features[~out]
        self._data = ProbeData(
            *(self._learned, data.labels[~out], data.parts[~held]),
            *(data.class_weights, data.num_classes),
        )
        self._head: Tensor | None = None
        self.num_images = len(self._labels)

    def measured(self, penalty: float) -> tuple[float, float]:
        """Loss and right answers, summed over the part's images, each view by its share."""
        head = _solved(self._learned, self._data, penalty, self._head, _ROUGHLY)
        self._head = head  # the next penalty's begins here
        views = self._features.shape[1]
        scores = (self._features @ head[:, :-1].T + head[:, -1]).flatten(0, 1)
        labels = self._labels.repeat_interleave(views)
        loss = F.cross_entropy(scores, labels, reduction="sum") / views
        right = (scores.argmax(1) == labels).sum() / views
        return float(loss), float(right)


def _solved(
    features: Tensor,
    data: ProbeData,
    penalty: float,
    first: Tensor | None,
    tolerances: tuple[float, float],
) -> Tensor:
    """The head of the lowest penalised loss: float64 (K, D + 1), the bias last and not penalised.

    Args:
        features: standardised, float64 (N, V, D).
        data: labels of the same images.
        penalty: times half the squared weights.
        first: where to begin.
        tolerances: the largest entry of the gradient that counts as none; the smallest change of
            the loss, as a share of it, that is worth a step.
    """
    from scipy.optimize import minimize

    rows, views = features.flatten(0, 1), features.shape[1]
    targets = F.one_hot(data.labels, data.num_classes).double().repeat_interleave(views, 0)
    if data.class_weights is not None:
        targets = targets * data.class_weights.double()
    targets = targets / targets.sum()
    shares = targets.sum(1, keepdim=True)  # of each row in the mean loss

    def loss_and_slope(numbers: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        head = torch.from_numpy(numbers).view(data.num_classes, -1)
        weight = head[:, :-1]
        answers = torch.log_softmax(torch.addmm(head[:, -1], rows, weight.T), 1)
        loss = penalty / 2 * weight.square().sum() - (targets * answers).sum()
        errors = shares * answers.exp() - targets
        slope = torch.column_stack([errors.T @ rows + penalty * weight, errors.sum(0)])
        return float(loss), slope.flatten().numpy()

    start = torch.zeros(data.num_classes, rows.shape[1] + 1) if first is None else first
    gradient, change = tolerances
    found = minimize(
        loss_and_slope,
        start.double().flatten().numpy(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _STEPS, "gtol": gradient, "ftol": change},
    )
    return torch.from_numpy(found.x).view_as(start)


def set_head(network: nn.Module, path: str, probe: FittedProbe) -> None:
    """Give a network's linear head the probe's weights.

    Args:
        network: whose classes are the probe's.
        path: of the head, as `linear_head` gives it.
        probe: fitted to what the head is given.
    """
    head = network.get_submodule(path)
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.copy_(probe.weight)
        head.bias.copy_(probe.bias)


def linear_head(network: nn.Module, spec: InputSpec) -> str | None:
    """The path of the linear layer whose outputs are the network's; None where there is none.

    Of a head of several layers (VGG's fc6 to fc8) it is the last one: those before it are given
    by the weights as the trunk is. NIN ends in a convolution under a ReLU and an average, and
    LeNet-5 of 1998 in fixed patterns: their scores are no linear function of anything learned.
    """
    images = torch.empty(1, spec.channels, spec.size, spec.size, device="meta")
    path = last_layer(network, images)
    twin = on_meta(network).eval()
    head, outputs = twin.get_submodule(path), list[Tensor]()
    if not isinstance(head, nn.Linear) or head.bias is None:
        return None
    head.register_forward_hook(lambda _layer, _given, output: outputs.append(output))
    with ShapesOnly():
        logits = twin(images)
    return path if logits is outputs[-1] else None
