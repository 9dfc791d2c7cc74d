"""RMSProp as TensorFlow computes it, for the recipes that were written for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class TensorFlowRMSprop(torch.optim.Optimizer):
    """A running mean of squared gradients scales each weight's step.

    With gradient g, running square s (1 at first) and velocity v (0 at first):
    s = alpha s + (1 - alpha) g^2;  v = momentum v + lr g / sqrt(s + eps);  weight -= v.

    Args:
        params: parameters, or groups of them.
        lr: learning rate; a step keeps the one it was taken with inside the velocity.
        alpha: decay of the running square.
        eps: added under the root; 1.0 in Inception v3, where it bounds the steps.
        momentum: decay of the velocity.
        weight_decay: times the weight, added to the gradient.

    Reference: Tieleman & Hinton (2012), Lecture 6.5, in the form of `tf.train.RMSPropOptimizer`.

    Deviation: torch.optim.RMSprop adds eps to the root, begins the square at 0 and multiplies the
    velocity by the learning rate; with eps = 1 that is another optimiser.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        alpha: float = 0.9,
        eps: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "momentum": momentum,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("TensorFlowRMSprop takes no closure")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["square"] = torch.ones_like(parameter)
            state["velocity"] = torch.zeros_like(parameter)
        square, velocity = state["square"], state["velocity"]
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        square.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])
        root = square.add(group["eps"]).sqrt_()
        velocity.mul_(group["momentum"]).addcdiv_(gradient, root, value=group["lr"])
        parameter.sub_(velocity)
