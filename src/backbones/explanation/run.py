"""From the bytes of images to maps that know where they lie on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from backbones.errors import NotFinite, NotFound, WrongUse, nearest
from backbones.explanation.activation_maps import cam, grad_cam
from backbones.explanation.maps import Maps
from backbones.explanation.occlusion import Occluder, occlusion
from backbones.nn.evaluating import finite
from backbones.spec import InputSpec

Method = Literal["grad_cam", "cam", "occlusion"]
METHODS: tuple[Method, ...] = get_args(Method)
Box = tuple[float, float, float, float]


def methods_of(names: Sequence[str]) -> tuple[Method, ...]:
    """The methods of these names, each once.

    Raises:
        NotFound: there is none of that name.
        WrongUse: none was named.

    Example:
        >>> methods_of(["occlusion", "cam", "cam"])
        ('occlusion', 'cam')
    """
    for name in names:
        if name not in METHODS:
            raise NotFound(
                f"there is no method {name!r}; expected {', '.join(METHODS)}."
                + nearest(name, METHODS)
            )
    if not names:
        raise WrongUse(f"no method was named; expected {', '.join(METHODS)}")
    return tuple(method for name in dict.fromkeys(names) for method in METHODS if method == name)


@dataclass(frozen=True)
class Request:
    """What is asked about images.

    Args:
        methods: each gives a map a class.
        targets: classes by number, the same ones for every image; or None for the likeliest.
        layer: of the class-activation maps; see `find_layer`.
        occluder: of the occlusion maps.
        batch_size: images, or covered copies of one, at a time.
    """

    methods: tuple[Method, ...] = ("grad_cam",)
    targets: tuple[int, ...] | None = None
    layer: str | None = None
    occluder: Occluder = field(default_factory=Occluder)
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise WrongUse(f"batch_size is {self.batch_size}, expected at least 1")

    def passes(self, spec: InputSpec) -> int:
        """How often the network answers for one image."""
        return sum(
            len(self.occluder.places(spec.size, spec.size)) if method == "occlusion" else 1
            for method in self.methods
        )


def answer(
    network: nn.Module,
    images: Tensor,
    request: Request,
    passed: Callable[[int], None] = lambda passes: None,
) -> dict[Method, Maps]:
    """The maps of some images, by each method; all are of the same classes.

    Args:
        network: any.
        images: as the network wants them, (N, C, S, S).
        request: what is asked.
        passed: called with the network's passes since its last call.

    Raises:
        NotFinite: an answer or a map is no number; tells the image's place.
    """
    found: dict[Method, Maps] = {}
    targets: Tensor | Sequence[int] | None = request.targets
    for method in request.methods:
        if method == "occlusion":
            found[method] = _occluded(network, images, targets, request, passed)
        else:
            maps = {"cam": cam, "grad_cam": grad_cam}[method]
            found[method] = maps(network, images, targets, layer=request.layer, positive=True)
            passed(len(images))
        finite(found[method].values)
        targets = found[method].targets
    return found


def _occluded(
    network: nn.Module,
    images: Tensor,
    targets: Tensor | Sequence[int] | None,
    request: Request,
    passed: Callable[[int], None],
) -> Maps:
    """One image after the other, so that the bar moves evenly and memory stays small."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        passed(done - told)
        told = done % total

    def one(place: int) -> Maps:
        try:
            return occlusion(
                network,
                images[place : place + 1],
                targets[place : place + 1] if isinstance(targets, Tensor) else targets,
                occluder=request.occluder,
                batch_size=request.batch_size,
                progress=tell,
            )
        except NotFinite as error:  # its row is that of a covered copy
            raise NotFinite(error.found, f"image {place + 1}", place) from None

    each = [one(place) for place in range(len(images))]
    return Maps(
        torch.cat([one.values for one in each]),
        torch.cat([one.targets for one in each]),
        torch.cat([one.logits for one in each]),
    )
