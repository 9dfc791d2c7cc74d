"""An image with one image's content in another one's style, found by changing its pixels.

Gatys, Ecker & Bethge, Image Style Transfer Using Convolutional Neural Networks, CVPR 2016; from
coarse to fine as in Gatys et al., Controlling Perceptual Factors in Neural Style Transfer, CVPR
2017, section 6: a small image takes strokes that are large in the large one.

Deviations: each layer's loss is divided by what its target weighs, so that one set of weights does
for every network; the image is a sigmoid of what is optimised and so stays in 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.errors import WrongUse
from backbones.features.losses import gram, normalised, total_variation
from backbones.features.taps import Taps, tap
from backbones.nn.naming import paper_names
from backbones.spec import InputSpec

_SMALLEST_PX = 128  # of the pyramid: below, a network sees little
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class StyleSettings:
    """What is wanted of an image.

    Args:
        content_layers: where the content is read; the network's own choice where empty.
        style_layers: where the style is read; likewise.
        style_weight: of the style beside the content's 1.
        tv_weight: of the total variation; more is smoother.
        steps: of the optimiser, over all sizes of the pyramid.
        optimizer: "lbfgs" takes few large steps, "adam" many small ones with less memory.
        preserve_colour: give the result the content's colours, and the style's brightness only.
        start: from the content, or from noise.
        seed: of the noise.
    """

    content_layers: tuple[str, ...] = ()
    style_layers: tuple[str, ...] = ()
    style_weight: float = 300.0
    tv_weight: float = 1.0
    steps: int = 300
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    preserve_colour: bool = False
    start: Literal["content", "noise"] = "content"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise WrongUse(f"steps is {self.steps}, expected at least 1")
        for what in ("style_weight", "tv_weight"):
            if not 0 <= getattr(self, what) < float("inf"):
                raise WrongUse(f"{what} is {getattr(self, what)}, expected 0 or more")
        for what, value, known in (
            ("optimizer", self.optimizer, ("lbfgs", "adam")),
            ("start", self.start, ("content", "noise")),
        ):
            if value not in known:
                raise WrongUse(f"{what} is {value!r}, expected {' or '.join(known)}")


@dataclass(frozen=True)
class StyleStep:
    """How far it is.

    Args:
        step, num_steps: done, and in all.
        loss: the total; of the size that is worked on, so that it may rise with the next size.
        image: the best of the present size, (1, 3, h, w) in 0..1.
    """

    step: int
    num_steps: int
    loss: float
    image: Tensor


class Objective:
    """The loss of an image, for one size of content and style.

    Args:
        taps: of the network, at both kinds of layers.
        settings: with layers.
        spec: how the network's weights want their images.
        content, style: (1, 3, h, w) in 0..1; they may differ in size.
    """

    def __init__(
        self,
        taps: Taps,
        settings: StyleSettings,
        spec: InputSpec,
        content: Tensor,
        style: Tensor,
        *,
        bf16: bool = False,
    ) -> None:
        self._taps, self._settings, self._spec = taps, settings, spec
        self._bf16 = bf16
        with torch.no_grad():
            seen, styled = self._see(content), self._see(style)
            self._content = {name: seen[name].clone() for name in settings.content_layers}
            self._style = {name: gram(styled[name]) for name in settings.style_layers}

    def _see(self, image: Tensor) -> dict[str, Tensor]:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self._bf16):
            seen: dict[str, Tensor] = self._taps(normalised(image, self._spec))
        return {name: each.float() for name, each in seen.items()}

    def __call__(self, image: Tensor) -> Tensor:
        """The loss, ()."""
        seen = self._see(image)
        content = [_relative(seen[name], wanted) for name, wanted in self._content.items()]
        style = [_relative(gram(seen[name]), wanted) for name, wanted in self._style.items()]
        return (
            torch.stack(content).mean()
            + self._settings.style_weight * torch.stack(style).mean()
            + self._settings.tv_weight * total_variation(image)
        )


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared distance as a part of the target's own square; zero where both are."""
    weighs = wanted.square().sum().clamp_min(torch.finfo(wanted.dtype).tiny)
    return (found - wanted).square().sum() / weighs


def restyle(
    network: nn.Module,
    content: Tensor,
    style: Tensor,
    settings: StyleSettings | None = None,
    spec: InputSpec | None = None,
    *,
    bf16: bool = False,
) -> Iterator[StyleStep]:
    """Change an image step by step until it has another one's style.

    Args:
        network: any, in evaluation mode; its weights are not changed, and get no gradients.
        content: sets the size of the result, colours in 0..1.
        style: of about the same size; strokes come out as large as they are in it.
        settings: see there.
        spec: how the network's weights want their images; ImageNet's usual where None.
        bf16: look with bf16 products; losses and pixels stay in fp32.

    Shapes: (1, 3, H, W) and (1, 3, h, w) -> images (1, 3, H, W), smaller in the first steps.

    Yields:
        one record a step.

    Raises:
        NotFound: the network has no such layer.
        WrongUse: no layers are named for a network that has no choice of its own.

    Example:
        >>> from backbones.models import build
        >>> image = torch.rand(1, 3, 32, 32)
        >>> network = build("vgg_tiny", seed=0).eval()
        >>> steps = list(restyle(network, image, image.flip(2), StyleSettings(steps=2)))
        >>> steps[-1].loss < steps[0].loss, steps[-1].image.shape
        (True, torch.Size([1, 3, 32, 32]))
    """
    settings = with_layers(network, settings or StyleSettings())
    spec = spec or InputSpec(224, 256)
    taps = tap(network, [*settings.content_layers, *settings.style_layers])
    sizes = pyramid(*content.shape[2:])
    image = _start(content, sizes[0], settings)
    done = 0
    for number, size in enumerate(sizes):
        small = resized(content, size)
        ratio = size[0] / content.shape[2]
        shrunk = resized(style, tuple(max(round(side * ratio), 1) for side in style.shape[2:]))
        objective = Objective(taps, settings, spec, small, shrunk, bf16=bf16)
        last = settings.steps * (number + 1) // len(sizes)
        image = resized(image, size)
        for loss, found in _descend(objective, image, settings.optimizer, last - done):
            done, image = done + 1, found
            shown = _with_colours_of(small, image) if settings.preserve_colour else image
            yield StyleStep(done, settings.steps, loss, shown)


def _start(content: Tensor, size: tuple[int, int], settings: StyleSettings) -> Tensor:
    if settings.start == "content":
        return resized(content, size)
    generator = torch.Generator().manual_seed(settings.seed)
    return torch.rand(1, 3, *size, generator=generator).to(content.device)


def _descend(
    objective: Callable[[Tensor], Tensor], image: Tensor, optimizer: str, steps: int
) -> Iterator[tuple[float, Tensor]]:
    """Optimise; after every step the lowest loss so far and its image."""
    # 2 % from the ends: there the sigmoid is flat, and black and white could not change any more
    pixels = torch.logit(image.clamp(0.02, 0.98)).contiguous().requires_grad_()
    # max_eval: of the search along a line; the default lets it look once and give up for good
    method: Any = (
        torch.optim.LBFGS(
            [pixels], max_iter=1, max_eval=20, history_size=20, line_search_fn="strong_wolfe"
        )
        if optimizer == "lbfgs"
        else torch.optim.Adam([pixels], lr=0.05)
    )
    best: tuple[float, Tensor] = (float("inf"), image)

    def closure() -> Tensor:
        nonlocal best
        shown = torch.sigmoid(pixels)
        loss = objective(shown)
        # the network's weights get no gradients: only the pixels are asked for theirs
        (pixels.grad,) = torch.autograd.grad(loss, [pixels])
        if loss.item() < best[0]:
            best = (loss.item(), shown.detach())
        return loss

    for _ in range(steps):
        with torch.enable_grad():
            method.step(closure)
        yield best


def pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from coarse to fine, each about twice the one before; the last is the image's own.

    Example:
        >>> pyramid(512, 384)
        [(128, 96), (256, 192), (512, 384)]
    """
    sizes = [(height, width)]
    while max(sizes[-1]) >= 2 * _SMALLEST_PX:
        sizes.append((max(sizes[-1][0] // 2, 1), max(sizes[-1][1] // 2, 1)))
    return sizes[::-1]


def resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """An image in another size (height, width), smoothed where it shrinks."""
    if tuple(image.shape[2:]) == tuple(size):
        return image
    scaled = F.interpolate(image, size=tuple(size), mode="bicubic", antialias=True)
    return scaled.clamp(0, 1)


def _with_colours_of(content: Tensor, image: Tensor) -> Tensor:
    """The content's colours with the image's brightness (Gatys et al. 2017, section 5.2)."""
    weights = image.new_tensor(_LUMA).view(3, 1, 1)
    brighter = ((image - content) * weights).sum(1, keepdim=True)
    return (content + brighter).clamp(0, 1)


def with_layers(network: nn.Module, settings: StyleSettings) -> StyleSettings:
    """The settings with the layers that are read.

    A network whose paper numbers its layers by block (VGG) has those of Gatys et al.: the first
    ReLU of each block for the style, `relu4_2` for the content. Others have the ends of their
    stages, as long as a stage sees at least 1/16 of the image's side for the style, and the last
    that sees 1/8 for the content.

    Raises:
        WrongUse: a network without stages, where a kind of layers is not named.
    """
    if settings.content_layers and settings.style_layers:
        return settings
    content, style = _canonical(network) or _by_stages(network)
    return StyleSettings(
        **{
            **vars(settings),
            "content_layers": settings.content_layers or content,
            "style_layers": settings.style_layers or style,
        }
    )


def _canonical(network: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    known = set(paper_names(network).values())
    style = tuple(f"relu{block}_1" for block in range(1, 6))
    if not known.issuperset(style):
        return None
    return ("relu4_2",) if "relu4_2" in known else ("relu4_1",), style


def _by_stages(network: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    row = getattr(network, "row", None)
    if row is None or not hasattr(network, "stages"):
        raise WrongUse(
            f"{type(network).__name__} has no stages to choose from: name content_layers and"
            " style_layers, such as 'layer2.1.relu'"
        )
    px = row.input_px
    weight = next(network.parameters())
    with torch.no_grad():
        seen = tap(network, [path for _, path in network.stages])(
            torch.zeros(1, network.in_channels, px, px, device=weight.device)
        )
    # padding or its absence makes a side a few places longer or shorter
    style = [
        name for name, maps in seen.items() if maps.dim() == 4 and maps.shape[2] * 16 >= px * 0.7
    ]
    content = [name for name in style if seen[name].shape[2] * 8 >= px * 0.7]
    if not style:
        raise WrongUse(f"{row.name} has no stage with a map; name content_layers and style_layers")
    return tuple(content[-1:] or style[-1:]), tuple(style)
