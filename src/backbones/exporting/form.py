"""What goes into an exported graph, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from backbones.errors import WrongUse
from backbones.exporting.crop import CentreCrop, Normalise
from backbones.features.dense import dense
from backbones.spec import InputSpec

Layout = Literal["image", "tensor"]
Dtype = Literal["uint8", "float32"]

INPUT = "images"
OUTPUTS = ("logits", "probabilities", "pixels")
"""Of a graph, in this order; the last is what the network saw, where the graph cuts it."""


@dataclass(frozen=True)
class Form:
    """What a graph takes.

    Args:
        layout: "image" takes whole images as people have them, uint8 (N, H, W, C), and prepares
            them inside; "tensor" takes (N, C, size, size), cut outside.
        dtype: of a tensor: "float32" is normalised outside, "uint8" inside.
        dense: height and width are free, and every place of the map gets scores; an image is not
            resized then, nor cut.

    Raises:
        WrongUse: no such layout or dtype, or images that are not bytes.
    """

    layout: Layout = "image"
    dtype: Dtype = "uint8"
    dense: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("layout", Layout), ("dtype", Dtype)):
            if getattr(self, name) not in get_args(kind):
                raise WrongUse(
                    f"{name} is {getattr(self, name)!r}, expected {' or '.join(get_args(kind))}"
                )
        if self.layout == "image" and self.dtype != "uint8":
            raise WrongUse("images are uint8; float32 needs --layout tensor")

    @property
    def cuts(self) -> bool:
        """Whether the graph makes the square that the network sees."""
        return self.layout == "image" and not self.dense

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what comes out."""
        return OUTPUTS if self.cuts else OUTPUTS[:2]

    @property
    def free_dimensions(self) -> tuple[int, ...]:
        """Of the input: the batch, and height and width where they are free."""
        if self.layout == "image":
            return (0, 1, 2)
        return (0, 2, 3) if self.dense else (0,)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"layout": self.layout, "dtype": self.dtype, "dense": self.dense}


class Deployable(nn.Module):
    """A network with what its form puts before it and behind it.

    Args:
        network: logits out.
        spec: how images become what it sees.
        form: what the graph takes.

    Shapes:
        as `Form` says -> logits (N, K), probabilities (N, K), and where the graph cuts, pixels
        uint8 (N, size, size, C). Dense: logits and probabilities (N, K, h, w).

    Raises:
        WrongUse: the head has no dense reading.
    """

    def __init__(self, network: nn.Module, spec: InputSpec, form: Form) -> None:
        super().__init__()
        self.crop = CentreCrop(spec) if form.cuts else None
        self.normalise = Normalise(spec) if form.dtype == "uint8" else None
        self.network = dense(network, spec.size) if form.dense else network
        self.form = form

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if self.crop is not None:
            x = self.crop(images)
        else:
            x = images.permute(0, 3, 1, 2) if self.form.layout == "image" else images
        logits = self.network(x if self.normalise is None else self.normalise(x))
        found = (logits, logits.softmax(1))
        return (*found, x.permute(0, 2, 3, 1).byte()) if self.crop is not None else found
