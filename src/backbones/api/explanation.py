"""Show where in images a network sees its classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from PIL import Image

from backbones.classifier.assembly import Member
from backbones.classifier.classifier import Classifier
from backbones.classifier.explained import ClassMap, Explanation
from backbones.classifier.explaining import Target
from backbones.classifier.explanation_files import WrittenExplanations, write_explanations
from backbones.classifier.opening import open_classifier
from backbones.compute import ComputeChoice, choose_compute
from backbones.explanation.filters import first_filters
from backbones.explanation.occlusion import Occluder
from backbones.explanation.subject import Subject
from backbones.labels import Lang
from backbones.progress import Progress
from backbones.report.tiles import draw_filters
from backbones.weights.bundle import Bundle

__all__ = [
    "ClassMap",
    "Explanation",
    "Occluder",
    "Subject",
    "WrittenExplanations",
    "explain",
    "filters_image",
    "write_explanations",
]


def explain(
    bundle: str | Path | Bundle | Subject | Classifier,
    inputs: Any,
    *,
    method: str | Sequence[str] = "grad_cam",
    target: Target = None,
    layer: str | None = None,
    occluder: Occluder | None = None,
    features: str | None = None,
    top: int = 5,
    lang: Lang = "en",
    batch_size: int | None = None,
    progress: Progress | None = None,
    **compute: Unpack[ComputeChoice],
) -> Iterator[Explanation]:
    """Show where in images a network sees its classes, one image after the other.

    Args:
        bundle: as of `backbones.open`; or a `Subject`, which any `nn.Module` can be and which
            stays on its device unless another is named.
        device, precision, threads: as of `backbones.open`.
        inputs: images, and `method`, `target`, `layer`, `occluder`, `features`, `top`, `lang`,
            `batch_size`, `progress`: as of `Classifier.explain`.

    Raises:
        NotFound, BadWeights, WrongUse: as these two.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (28, 28)).save(f"{folder}/blank.png")
        ...     [found] = explain("lenet5.digits", folder, target="7")
        >>> found.maps[0].layer, found.maps[0].values.shape
        ('c3', (10, 10))
    """
    return _opened(bundle, compute).explain(
        inputs,
        method=method,
        target=target,
        layer=layer,
        occluder=occluder,
        features=features,
        top=top,
        lang=lang,
        batch_size=batch_size,
        progress=progress,
    )


def _opened(
    bundle: str | Path | Bundle | Subject | Classifier, compute: ComputeChoice
) -> Classifier:
    if not isinstance(bundle, Subject):
        return open_classifier(bundle, **compute)
    network = bundle.network
    weight = next(network.parameters(), None)
    if compute.get("device", "auto") == "auto":
        compute["device"] = "cpu" if weight is None else str(weight.device)
    member = Member(lambda: network, bundle.spec, bundle.named())
    return Classifier((member,), choose_compute(**compute))


def filters_image(bundle: str | Path | Bundle | Classifier) -> Image.Image:
    """The filters of a network's first convolution, on one sheet."""
    network = open_classifier(bundle, device="cpu").members[0].build()
    path, filters = first_filters(network)
    return draw_filters(filters.float().cpu().numpy(), title=path)
