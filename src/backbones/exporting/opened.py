"""An exported file opened as a bundle is: its network answers as one of PyTorch's does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.data.geometry import centre_crop_box
from backbones.errors import WrongUse
from backbones.exporting.form import Form
from backbones.exporting.session import Session
from backbones.exporting.targets import GRAPH, find_target, read_exported, target_of
from backbones.spec import InputSpec
from backbones.weights.bundle import Bundle


class SessionNetwork(nn.Module):
    """A runtime behind the signature of a network: normalised images in, logits out.

    A graph that takes whole images is given the square on a black ground of the size to which it
    would resize the image, so that its resize changes nothing and its crop gives the square back.

    Args:
        session: the runtime.
        spec: of the images.
        form: what its graph takes.

    Shapes: (N, C, size, size) -> (N, K); a dense graph gives (N, K, h, w) where there is more than
        one place.
    """

    def __init__(self, session: Session, spec: InputSpec, form: Form) -> None:
        super().__init__()
        self._session, self._spec, self._form = session, spec, form

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise WrongUse("an exported file answers in fp32; omit --precision bf16")
        fed = x if self._form.dtype == "float32" else self._grey_levels(x)
        if self._form.cuts:
            fed = self._on_black(fed)
        if self._form.layout == "image":
            fed = fed.permute(0, 2, 3, 1)
        found = self._session.run(np.ascontiguousarray(fed.detach().cpu().numpy()))
        logits = torch.from_numpy(found["logits"])
        return logits.flatten(1) if logits.shape[2:].numel() == 1 else logits

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


def open_exported(path: Path) -> tuple[Bundle, SessionNetwork]:
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
    bundle = description.bundle
    return bundle, SessionNetwork(model.session, bundle.spec, description.form)


def is_exported(path: Path) -> bool:
    """Whether a file or folder that is there looks like an exported network."""
    return path.exists() and (path.name == GRAPH or target_of(path) is not None)
