"""Local response normalisation in the words of the paper that introduced it."""

from __future__ import annotations

from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Constants = Literal["printed", "cuda-convnet", "caffe"]

# k and alpha, in the words of the printed formula. The author's code and Caffe write alpha = 1e-4
# too, but divide it by n = 5; Caffe leaves k at 1.
K_ALPHA: dict[Constants, tuple[float, float]] = {
    "printed": (2.0, 1e-4),
    "cuda-convnet": (2.0, 2e-5),
    "caffe": (1.0, 2e-5),
}


class LocalResponseNorm(nn.Module):
    """b_c = a_c / (k + alpha * sum of a_j^2 over the n maps around c) ^ beta.

    PyTorch and Caffe divide `alpha` by `n`, the printed formula does not; here `alpha` is the
    printed one. Maps beyond the first and the last count as zero.

    Args:
        n: maps in the neighbourhood, odd.
        k, alpha, beta: the constants of the formula.

    Shapes: (N, C, H, W) -> (N, C, H, W).

    Reference: Krizhevsky, Sutskever & Hinton (2012), section 3.3.

    Example:
        >>> import torch
        >>> round(LocalResponseNorm()(torch.ones(1, 1, 1, 1)).item(), 6)
        0.594581
    """

    def __init__(
        self, n: int = 5, *, k: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
    ) -> None:
        super().__init__()
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta

    @classmethod
    def of(cls, constants: Constants) -> Self:
        """The layer with n = 5, beta = 0.75, and `K_ALPHA`'s constants."""
        k, alpha = K_ALPHA[constants]
        return cls(k=k, alpha=alpha)

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha * self.n
        if torch.are_deterministic_algorithms_enabled():
            # of vectors PyTorch sums with AvgPool2d; of maps with AvgPool3d, whose gradient adds
            # up in any order on a GPU
            vectors = F.local_response_norm(x.flatten(2), self.n, alpha, self.beta, self.k)
            return vectors.view(x.shape)
        return F.local_response_norm(x, self.n, alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"n={self.n}, k={self.k}, alpha={self.alpha}, beta={self.beta}"
