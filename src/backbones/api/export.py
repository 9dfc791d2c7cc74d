"""Networks in files of other runtimes, proven to give the same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.classifier.held_out import Wanted
from backbones.classifier.source import source_of
from backbones.data.render import with_channels
from backbones.errors import BadImage, WrongUse
from backbones.exporting.export import Exported, Named, export_bundle, verify_exported
from backbones.exporting.form import Dtype, Form, Layout
from backbones.exporting.targets import Target, find_target
from backbones.files import expanded, write_atomic
from backbones.labels import shown
from backbones.progress import Downloading, Staged, unseen
from backbones.quantization.result import QuantizationOptions
from backbones.report.page import ShownImage, image_page
from backbones.weights.bundle import Bundle
from backbones.weights.opening import open_bundle

__all__ = ["Exported", "export", "verify_export", "write_export_report"]

_MOST_IMAGES = 32
"""Of the user's own that are part of a proof; all are in memory."""


def export(
    bundle: str | Path | Bundle,
    out: str | Path,
    *,
    to: str = "onnx",
    layout: Layout = "image",
    dtype: Dtype | None = None,
    dense: bool = False,
    precision: str = "fp32",
    images: Any = None,
    data: str | Path | None = None,
    staged: Staged | None = None,
    downloading: Downloading | None = None,
) -> Exported:
    """Write a network as a file of another runtime, once every runtime here gives its answers.

    The same images go through PyTorch and through ONNX Runtime and OpenVINO, in batches of 1, 2
    and 5. Where pixels, logits or classes differ, nothing is written.

    Args:
        bundle: a bundle, its path, a run folder, or the id of weights.
        out: the file (.onnx, .pt2, .tflite) or, for "openvino", the folder; what is there is
            replaced.
        to: "onnx", "openvino", "pt2" or "litert", which takes one crop at a time.
        layout: "image" takes whole images, uint8 (N, H, W, C), and resizes, cuts and normalises
            inside; "tensor" takes (N, C, size, size), cut outside.
        dtype: of a tensor: "float32" (where None) is normalised outside, "uint8" inside.
        dense: height and width are free, and every place of the map gets scores.
        precision: "fp32", or for "openvino" "int8": quantised as `backbones.quantize` does it,
            whose card is in the file's description; it answers nearly as PyTorch does.
        data: of int8: what it is calibrated and judged on, as of `backbones.quantize`.
        staged: of int8: called with (stage, done, in all) as the work goes on.
        images: of your own, as `predict` takes them: up to 32 of them, evenly chosen, are part of
            the proof, beside the synthetic ones.
        downloading: called while weights are fetched.

    Returns:
        The file, with what the proof found; `backbones.open` opens it.

    Raises:
        NotFound: no such bundle, format or images.
        BadImage: one of the images cannot be read.
        WrongUse: a place that nothing can be written to, or a form that does not suit the network.
        MissingExtra: a library of the format is absent.
        ExportMismatch: a runtime gives other answers.
        QuantizationRefused: int8 costs too much accuracy.
    """
    chosen = dtype or ("uint8" if layout == "image" else "float32")
    form, target, path = Form(layout, chosen, dense), find_target(to), expanded(out)
    _refuse_precision(precision, target, data)
    target.refuse_form(form)
    target.refuse_place(path)
    if data is None:
        opened = open_bundle(bundle, downloading=downloading)
        return export_bundle(opened, target, form, path, _own_images(images, opened))
    if images is not None:
        raise WrongUse("images are part of the proof in fp32; int8 is judged on data alone")
    options = QuantizationOptions(form=form)
    from backbones.quantization.quantize import quantize_bundle  # needs OpenVINO

    opened = open_bundle(bundle, downloading=downloading)
    return quantize_bundle(opened, Wanted(data), options, path, staged or unseen).exported


def _refuse_precision(precision: str, target: Target, data: str | Path | None) -> None:
    """Tell what does not go together."""
    if precision not in ("fp32", "int8"):
        raise WrongUse(f"precision is {precision!r}, and files are exported in fp32 or int8")
    if precision == "fp32" and data is not None:
        raise WrongUse("data to calibrate on belongs to --precision int8")
    if precision == "int8" and target.name != "openvino":
        raise WrongUse("int8 is written for OpenVINO: say --to openvino")
    if precision == "int8" and data is None:
        raise WrongUse(
            "int8 is calibrated on images: name them with --data DATA, or run"
            " `backbones quantize BUNDLE DATA -o OUT`"
        )


def verify_export(
    file: str | Path,
    *,
    against: str | Path | Bundle | None = None,
    images: Any = None,
    trust: bool = False,
    downloading: Downloading | None = None,
) -> Exported:
    """Repeat the proof of an exported file with the runtimes that are here now.

    Args:
        file: what `export` wrote.
        against: the bundle that it was made from, as of `export`, which then answers anew; where
            None, the answers count that it gave at the export.
        images: of your own, as of `export`; PyTorch's answers to them need `against`.
        trust: read an archive of PyTorch (.pt2), which can run code.
        downloading: called while weights are fetched.

    Raises:
        NotFound: there is no such file or bundle.
        BadWeights: the file is damaged, or was not exported by this package.
        WrongUse: the bundle is another network, or the file is not trusted.
        MissingExtra: a library of the format is absent.
        ExportMismatch: a runtime gives other answers.
    """
    if against is None:
        if images is not None:
            raise WrongUse(
                f"{file} holds no answers to these images, only to those of its export; name the"
                " bundle that it was made from with --against"
            )
        return verify_exported(expanded(file), trusted=trust)
    bundle = open_bundle(against, downloading=downloading)
    own = _own_images(images, bundle)
    return verify_exported(expanded(file), bundle, own, trusted=trust)


def _own_images(images: Any, bundle: Bundle) -> list[Named]:
    """Up to 32 of them, evenly chosen.

    Raises:
        NotFound: there are none.
        BadImage: one cannot be read.
    """
    if images is None:
        return []
    source, channels = source_of(images), bundle.spec.channels
    count = min(source.num_images, _MOST_IMAGES)
    wanted = {place * source.num_images // count for place in range(count)}
    found = []
    for place, block in enumerate(source.blocks(1)):
        if place in wanted:
            try:
                pixels = block.apply(lambda each: np.array(with_channels(each[0], channels)))
            except BadImage as error:
                raise BadImage(f"{block.names[0]}: {error}") from error
            found.append((block.names[0], pixels))
    return found


def write_export_report(exported: Exported, path: str | Path) -> None:
    """Show what an exported file was proven with: one HTML file that needs nothing else.

    It has every image of the proof with PyTorch's likeliest classes, and how far each runtime was
    from them at most.

    Args:
        exported: what `export` or `verify_export` returned.
        path: the page to write.

    Raises:
        OSError: it cannot be written.
    """
    bundle, form = exported.description.bundle, exported.description.form
    names = shown(bundle.classes, "en")
    cells = []
    parity = exported.parity
    for batch, logits in zip(parity.batches, parity.logits, strict=True):
        # of score maps the mean over all places
        scores = torch.from_numpy(logits.copy()).flatten(2).mean(2) if form.dense else logits
        rows = torch.as_tensor(scores).softmax(1).topk(min(5, len(names)))
        for name, image, shares, classes in zip(
            batch.names, batch.images, rows.values.tolist(), rows.indices.tolist(), strict=True
        ):
            guesses = tuple(
                (names[each], share) for each, share in zip(classes, shares, strict=True)
            )
            cells.append(ShownImage(name, image, guesses))
    title = f"{exported.file.name}: the answers of PyTorch on {parity.images} images"
    notes = [
        f"{each.runtime}: logits at most {each.max_abs_diff:.1e} apart,"
        f" {each.max_relative_diff:.1e}"
        f" of the largest; pixels {each.max_pixel_diff} grey levels; the same first class on"
        f" {each.same_first_class} of {parity.images}"
        for each in parity.runtimes
    ]
    write_atomic(expanded(path), image_page(cells, title=title, notes=notes).encode())
