"""The proof: the same images through PyTorch and through every runtime at hand.

A runtime agrees with PyTorch where its resize is within one grey level of ours, its logits are
within `TOLERANCE` of the network's for the pixels that it saw, relative to the largest of the
image, and the first class is PyTorch's. Classes that PyTorch itself tells apart by less than the
tolerance may change places. A network in int8 answers a little otherwise by nature: of its logits
and first classes it is only told how far they are from PyTorch's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from backbones.data.finish import normalised
from backbones.data.geometry import evaluation_framing
from backbones.data.render import render
from backbones.errors import ExportMismatch, WrongUse
from backbones.exporting.form import Form
from backbones.exporting.session import Array, Session
from backbones.spec import InputSpec

TOLERANCE = 1e-4
_MOST_LEVELS = 1

Network = Callable[[Array], Array]
"""Pixels uint8 (N, h, w, C) to logits, as PyTorch computes them."""

FirstLayer = Callable[[Session, Array], str | None]
"""Of a runtime and what it was given: the first layer whose answer differs."""


@dataclass(frozen=True)
class Batch:
    """Images that go through together.

    Args:
        names: one an image.
        images: whole ones of one size, uint8 (N, H, W, C).
        pixels: what the network sees of them, uint8 (N, h, w, C).
        synthetic: whether `synthetic_batches` makes it again, so that answers to it can be kept.
    """

    names: tuple[str, ...]
    images: Array = field(repr=False)
    pixels: Array = field(repr=False)
    synthetic: bool = True

    def fed(self, spec: InputSpec, form: Form) -> Array:
        """What a graph of this form is given."""
        if form.layout == "image":
            return self.images
        if form.dtype == "uint8":
            return np.ascontiguousarray(self.pixels.transpose(0, 3, 1, 2))
        return np.ascontiguousarray(normalised(self.pixels, spec).numpy())


@dataclass(frozen=True)
class RuntimeParity:
    """How a runtime's answers differ from PyTorch's.

    Args:
        runtime: its name and version.
        max_abs_diff: of any logit.
        max_relative_diff: the same, by the largest logit of the image.
        max_pixel_diff: grey levels between the graph's resize and ours; 0 where it has none.
        pixels_off: how many values are not ours.
        same_first_class: images with the same first class; of score maps at every place.
    """

    runtime: str
    max_abs_diff: float
    max_relative_diff: float
    max_pixel_diff: int
    pixels_off: int
    same_first_class: int


@dataclass(frozen=True)
class Parity:
    """What the proof found.

    Args:
        batches: the images.
        runtimes: one row each.
        logits: PyTorch's answers, one array a batch.
    """

    batches: tuple[Batch, ...] = field(repr=False)
    runtimes: tuple[RuntimeParity, ...]
    logits: tuple[Array, ...] = field(repr=False)

    @property
    def images(self) -> int:
        """How many."""
        return sum(len(each.names) for each in self.batches)

    @property
    def sizes(self) -> tuple[str, ...]:
        """Of each batch, "2 x 512 x 384" (images, height, width)."""
        return tuple(" x ".join(map(str, each.images.shape[:3])) for each in self.batches)

    @property
    def max_abs_diff(self) -> float:
        """The largest of all runtimes."""
        return max(each.max_abs_diff for each in self.runtimes)

    @property
    def same_first_class(self) -> int:
        """Images on which all runtimes have PyTorch's first class."""
        return min(each.same_first_class for each in self.runtimes)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `logits_of` reads PyTorch's answers to the synthetic images back."""
        return {
            "images": self.images,
            "sizes": list(self.sizes),
            "tolerance": TOLERANCE,
            "runtimes": [asdict(each) for each in self.runtimes],
            "logits": [
                _packed(found)
                for batch, found in zip(self.batches, self.logits, strict=True)
                if batch.synthetic
            ],
        }


def logits_of(parity: dict[str, Any]) -> tuple[Array, ...]:
    """PyTorch's answers, as `Parity.to_json` has written them."""
    return tuple(
        np.frombuffer(base64.b64decode(each["float32"]), "<f4").reshape(each["shape"])
        for each in parity["logits"]
    )


def _packed(array: Array) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
    return {"shape": list(array.shape), "float32": data}


def synthetic_batches(spec: InputSpec, form: Form) -> tuple[Batch, ...]:
    """Photo-like images of several sizes and shapes, in batches of 1, 2 and 5.

    They are computed in whole numbers, and so are the same on every machine and in every version.
    """
    resize, size = spec.resize, spec.size
    if form.dense:
        sizes = [(1, size, size), (2, size + size // 2, size), (5, size, size + size // 4)]
    else:
        sizes = [
            (1, resize + resize // 2, 2 * resize),
            (1, 2 * resize + 1, resize),
            (2, resize, resize + resize // 3),
            (5, 1 + resize // 2, 1 + 2 * resize // 3),
            (1, 5 * resize, 4 * resize),
        ]
    batches, seed = [], 0
    for count, height, width in sizes:
        made = [_synthetic(height, width, spec.channels, seed + place) for place in range(count)]
        names = tuple(f"synthetic {seed + place}, {width} x {height} px" for place in range(count))
        batches.append(batch_of(names, np.stack(made), spec, form))
        seed += count
    return tuple(batches)


def batch_of(
    names: tuple[str, ...], images: Array, spec: InputSpec, form: Form, *, synthetic: bool = True
) -> Batch:
    """Whole images with what the network sees of them.

    Shapes: images uint8 (N, H, W, C).

    Raises:
        WrongUse: a dense network is larger than they are.
    """
    if form.dense:
        if min(images.shape[1:3]) < spec.size:
            raise WrongUse(
                f"{names[0]} has {images.shape[2]} x {images.shape[1]} px, and a dense graph takes"
                f" {spec.size} x {spec.size} px or more; leave it out of --images"
            )
        return Batch(names, images, images, synthetic)
    framing = evaluation_framing(images.shape[2], images.shape[1], spec.resize, spec.size)
    pixels = [render(each, framing, spec.interpolation) for each in images]
    return Batch(names, images, np.stack(pixels), synthetic)


def _synthetic(height: int, width: int, channels: int, seed: int) -> Array:
    """Blocks of colour under a slope and grain, uint8 (H, W, C)."""
    y, x = np.mgrid[0:height, 0:width][:, :, :, None]
    channel = np.arange(channels)
    blocks = 8 + 5 * (seed % 4)
    colour = _hashed(y * blocks // height, x * blocks // width, channel + 7 * seed) % 192
    slope = (x * (40 + 11 * channel) // width + y * (60 - 9 * channel) // height) % 256
    grain = _hashed(y, x, channel + 3 * seed + 1) % 48
    levels = np.minimum(colour + slope // 2 + grain // 2, 255)
    found: Array = levels.astype(np.uint8)
    return found


def _hashed(y: Array, x: Array, z: Array) -> Array:
    mixed = y * 374761393 + x * 668265263 + z * 1274126177
    mixed = (mixed ^ (mixed >> 13)) % 2**31 * 1103515245 % 2**31
    found: Array = (mixed ^ (mixed >> 16)) % 2**31
    return found


@dataclass(frozen=True)
class _Compared:
    """A batch in one runtime, a value an image.

    Args:
        levels: most grey levels between the graph's pixels and ours.
        off: values that are not ours.
        absolute, relative: largest difference of a logit; 0 where it cannot be judged.
        same: whether the first class is PyTorch's.
    """

    levels: Array
    off: int
    absolute: Array
    relative: Array
    same: Array

    def fault(self, exact: bool) -> tuple[int, str] | None:
        """The first image that is wrong, and how; None where all agree."""
        for place in range(len(self.same)):
            if self.levels[place] > _MOST_LEVELS:
                return (
                    place,
                    f"pixels are up to {self.levels[place]} grey levels off (1 is allowed)",
                )
            if not exact and np.isfinite(self.relative[place]):
                continue
            if not self.relative[place] <= TOLERANCE:
                share = f"{self.relative[place]:.1e} of the largest"
                return place, f"logits differ by {share} ({TOLERANCE:.0e} is allowed)"
            if not self.same[place]:
                return place, "the first class is another one"
        return None


@dataclass(frozen=True)
class Proof:
    """What runtimes are held to.

    Args:
        spec: of the network.
        form: of the graph.
        batches: the images.
        logits: PyTorch's answers, one array a batch.
        network: PyTorch; None where only its answers are known. Then the logits of an image whose
            pixels are not all ours are not judged, only its first class.
        first_layer: finds where a runtime's answer leaves PyTorch's.
        exact: whether logits and first classes have to be PyTorch's; False in int8.
    """

    spec: InputSpec
    form: Form
    batches: tuple[Batch, ...]
    logits: tuple[Array, ...]
    network: Network | None = None
    first_layer: FirstLayer | None = None
    exact: bool = True

    def hold(self, sessions: Sequence[Session]) -> Parity:
        """Compare runtimes with PyTorch.

        Raises:
            ExportMismatch: one of them differs; with the first image and layer that do.
        """
        return Parity(self.batches, tuple(self._runtime(each) for each in sessions), self.logits)

    def _runtime(self, session: Session) -> RuntimeParity:
        found = []
        for batch, logits in zip(self.batches, self.logits, strict=True):
            fed = batch.fed(self.spec, self.form)
            compared = self._compared(session.run(fed), batch, logits)
            if fault := compared.fault(self.exact):
                raise self._mismatch(session, batch, fed, fault)
            found.append(compared)
        return RuntimeParity(
            session.runtime,
            max(float(each.absolute.max()) for each in found),
            max(float(each.relative.max()) for each in found),
            max(int(each.levels.max()) for each in found),
            sum(each.off for each in found),
            sum(int(each.same.sum()) for each in found),
        )

    def _compared(self, found: dict[str, Array], batch: Batch, logits: Array) -> _Compared:
        seen = found.get("pixels", batch.pixels)
        apart = np.abs(seen.astype(np.int16) - batch.pixels).reshape(len(seen), -1)
        levels, wanted, judged = apart.max(1), logits, np.ones(len(seen), bool)
        if levels.max() > 0:
            wanted = logits if self.network is None else self.network(seen)
            judged = (levels == 0) | (self.network is not None)
        answers = found["logits"]
        absolute = np.abs(answers - wanted).reshape(len(seen), -1).max(1) * judged
        relative = absolute / np.abs(wanted).reshape(len(seen), -1).max(1).clip(min=1e-30)
        return _Compared(
            levels, int((apart > 0).sum()), absolute, relative, _same_first_class(answers, logits)
        )

    def _mismatch(
        self, session: Session, batch: Batch, fed: Array, fault: tuple[int, str]
    ) -> ExportMismatch:
        place, what = fault
        layer = "the resize" if what.startswith("pixels") else None
        if layer is None and self.first_layer is not None:
            layer = self.first_layer(session, fed)
        return ExportMismatch(session.runtime, batch.names[place], what, layer)


def _same_first_class(found: Array, expected: Array) -> Array:
    """Whether the likeliest class is the expected one, or as good as that; everywhere in a map.

    Shapes: (N, K, ...) twice -> bool (N,).
    """
    best = np.take_along_axis(expected, found.argmax(1, keepdims=True), 1)
    most = expected.max(1, keepdims=True)
    allowed = TOLERANCE * np.abs(expected).max(1, keepdims=True)
    same: Array = (most - best <= allowed).reshape(len(found), -1).all(1)
    return same
