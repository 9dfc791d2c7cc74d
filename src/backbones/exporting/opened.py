"""An exported file opened as a bundle is: its network answers as one of PyTorch's does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backbones.data.geometry import centre_crop_box
from backbones.errors import WrongUse
from backbones.exporting.description import Description
from backbones.exporting.session import Array
from backbones.exporting.targets import GRAPH, Model, find_target, read_exported, target_of
from backbones.nn.evaluating import RuntimeNetwork
from backbones.weights.bundle import Bundle


class ExportedNetwork(RuntimeNetwork):
    """An exported graph: normalised images in, logits out.

    A graph that takes whole images has `of_images`, and is there what its file is elsewhere. For
    views that a protocol has cut it is given the square on a black ground of the size to which it
    would resize the image, so that its resize changes nothing and its crop gives the square back.

    Args:
        model: the graph; its session begins at the first images, with the threads of then.
        description: what it says about itself.

    Shapes: (N, C, size, size) -> (N, K); a dense graph gives (N, K, h, w) where there is more than
        one place.
    """

    def __init__(self, model: Model, description: Description) -> None:
        super().__init__(find_target(description.target).runtime, description.precision)
        self.description = description
        self._model = model
        self._spec, self._form = description.bundle.spec, description.form

    @property
    def cuts(self) -> bool:
        """Whether the graph takes whole images, and resizes and cuts by itself."""
        return self._form.cuts

    def of_images(self, images: Array) -> Tensor:
        """Logits (N, K) of whole images, uint8 (N, H, W, C), by a graph that cuts."""
        return torch.from_numpy(self._model.session.run(np.ascontiguousarray(images))["logits"])

    def forward(self, x: Tensor) -> Tensor:
        found = self._model.session.run(self.fed(x))
        logits = torch.from_numpy(found["logits"])
        return logits.flatten(1) if logits.shape[2:].numel() == 1 else logits

    def fed(self, x: Tensor) -> Array:
        """What the graph is given in place of normalised images."""
        fed = x if self._form.dtype == "float32" else self._grey_levels(x)
        if self._form.cuts:
            fed = self._on_black(fed)
        if self._form.layout == "image":
            fed = fed.permute(0, 2, 3, 1)
        return np.ascontiguousarray(fed.detach().cpu().numpy())

    def _grey_levels(self, x: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(values)[:, None, None] for values in (self._spec.mean, self._spec.std)
        )
        return ((x * std + mean) * 255).round().clamp(0, 255).byte()

    def _on_black(self, squares: Tensor) -> Tensor:
        side, size = self._spec.resize, self._spec.size
        before = centre_crop_box(side, side, size).left
        ground = F.pad(squares, (before, side - size - before) * 2)
        if side < size and ground.sum() != squares.sum():
            raise WrongUse(
                f"this file pads images of {side} px with black to {size} px, and cannot be shown"
                " more; use the protocol single"
            )
        return ground


def open_exported(path: Path) -> tuple[Bundle, ExportedNetwork]:
    """What an exported file or folder says about itself, and its network.

    Raises:
        MissingExtra, BadWeights, NotFound: as `read_exported`.
        WrongUse: the format can run code when it is read.
    """
    model, description = read_exported(path.parent if path.name == GRAPH else path)
    if find_target(description.target).runs_code:
        raise WrongUse(
            f"{path} is an archive of PyTorch, and reading one can run code that somebody has put"
            " into it; open the bundle that it was exported from, or export that to onnx"
        )
    return description.bundle, ExportedNetwork(model, description)


def is_exported(path: Path) -> bool:
    """Whether a file or folder that is there looks like an exported network."""
    return path.exists() and (path.name == GRAPH or target_of(path) is not None)
