"""Open whatever holds trained networks as a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from torch import nn

from backbones.classifier.assembly import Member
from backbones.classifier.classifier import Classifier
from backbones.compute import Compute, choose_compute
from backbones.errors import WrongUse
from backbones.exporting.opened import ExportedNetwork, is_exported, open_exported
from backbones.files import expanded
from backbones.nn.evaluating import RuntimeNetwork
from backbones.progress import Downloading
from backbones.protocols.classes import column_order
from backbones.training.folds import all_networks
from backbones.weights.bundle import Bundle
from backbones.weights.foreign import Given, bundle_of_file
from backbones.weights.opening import is_id, open_bundle

Openable = str | Path | Bundle

_EXACT = {"fp32": "exact", "int8": "int8"}  # what else a file's own precision is called


def open_classifier(
    what: Openable | Classifier | Sequence[Openable],
    *,
    variant: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    engine: str = "auto",
    agree: float | None = None,
    names: Sequence[str] | None = None,
    downloading: Downloading | None = None,
) -> Classifier:
    """Open a trained network, or several that answer as one.

    Args:
        what: a run folder, a bundle, the id of weights, or a weight file of other people; the
            folder of `train --folds`, which stands for all its runs; a file or folder that
            `backbones export` left, which answers in its own runtime; or several of these, which
            need the same classes, in any order. A classifier is handed back as it is.
        variant: the network of a weight file that its hash does not tell.
        device: "auto" takes the fastest there is; "cpu", "cuda", "cuda:1" or "mps".
        precision: "auto", "exact" (or "fp32") or "bf16"; see `backbones.compute.choose_compute`.
            With "auto", 256 images or more of at least 64 px are answered in bf16 where there are
            units for it, as far as that agrees with fp32 on a sample of them.
        threads: of one operation on the CPU; as PyTorch has it where None.
        engine: what computes answers: "auto" takes the fastest that is installed; "torch",
            "openvino" or "onnxruntime". `backbones engines` says what is here.
        agree: with precision "auto", the share of images whose first class must be that of fp32;
            where None, close ones are answered again as long as a quarter of the time allows.
        names: what reports call the networks; as they were given where None.
        downloading: called while weights are fetched.

    Raises:
        NotFound: there is nothing of that name.
        DownloadFailed: the weights cannot be fetched.
        BadWeights: a file cannot be trusted, or does not say what network it is of.
        BadData: the classes of several networks differ.
        WrongUse: nothing was named, or a device that is not there.

    Example:
        >>> open_classifier("lenet5.digits", device="cpu").classes[:3]
        ('0', '1', '2')
    """
    if isinstance(what, Classifier):
        return what
    named = all_networks(what)
    exported = [not isinstance(each, Bundle) and is_exported(expanded(each)) for each in named]
    if any(exported):
        device, engine = _of_exported(device, engine)
    asked = "auto" if precision == "int8" and all(exported) else precision
    compute = choose_compute(device, asked, threads, engine, agree)
    opened = [_opened(each, variant, downloading) for each in named]
    if any(exported):
        built = [build() if own else None for own, (_, build) in zip(exported, opened, strict=True)]
        compute = _as_exported(compute, precision, built)
    bundles = tuple(bundle for bundle, _ in opened)
    called = names or [
        each.variant if isinstance(where, Bundle) else str(where)
        for where, each in zip(named, bundles, strict=True)
    ]
    members = tuple(
        Member(cache(build), each.spec, each.classes, name, own and _cuts(build()))
        for own, (each, build), name in zip(exported, opened, called, strict=True)
    )
    for each in members:
        column_order(each.classes, members[0].classes, each.name)
    alone = isinstance(what, str | Path)
    return Classifier(members, compute, bundles, str(what) if alone else ", ".join(called))


def _of_exported(device: str, engine: str) -> tuple[str, str]:
    """Where exported files answer: on the CPU, and by no engine but their own runtime."""
    if device not in ("auto", "cpu") or engine not in ("auto", "torch"):
        raise WrongUse(
            "an exported file answers on the CPU in its own runtime; omit --device and --engine"
        )
    return "cpu", "torch"


def _as_exported(compute: Compute, precision: str, networks: Sequence[nn.Module | None]) -> Compute:
    """The same with what exported files answer by and in, which nobody can choose."""
    own = [each for each in networks if isinstance(each, RuntimeNetwork)]
    alone = len(own) == len(networks)
    found = {each.precision for each in own} | (set() if alone else {compute.precision})
    if len(found) > 1:
        raise WrongUse(
            f"these answer in {' and '.join(sorted(found))}, and no average of both has been"
            " measured; name networks of one precision"
        )
    (answers,) = found
    if compute.precision == "bf16" or precision not in ("auto", answers, _EXACT[answers]):
        raise WrongUse(f"an exported file answers in {answers}; omit --precision {precision}")
    runtimes = {each.runtime for each in own}
    engine = runtimes.pop() if alone and len(runtimes) == 1 else "torch"
    return replace(compute, precision=answers, engine=engine, faster=None)


def _cuts(network: nn.Module) -> bool:
    return isinstance(network, ExportedNetwork) and network.cuts


def _opened(
    where: Openable, variant: str | None, downloading: Downloading | None
) -> tuple[Bundle, Callable[[], nn.Module]]:
    """What is known of a network, and what builds it."""
    if not isinstance(where, Bundle) and is_exported(path := expanded(where)):
        bundle, network = open_exported(path)
        return bundle, lambda: network
    bundle = _bundle(where, variant, downloading)
    return bundle, bundle.build


def _bundle(where: Openable, variant: str | None, downloading: Downloading | None) -> Bundle:
    if variant is None or isinstance(where, Bundle) or is_id(where):
        return open_bundle(where, downloading=downloading)
    path = expanded(where)
    if path.is_dir():
        return open_bundle(path)
    return bundle_of_file(path, Given(variant))
