"""Networks in int8."""

from __future__ import annotations

from pathlib import Path

from backbones.classifier.held_out import Wanted
from backbones.errors import WrongUse
from backbones.exporting.opened import is_exported
from backbones.exporting.targets import find_target
from backbones.files import expanded
from backbones.progress import Downloading, Staged, unseen
from backbones.quantization.nncf_calls import require_nncf
from backbones.quantization.result import QuantizationOptions, Quantized
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle

__all__ = ["Quantized", "quantize"]


def quantize(
    bundle: str | Path | Bundle,
    data: str | Path,
    out: str | Path,
    *,
    num_images: int | None = None,
    seed: int = 0,
    max_loss: float = 0.5,
    layout: str | None = None,
    label_pattern: str | None = None,
    staged: Staged | None = None,
    downloading: Downloading | None = None,
) -> Quantized:
    """Write a network in int8 for OpenVINO, if it loses hardly any accuracy.

    It is calibrated on training images and judged on others: those that the bundle held out in its
    training, or a part of its own of the data, or the rest of it. Where it loses more than it may,
    the layers that hurt stay in fp32, found by NNCF's accuracy control; where that does not help,
    nothing is written. `backbones.open` opens what is written.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights.
        data: a folder, a manifest or a set name, of the network's classes.
        out: a folder of OpenVINO, with the card beside the graph; or one file that ends in
            .safetensors, with the card inside. Nothing may be there.
        num_images: to calibrate on; None takes 300, or fewer where there are not so many.
        seed: which images these are, sampled class by class.
        max_loss: points of top-1 accuracy that may be lost: 0.5 of a hundred.
        layout, label_pattern: where the labels come from; as of `open_data`.
        staged: called with (stage, done, in all) as the work goes on.
        downloading: called while weights are fetched.

    Raises:
        QuantizationRefused: it loses too much, or cannot be done.
        NotFound, BadData: no such bundle or data, or the classes differ.
        WrongUse: `out` is there, the bundle is in int8 already, or the data has fewer images than
            were asked for, or one class.
        MissingExtra: NNCF is not installed.
    """
    path = expanded(out)
    options = QuantizationOptions(num_images, seed, max_loss)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise WrongUse(f"{path} is there already; name a new folder or file, or remove it")
    name = "safetensors" if path.suffix == ".safetensors" else "openvino"
    find_target(name).refuse_place(path)
    if not isinstance(bundle, Bundle) and is_exported(expanded(bundle)):
        raise WrongUse(
            f"{bundle} is an exported or quantised network; name the bundle that it was made from"
        )
    require_nncf()  # whose extra brings OpenVINO too, which the next line needs
    from backbones.quantization.quantize import quantize_bundle

    return quantize_bundle(
        open_bundle(bundle, downloading=downloading),
        Wanted(data, None, layout, label_pattern),
        options,
        path,
        staged or unseen,
    )
